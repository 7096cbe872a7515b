"""Which network a job trains. Input and output sizes are absent: they follow from the data."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from jobs.spec.base import Dropout, Section, Size, contradiction

Sizes = Annotated[tuple[Size, ...], Field(max_length=256)]
Activation: TypeAlias = Literal["relu", "tanh", "gelu"]


class MlpSpec(Section):
    """Fully connected layers with one activation between them. Images are flattened."""

    name: Literal["mlp"]
    hidden: Sizes
    """Widths of the hidden layers; empty for a linear model."""
    activation: Activation = "relu"
    dropout: Dropout = 0.0


class ConvnetSpec(Section):
    """Blocks of 3x3 convolution, activation and 2x2 pooling, then fully connected layers. Needs image-shaped data."""

    name: Literal["convnet"]
    channels: Annotated[Sizes, Field(min_length=1)]
    """Channels of each block."""
    hidden: Sizes = (128,)
    """Widths of the fully connected layers after the blocks."""
    dropout: Dropout = 0.0
    batch_norm: bool = True


class ResnetSpec(Section):
    """Residual stages; each after the first halves the image and doubles the channels. Needs image-shaped data."""

    name: Literal["resnet"]
    blocks: Annotated[Sizes, Field(min_length=1, max_length=8)]
    """Residual blocks of each stage, for example [2, 2, 2, 2]."""
    width: Size = 64
    """Channels of the first stage."""


class GptSpec(Section):
    """A decoder-only transformer over bytes (256 tokens). Needs token data."""

    name: Literal["gpt"]
    layers: Annotated[int, Field(ge=1, le=1024)]
    heads: Annotated[int, Field(ge=1, le=1024)]
    width: Size
    context: Size
    """How many bytes the model sees; a row of data is one byte longer."""
    dropout: Dropout = 0.0

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise contradiction("width", f"must be divisible by heads ({self.heads}), and {self.width} is not")
        return self


ModelSpec = Annotated[MlpSpec | ConvnetSpec | ResnetSpec | GptSpec, Field(discriminator="name")]

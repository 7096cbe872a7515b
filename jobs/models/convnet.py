"""A plain convolutional network. B: examples, C: channels, H, W: height, width, O: outputs."""

import torch
from torch import nn

from jobs.models.images import HalfPool, batch_norm, convolution
from jobs.models.mlp import dense_layers
from jobs.spec.model import ConvnetSpec


class Convnet(nn.Module):
    """Blocks of convolution, activation and pooling, then fully connected layers."""

    def __init__(self, spec: ConvnetSpec, image: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        channels, height, width = image
        blocks: list[nn.Module] = []
        for channels_out in spec.channels:
            blocks.append(_block(channels, channels_out, is_normalised=spec.batch_norm))
            channels, height, width = channels_out, max(1, height // 2), max(1, width // 2)
        self.blocks = nn.Sequential(*blocks)
        self.head = dense_layers([channels * height * width, *spec.hidden, outputs], nn.ReLU, spec.dropout)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        outputs_BO: torch.Tensor = self.head(self.blocks(images_BCHW).flatten(start_dim=1))
        return outputs_BO


def _block(channels_in: int, channels_out: int, *, is_normalised: bool) -> nn.Sequential:
    norm = [batch_norm(channels_out)] if is_normalised else []
    return nn.Sequential(
        convolution(channels_in, channels_out, bias=not is_normalised), *norm, nn.ReLU(inplace=True), HalfPool()
    )

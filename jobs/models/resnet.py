"""A residual network (He et al., arXiv 1512.03385) for small images.

B: examples, C: channels, H, W: height, width, O: outputs.
"""

import torch
from torch import nn
from torch.nn.functional import relu

from jobs.models.images import batch_norm, convolution
from jobs.spec.model import ResnetSpec


class Resnet(nn.Module):
    """A 3x3 stem, stages of residual blocks, the mean over the image, one linear layer."""

    def __init__(self, spec: ResnetSpec, image: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(image[0], spec.width), batch_norm(spec.width))
        channels, stages = spec.width, []
        for stage, blocks in enumerate(spec.blocks):
            channels_out = spec.width * 2**stage
            first = ResidualBlock(channels, channels_out, stride=1 if stage == 0 else 2)
            rest = [ResidualBlock(channels_out, channels_out, stride=1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *rest))
            channels = channels_out
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, outputs)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        features_BC = self.stages(relu(self.stem(images_BCHW))).mean(dim=(2, 3))
        outputs_BO: torch.Tensor = self.head(features_BC)
        return outputs_BO


class ResidualBlock(nn.Module):
    """Two normalised convolutions around a shortcut, which is projected where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(convolution(channels_in, channels_out, stride=stride), batch_norm(channels_out))
        self.second = nn.Sequential(convolution(channels_out, channels_out), batch_norm(channels_out))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, batch_norm(channels_out))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        residual_BCHW = self.second(relu(self.first(images_BCHW)))
        return relu(residual_BCHW + self.shortcut(images_BCHW))

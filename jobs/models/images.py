"""Parts that the image models share. B: examples, C: channels, H, W: height, width."""

import torch
from torch import nn


def convolution(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or halves it, with stride 2)."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=bias)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation whose running statistics are floats of the state; it does not count batches."""
    norm = nn.BatchNorm2d(channels)
    norm.num_batches_tracked = None
    return norm


class HalfPool(nn.Module):
    """The maximum of every 2x2 square; a side of 1 is left alone.

    Written as a reduction, because the backward pass of the pooling kernel adds in no fixed order on GPUs.
    """

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = images_BCHW.shape
        rows, columns = min(2, height), min(2, width)
        even_BCHW = images_BCHW[:, :, : height // rows * rows, : width // columns * columns]
        squares = even_BCHW.reshape(batch, channels, height // rows, rows, width // columns, columns)
        return squares.amax(dim=(3, 5))

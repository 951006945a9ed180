"""A tiny network and tiny images, for tests of the methods."""

import torch
import torch.nn.functional as F
from torch import nn


class SmallPyramid(nn.Module):
    """One feature map of stride 2^(j+1) for each hierarchy j: a few linear features of the image's cells."""

    def __init__(self, hierarchies=(1, 2, 3), channels=(3, 4, 5, 6, 7), seed=0):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        strides = [2 ** (j + 1) for j in hierarchies]
        self.kernels = nn.ParameterList(
            torch.randn(c, 3, s, s, generator=draw) / s for c, s in zip(channels, strides, strict=False)
        )

    def forward(self, images):
        return [F.conv2d(images, kernel, stride=kernel.shape[-1]) for kernel in self.kernels]


def pictures(n, size=(32, 48), seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed))

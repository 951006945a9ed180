"""Bringing images to size as one graph: what `datasets.preprocessing` and Pillow do, to the last bit."""

from collections.abc import Sequence

import PIL
import torch
from torch import SymInt, Tensor, nn

from patchcore_suite.datasets.preprocessing import Preprocessing

HALF = 2**11  # Pillow's weights have 22 bits after the point: as two factors, sums are exact in single precision
VERTICALLY_FIRST = int(PIL.__version__.partition(".")[0]) >= 13  # what Pillow does since where height shrinks far more
GROUP = 16  # pixels that are computed together, of a window of pixels

Length = int | SymInt


class Resized(nn.Module):
    """Pixels (n, height, width, 3) of 8 bits, of any one size, to images (n, 3, H, W) in [0, 1].

    Args:
        preprocessing: how they are brought to size.
        size: (H, W) in which they come out.
    """

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int]) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.size = size

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The images, and whether they come out in the size, (): a graph cannot refuse others."""
        n, shape = pixels.shape[0], pixels.shape[1:3]
        whole = self._whole(shape)
        spare = torch.stack([torch.scalar_tensor(side - kept) for side, kept in zip(whole, self.size, strict=True)])
        fits = (spare == 0).all() if self.preprocessing.crop is None else spare.min() >= 0
        shrink, narrow = shape[0] - whole[0], shape[1] - whole[1]
        turned = VERTICALLY_FIRST & (torch.scalar_tensor(torch.sym_min(shrink, shrink - 2 * narrow)) > 0)
        # All images go one way and none the other: OpenVINO overwrites what a choice between two ways has given.
        first = (turned.long() * n).item()
        torch._check(first >= 0)
        torch._check(first <= n)
        ways = self._vertically_first(pixels[:first]), self._horizontally_first(pixels[first:])
        return torch.cat(ways) / 255, fits

    def _horizontally_first(self, pixels: Tensor) -> Tensor:
        (height, width), size = self._whole(pixels.shape[1:3]), self.size
        by_columns = resampled(pixels.permute(0, 3, 2, 1), width, size[1])
        return resampled(by_columns.transpose(2, 3), height, size[0])

    def _vertically_first(self, pixels: Tensor) -> Tensor:
        (height, width), size = self._whole(pixels.shape[1:3]), self.size
        by_rows = resampled(pixels.permute(0, 3, 1, 2), height, size[0])
        return resampled(by_rows.transpose(2, 3), width, size[1]).transpose(2, 3)

    def _whole(self, shape: Sequence[Length]) -> Sequence[Length]:
        """(height, width) of a resized image before the crop."""
        resize = self.preprocessing.resize
        return resize if isinstance(resize, tuple) else [resize * side // torch.sym_min(*shape) for side in shape]


def resampled(pixels: Tensor, target: Length, kept: int) -> Tensor:
    """Resize axis 2 of (n, c, length, m) to `target`, cropped at its centre to `kept`: whole numbers, as floats.

    Pillow's bilinear filter is a triangle, whose values are fractions: here they are computed in whole numbers.
    """
    length = pixels.shape[2]
    spare = target - kept
    first = spare // 2 + spare % 2 * (spare // 2 % 2)  # Python rounds a half to even
    centres = (2 * (torch.arange(-(-kept // GROUP) * GROUP) + first) + 1).reshape(-1, GROUP) * length  # times 2 target
    reach = 2 * torch.sym_max(length, target)
    starts = (centres[:, 0] - reach).clamp(min=0) // (2 * target)
    window = starts[:, None] + torch.arange(((GROUP - 1) * length + reach) // target + 2)
    weights = (reach - ((2 * window[:, None] + 1) * target - centres[:, :, None]).abs()).clamp(min=0)
    weights = torch.where(window[:, None] < length, weights, 0)  # (groups, GROUP, window)
    total = weights.sum(dim=2, keepdim=True).clamp(min=1)  # 0 past the end
    upper = weights * HALF // total
    lower = (2 * (weights * HALF - upper * total) * HALF + total) // (2 * total)  # the nearest whole number

    seen = pixels.index_select(2, window.clamp(max=length - 1).flatten()).float().unflatten(2, window.shape)
    carried = (lower.float() @ seen / HALF).floor()  # floors of floors, so that no number needs 24 bits
    found = ((upper.float() @ seen + carried + HALF // 2) / HALF).floor()
    return found.flatten(2, 3)[:, :, :kept]

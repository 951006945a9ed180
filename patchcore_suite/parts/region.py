"""Which part of an image is looked at: a mask for all images, or one for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import foreground, mask_array, mask_values
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, walk
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record

INSIDE = 0.5  # share of a patch's pixels that must lie in the region
FAINT = 1e-3  # share of a pixel's map that must come from the region
REMEDY = "give an image of the photographs' size with two values: 0 where nothing is looked at, 255 elsewhere"


@dataclass(frozen=True, eq=False)
class Region:
    """The region of interest of images.

    Attributes:
        mask: (H, W) at the size that the model sees, True where it looks; None where each image has a mask of its own.
        folder: of these masks; None where nobody said yet where they lie.
    """

    mask: NDArray[np.bool_] | None
    folder: Path | None = None

    @classmethod
    def read(cls, path: str | Path, preprocessing: Preprocessing, size: tuple[int, int]) -> "Region":
        """A mask for all images of (height, width) `size`, or a folder of masks.

        Raises:
            InputError: there is no such file or folder, no mask, or a mask of another size.
        """
        path = Path(path).expanduser()
        if path.is_dir():
            region = cls(None, path)
            if not region._files:
                raise InputError(f"no mask of a region in {path}", remedy="give a folder of masks, named as the images")
            return region
        return cls(mask_array(read_region(path, size), preprocessing))

    def of(self, image: Path, preprocessing: Preprocessing, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W), True where an image of (height, width) `size` is looked at.

        Raises:
            InputError: its mask is not there, or unsuitable.
        """
        if self.mask is not None:
            return self.mask
        if self.folder is None:
            raise InputError(
                f"{image}: the model was fitted with a mask for each image, and there is none for this one",
                remedy="name the folder of their masks (--region FOLDER)",
            )
        return mask_array(read_region(self._file_of(image), size), preprocessing)

    @cached_property
    def _files(self) -> Mapping[tuple[str, ...], Path]:
        """Masks by their place in the folder, without suffix."""
        assert self.folder is not None
        images = [path for path in walk(self.folder) if path.suffix.lower() in IMAGE_SUFFIXES]
        return {path.relative_to(self.folder).with_suffix("").parts: path for path in images}

    def _file_of(self, image: Path) -> Path:
        """The mask whose place in the folder is the end of the image's path: the longest such end."""
        parts = image.expanduser().absolute().with_suffix("").parts
        for start in range(len(parts)):
            if parts[start:] in self._files:
                return self._files[parts[start:]]
        raise InputError(
            f"{image}: no mask of its region in {self.folder}",
            remedy="name masks as images, in folders of the same names where there are several",
        )


def read_region(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask of images of (height, width) `size`: True where they are looked at.

    Raises:
        InputError: the file is missing, damaged, no mask, of another size, or hides everything.
    """
    values = mask_values(Record(path, "region", "train", 1, "region", mask=path))
    different = len(np.unique(values))
    if different > 2:
        raise InputError(f"{path} is no mask of a region: it has {different} values", remedy=REMEDY)
    if values.shape != tuple(size):
        raise InputError(f"the region {path} is of {values.shape}, an image of {tuple(size)} pixels", remedy=REMEDY)
    found = foreground(values)
    if not found.any():
        raise InputError(f"the region {path} hides everything", remedy=REMEDY)
    return found


def patches_inside(mask: NDArray[np.bool_], grid: tuple[int, int]) -> Tensor:
    """(h, w) which patches of a grid are looked at: those of which half of the pixels or more lie in the mask (H, W).

    Raises:
        InputError: none is.
    """
    share = F.adaptive_avg_pool2d(torch.from_numpy(mask[None].astype(np.float64)), grid)[0]
    inside = share >= INSIDE
    if not inside.any():
        raise InputError("the region is smaller than a patch: it hides everything", remedy="give a larger region")
    return inside


def hide(features: Tensor, inside: Tensor) -> Tensor:
    """Patch features (n, h, w, d) in which each hidden patch says what one of its image that is seen does.

    So the farthest patch of an image is the farthest that is seen.

    Args:
        inside: (n, h, w) which patches are seen.
    """
    n, h, w, d = features.shape
    first = inside.flatten(1).int().argmax(dim=1)  # of each image
    stand_in = features.view(n, h * w, d)[torch.arange(n), first]
    return torch.where(inside[..., None].to(features.device), features, stand_in[:, None, None])

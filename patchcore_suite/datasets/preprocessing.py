"""How images of a dataset are brought to one size."""

from dataclasses import dataclass

from patchcore_core.common.errors import InputError

MASK_RULES = ("nearest", "bilinear")
LONGEST = 16_384  # pixels of a side, above which nothing could be computed


@dataclass(frozen=True)
class Preprocessing:
    """How images are brought to one size: resized, then cropped at the centre.

    Attributes:
        resize: length of the shorter side, or (height, width).
        crop: side of the square that is kept, or its (height, width), or None for no crop.
        masks: how ground truth is resized: "nearest", or "bilinear" as the authors' code, which counts a pixel only
            where the resized mask is still 1 throughout, so that defects shrink a little.

    Raises:
        InputError: a length is no whole number of 1 to `LONGEST`, the crop is larger than any resized image, or there
            is no such rule for masks; all are listed.
    """

    resize: int | tuple[int, int]
    crop: int | tuple[int, int] | None = None
    masks: str = "nearest"

    def __post_init__(self) -> None:
        problems = []
        for name in ("resize", "crop"):
            value = getattr(self, name)
            if isinstance(value, list):  # YAML gives lists
                object.__setattr__(self, name, tuple(value))
            pair = isinstance(value, (list, tuple)) and len(value) == 2
            sides = value if pair else [value]
            fits = all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= LONGEST for side in sides)
            if not fits and (name, value) != ("crop", None):
                problems.append(
                    f"{name}={value!r} is not a size: give a whole number, or [height, width], up to {LONGEST}"
                )
        if not problems and self.crop is not None and not self._may_fit():
            problems.append(f"crop={self.crop} does not fit: resize={self.resize} makes images smaller than that")
        if self.masks not in MASK_RULES:
            problems.append(f"masks={self.masks!r} must be one of {', '.join(MASK_RULES)}")
        if problems:
            raise InputError(
                "images cannot be prepared as described", offenders=problems, remedy="correct these values"
            )

    def _may_fit(self) -> bool:
        """Whether the crop fits into some image; the longer side of one whose shorter side is resized may be any."""
        crop = self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)
        if isinstance(self.resize, tuple):
            return crop[0] <= self.resize[0] and crop[1] <= self.resize[1]
        return min(crop) <= self.resize

    def resized(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of (height, width) `image_size` has before the crop, as of torchvision."""
        height, width = image_size
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of (height, width) `image_size` is brought to.

        Raises:
            InputError: the crop is larger than the resized image.
        """
        resized = self.resized(image_size)
        if self.crop is None:
            return resized
        crop = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        if crop[0] > resized[0] or crop[1] > resized[1]:
            raise InputError(
                f"crop={self.crop} does not fit: resize={self.resize} makes {resized} of an image of {image_size}",
                remedy="choose a smaller crop or a larger resize",
            )
        return crop

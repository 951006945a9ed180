"""What every dataset is made of: one record an image."""

from dataclasses import dataclass
from pathlib import Path

NOMINAL = "good"  # the defect name of a nominal image, as in MVTec AD


@dataclass(frozen=True)
class Record:
    """One image of a dataset, or one frame of a video.

    Attributes:
        image: the image file; a video file when `frame` is given and the suffix says so.
        category: what one model is fitted to: an MVTec category, a scene, or "mtd".
        split: "train" (nominal images only, but for `DatasetSpec.noise`) or "test".
        label: 0 nominal, 1 anomalous.
        defect: the defect's name; "good" for a nominal image.
        mask: the ground truth, None where there is none (a nominal image needs none); a folder where several files
            mark what is defective together.
        frame: index of the frame in a video, and in a mask stack (n, h, w) stored as .npy.
        bits: how many the camera fills of the 16 of a file, if it is of 16 bits.
        rotation: degrees by which the image is turned, counter-clockwise, when it is read; no file's own.
    """

    image: Path
    category: str
    split: str
    label: int
    defect: str
    mask: Path | None = None
    frame: int | None = None
    bits: int = 16
    rotation: float = 0.0

    @property
    def name(self) -> str:
        """What error messages and captions call this image."""
        return str(self.image) if self.frame is None else f"{self.image}#{self.frame}"


@dataclass(frozen=True)
class Entry:
    """A record, the (height, width) of its image, and the SHA-256 of its files."""

    record: Record
    size: tuple[int, int]
    image_sha256: str
    mask_sha256: str | None

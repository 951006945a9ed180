"""Pictures inside the report: small copies that load late, beside links to the files for papers."""

import io
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from patchcore_core.common.errors import InputError

WIDEST = 1600  # pixels of a copy: the page's column on a screen of twice its density shows no more
QUALITY = 80  # of copies of photographs; drawings are copied without loss

REMEDY = "run `dvc repro -f -s STAGE` on the stage whose notebook draws it"  # DVC does not miss figures


@dataclass(frozen=True)
class Figure:
    """A picture inside the page."""

    folder: str  # in reports/
    name: str
    alternative_text: str
    size: tuple[int, int]
    data: str  # base64 of the copy, as WebP
    formats: tuple[str, ...]  # of the files beside the page
    chart: dict[str, object] | None = None


def read_figure(path: Path, shows: str, chart: dict[str, object] | None = None) -> Figure:
    """A figure that a notebook saved.

    Args:
        path: the PNG, in a folder of reports/.
        shows: what it shows, for readers who cannot see it.
        chart: what it is drawn from, if it can be explored.

    Raises:
        InputError: there is none, or it is no picture.
    """
    if not path.is_file():
        raise InputError(f"there is no figure {path}", remedy=REMEDY)
    drawing = path.with_suffix(".svg").is_file()
    try:
        size, data = _copy(path, lossless=drawing)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"the figure {path} cannot be read: {error}", remedy=REMEDY) from None
    formats = ("png", "svg") if drawing else ("png",)
    return Figure(path.parent.name, path.stem, shows, size, data, formats, chart)


def _copy(path: Path, *, lossless: bool) -> tuple[tuple[int, int], str]:
    """Size and base64 of a copy that is no wider than the page shows it."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="WEBP", lossless=lossless, quality=QUALITY, method=4)
    return picture.size, b64encode(file.getvalue()).decode()

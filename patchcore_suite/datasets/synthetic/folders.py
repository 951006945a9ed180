"""Parts in folders of own names: good ones in ok/, defective ones in ng/, masks of these in masks/."""

from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph
from patchcore_suite.datasets.synthetic.writers import write_png


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    yield from parts.jobs(parts.photographs("gear", ("rust",)), _write, seed)


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    name = f"{one.split}_{one.index:03}.png"
    write_png(root / ("ok" if one.nominal else "ng") / name, image)
    if not one.nominal:
        write_png(root / "masks" / name, mask)

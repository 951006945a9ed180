"""Parts that a table lists: where each photograph and its mask lie, and what is wrong with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from numpy import ndarray

from patchcore_suite.datasets.synthetic import parts
from patchcore_suite.datasets.synthetic.parts import Photograph, write_lines
from patchcore_suite.datasets.synthetic.writers import write_png


def jobs(seed: int) -> Iterator[Callable[[Path], None]]:
    """What writes the stand-in below a root."""
    found = parts.photographs("board", ("bent_pin", "scratch"))
    yield from parts.jobs(found, _write, seed)
    lines = ["path,label,split,mask,category"]
    lines += [f"{_name(one)},{one.defect},{one.split},{'' if one.nominal else _mask(one)},board" for one in found]
    yield lambda root: write_lines(root / "labels.csv", lines)


def _name(one: Photograph) -> str:
    return f"images/{one.split}_{one.defect}_{one.index}.png"


def _mask(one: Photograph) -> str:
    return f"masks/{one.defect}_{one.index}.png"


def _write(root: Path, one: Photograph, image: ndarray, mask: ndarray) -> None:
    write_png(root / _name(one), image)
    if not one.nominal:
        write_png(root / _mask(one), mask)

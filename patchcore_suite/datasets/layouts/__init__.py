"""Which layout a folder has, and the records in it.

A layout is a module of this folder with a `Layout` under the name LAYOUT; there is no list of them.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets import spec as specs
from patchcore_suite.datasets.alike import twins
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import Scan, unusable
from patchcore_suite.datasets.noise import with_noise
from patchcore_suite.datasets.records import Record
from patchcore_suite.datasets.spec import DatasetSpec

LAYOUTS: dict[str, Layout] = {name: import_module(f"{__name__}.{name}").LAYOUT for name in specs.LAYOUTS}


def spec_type(layout: object) -> type[DatasetSpec]:
    """The kind of spec that a layout asks for: with keys of its own, where it has some.

    Raises:
        InputError: there is no such layout; the nearest name is suggested.
    """
    if isinstance(layout, str) and layout in LAYOUTS:
        return LAYOUTS[layout].spec
    close = get_close_matches(str(layout), LAYOUTS, n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"layout={layout!r} must be one of {', '.join(LAYOUTS)}{suggestion}")


def recognise(root: Path) -> str:
    """Name the layout of the folder `root`.

    Raises:
        InputError: `root` does not exist, or has none of the known layouts.
    """
    _check_folder(root)
    known = {name: layout for name, layout in LAYOUTS.items() if not layout.described}
    for name in sorted(known, key=lambda name: known[name].general):
        if known[name].categories(root, known[name].spec(source=str(root), layout=name)):
            return name
    raise InputError(
        f"the folder {root} has none of the known layouts",
        offenders=[f"{name}: {layout.pattern}" for name, layout in known.items()],
        remedy="give the folder that directly holds what one of these patterns begins with; see data/README.md",
    )


def scan(root: Path, spec: DatasetSpec) -> Scan:
    """List the records of the folder `root` as `spec` divides them, without opening an image.

    Raises:
        InputError: the folder is missing or has another layout, or categories that `spec` names are not there.
    """
    _check_folder(root)
    present = LAYOUTS[spec.layout].categories(root, spec)
    if not present:
        raise InputError(
            f"the folder {root} has the layout {recognise(root)!r}, not {spec.layout!r}", remedy="correct layout"
        )
    chosen = sorted(present if spec.categories is None else spec.categories)
    if absent := [category for category in chosen if category not in present]:
        raise InputError(
            f"no such categories in {root}", offenders=absent, remedy=f"those present are {', '.join(present)}"
        )
    records, problems = LAYOUTS[spec.layout].scan(root, chosen, spec)
    records, spoilt = with_noise(records, spec)
    trained = {record.category for record in records if record.split == "train"}
    untrained = [f"category without training images: {category}" for category in chosen if category not in trained]
    return Scan(records, [*untrained, *spoilt, *unusable(root), *_look_alike(records), *problems])


def _look_alike(records: Sequence[Record]) -> Iterator[str]:
    """Categories, and defects of a category, that would pass for one in a table, or on another disk."""
    alone = "differ in upper and lower case or in spelling alone"
    for same in twins(record.category for record in records):
        yield f"categories that {alone}: {', '.join(same)}"
    for category in sorted({record.category for record in records}):
        for same in twins(record.defect for record in records if record.category == category):
            yield f"defects of {category} that {alone}: {', '.join(same)}"


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        raise InputError(
            f"the dataset folder {root} does not exist",
            remedy=f"write {Path(root).expanduser()}, the path in full"
            if str(root).startswith("~")
            else "correct the path, or set the source to 'synthetic'; data/README.md says where each dataset is had",
        )

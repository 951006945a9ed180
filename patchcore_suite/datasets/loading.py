"""The images of a folder as a sequence of records, without any settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layouts import recognise, scan, spec_type
from patchcore_suite.datasets.records import Record


@dataclass(frozen=True)
class Dataset(Sequence[Record]):
    """A sequence of records that cannot change."""

    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]


def load(source: str | Path, category: str | None = None, split: str = "test", *, layout: str | None = None) -> Dataset:
    """List the images of a folder; none is opened.

    Args:
        source: the folder, in one of the known layouts.
        category: one category; None takes all.
        split: "train" or "test".
        layout: the name of a module of `layouts`; None recognises it. What is drawn is drawn with seed 0.

    Raises:
        InputError: the folder or the category is missing, the layout is unknown, or masks cannot be matched.
    """
    if split not in ("train", "test"):
        raise InputError(f"split={split!r} must be 'train' or 'test'")
    root = Path(source)
    categories = None if category is None else (category,)
    layout = layout or recognise(root)
    spec = spec_type(layout)(source=str(source), layout=layout, categories=categories)
    records, problems = scan(root, spec)
    if problems:
        raise InputError(f"the folder {root} cannot be used as it is", offenders=sorted(problems))
    return Dataset(tuple(record for record in records if record.split == split))

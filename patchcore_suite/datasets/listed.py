"""What layouts have in common whose images are listed in a file: every row is looked at, and all that is wrong told."""

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, Scan
from patchcore_suite.datasets.records import NOMINAL, Record

SPLITS = ("train", "test")
SEPARATORS = (",", ";", "\t")  # the first that the header has, so that tables of any spreadsheet are read


class Row(NamedTuple):
    """What a list says of one image.

    Attributes:
        where: the line of the list, as messages name it.
        image, mask: paths from the folder that the list is about; no mask: "".
        defect: what is wrong with the image; `NOMINAL` if nothing is.
        odd: what is wrong with the row itself.
    """

    where: str
    category: str
    split: str
    defect: str
    image: str
    mask: str = ""
    odd: str = ""


Cells = tuple[int, dict[str, str]]  # the line of a row, and what stands in it by column


def read_table(path: Path, columns: Collection[str], optional: Collection[str] = ()) -> list[Cells]:
    """The rows of a CSV file with a header, each with its line; the order of its columns does not matter.

    Raises:
        InputError: it cannot be read, or its header is another.
    """
    remedy = f"give it a header with {', '.join(columns)}" + (f" (and {', '.join(optional)})" if optional else "")
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = next(io.StringIO(text, newline=""), "")
        separator = next((one for one in SEPARATORS if one in header), ",")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval="", strict=True)
        names = [(name or "").strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        way = "write that list" if isinstance(error, FileNotFoundError) else "save it as CSV in UTF-8"
        raise InputError(f"cannot read the list {path}: {error}", remedy=way) from None
    wrong = [f"no column {name}" for name in columns if name not in names]
    wrong += [f"unknown column {name!r}" for name in names if name not in (*columns, *optional)]
    wrong += [f"column {name} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    wrong += [f"line {line} has more cells than the header" for line, row in rows if None in row]
    if wrong:
        raise InputError(f"the list {path} cannot be used", offenders=wrong, remedy=remedy)
    stripped = [(line, {name: cell.strip() for name, cell in row.items()}) for line, row in rows]
    return [(line, row) for line, row in stripped if any(row.values())]


def records_of(folder: Path, rows: Iterable[Row], chosen: Collection[str]) -> Scan:
    """The records of the rows of the chosen categories; a line for each thing that is wrong with these."""
    records, problems = [], []
    of_image, of_mask = defaultdict(list), defaultdict(list)
    for row in rows:
        if row.category not in chosen:
            continue
        image, wrong = _file(folder, row.image)
        mask, also_wrong = _file(folder, row.mask) if row.mask else (None, "")
        problems += [f"{row.where}: {problem}" for problem in (wrong, also_wrong, row.odd or _odd(row)) if problem]
        if image is None or wrong or also_wrong:
            continue
        of_image[image].append(row.where)
        if mask:
            of_mask[mask].append(row.where)
        records.append(Record(image, row.category, row.split, int(row.defect != NOMINAL), row.defect, mask))
    for what, found in (("image", of_image), ("mask", of_mask)):
        for path, where in found.items():
            if len(where) > 1:
                problems.append(f"{what} that is listed more than once: {path}: {', '.join(where)}")
    return Scan(records, problems)


def _odd(row: Row) -> str:
    if row.split not in SPLITS:
        return f"split {row.split!r} is neither train nor test"
    if row.split == "train" and row.defect != NOMINAL:
        return f"an anomalous image cannot be for training: {row.image}"
    return ""


def _file(folder: Path, name: str) -> tuple[Path | None, str]:
    """The path of a listed file, and what is wrong with it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts:
        return None, "no path"
    path = folder.joinpath(*parts)
    if ".." in parts or parts[0].startswith("/") or ":" in parts[0]:
        return path, f"not a path in the folder {folder}: {name}"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return path, f"no image of a kind that is read: {name}"
    return path, "" if path.is_file() else f"no such file: {name}"

"""The package of results that the server of MVTec AD 2 takes, checked by its rules before it is sent.

    FOLDER/anomaly_images/CATEGORY/{test_private/NNN_regular,test_private_mixed/NNN_mixed}.tiff    one channel, float16
    FOLDER/anomaly_images_thresholded/CATEGORY/{test_private,test_private_mixed}/*.png             likewise, 0 and 255

The second folder may be left out; metrics that need a threshold are then not available. Nothing else may lie there.

    python -m patchcore_suite.datasets.submission FOLDER [--images SOURCE] [--pack]
"""

import argparse
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import atomic_path
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.images import map_ahead
from patchcore_suite.datasets.layouts.mvtec_ad_2 import LAYOUT, PRIVATE
from patchcore_suite.datasets.listing import files
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.datasets.tiff import read_tiff

MAPS, CALLED = "anomaly_images", "anomaly_images_thresholded"
SUFFIXES = {MAPS: ".tiff", CALLED: ".png"}
# Private test images of each category, as many in either light.
COUNTS = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}
ANOMALOUS = 255
SHOWN = 3  # names of files in a message
THREADS = 4

Sizes = Mapping[Path, tuple[int, int] | None]  # of each image, by CATEGORY/SET/STEM; None where it is not known


def private_images(root: Path) -> dict[Path, Path]:
    """The private test images in a folder that has the layout, by CATEGORY/SET/STEM."""
    found = {}
    for category in LAYOUT.categories(root, DatasetSpec(source=str(root), layout="mvtec_ad_2")):
        for each in PRIVATE:
            for image in files(root / category / each):
                found[Path(category, each, image.stem)] = image
    return found


def expected(images: Path | None = None) -> Sizes:
    """What a package must be of: the private test images in a folder, or, without one, those that the server knows."""
    if images is None:
        names = ((category, each, n) for category, count in COUNTS.items() for each in PRIVATE for n in range(count))
        return {Path(category, each, f"{n:03}_{PRIVATE[each]}"): None for category, each, n in names}
    found = {}
    for name, image in private_images(images).items():
        with Image.open(image) as opened:
            found[name] = (opened.height, opened.width)
    if not found:
        raise InputError(
            f"{images} holds no private test images of MVTec AD 2", remedy="name the folder that holds its categories"
        )
    return found


def file_of(folder: Path, kind: str, name: Path) -> Path:
    """Where the file of an image lies in a package: its map, or where it is called anomalous."""
    return folder / kind / name.with_name(name.name + SUFFIXES[kind])


def check_package(folder: Path, wanted: Sizes) -> str:
    """Check a package by all that the server checks, and that no value is missing and no size another.

    Returns:
        what it holds, in one sentence.

    Raises:
        InputError: the server would refuse it, or could not use it; everything is listed.
    """
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", remedy="name the folder that holds anomaly_images/")
    kinds = [MAPS, *([CALLED] if (folder / CALLED).is_dir() else [])]
    problems = list(_other(folder, kinds))
    there: dict[str, list[Path]] = {}
    for kind in kinds:
        there[kind] = [name for name in wanted if file_of(folder, kind, name).is_file()]
        problems += _structure(folder / kind, wanted, SUFFIXES[kind])
    looks = [(folder, kind, name, wanted[name]) for kind in kinds for name in there[kind]]
    with progress_bar(len(looks), "check", unit="image") as bar:
        for found in map_ahead(_look_at, looks, THREADS):
            problems += found
            bar.update(1)
    if problems:
        raise InputError(
            f"the server of MVTec AD 2 would not take {folder}", offenders=problems, remedy="repair or add these"
        )
    called = f"{len(there[CALLED])} thresholded" if CALLED in kinds else "none thresholded, so no metric of a threshold"
    return f"{folder}: {len(there[MAPS])} maps, {called}"


def _structure(folder: Path, wanted: Sizes, suffix: str) -> Iterator[str]:
    """What lies in a folder besides what must, and what is missing there, folder by folder."""
    names = [name.with_name(name.name + suffix) for name in wanted]
    yield from _other(folder, {name.parts[0] for name in names})
    for category in sorted({name.parts[0] for name in names}):
        yield from _other(folder / category, PRIVATE)
        for each in PRIVATE:
            here = {name.name for name in names if name.parts[:2] == (category, each)}
            yield from _other(folder / category / each, here)


def _other(folder: Path, wanted: Iterable[str]) -> Iterator[str]:
    if not folder.is_dir():  # of which the folder around it says that it is missing
        return
    found = {path.name for path in folder.iterdir()}
    for what, names in (("missing", {*wanted} - found), ("not to be there", found - {*wanted})):
        if names:
            shown = ", ".join(sorted(names)[:SHOWN])
            yield f"{what}: {folder}: {shown}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"


def _look_at(given: tuple[Path, str, Path, tuple[int, int] | None]) -> list[str]:
    folder, kind, name, size = given
    path = file_of(folder, kind, name)
    try:
        found, problems = _map(path) if kind == MAPS else _called(path)
    except InputError as error:
        return [error.problem]
    if kind == CALLED and size is None:  # then it has the size of its map, of which another line says what is wrong
        with suppress(InputError):
            size = read_tiff(file_of(folder, MAPS, name)).size
    if size and found != size:
        problems.append(f"of {found[0]} x {found[1]} pixels, not {size[0]} x {size[1]}")
    return [f"{path}: {problem}" for problem in problems]


def _map(path: Path) -> tuple[tuple[int, int], list[str]]:
    found = read_tiff(path)
    problems = [] if found.kind == "float16" else [f"{found.kind}, not float16"]
    problems += [] if (found.channels, found.images) == (1, 1) else ["not one image of one channel"]
    if found.values is not None and not np.isfinite(found.values).all():
        problems.append("values that are not finite")
    return found.size, problems


def _called(path: Path) -> tuple[tuple[int, int], list[str]]:
    try:
        with Image.open(path) as image:
            values: ndarray = np.asarray(image)
    except Exception as error:  # what a decoder raises on a damaged file is not defined
        raise InputError(f"unreadable image: {path}: {error}") from None
    problems = [] if values.ndim == 2 else ["not one channel"]
    problems += [] if np.isin(values, (0, ANOMALOUS)).all() else [f"values other than 0 and {ANOMALOUS}"]
    return values.shape[:2], problems


def pack(folder: Path) -> Path:
    """Compress a package for upload: FOLDER.tar.gz beside it, with the folder in it."""
    target = folder.resolve().with_name(folder.resolve().name + ".tar.gz")
    with atomic_path(target) as temporary, tarfile.open(temporary, "w:gz") as archive:
        archive.add(folder, arcname=folder.resolve().name)
    return target


def main() -> None:
    """Check a package, and compress it if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m patchcore_suite.datasets.submission", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="the package")
    parser.add_argument("--images", type=Path, help="the dataset, for names and sizes of its private images")
    parser.add_argument("--pack", action="store_true", help="write FOLDER.tar.gz, once all is as it must be")
    given = parser.parse_args()
    print(check_package(given.folder, expected(given.images)))
    if given.pack:
        print(f"written: {pack(given.folder)}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()

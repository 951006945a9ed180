"""What the suite has to know of a way in which the images of a dataset lie in a folder."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, Scan
from patchcore_suite.datasets.spec import DatasetSpec


@dataclass(frozen=True)
class Archive:
    """A public archive of a dataset that may be fetched without a form.

    Attributes:
        url: of the zip file, whose one top folder holds the dataset's.
        files: what is kept of it, as a glob pattern below the top folder.
        content_sha256: of the names and bytes of those files, see `content_checksum`.
    """

    url: str
    files: str
    content_sha256: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout, whole: each module NAME.py of `layouts` holds one under the name LAYOUT.

    A stand-in, where there is one, is the module `synthetic/NAME.py`.

    Attributes:
        pattern: the folder's files, as messages show them.
        holds: what the folder directly holds, in words.
        categories: the categories in a folder, in order, as a spec says; none where it has another layout.
        scan: the records of the chosen categories of a folder, divided as a spec says; no image is opened, and a mask
            only where nothing else says which images are anomalous.
        spec: a subclass of `DatasetSpec` where the dataset's block in params.yaml has keys of this layout's own.
        reads: how the names of files end that it reads, in small letters.
        unused: why such a file, by its path in the folder, belongs to no record; "" of one that is used all the same.
        division: what a manifest says of the division, from the spec.
        homepage: where its dataset is had.
        archive: what the source `download` fetches.
        general: whether folders of other layouts may pass for it; where a layout is recognised, it is asked last.
        described: whether only a spec says how the images lie, so that it is never recognised.
    """

    pattern: str
    holds: str
    categories: Callable[[Path, DatasetSpec], list[str]]
    scan: Callable[[Path, Collection[str], DatasetSpec], Scan]
    spec: type[DatasetSpec] = DatasetSpec
    reads: Sequence[str] = IMAGE_SUFFIXES
    unused: Callable[[PurePosixPath, DatasetSpec], str] = lambda inside, spec: "not where the layout has images"
    division: Callable[[DatasetSpec], dict[str, object]] = lambda spec: {}
    homepage: str = ""
    archive: Archive | None = None
    general: bool = False
    described: bool = False

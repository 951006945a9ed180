"""The files of raw results: patch distances and image scores, before any metric; and how long each took."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path, sha256_json
from patchcore_suite.datasets.names import INDEX as INDEX_FILE
from patchcore_suite.run.sealed import read_json, unsealed, write_sealed

SCHEMA = 4  # 4: a checksum
# What a stamp says beyond what determines a result: what came out.
MEASURED = ("key", "image_size", "nominal_images", "memory_bank", "covering_radius")


@dataclass(frozen=True, kw_only=True)
class RawResult:
    """What one variant with one seed said of the test images of one category, in the manifest's order.

    Attributes:
        scores: (n,) image scores; of PatchCore s* of Eq. 6, unless the variant asks for Eq. 7.
        stamp: what the result was made with and from; no times, no machine.
        distances: (n, h, w) patch scores; None from a method that scores whole images only.
        reweighted_scores: (n,) s of Eq. 7, from PatchCore.
        indices: (n, h, w) row of the memory bank that each patch is nearest to, from PatchCore.
        coreset_indices: (l,) rows of the nominal patch features, n-major then h then w, that the bank keeps; None
            where the bank is learned.
    """

    scores: NDArray[np.float32]
    stamp: Mapping[str, object]
    distances: NDArray[np.float32] | None = None
    reweighted_scores: NDArray[np.float32] | None = None
    indices: NDArray[np.int32] | None = None
    coreset_indices: NDArray[np.int32] | None = None

    ARRAYS = ("scores", "distances", "reweighted_scores", "indices", "coreset_indices")

    def write(self, path: Path) -> None:
        """Write the result, whole or not at all; equal results give equal bytes."""
        given = {name: getattr(self, name) for name in self.ARRAYS}
        arrays = {name: np.ascontiguousarray(array) for name, array in given.items() if array is not None}
        about = {"sha256": _content_sha256(self.stamp, arrays), "stamp": self.stamp}
        # One entry: safetensors writes several in an order of chance.
        content = save(arrays, metadata={"about": json.dumps(about, sort_keys=True)})
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def read(cls, path: Path) -> "RawResult":
        """Read a result.

        Raises:
            InputError: the file is missing or damaged.
        """
        try:
            return cls._read(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the result {path} is missing or damaged: {error}", remedy="run `dvc repro -f` on its score stage"
            ) from None

    @classmethod
    def damage(cls, path: Path, key: object) -> str:
        """What is wrong with a result that should be there; empty if it is the one with this key, as it was written."""
        try:
            return "" if cls._read(path).stamp.get("key") == key else "it is the result of something else"
        except (OSError, ValueError) as error:
            return str(error)

    @classmethod
    def _read(cls, path: Path) -> "RawResult":
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in cls.ARRAYS if name in file.keys()}  # noqa: SIM118
                about = json.loads(file.metadata()["about"])
            if about["sha256"] != _content_sha256(about["stamp"], arrays):
                raise ValueError("its content is not what was written")
            return cls(**arrays, stamp=about["stamp"])
        except (SafetensorError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True)
class ScoreIndex:
    """The raw results of a dataset, as its score stage wrote them.

    Attributes:
        dataset: its name.
        synthetic: whether its images are generated.
        source: "synthetic", "download" or "folder".
        cells: one mapping a result: category, variant, shots (None: all nominal images), seed, file,
            and key, the hash of all that determines it. What a machine makes of it, to the last digit, is not here:
            so the index is the same on all of them.
        weights_missing: one mapping a variant that could not run for want of weights: variant, remedy.
    """

    dataset: str
    synthetic: bool
    source: str
    cells: tuple[Mapping[str, object], ...]
    weights_missing: tuple[Mapping[str, str], ...]

    def write(self, folder: Path) -> None:
        """Write the index into the folder of the results."""
        write_sealed(folder / INDEX_FILE, {"schema": SCHEMA} | self.__dict__)

    @classmethod
    def read(cls, folder: Path) -> "ScoreIndex":
        """Read the index of a folder of results.

        Raises:
            InputError: there is none, it is damaged or another dataset's, or it was written by another version.
        """
        remedy = f"run `dvc repro score@{folder.name}`"
        try:
            found = read_json(folder / INDEX_FILE)
            known = isinstance(found, dict) and found.get("schema") == SCHEMA
            value = unsealed(found) if known else {}
        except (OSError, ValueError) as error:
            raise InputError(f"there are no results in {folder}: {INDEX_FILE}: {error}", remedy=remedy) from None
        if not known:
            raise InputError(f"the results in {folder} were written by another version", remedy=remedy)
        if value["dataset"] != folder.name:
            raise InputError(f"the results in {folder} are those of {value['dataset']}", remedy=remedy)
        del value["schema"]
        return cls(**value | {"cells": tuple(value["cells"]), "weights_missing": tuple(value["weights_missing"])})

    def results(
        self, folder: Path, *, category: str | None = None, variant: str | None = None, store: Path | None = None
    ) -> Iterator[tuple[Mapping[str, object], RawResult]]:
        """Each cell with its raw result, of one category or variant or of all.

        Args:
            store: the cell store, out of which a result is copied again that is not as it was written.

        Raises:
            InputError: a result is missing, damaged, or not the one that was indexed.
        """
        for cell in self.cells:
            if category not in (None, cell["category"]) or variant not in (None, cell["variant"]):
                continue
            path, problem = folder / cell["file"], ""
            try:
                result = RawResult.read(path)
                if result.stamp.get("key") != cell["key"]:
                    problem = f"the result {path} is not the one in the index"
            except InputError as error:
                problem = error.problem
            if problem:
                kept = store and store / f"{cell['key']}.safetensors"
                if kept is None or RawResult.damage(kept, cell["key"]):
                    raise InputError(problem, remedy=f"run `dvc repro -f score@{folder.name}`")
                print(f"{problem}; it is copied again out of {store}", file=sys.stderr)
                with atomic_path(path) as temporary:
                    shutil.copyfile(kept, temporary)
                result = RawResult.read(path)
            yield cell, result


def read_timings(path: Path, index: ScoreIndex) -> dict[str, dict[str, object]]:
    """How long each raw result took, by its file; what is damaged, or of another result, is left out with a word.

    Args:
        path: of the file that `collect` wrote; without it there are no times.
        index: of the results.
    """
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except (OSError, ValueError):
        value = None
    found, keys = {}, {cell["file"]: cell["key"] for cell in index.cells}
    for file, entry in value.items() if isinstance(value, dict) else ():
        with suppress(ValueError):
            timing = unsealed(entry)
            if timing["key"] == keys.get(file):
                found[file] = timing
    if not isinstance(value, dict) or len(found) < len(value):
        remedy = f"`dvc repro -f score@{index.dataset}` writes them again"
        print(f"times in {path} are damaged or of other results, and left out; {remedy}", file=sys.stderr)
    return found


def key_of(stamp: Mapping[str, object]) -> str:
    """The hash of all that determines a result, computed from its stamp."""
    return sha256_json({name: value for name, value in stamp.items() if name not in MEASURED})


def _content_sha256(stamp: Mapping[str, object], arrays: Mapping[str, NDArray]) -> str:
    """What a damaged file is told by."""
    digest = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()

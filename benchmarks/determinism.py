"""What threads, batch sizes, processes and processors change in raw results: `python -m benchmarks.determinism`.

A small dataset is drawn and computed from nothing under each setting, and compared with one thread, one process and
batches of 16 images. Exit code 1 where a byte differs; where the processor does with fewer instructions, as an older
one would, if a score moves by more than `LIMIT`, or a pick or a ranking changes.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.common.files import sha256_file
from patchcore_suite.record.records import SCORES_WITHIN as LIMIT
from patchcore_suite.record.records import relative_change
from patchcore_suite.run import prepare
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.score import score_dataset
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project, ProjectDataset

NAME, SIDE = "drawn", 256
TRAIN, TEST = 16, 8  # images; of the test images half have a defect
VARIANTS: dict[str, dict[str, object]] = {
    "greedy-10": {"coreset_fraction": 0.1},
    "greedy-1": {"coreset_fraction": 0.01},
    "random-10": {"coreset_fraction": 0.1, "sampler": "random"},
    "all": {"coreset_fraction": 1},
    "padim": {"method": "padim", "dimensions": 40},
    "spade": {"method": "spade", "hierarchies": [2, 3]},
}
BACKBONE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Setting:
    """How a run computes: threads in all, images a batch, processes at once (0: in the one process), instructions."""

    threads: int
    batch_size: int
    processes: int
    older: bool = False  # processor, or so libraries are told

    def __str__(self) -> str:
        engine = f"{self.processes} processes" if self.processes else "one process"
        processor = ", as on an older processor" if self.older else ""
        return f"{engine}, {self.threads} threads, batches of {self.batch_size}{processor}"


BASIS = Setting(1, 16, 0)
SETTINGS = (
    BASIS,
    Setting(2, 16, 0),
    Setting(4, 16, 0),
    Setting(1, 4, 0),
    Setting(1, 5, 0),
    Setting(2, 16, 2),
    Setting(4, 5, 2),
    Setting(4, 16, 4),  # more processes than groups of cells
    Setting(2, 16, 2, older=True),
)
# What libraries read when they are loaded, as spawned processes do: no AVX. With AVX2 alone bytes may stay.
OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}


@dataclass(frozen=True)
class Moved:
    """What another setting changes in all raw results.

    Attributes:
        files, equal: how many there are, and how many have the same bytes.
        scores, distances: largest change of an image's and of a patch's score, relative to its size.
        picks, rankings, neighbours: how many results have other picks, another order of images, or rest on other rows
            of the memory bank.
    """

    files: int
    equal: int
    scores: float
    distances: float
    picks: int
    rankings: int
    neighbours: int

    def kept(self, setting: Setting) -> bool:
        """Whether all is as it is promised under a setting."""
        if not setting.older:
            return self.equal == self.files
        return self.scores <= LIMIT and not self.picks and not self.rankings


def compare(basis: Mapping[str, Path], other: Mapping[str, Path]) -> Moved:
    """Compare raw results, by their keys."""
    pairs = [(RawResult.read(path), RawResult.read(other[key])) for key, path in basis.items()]
    return Moved(
        files=len(basis),
        equal=sum(sha256_file(path) == sha256_file(other[key]) for key, path in basis.items()),
        scores=max(_change(a.scores, b.scores) for a, b in pairs),
        distances=max(_change(a.distances, b.distances) for a, b in pairs),
        picks=sum(not _same(a.coreset_indices, b.coreset_indices) for a, b in pairs),
        rankings=sum(not np.array_equal(np.argsort(a.scores), np.argsort(b.scores)) for a, b in pairs),
        neighbours=sum(not _same(a.indices, b.indices) for a, b in pairs),
    )


def _change(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> float:
    """Largest change of a value, relative to the larger of the two."""
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    return relative_change(a, b)


def _same(a: NDArray[np.int32] | None, b: NDArray[np.int32] | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)


def draw(root: Path) -> None:
    """Draw a category in MVTec AD's layout: clouds, some with a bright patch."""
    rng = np.random.default_rng(0)
    for folder, count in (("train/good", TRAIN), ("test/good", TEST // 2), ("test/spot", TEST - TEST // 2)):
        (root / "clouds" / folder).mkdir(parents=True)
        for number in range(count):
            cloud = gaussian_filter(rng.normal(size=(SIDE, SIDE, 3)), (3, 3, 0))
            if folder == "test/spot":
                row, column = rng.integers(20, SIDE - 50, 2)
                cloud[row : row + 25, column : column + 25] += 0.3
            values = (128 + 400 * cloud).clip(0, 255).astype(np.uint8)
            Image.fromarray(values).save(root / "clouds" / folder / f"{number}.png")


def compute(root: Path, setting: Setting) -> dict[str, Path]:
    """Compute all raw results from nothing; their files by key."""
    torch.set_num_threads(setting.threads)
    faiss.omp_set_num_threads(setting.threads)
    dataset = _dataset(root, setting)
    if not dataset.manifest_file.exists():
        prepare.prepare(NAME, dataset.spec, root / "data")
    with _surroundings(OLDER if setting.older else {}):
        work = score_dataset(dataset, show_progress=False)
    return {cell.key: work.path(cell) for cell in work.cells}


@contextmanager
def _surroundings(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment, for the processes that start meanwhile."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _dataset(root: Path, setting: Setting) -> ProjectDataset:
    toy = {"layout": "mvtec", "paper": None, "source": str(root / "images"), "resize": SIDE, "crop": None}
    values = {
        "datasets": {NAME: toy | {"variants": list(VARIANTS), "seeds": [0]}},
        "defaults": {method: {"backbone": BACKBONE} for method in ("patchcore", "padim", "spade")},
        "variants": VARIANTS,
        "execution": {
            "engine": "processes" if setting.processes else "local",
            "processes": setting.processes or None,
            "batch_size": setting.batch_size,
            "cache_dir": f".cache/{str(setting).replace(' ', '-')}",
        },
    }
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return Project(load_params(root / "params.yaml")).dataset(NAME)


def main() -> None:
    """Measure, print a line a setting, and say whether all is as promised."""
    kept = True
    with tempfile.TemporaryDirectory(prefix="patchcore-determinism-") as folder:
        root = Path(folder)
        draw(root / "images")
        basis = compute(root, BASIS)
        print(f"beside {BASIS}: {len(basis)} raw results of {len(VARIANTS)} variants")
        for setting in SETTINGS[1:]:
            moved = compare(basis, compute(root, setting))
            kept &= moved.kept(setting)
            print(
                f"{setting}: {moved.equal} of {moved.files} files have the same bytes; scores move by at most "
                f"{moved.scores:.1e}, patch distances by {moved.distances:.1e}; other picks in {moved.picks}, other "
                f"rankings in {moved.rankings}, other nearest rows in {moved.neighbours}"
            )
    print(
        f"promised: equal bytes on one processor; on another scores within {LIMIT:.1e}, the same picks and rankings: "
        f"{'kept' if kept else 'BROKEN'}"
    )
    sys.exit(not kept)


if __name__ == "__main__":
    with exit_on_input_error():
        main()

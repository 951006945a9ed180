"""A small fixed set of cells that any machine computes in less than a minute: drawn images, packaged weights."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.images import map_ahead
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.synthetic.mvtec import CATEGORIES, picture
from patchcore_suite.datasets.synthetic.writers import write_png
from patchcore_suite.record.records import Cell, Record
from patchcore_suite.run.environment import machine, versions
from patchcore_suite.run.evaluate import DIGITS, evaluate_dataset
from patchcore_suite.run.score import collect, score_dataset
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project, ProjectDataset

NAME = "record"
BACKBONE = "tf_efficientnet_lite0"
SEED = 0  # of the images, and of what the variants draw
DRAWN = ("board", "tile")  # a part and a material
TRAIN, GOOD, DEFECTIVE = 16, 6, 3  # images of a category; the last of each kind of defect
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "patchcore-10": {"coreset_fraction": 0.1},
    "patchcore-1": {"coreset_fraction": 0.01},
    "random-1": {"coreset_fraction": 0.01, "sampler": "random"},
    "ivf-10": {"coreset_fraction": 0.1, "search": "ivf"},
    "padim": {"method": "padim", "dimensions": 100},
    "spade": {"method": "spade", "hierarchies": [2, 3]},
}
METRICS = ("image_auroc", "pixel_auroc", "pro")


def measure(*, device: str = "cpu", show_progress: bool = True) -> Record:
    """Draw the images, compute all cells and their metrics in a folder that is gone afterwards.

    Raises:
        InputError: the packaged weights are missing, or there is no such device.
    """
    if device != "cpu" and not (device.split(":")[0] == "cuda" and torch.cuda.is_available()):
        raise InputError(f"{device} cannot be used here", remedy="leave the device out, which is the processor then")
    with tempfile.TemporaryDirectory(prefix="patchcore-record-") as folder:
        root = Path(folder)
        draw(root / "images", show_progress=show_progress)
        return compute(_dataset(root, device), show_progress=show_progress)


def draw(root: Path, *, show_progress: bool) -> None:
    """Draw the images of the set, in MVTec AD's layout."""
    named = list(_named())
    with progress_bar(len(named), "drawing", unit="image", show=show_progress) as bar:
        for _ in map_ahead(lambda name: _draw(root, *name), named, workers=2):
            bar.update(1)


def compute(dataset: ProjectDataset, *, show_progress: bool) -> Record:
    """What this machine makes of a dataset, from nothing."""
    manifest = build_manifest(dataset.name, Path(dataset.spec.source), dataset.spec)
    manifest.write(dataset.manifest_file)
    work = score_dataset(dataset, show_progress=show_progress)
    if work.weights_missing:
        raise InputError("the set cannot be computed", remedy=next(iter(work.weights_missing.values())))
    index = collect(work)
    rows = evaluate_dataset(dataset, show_progress=show_progress).metrics
    cells, weights = {}, {}
    for cell, result in index.results(dataset.scores):
        of_cell = rows[(rows["category"] == cell["category"]) & (rows["variant"] == cell["variant"])]
        values = of_cell.set_index("metric")["value"].reindex(METRICS).dropna()
        weights |= {used["backbone"]: used["sha256"] for used in result.stamp["weights"]}
        cells[f"{cell['category']}/{cell['variant']}"] = Cell(
            picks=prefixes(result.coreset_indices),
            order="" if result.coreset_indices is None else _sha256(result.coreset_indices),
            scores=tuple(float(str(score)) for score in result.scores),
            distances="" if result.distances is None else _sha256(result.distances),
            metrics={name: round(float(value), DIGITS) for name, value in values.items()},
        )
    here, used = machine(), dataset.execution.device.split(":")[0]
    return Record(
        processor=here["processor"],
        instructions=torch.backends.cpu.get_cpu_capability(),
        device=used,
        gpu=here["gpu"] if used == "cuda" else None,
        system=here["system"],
        versions=versions(),
        images={category: manifest.digest(category) for category in manifest.categories},
        weights=weights,
        cells=cells,
    )


def prefixes(picks: NDArray[np.int32] | None) -> dict[str, str]:
    """SHA-256 of the first 1, 10, 100, ... and of all picks, sorted, by their number: it shows where two runs part."""
    if picks is None:
        return {}
    counts = {10**power for power in range(len(str(len(picks))))} | {len(picks)}
    return {str(count): _sha256(np.sort(picks[:count])) for count in sorted(counts)}


def _named() -> Iterator[tuple[str, str, str, int]]:
    """Category, split, defect and number of each image."""
    for category in DRAWN:
        defects = CATEGORIES[category].defects
        yield from ((category, "train", NOMINAL, number) for number in range(TRAIN))
        yield from ((category, "test", NOMINAL, number) for number in range(GOOD))
        yield from ((category, "test", defect, number) for defect, number in product(defects, range(DEFECTIVE)))


def _draw(root: Path, category: str, split: str, defect: str, number: int) -> None:
    image, mask = picture(category, split, defect, number, seed=SEED)
    write_png(root / category / split / defect / f"{number:03d}.png", image)
    if defect != NOMINAL:
        write_png(root / category / "ground_truth" / defect / f"{number:03d}_mask.png", np.uint8(255) * mask)


def _dataset(root: Path, device: str) -> ProjectDataset:
    """The dataset in a project of its own."""
    methods = {variant.get("method", "patchcore") for variant in VARIANTS.values()}
    drawn = {"layout": "mvtec", "paper": None, "source": str(root / "images"), "resize": 256, "crop": 224}
    values = {
        "datasets": {NAME: drawn | {"variants": list(VARIANTS), "seeds": [SEED]}},
        "defaults": {method: {"backbone": BACKBONE} for method in sorted(methods)},
        "variants": {name: dict(variant) for name, variant in VARIANTS.items()},
        "execution": {"engine": "local", "device": device, "cache_dir": str(root / ".cache")},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return Project(load_params(root / "params.yaml")).dataset(NAME)


def _sha256(array: NDArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

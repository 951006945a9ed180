"""Many small images through the whole suite, and its memory beside what the preflight predicted.

    python -m benchmarks.soak [--images N] [--side L] [--folder FOLDER]

Four fifths of the images are nominal training images; of the others, half have a defect. Each stage runs in a process
of its own, whose largest resident memory is read. Exit code 1 if that is more than was predicted, or than `MOST_BYTES`.
Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.common.progress import progress_bar
from patchcore_suite.baselines.costs import FLOAT
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.preflight.requirements import check
from patchcore_suite.run.environment import peak_memory
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.run.score import collect, score_dataset
from patchcore_suite.settings.project import ProjectDataset, load_project

ROOT = Path(__file__).parents[1]
NAME, CATEGORY, VARIANT = "soak", "plate", "patchcore-1"
MOST_BYTES = 8e9
DEFECT = 4  # a defect is a square of this share of the side
STAGES: dict[str, Callable[[ProjectDataset], object]] = {
    "start": lambda _: None,
    "score": lambda dataset: collect(score_dataset(dataset)),
    "evaluate": write_metrics,
}


def draw(folder: Path, images: int, side: int) -> None:
    """Images of grain and a slope, in MVTec AD's layout."""
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 120, side)
    nominal, test = images - images // 5, images // 5
    root = folder / "images" / CATEGORY
    for part in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
        (root / part).mkdir(parents=True)
    with progress_bar(images, "images drawn", unit="image") as bar:
        for number in range(images):
            image = slope[:, None, None] * rng.uniform(0.5, 1.5, 3) + rng.normal(0, 12, (side, side, 3))
            name, split = f"{number:05}.png", "train/good" if number < nominal else "test/good"
            if number >= nominal + test // 2:
                split, width = "test/spot", side // DEFECT
                top, left = rng.integers(0, side - width, 2)
                mask = np.zeros((side, side), dtype=np.uint8)
                mask[top : top + width, left : left + width] = 255
                image[mask > 0] += 60
                Image.fromarray(mask).save(root / "ground_truth/spot" / f"{number:05}_mask.png", compress_level=1)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / split / name, compress_level=1)
            bar.update(1)


def make_project(folder: Path, images: int, side: int) -> ProjectDataset:
    """A project whose one dataset is drawn images, with its manifest."""
    draw(folder, images, side)
    settings = {"layout": "mvtec", "paper": None, "source": "images", "resize": [side, side]}
    params = {
        "datasets": {NAME: settings | {"variants": [VARIANT], "seeds": [0]}},
        "variants": {VARIANT: {"coreset_fraction": 0.01}},
        "execution": {"engine": "local"},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    dataset = load_project(folder / "params.yaml").dataset(NAME)
    build_manifest(NAME, folder / "images", dataset.spec).write(dataset.project.path(f"data/{NAME}/manifest.json"))
    return dataset


def run_stage(folder: Path, stage: str) -> dict[str, float]:
    """Run one stage in a process of its own: its seconds, and its largest resident memory in bytes."""
    command = [sys.executable, "-m", "benchmarks.soak", "--folder", str(folder), "--stage", stage]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def soak(folder: Path, images: int, side: int) -> list[str]:
    """Draw, predict, run and print; what is wrong with the memory that it took, a sentence each."""
    dataset = make_project(folder, images, side)
    (needs,) = check(dataset).needs
    found = {stage: run_stage(folder, stage) for stage in STAGES}
    peak, start = max(of["peak"] for of in found.values()), found["start"]["peak"]
    features = needs.patches.pop() * images * needs.bank[1] * FLOAT
    (timing,) = json.loads(dataset.timings.read_text()).values()
    seconds = {name.removesuffix("_s"): timing[name] for name in ("features_s", "coreset_s", "scoring_s")}
    seconds["metrics"] = found["evaluate"]["seconds"]
    lines = {
        "images": f"{needs.train:,} nominal and {needs.test:,} test images of {side} x {side}",
        "features": f"{_mebibytes(features)}, memory bank {needs.bank[0]:,} x {needs.bank[1]}",
        "seconds": ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        "memory": ", ".join(f"{stage} {_mebibytes(of['peak'])}" for stage, of in found.items()),
        "beyond the start": f"{_mebibytes(peak - start)}, {(peak - start) / features:.2f} times the features",
        "predicted": f"{_mebibytes(needs.memory)}, {needs.memory / peak:.2f} times the largest",
    }
    for name, text in lines.items():
        print(f"{name:17} {text}")
    problems = [f"more than was predicted: {_mebibytes(peak)}"] if peak > needs.memory else []
    return [*problems, *([f"more than {MOST_BYTES / 1e9:.0f} GB: {_mebibytes(peak)}"] if peak > MOST_BYTES else [])]


def _mebibytes(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"


def main() -> None:
    """Run one stage, or all in a folder that is deleted afterwards unless it was named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stage", choices=tuple(STAGES))
    given = parser.parse_args()
    if given.stage:
        started = time.perf_counter()
        STAGES[given.stage](load_project(given.folder / "params.yaml").dataset(NAME))
        print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak_memory()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        problems = soak(given.folder or Path(temporary), given.images, given.side)
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    with exit_on_input_error():
        main()

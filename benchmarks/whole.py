"""From image files to metrics, in a process of its own: `python -m benchmarks.whole FOLDER [--share S] [--size L]`.

Prints one line of JSON: seconds of each part, and the largest resident memory.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.inputs import BATCH, PREPROCESSING, WORKERS
from patchcore_core import PatchCore, PatchCoreConfig, metrics
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.environment import peak_memory


def run(folder: Path, *, share: float, size: int | None, device: str) -> dict[str, object]:
    """The default variant with 1 %, on all images or a share of them.

    Args:
        size: of the coreset, where it is to be the same whatever the share.
    """
    train, test = (list(datasets.load(folder, split=split))[:: round(1 / share)] for split in ("train", "test"))
    patches = (PREPROCESSING.resize[0] // 8) * (PREPROCESSING.resize[1] // 8) * len(train)
    fraction = 0.01 if size is None else size / patches
    seconds: dict[str, float] = {}

    @contextmanager
    def lap(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    def read(records: list[Record]) -> list:
        return Batches(records, PREPROCESSING, BATCH, workers=WORKERS)

    with lap("start"):
        model = PatchCore(PatchCoreConfig(coreset_fraction=fraction), device=device)
        _ = model.network
    with lap("fit"):
        model.fit(read(train))
    with lap("predict"):
        prediction = model.predict(read(test))
    with lap("metrics"):
        masks = np.stack([mask_array(read_mask(record), PREPROCESSING) for record in test])
        labels = np.array([record.label for record in test])
        found = metrics.pixel_metrics(masks, prediction.maps.cpu().numpy())
        found["image_auroc"] = metrics.image_auroc(labels, prediction.scores.cpu().numpy())
    return {
        "images": [len(train), len(test)],
        "bank": list(model.memory_bank.shape),
        "seconds": seconds,
        "metrics": found,
        "peak_memory_bytes": peak_memory(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1)
    parser.add_argument("--size", type=int)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print(json.dumps(run(given.folder, share=given.share, size=given.size, device=given.device)))

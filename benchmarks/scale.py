"""Cheaper selections beside the greedy coreset, each in a process of its own, in turns; a table on standard output.

    python -m benchmarks.scale --mtd FOLDER [--fraction 0.01] [--repeats 3] [--images N]

The bank is chosen after projection to 128 dimensions, and scored as the default variant does: image AUROC and PRO of
all test images. Time and memory are those of the selection alone: memory is the growth of the largest resident memory,
beside the projected features. Bytes sent are those of 8 parts on machines of their own. Linux only.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from benchmarks.inputs import PREPROCESSING, SIDE
from patchcore_core import PatchCoreConfig
from patchcore_core.cheaper_coresets import distance_sampled_coreset, merge_reduce_coreset, two_round_coreset
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.coreset import coreset_size, covering_radius, greedy_coreset, random_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.metrics import image_auroc, pro
from patchcore_core.neighbours import nearest
from patchcore_core.patchcore import PatchCore
from patchcore_core.scoring import anomaly_maps
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.results.selection_costs import rows_sent
from patchcore_suite.run.environment import machine, peak_memory

ROOT = Path(__file__).parents[1]
SAMPLERS = ("greedy", "two_round", "merge_reduce", "distance_sampling", "random")
BATCH, WORKERS = 16, 2


def described(folder: Path, split: str, images: int | None = None) -> tuple[Tensor, list]:
    """Patch features (n, h, w, d) of one split of MTD by the default variant, and its records."""
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", remedy="data/README.md says where MTD is had")
    records = list(datasets.load(folder, split=split))
    if images is not None:  # of all kinds: they lie one after the other
        records = records[:: max(1, len(records) // images)][:images]
    model = PatchCore(PatchCoreConfig())
    batches = Batches(records, PREPROCESSING, BATCH, workers=WORKERS, description=f"inputs: {split} images")
    return torch.cat([model.describe_images(batch)[0] for batch in batches]), records


def select(features: Tensor, sampler: str, size: int) -> Tensor:
    """The rows that a sampler keeps of projected features, with seed 0."""
    draw = generator(0, "first pick")
    if sampler == "two_round":
        return two_round_coreset(features, size, generator=draw)
    if sampler == "merge_reduce":
        return merge_reduce_coreset(features, size)
    if sampler == "distance_sampling":
        return distance_sampled_coreset(features, size, generator=draw)
    return {"greedy": greedy_coreset, "random": random_coreset}[sampler](features, size, generator=draw)


def measure(file: str, sampler: str, size: int) -> None:
    """In a process of its own: seconds, bytes and picks of one selection, as a line of JSON."""
    features = torch.from_numpy(np.load(file))
    select(features[:4096], sampler, 64)  # what is loaded on first use
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    picks = select(features, sampler, size)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "bytes": peak_memory() - before, "picks": picks.tolist()}))


def accuracy(test: Tensor, bank: Tensor, records: list) -> tuple[float, float]:
    """Image AUROC and PRO of a memory bank."""
    n, h, w, _ = test.shape
    distances = nearest(test.flatten(0, 2), bank)[0].view(n, h, w)
    masks = np.stack([mask_array(read_mask(record), PREPROCESSING) for record in records])
    maps = anomaly_maps(distances, (SIDE, SIDE)).numpy()
    return image_auroc([record.label for record in records], distances.amax(dim=(1, 2))), pro(masks, maps)


def arguments(about: str) -> argparse.ArgumentParser:
    """What both measurements on Magnetic Tile Defects are told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mtd", type=Path, required=True, help="folder of Magnetic Tile Defects")
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, help="of each split; for a quick look")
    return parser


def main() -> None:
    """Measure all samplers in turns, and print the table."""
    given = arguments(__doc__).parse_args()
    nominal, _ = described(given.mtd, "train", given.images)
    test, records = described(given.mtd, "test", given.images)
    rows = nominal.flatten(0, 2)
    size = coreset_size(len(rows), given.fraction)
    projected = random_projection(rows, 128, generator=generator(0, "projection"))
    found: dict[str, list[dict]] = {sampler: [] for sampler in SAMPLERS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "projected.npy")
        np.save(file, projected.numpy())
        for _ in range(given.repeats):
            for sampler in SAMPLERS:
                command = [sys.executable, "-m", "benchmarks.scale", "--one", str(file), sampler, str(size)]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                found[sampler].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{len(rows)} x {projected.shape[1]} rows, {size} kept; {machine()['processor']}, {machine()['cores']} cores")
    print("| sampler | radius | of greedy's | image AUROC | PRO | seconds | MiB | sent, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    greedy = None
    for sampler, runs in found.items():
        picks = torch.tensor(runs[0]["picks"])
        radius = covering_radius(projected, picks)
        greedy = greedy or radius
        auroc, overlap = accuracy(test, rows[picks], records)
        sent = rows_sent(PatchCoreConfig(sampler=sampler), len(rows), size) * projected.shape[1] * 4 / 2**20
        seconds, taken = (statistics.median(run[name] for run in runs) for name in ("seconds", "bytes"))
        print(
            f"| `{sampler}` | {radius:.3f} | {radius / greedy:.3f} | {auroc:.4f} | {overlap:.3f} | {seconds:.1f} | "
            f"{taken / 2**20:.0f} | {sent:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    with exit_on_input_error():
        if sys.argv[1:2] == ["--one"]:
            measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        else:
            main()

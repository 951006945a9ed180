"""Cheaper selections beside the greedy coreset, each in a process of its own, in turns; a table on standard output.

    python -m benchmarks.scale --mtd FOLDER [--fraction 0.01] [--repeats 1] [--images N] [--to FILE]

The bank is chosen after projection to 128 dimensions, and scored as the default variant does: image AUROC and PRO of
all test images. Time and memory are those of the selection alone: memory is the growth of the largest resident memory,
beside the projected features. Bytes sent are those of 8 parts on machines of their own. What two rounds leave open, how
many rows a part keeps and how rows are divided, is tried as well. Linux only. `--to` adds lines of JSON, which
`benchmarks.shards model` reads.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from benchmarks.inputs import PREPROCESSING, SIDE
from patchcore_core import PatchCoreConfig
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.progress import progress_bar
from patchcore_core.coreset import coreset_size, covering_radius, greedy_coreset, random_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.metrics import image_auroc, pro
from patchcore_core.neighbours import nearest
from patchcore_core.patchcore import PatchCore
from patchcore_core.scoring import anomaly_maps
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.plugins.cheaper_coresets import distance_sampled_coreset, merge_reduce_coreset, two_round_coreset
from patchcore_suite.results.selection_costs import rows_sent
from patchcore_suite.run.environment import machine, peak_memory

ROOT = Path(__file__).parents[1]
SAMPLERS = ("greedy", "two_round", "merge_reduce", "distance_sampling", "random")
PARTS = PatchCoreConfig().shards
OPEN = {  # what two rounds leave open: times the bank's size that a part keeps, and whether it is every 8th row
    "two_round, 2 times kept": (2, True),
    "two_round, consecutive rows": (1, False),
    "two_round, both": (2, False),
}
MEASURED = ("seconds", "core_seconds", "bytes")
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
    if sampler in OPEN:
        return two_rounds(features, size, draw, *OPEN[sampler])
    if sampler == "two_round":
        return two_round_coreset(features, size, generator=draw)
    if sampler == "merge_reduce":
        return merge_reduce_coreset(features, size)
    if sampler == "distance_sampling":
        return distance_sampled_coreset(features, size, generator=draw)
    return {"greedy": greedy_coreset, "random": random_coreset}[sampler](features, size, generator=draw)


def two_rounds(features: Tensor, size: int, draw: torch.Generator, kept: int, scattered: bool) -> Tensor:
    """As `two_round_coreset`, but a part keeps `kept` times as many rows, and may have consecutive rows."""
    n, rows = len(features), torch.arange(len(features))
    parts = [
        rows[part::PARTS] if scattered else rows[n * part // PARTS : n * (part + 1) // PARTS] for part in range(PARTS)
    ]
    found = [part[greedy_coreset(features[part], min(kept * size, len(part)), generator=draw)] for part in parts]
    union = torch.cat(found).sort().values
    return union[greedy_coreset(features[union], size, start=int((union == found[0][0]).nonzero()))]


def measure(file: str, sampler: str, size: int) -> None:
    """In a process of its own: seconds, those of cores, bytes and picks of one selection, as a line of JSON."""
    features = torch.from_numpy(np.load(file))
    select(features[:4096], sampler, 64)  # what is loaded on first use
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = psutil.Process().memory_info().rss
    started, worked = time.perf_counter(), time.process_time()
    picks = select(features, sampler, size)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    taken = peak_memory() - before
    print(json.dumps({"seconds": seconds, "core_seconds": worked, "bytes": taken, "picks": picks.tolist()}))


def measured(projected: Tensor, size: int, repeats: int) -> Iterator[tuple[str, dict]]:
    """What `measure` finds of each way, medians of so many turns; each as soon as it is known."""
    found: dict[str, list[dict]] = {way: [] for way in (*SAMPLERS, *OPEN)}
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar(repeats * len(found), "selections", unit="selection") as bar,
    ):
        file = Path(folder, "projected.npy")
        np.save(file, projected.numpy())
        for _ in range(repeats):
            for way, runs in found.items():
                bar.set_postfix_str(way)
                command = [sys.executable, "-m", "benchmarks.scale", "--one", str(file), way, str(size)]
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
                bar.update(1)
                if len(runs) == repeats:
                    numbers = {name: statistics.median(run[name] for run in runs) for name in MEASURED}
                    yield way, numbers | {"picks": runs[0]["picks"]}


def sent_rows(way: str, n: int, size: int) -> int:
    """Rows that travel if each part lies on a machine of its own."""
    kept, _ = OPEN.get(way, (1, False))
    return rows_sent(PatchCoreConfig(sampler=way.partition(",")[0]), n, kept * size)


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
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--images", type=int, help="of each split; for a quick look")
    return parser


def main() -> None:
    """Measure all samplers in turns, and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--to", type=Path, help="lines of JSON are added to this file")
    given = parser.parse_args()
    nominal, _ = described(given.mtd, "train", given.images)
    test, records = described(given.mtd, "test", given.images)
    rows = nominal.flatten(0, 2)
    size = coreset_size(len(rows), given.fraction)
    projected = random_projection(rows, 128, generator=generator(0, "projection"))
    print(f"{len(rows)} x {projected.shape[1]} rows, {size} kept; {machine()['processor']}, {machine()['cores']} cores")
    print("| sampler | radius | of greedy's | image AUROC | PRO | seconds | of cores | MiB | sent, MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    greedy = None
    for way, run in measured(projected, size, given.repeats):
        picks = torch.tensor(run["picks"])
        radius = covering_radius(projected, picks)
        greedy = greedy or radius
        auroc, overlap = accuracy(test, rows[picks], records)
        sent = sent_rows(way, len(rows), size) * projected.shape[1] * 4 / 2**20
        print(
            f"| {way} | {radius:.3f} | {radius / greedy:.3f} | {auroc:.4f} | {overlap:.3f} | {run['seconds']:.1f} | "
            f"{run['core_seconds']:.1f} | {run['bytes'] / 2**20:.0f} | {sent:.1f} |",
            flush=True,
        )
        if given.to is not None:
            line = {"sampler": way, "rows": len(rows), "picks": size, "core_seconds": run["core_seconds"]}
            with given.to.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    with exit_on_input_error():
        if sys.argv[1:2] == ["--one"]:
            measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        else:
            main()

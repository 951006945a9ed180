"""Greedy selection over shards: the picks of one machine, in less memory, and what more rows would take.

    python -m benchmarks.shards picks (--mtd FOLDER | --features FILE)
    python -m benchmarks.shards times (--mtd FOLDER | --features FILE) [--repeats 3]
    python -m benchmarks.shards search (--mtd FOLDER | --features FILE)
    python -m benchmarks.shards memory FOLDER --rows N [--fraction 0.001] [--memory-gb 4] [--to FILE]
    python -m benchmarks.shards model FILE [--rows 1e9 ...] [--price 0.05]

`picks` compares 1 % and the first 2,000 picks of 10 % of Magnetic Tile Defects with those of one process, for 1, 2, 3
and 8 shards; `times` sets two processes of one thread beside one process of two. `search` looks for the neighbours of
every 50th row among a tenth of the others, in parts and by lists on disk. `memory` draws N rows that vary as patch
features do, writes them to the folder, selects under a budget, and deletes them. `model` fits what `memory`
measured, and carries it on; with lines of `benchmarks.scale --to` in the same file, also from where cheaper selections
pay.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.clock import interleaved, once
from benchmarks.cost_model import Assumed, fitted, paying, told
from benchmarks.inputs import make_inputs
from benchmarks.watched import Watched
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.progress import progress_bar
from patchcore_core.coreset import coreset_size, greedy_coreset
from patchcore_core.neighbours import nearest
from patchcore_suite.plugins.searches import recall
from patchcore_suite.shards.carrier import Here, ask
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.greedy import Selection, greedy_over_shards
from patchcore_suite.shards.local import processes
from patchcore_suite.shards.room import writing_rows
from patchcore_suite.shards.search import DiskIndex, nearest_in_parts
from patchcore_suite.shards.shard import Shard

SHARDS = (1, 2, 3, 8)
FIRST_PICKS = 2000  # of 10 %
QUERIED = 50, 10  # every so manieth row is looked for, and is in the bank
DIMENSIONS, LEADING, COMPONENTS = 128, 16, 2000  # of drawn rows; directions in which they vary most; heaps
SAVED = 1, 24  # hours of a core, from which on a cheaper selection may be worth it
DRAWN_AT_ONCE = 2**17
BASE_BYTES = 0.45 * 2**30  # of a process: interpreter, libraries, one block of products


def compare(file: RowFile) -> Iterator[str]:
    """Lines of a table: picks and bytes for each number of shards, beside one process."""
    features = FileRows(file)[:]
    yield "| picks | shards | equal | rounds | KiB a shard a round, to and fro |"
    yield "|---|---|---|---|---|"
    for size in (coreset_size(file.count, 0.01), min(FIRST_PICKS, file.count)):
        expected = greedy_coreset(features, size, start=0)
        for shards in SHARDS:
            found = _in_this_process(file, shards, size)
            same = int((found.picks == expected).sum())
            sent, received = (of / shards / found.rounds / 1024 for of in (found.sent, found.received))
            yield f"| {size} | {shards} | {same} of {size} | {found.rounds} | {sent:.0f} + {received:.0f} |"


def timed(file: RowFile, *, repeats: int) -> Iterator[str]:
    """How long one process takes for 1 %, and two, each with half of its threads; in turns.

    On a machine that other programs use, processes wait for a core, and for each other at each round: the seconds of
    processors say what is left of that when it is idle.
    """
    features, size, threads = FileRows(file)[:], coreset_size(file.count, 0.01), torch.get_num_threads()
    each, worked = max(1, threads // 2), dict[str, list[list[float]]](one=[], two=[])
    with processes(file.divided(2), threads=each) as carrier:
        ask(carrier, "sample", len(features))  # they are there

        def counted(case: str, select: Callable[[], object]) -> None:
            with Watched(carrier.pids) as watched:
                select()
                worked[case].append(watched.core_seconds_each())

        cases = {
            "one": lambda: counted("one", lambda: greedy_coreset(features, size, start=0)),
            "two": lambda: counted("two", lambda: greedy_over_shards(carrier, size, start=0)),
        }
        seconds = interleaved(cases, repeats)
    one, two = seconds["one"], seconds["two"]
    alone = statistics.median(sum(times) for times in worked["one"])
    together = statistics.median(sum(times) for times in worked["two"])
    longest = statistics.median(driver + max(shards) for *shards, driver in worked["two"])
    yield f"{size} picks of {len(features)} rows, medians of {repeats} in turns:"
    yield f"one process of {threads} threads {one:.1f} s, two of {each} {two:.1f} s: **{two / one:.2f}** times."
    yield f"Seconds of cores: {alone:.1f} and {together:.1f}, {together / alone:.2f} times."
    share = threads * longest / alone
    yield f"Driver and slower shard, one after the other: {longest:.1f}, {share:.2f} times an even share."


def searched(file: RowFile) -> Iterator[str]:
    """Lines of a table: an exact search of parts, and product-quantised rows with lists on disk, by cells visited."""
    rows = FileRows(file)[:]
    queries, bank = rows[:: QUERIED[0]], rows[1 :: QUERIED[1]].contiguous()
    yield f"{len(queries)} queries, bank of {len(bank)} x {bank.shape[1]}"
    yield "| search | seconds | recall of the nearest |"
    yield "|---|---|---|"
    with (
        tempfile.TemporaryDirectory() as folder,
        writing_rows(Path(folder), len(bank), bank.shape[1], file.kind) as target,
    ):
        target.path.write_bytes(bank.numpy().tobytes())
        exact = nearest(queries, bank)[1]
        ways = {f"{parts} parts": partial(nearest_in_parts, queries, target.divided(parts)) for parts in (1, 4)}
        for cells in (16, 64):
            index = DiskIndex(target, Path(folder) / f"lists-{cells}", probes=cells)
            ways[f"IVF-PQ on disk, {cells} cells"] = partial(index.nearest, queries)
        for name, way in ways.items():
            started = time.perf_counter()
            rows = way()[1]
            yield f"| {name} | {time.perf_counter() - started:.1f} | {recall(rows, exact):.4f} |"


def _in_this_process(file: RowFile, shards: int, size: int) -> Selection:
    return greedy_over_shards(Here([Shard(FileRows(of), of.first) for of in file.divided(shards)]), size, start=0)


def draw(target: RowFile) -> None:
    """Write rows that vary in few directions most, around many centres: a low-rank mixture of Gaussians."""
    made = torch.Generator().manual_seed(0)
    spread = torch.full((DIMENSIONS,), 0.02)
    spread[:LEADING] = torch.linspace(0, -1.5, LEADING).exp()
    turned, _ = torch.linalg.qr(torch.randn(DIMENSIONS, DIMENSIONS, generator=made))
    centres = torch.randn(COMPONENTS, DIMENSIONS, generator=made) * spread
    with target.path.open("r+b") as file, progress_bar(target.count, "rows", unit="row") as bar:
        for start in range(0, target.count, DRAWN_AT_ONCE):
            count = min(DRAWN_AT_ONCE, target.count - start)
            of = torch.randint(COMPONENTS, (count,), generator=made)
            rows = (centres[of] + 0.5 * spread * torch.randn(count, DIMENSIONS, generator=made)) @ turned
            file.write(rows.numpy().astype("<f4").tobytes())
            bar.update(count)


@contextmanager
def _drawn(folder: Path, count: int, *, keep: bool) -> Iterator[RowFile]:
    """A file of drawn rows; one that an earlier run kept is taken as it is."""
    kept = folder / f"rows-{count}.f32"
    if kept.is_file() and kept.stat().st_size == 4 * count * DIMENSIONS:
        yield RowFile(kept, count, DIMENSIONS)
        return
    with writing_rows(folder, count, DIMENSIONS, "float32") as file:
        draw(file)
        if keep:
            kept.hardlink_to(file.path)
        yield file


def select_under(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    """Draw rows, select among them under a budget, and say what that took."""
    n, size = int(given.rows), coreset_size(int(given.rows), given.fraction)
    budget = given.memory_gb * 2**30
    room = budget / given.shards - BASE_BYTES * (1 + 1 / given.shards)
    if room <= 0:
        least = BASE_BYTES * (given.shards + 1) / 2**30
        raise InputError(f"--memory-gb {given.memory_gb:g} is below {least:.1f}", remedy="give more, or fewer shards")
    found: list[Selection] = []
    with (
        _drawn(folder, n, keep=given.keep) as file,
        processes(file.divided(given.shards), memory=room) as carrier,
        Watched(carrier.pids) as watched,
    ):
        seconds = once(lambda: found.append(greedy_over_shards(carrier, size, start=0, progress=True)))
        peak = watched.peak()
        disk, worked = watched.read_bytes(), watched.core_seconds()
    (one,) = found
    return {
        "rows": n,
        "dimensions": DIMENSIONS,
        "picks": size,
        "shards": given.shards,
        "budget_gb": given.memory_gb,
        "seconds": round(seconds, 1),
        "core_seconds": round(worked, 1),
        "rounds": one.rounds,
        "sent_bytes": one.sent,
        "received_bytes": one.received,
        "peak_bytes": peak,
        "disk_read_bytes": disk,
        "file_bytes": 4 * n * DIMENSIONS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    helps = {"picks": "the same picks as one process", "times": "two processes beside one", "search": "a bank on disk"}
    for name, what in helps.items():
        part = parts.add_parser(name, help=what)
        source = part.add_mutually_exclusive_group(required=True)
        source.add_argument("--mtd", type=Path, help="folder of Magnetic Tile Defects")
        source.add_argument("--features", type=Path, help="rows (n, d) that np.save wrote")
        part.add_argument("--repeats", type=int, default=3, help="of what is timed")
    memory = parts.add_parser("memory", help="a selection under a budget")
    memory.add_argument("folder", type=Path)
    memory.add_argument("--rows", type=float, default=1e6)
    memory.add_argument("--fraction", type=float, default=0.001)
    memory.add_argument("--memory-gb", type=float, default=4)
    memory.add_argument("--shards", type=int, default=2)
    memory.add_argument("--keep", action="store_true", help="the rows, for another run")
    memory.add_argument("--to", type=Path, help="a line of JSON is added to this file")
    model = parts.add_parser("model", help="carry measured sizes on")
    model.add_argument("measured", type=Path)
    model.add_argument("--rows", type=float, nargs="+", default=[1e7, 1e8, 1e9])
    model.add_argument("--fraction", type=float, default=0.001)
    model.add_argument("--price", type=float, default=0.05, help="of a core for an hour")
    given = parser.parse_args()
    if given.part in ("picks", "times", "search"):
        file = RowFile.of_array(given.features or _described(given.mtd))
        act = {"picks": compare, "times": partial(timed, repeats=given.repeats), "search": searched}[given.part]
        for line in act(file):
            print(line, flush=True)
    elif given.part == "memory":
        line = json.dumps(select_under(given.folder, given))
        print(line)
        if given.to is not None:
            with given.to.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    else:
        lines = [json.loads(line) for line in given.measured.read_text(encoding="utf-8").splitlines()]
        cheaper = [line for line in lines if "sampler" in line]
        model = fitted([line for line in lines if "sampler" not in line])
        print("\n".join(told(model, given.rows, given.fraction, Assumed(price=given.price))))
        if cheaper:
            print("", *paying(model, cheaper, given.fraction, SAVED), sep="\n")


def _described(mtd: Path) -> Path:
    """Projected features of MTD, as a file beside the reports' cache."""
    target = Path(__file__).parents[1] / ".cache" / "benchmarks" / "mtd_projected.npy"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, make_inputs(mtd, share=1, device="cpu").projected.numpy())
    return target


if __name__ == "__main__":
    with exit_on_input_error():
        sys.exit(main())

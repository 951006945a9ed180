"""How much longer selection, search and pixel metrics take beside programs that keep two cores busy."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.clock import Row, Table, once
from benchmarks.inputs import Inputs
from patchcore_core import metrics
from patchcore_core.coreset import greedy_coreset
from patchcore_core.neighbours import Index
from patchcore_suite.metrics.overlap import pro_per_image

PROCESSES = 2
ROWS, PICKS, QUERIES = 200_000, 2000, 100_000
# Ends by itself, too, once who started it is gone: whatever kills the benchmark, no load stays behind.
LOAD = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"


@contextmanager
def load(processes: int = PROCESSES) -> Iterator[list[subprocess.Popen]]:
    """Programs that do nothing but compute, for as long as the `with` lasts, however it ends."""
    running: list[subprocess.Popen] = []
    try:
        running += [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(processes)]
        yield running
    finally:
        for one in running:
            one.kill()
        for one in running:
            one.wait()


def busy(inputs: Inputs, *, repeats: int) -> Table:
    """Each case alone and beside the load, in turns."""
    rows, queries, index = inputs.projected[:ROWS], inputs.test[:QUERIES], Index(inputs.bank)
    picks = min(PICKS, len(rows))
    cases = {
        f"greedy_coreset, {picks} of {len(rows)} x {rows.shape[1]}": lambda: greedy_coreset(rows, picks, start=0),
        f"Index.nearest, {len(queries)} queries": lambda: index.nearest(queries),
        "pixel AUROC and PRO": lambda: metrics.pixel_metrics(inputs.masks, inputs.maps),
        "PRO per image": lambda: pro_per_image(inputs.masks, inputs.maps),
    }
    alone: dict[str, list[float]] = {name: [] for name in cases}
    beside: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, act in cases.items():
            alone[name].append(once(act))
        with load():
            for name, act in cases.items():
                beside[name].append(once(act))
    found, findings = [], []
    for name in cases:
        usual, slow = statistics.median(alone[name]), statistics.median(beside[name])
        found += [Row(f"{name}, alone", usual), Row(f"{name}, beside the load", slow)]
        findings.append(f"{name}: **{slow / usual:.1f}** times as long.")
    text = f"Beside {PROCESSES} programs that compute all the time; of two cores, half is then a fair share."
    return Table("On a busy machine", text, found, findings)

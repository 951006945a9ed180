"""Other libraries' farthest-point selections beside ours, on the same rows from the same start."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.busy import PICKS, ROWS
from benchmarks.clock import Row, Table, once
from benchmarks.inputs import Inputs
from patchcore_core.coreset import greedy_coreset

WORKER = Path(__file__).with_name("other_selections_worker.py")
LIMITS = {
    "k-center": "copies the features in double precision, and begins with row 0 or a random one",
    "scikit-matter FPS": "passes over all rows for each pick",
    "scikit-matter VoronoiFPS": "leaves out rows that the triangle inequality keeps away, few in many dimensions",
    "torch-quickfps": "leaves out buckets of a k-d tree, few in many dimensions",
}


def other_selections(inputs: Inputs, python: Path, *, picks: int = PICKS) -> Table:
    """Time each selection once; the worker says which library is not there.

    Args:
        python: the interpreter of the peers' environment.
    """
    x = inputs.projected[:ROWS]
    ours: list[int] = []
    seconds = once(lambda: ours.extend(greedy_coreset(x, picks, start=0).tolist()))
    rows, findings = [Row("greedy_coreset", seconds, f"{picks} picks")], []
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "features.npy"), x.cpu().numpy())
        command = [python, WORKER, Path(folder, "features.npy"), str(picks)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    for answer in map(json.loads, run.stdout.splitlines()):
        name = answer["name"]
        if "problem" in answer:
            findings.append(f"{name}: not timed. {answer['problem']}")
            continue
        same = next((i for i, (a, b) in enumerate(zip(ours, answer["picks"], strict=False)) if a != b), picks)
        rows.append(Row(name, answer["seconds"], f"the first {same} of {picks} picks are ours"))
        limits = next((text for start, text in LIMITS.items() if name.rsplit(" ", 1)[0] == start), "")
        findings.append(
            f"{name}: **{answer['seconds'] / seconds:.0f}** times ours; {limits}; "
            f"{answer['grown_bytes'] / 2**20:.0f} MiB beside the features' {x.nbytes / 2**20:.0f} MiB."
        )
    if run.returncode:
        findings.append(f"The peers' process ended early, with code {run.returncode}.")
    return Table(f"Other selections, {picks} of {len(x)} x {x.shape[1]}", "Once each, from row 0.", rows, findings)

"""Runs in an environment that has anomalib: questions on standard input, answers on standard output, a line each."""

import contextlib
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from anomalib.metrics.aupro import _AUPRO
from anomalib.metrics.pimo.functional import aupimo_scores
from anomalib.models.components import KCenterGreedy

folder = Path(sys.argv[1])
nominal = torch.from_numpy(np.load(folder / "nominal.npy"))
masks = torch.from_numpy(np.load(folder / "masks.npy")).int()
maps = torch.from_numpy(np.load(folder / "maps.npy"))


def resident(kind: str) -> int:
    """Bytes that are resident now, "VmRSS", or were at most since the mark was reset, "VmHWM"."""
    return 1024 * int(re.search(rf"{kind}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def coreset(picks: int) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = resident("VmRSS")
    sampler = KCenterGreedy(embedding=nominal, sampling_ratio=(picks + 0.5) / len(nominal))
    chosen = len(sampler.select_coreset_idxs())
    return {"picks": chosen, "grown_bytes": resident("VmHWM") - before}


def aupro() -> dict[str, object]:
    metric = _AUPRO()
    metric.update(maps, masks)
    return {"value": float(metric.compute())}


def aupimo(thresholds: int) -> dict[str, object]:
    return {"values": aupimo_scores(maps, masks, num_thresholds=thresholds, force=True)[4].tolist()}


tasks = {
    "version": lambda: {"version": version("anomalib")},
    "coreset": coreset,
    "aupro": aupro,
    "aupimo": aupimo,
}
for line in sys.stdin:
    asked = json.loads(line)
    with contextlib.redirect_stdout(sys.stderr):  # progress bars and messages are no answers
        answer = tasks[asked.pop("task")](**asked)
    print(json.dumps(answer), flush=True)

"""Pixel metrics: against a peer, and against the definition."""

import os

import numpy as np

from benchmarks.clock import Row, Table, interleaved
from benchmarks.inputs import Inputs
from benchmarks.peers import Peer
from benchmarks.reference import pro_by_loops
from patchcore_core import metrics
from patchcore_suite.metrics.overlap import pro_per_image

SMALL = 8  # images, at every fourth pixel, on which the definition can be computed


def pixels(inputs: Inputs, *, repeats: int, peer: Peer | None) -> Table:
    """Pixel AUROC and PRO of all test maps."""
    masks, maps = inputs.masks, inputs.maps
    cases = {
        "ours": lambda: metrics.pixel_metrics(masks, maps),
        "per image": lambda: pro_per_image(masks, maps),
        "sort": lambda: np.sort(maps, axis=None),
    }
    if peer is not None:
        cases["peer"] = lambda: peer.ask("aupro")
    seconds = interleaved(cases, repeats)
    rows = [
        Row("pixel AUROC and PRO, labelling included", seconds["ours"], f"{maps.shape} maps", 0, maps.nbytes),
        Row("PRO per image", seconds["per image"], "", 0, maps.nbytes),
        Row("one sort of all pixels", seconds["sort"], "", 0, maps.nbytes),
    ]
    chosen = np.flatnonzero(masks.any(axis=(1, 2)))[:SMALL]
    small, values = masks[chosen, ::4, ::4], maps[chosen, ::4, ::4]
    error = abs(metrics.pro(small, values) - pro_by_loops(small, values, 0.3))
    findings = [f"PRO differs from the plain loop by {error:.1e}."]
    if left_out := os.environ.get("NPY_DISABLE_CPU_FEATURES"):
        findings.append(f"NumPy ran without {left_out}: `make` leaves it out where NumPy sorts slower with it.")
    if peer is not None:
        rows.append(Row(f"{peer.name}, AUPRO", seconds["peer"]))
        findings.append(f"**{seconds['peer'] / seconds['ours']:.1f}** times as fast as {peer.name}'s AUPRO alone.")
        theirs = peer.ask("aupro")["value"]
        findings.append(f"PRO up to a false-positive rate of 0.3: {metrics.pro(masks, maps):.4f}; theirs {theirs:.4f}.")
    return Table("Pixel metrics", "", rows, findings)

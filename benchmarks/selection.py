"""The greedy coreset: against its matrix products, against one pick at a time, and how it grows."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.clock import Row, Table, exponent, interleaved, once, product
from benchmarks.inputs import Inputs
from benchmarks.peers import Peer
from benchmarks.reference import sequential_picks
from patchcore_core.coreset import coreset_size, covering_radius, greedy_coreset, random_projection
from patchcore_core.detector import generator
from patchcore_core.fast.products import bfloat16_pays

LOOP_PICKS = 20  # of a loop whose time for a pick is measured
FRACTIONS = (0.01, 0.1)
AT_ONCE = 1024  # picks of the product that is timed
MEASURED_PICKS = 2560  # of the selection whose memory is measured


def selection(inputs: Inputs, *, repeats: int, same_picks: int, peer: Peer | None, device: str) -> list[Table]:
    """Greedy selection of 1 and 10 %.

    Args:
        same_picks: how many picks are compared with the sequential loop's.
    """
    x = inputs.projected
    n, d = x.shape
    centres = x[:AT_ONCE].contiguous()
    fast = "bfloat16" if bfloat16_pays(x.device) else "float32"
    screening = "not screened on a GPU" if x.is_cuda else f"screened in {fast}"
    tables = []
    for fraction in FRACTIONS:
        size = coreset_size(n, fraction)
        cases = {
            "ours": lambda size=size: greedy_coreset(x, size, start=0),
            "product": lambda: product(x, centres),
            "loop": lambda: sequential_picks(x, LOOP_PICKS, 0),
        }
        if peer is not None:
            cases["peer"] = lambda: peer.ask("coreset", picks=LOOP_PICKS)
        seconds = interleaved(cases, repeats if fraction == FRACTIONS[0] else 1 + repeats // 3, device=device)
        products = seconds["product"] * size / AT_ONCE
        rows = [
            Row("greedy_coreset", seconds["ours"], f"{size} picks", 2 * n * size * d),
            Row("matrix products alone", products, "float32, from a product of 1024 picks", 2 * n * size * d),
            Row("sequential loop", seconds["loop"] / LOOP_PICKS * size, f"from {LOOP_PICKS} picks"),
        ]
        findings = [
            f"{100 * fraction:g} %: **{seconds['ours'] / products:.2f}** times its products; "
            f"**{rows[2].seconds / seconds['ours']:.0f}** times as fast a pick as the sequential loop.",
            f"Rows are {screening}.",
        ]
        if peer is not None:
            few = once(lambda: peer.ask("coreset", picks=2))
            a_pick = (seconds["peer"] - few) / (LOOP_PICKS - 2)
            rows.append(Row(f"{peer.name}, KCenterGreedy", a_pick * size, "from 18 picks, its projection left out"))
            findings.append(f"**{a_pick * size / seconds['ours']:.0f}** times as fast a pick as {peer.name}.")
        tables.append(Table(f"Coreset, {100 * fraction:g} % of {n} x {d}", "", rows, findings))
    tables.append(_equality(inputs, same_picks))
    tables.append(_memory(x, peer))
    return tables


def _memory(features: torch.Tensor, peer: Peer | None) -> Table:
    """What a selection takes beside its features, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "features.npy")
        np.save(file, features.cpu().numpy())
        command = [sys.executable, "-m", "benchmarks.memory", file, str(min(MEASURED_PICKS, len(features)))]
        root = Path(__file__).parents[1]
        ours = int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
    taken, held = ours / 2**20, features.nbytes / 2**20
    findings = [f"Ours: {taken:.0f} MiB, {taken / held:.2f} times the features' {held:.0f} MiB."]
    if peer is not None:
        theirs = peer.ask("coreset", picks=2)["grown_bytes"]
        findings.append(f"{peer.name}, from features before projection: {theirs / 2**20:.0f} MiB.")
    return Table("Coreset, memory beside the features", "", [], findings)


def _equality(inputs: Inputs, picks: int) -> Table:
    """The same picks as one at a time, and the same covering radius."""
    x = inputs.projected
    expected: list[int] = []
    seconds = once(lambda: expected.extend(sequential_picks(x, picks, 0)))
    found = greedy_coreset(x, picks, start=0)
    same = sum(a == b for a, b in zip(expected, found.tolist(), strict=True))
    radii = [covering_radius(x, rows) for rows in (torch.tensor(expected, device=x.device), found)]
    halves = [
        covering_radius(x, greedy_coreset(x.to(kind), picks, start=0)) for kind in (torch.float16, torch.bfloat16)
    ]
    findings = [
        f"**{same} of {picks}** picks are those of the sequential loop, in its order.",
        f"Covering radius: {radii[1]:.6f}, the loop's {radii[0]:.6f} (relative difference "
        f"{abs(radii[1] / radii[0] - 1):.1e}); from features stored in float16 {halves[0]:.6f}, in bfloat16 "
        f"{halves[1]:.6f}.",
    ]
    return Table("Coreset, the same picks", "", [Row("sequential loop", seconds, f"{picks} picks")], findings)


def scaling(inputs: Inputs, *, device: str) -> Table:
    """How the time of a selection grows with images, with the fraction and with dimensions."""
    x, rows, findings = inputs.projected, [], []
    size = coreset_size(len(x), 0.005)
    counts = [len(x) // part for part in (8, 4, 2, 1)]
    fractions = (0.0025, 0.005, 0.01, 0.02, 0.04)
    dimensions = (16, 32, 64, 128)
    projections = {p: random_projection(inputs.nominal, p, generator=generator(0, "projection")) for p in dimensions}
    curves = {
        "rows n, coreset size fixed": {n: lambda n=n: greedy_coreset(x[:n], size, start=0) for n in counts},
        "fraction": {f: lambda f=f: greedy_coreset(x, coreset_size(len(x), f), start=0) for f in fractions},
        "projected dimensions d*": {p: lambda p=p: greedy_coreset(projections[p], size, start=0) for p in dimensions},
    }
    for name, cases in curves.items():
        seconds = interleaved(cases, 3, device=device)
        rows += [Row(f"{name} = {value}", of_case) for value, of_case in seconds.items()]
        findings.append(
            f"Time grows with {name} by an exponent of **{exponent(list(cases), list(seconds.values())):.2f}**."
        )
    return Table("Coreset, how it grows", "Straight lines through the logarithms, median of 3 each.", rows, findings)

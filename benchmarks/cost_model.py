"""What exact selection over shards takes, carried on from measured sizes: time, memory, network, money.

A core's seconds are a n l + b n + c: products of rows with picks that bounds do not spare, what is done once a row and
in the first rounds, which meet all rows, and what starting takes. Rounds grow with the picks. Memory and bytes are
counted. Only sizes with many picks tell a: where n l is small in all, it is not to be had from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import nnls

ROW_BYTES = 12 + 64  # of memory: gap, pick, norm, and a screening of 32 columns in bfloat16
COMPARING = ("two_round", "merge_reduce")  # samplers that compare rows with all that is picked
LARGEST = 1e12  # rows, up to which a crossing is looked for


@dataclass(frozen=True)
class Assumed:
    """What is not measured.

    Attributes:
        price: of a core for an hour.
        cores: of a machine, each as fast as those that were measured.
        memory_gb: of a machine, that gaps and screening may take.
        network: bytes a second into the machine that merges.
        latency: seconds that a round takes beside computing.
    """

    price: float = 0.05
    cores: int = 32
    memory_gb: float = 100
    network: float = 1.25e9
    latency: float = 0.01


@dataclass(frozen=True)
class Model:
    """Seconds of a core for a product of a row with a pick, for a row, and for all; picks and bytes a round of a shard.

    Attributes:
        worst: relative error of the measured size that it misses most.
    """

    a_product: float
    a_row: float
    fixed: float
    picks_a_round: float
    bytes_a_round: float
    worst: float

    def core_seconds(self, rows: float, picks: float) -> float:
        return self.a_product * rows * picks + self.a_row * rows + self.fixed


def fitted(measured: Sequence[Mapping[str, float]]) -> Model:
    """Fit lines of `benchmarks.shards memory`, by relative errors of the seconds of processors."""
    n, picks, spent, shards, rounds = (
        np.array([line[key] for line in measured], dtype=float)
        for key in ("rows", "picks", "core_seconds", "shards", "rounds")
    )
    terms = np.stack([n * picks, n, np.ones(len(n))], axis=1)
    found, _ = nnls(terms / spent[:, None], np.ones(len(n)))
    moved = np.array([line["sent_bytes"] + line["received_bytes"] for line in measured])
    worst = float(np.abs(terms @ found / spent - 1).max())
    return Model(*map(float, found), float((picks / rounds)[-1]), float((moved / rounds / shards)[-1]), worst)


def told(model: Model, sizes: Sequence[float], fraction: float, assumed: Assumed) -> list[str]:
    """Lines of a table: what so many rows take, on as many machines as their memory needs."""
    lines = [
        f"A core's seconds: {model.a_product:.2e} n l + {model.a_row:.2e} n + {model.fixed:.1f}; "
        f"off by {100 * model.worst:.0f} % at most.",
        "",
        "| rows | picks | machines | hours | memory, GB | network, GB | money |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in sizes:
        picks, machines = n * fraction, max(1, int(np.ceil(n * ROW_BYTES / 2**30 / assumed.memory_gb)))
        rounds, spent = picks / model.picks_a_round, model.core_seconds(n, picks)
        moved = rounds * model.bytes_a_round * machines
        hours = (spent / assumed.cores / machines + moved / assumed.network + rounds * assumed.latency) / 3600
        money = hours * machines * assumed.cores * assumed.price
        lines.append(
            f"| {n:.0e} | {picks:.0e} | {machines} | {hours:.2g} | {n * ROW_BYTES / 2**30:.2g} | {moved / 2**30:.2g} | "
            f"{money:.2g} |"
        )
    return lines


def pays_from(model: Model, cheaper: Callable[[float, float], float], *, fraction: float, saved_s: float) -> float:
    """Rows from which a cheaper selection saves so many seconds of a core; infinity if it never does.

    Args:
        cheaper: from rows and picks to the seconds of a core that it takes.
        fraction: of the rows, that is picked.
        saved_s: from how many on its larger covering radius is worth it.
    """
    for n in np.geomspace(1e3, LARGEST, 1000):
        if model.core_seconds(n, n * fraction) - cheaper(n, n * fraction) >= saved_s:
            return float(n)
    return float("inf")


def rates(measured: Sequence[Mapping]) -> dict[str, Callable[[float, float], float]]:
    """From rows and picks to seconds of a core, of each cheaper selection in lines of `benchmarks.scale --to`.

    Selections that compare rows with all that is picked grow with both, as the greedy coreset does; the others, whose
    subsets have a given size, with the rows.
    """
    found: dict[str, Callable[[float, float], float]] = {}
    for line in measured:
        n, picks, spent = line["rows"], line["picks"], line["core_seconds"]
        if line["sampler"].startswith(COMPARING):
            found[line["sampler"]] = partial(_of_products, spent / (n * picks))
        elif line["sampler"] != "greedy":
            found[line["sampler"]] = partial(_of_rows, spent / n)
    return found


def _of_products(rate: float, rows: float, picks: float) -> float:
    return rate * rows * picks


def _of_rows(rate: float, rows: float, picks: float) -> float:
    return rate * rows


def paying(model: Model, measured: Sequence[Mapping], fraction: float, saved: Sequence[float]) -> list[str]:
    """Lines of a table: from how many rows each cheaper selection saves so many hours of a core."""
    lines = [
        "| sampler | " + " | ".join(f"saves {hours:g} h of a core" for hours in saved) + " |",
        "|---" * (len(saved) + 1) + "|",
    ]
    for sampler, cheaper in rates(measured).items():
        rows = [pays_from(model, cheaper, fraction=fraction, saved_s=3600 * hours) for hours in saved]
        lines.append(
            f"| {sampler} | " + " | ".join("never" if np.isinf(n) else f"from {n:.1e} rows" for n in rows) + " |"
        )
    return lines

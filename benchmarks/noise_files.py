"""What `benchmarks.noise` measured, as files: what is new, beside what a folder holds of other networks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.noise_tables import METRICS, noise_blocks, noise_counts
from patchcore_core.backbones import backbone_weights
from patchcore_core.common.errors import InputError
from patchcore_suite.report.measured import Measured, read_values
from patchcore_suite.run.environment import commit, machine, versions

LAST = 100  # place among what was measured, behind the datasets of the grid
ABOUT = ["network", "every", "variant", "method", "noise", "seed", "train", "moved"]  # of a fitted model


class Earlier(NamedTuple):
    """What a folder holds.

    Attributes:
        rows: one a fitted model: columns `ABOUT` and the metrics.
        stamp: what made them.
    """

    rows: pd.DataFrame
    stamp: Mapping[str, object]


def earlier(folder: Path, name: str, sha256: str) -> Earlier | None:
    """What was measured before on a category; None where nothing was.

    Args:
        folder: of data.
        name: of the category.
        sha256: of its images, now.

    Raises:
        InputError: that is damaged, says nothing of the network, or is of other images.
    """
    path = folder / f"{name}_noise.json"
    if not path.is_file():
        return None
    found, values = Measured.read(path), read_values(folder, f"{name}_noise")
    remedy = "write to another folder with --to, or move it away"
    if absent := [column for column in ABOUT if column not in values]:
        raise InputError(f"{path.with_suffix('.csv')} lacks {', '.join(absent)}", remedy=remedy)
    if found.stamp["images"] != {name: sha256}:
        raise InputError(f"{path} was measured on other images of {name}", remedy=remedy)
    wide = values.pivot(index=ABOUT, columns="metric", values="value")[list(METRICS)].reset_index()
    rows = values[ABOUT].drop_duplicates().merge(wide, on=ABOUT, how="left")  # as they stand there
    return Earlier(rows, found.stamp)


def write(rows: pd.DataFrame, before: Earlier | None, name: str, sha256: str, folder: Path) -> None:
    """Write what was measured, and what the folder held of other networks.

    Args:
        rows: columns `ABOUT` and the metrics, of one network.
        before: of `earlier`.
        name, sha256: of the category and its images.
        folder: that tables, values and figures are written to.
    """
    stamp = stamp_of(rows, name, sha256)
    rows = rows[ABOUT + list(METRICS)]
    if before is not None:
        others = before.rows[~before.rows["network"].isin(rows["network"])]
        rows = pd.concat([others, rows], ignore_index=True).sort_values("network", kind="stable")
        stamp = _both(stamp, before.stamp, set(others["network"]))
    title = f"{name} with anomalous training images"
    blocks = noise_blocks(rows, name, title)
    found = Measured(
        name=f"{name}_noise", order=LAST, title=title, counts=tuple(noise_counts(rows, name)), missing=(), pending=(),
        blocks=blocks, stamp=stamp,
    )  # fmt: skip
    values = rows.melt(ABOUT, list(METRICS), "metric", "value")
    found.write(folder, values.assign(dataset=found.name, category=name, shots=float("nan")))


def stamp_of(rows: pd.DataFrame, name: str, sha256: str) -> dict[str, object]:
    """What makes numbers here and now."""
    weights = {network: backbone_weights(network) for network in rows["network"].unique()}
    return {
        "commits": [commit(Path(__file__).parents[1])],
        "versions": [versions()],
        "weights": {network: [one.sha256, one.origin] for network, one in weights.items()},
        "images": {name: sha256},
        "machines": [{key: value for key, value in machine().items() if key != "threads"}],
    }


def _both(new: Mapping[str, object], before: Mapping[str, object], networks: set[str]) -> dict[str, object]:
    """What made the numbers of either, of those before only of some networks."""
    if not networks:
        return dict(new)
    lists = {key: _once([*before[key], *new[key]]) for key in ("commits", "versions", "machines")}
    kept = {network: one for network, one in before["weights"].items() if network in networks}
    return {**new, **lists, "weights": dict(sorted((kept | new["weights"]).items()))}


def _once(values: list[object]) -> list[object]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())

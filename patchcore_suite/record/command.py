"""Check that this machine computes what others did, from images to metrics, offline and in less than a minute.

    python -m patchcore_suite.record.command [--device DEVICE] [--json] [--write]

A small fixed set of cells is computed from nothing, on drawn images with packaged weights, and set beside the records
in records.json. Exit code 1 where something lies outside of what docs/guarantees.md promises.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from patchcore_core.common.errors import exit_on_input_error
from patchcore_suite.record.cells import METRICS as SHOWN
from patchcore_suite.record.cells import measure
from patchcore_suite.record.records import (
    FILE,
    SCORES_WITHIN,
    Cell,
    Moved,
    Record,
    add_record,
    compare,
    incomparable,
    nearest_first,
    read_records,
)
from patchcore_suite.run.metric_registry import METRICS
from patchcore_suite.run.rounding import WITHIN

SHOWN_DIGITS = 8  # of a hash
SAME, NONE = "same", "-"


def outside(ours: Record, records: Sequence[Record]) -> list[str]:
    """All that is not as it is promised beside records of the same device, a line each."""
    lines = []
    for other in records:
        if other.device != ours.device:
            continue  # nothing is promised between a CPU and a GPU
        lines += [f"{other}: {phrase}" for phrase in incomparable(ours, other)]
        if not incomparable(ours, other):
            moves = compare(ours, other).items()
            lines += [f"{other}: {name}: {phrase}" for name, move in moves for phrase in move.outside]
    return lines


def table(ours: Record, other: Record) -> str:
    """Picks, scores and metrics of each cell beside another machine's."""
    headings = [METRICS[name].heading for name in SHOWN]
    rows = [["cell", "picks", "", "scores", "move by", "order of images", *headings]]
    for name, move in compare(ours, other).items():
        cell = ours.cells[name]
        metrics = [_metric(cell, move, metric) for metric in SHOWN]
        rows.append([name, *_picks(cell, move), _range(cell), _moved(move), _word(move.ranked), *metrics])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def summary(ours: Record, other: Record) -> str:
    """How far all cells are from another machine's, in a line."""
    if phrases := incomparable(ours, other):
        return f"cannot be compared: {'; '.join(phrases)}"
    moves = compare(ours, other).values()
    if all(move.same for move in moves):
        return "all is the same, to the last digit"
    picks, orders = sum(move.picks is not None for move in moves), sum(not move.ranked for move in moves)
    swapped = sum(move.swapped for move in moves)
    places = f" (some change places in {swapped} cells: they are as far, to the last digit)" if swapped else ""
    return ", ".join(
        [
            f"scores move by at most {np.max([move.scores for move in moves]):.1e} of their size",
            (f"other picks in {picks} of {len(moves)} cells" if picks else "the same picks") + places,
            f"another order of images in {orders}" if orders else "the same order of images",
        ]
    )


def _picks(cell: Cell, move: Moved) -> tuple[str, str]:
    if not cell.picks:
        return NONE, NONE
    count, sha256 = list(cell.picks.items())[-1]
    found = f"{int(count):,} {sha256[:SHOWN_DIGITS]}"
    if move.picks is not None:
        return found, f"others among the first {move.picks:,}"
    return found, "places change" if move.swapped else SAME


def _range(cell: Cell) -> str:
    return f"{min(cell.scores):.5g} to {max(cell.scores):.5g}"


def _moved(move: Moved) -> str:
    return f"{move.scores:.1e}" if move.scores else "0"


def _word(same: bool) -> str:
    return SAME if same else "OTHER"


def _metric(cell: Cell, move: Moved, name: str) -> str:
    """A metric in percent, and by how many points it moves."""
    if name not in cell.metrics:
        return NONE
    change = move.metrics[name]
    return f"{100 * cell.metrics[name]:.4f} {f'{100 * change:+.4f}' if change else SAME}"


def show(ours: Record, records: Sequence[Record], broken: Sequence[str]) -> None:
    """Print the table beside the nearest record, a line of each other one, and whether all is as promised."""
    print(f"this machine: {ours}; {ours.system}")
    nearest, *others = records
    if incomparable(ours, nearest):
        print(f"beside {nearest}: {summary(ours, nearest)}")
    else:
        print(f"beside:       {nearest}; {nearest.system}{_versions(ours, nearest)}\n\n{table(ours, nearest)}\n")
        print(f"beside {nearest}: {summary(ours, nearest)}")
    for other in others:
        print(f"beside {other}: {summary(ours, other)}")
    if all(other.device != ours.device for other in records):
        print(f"no record is of device {ours.device}, and nothing is promised between devices: nothing was checked")
        return
    print(
        f"promised between CPUs, and between GPUs: scores within {SCORES_WITHIN:.1e} of their size, the same picks and "
        f"order of images, metrics within {WITHIN:.0e}: {'BROKEN' if broken else 'kept'}"
    )
    print("".join(f"  - {line}\n" for line in broken), end="")


def _versions(ours: Record, other: Record) -> str:
    """Libraries of which the two have different versions."""
    differing = [
        f"{name} {version}, here {ours.versions.get(name, NONE)}"
        for name, version in other.versions.items()
        if ours.versions.get(name) != version
    ]
    return f"\n              with other versions: {'; '.join(differing)}" if differing else ""


def described(ours: Record, records: Sequence[Record], broken: Sequence[str]) -> Mapping[str, object]:
    """All of it, for programs."""
    beside = [
        {"record": asdict(other), "incomparable": incomparable(ours, other), "cells": _moves(ours, other)}
        for other in records
    ]
    return {"kept": not broken, "outside": list(broken), "ours": asdict(ours), "beside": beside}


def _moves(ours: Record, other: Record) -> Mapping[str, object]:
    return {name: asdict(move) | {"outside": move.outside} for name, move in compare(ours, other).items()}


def main() -> None:
    """Compute the set, print it beside the records, and exit with 1 where something is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.record.command", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--write", action="store_true", help="keep what this machine gives as its record, in a clone")
    arguments = parser.parse_args()
    kept = [] if arguments.write and not FILE.exists() else read_records()
    ours = measure(device=arguments.device)
    records = nearest_first(ours, kept)
    broken = outside(ours, records)
    if arguments.json:
        print(json.dumps(described(ours, records, broken), indent=1, ensure_ascii=False))
    elif records:
        show(ours, records, broken)
    if arguments.write:
        for one in add_record(ours):
            print(f"dropped, being of other images, weights or cells: {one}", file=sys.stderr)
        print(f"written: {FILE}: {ours}", file=sys.stderr)
    elif broken:
        sys.exit(1)


if __name__ == "__main__":
    with exit_on_input_error():
        main()

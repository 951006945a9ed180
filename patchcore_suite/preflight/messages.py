"""Before hours of work: everything that would fail, all at once, and what the work will take.

    python -m patchcore_suite.preflight.messages [NAME ...]

Nothing is written or downloaded. Minutes, memory and disk are estimates (see `workload`); minutes rest on what the
machine does in about one second of measurement. The exit code is 1 if something would fail. Weights that are missing
are no failure: the run tries to download them, and goes on without the variants that it cannot have.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

import psutil
import torch

from patchcore_core.common.errors import exit_on_input_error
from patchcore_suite.datasets.names import ALL, shown
from patchcore_suite.preflight import machine_speed
from patchcore_suite.preflight.needs import Checked
from patchcore_suite.preflight.operations import Work
from patchcore_suite.preflight.requirements import check
from patchcore_suite.preflight.room import gigabytes
from patchcore_suite.settings.project import Project, load_project

MOST_NAMED = 6  # variants that lack some weights


def report(checked: Sequence[Checked], project: Project, rates: Work) -> str:
    """Everything as text: a table a dataset, then all warnings, then all problems."""
    lines = []
    for found in checked:
        lines += ["", f"{found.name}: {found.images}"]
        if found.needs:
            lines += [*_table(found, rates), *_longest(found, rates)]
    seconds = sum(needs.work.seconds(rates) for found in checked for needs in found.needs)
    todo = sum(needs.todo for found in checked for needs in found.needs)
    lines += [
        "",
        f"Estimate for {todo} cells on {project.execution.device}: {_duration(seconds)}, if nothing else runs",
    ]
    lines += ["here. Tables, figures and notebooks come on top. An estimate may be off by a factor of two."]
    load, cores = psutil.getloadavg()[0], psutil.cpu_count()
    if load > cores / 2:
        lines.append(f"Other programs run now (load {load:.1f} on {cores} cores): while they do, it takes longer.")
    lines += _missing_weights(checked)
    for title, kind in (("Warnings", "warnings"), ("Would fail", "problems")):
        texts = dict.fromkeys(f"{found.name}: {text}" for found in checked for text in getattr(found, kind))
        lines += ["", f"{title}:", *(f"- {text}" for text in texts)] if texts else []
    return "\n".join(lines[1:])


def _missing_weights(checked: Sequence[Checked]) -> list[str]:
    """Which weights are not on this machine, where each is had, and what is left out without them."""
    variants: dict[str, dict[str, None]] = defaultdict(dict)
    errors = {}
    for found in checked:
        for backbone, (error, without) in found.weights.items():
            errors[backbone] = error
            variants[backbone] |= dict.fromkeys(without)
    if not errors:
        return []
    lines = ["", "Weights that are not on this machine (the run tries to download them, or leaves their variants out):"]
    for backbone, error in errors.items():
        left_out = list(variants[backbone])
        more = f" and {len(left_out) - MOST_NAMED} more" if len(left_out) > MOST_NAMED else ""
        lines += [f"- {backbone}, for {', '.join(left_out[:MOST_NAMED])}{more}", *(f"  - {text}" for text in error.own)]
    general = dict.fromkeys(text for error in errors.values() for text in error.general)
    return [*lines, "Or, for any of them:", *(f"  - {text}" for text in general)]


def _table(found: Checked, rates: Work) -> list[str]:
    head = ("category", "train", "test", "to do", "done", "patches", "memory bank", "memory", "maps", "time")
    rows = [head]
    for needs in found.needs:
        patches = sorted({min(needs.patches), max(needs.patches)}) if needs.patches else []
        rows.append(
            (
                shown(needs.category),
                *(f"{number:,}" for number in (needs.train, needs.test, needs.todo, needs.done)),
                "-".join(f"{count:,}" for count in patches) or "-",
                f"{needs.bank[0]:,} x {needs.bank[1]:,}" if needs.bank[0] else "-",
                f"{gigabytes(needs.memory)} GB",
                f"{gigabytes(needs.maps)} GB",
                _duration(needs.work.seconds(rates)),
            )
        )
    if len(found.needs) > 1:
        whole = [sum(getattr(n, name) for n in found.needs) for name in ("train", "test", "todo", "done")]
        memory, maps = max(n.memory for n in found.needs), sum(n.maps for n in found.needs)
        time = sum(n.work.seconds(rates) for n in found.needs)
        sizes = (f"{gigabytes(memory)} GB", f"{gigabytes(maps)} GB", _duration(time))
        rows.append((ALL, *(f"{number:,}" for number in whole), "", "", *sizes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _longest(found: Checked, rates: Work, most: int = 5) -> list[str]:
    """Which variants take the longest."""
    seconds: dict[str, float] = defaultdict(float)
    for needs in found.needs:
        for variant, work in needs.by_variant.items():
            seconds[variant] += work.seconds(rates)
    first = sorted(seconds, key=seconds.get, reverse=True)[:most]
    return ["longest: " + ", ".join(f"{v} {_duration(seconds[v])}" for v in first)] if first else []


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:,.0f} h"


def main() -> None:
    """Print what was found; exit with 1 if something would fail."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.preflight.messages", description=__doc__)
    parser.add_argument("names", nargs="*", help="datasets of params.yaml; all of them if none is named")
    names = parser.parse_args().names
    project = load_project()
    checked = [check(project.dataset(name)) for name in names or project.datasets]
    device = project.execution.device if torch.cuda.is_available() else "cpu"
    print(report(checked, project, machine_speed.calibrate(device)))
    if any(found.problems for found in checked):
        sys.exit(1)


if __name__ == "__main__":
    with exit_on_input_error():
        main()

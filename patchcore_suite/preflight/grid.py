"""A grid laid over `params.yaml`: mappings are merged key by key, lists and values are replaced.

    python -m patchcore_suite.preflight.grid grids/paper.yaml
        [--set datasets.mvtec.source=PATH ...] [--dry-run | --write [FILE]]

`--dry-run`, the default, says what the grid would take, without any image of it: where a dataset has no path, the
counts of the paper's dataset stand in. `--write` writes the merged file, unless something would fail on the way.

A dataset of the grid whose source is null and is not set has no images. `without_source` in the grid says what is
written then: `demonstration` keeps the dataset of `params.yaml` as it is there, synthetic, small and called SYNTHETIC
in every caption, so that no table lacks it; `drop` leaves it out.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import atomic_path, write_text
from patchcore_suite.datasets.layouts import LAYOUTS
from patchcore_suite.preflight import machine_speed
from patchcore_suite.preflight.messages import report
from patchcore_suite.preflight.requirements import check
from patchcore_suite.settings.execution import Execution
from patchcore_suite.settings.params import LISTS, PARAMS_FILE, find_params, read_params
from patchcore_suite.settings.project import Project
from patchcore_suite.settings.yaml_file import Document, read_value, read_yaml

HEADER = "# Written by patchcore_suite.preflight.grid from "
ORIGINAL = ".cache/params.demonstration.yaml"
WITHOUT_SOURCE = ("demonstration", "drop")
NOT_GIVEN = "path not given"


@dataclass(frozen=True)
class Merged:
    """A grid on top of params.yaml.

    Attributes:
        document: the merged mapping, and where its keys are written; what has no source has `NOT_GIVEN`.
        without: the datasets of the grid that have no source of their own.
        rule: what is done with them, one of `WITHOUT_SOURCE`.
        base: what was merged into.
    """

    document: Document
    without: tuple[str, ...]
    rule: str
    base: Mapping[str, object]

    @property
    def datasets(self) -> Mapping[str, object]:
        """The merged blocks of the datasets."""
        return _datasets(self.document.values)

    def to_write(self) -> dict[str, object]:
        """The mapping as it is written: what has no source is as in the demonstration, or not there."""
        values = deepcopy(dict(self.document.values))
        for name in self.without:
            if self.rule == "drop":
                del values["datasets"][name]
            else:
                values["datasets"][name] = deepcopy(self.base["datasets"][name])
        return values


def merge(base: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """Lay one mapping over another: mappings key by key, everything else replaces what was there."""
    merged = deepcopy(dict(base))
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else deepcopy(value)
    return merged


def with_settings(values: Mapping[str, object], settings: Sequence[str]) -> dict[str, object]:
    """Set values by their path: "datasets.mtd.source=PATH", the value read as YAML.

    Raises:
        InputError: a setting has no "=" or no YAML behind it, or its path leads through something that is no mapping or
            is not there.
    """
    changed = deepcopy(dict(values))
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, key = path.split(".")
        place = changed
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict):
            raise InputError(f"--set {setting} cannot be used", remedy="write KEY.KEY=VALUE, with keys that are there")
        value = read_value(text, f"--set {setting}")
        plain = isinstance(value, str) and text[0] not in "'\"|>"
        place[key] = text if plain else value  # of a path, YAML would leave out what follows " #"
    return changed


def read_grid(path: Path, base: Document, settings: Sequence[str] = ()) -> Merged:
    """Read a grid and lay it over `base`, with settings on top.

    Raises:
        InputError: the grid cannot be read, or a setting does not fit.
    """
    grid = read_yaml(path, remedy="give the path of a grid")
    overlay = dict(grid.values)
    rule = overlay.pop("without_source", WITHOUT_SOURCE[0])
    if rule not in WITHOUT_SOURCE:
        raise InputError(f"{path}: without_source={rule!r} must be one of {', '.join(WITHOUT_SOURCE)}")
    values = with_settings(merge(base.values, overlay), settings)
    without = []
    for name, block in _datasets(values).items():
        if isinstance(block, dict) and block.get("source") is None:
            if name not in _datasets(base.values) and rule != "drop":
                raise InputError(f"dataset {name} of {path} has no source", remedy=f"--set datasets.{name}.source=PATH")
            block["source"] = NOT_GIVEN
            without.append(name)
    places = {key: f"{base.name} {place}" for key, place in base.places.items()}
    places |= {key: f"{path.name} {place}" for key, place in grid.places.items()}
    places |= {tuple(setting.partition("=")[0].split(".")): "--set" for setting in settings}
    document = Document(f"{base.name} with {path.name} laid over it", values, places, base.problems + grid.problems)
    return Merged(document, tuple(without), rule, base.values)


def _datasets(values: Mapping[str, object]) -> Mapping[str, object]:
    blocks = values.get("datasets")
    return blocks if isinstance(blocks, Mapping) else {}


def read_base(root: Path) -> tuple[Document, str]:
    """The params.yaml that grids are laid over, and its text: the demonstration's, even while a grid is in its place.

    Raises:
        InputError: a grid is in its place, and what was there before is gone; or it is not valid.
    """
    path = root / PARAMS_FILE
    if path.read_bytes().startswith(HEADER.encode()):
        path = root / ORIGINAL
        if not path.is_file():
            raise InputError(
                f"{root / PARAMS_FILE} was written by a grid, and {ORIGINAL} is gone",
                remedy=f"restore it: git checkout {PARAMS_FILE} dvc.lock",
            )
    document = read_yaml(path, remedy="run from the project's folder")
    read_params(document, root)
    return document, path.read_text(encoding="utf-8")


def describe(merged: Merged, root: Path, *, names: Sequence[str]) -> tuple[str, bool]:
    """What some datasets of a grid would take, as text, and whether something would fail."""
    project = Project(read_params(merged.document, root))
    checked = [check(project.dataset(name), known=name in merged.without, all_weights=True) for name in names]
    device = project.execution.device if torch.cuda.is_available() else "cpu"
    lines = [report(checked, project, machine_speed.calibrate(device))]
    if merged.without:
        lines += ["", "Datasets without a path:"]
        kept = "stays synthetic, as in params.yaml; its tables say SYNTHETIC, and are compared with nothing"
        then = "left out" if merged.rule == "drop" else kept
        for name in merged.without:
            lines.append(f"- {name}: {then}. {obtained(project.dataset(name).spec.layout)}")
    return "\n".join(lines), any(found.problems for found in checked)


def obtained(layout: str) -> str:
    """What to give `make paper` for a dataset of this layout, and where it is had; data/README.md says more."""
    known = LAYOUTS[layout]
    if known.archive:
        return f"{layout.upper()}=download, or a folder; {known.homepage}"
    had = f"; by hand from {known.homepage}" if known.homepage else ""
    return f"{layout.upper()}=folder of {known.holds}{had}"


def write(merged: Merged, grid: Path, root: Path, target: Path, original: str) -> None:
    """Write the merged params.yaml to `target`; what is in its place is kept in `ORIGINAL`.

    Paths of sources that are relative stay so: to the folder of params.yaml, wherever `target` lies they are resolved.
    A list of training images of the project is copied along.
    """
    values = merged.to_write()
    elsewhere = target.resolve().parent != root.resolve()
    if elsewhere:
        for block in values["datasets"].values():
            if block["source"] not in ("synthetic", "download"):
                block["source"] = str((root / block["source"]).resolve())
            if names := block.get("train_list"):
                block["train_list"] = _brought(root / names, root, target.parent)
        # the same cells, wherever they are asked for
        execution = values.setdefault("execution", {})
        execution["cache_dir"] = str((root / execution.get("cache_dir", Execution().cache_dir)).resolve())
    else:
        write_text(root / ORIGINAL, original)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    write_text(target, f"{HEADER}{grid.name}; comments are lost. What it was laid over: {ORIGINAL}\n{text}")


def _brought(names: Path, root: Path, target: Path) -> str:
    """What a project in `target` calls a list of training images: its copy of one in `lists`, or where else it lies."""
    inside = Path(LISTS, names.name)
    if names.resolve().parent != (root / LISTS).resolve():
        return str(names.resolve())
    with atomic_path(target / inside) as temporary:
        shutil.copyfile(names, temporary)
    return inside.as_posix()


def main() -> None:
    """Say what a grid takes; or write it, and exit with 1 if something would fail."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.preflight.grid", description=__doc__)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--dry-run", action="store_true", help="write nothing (the default)")
    parser.add_argument("--write", nargs="?", const=PARAMS_FILE, metavar="FILE", help=f"by default {PARAMS_FILE}")
    arguments = parser.parse_args()
    root = find_params().resolve().parent
    base, original = read_base(root)
    merged = read_grid(arguments.grid, base, arguments.settings)
    read_params(merged.document, root)  # what is wrong is said before anything else
    if arguments.write is None or arguments.dry_run:
        print(describe(merged, root, names=list(merged.datasets))[0])
        return

    names = [name for name in merged.datasets if name not in merged.without]
    if not names:
        raise InputError(
            "no dataset of the grid has a path, so that there is nothing to run",
            offenders=[obtained(merged.datasets[name]["layout"]) for name in merged.without],
            remedy="give at least one",
        )
    text, fails = describe(merged, root, names=names)
    print(text)
    if fails:
        print("\nNothing was written.", file=sys.stderr)
        sys.exit(1)
    target = root / arguments.write
    write(merged, arguments.grid, root, target, original)
    print(f"\nwritten: {target}")
    if target.resolve() == (root / PARAMS_FILE).resolve():
        print(f"the way back: git checkout {PARAMS_FILE} dvc.lock (what it was is in {ORIGINAL} too)")


if __name__ == "__main__":
    with exit_on_input_error():
        main()

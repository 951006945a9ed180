"""Time the method beside the machine's ceilings, plain loops and a peer, and write reports/benchmarks.md.

    python -m benchmarks [--mtd FOLDER] [--peer PYTHON] [--device cuda] [--quick] [--to FILE]

Without a folder of Magnetic Tile Defects, features of the same shape are drawn. `--quick` takes a sixteenth of the
images and few repeats: it shows that everything runs, and measures little.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.busy import busy
from benchmarks.clock import Row, Table, ceilings, exponent
from benchmarks.explorers import exploration, report_page
from benchmarks.inputs import Inputs, make_inputs
from benchmarks.networks import networks, reading
from benchmarks.other_selections import other_selections
from benchmarks.peers import Peer
from benchmarks.pixels import pixels
from benchmarks.search import search
from benchmarks.selection import scaling, selection
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_core.common.progress import progress_bar
from patchcore_suite.run.environment import commit, machine, peak_memory, versions
from patchcore_suite.settings.params import load_params

ROOT = Path(__file__).parents[1]
SHARES = (0.25, 0.5, 1)
SCALED_BANK = 1000  # rows, where growth with images is measured


def sections(inputs: Inputs, given: argparse.Namespace, peer: Peer | None) -> Iterator[Table]:
    """All tables of the report, one after the other."""
    repeats, device = (1 if given.quick else 5), given.device
    yield ceilings(device)
    same_picks = 100 if given.quick else 2000
    yield from selection(inputs, repeats=repeats, same_picks=same_picks, peer=peer, device=device)
    yield scaling(inputs, device=device)
    yield search(inputs, repeats=repeats, device=device)
    yield networks(repeats=repeats, device=device)
    yield pixels(inputs, repeats=repeats, peer=peer)
    if given.peer is not None:
        yield other_selections(inputs, given.peer, picks=same_picks)
    if device == "cpu":
        yield busy(inputs, repeats=repeats)
    yield exploration(load_params(ROOT / "params.yaml"), repeats=repeats)
    yield report_page(ROOT / "reports/index.html", repeats=repeats)
    if given.mtd is not None:
        yield reading(given.mtd, repeats=repeats, device=device)
        yield whole(given.mtd, share=1 / 16 if given.quick else 1, device=device)


def whole(folder: Path, *, share: float, device: str) -> Table:
    """Files to metrics in processes of their own, and how that grows with images at one size of the coreset."""

    def run(of_all: float, *more: str) -> dict[str, object]:
        command = [sys.executable, "-m", "benchmarks.whole", folder, "--share", str(of_all), "--device", device, *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"benchmarks.whole failed: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    found = run(share)
    total = sum(found["seconds"].values())
    rows = [Row(f"files to metrics: {part}", value) for part, value in found["seconds"].items()]
    rows.append(Row("files to metrics", total, f"{sum(found['images'])} images, bank {found['bank']}"))
    scaled = [run(share * part, "--size", str(round(share * SCALED_BANK))) for part in SHARES]
    counts = [sum(one["images"]) for one in scaled]
    seconds = [sum(one["seconds"][part] for part in ("fit", "predict", "metrics")) for one in scaled]
    rows += [Row(f"{count} images, bank of {SCALED_BANK}", value) for count, value in zip(counts, seconds, strict=True)]
    values = ", ".join(f"{name.replace('_', ' ')} {100 * value:.1f} %" for name, value in found["metrics"].items())
    findings = [
        f"Default variant, 1 %: **{total:.0f} s**; {values}.",
        f"Largest resident memory {found['peak_memory_bytes'] / 2**30:.2f} GiB.",
        f"Time grows with images by an exponent of **{exponent(counts, seconds):.2f}**, the coreset's size fixed.",
    ]
    return Table("Magnetic Tile Defects, from files to metrics", "", rows, findings)


def main() -> None:
    """Measure, and write the report whole."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mtd", type=Path, help="folder of Magnetic Tile Defects")
    parser.add_argument("--peer", type=Path, help="interpreter of an environment with anomalib")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--to", type=Path, default=ROOT / "reports/benchmarks.md")
    given = parser.parse_args()
    if torch.device(given.device).type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {given.device}, but no GPU can be used here", remedy="leave it out")
    if given.mtd is not None and not given.mtd.is_dir():
        raise InputError(f"no such folder: {given.mtd}", remedy="data/README.md says where MTD is had")
    inputs = make_inputs(given.mtd, share=1 / 16 if given.quick else 1, device=given.device)
    seen = {"nominal": inputs.nominal.cpu().numpy(), "masks": inputs.masks, "maps": inputs.maps}
    tables = []
    with (
        Peer(given.peer, seen) if given.peer else nullcontext() as peer,
        progress_bar(
            (14 if given.mtd else 12) - (given.device != "cpu") + (given.peer is not None), "benchmarks", unit="table"
        ) as bar,
    ):
        for table in sections(inputs, given, peer):
            tables.append(table)
            bar.update(1)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("report.md.jinja").render(
        tables=tables,
        origin=inputs.origin,
        machine=machine(),
        versions=versions(),
        commit=commit(ROOT),
        quick=given.quick,
        peer=None if peer is None else peer.name,
        device=given.device,
        peak=f"{peak_memory() / 2**30:.1f}",
    )
    write_text(given.to, text)
    print(f"benchmarks: {given.to}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()

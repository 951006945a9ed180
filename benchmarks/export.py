"""Prove and time exported models of several backbones: `python -m benchmarks.export --folder FOLDER`.

FOLDER is as for `patchcore fit`. A model with each backbone is fitted to its good images and exported with the proof,
which is told with the times of torch, onnxruntime and, where it is installed, OpenVINO. Weights of `untrained/NAME`
are drawn, which shows the chain of networks whose weights are not here. A backbone that cannot be exported is told
with the reason, and the others go on.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.config import DEFAULT_BACKBONE
from patchcore_suite.parts.export import export_onnx
from patchcore_suite.parts.fitting import FitOptions, fit
from patchcore_suite.parts.photographs import look_at
from patchcore_suite.run.environment import machine


def main() -> None:
    """Fit, export, compare, time, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--good", help="as for `patchcore fit`")
    parser.add_argument("--layout", help="as for `patchcore fit`")
    parser.add_argument("--backbones", nargs="+", default=[DEFAULT_BACKBONE])
    parser.add_argument("--images", type=int, default=100, help="test images to compare on, at most")
    parser.add_argument("--fitted-to", type=int, help="good images that a model is fitted to, at most")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--untimed", action="store_true", help="tell differences alone")
    given = parser.parse_args()
    found = look_at(given.folder, good=given.good, layout=given.layout)
    if not found.good or not found.tested:
        raise InputError(f"{given.folder} has no images to fit to or to test with", remedy="name another folder")
    few = replace(found, good=found.good[: given.fitted_to], tested=())
    tested = [entry.record.image for entry in found.tested[:: -(-len(found.tested) // given.images)]]  # of each kind
    print(f"{given.folder.name}, {machine()['processor']}")
    for backbone in given.backbones:
        try:
            model = fit(few, FitOptions(resize=tuple(given.size), backbone=backbone))
            with TemporaryDirectory() as folder:
                told = export_onnx(model, Path(folder) / "onnx", tested, times=not given.untimed)
        except InputError as error:
            print(f"\n{backbone}: {error}", flush=True)
            continue
        print(f"\n{backbone}, memory bank {tuple(model.detector.memory_bank.shape)}\n\n{told}", flush=True)


if __name__ == "__main__":
    with exit_on_input_error():
        main()

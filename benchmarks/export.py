"""Time torch, onnxruntime and OpenVINO on the same images, side by side: `python -m benchmarks.export --folder FOLDER`.

FOLDER is Magnetic Tile Defects, a category of MVTec AD, or any folder in a layout that the suite knows. The default
variant is fitted to its nominal images and exported with the proof; OpenVINO is left out where it is not installed.
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.clock import interleaved
from benchmarks.inputs import BATCH, PREPROCESSING, WORKERS
from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.records import Record
from patchcore_suite.parts.export import GRAPH_FILE, export_onnx
from patchcore_suite.parts.onnx_proof import BATCHES
from patchcore_suite.run.environment import machine

Runtime = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # images (n, 3, H, W) to scores (n,)


def runtimes(model: PatchCore, graph: Path) -> Iterator[tuple[str, Runtime]]:
    """What can run the model, by name: torch first."""
    yield "torch", lambda images: model.predict(torch.from_numpy(images)).scores.numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    yield "onnxruntime", lambda images: session.run(["scores", "maps"], {"images": images})[0]
    if importlib.util.find_spec("openvino") is not None:
        import openvino

        # Single precision throughout: by default a processor that can takes half.
        compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        yield "OpenVINO", lambda images: compiled(images)["scores"]


def table(found: dict[str, Runtime], images: Tensor, *, repeats: int) -> Iterator[str]:
    """Milliseconds an image of each runtime, with so many at once, and how far its scores are from torch's."""
    yield "| images at once | " + " | ".join(found) + " |"
    yield "|---" * (1 + len(found)) + "|"
    for batch in BATCHES:
        few = images[:batch].numpy()
        for run in found.values():
            run(few)  # room is made at the first call
        seconds = interleaved({name: lambda run=run, few=few: run(few) for name, run in found.items()}, repeats)
        yield f"| {len(few)} | " + " | ".join(f"{1000 * value / len(few):.1f} ms" for value in seconds.values()) + " |"
    scores = {name: np.concatenate([run(part.numpy()) for part in images.split(BATCH)]) for name, run in found.items()}
    apart = (float((np.abs(of - scores["torch"]) / scores["torch"]).max()) for of in scores.values())
    yield "| scores, largest relative difference | " + " | ".join(f"{value:.1e}" for value in apart) + " |"


def listed(folder: Path, split: str) -> list[Record]:
    """The images of a dataset's folder, or of that of one category of MVTec AD."""
    if (folder / "train" / "good").is_dir():
        return list(datasets.load(folder.absolute().parent, folder.name, split, layout="mvtec"))
    return list(datasets.load(folder, split=split))


def main() -> None:
    """Fit, export, compare, time, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100, help="test images to compare on, at most")
    parser.add_argument("--coreset", type=float, default=0.01, help="share of patch features that the bank keeps")
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    nominal, tested = listed(given.folder, "train"), listed(given.folder, "test")
    if not nominal or not tested:
        raise InputError(f"{given.folder} has no images to fit to or to test with", remedy="name a dataset's folder")
    tested = tested[:: -(-len(tested) // given.images)]  # of every defect some
    model = PatchCore(PatchCoreConfig(coreset_fraction=given.coreset))
    model.fit(Batches(nominal, PREPROCESSING, BATCH, workers=WORKERS, description="fit"))
    images = torch.cat(list(Batches(tested, PREPROCESSING, BATCH, workers=WORKERS, description="read")))
    height, width = images.shape[2:]
    with TemporaryDirectory() as folder:
        to = Path(folder) / "onnx"
        compared = export_onnx(model, (height, width), to, images, preprocessing={"resize": [height, width]})
        print(f"{given.folder}: memory bank {tuple(model.memory_bank.shape)}; {machine()['processor']}\n\n{compared}\n")
        print("\n".join(table(dict(runtimes(model, to / GRAPH_FILE)), images, repeats=given.repeats)))


if __name__ == "__main__":
    with exit_on_input_error():
        main()

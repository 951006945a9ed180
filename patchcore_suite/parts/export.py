"""A fitted model as ONNX, for onnxruntime and NumPy alone, with a proof that it scores as the model does."""

import importlib.util
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from torch import nn

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, write_text, writing
from patchcore_core.config import EXACT
from patchcore_suite.parts.card import card
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.model_files import (
    CARD_FILE,
    EXPORT_FACTS,
    EXPORT_FOLDER,
    GRAPH_FILE,
    LOADER_FILE,
    PARTS_FILE,
    not_exported,
)
from patchcore_suite.parts.onnx_graph import write_graph
from patchcore_suite.parts.onnx_proof import Comparison, at_once, compare
from patchcore_suite.parts.onnx_runtimes import latency, runtimes
from patchcore_suite.run.sealed import write_sealed

if TYPE_CHECKING:
    from patchcore_suite.parts.run_onnx import Model

EXPORT_FORMAT = 3  # 2 kept what its loader must know beside the graph
NEEDED = ("onnx", "onnxruntime", "onnxscript")
PAGE = """\
# A PatchCore model as ONNX

`model.onnx` takes `pixels` (n, height, width, 3), decoded images of 8 bits in RGB, n of any one size, and gives
`scores` (n,) and anomaly `maps` (n, {height}, {width}): the larger, the more anomalous. All in between is part of it:
images are brought to size as they were when the model was fitted. `run_onnx.py` decodes images and runs it. It needs

    pip install onnxruntime numpy pillow
    python run_onnx.py IMAGE...

The metadata of `model.onnx` have the threshold, from which score up an image is anomalous, and the hash of the model
that it was made of; `onnx.json` says the same, and has the hash of `model.onnx`.

OpenVINO runs it too, told to compute in single precision: `compile_model(graph, "CPU", {{"INFERENCE_PRECISION_HINT":
"f32"}})`. By default it takes half precision where a processor can, and then scores differ.

When it was written, it was compared with that model.

{said}
"""


@dataclass(frozen=True)
class Exported:
    """What was found when a model was exported: differences, and a table of times or nothing."""

    compared: Comparison
    times: str = ""

    def __str__(self) -> str:
        return "\n\n".join(part for part in (str(self.compared), self.times) if part)


def export_saved(
    saved: Path, images: Sequence[Path], folder: Path | None = None, *, times: bool = False, **where
) -> Exported:
    """Export a saved model, and write into its README.md what was found.

    Args:
        saved: the model's folder.
        images: files to compare on.
        folder: to write; the folder `onnx` of the model if it is None.
        times: measures how long an image takes by each runtime, too.
        where: as of `PartsModel.load`.

    Raises:
        InputError: as `PartsModel.load` and `export_onnx`.
    """
    model, folder = PartsModel.load(saved, **where), folder or saved / EXPORT_FOLDER
    found = export_onnx(model, folder, images, parts_sha256=sha256_file(saved / PARTS_FILE), times=times)
    write_text(saved / CARD_FILE, card(model, exported=str(found)))
    return found


def export_onnx(
    model: PartsModel,
    folder: str | Path,
    images: Sequence[Path],
    *,
    parts_sha256: str | None = None,
    times: bool = False,
) -> Exported:
    """Write a fitted model as a folder that runs without torch, once it is shown to score as the model does.

    The folder holds `model.onnx` (decoded images to scores and maps, any number at once), `onnx.json`, the loader
    `run_onnx.py`, and a page README.md. It appears whole or not at all, and replaces one written before, but nothing
    that others put there.

    Args:
        model: fitted; its network must be an `nn.Module`.
        folder: to write.
        images: files to compare on, best those of a test set.
        parts_sha256: of the file that the model was read from; the loader refuses to run beside another.
        times: measures how long an image takes by each runtime, too.

    Raises:
        InputError: scores differ by more than `onnx_proof.LIMIT` relative or change the ranking; the model cannot be
            exported; packages are missing; images cannot be judged; or the folder cannot be written or holds
            something else.
    """
    folder = Path(folder)
    _check_given(model, folder)
    with _folder(folder) as made:
        needed = {"threshold": model.threshold.value, "bits": model.bits, "parts_sha256": parts_sha256}
        write_graph(model, made / GRAPH_FILE, {name: str(value) for name, value in needed.items()})
        shutil.copyfile(Path(__file__).with_name(LOADER_FILE), made / LOADER_FILE)
        facts = {
            "format": EXPORT_FORMAT,
            "written_by": f"patchcore-bench {version('patchcore-bench')}",
            "size": list(model.size),
            "graph_sha256": sha256_file(made / GRAPH_FILE),
            **needed,
            "threshold": asdict(model.threshold),
        }
        write_sealed(made / EXPORT_FACTS, facts)
        found = _compared(model, made, images, times=times)
        if problems := found.compared.problems():
            raise InputError(
                f"{folder} is not written: the exported model does not score as the model does",
                offenders=problems,
                remedy=_remedy(model),
            )
        write_sealed(made / EXPORT_FACTS, facts | {"comparison": asdict(found.compared)})
        write_text(made / CARD_FILE, PAGE.format(height=model.size[0], width=model.size[1], said=found))
    return found


def _compared(model: PartsModel, made: Path, images: Sequence[Path], *, times: bool) -> Exported:
    """Compare what lies in a folder with the model it was made of."""
    loaded = _loaded(made)
    runs = runtimes(made / GRAPH_FILE, loaded)
    compared = compare(model, runs, loaded.pixels, images)
    if not times:
        return Exported(compared)
    _, pixels = next(at_once([loaded.pixels(images[0])], model.preprocessing, 1))
    return Exported(compared, "\n".join(latency(model, runs, pixels)))


def _check_given(model: PartsModel, folder: Path) -> None:
    """Refuse what cannot be exported, before anything is computed."""
    problems, network = [], model.detector.network
    if not isinstance(network, nn.Module):
        problems.append(f"its network {network!r} is no nn.Module, which alone can be traced: wrap it in one")
    if model.region is not None and model.region.mask is None:
        problems.append("its region is a mask for each image, and a graph holds one for all: fit it with one mask")
    if folder.exists() and not folder.is_dir():
        problems.append(f"{folder} is there already, and is no folder: name another one")
    elif folder.exists() and (others := [path.name for path in not_exported(folder)]):
        problems.append(
            f"{folder} holds what no export wrote, and would be lost: {', '.join(others)}: name another folder"
        )
    if problems:
        raise InputError("the model cannot be exported so", offenders=problems, remedy="correct these")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"export needs {', '.join(missing)}", remedy='pip install "patchcore-bench[export]"')


@contextmanager
def _folder(folder: Path) -> Generator[Path, None, None]:
    """A folder beside `folder`, which takes its name, and the place of what was there, only if the block succeeds."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            made = Path(beside) / "made"
            made.mkdir()
            yield made
            if folder.exists():
                folder.replace(Path(beside) / "old")
            made.replace(folder)


def _loaded(folder: Path) -> "Model":
    """An exported model, by the loader that travels with it."""
    from patchcore_suite.parts.run_onnx import Model

    try:
        return Model(folder)
    except Exception as error:  # onnxruntime's errors have no common class
        raise InputError(
            f"onnxruntime cannot load the exported model: {error}", remedy="use another network, or a newer onnxruntime"
        ) from error


def _remedy(model: PartsModel) -> str:
    """What is likely to make scores equal."""
    config = model.detector.config
    if config.search not in EXACT:
        return f"fit with search: torch; the exported model searches exactly, and {config.search} does not"
    if config.storage != "float32":
        return f"fit with storage: float32; in {config.storage} a difference in the last digit becomes a large one"
    return "fit with another backbone or other hierarchies; if the images are no test set, compare with one"

"""A fitted model as ONNX, for onnxruntime and NumPy alone, with a proof that it scores as the model does."""

import hashlib
import importlib.util
import math
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, write_text, writing
from patchcore_core.config import check_keys
from patchcore_core.images import Images
from patchcore_core.neighbours import EXACT
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.onnx_graph import write_graph
from patchcore_suite.parts.onnx_proof import Comparison, Run, compare
from patchcore_suite.run.sealed import read_sealed, write_sealed

EXPORT_FORMAT = 1
GRAPH_FILE, FACTS_FILE, LOADER_FILE, CARD_FILE = "model.onnx", "onnx.json", "run_onnx.py", "README.md"
NEEDED = ("onnx", "onnxruntime", "onnxscript")
BITS = range(8, 17)  # that may be filled of the 16 of a file
CARD = """\
# A PatchCore model as ONNX

`model.onnx` takes `images` (n, 3, {height}, {width}), float32 in [0, 1], RGB, and gives `scores` (n,) and anomaly
`maps` (n, {height}, {width}): the larger, the more anomalous. `run_onnx.py` decodes images, brings them to size as they
were when the model was fitted, and runs it. It needs no more than

    pip install onnxruntime numpy pillow
    python run_onnx.py IMAGE...

`onnx.json` says how images are brought to size, the threshold, and the hashes of `model.onnx` and of the memory bank.

When it was written, it was compared with the model.

{compared}

A score that is nearly 0 is compared with a tenth of the spread of the memory bank.
"""


def export_onnx(
    model: PatchCore,
    size: tuple[int, int],
    folder: str | Path,
    images: Images,
    *,
    preprocessing: Mapping[str, object],
    threshold: Mapping[str, object] | None = None,
) -> Comparison:
    """Write a fitted model as a folder that runs without torch, once it is shown to score as the model does.

    The folder holds `model.onnx` (images after resizing to scores and maps, any number at once), `onnx.json`, the
    loader `run_onnx.py`, and a page README.md. It appears whole or not at all, and replaces one written before.

    Args:
        model: fitted; its network must be an `nn.Module`.
        size: (H, W) of the images that it gets.
        folder: to write.
        images: to compare on, as of `PatchCore.predict`: those of a test set, of that size.
        preprocessing: how images become so large: `resize`, `crop` and `masks` as of `Preprocessing`, and `bits`, how
            many are filled of the 16 of a file of 16 bits.
        threshold: its `value` is the score from which up an image is anomalous; what else it says is kept.

    Raises:
        InputError: scores differ by more than `onnx_proof.LIMIT` relative or change the ranking; the model cannot be
            exported; something given does not fit; packages are missing; or the folder cannot be written or holds
            something else.
    """
    folder = Path(folder)
    value = _check_given(model, size, folder, preprocessing, threshold)
    with _folder(folder) as made:
        write_graph(model, size, made / GRAPH_FILE)
        found = compare(model, _runner(made / GRAPH_FILE), images, tuple(size), value)
        if problems := list(found.problems()):
            raise InputError(
                f"{folder} is not written: the exported model does not score as the model does",
                offenders=problems,
                remedy=_remedy(model),
            )
        shutil.copyfile(Path(__file__).with_name(LOADER_FILE), made / LOADER_FILE)
        write_text(made / CARD_FILE, CARD.format(height=size[0], width=size[1], compared=found))
        facts = {
            "format": EXPORT_FORMAT,
            "written_by": f"patchcore-bench {version('patchcore-bench')}",
            "size": list(size),
            "preprocessing": dict(preprocessing),
            "threshold": None if threshold is None else dict(threshold),
            "model_sha256": sha256_file(made / GRAPH_FILE),
            "memory_bank_sha256": bank_sha256(model),
            "comparison": asdict(found),
        }
        write_sealed(made / FACTS_FILE, facts)
    return found


def check_export(folder: str | Path, model: PatchCore) -> None:
    """Refuse an exported folder that is not of this model.

    Raises:
        InputError: the folder was changed or damaged since, or was exported from a model with another memory bank.
    """
    folder = Path(folder)
    try:
        facts = read_sealed(folder / FACTS_FILE)
        found = sha256_file(folder / GRAPH_FILE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no exported model, or a damaged one: {error}", remedy="export the model again"
        ) from None
    wrong = []
    if found != facts["model_sha256"]:
        wrong.append(f"{folder / GRAPH_FILE} is not the model that {FACTS_FILE} is of")
    if facts["memory_bank_sha256"] != bank_sha256(model):
        wrong.append(f"{folder / FACTS_FILE} is of a model with another memory bank")
    if wrong:
        raise InputError(f"{folder} is no export of this model", offenders=wrong, remedy="export the model again")


def bank_sha256(model: PatchCore) -> str:
    """SHA-256 of the bytes of the memory bank, row by row."""
    assert model.memory_bank is not None
    return hashlib.sha256(model.memory_bank.cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def _check_given(
    model: PatchCore,
    size: tuple[int, int],
    folder: Path,
    preprocessing: Mapping[str, object],
    threshold: Mapping[str, object] | None,
) -> float | None:
    """Refuse what cannot be exported, before anything is computed; return the threshold's score."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"export needs {', '.join(missing)}", remedy='pip install "patchcore-bench[export]"')
    problems = []
    if model.memory_bank is None:
        problems.append("the model has no memory bank yet: fit it first")
    if not isinstance(model.network, nn.Module):
        problems.append(f"its network {model.network!r} is no nn.Module, which alone can be traced: wrap it in one")
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        problems.append(f"size={size!r} must be (height, width) in pixels")
    else:
        problems += _problems_of_preparing(preprocessing, tuple(size))
    value = None if threshold is None else threshold.get("value")
    if threshold is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        problems.append(f"threshold={dict(threshold)!r} must have a number as its value")
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / FACTS_FILE).is_file())):
        problems.append(f"{folder} is there already, and is no exported model: name another folder")
    if problems:
        raise InputError("the model cannot be exported so", offenders=problems, remedy="correct these")
    return value


def _problems_of_preparing(preprocessing: Mapping[str, object], size: tuple[int, int]) -> list[str]:
    """Why images are not brought to `size` (H, W) so."""
    try:
        check_keys(preprocessing, ["resize", "crop", "masks", "bits"], where="preprocessing")
        prepare = Preprocessing(
            **{"resize": None} | {key: preprocessing[key] for key in preprocessing if key != "bits"}
        )
    except InputError as error:
        return list(error.offenders) or [error.problem]
    bits = preprocessing.get("bits", 16)
    problems = [] if bits in BITS else [f"bits={bits!r} must be a whole number of {BITS[0]} to {BITS[-1]}"]
    crop = (prepare.crop, prepare.crop) if isinstance(prepare.crop, int) else prepare.crop
    kept = crop or prepare.resize
    if size != kept if isinstance(kept, tuple) else min(size) != kept:
        problems.append(f"preprocessing brings images to {kept}, and not to size={size}")
    return problems


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


def _runner(path: Path) -> Run:
    """The exported model as a function."""
    import onnxruntime

    def run(images: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        try:
            return session.run(["scores", "maps"], {"images": images})
        except Exception as error:  # onnxruntime's errors have no common class
            raise InputError(
                f"onnxruntime cannot run the exported model on {len(images)} images: {error}",
                remedy="use a network whose steps are the same for 1 image and for 16",
            ) from error

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(
            f"onnxruntime cannot load the exported model: {error}", remedy="use another network, or a newer onnxruntime"
        ) from error
    return run


def _remedy(model: PatchCore) -> str:
    """What is likely to make scores equal."""
    config = model.config
    if config.search not in EXACT:
        return f"fit with search: torch; the exported model searches exactly, and {config.search} does not"
    if config.storage != "float32":
        return f"fit with storage: float32; in {config.storage} a difference in the last digit becomes a large one"
    return "fit with another backbone or other hierarchies; if the images are no test set, compare with one"

"""The folder of a saved model: what lies in it, written whole, and read back only as it was written."""

import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, write_text, writing
from patchcore_core.saved_model import DESCRIPTION_FILE, MEMORY_BANK_FILE, NEXT_BANK_FILE
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.card import card
from patchcore_suite.parts.model_network import WEIGHTS_STEM, copy_weights, own_network, reading, without_own
from patchcore_suite.parts.region import Region, read_region
from patchcore_suite.parts.source import Source
from patchcore_suite.parts.thresholds import Threshold
from patchcore_suite.parts.tiles import Tiles
from patchcore_suite.run.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from patchcore_suite.parts.model import PartsModel

PARTS_FORMAT = 2  # 1 knew neither tiles nor regions
PARTS_FILE, CARD_FILE, REGION_FILE = "parts.json", "README.md", "region.png"
EXPORT_FOLDER, EXPORT_FACTS, GRAPH_FILE, LOADER_FILE = "onnx", "onnx.json", "model.onnx", "run_onnx.py"
EXPORT_FILES = (EXPORT_FACTS, GRAPH_FILE, LOADER_FILE, CARD_FILE)
OWN_FILES = (PARTS_FILE, CARD_FILE, REGION_FILE, DESCRIPTION_FILE, MEMORY_BANK_FILE, NEXT_BANK_FILE)
AGAIN = "copy the whole folder again, or fit it again"
EACH = "a mask for each image"  # what stands in place of the name of a region's file


def save_model(model: "PartsModel", folder: Path, *, with_weights: bool) -> None:
    """Write a model as a folder, whole or not at all.

    It replaces a model that is there. What others put beside that one stays; its export goes, unless it is of this very
    model.

    Raises:
        InputError: the folder cannot be written, or holds something else; or the weights are those of a network of the
            user's own, whose code a model does not hold.
    """
    if with_weights and model.detector.weights is None:
        raise without_own(model.detector.config.backbone)
    check_replaceable(folder)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            made, old = Path(beside) / "made", Path(beside) / "old"
            _write(model, made, with_weights=with_weights)
            if folder.exists():
                _keep_others(folder, made)
                folder.replace(old)
            made.replace(folder)


def check_replaceable(folder: Path) -> None:
    """Refuse a folder in which no model can be written, for what is there or for its name.

    Raises:
        InputError: as it says.
    """
    with writing(folder):
        if (folder.exists() and not folder.is_dir()) or _is_foreign(folder):
            raise InputError(f"{folder} is there already, and is no model", remedy="name another folder")


def _keep_others(folder: Path, made: Path) -> None:
    """Copy what is no part of a model from its folder to the one that takes its place."""
    for path in folder.iterdir():
        if path.name == EXPORT_FOLDER and path.is_dir() and not _is_export_of(path, made / PARTS_FILE):
            kept = not_exported(path)
        elif path.name not in OWN_FILES and not path.name.startswith(f"{WEIGHTS_STEM}."):
            kept = [path]
        else:
            kept = []
        for one in kept:
            target = made / one.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            (shutil.copytree if one.is_dir() else shutil.copy2)(one, target)


def not_exported(folder: Path) -> list[Path]:
    """What lies in a folder, and was not put there by an export; everything, where no export lies there."""
    found = sorted(folder.iterdir())
    ours = EXPORT_FILES if (folder / EXPORT_FACTS).is_file() else ()
    return [path for path in found if path.name not in (*ours, "__pycache__")]  # which is of the loader that was run


def _is_export_of(folder: Path, parts: Path) -> bool:
    """Whether an exported model is of the model that a file describes."""
    try:
        return read_sealed(folder / EXPORT_FACTS)["parts_sha256"] == sha256_file(parts)
    except (OSError, ValueError, KeyError):
        return False


def _write(model: "PartsModel", folder: Path, *, with_weights: bool) -> None:
    detector, copied = model.detector, None
    if with_weights and detector.weights is not None and detector.weights.path is not None:
        copied = copy_weights(detector.weights, detector.config, folder)
        detector = reading(folder / copied, detector)
    detector.save(folder)
    write_text(folder / CARD_FILE, card(model))
    region = _write_region(model.region, folder)
    described = {
        "format": PARTS_FORMAT,
        "written_by": f"patchcore-bench {version('patchcore-bench')}",
        "model_sha256": sha256_file(folder / DESCRIPTION_FILE),
        "weights": copied,
        "weights_sha256": copied and sha256_file(folder / copied),
        "preprocessing": asdict(model.preprocessing),
        "size": model.size,
        "grid": model.grid,
        "bits": model.bits,
        "tiles": model.tiles and asdict(model.tiles),
        "region": region,
        "region_sha256": sha256_file(folder / REGION_FILE) if region == REGION_FILE else None,
        "patches": model.patches,
        "threshold": asdict(model.threshold),
        "thresholds": {name: asdict(one) for name, one in model.thresholds.items()},
        "nominal_scores": [float(score) for score in model.nominal_scores],
        "sources": [asdict(source) for source in model.sources],
        "tested": dict(model.tested),
    }
    write_sealed(folder / PARTS_FILE, described)


def read_fields(folder: Path, *, weights: str | None, networks: str | Path | None, device: str) -> dict[str, Any]:
    """What a `PartsModel` is made of, from the folder that `save_model` wrote.

    Raises:
        InputError: the folder holds no model, a changed or damaged one, or one of another version; or its weights are
            not here.
    """
    said = _read_described(folder)
    own = str(folder / said["weights"]) if said["weights"] else None
    size = tuple(said["size"])
    return {
        "detector": PatchCore.load(
            folder, network=own_network(folder, networks), weights=weights or own, device=device
        ),
        "preprocessing": Preprocessing(**said["preprocessing"]),
        "size": size,
        "grid": tuple(said["grid"]),
        "bits": said["bits"],
        "tiles": said["tiles"] and Tiles(**said["tiles"]),
        "region": _read_region(said["region"], folder, size),
        "patches": said["patches"],
        "threshold": Threshold(**said["threshold"]),
        "thresholds": {name: Threshold(**one) for name, one in said["thresholds"].items()},
        "nominal_scores": np.asarray(said["nominal_scores"], dtype=np.float32),
        "sources": tuple(Source(**source) for source in said["sources"]),
        "tested": said["tested"],
    }


def _read_described(folder: Path) -> dict[str, Any]:
    """The file that describes a model, if all others are those that were written with it."""
    if not (folder / PARTS_FILE).is_file():
        why = f"it has no {PARTS_FILE}" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder} holds no model of parts: {why}", remedy="name a folder that `patchcore fit` wrote")
    try:
        said = read_sealed(folder / PARTS_FILE)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / PARTS_FILE} is damaged: {error}", remedy=AGAIN) from None
    if said.get("format") != PARTS_FORMAT:
        raise InputError(
            f"{folder} is of another format ({said.get('format')!r}, not {PARTS_FORMAT}), written by "
            f"{said.get('written_by')}",
            remedy="fit it again, or use the version that wrote it",
        )
    expected = {DESCRIPTION_FILE: said["model_sha256"]}
    if said["weights"]:
        expected[said["weights"]] = said["weights_sha256"]
    if said["region_sha256"]:
        expected[said["region"]] = said["region_sha256"]
    wrong = [str(folder / name) for name, sha256 in expected.items() if not _is_file_of(folder / name, sha256)]
    if not any((folder / name).is_file() for name in (MEMORY_BANK_FILE, NEXT_BANK_FILE)):
        wrong.append(str(folder / MEMORY_BANK_FILE))
    if wrong:
        raise InputError(
            "files of the model are missing, or are not those that were saved with it", offenders=wrong, remedy=AGAIN
        )
    return said


def _write_region(region: Region | None, folder: Path) -> str | None:
    """Write a mask for all images; what the model says of its region."""
    if region is None:
        return None
    if region.mask is None:
        return EACH
    Image.fromarray(region.mask.astype(np.uint8) * 255).save(folder / REGION_FILE)
    return REGION_FILE


def _read_region(said: str | None, folder: Path, size: tuple[int, int]) -> Region | None:
    if said is None:
        return None
    return Region(None if said == EACH else read_region(folder / REGION_FILE, size))


def _is_foreign(folder: Path) -> bool:
    """Whether a folder holds something, but no model of parts."""
    return folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION_FILE).is_file()


def _is_file_of(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256

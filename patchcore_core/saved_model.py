"""A fitted model as a folder: its memory bank as safetensors, the rest as JSON, and hashes of both."""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path, sha256_file, sha256_json, write_json, writing

MODEL_FORMAT = 3  # 2 told a caller's network by its code, 1 had no hash of its description
MEMORY_BANK_FILE, DESCRIPTION_FILE = "memory_bank.safetensors", "model.json"
NEXT_BANK_FILE = "memory_bank.next.safetensors"  # until the description is that of this bank
DESCRIBED = {"config", "seed", "weights_sha256", "tensors_bytes", "tensors_sha256"}


def folder_of(path: object) -> Path:
    """The folder of a model.

    Raises InputError: it is no path.
    """
    text = str(cast("object", path)) if isinstance(path, str | PathLike) else ""
    if not text or "\0" in text:
        raise InputError(f"path={path!r} must be the path of a folder", remedy="name the folder of the model")
    return Path(text)


def write_model(path: Path, tensors: dict[str, Tensor], description: Mapping[str, object]) -> None:
    """Write a model to the folder `path`: its tensors first, then what is said of them.

    A process that is killed at any moment leaves the model of before or this one.

    Raises InputError: the folder cannot be written, or holds files of these names that are no model's.
    """
    bank, there = path / NEXT_BANK_FILE, path / DESCRIPTION_FILE
    if there.is_file() and b'"tensors_sha256"' not in there.read_bytes():
        raise InputError(
            f"{there} is no model's, but lies where one is saved", remedy="name another folder, or move it"
        )
    with atomic_path(bank) as temporary:
        safetensors.torch.save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    whole = {**description, "format": MODEL_FORMAT, "tensors_bytes": bank.stat().st_size}
    whole["tensors_sha256"] = sha256_file(bank)
    try:
        write_json(there, {**whole, "sha256": sha256_json(whole)})
    except InputError:
        bank.unlink()
        raise
    with writing(path / MEMORY_BANK_FILE):
        bank.replace(path / MEMORY_BANK_FILE)


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write_model` wrote: description and tensors.

    Raises InputError: there is no model, one of another format, or one that was changed, cut or damaged since.
    """
    try:
        description: Any = json.loads((path / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        version, bank = description.get("format"), path / MEMORY_BANK_FILE
        after = path / NEXT_BANK_FILE  # left by a save that was killed
        if after.is_file() and sha256_file(after) == description.get("tensors_sha256"):
            bank = after
        size, found = bank.stat().st_size, sha256_file(bank)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} holds no PatchCore model: {error}", remedy="name a folder written by save") from None
    of_before = version == MODEL_FORMAT - 1 and description.get("network_sha256") is None
    if version != MODEL_FORMAT and not of_before:
        why = {1: ", whose configuration no hash covers", 2: ", which told networks by their code"}.get(version, "")
        raise _unusable(path, f"is of another format ({version!r}, not {MODEL_FORMAT}){why}")
    if description.pop("sha256", None) != sha256_json(description):
        raise _unusable(path / DESCRIPTION_FILE, "is damaged: it was changed after it was saved")
    if missing := sorted(DESCRIBED - description.keys()):
        raise _unusable(path / DESCRIPTION_FILE, f"lacks {', '.join(missing)}")
    if size != description["tensors_bytes"]:
        raise _unusable(bank, f"is damaged: it has {size} bytes of the {description['tensors_bytes']} that were saved")
    if found != description["tensors_sha256"]:
        raise _unusable(bank, "is damaged: it holds other bytes than were saved")
    try:
        return description, safetensors.torch.load_file(bank)
    except safetensors.SafetensorError as error:
        raise _unusable(bank, f"is damaged: {error}") from None


def check_bank(tensors: dict[str, Tensor], storage: str, *, where: str) -> None:
    """Refuse a memory bank that no fit gives.

    Args:
        tensors: `memory_bank` (l, d) and, where rows were chosen, `coreset_indices` (l,).
        storage: the type of the bank.

    Raises InputError: another type or shape, or values that are NaN or infinite.
    """
    bank, kept = tensors.get("memory_bank"), tensors.get("coreset_indices")
    if bank is None or bank.ndim != 2 or not bank.numel() or bank.dtype != getattr(torch, storage):
        raise _unusable(where, f"has no memory bank (l, d) of {storage}")
    if kept is not None and kept.shape != bank.shape[:1]:
        raise _unusable(where, f"has {len(bank)} rows and names {len(kept)}")
    if not bank.isfinite().all():
        raise _unusable(where, "has a memory bank with NaN or infinite values")


def _unusable(what: object, problem: str) -> InputError:
    return InputError(f"{what} {problem}", remedy="fit and save the model again")

"""Memory banks whose patch features do not fit into memory: selected with what selection looks at on disk."""

from pathlib import Path

import torch
from torch import Tensor

from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import random_projection
from patchcore_core.detector import generator
from patchcore_core.fast.products import block_rows
from patchcore_core.memory_bank import checked_size
from patchcore_core.patchcore import PatchCore
from patchcore_suite.baselines.work import CELL_BASE_BYTES
from patchcore_suite.run.patch_rows import PatchRows
from patchcore_suite.shards.carrier import Here
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.greedy import greedy_over_shards
from patchcore_suite.shards.room import writing_rows
from patchcore_suite.shards.shard import Shard

ANCHORS = 10  # as `coreset.anchor_gaps` takes


def fit(model: PatchCore, rows: PatchRows, *, folder: Path, budget: float) -> None:
    """Fill the memory bank of a model as `PatchCore.fit_rows` does, in less memory.

    Projected patch features are written to a file for as long as rows are selected; then the full features of the rows
    that are kept are made once more.

    Args:
        folder: for the file.
        budget: bytes that the process may take.

    Raises:
        InputError: as of `memory_bank.select_coreset`, or the disk has no room for the file.
    """
    config = model.config
    if config.sampler != "greedy":  # needs no projection, and holds the rows that it keeps alone
        model.fit_rows(rows)
        return
    kept = _selected(rows, config, seed=model.seed, progress=model.progress, folder=folder, budget=budget)
    model.memory_bank, model.coreset_indices = rows[kept], kept


def _selected(
    rows: PatchRows, config: PatchCoreConfig, *, seed: int, progress: bool, folder: Path, budget: float
) -> Tensor:
    size = checked_size(rows, config)
    n, d = rows.shape
    width = min(d, config.projection_dimension or d)
    with writing_rows(folder, n, width, str(rows.dtype).removeprefix("torch.")) as file:
        _write_projected(rows, width, file, seed)
        shard = Shard(FileRows(file), 0, memory=max(0.0, budget - CELL_BASE_BYTES))
        found = greedy_over_shards(
            Here([shard]),
            size,
            anchors=ANCHORS if config.first_pick == "anchors" else 0,
            generator=generator(seed, "first pick"),
            progress=progress,
        )
    return found.picks


def _write_projected(rows: PatchRows, width: int, file: RowFile, seed: int) -> None:
    """Projected block by block, by products of the shape that `random_projection` of all makes: the same bits."""
    size = block_rows(rows.shape[1], rows.device)
    with file.path.open("r+b") as target:
        for start in range(0, len(rows), size):
            part = random_projection(rows[start : start + size], width, generator=generator(seed, "projection"))
            target.write(part.contiguous().view(torch.uint8).numpy().tobytes())

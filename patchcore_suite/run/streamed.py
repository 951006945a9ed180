"""Memory banks whose patch features do not fit into memory: selected with what selection looks at on disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from patchcore_core import scoring
from patchcore_core.common.files import writing
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import random_projection
from patchcore_core.detector import Prediction, generator
from patchcore_core.fast.products import block_rows
from patchcore_core.memory_bank import checked_size, select_coreset
from patchcore_core.patchcore import PatchCore
from patchcore_core.patches import Rows
from patchcore_suite.baselines.costs import FLOAT
from patchcore_suite.baselines.patchcore_work import SCORED
from patchcore_suite.baselines.work import CELL_BASE_BYTES, bank_lies_on_disk
from patchcore_suite.run.patch_rows import PatchRows
from patchcore_suite.shards.carrier import Here
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.greedy import greedy_over_shards
from patchcore_suite.shards.room import writing_rows
from patchcore_suite.shards.search import BankInParts
from patchcore_suite.shards.shard import Shard

ANCHORS = 10  # as `first_picks.anchor_gaps` takes


@dataclass(frozen=True)
class OnDisk:
    """A fitted PatchCore whose memory bank lies on disk, and scores as `PatchCore.predict_rows` does."""

    config: PatchCoreConfig
    memory_bank: BankInParts
    coreset_indices: Tensor

    def predict_rows(self, rows: Rows, shape: tuple[int, int, int]) -> Prediction:
        """Score patch features (n * h * w, d) of n images, without anomaly maps; `shape` is (n, h, w)."""
        bank, config, (n, h, w) = self.memory_bank, self.config, shape
        distances, indices = (found.view(shape) for found in bank.nearest(rows))
        worst = distances.flatten(1).argmax(dim=1) + h * w * torch.arange(n, device=distances.device)
        named = indices.flatten()[worst]
        # Eq. 7 needs of the bank the rows that are nearest to the worst patches, and their neighbourhoods.
        near = bank.nearest(bank[named], min(config.reweight_neighbours, bank.shape[0]))[1]
        few = torch.cat([named, near.flatten()]).unique()
        reweighted = scoring.reweighted_scores(
            rows[worst][:, None, None],
            distances.flatten()[worst][:, None, None],
            torch.searchsorted(few, named)[:, None, None],
            bank[few],
            reweight_neighbours=config.reweight_neighbours,
        )
        scores = scoring.image_scores(distances)
        if config.squared_distances:  # Departs from Eq. 6, as the authors' code does
            distances, scores = distances.square(), scores.square()
        score = reweighted if config.score == "reweighted" else scores
        return Prediction(score, distances=distances, reweighted_scores=reweighted, indices=indices)


@contextmanager
def fitted(
    model: PatchCore, rows: PatchRows, *, test: int, folder: Path, budget: float
) -> Iterator[PatchCore | OnDisk]:
    """A model that is fitted as by `PatchCore.fit_rows`, in less memory.

    Projected patch features are written to a file for as long as rows are selected; then the full features of the rows
    that are kept are made once more. Where memory has no room for these, they are written to a file, which is deleted
    at the end of the block.

    Args:
        test: images that will be scored.
        folder: for files.
        budget: bytes that the process may take.

    Raises:
        InputError: as of `memory_bank.select_coreset`, or the disk has no room for a file.
    """
    config, (n, h, w) = model.config, rows.grid
    kept = _kept(model, rows, folder=folder, budget=budget)
    if not bank_lies_on_disk(config, [(h, w, rows.shape[1])], budget=budget, nominal=n, test=test):
        model.memory_bank, model.coreset_indices = rows[kept], kept
        yield model
        return
    with writing_rows(folder, len(kept), rows.shape[1], _kind(rows)) as file:
        _write_kept(rows, kept, file)
        room = _room(budget, rows.device) - FLOAT * SCORED * test * h * w
        yield OnDisk(config, BankInParts(file, room, rows.device), kept)


def _kept(model: PatchCore, rows: PatchRows, *, folder: Path, budget: float) -> Tensor:
    """The rows (l,) that a model keeps."""
    config, seed = model.config, model.seed
    if config.sampler == "greedy":
        return _selected(rows, config, seed=seed, progress=model.progress, folder=folder, budget=budget)
    return select_coreset(rows, config, seed=seed)[0]  # needs no projection


def _selected(
    rows: PatchRows, config: PatchCoreConfig, *, seed: int, progress: bool, folder: Path, budget: float
) -> Tensor:
    size = checked_size(rows, config)
    n, d = rows.shape
    width = min(d, config.projection_dimension or d)
    with writing_rows(folder, n, width, _kind(rows)) as file:
        _write_projected(rows, width, file, seed)
        shard = Shard(FileRows(file, rows.device), 0, memory=max(0.0, _room(budget, rows.device)))
        found = greedy_over_shards(
            Here([shard]),
            size,
            anchors=ANCHORS if config.first_pick == "anchors" else 0,
            generator=generator(seed, "first pick"),
            progress=progress,
        )
    return found.picks.to(rows.device)


def _write_projected(rows: PatchRows, width: int, file: RowFile, seed: int) -> None:
    """Projected block by block, by products of the shape that `random_projection` of all makes: the same bits."""
    size = block_rows(rows.shape[1], rows.device)
    with writing(file.path), file.path.open("r+b") as target:
        for start in range(0, len(rows), size):
            part = random_projection(rows[start : start + size], width, generator=generator(seed, "projection"))
            target.write(part.cpu().contiguous().view(torch.uint8).numpy().tobytes())


def _write_kept(rows: PatchRows, kept: Tensor, file: RowFile) -> None:
    """Rows (l,) in their order; made in that of the images, so that each is described once or twice."""
    ordered, places = kept.sort()
    width, size = rows.shape[1] * rows.dtype.itemsize, block_rows(rows.shape[1], rows.device)
    with writing(file.path), file.path.open("r+b", buffering=0) as target:
        for some, at in zip(ordered.split(size), places.split(size), strict=True):
            for row, place in zip(rows[some].cpu().view(torch.uint8).numpy(), at.tolist(), strict=True):
                if os.pwrite(target.fileno(), row, place * width) < width:  # the last that had room
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _room(budget: float, device: torch.device) -> float:
    """Bytes for what is selected or searched: of a GPU no more than are free there."""
    room = budget - CELL_BASE_BYTES
    return min(room, torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else room


def _kind(rows: PatchRows) -> str:
    return str(rows.dtype).removeprefix("torch.")

"""What a coreset covers and what random picks leave out: radii pick by pick, maps of a memory bank, use in tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Generator, Tensor

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import greedy_coreset, random_coreset
from patchcore_suite.datasets.synthetic import plane_points
from patchcore_suite.plugins.learned_banks import kmeans_centroids

BLOCK_VALUES = 2**22  # values of one temporary block of distances
EMBEDDINGS = ("PCA", "UMAP")


def coverage(rows: Tensor, picks: Tensor, sizes: Sequence[int]) -> Tensor:
    """How far each row is from the first few picks, for several numbers of them.

    Args:
        rows: (n, d).
        picks: (k,) rows that were picked, in order.
        sizes: ascending, each in 1..k.

    Returns:
        (len(sizes), n) distance of each row to the nearest of the first so many picks. The largest of a line is the
        covering radius of Eq. 5.
    """
    if not len(sizes) or list(sizes) != sorted(set(sizes)) or not 1 <= sizes[0] <= sizes[-1] <= len(picks):
        raise InputError(f"sizes={list(sizes)} must be ascending numbers in 1..{len(picks)}")
    centred = rows - rows.mean(dim=0)  # distances stay; smaller norms lose less to rounding
    norms = centred.square().sum(dim=1)
    squared = rows.new_full((len(rows),), torch.inf)
    lines, block = [], max(1, BLOCK_VALUES // len(rows))
    for start, stop in zip([0, *sizes[:-1]], sizes, strict=True):
        for part in picks[start:stop].split(block):
            products = norms + norms[part, None] - 2 * centred[part] @ centred.T
            squared = torch.minimum(squared, products.amin(dim=0))
            squared[part] = 0
        lines.append(squared.clamp_min(0).sqrt())
    return torch.stack(lines)


def steps_to(size: int, count: int = 16) -> list[int]:
    """Numbers of picks from 1 to `size`, closer together where they are few."""
    return sorted({int(number) for number in np.geomspace(1, size, count).round()})


@dataclass(frozen=True, eq=False)
class ToyPicks:
    """What three samplers keep of points in the plane, pick by pick.

    Attributes:
        points: (n, 2).
        size: how many picks there are at most.
        seed: of the draws.
    """

    points: Tensor
    size: int
    seed: int

    SAMPLERS = ("greedy", "random", "k-means")

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.points):
            raise InputError(f"size={self.size} must lie in 1..{len(self.points)}")
        object.__setattr__(self, "centroids", lru_cache(None)(self._centroids))

    @classmethod
    def draw(cls, distribution: str, *, points: int, size: int, seed: int) -> "ToyPicks":
        """Points of one of the distributions of `toy`, and the picks among them."""
        return cls(plane_points.distributions(points, seed=seed)[distribution], size, seed)

    @cached_property
    def picks(self) -> dict[str, Tensor]:
        """(size,) rows that the samplers which choose points choose, in order."""
        return {
            "greedy": greedy_coreset(self.points, self.size, generator=self._generator()),
            "random": random_coreset(self.points, self.size, generator=self._generator()),
        }

    @cached_property
    def radii(self) -> dict[str, NDArray[np.float32]]:
        """(size,) covering radius after each pick, of the samplers that choose points."""
        sizes = range(1, self.size + 1)
        return {name: coverage(self.points, picks, sizes).amax(dim=1).numpy() for name, picks in self.picks.items()}

    def kept(self, sampler: str, step: int) -> tuple[NDArray[np.float32], float]:
        """The first `step` points that a sampler keeps, (step, 2), and their covering radius.

        Centroids of k-means have no order: they are made anew for each number.
        """
        if sampler != "k-means":
            return self.points[self.picks[sampler][:step]].numpy(), float(self.radii[sampler][step - 1])
        centroids = self.centroids(step)
        return centroids.numpy(), float(torch.cdist(self.points, centroids).amin(dim=1).max())

    def curves(self) -> dict[str, tuple[list[int], list[float]]]:
        """Numbers of picks and covering radii of each sampler; of k-means at a few numbers, for time."""
        every, some = list(range(1, self.size + 1)), steps_to(self.size, 10)
        found = {name: (every, radii.tolist()) for name, radii in self.radii.items()}
        return found | {"k-means": (some, [self.kept("k-means", number)[1] for number in some])}

    def farthest(self, sampler: str, step: int) -> NDArray[np.float32]:
        """(2,) the point that is farthest from what is kept: what greedy picks next."""
        centres, _ = self.kept(sampler, step)
        return self.points[torch.cdist(self.points, torch.from_numpy(centres)).amin(dim=1).argmax()].numpy()

    def _centroids(self, size: int) -> Tensor:
        return kmeans_centroids(self.points, size, generator=self._generator())

    def _generator(self) -> Generator:
        return torch.Generator().manual_seed(self.seed)


def pick_density(coreset_indices: ArrayLike, grid: tuple[int, int]) -> NDArray[np.int64]:
    """(h, w) how many rows of the memory bank were cut out at each place of the image grid.

    Args:
        coreset_indices: (l,) kept nominal patches, n-major then h then w.
    """
    places = np.asarray(coreset_indices, dtype=np.int64) % (grid[0] * grid[1])
    return np.bincount(places, minlength=grid[0] * grid[1]).reshape(grid)


def picks_on_image(coreset_indices: ArrayLike, grid: tuple[int, int], image: int) -> tuple[NDArray, NDArray]:
    """The rows of the memory bank (k,) that were cut out of a training image, and their places (k, 2) on its grid."""
    indices, patches = np.asarray(coreset_indices, dtype=np.int64), grid[0] * grid[1]
    of_image = np.flatnonzero(indices // patches == image)
    return of_image, np.stack(np.divmod(indices[of_image] % patches, grid[1]), axis=1)


def uses(indices: ArrayLike, bank_size: int) -> NDArray[np.int64]:
    """(l,) for how many test patches each row of the memory bank is the nearest.

    Args:
        indices: of any shape, the row of the bank that each test patch is nearest to.
        bank_size: rows of the bank.
    """
    return np.bincount(np.asarray(indices).ravel(), minlength=bank_size)


def forgotten(gaps: Tensor, grid: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Nominal patches (count,) that are farthest from what was kept, at most one of each training image.

    Args:
        gaps: (n,) distance of each patch to the nearest kept one, n-major then h then w.
    """
    of_images = gaps.reshape(-1, grid[0] * grid[1])
    farthest, places = of_images.max(dim=1)
    images = farthest.argsort(descending=True, stable=True)[:count]
    return (images * grid[0] * grid[1] + places[images]).numpy()


def drawn_rows(total: int, always: Sequence[Tensor], *, cap: int, generator: Generator) -> Tensor:
    """Rows to draw of a bank that is too large for a picture: some at random, and those that must not be missing.

    Args:
        total: rows of the bank.
        always: picks that are drawn whatever happens.
        cap: how many of the others.
    """
    some = torch.randperm(total, generator=generator)[:cap]
    return torch.cat([some, *always]).unique()


def embedding(rows: Tensor, method: str, *, seed: int = 0) -> NDArray[np.float32]:
    """Bring patch features (n, d) into the plane, (n, 2).

    Args:
        method: "PCA" keeps the two directions of largest variance; "UMAP" keeps neighbours together, and distances
            between groups mean little in it.

    Raises:
        InputError: there is no such method, or too few rows for it, or its package is not installed.
    """
    if method not in EMBEDDINGS:
        raise InputError(f"embedding={method!r} must be one of {', '.join(EMBEDDINGS)}")
    if len(rows) < 4:
        raise InputError(f"{len(rows)} patches are too few for a map")
    if method == "PCA":
        centred = (rows - rows.mean(dim=0)).double()
        _, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
        return (centred @ directions[:, -2:].flip(1)).float().numpy()
    try:
        import umap  # slow to import
    except ImportError:
        raise InputError("UMAP is not installed", remedy="run `pip install -e '.[lab]'`, or choose PCA") from None
    reducer = umap.UMAP(n_neighbors=min(15, len(rows) - 1), random_state=seed, n_jobs=1)
    return reducer.fit_transform(rows.numpy()).astype(np.float32)

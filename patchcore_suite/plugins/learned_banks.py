"""Memory banks of vectors that are made, not chosen: what the greedy coreset is compared with in Roth et al. (2022)."""

import torch
from torch import Generator, Tensor

from patchcore_core.common.progress import LONG, progress_bar
from patchcore_core.coreset import random_coreset
from patchcore_core.neighbours import nearest

KMEANS_ROUNDS = 25  # at most; what faiss does by default

PROXY_STEPS = 1000
PROXY_BATCH = 1024  # rows a step
PROXY_RATE = 0.05  # Adam's, in units of the temperature
TEMPERATURE = 0.02  # of the softmax, in units of the mean distance from a row to its nearest initial proxy
TEMPERATURE_ROWS = 4096  # from which that mean is taken


def kmeans_centroids(
    features: Tensor, size: int, *, generator: Generator | None = None, progress: bool = False
) -> Tensor:
    """Make the vectors whose mean squared distance to the features is small: Lloyd's k-means from random rows.

    faiss does the rounds, on the CPU; a centroid that loses all its rows restarts beside that of a large cluster.

    Args:
        features: (n, d).
        size: how many to make, 1 <= size <= n.
        progress: show a progress bar.

    Returns:
        (size, d) centroids; the features themselves, in another order, if `size` is n.

    Raises:
        InputError: `size` is outside 1..n, or the features hold NaN or infinities.
    """
    import faiss  # slow to import

    centroids = features[random_coreset(features, size, generator=generator)]
    if size == len(features):
        return centroids
    centre = features.mean(dim=0)  # distances stay; smaller norms lose less to rounding
    rows, found = ((vectors - centre).float().cpu().numpy() for vectors in (features, centroids))
    # One round a call, for the progress bar and to stop early; faiss is to use all rows, and not to warn of few.
    kmeans = faiss.Kmeans(rows.shape[1], size, niter=1, min_points_per_centroid=1, max_points_per_centroid=len(rows))
    with progress_bar(KMEANS_ROUNDS, "k-means", unit="round", show=progress, wait=LONG) as bar:
        for _ in range(KMEANS_ROUNDS):
            kmeans.train(rows, init_centroids=found)
            bar.update(1)
            if (kmeans.centroids == found).all():
                break
            found = kmeans.centroids
    return torch.from_numpy(found).to(features) + centre


def learned_proxies(
    features: Tensor, size: int, *, generator: Generator | None = None, progress: bool = False
) -> Tensor:
    """Make the vectors from whose nearest ones each feature can be put together: the paper's learned basis proxies.

    Random rows are fitted by Adam to minimise the `reconstruction_loss` of mini-batches.

    The unit of length is `TEMPERATURE` times the mean distance from a row to its nearest initial proxy, so that the
    features' scale has no say and a row is put together from the few proxies around it. Were that share five times as
    large, many would weigh in, put features together from far away, and be no place to measure distances from.

    Args:
        features: (n, d).
        size: how many to make, 1 <= size <= n.
        progress: show a progress bar.

    Returns:
        (size, d) proxies; the features themselves, in another order, if `size` is n.

    Raises:
        InputError: `size` is outside 1..n, or the features hold NaN or infinities.
    """
    initial = features[random_coreset(features, size, generator=generator)]
    # Departs from the paper, whose softmax is of plain distances; optimiser and steps are ours, it names none.
    scale = softmax_scale(features, initial, generator=generator)
    if scale == 0:  # the features are all among the proxies
        return initial
    centre = features.mean(dim=0)
    with (
        progress_bar(PROXY_STEPS, "proxies", unit="step", show=progress, wait=LONG) as bar,
        torch.inference_mode(False),  # a caller who wants no gradients does not mean these
        torch.enable_grad(),
    ):
        proxies = ((initial - centre) / scale).requires_grad_()
        optimiser = torch.optim.Adam([proxies], lr=PROXY_RATE)
        for _ in range(PROXY_STEPS):
            batch = torch.randint(len(features), (PROXY_BATCH,), generator=generator).to(features.device)
            optimiser.zero_grad()
            reconstruction_loss((features[batch] - centre) / scale, proxies).backward()
            optimiser.step()
            bar.update(1)
    return proxies.detach() * scale + centre


def reconstruction_loss(features: Tensor, proxies: Tensor) -> Tensor:
    """Mean squared error of features put together from proxies, weighted by nearness.

    mean over i of ||m_i - sum over k of softmax_k(-||m_i - p_k||) p_k||^2

    Args:
        features: (n, d) m_i, in units of the softmax's temperature.
        proxies: (size, d) p_k, in the same.

    Returns:
        The loss, in squared units.
    """
    # Departs from the paper, which, as far as we know, prints no minus sign: the farthest proxy would weigh most.
    weights = torch.softmax(-torch.cdist(features, proxies), dim=1)  # (n, size)
    return (features - weights @ proxies).square().sum(dim=1).mean()


def softmax_scale(features: Tensor, proxies: Tensor, *, generator: Generator | None = None) -> float:
    """`TEMPERATURE` times the mean distance from a row that is no proxy to the nearest one; 0 if all rows are."""
    drawn = torch.randperm(len(features), generator=generator)[:TEMPERATURE_ROWS].to(features.device)
    distances, _ = nearest(features[drawn], proxies)
    apart = distances[distances > 0]
    return TEMPERATURE * float(apart.mean()) if len(apart) else 0.0

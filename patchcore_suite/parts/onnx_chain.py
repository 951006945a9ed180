"""A fitted PatchCore as one graph, from images to scores and maps."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from patchcore_core import PatchCore, scoring
from patchcore_core.backbones import Backbone, feature_maps
from patchcore_core.neighbours import nearest
from patchcore_suite.parts.onnx_features import PatchFeatures
from patchcore_suite.parts.onnx_search import Search
from patchcore_suite.parts.onnx_tiles import tiled
from patchcore_suite.parts.region import FAINT, patches_inside
from patchcore_suite.parts.tiles import Tiles, tiled_maps


class Chain(nn.Module):
    """Images (n, 3, H, W) in [0, 1] to image scores (n,) and anomaly maps (n, H, W), as `PatchCore.predict` gives them.

    Args:
        model: fitted, with a network that is an `nn.Module`; it is copied.
        size: (H, W), the same for all images.
        tiles: in which the network sees images; None for whole ones.
        region: (H, W) bool, what of images is looked at; None for all.
    """

    neighbourhoods: Tensor
    vertical: Tensor
    horizontal: Tensor
    inside: Tensor
    shown: Tensor

    def __init__(
        self,
        model: PatchCore,
        size: tuple[int, int],
        *,
        tiles: Tiles | None = None,
        region: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__()
        self.config = config = model.config
        self.size, self.tiles = size, tiles
        bank, blank = model.memory_bank.cpu(), torch.zeros(1, 3, *size, device=model.device)
        maps = feature_maps(model.network, blank) if tiles is None else tiled_maps(model.network, blank, tiles)
        self.network = copy.deepcopy(model.network).cpu().eval()
        self.features = PatchFeatures([fmap.shape[1] for fmap in maps], config)
        _, h, w, _ = self.features.to(maps[0].device)(maps).shape
        self.features.cpu()
        self.search = Search(bank, h * w)
        b = min(config.reweight_neighbours, len(bank)) if config.score == "reweighted" else 1
        self.register_buffer(
            "neighbourhoods", nearest(bank, bank, k=b)[1] if b > 1 else None
        )  # (l, b), N_b of each row
        self.register_buffer("vertical", self._axis(h, size[0]))
        self.register_buffer("horizontal", self._axis(w, size[1]))
        inside = None if region is None else patches_inside(region, (h, w))
        self.register_buffer("inside", None if inside is None else inside.flatten().float())  # (h w,)
        self.register_buffer("shown", None if inside is None else self._shown(torch.tensor(region), inside))  # (H, W)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self._maps(images))
        _, h, w, d = features.shape
        distances, rows = self.search(features.reshape(-1, d))
        distances = distances.reshape(-1, h * w)
        if self.inside is not None:
            distances = distances * self.inside
        scores, worst = distances.max(dim=1)
        if self.neighbourhoods is not None:
            worst = worst + h * w * torch.arange(worst.shape[0])  # len() would be traced as a constant
            scores = self._reweighted(scores, features.reshape(-1, d)[worst], rows[worst])
        elif self.config.squared_distances and self.config.score == "max":
            scores = scores.square()
        if self.config.squared_distances:
            distances = distances.square()
        maps = self._smoothed(distances.reshape(-1, h, w))
        return scores, maps if self.shown is None else maps * self.shown

    def _smoothed(self, distances: Tensor) -> Tensor:
        """Anomaly maps (n, H, W) of distances (n, h, w)."""
        return self.vertical @ distances @ self.horizontal.T

    def _shown(self, region: Tensor, inside: Tensor) -> Tensor:
        """What maps (H, W) are multiplied by, so that they say what `PartsModel` says of a region."""
        weight = self._smoothed(inside.float()[None])[0]
        return torch.where(region & (weight > FAINT), 1 / weight.clamp(min=1e-6), 0)

    def _maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps, finest first, as `feature_maps` gives them."""
        network = self.network
        if isinstance(network, Backbone):  # without its context of precision, which would be traced for minutes
            images, network = (images - network.mean) / network.std, network.network
        if self.tiles is None:
            maps = [fmap.float() for fmap in network(images)]
        else:
            maps = tiled(network, images, self.tiles, self.size)
        return sorted(maps, key=lambda fmap: -fmap.shape[-1] * fmap.shape[-2])

    def _reweighted(self, scores: Tensor, patch: Tensor, row: Tensor) -> Tensor:
        """s (n,) of Eq. 7, as `scoring` has it, of each image's worst patch (n, d) and its neighbour (n,)."""
        bank, patch = self.search.bank, patch.double()
        to_neighbourhood = (bank[self.neighbourhoods[row]].double() - patch[:, None]).norm(dim=2)
        to_nearest = (bank[row].double() - patch).norm(dim=1)
        weight = 1 - torch.exp(to_nearest - torch.logsumexp(to_neighbourhood, dim=1))
        return (weight * scores.double()).float()

    def _axis(self, length: int, target: int) -> Tensor:
        """(target, length) matrix that brings one axis of a map to the image's size and smooths it."""
        columns = torch.eye(length, dtype=torch.float64)[:, :, None]  # one map a position, one column wide
        sigma, upsampling = self.config.smoothing_sigma, self.config.upsampling
        return scoring.anomaly_maps(columns, (target, 1), sigma=sigma, upsampling=upsampling)[:, :, 0].T.float()

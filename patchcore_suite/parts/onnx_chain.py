"""A fitted PatchCore as one graph, from images to scores and maps."""

import copy

import torch
from torch import Tensor, nn

from patchcore_core import PatchCore, scoring
from patchcore_core.backbones import Backbone, feature_maps
from patchcore_core.neighbours import nearest
from patchcore_suite.parts.onnx_features import PatchFeatures
from patchcore_suite.parts.onnx_search import Search


class Chain(nn.Module):
    """Images (n, 3, H, W) in [0, 1] to image scores (n,) and anomaly maps (n, H, W), as `PatchCore.predict` gives them.

    Args:
        model: fitted, with a network that is an `nn.Module`; it is copied.
        size: (H, W), the same for all images.
    """

    neighbourhoods: Tensor
    vertical: Tensor
    horizontal: Tensor

    def __init__(self, model: PatchCore, size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config = model.config
        bank = model.memory_bank.cpu()
        maps = feature_maps(model.network, torch.zeros(1, 3, *size, device=model.device))
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

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self._maps(images))
        _, h, w, d = features.shape
        distances, rows = self.search(features.reshape(-1, d))
        distances = distances.reshape(-1, h * w)
        scores, worst = distances.max(dim=1)
        if self.neighbourhoods is not None:
            worst = worst + h * w * torch.arange(worst.shape[0])  # len() would be traced as a constant
            scores = self._reweighted(scores, features.reshape(-1, d)[worst], rows[worst])
        elif self.config.squared_distances and self.config.score == "max":
            scores = scores.square()
        if self.config.squared_distances:
            distances = distances.square()
        return scores, self.vertical @ distances.reshape(-1, h, w) @ self.horizontal.T

    def _maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps, finest first, as `feature_maps` gives them."""
        network = self.network
        if isinstance(network, Backbone):  # without its context of precision, which would be traced for minutes
            images, network = (images - network.mean) / network.std, network.network
        maps = [fmap.float() for fmap in network(images)]
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

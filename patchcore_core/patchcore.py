"""PatchCore (Roth et al., CVPR 2022), put together from its equations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor

from patchcore_core import scoring
from patchcore_core.backbones.fingerprints import network_sha256, state_sha256
from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_core.detector import Detector, Prediction
from patchcore_core.memory_bank import fill_memory_bank
from patchcore_core.neighbours import Index
from patchcore_core.patches import Rows, patch_features
from patchcore_core.saved_model import DESCRIPTION_FILE, check_bank, folder_of, read_model, write_model


class PatchCore(Detector):
    """Anomaly detection with a memory bank of nominal patch features.

    Images are (n, 3, H, W) with values in [0, 1] and in RGB, and come as `Detector` says.

        model = PatchCore(PatchCoreConfig(coreset_fraction=0.1)).fit(nominal_images)
        prediction = model.predict(test_images)

    Attributes:
        memory_bank: (l, d), once fitted.
        coreset_indices: (l,) rows of all nominal patch features, n-major then h then w, that the bank keeps, in order
            of selection; None where the bank is learned instead of chosen.

    Args:
        config: the variant.
        network, seed, weights, device, progress: as of `Detector`.
    """

    config: PatchCoreConfig

    def __init__(
        self,
        config: PatchCoreConfig | None = None,
        *,
        network: Callable[[Tensor], Sequence[Tensor]] | None = None,
        seed: int = 0,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        progress: bool = False,
    ) -> None:
        if not isinstance(cast("object", config), PatchCoreConfig | None):
            raise InputError(f"config={config!r} must be a PatchCoreConfig")
        super().__init__(
            config or PatchCoreConfig(),
            network=network,
            seed=seed,
            weights=weights,
            device=device,
            progress=progress,
        )
        self.memory_bank: Tensor | None = None
        self.coreset_indices: Tensor | None = None
        self._index: Index | None = None

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The patch features (n, h, w, d) of a batch."""
        config = self.config
        features = patch_features(
            maps, config.neighbourhood_size, config.stride, config.dimension, border=config.border
        )
        return [features.to(getattr(torch, config.storage))]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fill the memory bank with nominal patch features (n, h, w, d)."""
        return self.fit_rows(nominal[0].flatten(0, 2))

    def fit_rows(self, rows: Rows) -> Self:
        """Fill the memory bank with nominal patch features (n, d)."""
        self.memory_bank, self.coreset_indices = fill_memory_bank(
            rows, self.config, seed=self.seed, progress=self.progress
        )
        self._index, self._fitted_state = None, state_sha256(self._own_network)
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W)."""
        n, h, w, _ = test[0].shape
        found = self.predict_rows(test[0].flatten(0, 2), (n, h, w))
        assert found.distances is not None
        sigma, upsampling = self.config.smoothing_sigma, self.config.upsampling
        return replace(found, maps=scoring.anomaly_maps(found.distances, size, sigma=sigma, upsampling=upsampling))

    def predict_rows(self, rows: Rows, shape: tuple[int, int, int]) -> Prediction:
        """Score patch features (n * h * w, d) of n images, without anomaly maps; `shape` is (n, h, w)."""
        distances, indices = (found.view(shape) for found in self.nearest_patches(rows))
        worst = distances.flatten(1).argmax(dim=1)  # the one patch of each image that Eq. 7 needs
        worst += shape[1] * shape[2] * torch.arange(len(worst), device=worst.device)
        reweighted = scoring.reweighted_scores(
            rows[worst][:, None, None],
            distances.flatten()[worst][:, None, None],
            indices.flatten()[worst][:, None, None],
            self._fitted_bank(),
            reweight_neighbours=self.config.reweight_neighbours,
        )
        scores = scoring.image_scores(distances)
        if self.config.squared_distances:  # Departs from Eq. 6, as the authors' code does
            distances, scores = distances.square(), scores.square()
        score = reweighted if self.config.score == "reweighted" else scores
        return Prediction(score, distances=distances, reweighted_scores=reweighted, indices=indices)

    def nearest_patches(self, features: Rows) -> tuple[Tensor, Tensor]:
        """Distance of each patch (n,) to its nearest neighbour in the memory bank, and that neighbour's row."""
        memory_bank = self._fitted_bank()
        if features.shape[1] != memory_bank.shape[1]:
            raise InputError(
                f"patch features have {features.shape[1]} dimensions, the memory bank has {memory_bank.shape[1]}",
                remedy="fit and predict with one configuration",
            )
        if self._index is None:
            self._index = Index(memory_bank, self.config.search)
        return self._index.nearest(features)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: safetensors and JSON, nothing pickled.

        Raises:
            InputError: nothing was fitted yet, the bank holds NaN, or the network was changed since or could not be
                told from another when the model is loaded: no named backbone and no `nn.Module`.
        """
        folder, weights, own = folder_of(path), self.weights, self._own_network
        tensors = {"memory_bank": self._fitted_bank()}
        if self.coreset_indices is not None:
            tensors["coreset_indices"] = self.coreset_indices
        check_bank(tensors, self.config.storage, where="the model")
        if state_sha256(own) != self._fitted_state:
            raise InputError("the network was changed since the model was fitted", remedy="fit it again, then save it")
        description = {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "weights_sha256": weights.sha256 if weights else None,
            "network_sha256": None if own is None else network_sha256(own),
        }
        write_model(folder, tensors, description)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        network: Callable[[Tensor], Sequence[Tensor]] | None = None,
        weights: str | None = None,
        device: str | torch.device = "cpu",
    ) -> "PatchCore":
        """Read a model that `save` wrote.

        Args:
            path: the folder.
            network: the module that the model was fitted with, if it was not a named backbone.

        Raises:
            InputError: the folder holds no model, a changed or damaged one, one of another format, or one that was
                fitted with another network or with other weights.
        """
        path = folder_of(path)
        description, tensors = read_model(path)
        fitted_with = description["network_sha256"]
        if (fitted_with is None) != (network is None):
            own = "a named backbone" if fitted_with is None else "a network of its own: pass it as network="
            raise InputError(f"{path} was fitted with {own}", remedy="load it with what it was fitted with")
        if network is not None and network_sha256(network) != fitted_with:
            raise InputError(
                f"{path} was fitted with another network than the one given",
                remedy="load it with the network that it was fitted with, in the same version of Python",
            )

        config = PatchCoreConfig.from_mapping(description["config"], where=str(path / DESCRIPTION_FILE))
        check_bank(tensors, config.storage, where=str(path))
        model = cls(config, network=network, seed=description["seed"], weights=weights, device=device)
        found = model.weights
        if found is not None and found.sha256 != description["weights_sha256"]:
            raise InputError(
                f"{path} was fitted with weights {description['weights_sha256']}, but {found.path} has {found.sha256}",
                remedy="name the weights that it was fitted with",
            )
        model.memory_bank, model._fitted_state = tensors["memory_bank"].to(model.device), state_sha256(network)
        kept = tensors.get("coreset_indices")
        model.coreset_indices = None if kept is None else kept.to(model.device)
        return model

    def _fitted_bank(self) -> Tensor:
        if self.memory_bank is None:
            raise InputError("the model has no memory bank yet", remedy="call fit first, or load a fitted model")
        return self.memory_bank

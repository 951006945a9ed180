"""PatchCore (Roth et al., CVPR 2022), put together from its equations."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import safetensors.torch
import torch
from torch import Tensor

from patchcore_core import scoring
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path, sha256_file, write_json
from patchcore_core.config import PatchCoreConfig
from patchcore_core.detector import Detector, Prediction
from patchcore_core.memory_bank import fill_memory_bank
from patchcore_core.neighbours import Index
from patchcore_core.patches import patch_features

MODEL_FORMAT = 1
MEMORY_BANK_FILE, DESCRIPTION_FILE = "memory_bank.safetensors", "model.json"


class PatchCore(Detector):
    """Anomaly detection with a memory bank of nominal patch features.

    Images are (n, 3, H, W) with values in [0, 1] and in RGB; a named backbone normalises them as it was trained.

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
        rows = nominal[0].flatten(0, 2)
        self.memory_bank, self.coreset_indices = fill_memory_bank(
            rows, self.config, seed=self.seed, progress=self.progress
        )
        self._index = None
        return self

    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W)."""
        memory_bank = self._fitted_bank()
        distances, indices = self.nearest_patches(test)
        scores = scoring.image_scores(distances)
        reweighted = scoring.reweighted_scores(
            test[0], distances, indices, memory_bank, reweight_neighbours=self.config.reweight_neighbours
        )
        if self.config.squared_distances:  # Departs from Eq. 6, as the authors' code does
            distances, scores = distances.square(), scores.square()
        return Prediction(
            scores=reweighted if self.config.score == "reweighted" else scores,
            reweighted_scores=reweighted,
            maps=scoring.anomaly_maps(
                distances, size, sigma=self.config.smoothing_sigma, upsampling=self.config.upsampling
            ),
            distances=distances,
            indices=indices,
        )

    def nearest_patches(self, test: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Distance of each patch (n, h, w) to its nearest neighbour in the memory bank, and that neighbour's row."""
        features, memory_bank = test[0], self._fitted_bank()
        if features.shape[-1] != memory_bank.shape[1]:
            raise InputError(
                f"patch features have {features.shape[-1]} dimensions, the memory bank has {memory_bank.shape[1]}",
                remedy="fit and predict with one configuration",
            )
        if self._index is None:
            self._index = Index(memory_bank, self.config.search)
        distances, rows = self._index.nearest(features.flatten(0, 2))
        return distances.view(features.shape[:3]), rows.view(features.shape[:3])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: safetensors and JSON, nothing pickled."""
        path, weights = Path(path), self.weights
        tensors = {"memory_bank": self._fitted_bank()}
        if self.coreset_indices is not None:
            tensors["coreset_indices"] = self.coreset_indices
        with atomic_path(path / MEMORY_BANK_FILE) as temporary:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
            safetensors.torch.save_file(tensors, temporary)
        description = {
            "format": MODEL_FORMAT,
            "config": self.config.to_dict(),
            "seed": self.seed,
            "weights_sha256": weights.sha256 if weights else None,
            "tensors_sha256": sha256_file(path / MEMORY_BANK_FILE),
        }
        write_json(path / DESCRIPTION_FILE, description)

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
            InputError: the folder holds no model, a damaged one, one of another format, or one that was fitted
                with another network or with other weights.
        """
        path = Path(path)
        try:
            description = json.loads((path / DESCRIPTION_FILE).read_text(encoding="utf-8"))
            intact = description["tensors_sha256"] == sha256_file(path / MEMORY_BANK_FILE)
            fitted_with, values, seed = (description[key] for key in ("weights_sha256", "config", "seed"))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{path} holds no PatchCore model: {error}", remedy="name a folder written by save"
            ) from None
        if description.get("format") != MODEL_FORMAT or not intact:
            raise InputError(
                f"{path} is damaged or of another format ({description.get('format')}, not {MODEL_FORMAT})",
                remedy="fit and save the model again",
            )
        if (fitted_with is None) != (network is not None):
            own = "a network of its own: pass it as network=" if fitted_with is None else "a named backbone"
            raise InputError(f"{path} was fitted with {own}", remedy="load it with what it was fitted with")

        config = PatchCoreConfig.from_mapping(values, where=str(path / DESCRIPTION_FILE))
        model = cls(config, network=network, seed=seed, weights=weights, device=device)
        found = model.weights
        if found is not None and found.sha256 != fitted_with:
            raise InputError(
                f"{path} was fitted with weights {fitted_with}, but {found.path} has {found.sha256}",
                remedy="name the weights that it was fitted with",
            )
        tensors = safetensors.torch.load_file(path / MEMORY_BANK_FILE, device=str(model.device))
        model.memory_bank, model.coreset_indices = tensors["memory_bank"], tensors.get("coreset_indices")
        return model

    def _fitted_bank(self) -> Tensor:
        if self.memory_bank is None:
            raise InputError("the model has no memory bank yet", remedy="call fit first, or load a fitted model")
        return self.memory_bank

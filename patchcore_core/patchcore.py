"""PatchCore (Roth et al., CVPR 2022), put together from its equations."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from patchcore_core import scoring
from patchcore_core.backbones import feature_maps, load_backbone
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import check_features, coreset_size, greedy_coreset, random_coreset, random_projection
from patchcore_core.errors import InputError
from patchcore_core.files import atomic_path, sha256_file, write_json
from patchcore_core.neighbours import nearest
from patchcore_core.patches import patch_features

MODEL_FORMAT = 1
MEMORY_BANK_FILE, DESCRIPTION_FILE = "memory_bank.safetensors", "model.json"

Images = Tensor | Iterable[Tensor]  # (n, 3, H, W), or batches of it


@dataclass(frozen=True)
class Prediction:
    """What PatchCore says of n images.

    Attributes:
        scores: (n,) image scores s* (Eq. 6): the largest patch distance.
        reweighted_scores: (n,) image scores s (Eq. 7).
        maps: (n, H, W) anomaly maps at the images' size.
        distances: (n, h, w) L2 distance of each patch to its nearest neighbour in the memory bank.
        indices: (n, h, w) row of that neighbour.
    """

    scores: Tensor
    reweighted_scores: Tensor
    maps: Tensor
    distances: Tensor
    indices: Tensor


class PatchCore:
    """Anomaly detection with a memory bank of nominal patch features.

    Images are (n, 3, H, W) with values in [0, 1] and in RGB; a named backbone normalises them as it was trained.

        model = PatchCore(PatchCoreConfig(coreset_fraction=0.1)).fit(nominal_images)
        prediction = model.predict(test_images)

    Args:
        config: the variant.
        network: any module that maps images to a list of feature maps (n, c, h, w), in place of the backbone that
            `config` names; it gets the images as they are.
        seed: of the random projection and of the first pick of the coreset.
        weights: a weights file or folder for the named backbone (see `weights.find_weights`).
        device: where to compute.
        progress: show progress bars.
    """

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
        self.config = config or PatchCoreConfig()
        self.seed = seed
        self.device = torch.device(device)
        self.progress = progress
        self._own_network, self._weights = network, weights
        self.memory_bank: Tensor | None = None  # (l, d)
        self.coreset_indices: Tensor | None = None  # (l,) rows of all nominal patch features, in order of selection

    @cached_property
    def network(self) -> Callable[[Tensor], Sequence[Tensor]]:
        """What turns images into feature maps; a named backbone is built on first use."""
        network = self._own_network
        if network is None:
            network = load_backbone(self.config.backbone, self.config.hierarchies, weights=self._weights)
        return network.to(self.device).eval() if isinstance(network, nn.Module) else network

    def patch_features(self, images: Tensor) -> Tensor:
        """(n, h, w, d) patch features of one batch of images."""
        return describe_maps(feature_maps(self.network, images.to(self.device)), self.config)

    def fit(self, images: Images) -> "PatchCore":
        """Fill the memory bank with the patches of nominal images.

        Raises:
            InputError: there are no images, or images of different sizes.
        """
        return self.fit_patches(self._all_patch_features(images)[0])

    def fit_patches(self, features: Tensor) -> "PatchCore":
        """Fill the memory bank with nominal patch features (n, h, w, d)."""
        rows = features.flatten(0, 2)
        self.coreset_indices = select_coreset(rows, self.config, seed=self.seed, progress=self.progress)
        # A coreset of everything needs no second copy of the rows.
        self.memory_bank = rows if len(self.coreset_indices) == len(rows) else rows[self.coreset_indices]
        return self

    def predict(self, images: Images) -> Prediction:
        """Score test images.

        Raises:
            InputError: the model is not fitted, there are no images, or images of different sizes.
        """
        self._require_memory_bank()
        return self.predict_patches(*self._all_patch_features(images))

    def predict_patches(self, features: Tensor, size: Sequence[int]) -> Prediction:
        """Score patch features (n, h, w, d) of images of `size` (H, W)."""
        self._require_memory_bank()
        n, h, w, d = features.shape
        if d != self.memory_bank.shape[1]:
            raise InputError(
                f"patch features have {d} dimensions, the memory bank has {self.memory_bank.shape[1]}",
                remedy="fit and predict with one configuration",
            )
        found, rows = nearest(features.flatten(0, 2), self.memory_bank, search=self.config.search)
        distances, indices = found.view(n, h, w), rows.view(n, h, w)
        return Prediction(
            scores=scoring.image_scores(distances),
            reweighted_scores=scoring.reweighted_scores(
                features, distances, indices, self.memory_bank, reweight_neighbours=self.config.reweight_neighbours
            ),
            maps=scoring.anomaly_maps(distances, size, sigma=self.config.smoothing_sigma),
            distances=distances,
            indices=indices,
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: safetensors and JSON, nothing pickled."""
        self._require_memory_bank()
        path = Path(path)
        tensors = {"memory_bank": self.memory_bank, "coreset_indices": self.coreset_indices}
        with atomic_path(path / MEMORY_BANK_FILE) as temporary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        description = {
            "format": MODEL_FORMAT,
            "config": self.config.to_dict(),
            "seed": self.seed,
            "weights_sha256": self.network.weights.sha256 if self._own_network is None else None,
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
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        if network is None and model.network.weights.sha256 != fitted_with:
            raise InputError(
                f"{path} was fitted with weights {fitted_with}, but {model.network.weights.path} has "
                f"{model.network.weights.sha256}",
                remedy="name the weights that it was fitted with",
            )
        tensors = load_file(path / MEMORY_BANK_FILE, device=str(model.device))
        model.memory_bank, model.coreset_indices = tensors["memory_bank"], tensors["coreset_indices"]
        return model

    def _require_memory_bank(self) -> None:
        if self.memory_bank is None:
            raise InputError("the model has no memory bank yet", remedy="call fit first, or load a fitted model")

    def _all_patch_features(self, images: Images) -> tuple[Tensor, tuple[int, int]]:
        """Patch features (n, h, w, d) of all images, and the images' size (H, W)."""
        features, sizes = [], set()
        for batch in [images] if isinstance(images, Tensor) else images:
            if len(batch):
                features.append(self.patch_features(batch))
                sizes.add(tuple(batch.shape[-2:]))
                if len(sizes) > 1:
                    raise InputError(f"images of different sizes: {sorted(sizes)}", remedy="bring all to one size")
        if not features:
            raise InputError("there are no images", remedy="give at least one image")
        return torch.cat(features), sizes.pop()


def describe_maps(maps: Sequence[Tensor], config: PatchCoreConfig) -> Tensor:
    """Patch features (n, h, w, d) from feature maps, as `config` asks for."""
    return patch_features(maps, config.neighbourhood_size, config.stride, config.dimension, border=config.border)


def select_coreset(rows: Tensor, config: PatchCoreConfig, *, seed: int, progress: bool = False) -> Tensor:
    """Rows that the memory bank keeps of all nominal patch features (n, d), in order of selection."""
    size = coreset_size(len(rows), config.coreset_fraction)
    check_features(rows, size)
    if size == len(rows):
        return torch.arange(size, device=rows.device)
    if config.sampler == "random":
        return random_coreset(rows, size, generator=generator(seed, "random coreset"))
    if config.projection_dimension is not None:
        rows = random_projection(rows, config.projection_dimension, generator=generator(seed, "projection"))
    return greedy_coreset(rows, size, generator=generator(seed, "first pick"), progress=progress)


def generator(seed: int, purpose: str) -> Generator:
    """A random generator of its own for each purpose, so that switching one draw off leaves the others as they are."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

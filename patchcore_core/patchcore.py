"""PatchCore (Roth et al., CVPR 2022), put together from its equations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor

from patchcore_core import scoring
from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_core.coreset import coreset_size
from patchcore_core.detector import Detector, Prediction
from patchcore_core.images import Images
from patchcore_core.memory_bank import extend_memory_bank, fill_memory_bank
from patchcore_core.neighbours import Index
from patchcore_core.patches import Rows, patch_features
from patchcore_core.saved_model import DESCRIPTION_FILE, check_bank, folder_of, read_model, write_model
from patchcore_core.unchanged import MARK, Watched, seal


class PatchCore(Detector):
    """Anomaly detection with a memory bank of nominal patch features.

    Images are (n, 3, H, W) with values in [0, 1] and in RGB, and come as `Detector` says.

        model = PatchCore(PatchCoreConfig(coreset_fraction=0.1)).fit(nominal_images)
        prediction = model.predict(test_images)

    Attributes:
        coreset_indices: (l,) rows of all nominal patch features, n-major then h then w, that the bank keeps, in order
            of selection; None where the bank is learned instead of chosen. Of images that `extend` brought, the rows
            are numbered on.
        covering_radius: the distance to the bank, after projection, that no nominal patch feature exceeds; known of
            greedy banks with a drawn first pick.
        rows_seen: how many nominal patch features there were.

    Arguments are those of `Detector`.
    """

    configured_by = PatchCoreConfig
    config: PatchCoreConfig
    coreset_indices: Tensor | None = None
    covering_radius: float | None = None
    rows_seen: int | None = None
    _bank: Tensor | None = None
    _seal: object = None
    _grid: list[int] | None = None  # [h, w] of the patches of an image, if images were fitted
    _index: Index | None = None

    @property
    def memory_bank(self) -> Tensor | None:
        """(l, d), once fitted. It must not be edited in place; a new one may be set, of unknown covering radius."""
        return self._bank

    @memory_bank.setter
    def memory_bank(self, bank: Tensor) -> None:
        if (
            not isinstance(cast("object", bank), Tensor)
            or bank.ndim != 2
            or not bank.is_floating_point()
            or not bank.isfinite().all()
        ):
            raise InputError("a memory bank must be a tensor (l, d) of floating-point numbers that are finite")
        if bank is not self._bank:
            self._bank, self._seal, self._index, self.covering_radius = bank, seal(bank), None, None
        self._fitted_bank()

    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The patch features (n, h, w, d) of a batch."""
        config = self.config
        features = patch_features(
            maps, config.neighbourhood_size, config.stride, config.dimension, border=config.border
        )
        return [features.to(getattr(torch, config.storage))]

    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Fill the memory bank with nominal patch features (n, h, w, d)."""
        self.fit_rows(nominal[0].flatten(0, 2))
        self._grid = list(nominal[0].shape[1:3])
        return self

    def fit_rows(self, rows: Rows) -> Self:
        """Fill the memory bank with nominal patch features (n, d)."""
        self.memory_bank, self.coreset_indices, self.covering_radius = fill_memory_bank(
            rows, self.config, seed=self.seed, progress=self.progress
        )
        self.rows_seen, self._grid = len(rows), None
        return self

    def extend(self, images: Images, *, most: int | None = None) -> Self:
        """Let new nominal images into the fitted model: greedy selection goes on from the bank, over their patches.

        The farthest are picked first, until none is farther from the bank than `covering_radius`, or `most` are
        picked; then the covering radius is what the farthest of the others says.

        Args:
            images: as of `fit`, of the same size.
            most: how many patch features are added at most; by default the coreset's fraction of the new ones.

        Raises:
            InputError: the model cannot grow (not fitted, another sampler than greedy, saved by an earlier version),
                or images as of `fit`; the model is then as it was.
        """
        self._check_extendable()
        (features,), _ = self._describe_all(images)
        if self._grid is not None and list(features.shape[1:3]) != self._grid:
            h, w = features.shape[1:3]
            raise InputError(
                f"new images have {h} x {w} patches each, those of the fit have {self._grid[0]} x {self._grid[1]}",
                remedy="bring all images to one size",
            )
        return self.extend_rows(features.flatten(0, 2), most=most)

    def extend_rows(self, rows: Rows, *, most: int | None = None) -> Self:
        """`extend` by nominal patch features (n, d)."""
        bank, kept, radius, seen = self._check_extendable()
        self._check_dimensions(rows, bank)
        most = coreset_size(len(rows), self.config.coreset_fraction) if most is None else most
        if isinstance(most, bool) or not isinstance(cast("object", most), int) or most < 1 or not len(rows):
            raise InputError(f"most={most!r} of {len(rows)} patch features must be a whole number of at least 1")
        most = min(most, len(rows))
        picks, radius = extend_memory_bank(
            bank, rows, self.config, radius=radius, most=most, seed=self.seed, progress=self.progress
        )
        bank, kept = torch.cat([bank, rows[picks].to(bank)]), torch.cat([kept, seen + picks.to(kept)])
        self.memory_bank, self.coreset_indices = bank, kept
        self.covering_radius, self.rows_seen = radius, seen + len(rows)
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
        self._check_dimensions(features, memory_bank)
        if self._index is None:
            self._index = Index(memory_bank, self.config.search)
        return self._index.nearest(features)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: safetensors and JSON, nothing pickled.

        A network of the caller's is not written; when it is given again, it is known by its feature maps.

        Raises:
            InputError: nothing was fitted yet, the bank holds NaN, or the network was changed since, or saw no images.
        """
        folder, weights = folder_of(path), self.weights
        tensors = {"memory_bank": self._fitted_bank()}
        if self.coreset_indices is not None:
            tensors["coreset_indices"] = self.coreset_indices
        check_bank(tensors, self.config.storage, where="the model")
        self._check_network()
        if self._own_network is not None:
            tensors |= (self._watched or Watched(self.network)).marks(self.device)
        description = {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "weights_sha256": weights.sha256 if weights else None,
            "network": None if self._own_network is None else "own",
            "covering_radius": self.covering_radius,
            "rows_seen": self.rows_seen,
            "grid": self._grid,
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
        marks = {name: tensor for name, tensor in tensors.items() if name.startswith(MARK)}
        if (not marks) != (network is None):
            own = "a network of its own: pass it as network=" if marks else "a named backbone"
            raise InputError(f"{path} was fitted with {own}", remedy="load it with what it was fitted with")
        config = PatchCoreConfig.from_mapping(description["config"], where=str(path / DESCRIPTION_FILE))
        check_bank(tensors, config.storage, where=str(path))
        model = cls(config, network=network, seed=description["seed"], weights=weights, device=device)
        found = model.weights
        if found is not None and found.sha256 != description["weights_sha256"]:
            raise InputError(
                f"{path} was fitted with weights {description['weights_sha256']}, but {found.path} has {found.sha256}",
                remedy="name the weights that it was fitted with",
            )
        model.memory_bank = tensors["memory_bank"].to(model.device)
        model._watched = Watched(model.network, config.description(model.seed))
        if marks and not model._watched.recognise(marks, model.device):
            raise InputError(
                f"{path} was fitted with another network than the one given",
                remedy="load it with the network that it was fitted with",
            )
        kept = tensors.get("coreset_indices")
        model.coreset_indices = None if kept is None else kept.to(model.device)
        # Of an earlier version these are not known, and the model cannot be extended.
        model.covering_radius, model.rows_seen = description.get("covering_radius"), description.get("rows_seen")
        model._grid = description.get("grid")
        return model

    def _check_extendable(self) -> tuple[Tensor, Tensor, float, int]:
        """Bank, its rows, covering radius and rows seen, of a model that can grow."""
        bank, config = self._fitted_bank(), self.config
        if not config.extendable:
            raise InputError(
                f"sampler={config.sampler!r} with first_pick={config.first_pick!r} cannot be extended",
                remedy="fit with sampler greedy and first_pick drawn, or fit again with all images",
            )
        if self.coreset_indices is None or self.covering_radius is None or self.rows_seen is None:
            raise InputError("the model was saved by a version whose models cannot be extended", remedy="fit it again")
        self._check_network()
        return bank, self.coreset_indices, self.covering_radius, self.rows_seen

    @staticmethod
    def _check_dimensions(rows: Rows, bank: Tensor) -> None:
        if rows.shape[1] != bank.shape[1]:
            raise InputError(
                f"patch features have {rows.shape[1]} dimensions, the memory bank has {bank.shape[1]}",
                remedy="fit and predict with one configuration",
            )

    def _fitted_bank(self) -> Tensor:
        if self._bank is None:
            raise InputError("the model has no memory bank yet", remedy="call fit first, or load a fitted model")
        if seal(self._bank) != self._seal:
            raise InputError("the memory bank was edited since the model was fitted", remedy="fit the model again")
        return self._bank

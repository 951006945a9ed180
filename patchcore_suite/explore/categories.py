"""One category opened for a look: its images, what a variant said of them, and, where asked for, patch features."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from patchcore_core.common.errors import InputError
from patchcore_core.config import PatchCoreConfig
from patchcore_core.patchcore import PatchCore
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.images import Batches, image_tensor, mask_array, read_image, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.explore.anomalies import Scores
from patchcore_suite.explore.available import read_index
from patchcore_suite.run.own_networks import project_networks
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.settings.project import ProjectDataset

Report = Callable[[int, int], None]  # is told how many images of how many are done
KEPT_IMAGES = 512  # decoded images that stay in memory, about 0.6 MB each at 224 x 224
NEEDED = ("config", "preprocessing", "image_size", "images_sha256", "nominal_images", "method")  # of a stamp


@dataclass(frozen=True, eq=False)
class Subject:
    """An image that is looked at: one of the test set, or one that was uploaded.

    Attributes:
        name: what captions call it.
        defect: the defect's name, "good" if there is none; None where nobody knows.
        picture: (H, W, 3) in [0, 1], as the network saw it.
        mask: (H, W) ground truth; None where there is none.
        distances, indices: (h, w) distance to the nearest row of the memory bank, and that row.
        score: s* of Eq. 6, or what the variant makes of it.
        anomaly_map: (H, W).
    """

    name: str
    defect: str | None
    picture: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    distances: NDArray[np.float32]
    indices: NDArray[np.int64]
    score: float
    anomaly_map: NDArray[np.float32]


class Category:
    """The test set of one category, as one variant scored it.

    Args:
        records: (training, test) images.
        result: of a PatchCore variant whose bank was chosen among nominal patches.
        weights: of the backbone, as in `params.yaml`.
        network: in place of a named backbone.
        synthetic: whether the images are generated.

    Raises:
        InputError: the result is of another version, or does not suit the images or the view.
    """

    def __init__(
        self,
        train: list[Record],
        test: list[Record],
        result: RawResult,
        *,
        weights: str | None = None,
        network: nn.Module | None = None,
        synthetic: bool = False,
        remedy: str = "run `make repro`",
    ) -> None:
        missing = [key for key in NEEDED if key not in result.stamp]
        if missing:
            raise InputError(
                f"the results were written by another version: their stamp lacks {', '.join(missing)}", remedy=remedy
            )
        shown = (result.indices, result.coreset_indices, result.distances)
        if {"rotations", "together"} & set(result.stamp) or any(array is None for array in shown):
            raise InputError(
                f"variant {result.stamp.get('variant')!r} keeps no patches of training images that could be shown",
                remedy="choose a PatchCore variant with a greedy or random coreset, no rotations, one category",
            )
        self.config = PatchCoreConfig.from_mapping(result.stamp["config"], where="the stamp of the results")
        self.preprocessing = Preprocessing(**result.stamp["preprocessing"])
        self.train, self.test, self.result, self.synthetic = train, test, result, synthetic
        self._weights, self._own = weights, network
        patches = int(result.stamp["nominal_images"]) * self.grid[0] * self.grid[1]
        if len(test) != len(result.scores) or len(train) != result.stamp["nominal_images"]:
            raise InputError("the results are of other images than those in the manifest", remedy=remedy)
        if result.coreset_indices.max() >= patches or result.indices.max() >= len(result.coreset_indices):
            raise InputError("the results name patches that the training images do not have", remedy=remedy)
        self.picture = lru_cache(KEPT_IMAGES)(self._picture)
        self.mask = lru_cache(KEPT_IMAGES)(self._mask)
        self._test_features: dict[int, Tensor] = {}

    @classmethod
    def read(cls, dataset: ProjectDataset, category: str, variant: str) -> "Category":
        """Open a category of a dataset with its first seed.

        Raises:
            InputError: there are no results, or they are not of the images that are there now.
        """
        folder, index = dataset.scores, read_index(dataset)
        manifest = dataset.manifest()
        cell = next((cell for cell in index.cells if _is(cell, category, variant)), None)
        remedy = f"run `dvc repro score@{dataset.name}`"
        if cell is None:
            raise InputError(f"{dataset.name} has no results of variant {variant!r} for {category!r}", remedy=remedy)
        result = RawResult.read(folder / cell["file"])
        if result.stamp.get("images_sha256") != manifest.digest(category):
            raise InputError(
                f"the images of {dataset.name}/{category} have changed since they were scored", remedy=remedy
            )
        file, network = result.stamp.get("networks_sha256"), None
        if file is not None:
            network = project_networks(dataset.project, expected=file).modules.get(result.stamp["config"]["backbone"])
        return cls(
            manifest.records(category, "train"),
            manifest.records(category, "test"),
            result,
            weights=dataset.execution.own_weights,
            network=network,
            synthetic=manifest.synthetic,
            remedy=remedy,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of a test image."""
        return self.result.distances.shape[1:]

    @property
    def seed(self) -> int:
        """With which the variant drew what it draws."""
        return int(self.result.stamp.get("seed", 0))

    @property
    def origin(self) -> str:
        """What captions call the images."""
        return "SYNTHETIC images" if self.synthetic else "real images"

    @cached_property
    def scores(self) -> Scores:
        """Labels and image scores of the test images."""
        return Scores(np.array([record.label for record in self.test]), self.result.scores)

    @cached_property
    def maps(self) -> NDArray[np.float32]:
        """(n, H, W) anomaly maps of all test images."""
        return self._maps(self.result.distances)

    @cached_property
    def map_range(self) -> tuple[float, float]:
        """One colour scale for all images of the category, so that a nominal one does not light up."""
        return float(np.percentile(self.result.distances, 2)), float(self.result.distances.max())

    @property
    def has_features(self) -> bool:
        """Whether the patch features of the training images are in memory already."""
        return self._nominal is not None

    def all_masks(self) -> NDArray[np.bool_]:
        """(n, H, W) ground truth of all test images; nothing of a nominal image is anomalous.

        Raises:
            InputError: an anomalous image has no mask.
        """
        missing = sum(record.label == 1 and record.mask is None for record in self.test)
        if missing:
            raise InputError(
                f"{missing} of the anomalous test images have no mask, so that there is no PRO curve",
                remedy="add masks to the dataset and run `make repro`; image scores do without them",
            )
        nothing = np.zeros(self.result.stamp["image_size"], dtype=bool)
        return np.stack([nothing if record.label == 0 else self.mask(n) for n, record in enumerate(self.test)])

    def subject(self, number: int) -> Subject:
        """The test image `number`."""
        record, result = self.test[number], self.result
        return Subject(
            name=title(record),
            defect=record.defect,
            picture=self.picture("test", number),
            mask=self.mask(number),
            distances=result.distances[number],
            indices=result.indices[number].astype(np.int64),
            score=float(result.scores[number]),
            anomaly_map=self._maps(result.distances[number : number + 1])[0],
        )

    def uploaded(self, name: str, content: bytes, report: Report | None = None) -> tuple[Subject, Tensor]:
        """Score an image that is none of the dataset's, and give its patch features (h, w, d) as well.

        Raises:
            InputError: it is no image, or cannot be prepared as the others are.
        """
        image = image_tensor(decoded(name, content, bits=self.test[0].bits), self.preprocessing)
        model = self.model(report)
        features = model.describe_images(image[None])[0]
        prediction = model.predict_described([features], image.shape[1:])
        subject = Subject(
            name=name,
            defect=None,
            picture=image.permute(1, 2, 0).numpy(),
            mask=None,
            distances=prediction.distances[0].numpy(),
            indices=prediction.indices[0].numpy(),
            score=float(prediction.scores[0]),
            anomaly_map=prediction.maps[0].numpy(),
        )
        return subject, features[0]

    def model(self, report: Report | None = None) -> PatchCore:
        """The variant with the very memory bank that the results come from."""
        if self._network.memory_bank is None:
            kept = torch.from_numpy(self.result.coreset_indices.astype(np.int64))
            self._network.memory_bank, self._network.coreset_indices = self.nominal_features(report)[kept], kept
        return self._network

    def nominal_features(self, report: Report | None = None) -> Tensor:
        """(n * h * w, d) patch features of all training images; computed once, and kept in memory.

        Raises:
            InputError: the weights are missing, or an image cannot be read.
        """
        if self._nominal is None:
            parts, size = [], 8  # images at a time
            for done, batch in enumerate(Batches(self.train, self.preprocessing, size)):
                parts.append(self._network.describe_images(batch)[0].flatten(0, 2))
                if report is not None:
                    report(min((done + 1) * size, len(self.train)), len(self.train))
            self._nominal = torch.cat(parts)
        return self._nominal

    def test_features(self, number: int) -> Tensor:
        """(h, w, d) patch features of a test image; kept in memory."""
        if number not in self._test_features:
            image = torch.from_numpy(self.picture("test", number)).permute(2, 0, 1)[None]
            self._test_features[number] = self._network.describe_images(image)[0][0]
        return self._test_features[number]

    _nominal: Tensor | None = None

    @cached_property
    def _network(self) -> PatchCore:
        return PatchCore(self.config, network=self._own, seed=self.seed, weights=self._weights)

    def _picture(self, split: str, number: int) -> NDArray[np.float32]:
        record = (self.train if split == "train" else self.test)[number]
        return image_tensor(read_image(record), self.preprocessing).permute(1, 2, 0).contiguous().numpy()

    def _mask(self, number: int) -> NDArray[np.bool_] | None:
        record = self.test[number]
        return None if record.label == 0 or record.mask is None else mask_array(read_mask(record), self.preprocessing)

    def _maps(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        config, size = self.config, self.result.stamp["image_size"]
        return anomaly_maps(
            torch.from_numpy(distances), size, sigma=config.smoothing_sigma, upsampling=config.upsampling
        ).numpy()


def title(record: Record) -> str:
    """What captions call an image of a dataset."""
    kind = "nominal" if record.defect == NOMINAL else record.defect
    place = record.image.stem if record.frame is None else f"{record.image.stem} #{record.frame}"
    return f"{kind} {place}"


def decoded(name: str, content: bytes, *, bits: int = 16) -> Image.Image:
    """An uploaded file as an RGB image, read by the rules of the datasets.

    Args:
        bits: how many are filled where it is of 16 bits, see `Record`.

    Raises:
        InputError: it is no image, or one of a kind that the suite cannot read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"  # without a suffix: what the file holds decides, not what it is called
        path.write_bytes(content)
        try:
            return read_image(Record(path, category="", split="test", label=0, defect="", bits=bits))
        except InputError as error:
            problem = error.problem.replace(str(path), name)
            raise InputError(problem, offenders=error.offenders, remedy=error.remedy) from None


def _is(cell: Mapping[str, object], category: str, variant: str) -> bool:
    return (cell["category"], cell["variant"], cell["shots"]) == (category, variant, None)

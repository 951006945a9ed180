"""A model of one kind of part: fitted, with all that it takes to judge a photograph elsewhere, saved as one folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import Prediction
from patchcore_core.images import checked
from patchcore_core.scoring import anomaly_maps
from patchcore_suite.datasets.decoding import decode
from patchcore_suite.datasets.images import as_rgb, image_tensor, map_ahead
from patchcore_suite.datasets.manifest import FULL
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.parts.describing import features_of
from patchcore_suite.parts.model_files import read_fields, save_model
from patchcore_suite.parts.photographs import PARTS
from patchcore_suite.parts.region import FAINT, Region, hide, patches_inside
from patchcore_suite.parts.source import Source
from patchcore_suite.parts.thresholds import Threshold, share_below
from patchcore_suite.parts.tiles import Tiles

AHEAD = 2  # threads that decode images
FAINTEST = 2**12  # of 16 bits, the largest value that an image must have: some cameras fill 12


@dataclass(frozen=True)
class Judgement:
    """What a model says of one image.

    Attributes:
        path: its file.
        score: the larger, the more anomalous.
        anomalous: whether the score reaches the threshold.
        share: of the good images that the model was fitted to, those that score lower; 0.99 is unusual, 0.5 is not.
        distances: (h, w) of its patches.
        indices: (h, w) row of the memory bank that is nearest to each.
        map: (H, W) anomaly map, at the size that the model sees.
        image: (H, W, 3) the image as the model sees it, in [0, 1].
    """

    path: Path
    score: float
    anomalous: bool
    share: float
    distances: NDArray[np.float32]
    indices: NDArray[np.int64]
    map: NDArray[np.float32]
    image: NDArray[np.float32]


@dataclass(frozen=True)
class PartsModel:
    """A fitted PatchCore, and what was found when it was fitted.

    Attributes:
        detector: the fitted method.
        preprocessing: how images are brought to size.
        size: (H, W) of all images then.
        grid: (h, w) patches of each.
        bits: how many are filled of the 16 of a file of 16 bits.
        threshold: from which score up an image is anomalous.
        thresholds: others that may be chosen, by name.
        nominal_scores: (n,) of the good images, each without its own patches.
        sources: the good images.
        tested: what it scored on images that it was tested with, by name; empty without any.
        tiles: in which the network sees images; None for whole ones.
        region: what of images is looked at; None for all. What is not has a distance and a map of 0.
        patches: of the good images, from which the memory bank was chosen.
    """

    detector: PatchCore
    preprocessing: Preprocessing
    size: tuple[int, int]
    grid: tuple[int, int]
    bits: int
    threshold: Threshold
    thresholds: Mapping[str, Threshold]
    nominal_scores: NDArray[np.float32]
    sources: tuple[Source, ...]
    tested: Mapping[str, float]
    tiles: Tiles | None
    region: Region | None
    patches: int

    def judge(self, paths: Sequence[str | Path], *, show_progress: bool = True) -> list[Judgement]:
        """Judge image files.

        Raises:
            InputError: some cannot be judged; all are listed.
        """
        found = list(self.judge_each(paths, show_progress=show_progress))
        refuse_failed([error for error in found if isinstance(error, InputError)])
        return [one for one in found if isinstance(one, Judgement)]

    def judge_each(
        self, paths: Sequence[str | Path], *, show_progress: bool = True
    ) -> Iterator[Judgement | InputError]:
        """Judge image files one by one; an error stands in the place of an image that cannot be judged."""
        with progress_bar(len(paths), "judge", unit="image", show=show_progress) as bar:
            for path, seen in zip(paths, map_ahead(self._read, map(Path, paths), AHEAD), strict=True):
                yield seen if isinstance(seen, InputError) else self._judge(Path(path), *seen)
                bar.update(1)

    def record(self, path: Path) -> Record:
        """An image file as a record, read as those that the model was fitted to."""
        return Record(path.expanduser(), PARTS, "test", 0, NOMINAL, bits=self.bits)

    def _decoded(self, path: Path) -> Image.Image:
        """An image as those that the model was fitted to are read.

        Raises:
            InputError: it cannot be, or its 16 bits are filled as those of another camera are, and it would come out
                nearly black.
        """
        record, found = self.record(path), decode(path.expanduser())
        highest = int(np.max(found)) if found.mode.startswith("I;16") and self.bits == FULL else FAINTEST
        if highest < FAINTEST:
            raise InputError(
                f"unsuitable image: {path}: of 16 bits, and none of its values is above {highest}: it would be read as "
                "nearly black",
                remedy="stretch it to 16 bits or save it with 8, as the images that the model was fitted to",
            )
        return as_rgb(found, record)

    def _read(self, path: Path) -> "_Seen | InputError":
        try:
            read = self._decoded(path)
            image, size = image_tensor(read, self.preprocessing), (read.height, read.width)
            if tuple(image.shape[1:]) != self.size:
                raise InputError(
                    f"unsuitable image: {path}: it comes out at {tuple(image.shape[1:])}, and the model sees "
                    f"{self.size}",
                    remedy="give images of the same proportions, or fit a model with a size of (height, width)",
                )
            mask = None if self.region is None else self.region.of(path, self.preprocessing, size)
            return _Seen(image, mask, None if mask is None else patches_inside(mask, self.grid))
        except InputError as error:
            return error if str(path) in error.problem else InputError(f"{path}: {error.problem}", remedy=error.remedy)

    def _judge(
        self, path: Path, image: torch.Tensor, mask: NDArray[np.bool_] | None, inside: torch.Tensor | None
    ) -> Judgement:
        images = checked(image[None], first=0, device=self.detector.device)
        features = features_of(self.detector, images, self.tiles)
        if inside is None:
            said = self.detector.predict_described([features], self.size)
        else:
            said = self.detector.predict_described([hide(features, inside[None])], self.size)
            said = self._hidden(said, torch.tensor(mask).to(features.device), inside.to(features.device))
        assert said.maps is not None
        assert said.distances is not None
        assert said.indices is not None
        score = float(said.scores[0])
        return Judgement(
            path=path,
            score=score,
            anomalous=score >= self.threshold.value,
            share=share_below(score, self.nominal_scores),
            distances=said.distances[0].cpu().numpy(),
            indices=said.indices[0].cpu().numpy(),
            map=said.maps[0].cpu().numpy(),
            image=image.permute(1, 2, 0).numpy(),
        )

    def _hidden(self, said: Prediction, mask: torch.Tensor, inside: torch.Tensor) -> Prediction:
        """A prediction whose distances and map are 0 where an image is not looked at.

        What is hidden has no say in the map beside it: smoothed distances are divided by the smoothed region.
        """
        config = self.detector.config
        how = {"sigma": config.smoothing_sigma, "upsampling": config.upsampling}
        assert said.distances is not None
        distances = said.distances * inside
        weight = anomaly_maps(inside[None].to(distances), self.size, **how)
        maps = anomaly_maps(distances, self.size, **how) / weight.clamp(min=1e-6)
        return replace(said, distances=distances, maps=torch.where(mask & (weight > FAINT), maps, 0))

    def with_region(self, folder: str | Path | None) -> "PartsModel":
        """The same model, with the folder of the masks of images that it shall judge; None changes nothing.

        Raises:
            InputError: it was not fitted with a mask for each image.
        """
        if folder is None:
            return self
        if self.region is None or self.region.mask is not None:
            raise InputError(
                f"region {folder} is given, but the model was fitted without a mask for each image",
                remedy="leave it out, or fit the model with a folder of masks",
            )
        return replace(self, region=Region.read(folder, self.preprocessing, self.size))

    def with_threshold(self, threshold: Threshold) -> "PartsModel":
        """The same model, that judges by another threshold."""
        return replace(self, threshold=threshold)

    def save(self, folder: str | Path, *, with_weights: bool = False) -> None:
        """Write the model as one folder: the core's files, `parts.json` with the hashes of both, and a card to read.

        It replaces a model that is there. What others put beside that one stays; its export goes, unless it is of this
        very model.

        Args:
            with_weights: copies the backbone's weights into it, so that it works where there are none.

        Raises:
            InputError: the folder cannot be written, or holds something else; or the weights are those of a network
                of the user's own, whose code a model does not hold.
        """
        save_model(self, Path(folder), with_weights=with_weights)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        weights: str | None = None,
        networks: str | Path | None = None,
        device: str = "cpu",
    ) -> "PartsModel":
        """Read a model that `save` wrote.

        Args:
            weights: a file or folder of the backbone's weights; the model's own if it has them.
            networks: the file of networks, if it was fitted with one of the user's own.

        Raises:
            InputError: the folder holds no model, a changed or damaged one, or one of another version; or its weights
                are not here.
        """
        return cls(**read_fields(Path(folder), weights=weights, networks=networks, device=device))


def refuse_failed(errors: Sequence[InputError]) -> None:
    """Raise one error for all images that could not be judged, if there are any."""
    if errors:
        remedies = list(dict.fromkeys(error.remedy for error in errors if error.remedy))
        raise InputError(
            f"{len(errors)} images cannot be judged",
            offenders=[error.problem for error in errors],
            remedy="; ".join(remedies),
        )


class _Seen(NamedTuple):
    """An image that was read, and what of it is looked at: (H, W) pixels and (h, w) patches; None for all."""

    image: torch.Tensor
    mask: NDArray[np.bool_] | None
    inside: torch.Tensor | None

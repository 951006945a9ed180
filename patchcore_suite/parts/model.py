"""A model of one kind of part: fitted, with all that it takes to judge a photograph elsewhere, saved as one folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from patchcore_core import PatchCore
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file, write_text, writing
from patchcore_core.common.progress import progress_bar
from patchcore_core.saved_model import DESCRIPTION_FILE
from patchcore_suite.datasets.images import image_tensor, map_ahead, read_image
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.parts.card import card
from patchcore_suite.parts.model_network import copy_weights, own_network, reading, without_own
from patchcore_suite.parts.photographs import PARTS
from patchcore_suite.parts.thresholds import Threshold, share_below
from patchcore_suite.run.sealed import read_sealed, write_sealed

PARTS_FORMAT = 1
PARTS_FILE, CARD_FILE = "parts.json", "README.md"
AHEAD = 2  # threads that decode images


@dataclass(frozen=True)
class Source:
    """A good image that a model was fitted to: where it lay then, and the SHA-256 of its bytes."""

    path: str
    sha256: str


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
                yield seen if isinstance(seen, InputError) else self._judge(Path(path), seen)
                bar.update(1)

    def record(self, path: Path) -> Record:
        """An image file as a record, read as those that the model was fitted to."""
        return Record(path.expanduser(), PARTS, "test", 0, NOMINAL, bits=self.bits)

    def _read(self, path: Path) -> torch.Tensor | InputError:
        try:
            image = image_tensor(read_image(self.record(path)), self.preprocessing)
        except InputError as error:
            return error if str(path) in error.problem else InputError(f"{path}: {error.problem}", remedy=error.remedy)
        if tuple(image.shape[1:]) != self.size:
            return InputError(
                f"unsuitable image: {path}: it comes out at {tuple(image.shape[1:])}, and the model sees {self.size}",
                remedy="give images of the same proportions, or fit a model with a size of (height, width)",
            )
        return image

    def _judge(self, path: Path, image: torch.Tensor) -> Judgement:
        said = self.detector.predict(image[None])
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

    def with_threshold(self, threshold: Threshold) -> "PartsModel":
        """The same model, that judges by another threshold."""
        return replace(self, threshold=threshold)

    def save(self, folder: str | Path, *, with_weights: bool = False) -> None:
        """Write the model as one folder: the core's files, `parts.json` with the hashes of both, and a card to read.

        Args:
            with_weights: copies the backbone's weights into it, so that it works where there are none.

        Raises:
            InputError: the folder cannot be written, or holds something else; or the weights are those of a network
                of the user's own, whose code a model does not hold.
        """
        folder = Path(folder)
        if with_weights and self.detector.weights is None:
            raise without_own(self.detector.config.backbone)
        if (folder.exists() and not folder.is_dir()) or _is_foreign(folder):
            raise InputError(f"{folder} is there already, and is no model", remedy="name another folder")
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
                made, old = Path(beside) / "made", Path(beside) / "old"
                self._write(made, with_weights=with_weights)
                if folder.exists():
                    folder.replace(old)
                made.replace(folder)

    def _write(self, folder: Path, *, with_weights: bool) -> None:
        detector, copied = self.detector, None
        if with_weights and detector.weights is not None and detector.weights.path is not None:
            copied = copy_weights(detector.weights, detector.config, folder)
            detector = reading(folder / copied, detector)
        detector.save(folder)
        write_text(folder / CARD_FILE, card(self))
        described = {
            "format": PARTS_FORMAT,
            "written_by": f"patchcore-bench {version('patchcore-bench')}",
            "model_sha256": sha256_file(folder / DESCRIPTION_FILE),
            "weights": copied,
            "weights_sha256": copied and sha256_file(folder / copied),
            "preprocessing": asdict(self.preprocessing),
            "size": self.size,
            "grid": self.grid,
            "bits": self.bits,
            "threshold": asdict(self.threshold),
            "thresholds": {name: asdict(one) for name, one in self.thresholds.items()},
            "nominal_scores": [float(score) for score in self.nominal_scores],
            "sources": [asdict(source) for source in self.sources],
            "tested": dict(self.tested),
        }
        write_sealed(folder / PARTS_FILE, described)

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
        folder = Path(folder)
        try:
            said = read_sealed(folder / PARTS_FILE)
        except (OSError, ValueError) as error:
            remedy = "name a folder that `patchcore fit` wrote"
            raise InputError(f"{folder} holds no model of parts, or a damaged one: {error}", remedy=remedy) from None
        if said.get("format") != PARTS_FORMAT:
            raise InputError(
                f"{folder} is of another format ({said.get('format')!r}, not {PARTS_FORMAT}), written by "
                f"{said.get('written_by')}",
                remedy="fit it again, or use the version that wrote it",
            )
        expected = {DESCRIPTION_FILE: said["model_sha256"]}
        if said["weights"]:
            expected[said["weights"]] = said["weights_sha256"]
        wrong = [str(folder / name) for name, sha256 in expected.items() if not _is_file_of(folder / name, sha256)]
        if wrong:
            raise InputError(
                "files of the model are missing, or are not those that were saved with it",
                offenders=wrong,
                remedy="copy the whole folder again, or fit it again",
            )
        own = str(folder / said["weights"]) if said["weights"] else None
        return cls(
            detector=PatchCore.load(
                folder, network=own_network(folder, networks), weights=weights or own, device=device
            ),
            preprocessing=Preprocessing(**said["preprocessing"]),
            size=tuple(said["size"]),
            grid=tuple(said["grid"]),
            bits=said["bits"],
            threshold=Threshold(**said["threshold"]),
            thresholds={name: Threshold(**one) for name, one in said["thresholds"].items()},
            nominal_scores=np.asarray(said["nominal_scores"], dtype=np.float32),
            sources=tuple(Source(**source) for source in said["sources"]),
            tested=said["tested"],
        )


def refuse_failed(errors: Sequence[InputError]) -> None:
    """Raise one error for all images that could not be judged, if there are any."""
    if errors:
        remedies = list(dict.fromkeys(error.remedy for error in errors if error.remedy))
        raise InputError(
            f"{len(errors)} images cannot be judged",
            offenders=[error.problem for error in errors],
            remedy="; ".join(remedies),
        )


def _is_foreign(folder: Path) -> bool:
    """Whether a folder holds something, but no model of parts."""
    return folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION_FILE).is_file()


def _is_file_of(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256

"""What a model says of an image, drawn: where it is unusual, and which good patch comes nearest."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from patchcore_core.common.files import sha256_file
from patchcore_suite import figures
from patchcore_suite.datasets.images import image_tensor, read_image
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.figures import method_steps
from patchcore_suite.parts.model import Judgement, PartsModel
from patchcore_suite.parts.photographs import PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def overlay(model: PartsModel, judged: Judgement, folder: Path) -> Path:
    """Write image and anomaly map side by side, on one scale for all images of a model; the file's path.

    The scale ends at the largest value that a good image can be expected to reach; beyond it all is equally bright.
    """
    top = max(float(model.nominal_scores.max()), model.threshold.value)
    caption = (
        f"{'ANOMALOUS' if judged.anomalous else 'good'}, {judged.score:.3g} (threshold {model.threshold.value:.3g})"
    )
    figure = figures.judged_image(judged.image, judged.map, high=top, caption=caption)
    path = folder / f"{judged.path.stem}-{hashlib.sha256(str(judged.path).encode()).hexdigest()[:6]}.png"
    figures.save_pixels(figure, path)
    return path


def explanation(model: PartsModel, judged: Judgement) -> "tuple[Figure, list[str]]":
    """The patch that decides, and the good patch that comes nearest to it: as a figure and in sentences."""
    h, w = model.grid
    row, column = (int(place) for place in np.unravel_index(judged.distances.argmax(), judged.distances.shape))
    height, width = model.size
    said = [
        f"score {judged.score:.4g}, threshold {model.threshold.value:.4g}: "
        f"{'anomalous' if judged.anomalous else 'good'}, above {100 * judged.share:.1f} % of the good images",
        f"its farthest patch lies around row {round((row + 0.5) * height / h)} of {height}, "
        f"column {round((column + 0.5) * width / w)} of {width}",
    ]
    kept = model.detector.coreset_indices
    assert kept is not None
    image, place = divmod(int(kept[int(judged.indices[row, column])]), h * w)
    source = model.sources[image]
    near_row, near_column = divmod(place, w)
    there = Path(source.path)
    unchanged = there.is_file() and sha256_file(there) == source.sha256
    said.append(
        f"its nearest good patch is of {source.path}"
        + ("" if unchanged else ", which is not there any more, or was changed: it is shown blank")
    )
    nominal = np.ones((*model.size, 3), dtype=np.float32)
    if unchanged:
        record = Record(there, PARTS, "train", 0, NOMINAL, bits=model.bits)
        nominal = image_tensor(read_image(record), model.preprocessing).permute(1, 2, 0).numpy()
    figure = method_steps.patch_distances(
        judged.image, None, judged.distances, (row, column), nominal, (near_row, near_column), title=judged.path.name
    )
    return figure, said

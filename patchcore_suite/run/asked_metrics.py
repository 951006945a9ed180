"""Whether a dataset has what the metrics that it asks for need, known before anything is computed."""

import math

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.metrics.rates import FPR_BOUNDS, pixels_needed
from patchcore_suite.settings.project import ProjectDataset


def check_asked(dataset: ProjectDataset, manifest: Manifest) -> None:
    """Refuse what `asked_problems` finds.

    Raises:
        InputError: there is something.
    """
    for problem in asked_problems(dataset, manifest):
        raise problem


def asked_problems(dataset: ProjectDataset, manifest: Manifest) -> list[InputError]:
    """AUPIMO where nominal test images have too few pixels for its lowest false-positive rate, in some categories.

    Each of these is named, with how many images it would take.
    """
    if "aupimo" not in dataset.asked:
        return []
    needed, short = pixels_needed(), []
    prepared = {dataset.preprocessing(variant) for study in dataset.studies.values() for variant in study.variants}
    for category in manifest.categories:
        nominal = sum(record.label == 0 for record in manifest.records(category, "test"))
        for height, width in sorted({images.size(manifest.entries[category][0].size) for images in prepared}):
            if nominal * height * width < needed:
                count = math.ceil(needed / (height * width))
                short.append(f"{category}: {nominal} nominal test images of {height} x {width} pixels, not {count}")
    if not short:
        return []
    return [
        InputError(
            f"datasets.{dataset.name}.metrics asks for aupimo, whose false-positive rates begin at {FPR_BOUNDS[0]:g}: "
            f"nominal test images must have {needed:,} pixels or more, all together",
            offenders=short,
            remedy="take aupimo out of the list, or give more nominal test images or larger ones",
        )
    ]

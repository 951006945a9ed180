"""The layout of UCSD Ped2, which Ped1 has too; a category is a scene. One frame in `every` is taken.

UCSDped2/Train/TrainNNN/*.tif   UCSDped2/Test/TestNNN/*.tif   UCSDped2/Test/TestNNN_gt/*.bmp
UCSDped2/Test/UCSDped2.m: a line a test clip, gt_frame = [FIRST:LAST, ...], counted from 1
"""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.layouts.mstc import DEFECT, Spec
from patchcore_suite.datasets.listing import Scan, files, folders
from patchcore_suite.datasets.records import NOMINAL, Record

TRUTH = "_gt"
CLIP = re.compile(r"^[^%\n]*gt_frame\s*=\s*\[([^\]]*)\]", re.MULTILINE)  # a % begins a comment
RANGE = re.compile(r"(\d+)(?::(\d+))?")


def categories(root: Path, spec: Spec) -> list[str]:
    """The scenes in `root`, which may itself be the only one."""
    return list(_scenes(root))


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List one frame in `every` of the clips of the chosen scenes."""
    records, problems = [], []
    for scene, folder in _scenes(root).items():
        if scene not in chosen:
            continue
        for clip in folders(folder / "Train"):
            records += [Record(image, scene, "train", 0, NOMINAL) for image in files(clip)[:: spec.every]]
        clips = [clip for clip in folders(folder / "Test") if not clip.name.endswith(TRUTH)]
        anomalous = _anomalous(folder, len(clips))
        for clip, frames in zip(clips, anomalous, strict=True):
            found = _of_clip(clip, frames, scene)
            records += found.records[:: spec.every]
            problems += found.problems
    return Scan(records, problems)


def _scenes(root: Path) -> dict[str, Path]:
    if _is_scene(root):
        return {root.resolve().name: root}
    return {folder.name: folder for folder in folders(root) if _is_scene(folder)}


def _is_scene(folder: Path) -> bool:
    return (folder / "Train").is_dir() and any(files(folder / "Test", [".m"]))


def _anomalous(scene: Path, clips: int) -> list[set[int]]:
    """The anomalous frames of each test clip, counted from 0.

    Raises:
        InputError: the file that says them cannot be read, or is of another number of clips.
    """
    path = files(scene / "Test", [".m"])[0]
    try:
        found = CLIP.findall(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}", remedy="fetch it again") from None
    if len(found) != clips:
        raise InputError(
            f"{path} is of {len(found)} clips, but {scene / 'Test'} has {clips}", remedy="restore all of them"
        )
    return [
        {number - 1 for first, last in RANGE.findall(text) for number in range(int(first), int(last or first) + 1)}
        for text in found
    ]


def _of_clip(clip: Path, anomalous: set[int], scene: str) -> Scan:
    """All frames of a test clip; its masks, if it has any, are matched by their order, as names differ."""
    images, masks = files(clip), files(clip.with_name(clip.name + TRUTH))
    problems = []
    if masks and len(masks) != len(images):
        problems.append(f"lengths differ: {clip}: {len(images)} frames, {len(masks)} masks")
        masks = []
    if late := sorted(frame + 1 for frame in anomalous if frame >= len(images)):
        problems.append(f"frames that are called anomalous, and are not there: {clip}: {late[0]} to {late[-1]}")
    records = []
    for number, image in enumerate(images):
        label = int(number in anomalous)
        defect = DEFECT if label else NOMINAL
        records.append(Record(image, scene, "test", label, defect, masks[number] if masks else None))
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies; the file of anomalous frames is read with them."""
    if inside.match("Test/*.m"):
        return ""
    if inside.match("Train/*/*") or inside.match("Test/*/*"):
        return f"a frame that is not taken (every={spec.every}), or of a scene that is not chosen"
    return "not where the layout has frames and masks"


LAYOUT = Layout(
    pattern="UCSDped2/Train/TrainNNN/*.tif, UCSDped2/Test/TestNNN/*.tif, UCSDped2/Test/TestNNN_gt/*.bmp, "
    "UCSDped2/Test/UCSDped2.m",
    holds="UCSDped2/",
    categories=categories,
    scan=scan,
    unused=unused,
    reads=(*Layout.reads, ".m"),
    spec=Spec,
    division=lambda spec: {"every": spec.every},
    homepage="https://www.svcl.ucsd.edu/projects/anomaly/dataset.html",
)

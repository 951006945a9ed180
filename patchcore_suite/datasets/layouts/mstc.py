"""The layout of ShanghaiTech Campus, of which mSTC takes every fifth frame; a category is a scene SS.

training/videos/SS_CCC.avi   testing/frames/SS_CCCC/NNN.jpg   testing/test_{frame,pixel}_mask/SS_CCCC.npy (frames first)
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.layout import Layout
from patchcore_suite.datasets.listing import IMAGE_SUFFIXES, Scan, files, folders
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.datasets.spec import DatasetSpec, is_whole
from patchcore_suite.datasets.videos import VIDEO_SUFFIXES, frame_count, open_stack

DEFECT = "anomaly"


@dataclass(frozen=True, kw_only=True)
class Spec(DatasetSpec):
    """Which frames are taken: one in `every`."""

    every: int = 5

    def _rules(self) -> dict[str, tuple[object, str]]:
        return super()._rules() | {
            "every": (is_whole(self.every) and self.every >= 1, "a whole number of 1 or more"),
        }


def categories(root: Path, spec: Spec) -> list[str]:
    """The scenes with test clips. (Scene 13 of the original has training videos only, and is left out.)"""
    return sorted({_scene(clip) for clip in folders(root / "testing" / "frames")})


def scan(root: Path, chosen: Collection[str], spec: Spec) -> Scan:
    """List one frame in `every` of the training videos and of the test clips of the chosen scenes."""
    records, problems = [], []
    for video in files(root / "training" / "videos", VIDEO_SUFFIXES):
        scene, count = _scene(video), frame_count(video)
        if scene in chosen:
            problems += [] if count else [f"unreadable video: {video}"]
            records += [Record(video, scene, "train", 0, NOMINAL, frame=frame) for frame in range(0, count, spec.every)]

    testing = root / "testing"
    clips = [clip for clip in folders(testing / "frames") if _scene(clip) in chosen]
    masks = {file.stem: file for file in files(testing / "test_pixel_mask", [".npy"]) if _scene(file) in chosen}
    names = {clip.name for clip in clips}
    problems += [f"mask matches no test clip: {file}" for name, file in masks.items() if name not in names]
    for clip in clips:
        images, mask = files(clip), masks.get(clip.name)
        try:
            labels = open_stack(testing / "test_frame_mask" / f"{clip.name}.npy", ndim=1)
            lengths = {"frames": len(images), "frame labels": len(labels)}
            if mask:
                lengths["masks"] = len(open_stack(mask, ndim=3))
        except InputError as error:
            problems.append(error.problem)
            continue
        if len(set(lengths.values())) > 1:
            problems.append(f"lengths differ: {clip}: " + ", ".join(f"{n} {what}" for what, n in lengths.items()))
            continue
        for frame in range(0, len(images), spec.every):
            label = int(labels[frame] != 0)
            defect = DEFECT if label else NOMINAL
            records.append(Record(images[frame], _scene(clip), "test", label, defect, mask, frame))
    return Scan(records, problems)


def unused(inside: PurePosixPath, spec: Spec) -> str:
    """Why a file belongs to no record, by where it lies; frame labels are read with the frames."""
    if inside.match("testing/test_frame_mask/*.npy"):
        return ""
    if inside.match("testing/frames/*/*"):
        return f"a frame that is not taken (every={spec.every}), or of a scene that is not chosen"
    if inside.match("training/videos/*") or inside.match("testing/test_pixel_mask/*"):
        return "of a scene that is not chosen, or has no test clips"
    return "not where the layout has videos, frames and masks"


def _scene(path: Path) -> str:
    return path.name.split("_", 1)[0]


LAYOUT = Layout(
    pattern="training/videos/SS_CCC.avi, testing/frames/SS_CCCC/*.jpg, testing/test_{frame,pixel}_mask/SS_CCCC.npy",
    holds="training/ and testing/",
    categories=categories,
    scan=scan,
    reads=(*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ".npy"),
    unused=unused,
    spec=Spec,
    division=lambda spec: {"every": spec.every},
    homepage="https://svip-lab.github.io/dataset/campus_dataset.html",
)

"""Folders whose names, links and files are odd, and descriptions of folders that fit nothing."""

import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from faults.broken_images import looked_at, remarks
from faults.inputs import Gives, Input, Make, Refused, Remarked, Use, nothing
from PIL import Image
from toy_folders import SIZE, mtd_folder, mvtec_folder, save_image

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import recognise, spec_type
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.parts.photographs import look_at

COUNTS = {"train": {"good": 3}, "test": {"good": 2, "scratch": 2}}


def counts(root: Path) -> object:
    """Images by category, split and defect."""
    manifest = looked_at(root)
    return {category: manifest.counts(category) for category in manifest.categories}


def laid(layout: str, **keys: object) -> Use:
    """Look at a folder as a layout lies."""

    def use(root: Path) -> object:
        spec = spec_type(layout)(**{"source": str(root), "layout": layout} | keys)
        return "\n".join(build_manifest("toy", root, spec).warnings)

    return use


def changed(change: Callable[[Path], object]) -> Make:
    """A good folder that is changed then."""

    def make(root: Path) -> None:
        change(mvtec_folder(root) / "part")

    return make


def renamed(old: str, new: str) -> Make:
    return changed(lambda part: (part / old).rename(part / new))


def linked(name: str, target: str) -> Make:
    """A link in place of what is there."""

    def link(part: Path) -> None:
        if (part / name).is_dir():
            shutil.rmtree(part / name)
        (part / name).symlink_to(part / target)

    return changed(link)


def added(*names: str) -> Make:
    """Further images."""
    return changed(lambda part: [save_image(part / name, seed=50 + seed) for seed, name in enumerate(names)])


def photographed(*names: str, **heights: int) -> Make:
    """Photographs that are all alike, or of these heights."""

    def make(root: Path) -> None:
        for name in names:
            save_image(root / name)
        for name, height in heights.items():
            save_image(root / f"{name}.png", size=(height, 9))

    return make


def inputs(shared: Path) -> Iterator[Input]:
    yield from names_that_mislead()
    yield from links_and_leftovers()
    yield from what_is_missing()
    yield from photographs()
    yield from descriptions()


def names_that_mislead() -> Iterator[Input]:
    for name in ("pass", "OK", "Good", "good ", "no_defects", "defect-free"):
        make = added(f"test/{name}/000.png")
        yield Input(f"a defect called {name!r}", make, looked_at, Refused(["not the folder of nominal images", name]))
    for name in ("masks", "Ground Truth", "annotation"):
        make = renamed("ground_truth", name)
        yield Input(f"masks in {name!r}", make, looked_at, Refused(["masks lie in ground_truth/DEFECT", name]))
    composed, apart = (unicodedata.normalize(form, "Größe") for form in ("NFC", "NFD"))
    for kind, one, other in (
        ("their letters", composed, apart),
        ("their case", "Part", "part"),
        ("what is not seen", "part", "part\u200b"),
    ):

        def twice(root: Path, names: tuple[str, str] = (one, other)) -> None:
            for name in names:
                mvtec_folder(root, name)

        words = Refused(["categories that differ in upper and lower case or in spelling alone"])
        yield Input(f"categories that differ in {kind}", twice, looked_at, words)
        make = added(f"test/{one}/0.png", f"test/{other}/0.png")
        yield Input(f"defects that differ in {kind}", make, looked_at, Refused(["defects of part that differ"]))
    make = added("test/train/good/0.png")
    yield Input(
        "a category called test", make, lambda root: looked_at(root / "part"), Refused(["called train or test"])
    )
    for name in ("mean", "a\nb", "%s", "=1+1", "${x}", "-rf"):
        make = partial(mvtec_folder, category=name)
        yield Input(f"a category called {name!r}", make, counts, Gives({name: COUNTS}))
    hidden = partial(mvtec_folder, category=".part")
    yield Input("a category called '.part'", hidden, looked_at, Refused(["none of the known layouts"]))
    odd = (" .png", "-.png", "con.png", "%s.png", "a\tb.png", "a\nb.png", "=1.png")
    wanted = {"part": {"train": {"good": 3 + len(odd)}, "test": COUNTS["test"]}}
    yield Input("images of odd names", added(*(f"train/good/{name}" for name in odd)), counts, Gives(wanted))
    latin = changed(lambda part: os.rename(part / "train/good/000.png", os.fsencode(part) + b"/train/good/\xe4.png"))
    yield Input("a name that is not UTF-8", latin, looked_at, Refused(["name that is not UTF-8"]))


def links_and_leftovers() -> Iterator[Input]:
    for name, make, words in (
        ("good test images that are a link to defects", linked("test/good", "test/scratch"), "nominal and anomalous"),
        ("good test images that are a link to training", linked("test/good", "train/good"), "training images as well"),
        ("a link to a folder around it", linked("train/good/up", "."), "a link to a folder that it lies in"),
        ("a hidden file", changed(lambda part: (part / ".DS_Store").touch()), "hidden"),
        ("a file that is no image", changed(lambda part: (part / "test/Thumbs.db").touch()), "no image of a kind"),
        ("a pipe", changed(lambda part: os.mkfifo(part / "train/good/009.png")), "neither a file nor a folder"),
        ("images beside train/good", added("train/other/0.png"), "in train, but not in train/good"),
        ("images deeper than a defect", added("test/scratch/deep/0.png"), "in a folder within a folder of images"),
        ("a defect among training images", changed(defect_in_training), "training images as well"),
        ("one file that is good and defective", changed(hard_link), "nominal and anomalous, in equal files"),
    ):
        yield Input(name, make, remarks, Remarked([words]))
    folder = changed(lambda part: (part / "train/good/777.png").mkdir())
    yield Input("a folder called as an image", folder, counts, Gives({"part": COUNTS}))
    for name, target in (("nowhere", "none"), ("itself", "train/good/009.png")):
        make = linked("train/good/009.png", target)
        yield Input(f"a link that leads to {name}", make, looked_at, Refused(["link that leads nowhere", "009.png"]))


def defect_in_training(part: Path) -> None:
    shutil.copy(part / "test/scratch/000.png", part / "train/good/777.png")


def hard_link(part: Path) -> None:
    os.link(part / "test/scratch/000.png", part / "test/good/777.png")


def what_is_missing() -> Iterator[Input]:
    def gone(*names: str) -> Make:
        return changed(lambda part: [shutil.rmtree(part / name) for name in names])

    for name, make, words in (
        ("no training images", gone("train"), "category without training images: part"),
        ("Train in upper case", renamed("train", "Train"), "category without training images: part"),
        ("no defects", gone("test/scratch", "ground_truth"), "category without anomalous test images: part"),
        ("no test images", gone("test", "ground_truth"), "category without anomalous test images: part"),
        ("an empty folder", nothing, "none of the known layouts"),
        ("a folder of images alone", lambda root: save_image(root / "0.png"), "none of the known layouts"),
    ):
        yield Input(name, make, looked_at, Refused([words]))
    make = changed(lambda part: shutil.rmtree(part / "test/good"))
    yield Input("no good test images", make, remarks, Remarked(["there are no nominal test images"]))
    make = changed(lambda part: shutil.rmtree(part / "ground_truth"))
    yield Input("no masks", make, remarks, Remarked(["without a mask"]))
    yield Input(
        "a folder that is not there", nothing, lambda root: recognise(root / "none"), Refused(["does not exist"])
    )
    make = changed(black)
    yield Input(
        "images that are all black", make, fitted, Refused(["patch features are equal", "images are not blank"])
    )
    small = changed(lambda part: save_image(part / "train/good/000.png", size=(48, 32)))
    yield Input(
        "images of several sizes", small, fitted, Refused(["images of different sizes", "(16, 21)", "(24, 16)"])
    )
    yield Input("MTD without a mask", unmasked, laid("mtd"), Refused(["mask missing"]))


def unmasked(root: Path) -> None:
    (mtd_folder(root) / "MT_Blowhole/Imgs/exp2_num_0.png").unlink()


def black(part: Path) -> None:
    for path in (part / "train/good").iterdir():
        Image.new("RGB", SIZE[::-1]).save(path)


def fitted(root: Path) -> object:
    """Fit to the training images, their shorter side brought to 16 pixels."""
    records = [entry.record for entry in looked_at(root).entries["part"] if entry.record.split == "train"]
    return PatchCore(PatchCoreConfig(backbone="pixels")).fit(Batches(records, Preprocessing(16), 8)).memory_bank


def photographs() -> Iterator[Input]:
    """Folders that `patchcore fit` is given."""

    def seen(**how: str) -> Use:
        return lambda root: "\n".join(look_at(root, **how).remarks)

    kinds = photographed("fine/0.png", "bad/0.png")
    yield Input("photographs in folders of unknown meaning", kinds, seen(), Refused(["cannot be told", "bad", "fine"]))
    yield Input("a folder of good ones that is not there", kinds, seen(good="ok"), Refused(["no folder 'ok'", "bad"]))
    yield Input("a folder without photographs", nothing, seen(), Refused(["holds no image", "kinds that are read"]))
    twice = photographed("a.png", "b.png")
    yield Input("a photograph that is there twice", twice, seen(), Remarked(["1 good images are there twice"]))
    beside = photographed("a.png", "a_mask.png")
    yield Input("a mask beside its photograph", beside, seen(), Refused(["mask among images", "a_mask.png"]))
    stems = photographed("a.png", "a.bmp")
    yield Input("two photographs of one name", stems, seen(), Refused(["one may be the mask of the other"]))
    yield Input("photographs of two sizes", photographed(a=8, b=9), seen(), Remarked(["images have 2 sizes"]))
    yield Input("a layout that there is none of", kinds, seen(layout="mvtek"), Refused(["did you mean mvtec?"]))
    yield Input("a layout without a name", kinds, seen(layout=""), Refused(["layout=''", "must be one of"]))
    both = seen(layout="mvtec", good="fine")
    yield Input("a layout, and which are good", kinds, both, Refused(["says which images are good"]))


def descriptions() -> Iterator[Input]:
    """What a description of a folder says that no folder can be."""
    good = {"good": ["good"], "defects": ["scratch"]}
    for layout, key, value, words in (
        ("mvtec", "categories", [], "categories=()"),
        ("mvtec", "categories", ["part", "part"], "a list of different"),
        ("mvtec", "categories", ["nut"], "no such categories"),
        ("mvtec", "seed", -1, "seed=-1"),
        ("mvtec", "seed", True, "seed=True"),
        ("mvtec", "noise", 1.5, "noise=1.5"),
        ("mvtec", "noise", float("nan"), "noise=nan"),
        ("mvtec", "paper", "mvtec", "paper='mvtec'"),
        ("mvtec", "source", "", "source=''"),
        ("mtd", "held_out", 1.0, "held_out=1.0"),
        ("mtd", "held_out", float("nan"), "held_out=nan"),
        ("csv", "table", "../labels.csv", "table='../labels.csv'"),
        ("csv", "table", "/labels.csv", "table='/labels.csv'"),
        ("folders", "good", ["../x"], "good=('../x',)"),
        ("folders", "good", ["scratch"], "a list of different folders"),
        ("folders", "defects", ["good"], "none of them called good"),
        ("folders", "good", ["fine"], "fine"),
        ("folders", "mask_folder", "/masks", "mask_folder='/masks'"),
    ):
        keys = (good if layout == "folders" else {}) | {key: value}
        yield Input(f"{layout}: {key}={value!r}", mvtec_folder, laid(layout, **keys), Refused([words]))

"""Lists of images as CSV files: labels, cells, encodings."""

from collections.abc import Iterator
from pathlib import Path

from faults.inputs import Gives, Input, Make, Refused, Remarked, nothing
from toy_folders import save_image, save_mask

from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.layouts import spec_type
from patchcore_suite.datasets.manifest import Manifest

ROWS = "path,label,split\n0.png,good,train\n1.png,good,train\n2.png,good,test\n3.png,{},test\n4.png,crack,test\n"
PLAIN = ROWS.format("good")
COUNTS = [{"train": {"good": 2}, "test": {"good": 2, "crack": 1}}]


def table(text: str | bytes) -> Make:
    """Six images, a mask, and the list."""

    def make(root: Path) -> None:
        for number in range(6):
            save_image(root / f"{number}.png", seed=number, size=(6, 8))
        save_mask(root / "m.png", size=(6, 8))
        (root / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


def read(root: Path) -> Manifest:
    """What a list says, once its images are looked at."""
    return build_manifest("toy", root, spec_type("csv")(source=str(root), layout="csv"))


def counts(root: Path) -> object:
    manifest = read(root)
    return [manifest.counts(category) for category in manifest.categories]


def remarks(root: Path) -> str:
    return "\n".join(read(root).warnings)


def inputs(shared: Path) -> Iterator[Input]:
    yield from labels()
    yield from cells()
    yield from files()


def labels() -> Iterator[Input]:
    unclear = ("pass", "ok\u200b", "GOOD!", "no defect", "defect-free", "negative", "positive", "clean", "0;1", "False")
    unclear += ("iO", "\ufeffgood", "'good'", "=1", "٠", "０", "2", "-1", "1.0", "nan", "none", "", "?", "a\tb")
    for label in unclear:
        words = [f"labels.csv, line 5: label {label!r} is neither"]
        yield Input(f"label {label!r}", table(ROWS.format(f'"{label}"')), read, Refused(words))
    for label, defect in (
        ("OK ", "good"),
        ("\u00a0good", "good"),
        ("0", "good"),
        ("NORMAL", "good"),
        ("1", "defect"),
        ("NG", "defect"),
        ("fail", "fail"),
        ("niO", "niO"),
        ("Kratzer, tief", "Kratzer, tief"),
        ("=crack()", "=crack()"),
    ):
        of_test = {"good": 2, "crack": 1} if defect == "good" else {"good": 1, defect: 1, "crack": 1}
        wanted = [{"train": {"good": 2}, "test": of_test}]
        yield Input(f"label {label!r}", table(ROWS.format(f'"{label}"')), counts, Gives(wanted))
    make = table(PLAIN + "5.png,Crack,test\n")
    yield Input("labels that differ in case", make, read, Refused(["spelling alone: Crack, crack"]))


def cells() -> Iterator[Input]:
    for name, row, words in (
        ("an image listed twice", "./4.png,crack,test", "listed more than once"),
        ("an image that is not there", "9.png,crack,test", "no such file: 9.png"),
        ("an image outside", "../5.png,crack,test", "not a path in the folder"),
        ("an absolute path", "/5.png,crack,test", "not a path in the folder"),
        ("a path of a drive", "C:\\5.png,crack,test", "not a path in the folder"),
        ("a row without a path", ",crack,test", "no path"),
        ("a file that is no image", "labels.csv,crack,test", "no image of a kind that is read"),
        ("a split of another name", "5.png,good,val", "split 'val' is neither train nor test"),
        ("a defect for training", "5.png,crack,train", "an anomalous image cannot be for training"),
    ):
        yield Input(name, table(f"{PLAIN}{row}\n"), read, Refused(["labels.csv, line ", words]))
    masked = "path,label,split,mask\n0.png,good,train,\n2.png,good,test,{}\n4.png,crack,test,{}\n"
    for name, of_good, of_bad, words in (
        ("a mask that is its image", "", "4.png", "mask that is its image"),
        ("a mask that is not there", "", "n.png", "no such file: n.png"),
        ("a mask of two images", "m.png", "m.png", "mask that is listed more than once"),
    ):
        yield Input(name, table(masked.format(of_good, of_bad)), read, Refused([words]))
    make = table(masked.format("m.png", ""))
    yield Input("a good image whose mask shows a defect", make, remarks, Remarked(["whose mask shows a defect"]))
    kinds = "path,label,split,category\n0.png,good,train,a\n2.png,good,test,a\n4.png,crack,test,{}\n"
    for category in ("a/b", "..", ".a", "a\u200b", ""):
        yield Input(f"category {category!r}", table(kinds.format(category)), read, Refused(["categor"]))
    missing = table(PLAIN.replace("4.png,crack", "4.png,good"))
    yield Input("a list without a defect", missing, read, Refused(["category without anomalous test images"]))
    yield Input("images that are not listed", table(PLAIN), remarks, Remarked(["not listed in labels.csv: 2"]))


def files() -> Iterator[Input]:
    for name, text in (
        ("with a byte order mark", "\ufeff" + PLAIN),
        ("with semicolons", PLAIN.replace(",", ";")),
        ("with tabs", PLAIN.replace(",", "\t")),
        ("with line ends of Windows", PLAIN.replace("\n", "\r\n")),
        ("with line ends of old Macs", PLAIN.replace("\n", "\r")),
        ("with blank lines", PLAIN + "\n\n  \n"),
        ("with columns in upper case and spaces", PLAIN.replace("path,label,split", " Path , LABEL,Split ")),
    ):
        yield Input(f"a list {name}", table(text), counts, Gives(COUNTS))
    for name, text, words in (
        ("that is empty", "", "no column path"),
        ("without rows", "path,label\n", "names no image"),
        ("in UTF-16", PLAIN.encode("utf-16"), "save it as CSV in UTF-8"),
        ("in Latin-1", ROWS.format("Kratzer ä").encode("latin-1"), "save it as CSV in UTF-8"),
        ("with a quote that is never closed", ROWS.format('"good'), "labels.csv"),
        ("with a comment", "# by hand\n" + PLAIN, "unknown column '# by hand'"),
        ("with a column twice", PLAIN.replace("split", "label"), "column label is there twice"),
        ("with an unknown column", PLAIN.replace("split", "set"), "unknown column 'set'"),
        ("with more cells than the header", PLAIN + "5.png,crack,test,x\n", "line 7 has more cells"),
        ("with a label over two lines", ROWS.format('"a\nb"'), "label 'a\\nb' is neither"),
        ("with a zero byte", ROWS.format("good\0"), "labels.csv"),
        ("that is an image", b"\x89PNG\r\n\x1a\n" + bytes(99), "labels.csv"),
    ):
        yield Input(f"a list {name}", table(text), read, Refused([words]))
    yield Input("a list that is not there", nothing, read, Refused(["labels.csv", "write that list"]))
    yield Input(
        "a folder called as the list", lambda root: (root / "labels.csv").mkdir(), read, Refused(["labels.csv"])
    )

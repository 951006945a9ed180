"""Judge images by an exported model. Needs onnxruntime, NumPy and Pillow; nothing else of the suite.

python run_onnx.py IMAGE...        prints each file with its score and, where the model has a threshold, its verdict

    from run_onnx import Model
    model = Model("folder with model.onnx and onnx.json")
    scores, maps = model(["a.png", "b.png"])  # (n,) and (n, H, W) in single precision: the larger, the more anomalous

Exit codes: 0 all images have a score; 1 some cannot be used, or the model cannot; 2 no images were given.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

BITS, PLANES = 258, 284  # tags of TIFF


class Model:
    """A folder that `export_onnx` wrote; `facts` is what onnx.json says.

    Raises:
        ValueError: files that were changed, or are not of one model.
    """

    def __init__(self, folder=Path(__file__).parent):
        folder = Path(folder)
        self.facts = json.loads((folder / "onnx.json").read_text(encoding="utf-8"))
        seal = self.facts.pop("sha256", None)
        said = json.dumps(self.facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        graph = (folder / "model.onnx").read_bytes()
        banks = [path for path in (folder, folder.absolute().parent) if (path / "memory_bank.safetensors").is_file()]
        wrong = [f"{folder / 'onnx.json'} was changed after it was written"] * (seal != sha256(said).hexdigest())
        wrong += [f"{folder / 'model.onnx'} is not the model that onnx.json is of"] * (
            self.facts.get("model_sha256") != sha256(graph).hexdigest()
        )
        wrong += [
            f"{path / 'memory_bank.safetensors'} is the bank of another model than {folder / 'model.onnx'}"
            for path in banks
            if bank_sha256(path / "memory_bank.safetensors") != self.facts.get("memory_bank_sha256")
        ]
        if wrong:
            raise ValueError("; ".join(wrong) + ". Remedy: export the model again, or copy its whole folder")
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def __call__(self, paths):
        """Scores (n,) and anomaly maps (n, H, W) of image files."""
        return self.session.run(["scores", "maps"], {"images": np.stack([self.image(path) for path in paths])})

    def verdict(self, score):
        """ "ANOMALOUS" from the threshold up, "good" below it, "" where the model has none."""
        threshold = self.facts["threshold"]
        return "" if threshold is None else "ANOMALOUS" if score >= threshold["value"] else "good"

    def image(self, path):
        """An image file as the model sees it: (3, H, W) float32 in [0, 1].

        Raises:
            ValueError, OSError: it is no image, or one of a kind or size that the model is not for.
        """
        with Image.open(path) as image:
            kind, frames = image.format, 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            planes = kind == "TIFF" and image.tag_v2.get(PLANES) == 2 and 16 in image.tag_v2.get(BITS, ())
            image.load()
            image = ImageOps.exif_transpose(image)
        if frames > 1:
            raise ValueError(f"{frames} images in one file: save each as a file")
        prepare = self.facts["preprocessing"]
        if image.mode == "I;16" and kind == "PNG":  # the upper 8 of the bits that are filled
            upper = np.asarray(image) >> (prepare.get("bits", 16) - 8)
            image = Image.fromarray(upper.clip(max=255).astype(np.uint8))
        if image.mode[0] in "IF" or planes:
            raise ValueError(f"mode {image.mode} of {kind}: save it with 8 bits, or in grey as a PNG of 16")
        if "transparency" in image.info:
            image = image.convert("RGBA")
        image = image.convert("RGB")
        resize, crop, size = prepare["resize"], prepare.get("crop"), self.facts["size"]
        if isinstance(resize, int):  # the shorter side
            resize = [int(resize * side / min(image.size)) for side in image.size[::-1]]
        top, left = (round((was - kept) / 2) for was, kept in zip(resize, size, strict=True))
        if min(top, left) < 0 or (crop is None and resize != size):
            raise ValueError(
                f"it comes out at {resize[0]} x {resize[1]} pixels, the model is for {size[0]} x {size[1]}"
            )
        image = image.resize(resize[::-1], Image.Resampling.BILINEAR).crop((left, top, left + size[1], top + size[0]))
        return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255


def bank_sha256(path):
    """SHA-256 of the values of the tensor `memory_bank` in a file of safetensors."""
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        first, end = json.loads(file.read(start - 8))["memory_bank"]["data_offsets"]
        file.seek(start + first)
        return sha256(file.read(end - first)).hexdigest()


def main(paths):
    """Print what the model beside this file says of image files; return the exit code."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    failed = 0
    try:
        model = Model()
    except Exception as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    for path in paths:
        try:
            (score,), _ = model([path])
        except Exception as error:  # what a decoder raises on a damaged file is not defined
            print(f"ERROR: {path}: {error}", file=sys.stderr)
            failed = 1
        else:
            print(path, f"{score:.6g}", model.verdict(score), sep="\t")
    return failed


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # names of files need not be UTF-8
    sys.exit(main(sys.argv[1:]))

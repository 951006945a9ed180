"""Judge images by an exported model: python run_onnx.py IMAGE... Needs onnxruntime, NumPy and Pillow alone.

from run_onnx import Model
model = Model("the folder that this file lies in")
scores, maps = model(model.pixels("a.png")[None])  # (n,) and (n, H, W): the larger, the more anomalous
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Model:
    def __init__(self, folder=Path(__file__).parent):
        folder = Path(folder).absolute()
        graph, fitted = (folder / "model.onnx").read_bytes(), folder.parent / "parts.json"
        self.facts = json.loads((folder / "onnx.json").read_text(encoding="utf-8"))
        seal = self.facts.pop("sha256", None)
        said = json.dumps(self.facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if seal != sha256(said).hexdigest() or self.facts["graph_sha256"] != sha256(graph).hexdigest():
            raise ValueError(f"{folder} was changed or damaged. Remedy: copy or export it again")
        if fitted.exists() and self.facts["parts_sha256"] != sha256(fitted.read_bytes()).hexdigest():
            raise ValueError(f"{folder} was exported from another model than {fitted}. Remedy: export that one again")
        onnxruntime.set_default_logger_severity(3)  # of errors alone
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def __call__(self, pixels):
        """Scores and maps of images (n, height, width, 3) of 8 bits, of any one size."""
        scores, maps = self.session.run(["scores", "maps"], {"pixels": pixels})
        if np.isnan(scores).any():
            raise ValueError(f"{pixels.shape[1:3]} does not come out at the model's size, {self.facts['size']}")
        return scores, maps

    def pixels(self, path):
        """An image file as pixels (height, width, 3): upright, without alpha, of 16 bits the upper 8."""
        with Image.open(path) as image:
            kind, frames = image.format, 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            deep = kind == "TIFF" and max(image.tag_v2.get(258, (1,))) > 8
            image.load()
            image = ImageOps.exif_transpose(image)
        if image.mode == "I;16" and kind == "PNG":
            image = Image.fromarray((np.asarray(image) >> (self.facts["bits"] - 8)).clip(max=255).astype(np.uint8))
        if frames > 1 or deep or image.mode[0] in "IF":
            raise ValueError(f"{kind} of {frames} images, mode {image.mode}. Remedy: save one, with 8 bits")
        return np.asarray((image.convert("RGBA") if "transparency" in image.info else image).convert("RGB"))


def main(paths):
    """Print the score and the verdict of each image; the exit code is 1 where one has none."""
    if not paths:
        return __doc__
    try:
        model, failed = Model(), 0
    except Exception as error:
        return f"ERROR: {error}"
    for path in paths:
        try:
            (score,), _ = model(model.pixels(path)[None])
            print(path, f"{score:.6g}", "ANOMALOUS" if score >= model.facts["threshold"]["value"] else "good", sep="\t")
        except Exception as error:  # what a decoder raises on a damaged file is not defined
            print(f"ERROR: {path}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be UTF-8
    sys.exit(main(sys.argv[1:]))

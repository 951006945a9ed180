"""Judge images by an exported model: python run_onnx.py IMAGE... Needs onnxruntime, NumPy and Pillow alone.

from run_onnx import Model
model = Model("the folder that this file lies in")
scores, maps = model(model.pixels("a.png")[None])  # (n,) and (n, H, W): the larger, the more anomalous
"""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Model:
    def __init__(self, folder=Path(__file__).parent):
        folder, graph = Path(folder).absolute(), Path(folder, "model.onnx").read_bytes()
        if sha256(graph).hexdigest().encode() not in (folder / "onnx.json").read_bytes():
            raise ValueError(f"{folder} was changed or damaged. Remedy: copy or export it again")
        onnxruntime.set_default_logger_severity(3)  # of errors alone
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.facts, fitted = self.session.get_modelmeta().custom_metadata_map, folder.parent / "parts.json"
        if fitted.exists() and self.facts["parts_sha256"] != sha256(fitted.read_bytes()).hexdigest():
            raise ValueError(f"{folder} was exported from another model than {fitted}. Remedy: export that one again")

    def __call__(self, pixels):
        """Scores and maps of images (n, height, width, 3) of 8 bits, of any one size."""
        scores, maps = self.session.run(["scores", "maps"], {"pixels": pixels})
        if np.isnan(scores).any():
            raise ValueError(f"{pixels.shape[1:3]} does not come out at the model's size, {maps.shape[1:]}")
        return scores, maps

    def pixels(self, path):
        """An image file as pixels (height, width, 3): upright, without alpha, of 16 bits the upper 8."""
        with Image.open(path) as file:
            image, frames = ImageOps.exif_transpose(file), 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
            deep = max(file.tag_v2.get(258, (1,))) > 8 if file.format == "TIFF" else image.mode[0] in "IF"
        if deep and (file.format, image.mode) == ("PNG", "I;16"):
            image = Image.fromarray((np.asarray(image) >> int(self.facts["bits"]) - 8).clip(max=255).astype(np.uint8))
        elif deep or frames > 1:
            raise ValueError(f"{file.format} of {frames} images, mode {image.mode}. Remedy: save one, with 8 bits")
        return np.asarray((image.convert("RGBA") if "transparency" in image.info else image).convert("RGB"))


def main(paths):
    """Print the score and the verdict of each image; the exit code is 1 where one has none."""
    model, failed = Model(), 0
    for path in paths:
        try:
            (score,), _ = model(model.pixels(path)[None])
            verdict = "ANOMALOUS" if score >= float(model.facts["threshold"]) else "good"
            print(path, f"{score:.6g}", verdict, sep="\t")
        except Exception as error:  # what a decoder raises on a damaged file is not defined
            print(f"ERROR: {path}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be UTF-8
    try:
        sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
    except Exception as error:
        sys.exit(f"ERROR: {error}")

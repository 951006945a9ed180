"""Judge images by an exported model, with onnxruntime, NumPy and Pillow alone: python run_onnx.py IMAGE...

From Python: model = Model(); scores, maps = model(model.pixels("a.png")[None])  # (n,), (n, H, W): more is worse
"""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")  # others may run programs


class Model:
    def __init__(self, folder=Path(__file__).parent):
        folder, graph = Path(folder).absolute(), Path(folder, "model.onnx").read_bytes()
        if sha256(graph).hexdigest() not in (folder / "onnx.json").read_text("utf-8"):
            raise ValueError(f"{folder} was changed or damaged. Remedy: copy or export it again")
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        facts, fitted = self.session.get_modelmeta().custom_metadata_map, folder.parent / "parts.json"
        self.threshold, self.bits = float(facts["threshold"]), int(facts["bits"])  # that 16-bit files fill
        if fitted.exists() and facts["parts_sha256"] != sha256(fitted.read_bytes()).hexdigest():
            raise ValueError(f"{folder} was exported from another model than {fitted}. Remedy: export that one again")

    def __call__(self, pixels):
        """Scores and maps of images (n, height, width, 3) of 8 bits, of any one size."""
        scores, maps = self.session.run(["scores", "maps"], {"pixels": pixels})
        if np.isnan(scores).any():
            raise ValueError(f"{pixels.shape[1:3]} does not come out at the model's size, {maps.shape[1:]}")
        return scores, maps

    def pixels(self, path):
        """An image file as pixels (height, width, 3): upright, without alpha, of 16 bits the upper 8."""
        with Image.open(path, formats=FORMATS) as file:
            kind, mode, frames = file.format, file.mode, 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
            deep = mode[0] in "IF" or (kind == "TIFF" and max(file.tag_v2.get(258, (1,))) > 8)
            image = ImageOps.exif_transpose(file)
        full = range(2**12 if self.bits == 16 else 0, 2**self.bits)  # else it would be nearly black, or cut off
        if frames > 1 or (deep and ((kind, mode) != ("PNG", "I;16") or image.getextrema()[1] not in full)):
            raise ValueError(f"{kind} of {frames} images, {mode} of {self.bits} bits. Remedy: save one, with 8 bits")
        if deep:
            image = Image.fromarray((np.asarray(image) >> self.bits - 8).astype(np.uint8))
        return np.asarray((image.convert("RGBA") if "transparency" in image.info else image).convert("RGB"))


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be UTF-8
    sys.excepthook = lambda _, error, __: print(f"ERROR: {error}", file=sys.stderr)  # and the exit code is 1
    model, failed = Model(), 0
    for path in sys.argv[1:] or sys.exit(__doc__):
        try:
            (score,), _ = model(model.pixels(path)[None])
            print(path, f"{score:.6g}", "ANOMALOUS" if score >= model.threshold else "good", sep="\t")
        except Exception as error:  # what decoders raise is not defined
            failed = 1
            print(f"ERROR: {path}: {error}", file=sys.stderr)
    sys.exit(failed)

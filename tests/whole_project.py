"""The whole project on toy images, so small that every stage runs on it within seconds."""

import ast
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from sealed_files import rewrite

from patchcore_suite.run import evaluate, prepare, score
from patchcore_suite.settings.params import load_params
from patchcore_suite.settings.project import Project

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
# For a person to look around; no stage runs them.
EXPLORERS = ("bring_your_own", "explore_anomalies", "explore_coreset", "welcome")
STAGED = [path for path in NOTEBOOKS if path.stem not in EXPLORERS]
SIDE = 64  # of every toy image
SHRUNK = 4  # by which sizes of single variants are divided
SEEDS = [0, 1]
SHOTS = [1, 2, 5]
CATEGORIES = ["screw", "tile"]  # of every dataset in MVTec's layout; names that MVTec AD has
TRAINING = 6  # images of each; their patches are as many as an approximate search needs
OF_A_KIND = 2  # variants of one method that set the same fields
EVERY = 5  # frames of a toy video from one that is taken to the next


def make_project(folder: Path) -> Path:
    """Write the project's notebooks, its params.yaml with small numbers, and a folder of images for each dataset."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, dataset in values["datasets"].items():
        LAYOUTS[dataset["layout"]](folder / "folders" / name)
        crop = None if dataset["crop"] is None else SIDE - 8
        dataset |= {"source": f"folders/{name}", "resize": [SIDE, SIDE], "crop": crop, "seeds": list(SEEDS)}
        dataset["variants"] = some_of_each_kind(dataset["variants"], values["variants"])
        for study in dataset.get("studies", {}).values():
            _shrink_study(study, values["variants"])
    for variant in filter(None, values["variants"].values()):
        variant |= {key: variant[key] // SHRUNK for key in ("resize", "crop") if key in variant}
    values["tables"]["00_method"]["category"] = CATEGORIES[0]
    values["tables"]["f3_coreset_vs_random"] |= {"points": 400, "size": 20}
    values["tables"]["dataset_results"]["images_shown"] = 4
    values["execution"] |= {"device": "cpu", "weights": "installed", "cache_dir": ".cache", "cache_size_gb": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return folder


def some_of_each_kind(names: list[str], variants: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The first variants of each method, sampler, search and set of fields; of profiles, which belong together, all."""
    counts: Counter[tuple] = Counter()
    kept = []
    for name in names:
        given = variants[name] or {}
        kind = (given.get("method"), given.get("sampler"), given.get("search"), *sorted(given))
        counts[kind] += 1
        if counts[kind] <= OF_A_KIND or "profile" in given:
            kept.append(name)
    return kept


def prepare_project(folder: Path) -> None:
    """Do what the data stages do."""
    with chdir(folder):
        for name in load_params().datasets:
            run_main(prepare, name)


def score_project(folder: Path) -> None:
    """Do what the data, score and evaluate stages do."""
    prepare_project(folder)
    with chdir(folder):
        params = load_params()
        for name in params.datasets:
            score.collect(score.score_dataset(Project(params).dataset(name), show_progress=False))
            run_main(evaluate, name)


def run_main(module: ModuleType, *arguments: str) -> None:
    """Call a module's command line here, without a new process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [module.__name__, *arguments])
        module.main()


def call_synthetic(folder: Path, dataset: str) -> None:
    """Let a dataset whose results are there pass for a generated one."""
    for path in (folder / f"data/{dataset}/manifest.json", folder / f"reports/scores/{dataset}/index.json"):
        rewrite(path, source="synthetic", synthetic=True)


def notebook_cells(path: Path) -> list[dict]:
    """The cells of a notebook, with their source as one text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def code_cells(path: Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    return [cell["source"] for cell in notebook_cells(path) if cell["cell_type"] == "code"]


def run_cells(folder: Path, notebook: str, **given: object) -> dict[str, object]:
    """Run the code of a notebook here, without a kernel, with its parameters from params.yaml and `given`.

    Returns:
        the variables that it leaves, and as `shown` the values that its cells end in.
    """
    _, *cells = code_cells(folder / f"notebooks/{notebook}.ipynb")
    shown: list[object] = []
    with chdir(folder):
        variables: dict[str, object] = dict(load_params().tables.get(notebook, {})) | given
        for cell in cells:
            parsed = ast.parse(cell)
            last = parsed.body.pop() if isinstance(parsed.body[-1], ast.Expr) else None
            exec(compile(parsed, notebook, "exec"), variables)
            if last:
                shown.append(eval(compile(ast.Expression(last.value), notebook, "eval"), variables))
    return variables | {"shown": shown}


def stages(folder: Path = ROOT) -> dict[str, dict]:
    """The stages of dvc.yaml by name, with `foreach` written out and the values of params.yaml put in."""
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    found = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        if "foreach" not in stage:
            found[name] = _filled(stage, params)
            continue
        for key, item in _filled(stage["foreach"], params).items():
            found[f"{name}@{key}"] = _filled(stage["do"], params | {"key": key, "item": item})
    return found


def outputs(stage: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The outputs of a stage, metrics included: path -> options."""
    found = {}
    for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
        found |= entry if isinstance(entry, dict) else {entry: {}}
    return found


def _shrink_study(study: dict[str, object], variants: Mapping[str, Mapping[str, object]]) -> None:
    study["variants"] = some_of_each_kind(study["variants"], variants)
    study["seeds"] = study["seeds"][: len(SEEDS)]
    if "categories" in study:
        study["categories"] = CATEGORIES[:1]
    if "shots" in study:
        study["shots"] = [count for count in study["shots"] if count is None or count in SHOTS]


def _filled(value: object, values: Mapping[str, object]) -> object:
    if isinstance(value, dict):
        return {_filled(key, values): _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\{([\w.-]+)\}", value):
        return _value(whole[1], values)
    filled = re.sub(r"\$\{([\w.-]+)\}", lambda match: str(_value(match[1], values)), value)
    return filled.replace(r"\${", "${")  # as DVC hands it to the shell


def _value(path: str, values: Mapping[str, object]) -> object:
    for part in path.split("."):
        values = values[part]
    return values


def _picture(seed: int, *, anomalous: bool = False) -> np.ndarray:
    """Grey noise; an anomalous picture has a bright square in its middle."""
    values = np.random.default_rng(seed).integers(90, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    if anomalous:
        values[_square()] = 240
    return values


def _square() -> tuple[slice, slice]:
    return slice(SIDE // 4, SIDE // 2), slice(SIDE // 4, SIDE // 2)


def _mask() -> np.ndarray:
    values = np.zeros((SIDE, SIDE), dtype=np.uint8)
    values[_square()] = 255
    return values


def _save(values: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _mvtec(root: Path) -> None:
    for number, category in enumerate(CATEGORIES):
        for index in range(TRAINING):
            _save(_picture(100 * number + index), root / category / "train/good" / f"{index}.png")
        for index in range(3):
            seed = 100 * number + 10 + index
            _save(_picture(seed), root / category / "test/good" / f"{index}.png")
            _save(_picture(seed + 10, anomalous=True), root / category / "test/spot" / f"{index}.png")
            _save(_mask(), root / category / "ground_truth/spot" / f"{index}_mask.png")


def _mtd(root: Path) -> None:
    for index in range(10):
        _save(_picture(index), root / "MT_Free/Imgs" / f"{index}.jpg")
        _save(np.zeros((SIDE, SIDE), dtype=np.uint8), root / "MT_Free/Imgs" / f"{index}.png")
    for index in range(3):
        _save(_picture(20 + index, anomalous=True), root / "MT_Blowhole/Imgs" / f"{index}.jpg")
        _save(_mask(), root / "MT_Blowhole/Imgs" / f"{index}.png")


def _mstc(root: Path) -> None:
    video = root / "training/videos/01_001.avi"
    video.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (SIDE, SIDE))
    for frame in range(4 * EVERY):
        writer.write(_picture(frame))
    writer.release()
    labels = np.repeat(np.array([0, 1], dtype=np.uint8), 2 * EVERY)
    for frame, label in enumerate(labels):
        _save(_picture(50 + frame, anomalous=bool(label)), root / "testing/frames/01_0001" / f"{frame:03}.jpg")
    for kind, values in (("frame", labels), ("pixel", labels[:, None, None] * (_mask() // 255))):
        (root / f"testing/test_{kind}_mask").mkdir()
        np.save(root / f"testing/test_{kind}_mask/01_0001.npy", values)


LAYOUTS = {"mvtec": _mvtec, "mtd": _mtd, "mstc": _mstc}

"""Values of params.yaml, one of which is wrong or odd, and files that are no settings."""

from collections.abc import Iterator
from pathlib import Path

from faults.inputs import Gives, Input, Make, Refused, nothing

from patchcore_suite.settings.params import PARAMS_FILE, load_params

SOUND = """\
datasets:
  toy: {layout: mvtec, paper: null, source: images, resize: 64, crop: 56, variants: [one], seeds: [0]}
variants:
  one: {backbone: pixels}
execution: {device: cpu}
"""
# What is put in place of what, and words of the refusal.
OF_DATASETS = (
    ("resize: 64", "resize: 0", "datasets.toy.resize=0 is not a size"),
    ("resize: 64", "resize: -1", "datasets.toy.resize=-1 is not a size"),
    ("resize: 64", "resize: 99999", "datasets.toy.resize=99999 is not a size"),
    ("resize: 64", "resize: true", "datasets.toy.resize=True is not a size"),
    ("resize: 64", "resize: '64'", "datasets.toy.resize='64' is not a size"),
    ("resize: 64", "resize: 64.0", "datasets.toy.resize=64.0 is not a size"),
    ("resize: 64", "resize: .nan", "datasets.toy.resize=nan is not a size"),
    ("resize: 64", "resize: [64]", "is not a size"),
    ("resize: 64", "resize: 1e3", "read differently by DVC"),
    ("resize: 64", "resize: 064", "read differently by DVC"),
    ("resize: 64, ", "", "datasets.toy.resize is missing"),
    ("crop: 56", "crop: 65", "crop=65 does not fit"),
    ("crop: 56", "crop: [65, 65]", "does not fit"),
    ("layout: mvtec", "layout: mvtek", "layout"),
    ("layout: mvtec", "layout: [mvtec]", "layout"),
    ("layout: mvtec, ", "", "datasets.toy.layout is missing"),
    ("paper: null", "paper: mvtec", "paper='mvtec'"),
    ("source: images", "source: ''", "source=''"),
    ("source: images", "source: ~/images", "must be written in full"),
    ("source: images", "source: s3://images", "not an address"),
    ("source: images", "source: 'images '", "begins or ends with a space"),
    ("source: images", "source: .", "move the images to a folder of their own"),
    ("source: images", "source: data/toy", "holds data/toy"),
    ("source: images", "source: reports/images", "into which the suite writes"),
    ("source: images", "source: .git", "into which the suite writes"),
    ("source: images", 'source: "a\\0b"', "source="),
    ("variants: [one]", "variants: [none]", "is no variant"),
    ("variants: [one]", "variants: []", "a list of one or more different values"),
    ("variants: [one]", "variants: [one, one]", "a list of one or more different values"),
    ("variants: [one]", "variants: one", "datasets.toy.variants"),
    ("seeds: [0]", "seeds: [-1]", "datasets.toy.seeds[0]=-1"),
    ("seeds: [0]", "seeds: [1.5]", "datasets.toy.seeds[0]=1.5"),
    ("seeds: [0]", "seeds: [true]", "datasets.toy.seeds[0]=true"),
    ("seeds: [0]", "seeds: [0, 0]", "a list of one or more different values"),
    ("seeds: [0]", "seeds: [0], noise: 1", "noise=1 "),
    ("seeds: [0]", "seeds: [0], colour: red", "unknown key datasets.toy.colour"),
    ("seeds: [0]", "seeds: [0], metrics: [auroc]", "is no metric to ask for"),
    ("seeds: [0]", "seeds: [0], studies: {few: {variants: [one], seeds: [0], shots: [0]}}", "shots[0]=0"),
    ("seeds: [0]", "seeds: [0], seeds: [1]", "datasets.toy.seeds is there twice"),
    ("toy: {", "to y: {", "is no usable name"),
    ("toy: {", "to.y: {", "is no usable name"),
    ("toy: {", "'x; y': {", "is no usable name"),
    ("toy: {", "../toy: {", "is no usable name"),
    ("toy: {", "toy_intervals: {", "is no usable name"),
)
OF_VARIANTS = (
    ("backbone: pixels", "coreset_fraction: 0", "coreset_fraction=0 must lie in (0, 1]"),
    ("backbone: pixels", "coreset_fraction: 2", "coreset_fraction=2 must lie in (0, 1]"),
    ("backbone: pixels", "coreset_fraction: .nan", "coreset_fraction=nan must lie in (0, 1]"),
    ("backbone: pixels", "coreset_fraction: '0.1'", "coreset_fraction='0.1' must be"),
    ("backbone: pixels", "corset_fraction: 0.1", "did you mean coreset_fraction?"),
    ("backbone: pixels", "backbone: ''", "backbone=''"),
    ("backbone: pixels", "backbone: null", "backbone=None"),
    ("backbone: pixels", "hierarchies: []", "hierarchies=[]"),
    ("backbone: pixels", "hierarchies: [3, 2]", "hierarchies=[3, 2]"),
    ("backbone: pixels", "hierarchies: [-1]", "hierarchies=[-1]"),
    ("backbone: pixels", "neighbourhood_size: 2", "neighbourhood_size=2 must be odd"),
    ("backbone: pixels", "smoothing_sigma: -1", "smoothing_sigma=-1"),
    ("backbone: pixels", "smoothing_sigma: .inf", "smoothing_sigma=inf"),
    ("backbone: pixels", "storage: float8", "storage='float8' must be one of"),
    ("backbone: pixels", "method: nonesuch", "variants.one.method"),
    ("backbone: pixels", "resize: 32", "do not go together"),
    ("one: {backbone: pixels}", "one: [backbone]", "variants.one"),
    ("one: {backbone: pixels}", "one/two: {backbone: pixels}", "is no usable name"),
)
OF_EXECUTION = (
    ("device: cpu", "device: gpu", "execution.device='gpu' must be cpu, cuda or cuda:N"),
    ("device: cpu", "engine: dask", "execution.engine='dask' must be one of"),
    ("device: cpu", "engine: ray, device: 'cuda:1'", "must be cpu or cuda"),
    ("device: cpu", "batch_size: 0", "execution.batch_size=0"),
    ("device: cpu", "processes: 0", "execution.processes=0"),
    ("device: cpu", "workers: 1.5", "execution.workers=1.5"),
    ("device: cpu", "precision: float64", "execution.precision='float64'"),
    ("device: cpu", "memory_gb: 0", "execution.memory_gb=0"),
    ("device: cpu", "cache_size_gb: -1", "execution.cache_size_gb=-1"),
    ("device: cpu", "weights: true", "execution.weights=true must be a path, or installed"),
    ("device: cpu", "weights: null", "execution.weights=null must be a path, or installed"),
    ("device: cpu", "weights: .", "move the weights to a folder of their own"),
    ("device: cpu", "weights: s3://weights", "not an address"),
    ("device: cpu", "networks: mine.txt", "execution.networks='mine.txt' must be a Python file"),
    ("device: cpu", "cache_dir: .", "name a folder of its own"),
    ("device: cpu", "cache_dir: reports", "name a folder of its own"),
    ("device: cpu", "cache_dir: images/x", "name a folder of its own"),
    ("device: cpu", "cache_dir: params.yaml", "name a folder"),
    ("device: cpu", "divice: cpu", "did you mean device?"),
    ("execution: {device: cpu}", "execution: cpu", "execution='cpu' must be a mapping"),
    ("execution:", "excecution:", "did you mean execution?"),
)
READ = ("toy", "images", 64, 56, (0,), "pixels")


def written(text: str | bytes) -> Make:
    return lambda root: (root / PARAMS_FILE).write_bytes(text if isinstance(text, bytes) else text.encode())


def read(root: Path) -> object:
    """What the settings say, as far as they are looked at here."""
    params = load_params(root / PARAMS_FILE)
    ((name, block),) = params.datasets.items()
    prepared = params.preprocessing(name, "one")
    return name, block.spec.source, prepared.resize, prepared.crop, block.seeds, params.config(name, "one").backbone


def inputs(shared: Path) -> Iterator[Input]:
    for old, new, words in (*OF_DATASETS, *OF_VARIANTS, *OF_EXECUTION):
        assert SOUND.count(old) == 1, old
        yield Input(new or f"no {old}", written(SOUND.replace(old, new)), read, Refused(["params.yaml", words]))
    for name, text, words in (
        ("an empty file", "", "is empty"),
        ("comments alone", "# datasets\n", "is empty"),
        ("a list", "- datasets\n", "must be a mapping"),
        ("a number", "1\n", "must be a mapping"),
        ("a tab", SOUND.replace("  toy", "\ttoy"), "is not YAML: line 2"),
        ("a bracket that is never closed", SOUND.replace("seeds: [0]", "seeds: [0"), "is not YAML"),
        ("two documents", SOUND + "---\n" + SOUND, "is not YAML"),
        ("UTF-16", SOUND.encode("utf-16"), "byte order mark"),
        ("Latin-1", SOUND.replace("images", "bör").encode("latin-1"), "is not UTF-8: line 2"),
        ("a zero byte", SOUND + "\0", "is not YAML"),
        ("an image", b"\x89PNG\r\n\x1a\n", "params.yaml"),
        ("brackets 1000 deep", f"{SOUND}x: {'[' * 1000}{']' * 1000}\n", "nested more than 30 deep"),
        ("aliases of aliases", SOUND + bomb(), "use fewer aliases"),
        ("an alias of what it stands in", SOUND + "x: &x [*x]\n", "nested more than 30 deep"),
        ("code", SOUND.replace("pixels", "!!python/object/apply:os.getcwd []"), "no value that can be read"),
        ("a date that there is not", SOUND.replace("images", "2026-02-30"), "no value that can be read"),
        ("a list for a key", SOUND.replace("device: cpu", "[a]: cpu"), "a list or a mapping for a key"),
        ("a conflict of merging", f"<<<<<<< ours\n{SOUND}=======\n{SOUND}>>>>>>> theirs\n", "params.yaml"),
        ("a number for a name", SOUND.replace("toy:", "1:"), "1 is no usable name"),
    ):
        yield Input(name, written(text), read, Refused([words]))
    yield Input("no file", nothing, read, Refused(["params.yaml cannot be read", "run from the project's folder"]))
    yield Input(
        "a folder of its name", lambda root: (root / PARAMS_FILE).mkdir(), read, Refused(["params.yaml cannot be read"])
    )
    for name, text in (
        ("line ends of Windows", SOUND.replace("\n", "\r\n")),
        ("comments and a document's marks", f"--- # mine\n{SOUND}...\n"),
        ("quotes", SOUND.replace("images", '"images"').replace("64", "0x40")),
        ("an anchor", SOUND.replace("[0]", "&seeds [0]").replace("device: cpu", "device: cpu")),
    ):
        yield Input(name, written(text), read, Gives(READ))


def bomb() -> str:
    """Ten aliases of ten aliases, and so on, of which few lines make 10^7 values."""
    lines = ["x0: &x0 [1]\n"] + [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 8)]
    return "".join(lines)

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from patchcore_core import InputError, PatchCoreConfig
from patchcore_core.config import MethodConfig
from patchcore_suite.baselines.config import PadimConfig, SpadeConfig
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings.execution import Execution
from patchcore_suite.settings.params import find_params, load_params, read_params
from patchcore_suite.settings.studies import Study
from patchcore_suite.settings.variants import Variant
from patchcore_suite.settings.yaml_file import Document, read_yaml

ROOT = Path(__file__).parents[3]
LAYOUT_NAMES = "btad, csv, folders, kolektorsdd, kolektorsdd2, mpdd, mstc, mtd, mvtec, mvtec_ad_2, mvtec_loco, "
LAYOUT_NAMES += "ped2, real_iad, visa"
SMALL = """
datasets:
  toy:
    layout: mvtec
    paper: null
    source: images
    resize: 64
    crop: 56
    variants: [one, two]
    seeds: [0, 1]
    overrides:
      hierarchies: [3]
variants:
  one: null
  two:
    coreset_fraction: 0.5
    hierarchies: [1, 2]
tables:
  page:
    variant: one
execution:
  batch_size: 4
"""


def load(folder, text=SMALL):
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return load_params(folder / "params.yaml")


def message(folder, text):
    with pytest.raises(InputError) as caught:
        load(folder, text)
    return str(caught.value)


def changed(old, new):
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


# What it says


def test_params_are_read_into_values(tmp_path):
    params = load(tmp_path)
    toy = params.dataset("toy")
    assert (toy.spec.source, toy.spec.layout, toy.spec.categories) == ("images", "mvtec", None)
    assert (toy.preprocessing.resize, toy.preprocessing.crop) == (64, 56)
    assert (toy.variants, toy.seeds) == (("one", "two"), (0, 1))
    assert params.variants == {
        "one": Variant(values={}),
        "two": Variant(values={"coreset_fraction": 0.5, "hierarchies": [1, 2]}),
    }
    assert toy.studies == {"main": Study(variants=("one", "two"), seeds=(0, 1))}
    assert params.tables == {"page": {"variant": "one"}}
    assert params.execution == Execution(batch_size=4)
    assert params.path("reports/x") == tmp_path / "reports" / "x"


def test_what_a_datasets_protocol_fixes_goes_before_the_variant(tmp_path):
    params = load(tmp_path)
    assert params.config("toy", "two") == PatchCoreConfig(coreset_fraction=0.5, hierarchies=(3,))
    assert params.config("toy", "one") == PatchCoreConfig(hierarchies=(3,))


def test_what_a_datasets_protocol_fixes_is_patchcores_alone(tmp_path):
    params = load(tmp_path, changed("one: null", "one: {method: spade}"))
    assert params.config("toy", "one") == SpadeConfig()
    assert params.config("toy", "two").hierarchies == (3,)


def test_variants_begin_with_the_defaults_of_their_method(tmp_path):
    text = changed("one: null", "one: {method: padim, ridge: 1}")
    params = load(tmp_path, f"defaults: {{patchcore: {{stride: 2}}, padim: {{dimensions: 7, ridge: 2}}}}\n{text}")
    assert params.config("toy", "one") == PadimConfig(dimensions=7, ridge=1)
    assert params.config("toy", "two") == PatchCoreConfig(stride=2, coreset_fraction=0.5, hierarchies=(3,))


def test_a_variant_prepares_images_as_its_dataset_except_for_what_it_says(tmp_path):
    params = load(tmp_path, changed("one: null", "one: {crop: null, masks: bilinear}"))
    assert params.preprocessing("toy", "one") == Preprocessing(resize=64, crop=None, masks="bilinear")
    assert params.preprocessing("toy", "two") == Preprocessing(resize=64, crop=56)


def test_an_ensemble_is_run_as_its_models_are_on_a_dataset(tmp_path):
    text = changed("variants: [one, two]", "variants: [both]").replace("one: null", "one: {resize: 48, crop: null}")
    text = text.replace(
        "  two:\n", "  both: {method: ensemble, models: [one, two]}\n  two:\n    resize: 48\n    crop: null\n"
    )
    params = load(tmp_path, text)
    assert params.config("toy", "both").models == (
        PatchCoreConfig(hierarchies=(3,)),
        PatchCoreConfig(hierarchies=(3,), coreset_fraction=0.5),
    )
    assert params.preprocessing("toy", "both") == Preprocessing(resize=48)


def test_without_tables_and_execution_the_defaults_hold(tmp_path):
    params = load(tmp_path, SMALL[: SMALL.index("tables:")])
    assert params.tables == {}
    assert params.execution == Execution()


def test_the_nearest_file_upwards_is_found(tmp_path, monkeypatch):
    load(tmp_path)
    inner = tmp_path / "notebooks" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert find_params() == tmp_path / "params.yaml"
    assert load_params().root == tmp_path
    load(tmp_path / "notebooks")
    assert find_params() == tmp_path / "notebooks" / "params.yaml"


def test_without_a_file_upwards_the_error_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"there is no params.yaml in {tmp_path}"):
        load_params()


# The repository's own


def test_the_repositorys_params_are_valid():
    params = load_params(ROOT / "params.yaml")
    assert {"mvtec", "mtd", "mstc"} <= params.datasets.keys()
    for name, dataset in params.datasets.items():
        for variant in {variant for study in dataset.studies.values() for variant in study.variants}:
            config = params.config(name, variant)
            assert isinstance(config, MethodConfig)
            assert config.method == params.variants[variant].method


def test_every_dataset_of_the_repository_has_controls_in_its_main_study():
    params = load_params(ROOT / "params.yaml")
    for name, dataset in params.datasets.items():
        methods = {params.config(name, variant).method for variant in dataset.variants}
        assert {"patchcore", "random_scores", "mean_image"} <= methods
        assert any(params.config(name, variant).backbone.startswith("untrained/") for variant in dataset.variants)


def test_the_repositorys_params_are_read_alike_by_both_dialects():
    ruamel = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with DVC")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    as_dvc_does = ruamel.YAML(typ="safe").load(text)
    assert repr(yaml.safe_load(text)) == repr(as_dvc_does)  # 1 and 1.0 and true are equal, but not alike


# Errors


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("datasets:", "datsets:", ["params.yaml cannot be used", "unknown key datsets (did you mean datasets?)"]),
        (
            "datasets:",
            "defaults: {patchcor: {}}\ndatasets:",
            ["'patchcor' is no method (did you mean patchcore?)"],
        ),
        (
            "datasets:",
            "defaults: {padim: {dimension: 8}}\ndatasets:",
            ["defaults.padim.dimension (did you mean dimensions?)"],
        ),
        ("batch_size", "batchsize", ["execution.batchsize (did you mean batch_size?)"]),
        (
            "    crop: 56",
            "    crop: 65",
            ["datasets.toy.crop=65 does not fit: resize=64 makes images smaller than that"],
        ),
        ("one: null", "one: {resize: 48}", ["variants.one and datasets.toy do not go together: crop=56 does not fit"]),
        ("one: null", "one: {crop: 65}", ["variants.one and datasets.toy do not go together: crop=65 does not fit"]),
        ("    crop: 56", "    crop: [65, 66]", ["crop=(65, 66) does not fit: resize=64"]),
        ("    crop", "    crp", ["datasets.toy.crp (did you mean crop?)"]),
        ("coreset_fraction", "coreset_fracton", ["variants.two.coreset_fracton (did you mean coreset_fraction?)"]),
        ("      hierarchies: [3]", "      hierarchy: [3]", ["datasets.toy.overrides.hierarchy (did you mean"]),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_a_suggestion(tmp_path, old, new, expected):
    text = message(tmp_path, changed(old, new))
    for part in expected:
        assert part in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "coreset_fraction: 0.5",
            "coreset_fraction: 5",
            ["line 16: variants.two.coreset_fraction=5 must lie in (0, 1]"],
        ),
        ("      hierarchies: [3]", "      hierarchies: [3, 3]", ["datasets.toy.overrides.hierarchies=[3, 3]"]),
        ("      hierarchies: [3]", "      stride: 0", ["datasets.toy.overrides.stride=0"]),
        ("datasets:", "defaults: {padim: {ridge: 0}}\ndatasets:", ["defaults.padim.ridge=0 must be"]),
        ("datasets:", "defaults: {padim: 3}\ndatasets:", ["defaults.padim=3 must be a mapping"]),
        ("datasets:", "defaults: [padim]\ndatasets:", ["defaults=['padim'] must be a mapping"]),
        ("layout: mvtec", "layout: mvtek", [f"datasets.toy.layout='mvtek' must be one of {LAYOUT_NAMES}"]),
        ("resize: 64", "resize: 64.5", ["datasets.toy.resize=64.5 is not a size"]),
        ("seeds: [0, 1]", "seeds: [0, -1]", ["line 10: datasets.toy.seeds[1]=-1 must be a whole number of 0 or more"]),
        ("seeds: [0, 1]", "seeds: [0, 1.5]", ["datasets.toy.seeds[1]=1.5 must be a whole number"]),
        ("seeds: [0, 1]", "seeds: [0, true]", ["datasets.toy.seeds[1]=true must be a whole number"]),
        ("seeds: [0, 1]", "seeds: 3", ["datasets.toy.seeds=3 must be a list"]),
        ("seeds: [0, 1]", "seeds: []", ["datasets.toy.seeds=[] must be a list of one or more"]),
        ("seeds: [0, 1]", "seeds: [1, 1]", ["datasets.toy.seeds=[1, 1] must be a list of one or more different"]),
        ("variants: [one, two]", "variants: one", ["datasets.toy.variants='one' must be a list"]),
        (
            "variants: [one, two]",
            "variants: [{one: 1}]",
            ["datasets.toy.variants[0]={'one': 1} must be the name of a variant"],
        ),
        ("    overrides:", "    studies: 3\n    overrides:", ["datasets.toy.studies=3 must be a mapping"]),
        (
            "    overrides:",
            "    studies: {main: {}}\n    overrides:",
            ["datasets.toy.studies.main is the dataset's own"],
        ),
        ("    overrides:", "    studies: {a b: {}}\n    overrides:", ["datasets.toy.studies.a b is no usable name"]),
        (
            "    overrides:",
            "    shots: [1]\n    overrides:",
            ["unknown key datasets.toy.shots; it belongs to datasets.NAME.studies.NAME"],
        ),
        (
            "    overrides:",
            "    tiles: {size: 64, overlap: 8}\n    region: mask.png\n    overrides:",
            [
                "unknown key datasets.toy.tiles; it belongs to a model of your own parts, not to params.yaml",
                "unknown key datasets.toy.region; it belongs to a model of your own parts",
            ],
        ),
        ("    resize: 64", "    resize: 64\n    masks: cubic", ["datasets.toy.masks='cubic' must be one of"]),
        (
            "    resize: 64",
            "    resize: 64\n    draw: block",
            ["datasets.toy.draw='block' must be one of nested, blocks"],
        ),
        ("    resize: 64", "    resize: 64\n    together: 1", ["datasets.toy.together=1 must be true or false"]),
        ("    resize: 64", "    resize: 64\n    draw: null", ["datasets.toy.draw=null must be one of nested, blocks"]),
        (
            "batch_size: 4",
            "batch_size: 4\nrotations: [0]",
            ["unknown key rotations; it belongs to variants.NAME"],
        ),
        ("batch_size: 4", "batch_size: 0", ["execution.batch_size=0 must be a whole number of at least 1"]),
        ("batch_size: 4", "workers: two", ["execution.workers='two'"]),
        ("batch_size: 4", "precision: float64", ["execution.precision='float64' must be one of float32, bfloat16"]),
        ("batch_size: 4", "compile: 1", ["execution.compile=1 must be true or false"]),
        ("batch_size: 4", "device: gpu", ["execution.device='gpu' must be cpu, cuda"]),
        ("batch_size: 4", "cache_size_gb: -1", ["execution.cache_size_gb=-1"]),
        ("batch_size: 4", "cache_size_gb: .nan", ["execution.cache_size_gb=nan"]),
        ("batch_size: 4", "cache_size_gb: true", ["execution.cache_size_gb=true"]),
        ("batch_size: 4", "cache_dir: 3", ["execution.cache_dir=3"]),
        ("batch_size: 4", "weights: 3", ["execution.weights=3"]),
        ("batch_size: 4", "ray: 3", ["execution.ray=3 must be a mapping"]),
        ("batch_size: 4", "ray: {worker: 2}", ["execution.ray.worker (did you mean workers?)"]),
        ("batch_size: 4", "ray: {workers: 0, cpus: true}", ["execution.ray.workers=0", "execution.ray.cpus=true"]),
        ("batch_size: 4", "ray: {address: here}", ["execution.ray.address='here' must be auto, HOST:PORT"]),
        ("batch_size: 4", "ray: {gpus: -1}", ["execution.ray.gpus=-1 must be a number of 0 or more"]),
        ("batch_size: 4", "engine: ray\n  ray: {gpus: 1}", ["execution.ray.gpus=1 must be 0 or null with device: cpu"]),
        (
            "batch_size: 4",
            "engine: ray\n  device: cuda\n  ray: {gpus: 0}",
            ["execution.ray.gpus=0 must be more than 0"],
        ),
        ("batch_size: 4", "engine: ray\n  device: cuda\n  ray: {gpus: 1.5}", ["execution.ray.gpus=1.5 must be a part"]),
        (
            "batch_size: 4",
            "engine: ray\n  device: cuda\n  ray: {gpus: .inf}",
            ["execution.ray.gpus=inf must be a part"],
        ),
        ("batch_size: 4", "engine: ray\n  device: 'cuda:1'", ["execution.device='cuda:1' must be cpu or cuda where"]),
        ("  one: null", "  one: 3", ["variants.one=3 must be a mapping"]),
        ("  page:\n    variant: one", "  page: 3", ["tables.page=3 must be a mapping"]),
        ("  toy:", "  to/y:", ["datasets.to/y is no usable name"]),
        ("  toy:", f"  {'t' * 101}:", ["is no usable name: use up to 100 letters"]),
        ("  two:", "  ../two:", ["variants.../two is no usable name"]),
        ("  toy:", "  toy_intervals:", ["datasets.toy_intervals is no usable name: a dataset toy has files"]),
        ("  toy:", "  toy_evaluated:", ["datasets.toy_evaluated is no usable name: a dataset toy has files"]),
        ("  two:", "  category:", ["variants.category is no usable name: a table by category"]),
        ("    overrides:\n      hierarchies: [3]", "    overrides: 3", ["datasets.toy.overrides=3 must be a mapping"]),
    ],
)
def test_a_value_out_of_range_is_named_with_its_path(tmp_path, old, new, expected):
    text = message(tmp_path, changed(old, new))
    for part in expected:
        assert part in text


MADE = ["reports", "reports/scores/cache", "./reports/../data", ".git/x", ".dvc/cache", "link/deep"]
OTHERS = [".", "notebooks", "patchcore_suite/run", "lists", "images/mine", "images", "nets", "a_file", "a_file/cache"]


@pytest.mark.parametrize("given", [*MADE, *OTHERS, "~/cache", "s3://bucket/x"])
def test_a_cache_among_other_files_is_refused(tmp_path, given):
    (tmp_path / "a_file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "reports")
    text = changed("batch_size: 4", f"cache_dir: {given}\n  weights: nets").replace(
        "source: synthetic", "source: images"
    )
    assert f"execution.cache_dir='{given}' " in message(tmp_path, text)


@pytest.mark.parametrize(
    "given", [".cache", "cache/deep", "../elsewhere", "data_cache", "reports2", "/var/tmp/patchcore"]
)
def test_a_cache_in_a_folder_of_its_own_is_taken(tmp_path, given):
    path = tmp_path / "params.yaml"
    path.write_text(changed("batch_size: 4", f"cache_dir: {given}"))
    assert load_params(path).execution.cache_dir == given


def test_all_values_of_execution_out_of_range_are_listed_at_once(tmp_path):
    text = message(tmp_path, changed("batch_size: 4", "{batch_size: 0, workers: 0, device: tpu, cache_size_gb: -1}"))
    assert text.count("  - line 22: execution.") == 4


def test_unknown_variants_of_a_dataset_are_all_listed_with_the_known_ones(tmp_path):
    text = message(tmp_path, changed("variants: [one, two]", "variants: [three, one, four]"))
    assert "datasets.toy.variants[0]='three' is no variant; known here: one, two" in text
    assert "datasets.toy.variants[2]='four' is no variant; known here: one, two" in text


def test_missing_keys_of_a_dataset_are_all_listed(tmp_path):
    text = message(tmp_path, changed("    layout: mvtec\n", "").replace("    seeds: [0, 1]\n", ""))
    assert f"line 3: datasets.toy.layout is missing: one of {LAYOUT_NAMES}" in text
    assert "line 3: datasets.toy.seeds is missing" in text


def test_a_file_from_before_datasets_said_what_they_are_is_told_what_to_add(tmp_path):
    text = message(tmp_path, changed("    paper: null\n", ""))
    assert text.count("  - ") == 1
    assert "line 3: datasets.toy.paper is missing: mvtec-ad, mtd, mstc, or null for parts of your own" in text


def test_a_variant_that_a_datasets_protocol_makes_impossible_is_refused_at_once(tmp_path):
    text = message(
        tmp_path, changed("      hierarchies: [3]", "      border: cut").replace("one: null", "one: {dimension: 8}")
    )
    assert "line 11: datasets.toy.overrides and variants.one do not go together: border='cut' is" in text


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"dataset 'mvtec' is not in params.yaml\nRemedy: known: toy"):
        load(tmp_path).dataset("mvtec")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.yaml cannot be read: No such file"):
        load_params(tmp_path / "none.yaml")


# Everything at once


WRONG = """\
datasets:
  toy:
    layout: mvtek
    source: images
    resize: [64]
    crop: 0
    seed: -1
    variants: [one, two, tree]
    seeds: [0, 1, -1]
    studies:
      low.shot:
        variants: [one]
        seeds: 3
        shots: [1, 0, two]
      "a b": {variants: [one], seeds: [0], colour: red}
    overrides:
      stride: 0
  to.y:
    source: images
    variants: [four]
    seeds: [0]
    seeds: [1]
  other:
    layout: mvtec
    source: images
    resize: 64
    variants: [one, padim]
    seeds: [0, 010]
    overrides: {border: cut}
defaults:
  spade: {hierarchies: []}
variants:
  one: {dimension: 8}
  two: {coreset_fracton: 0.5, stride: 0}
  tree-: {method: ensemble, models: [one, oen]}
  padim: {method: padim, stride: 2}
tables: {page: 3}
execution: {device: gpu, workers: 0}
batch_size: 4
"""
SAID = """\
line 2: datasets.toy.paper is missing: mvtec-ad, mtd, mstc, or null for parts of your own
line 3: datasets.toy.layout='mvtek' must be one of LAYOUTS
line 5: datasets.toy.resize=[64] is not a size: give a whole number, or [height, width], up to 16384
line 6: datasets.toy.crop=0 is not a size: give a whole number, or [height, width], up to 16384
line 7: datasets.toy.seed=-1 must be a whole number of 0 or more
line 8: datasets.toy.variants[2]='tree' is no variant (did you mean tree-?)
line 9: datasets.toy.seeds[2]=-1 must be a whole number of 0 or more
line 13: datasets.toy.studies.low.shot.seeds=3 must be a list of one or more different values
line 14: datasets.toy.studies.low.shot.shots[1]=0 must be a whole number of at least 1, or null for all images
line 14: datasets.toy.studies.low.shot.shots[2]='two' must be a whole number of at least 1, or null for all images
line 15: datasets.toy.studies.a b is no usable name: use up to 100 letters, digits and - _ . + only
line 15: unknown key datasets.toy.studies.a b.colour; known here: variants, seeds, categories, shots, covering_radius
line 17: datasets.toy.overrides.stride=0 must be at least 1
line 18: datasets.to.y is no usable name: use up to 100 letters, digits, - and _; to DVC, a dot is a level of keys
line 18: datasets.to.y.layout is missing: one of LAYOUTS
line 18: datasets.to.y.paper is missing: mvtec-ad, mtd, mstc, or null for parts of your own
line 18: datasets.to.y.resize is missing: a whole number, or [height, width]
line 20: datasets.to.y.variants[0]='four' is no variant; known here: one, two, tree-, padim
line 22: datasets.to.y.seeds is there twice: in line 21 too
line 23: datasets.other.paper is missing: mvtec-ad, mtd, mstc, or null for parts of your own
line 28: 010 is read differently by DVC and by the notebooks: write 0.001 instead of 1e-3, true or false, and quote \
what is not a number
line 29: datasets.other.overrides and variants.one do not go together: border='cut' is defined for dimension=None \
only: pooling to a dimension needs whole windows
line 31: defaults.spade.hierarchies=[] must be ascending whole numbers from 0 up, without repetition
line 34: unknown key variants.two.coreset_fracton (did you mean coreset_fraction?)
line 34: variants.two.stride=0 must be at least 1
line 35: variants.tree-.models[1]='oen' is no variant of PatchCore (did you mean one?)
line 36: unknown key variants.padim.stride; it belongs to variants.NAME, defaults.METHOD or datasets.NAME.overrides
line 37: tables.page=3 must be a mapping of names to values
line 38: execution.device='gpu' must be cpu, cuda or cuda:N
line 38: execution.workers=0 must be a whole number of at least 1
line 39: unknown key batch_size; it belongs to execution
""".replace("LAYOUTS", LAYOUT_NAMES)


def test_all_that_is_wrong_with_a_file_is_said_at_once_with_its_lines(tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path, WRONG)
    assert caught.value.problem == "params.yaml cannot be used"
    assert "\n".join(caught.value.offenders) + "\n" == SAID
    assert str(caught.value).count("Remedy: ") == 1


def leaves(value, path=()):
    """(path, value) of all that holds nothing else."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, one in inner for leaf in leaves(one, (*path, key))]
    return found or [(path, value)]


def of_another_type(value):
    return "words" if isinstance(value, int | float) else {"mapping": 1} if value is None else 0.5


def replaced(values, path, value):
    if not path:
        return value
    copy = values.copy()
    copy[path[0]] = replaced(values[path[0]], path[1:], value)
    return copy


def test_any_value_of_the_repositorys_params_that_has_another_type_is_named_with_its_path(tmp_path):
    document = read_yaml(ROOT / "params.yaml", remedy="")
    found = [(path, value) for path, value in leaves(document.values) if path[0] != "tables"]  # notebooks know theirs
    assert len(found) > 300
    for path, value in found:
        wrong = Document("params.yaml", replaced(document.values, path, of_another_type(value)), document.places)
        with pytest.raises(InputError) as caught:
            read_params(wrong, tmp_path)
        keys = [part for part in path if isinstance(part, str)]
        named = [text for text in caught.value.offenders if ".".join(keys) in text]
        assert named, (path, str(caught.value))
        assert all("pydantic" not in text and "Input should" not in text for text in caught.value.offenders)


def test_params_are_read_without_torch_and_opencv():
    code = "import sys; from patchcore_suite.settings.params import load_params; load_params(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "cv2", "pandas"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize("key", ["null", "3", "1.5", "true"])
def test_a_variant_called_by_no_name_is_refused_where_others_look_for_one(tmp_path, key):
    text = message(tmp_path, changed("  two:\n", f"  {key}:\n"))
    assert "datasets.toy.variants" in text
    assert text.count("Remedy:") == 1

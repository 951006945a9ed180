import shutil

import pytest
from sealed_files import rewrite
from toy_report import sections

from patchcore_core import InputError
from patchcore_suite.report import verify as verification
from patchcore_suite.report.verify import verify
from patchcore_suite.run import evaluate
from patchcore_suite.run.raw_results import RawResult


@pytest.fixture(scope="module")
def reported_once(scored_once, tmp_path_factory):
    """A toy project with results, metrics and sections. Not to be changed; see `reported`."""
    project = type(scored_once)(shutil.copytree(scored_once.root, tmp_path_factory.mktemp("reported") / "project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "check_controls", lambda *arguments: None)
        evaluate.write_metrics(project.toy)
    for section in sections():
        section.write(project.root / "reports")
    return project


@pytest.fixture
def reported(reported_once, tmp_path):
    return type(reported_once)(shutil.copytree(reported_once.root, tmp_path / "reported"))


def found(project):
    return verify(project.toy.project, show_progress=False)


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_is_as_it_was_written_is_counted(reported, monkeypatch, capsys):
    files = found(reported).files
    assert found(reported).offenders == ()
    assert files["images"] == 1 + 2 * (3 + 4 + 2)  # a manifest; training, test, masks of two categories
    assert files["raw results"] == 1 + 8
    assert (files["times"], files["metrics"], files["cell store"], files["feature store"]) == (1, 4, 16, 4)
    assert files["sections"] > 8
    monkeypatch.chdir(reported.root)
    verification.main()
    said = capsys.readouterr().out
    assert "raw results: 9 files checked" in said
    assert "everything is as it was written" in said


def one(project, pattern, index=0):
    return sorted(project.root.glob(pattern))[index]


HARMS = {
    "an image": ("images/nut/train/good/000.png", lambda path: flip(path)),
    "a missing image": ("images/nut/train/good/001.png", lambda path: path.unlink()),
    "a manifest": ("data/toy/manifest.json", lambda path: flip(path, 700)),
    "an index": ("reports/scores/toy/index.json", lambda path: flip(path, 300)),
    "a raw result": ("reports/scores/toy/nut/all/seed-1.safetensors", lambda path: flip(path)),
    "a missing result": ("reports/scores/toy/nut/all/seed-0.safetensors", lambda path: path.unlink()),
    "an exchanged result": (
        "reports/scores/toy/nut/all/seed-0.safetensors",
        lambda path: shutil.copyfile(path.with_name("seed-1.safetensors"), path),
    ),
    "times": ("reports/timings/toy.json", lambda path: path.write_text("{")),
    "times without checksums": ("reports/timings/toy.json", lambda path: path.write_text('{"a": 1}')),
    "metrics": ("reports/metrics/toy.csv", lambda path: flip(path, -3)),
    "intervals": ("reports/metrics/toy_intervals.csv", lambda path: path.write_text("")),
    "what metrics are of": ("reports/metrics/toy_evaluated.json", lambda path: flip(path, 30)),
    "a section": ("reports/sections/t1_image_auroc.json", lambda path: flip(path, 300)),
    "a table": ("reports/tables/s1_image_auroc.csv", lambda path: flip(path)),
    "a figure": ("reports/figures/t1_image_auroc.png", lambda path: flip(path)),
    "a missing figure": ("reports/figures/f5_subsampling.svg", lambda path: path.unlink()),
    "a measured table": ("reports/timings/t5_inference_time.csv", lambda path: flip(path)),
    "the cell store": (".cache/cells/*.safetensors", lambda path: flip(path)),
    "times of a cell": (".cache/cells/*.json", lambda path: flip(path, 30)),
    "the feature store": (".cache/features/*.npy", lambda path: path.write_bytes(path.read_bytes()[:-9])),
}


@pytest.mark.parametrize(("pattern", "harm"), HARMS.values(), ids=HARMS)
def test_an_offender_is_named(reported, pattern, harm):
    path = one(reported, pattern)
    harm(path)
    named = [
        line for line in found(reported).offenders if not line.endswith("it is of other raw results than there are")
    ]
    assert len(named) == 1
    assert str(path.parent if path.name == "index.json" else path) in named[0]


def test_all_offenders_are_named_with_one_remedy(reported, monkeypatch, capsys):
    for pattern in (".cache/cells/*.safetensors", ".cache/features/*.npy"):
        for index in (0, 1):
            flip(one(reported, pattern, index))
    shutil.copyfile(one(reported, ".cache/cells/*.safetensors", 2), one(reported, ".cache/cells/*.safetensors", 3))
    shutil.copyfile(one(reported, ".cache/features/*.npy", 2), one(reported, ".cache/features/*.npy", 3))
    monkeypatch.chdir(reported.root)
    with pytest.raises(InputError, match="6 of them are not what was written") as caught:
        verification.main()
    assert str(caught.value).count("Remedy:") == 1
    assert "cell store: 16 files checked" in capsys.readouterr().out


def test_metrics_of_other_raw_results_are_told(reported):
    rewrite(reported.toy.scores / "index.json", source="download")
    (line,) = found(reported).offenders
    assert line.endswith("toy.csv: it is of other raw results than there are")


def test_a_result_that_no_index_lists_is_told(reported):
    folder = reported.toy.scores / "nut/all"
    shutil.copyfile(folder / "seed-0.safetensors", folder / "seed-7.safetensors")
    (line,) = found(reported).offenders
    assert line.endswith("seed-7.safetensors: it is not in index.json")


def test_a_stamp_that_its_key_does_not_stand_for_is_told(reported):
    path = one(reported, ".cache/cells/*.safetensors")
    result = RawResult.read(path)
    RawResult(**result.__dict__ | {"stamp": {**result.stamp, "variant": "other"}}).write(path)
    (line,) = found(reported).offenders
    assert line.endswith("its stamp is not what its key stands for")


@pytest.mark.parametrize("place", ["reports", "reports/scores", ".cache/cells"])
def test_a_file_where_a_folder_of_results_should_be_is_told(reported, place):
    shutil.rmtree(reported.root / place)
    (reported.root / place).write_text("")
    assert any(line.endswith(f"{place}: it is no folder") for line in found(reported).offenders)


def test_where_nothing_was_made_there_is_nothing_to_find(project):
    shutil.rmtree(project.root / "data")
    assert found(project).offenders == ()
    assert set(found(project).files.values()) == {0}

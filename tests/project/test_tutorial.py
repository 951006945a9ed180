"""The tutorial's own commands, as its page shows them, are what is run and timed."""

import pytest
from toy_folders import mvtec_folder

from benchmarks.tutorial import TUTORIAL, commands, lay_out, main, seconds
from patchcore_core import InputError


def test_every_step_is_among_the_commands_and_nothing_that_installs():
    found = commands(TUTORIAL.read_text(encoding="utf-8"))
    assert found[0] == ["patchcore", "fit", "photographs", "--to", "model"]
    steps = dict.fromkeys(words[1] for words in found)
    assert list(steps) == ["fit", "predict", "explain", "evaluate", "export", "model/onnx/run_onnx.py"]


def test_comments_other_sections_and_other_programs_are_left_out():
    page = "## 2. A model\n```sh\nsource x\npatchcore fit a   # b\n```\n### Large\n```sh\npatchcore fit b\n```\n"
    page += "## 3. New photographs\n## Elsewhere, without torch\n```sh\npip install c\npython 'd e'\n```\n"
    assert commands(page) == [["patchcore", "fit", "a"], ["python", "d e"]]


def test_a_category_gets_the_tutorials_names(tmp_path):
    mvtec_folder(tmp_path / "data", "bolt")
    (tmp_path / "here").mkdir()
    lay_out(tmp_path / "data/bolt", tmp_path / "here")
    assert (tmp_path / "here/photographs/train/good").is_dir()
    assert (tmp_path / "here/labelled/good").is_dir()
    assert all((tmp_path / f"here/new/{number}.png").is_file() for number in range(12))


def test_a_command_that_fails_ends_it_with_its_words(tmp_path):
    with pytest.raises(InputError, match=r"^python -c .*: no such luck$"):
        seconds(["python", "-c", "raise SystemExit('no such luck')"], tmp_path)


@pytest.mark.long
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed: nothing is exported")
    mvtec_folder(tmp_path, "bolt")
    monkeypatch.setattr("sys.argv", ["tutorial", "--folder", str(tmp_path / "bolt")])
    main()
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1].startswith("| all | ")
    assert len(rows) == 5 + len(commands(TUTORIAL.read_text(encoding="utf-8")))

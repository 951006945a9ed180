"""The targets of the pipeline, step by step, in a folder that looks like a clone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clone import ROOT

from patchcore_core.common.errors import InputError
from patchcore_suite.run import targets
from patchcore_suite.run.surroundings import FIXED, ZEN_4, surroundings
from patchcore_suite.run.targets import Step, module

SETTINGS = {"datasets.mtd.source": "it's here", "execution.device": "cuda"}


@pytest.fixture
def clone(tmp_path):
    for name in targets.CLONE:
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / f"notebooks/{name}.ipynb").touch()
    return tmp_path


def words(steps):
    return [" ".join(step.command) for step in steps]


def test_the_pipeline_checks_sources_and_strips_notebooks_before_dvc_starts(clone):
    assert words(targets.pipeline(clone)) == [
        "-m patchcore_suite.run.sources",
        "nbstripout --extra-keys metadata.language_info notebooks/a.ipynb notebooks/b.ipynb",
        "dvc repro",
    ]


def test_the_paper_s_grid_is_written_and_run_only_if_asked_for(clone):
    (asked,) = targets.paper(clone, SETTINGS, go=False)
    assert asked.command[2:] == (
        *("grids/paper.yaml", "--set", "datasets.mtd.source=it's here", "--set", "execution.device=cuda"),
    )
    written, *run = targets.paper(clone, SETTINGS, go=True)
    assert written.command == (*asked.command, "--write")
    assert run == targets.pipeline(clone)


def test_real_images_are_measured_in_a_project_of_their_own(clone):
    grid, page = targets.results(clone, SETTINGS)
    assert grid.command[-2:] == ("--write", ".cache/results/params.yaml")
    assert page.folder == Path(".cache/results")
    assert page.command[-5:] == ("--run", "--to", str(clone / "docs/results.md"), "--data", str(clone / "measured"))
    assert targets.results(clone, SETTINGS, finished=True)[1].command[-5] == "--finished"


def test_a_peer_is_timed_where_its_environment_is(clone):
    assert words(targets.times(clone, mtd="x", device=None, quick=True)) == ["-m benchmarks --mtd x --quick"]
    peer = clone / targets.PEERS
    peer.parent.mkdir(parents=True)
    peer.touch()
    assert words(targets.times(clone, mtd=None, device="cuda", quick=False)) == [
        f"-m benchmarks --device cuda --peer {peer}"
    ]


def test_options_without_a_value_are_left_out():
    compared, page = targets.compare("x.csv", {"dataset": "mtd", "theirs": None})
    assert compared.command[2:] == ("x.csv", "--dataset", "mtd")
    assert page.command == ("-m", "patchcore_suite.report.page")


def test_a_machine_s_record_is_asked_for_by_options_alone():
    (step,) = targets.record(device="cuda", as_json=True, write=True)
    assert step.command[2:] == ("--device", "cuda", "--json", "--write")
    (step,) = targets.record(device=None, as_json=False, write=False)
    assert step.command[2:] == ()


def test_every_module_that_a_target_runs_exists():
    steps = [
        *targets.paper(ROOT, {}, go=True),
        *targets.results(ROOT, {}),
        *targets.scale("x"),
        *targets.compare("x.csv", {}),
        *targets.record(device=None, as_json=False, write=False),
        *targets.times(ROOT, mtd=None, device=None, quick=True),
    ]
    for name in [step.command[1] for step in steps if step.command[0] == "-m"]:
        home = ROOT / name.replace(".", "/")
        assert home.with_suffix(".py").is_file() or (home / "__main__.py").is_file(), name


def test_a_folder_that_is_no_clone_is_refused_with_what_it_lacks(clone):
    assert targets.find_clone(clone) == clone.resolve()
    (clone / "dvc.yaml").rmdir()
    with pytest.raises(InputError, match=r"clone of PatchCore Bench.*dvc\.yaml"):
        targets.find_clone(clone)


def test_a_copy_without_git_is_refused_unless_dvc_is_told_to_do_without(clone):
    with pytest.raises(InputError, match="expects a Git repository"):
        targets.check_under_git(clone)
    (clone / ".dvc").mkdir()
    (clone / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    targets.check_under_git(clone)
    (clone / ".dvc/config.local").unlink()
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    targets.check_under_git(clone)


NOTE = """import os, sys
open(sys.argv[1], "w").write(os.environ["GOMP_SPINCOUNT"] + os.pathsep + os.environ["PATH"])
sys.exit(len(sys.argv) - 2)
"""


def test_steps_run_in_their_folders_until_one_fails_and_its_code_is_the_command_s(clone):
    (clone / "sub").mkdir()
    for folder in (clone, clone / "sub"):
        (folder / "note.py").write_text(NOTE)
    steps = [
        module("note", "first"),
        module("note", "second", folder=Path("sub")),
        module("note", "third", "x", "y"),
        module("note", "never"),
    ]
    with pytest.raises(SystemExit) as ended:
        targets.run(steps, clone)
    assert ended.value.code == 2
    spins, programs = (clone / "sub/second").read_text().split(os.pathsep)[:2]
    assert spins == os.environ.get("GOMP_SPINCOUNT", FIXED["GOMP_SPINCOUNT"])
    assert programs == str(Path(sys.executable).parent)
    assert [(clone / name).exists() for name in ("first", "third", "never")] == [True, True, False]


def test_a_program_comes_from_the_environment_of_this_python(clone, monkeypatch):
    asked = []
    monkeypatch.setattr(targets, "wait_for", lambda command, **_: asked.append(command) or 0)
    monkeypatch.setattr(sys, "executable", str(clone / "bin/python"))
    monkeypatch.setenv("PATH", str(clone / "other"))
    for folder in ("other", "bin"):
        program = clone / folder / "dvc"
        program.parent.mkdir()
        program.touch(mode=0o755)
    targets.run([Step(("dvc", "repro"))], clone)
    assert asked == [[str(clone / "bin/dvc"), "repro"]]


def test_a_program_that_is_not_there_is_told_before_anything_runs(clone, monkeypatch):
    monkeypatch.setattr(targets, "wait_for", lambda command, **_: pytest.fail(f"{command} was run"))
    with pytest.raises(InputError, match="no program `nothing-of-this-name`"):
        targets.run([module("note"), Step(("nothing-of-this-name",))], clone)


CHILD = """import signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: sys.exit(100 + number))
open("up", "w")
time.sleep(30)
"""
PARENT = f"""import os, signal, sys
from pathlib import Path
from patchcore_suite.run.targets import wait_for
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(wait_for([sys.executable, "-c", {CHILD!r}], cwd=Path.cwd(), variables=os.environ))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_the_command_ends_what_it_runs(number, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, start_new_session=True)
    try:
        while not (tmp_path / "up").exists():
            assert process.poll() is None
            time.sleep(0.01)
        if number == signal.SIGTERM:
            process.terminate()
        else:
            os.killpg(process.pid, number)  # a terminal tells all of its processes
        assert process.wait(timeout=20) == 100 + number
    finally:
        process.kill()
        process.wait()


def test_what_the_environment_says_of_libraries_stands(tmp_path):
    processor = tmp_path / "cpuinfo"
    zen_4 = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nflags\t\t: fpu avx512f\n"
    processor.write_text(zen_4)
    assert surroundings({}, processor) == FIXED | ZEN_4
    assert surroundings({"NPY_DISABLE_CPU_FEATURES": "", **FIXED}, processor) == {}
    for name, other in (("25", "26"), ("avx512f", "avx2"), ("AuthenticAMD", "GenuineIntel")):
        processor.write_text(zen_4.replace(name, other))
        assert surroundings({}, processor) == FIXED
    assert surroundings({}, tmp_path / "absent") == FIXED

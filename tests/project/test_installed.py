"""What `pip install .` gives in an environment of its own, away from the clone."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from clone import ROOT, tracked
from packaging.version import Version
from toy_folders import mvtec_folder

pytestmark = [pytest.mark.slow, pytest.mark.long]

BUILD = "import sys; from setuptools import build_meta; build_meta.build_{0}(sys.argv[1])"
PACKAGES = ("patchcore_core", "patchcore_suite")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def environment():
    """The variables of this process without those that let Python find a clone."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command, cwd, code=0):
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment(), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def build(kind, source, target):
    """A wheel or sdist, made by what pyproject.toml names for it."""
    run(sys.executable, "-c", BUILD.format(kind), target, cwd=source)
    (made,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What Git knows, as a clone has it."""
    setuptools = pytest.importorskip("setuptools", reason="there is no setuptools here: nothing is built")
    if Version(setuptools.__version__) < Version("77"):
        pytest.skip(f"setuptools {setuptools.__version__} is too old to build with: 77 is needed")
    folder = tmp_path_factory.mktemp("source")
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of commands of an environment with the wheel, and with what it needs from the one that runs tests."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        home / "bin/python",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    run(*pip, wheel, cwd=home)
    (packages,) = home.glob("lib/python*/site-packages")
    needed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "needed.pth").write_text("\n".join(needed))
    return home / "bin"


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    own = {path.relative_to(ROOT).as_posix() for path in tracked() if path.relative_to(ROOT).parts[0] in PACKAGES}
    assert names == own
    assert {Path(name).suffix for name in names} >= {".py", ".csv", ".html", ".js", ".css", ".md"}


def test_the_sdist_makes_the_same_wheel(source, wheel, tmp_path):
    sdist = build("sdist", source, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    assert set(ZipFile(again).namelist()) == set(ZipFile(wheel).namelist())


def test_the_packages_are_imported_from_the_environment(installed, tmp_path):
    code = "import patchcore_core, patchcore_suite; print(patchcore_core.__file__); patchcore_core.PatchCore"
    found = run(installed / "python", "-c", code, cwd=tmp_path)
    assert found.startswith(str(installed.parent))


def test_a_model_is_fitted_and_judges_in_any_folder(installed, tmp_path):
    assert run(installed / "patchcore", "--version", cwd=tmp_path) == f"patchcore, version {VERSION}\n"
    mvtec_folder(tmp_path / "images", "bolt")
    parts = tmp_path / "images/bolt"
    said = run(installed / "patchcore", "fit", parts, "--to", "model", "--size", 64, 64, "--coreset", 0.5, cwd=tmp_path)
    assert "threshold" in said
    judged = run(installed / "patchcore", "predict", "model", parts / "test/good", cwd=tmp_path).splitlines()
    assert len(judged) == len(list((parts / "test/good").iterdir()))


def test_an_installation_checks_itself_in_an_empty_folder(installed, tmp_path):
    said = run(installed / "patchcore", "bench", "record", cwd=tmp_path)
    assert said.rstrip().endswith("kept"), said
    assert "board/patchcore-1 " in said
    assert list(tmp_path.iterdir()) == []


def test_the_paper_s_numbers_and_the_report_s_templates_are_found(installed, tmp_path):
    code = (
        "from patchcore_suite.paper.published import FILE; assert FILE.is_file(), FILE\n"
        "from jinja2 import PackageLoader; print(sorted(PackageLoader('patchcore_suite', 'report/templates')"
        ".list_templates()))"
    )
    templates = sorted(path.name for path in (ROOT / "patchcore_suite/report/templates").iterdir())
    assert run(installed / "python", "-c", code, cwd=tmp_path) == f"{templates}\n"

"""pyproject.toml, environment.yml and constraints.txt say the same."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# What conda calls a package of the index.
CONDA_NAMES = {
    "pytorch-gpu": "torch",
    "faiss-gpu": "faiss-cpu",
    "opencv": "opencv-python-headless",
    "matplotlib-base": "matplotlib",
}
CONDA_ONLY = {"python", "pip"}


def wanted():
    """Each requirement of the package with the extras that the conda route installs, by canonical name."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["lab"], *extras["dev"]]
    return {canonicalize_name(Requirement(line).name): str(Requirement(line).specifier) for line in lines}


def offered():
    """Each requirement of environment.yml under its name on the index."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(item["pip"] for item in listed if isinstance(item, dict))
    found = {}
    for line in [item for item in listed if isinstance(item, str)] + from_pip:
        name, specifier = re.fullmatch(r"([A-Za-z0-9_-]+)(.*)", line).groups()
        if name not in CONDA_ONLY:
            found[canonicalize_name(CONDA_NAMES.get(name, name))] = specifier
    return found


def test_the_conda_route_names_the_same_packages_and_bounds():
    assert offered() == wanted()


def test_the_conda_route_takes_one_channel():
    # The channel `pytorch` ended with torch 2.5, and builds of two channels do not fit each other.
    assert yaml.safe_load((ROOT / "environment.yml").read_text())["channels"] == ["conda-forge"]


def test_the_conda_route_has_the_gpu_builds():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = [re.match(r"[A-Za-z0-9_-]+", item)[0] for item in listed["dependencies"] if isinstance(item, str)]
    assert {"faiss-gpu", "pytorch-gpu"} <= set(names)
    assert not {"pytorch-cuda", "cpuonly", "faiss-cpu"} & set(names)
    assert f"python{PROJECT['requires-python']}" in listed["dependencies"]


def test_constraints_pin_every_requirement_within_its_range():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = [Requirement(line) for line in lines]
    pins = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pinned}
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["lab"], *extras["dev"], *extras["ray"], *extras["docs"]]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_constraints_hold_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in [line for line in lines if not line.startswith("#")]:
        pin, _, marker = line.partition("; ")  # a package may need a later Python than the project does
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin), line  # no +cpu, no URL
        assert not marker or re.fullmatch(r'python_full_version (<|>=) "3\.[0-9.]+"', marker), line

"""Whatever stands in params.yaml, it is read or refused in words."""

import copy

import yaml
from hypothesis import given
from hypothesis import strategies as st
from mutations import bounded, mutated, unless_refused
from whole_project import ROOT

from patchcore_suite.settings.params import load_params

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
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
    overrides: {hierarchies: [3]}
    studies:
      few: {variants: [one], seeds: [0], shots: [1, 2], categories: 1}
  tiles: {layout: mtd, paper: null, source: tiles, resize: [64, 64], held_out: 0.2, variants: [three], seeds: [0]}
defaults:
  patchcore: {backbone: resnet18}
variants:
  one: null
  two: {coreset_fraction: 0.5, hierarchies: [1, 2], sampler: random, masks: bilinear}
  five: {hierarchies: [3], coreset_fraction: 0.1}
  three: {method: padim, dimensions: 10}
  four: {method: ensemble, models: [one, five]}
tables:
  page: {variant: one}
execution: {batch_size: 4, device: cpu, engine: local, weights: installed}
"""
WORDS = [
    "one",
    "toy",
    "mvtec",
    "synthetic",
    "patchcore",
    "~",
    "a/b",
    "../x",
    "x; y",
    "${x}",
    "",
    " ",
    "null",
    "é",
    "\x00",
]
NUMBERS = st.one_of(st.integers(-3, 400), st.integers(), st.floats())
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(WORDS), st.text(max_size=5))
KEYS = st.one_of(st.sampled_from(WORDS), SCALARS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=4
)


def places(value, path=()):
    """Paths of all that a nested value holds."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


PLACES = list(places(yaml.safe_load(SMALL)))[1:]


@st.composite
def changed_values(draw):
    """The values of SMALL with one or two replaced, removed, renamed or added."""
    values = copy.deepcopy(yaml.safe_load(SMALL))
    for _ in range(draw(st.integers(1, 2))):
        *path, last = draw(st.sampled_from(PLACES))
        try:
            holder = values
            for key in path:
                holder = holder[key]
            match draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"])):
                case "replace":
                    holder[last] = draw(VALUES)
                case "remove":
                    del holder[last]
                case "rename":
                    holder[draw(SCALARS)] = holder.pop(last)
                case _:
                    holder[draw(st.sampled_from(WORDS))] = draw(VALUES)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place
    return values


def read(path):
    """Read settings, and what is only looked at when it is asked for."""
    params = load_params(path)
    for name in params.datasets:
        for variant in {v for study in params.dataset(name).studies.values() for v in study.variants}:
            params.config(name, variant)
    return params


@bounded
@given(values=changed_values())
def test_any_change_of_values_is_read_or_refused(values, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    unless_refused(lambda: read(path))


@bounded
@given(data=st.data(), text=st.sampled_from([SMALL, "\n".join(TEXT.splitlines()[:90])]))
def test_any_change_of_bytes_is_read_or_refused(data, text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(data.draw(mutated(text.encode())))
    unless_refused(lambda: read(path))


def test_what_is_changed_is_read_as_it_stands(tmp_path):
    (tmp_path / "params.yaml").write_text(SMALL.replace("images", "pictures"), encoding="utf-8")
    assert read(tmp_path / "params.yaml").dataset("toy").spec.source == "pictures"

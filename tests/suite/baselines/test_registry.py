import sys

import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCoreConfig
from patchcore_core.config import MethodConfig
from patchcore_suite import baselines
from patchcore_suite.baselines.config import METHODS, BaselineConfig, EnsembleConfig, SpadeConfig, configuration
from patchcore_suite.baselines.costs import Work
from patchcore_suite.baselines.ensemble import Ensemble
from patchcore_suite.baselines.registry import detector, implementation
from patchcore_suite.baselines.work import cell_work, costs, described_shape, describing_work

BRIGHTNESS = '''
"""How bright an image is, beside the nominal ones."""

from dataclasses import dataclass
from typing import ClassVar

from patchcore_core.detector import Detector, Prediction
from patchcore_suite.baselines.config import BaselineConfig


@dataclass(frozen=True, kw_only=True)
class BrightnessConfig(BaselineConfig):
    """Compares means."""

    method: ClassVar[str] = "brightness"
    implementation: ClassVar[str] = "patchcore_suite.baselines.brightness:Brightness"

    backbone: str = "pixels"
    hierarchies: tuple[int, ...] = (1,)


class Brightness(Detector):
    """The distance of means."""

    def describe(self, maps):
        return [maps[0].mean(dim=(1, 2, 3))]

    def fit_described(self, nominal):
        self._mean = nominal[0].mean()
        return self

    def predict_described(self, test, size):
        return Prediction(scores=(test[0] - self._mean).abs())
'''


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """Puts a file into the folder of baselines, as far as Python can tell."""
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"patchcore_suite.baselines.{name}", raising=False)

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"patchcore_suite.baselines.{path.stem}", None)


def test_every_configuration_names_its_method_once():
    kinds = [implementation(config()) for config in METHODS.values()]
    assert len(set(kinds)) == len(METHODS)
    members = (PatchCoreConfig(hierarchies=(1,)), PatchCoreConfig(hierarchies=(2,)))
    ensemble = detector(EnsembleConfig(models=members), seed=3)
    assert isinstance(ensemble, Ensemble)
    assert [model.seed for model in ensemble.models] == [3, 3]


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_every_method_does_what_a_detector_promises(kind):
    config = kind()
    nominal, test = pictures(4) / 4, pictures(3, seed=1) / 4
    test[1] += 0.75 * (torch.arange(48) > 24)

    def fresh(seed=7):
        return detector(config, network=SmallPyramid(config.map_hierarchies), seed=seed)

    def same(first, second):
        pairs = [(getattr(first, name), getattr(second, name)) for name in ("scores", "maps", "distances")]
        return all(a is b is None or torch.equal(a, b) for a, b in pairs)

    model = fresh()
    state = torch.random.get_rng_state()
    prediction = model.fit(nominal).predict(test)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert prediction.scores.shape == (3,)
    assert prediction.scores.dtype == torch.float32
    if prediction.maps is not None:
        assert prediction.maps.shape == (3, 32, 48)
        assert prediction.distances.ndim == 3
    if config.method != "random_scores":
        assert prediction.scores.argmax() == 1

    assert same(model.predict(test), prediction)  # predicting changes nothing
    assert same(fresh().fit(nominal).predict(test), prediction)
    described = (
        fresh().fit_described(model.describe_images(nominal)).predict_described(model.describe_images(test), (32, 48))
    )
    assert same(described, prediction)
    if not config.seeded:
        assert same(fresh(seed=8).fit(nominal).predict(test), prediction)

    for images in (nominal[:0], []):
        with pytest.raises(InputError, match="there are no images"):
            fresh().fit(images)
    with pytest.raises(InputError):
        fresh().predict(test)


def test_arguments_reach_the_method():
    network = SmallPyramid((1, 2, 3, 4))
    method = detector(SpadeConfig(), network=network, seed=5, device="cpu", progress=True)
    assert (method.seed, method.progress, method.device.type) == (5, True, "cpu")
    assert method.network is network


def test_a_configuration_without_a_method_is_refused():
    with pytest.raises(InputError, match="there is no method for a MethodConfig"):
        detector(object.__new__(MethodConfig))

    class Astray(BaselineConfig):
        implementation = "patchcore_suite.baselines.spade:nearest"

    with pytest.raises(InputError, match=r"Astray: implementation='patchcore_suite\.baselines\.spade:nearest'"):
        detector(object.__new__(Astray))


def test_one_network_for_an_ensemble_is_refused():
    members = (PatchCoreConfig(), PatchCoreConfig(stride=2))
    with pytest.raises(InputError, match="an ensemble has no one network"):
        detector(EnsembleConfig(models=members), network=SmallPyramid())


# A method of one's own


def test_a_file_in_the_folder_of_baselines_is_a_method(own_file):
    own_file("brightness", BRIGHTNESS)
    config = configuration("brightness")()
    assert (config.method, config.to_dict()) == ("brightness", {"backbone": "pixels", "hierarchies": [1]})
    images = torch.stack([torch.full((3, 32, 32), value) for value in (0.2, 0.3, 0.9)])
    model = detector(config).fit(images[:2])
    assert model.predict(images).scores.argmax() == 2
    assert implementation(config).__module__ == "patchcore_suite.baselines.brightness"


def test_a_method_that_says_nothing_of_its_costs_has_those_of_one_that_describes_whole_images(own_file):
    own_file("brightness", BRIGHTNESS)
    config = configuration("brightness")()
    assert described_shape(config, [(3, 16, 16)]) == (1, 1, 3)
    work = cell_work(config, [(1, 1, 3)], nominal=10, test=5, size=(32, 32), radius=True)
    assert work == Work(traffic=4 * 4 * 15 * 3 + 2 * 4 * 5 * 32 * 32, ranked=5 * 32 * 32)


@pytest.mark.parametrize("method", METHODS)
def test_the_shape_that_a_method_says_it_keeps_is_the_shape_that_it_keeps(method):
    config = METHODS[method]()
    network = SmallPyramid(config.map_hierarchies)
    images = pictures(2)
    kept = detector(config, network=network).describe_images(images)
    h, w, d = described_shape(config, [tuple(fmap.shape[1:]) for fmap in network(images)])
    if method == "random_scores":  # keeps the grid alone
        assert kept[0].shape[1:] == (h, w)
        return
    largest = max(kept, key=lambda part: part[0].numel())
    if method == "mahalanobis":  # a tensor a hierarchy
        assert (h, w, d) == (1, 1, sum(part.shape[1] for part in kept))
    else:
        assert tuple(largest.shape[1:]) in ((h, w, d), (d,))
    assert describing_work(config, [tuple(fmap.shape[1:]) for fmap in network(images)]).traffic > 0
    assert costs(config).cell_values((h, w, d), nominal=4, test=3) >= 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("brightnes", "method='brightnes' is no method (did you mean brightness?)"),
        ("descriptions", "method='descriptions' is no method"),  # a file, and no method
        ("os", "method='os' is no method"),
        ("../brightness", "is no method"),
        ("", "method='' is no method"),
        (None, "method=None is no method"),
        (["spade"], "method=['spade'] is no method"),
    ],
)
def test_what_is_no_method_is_refused_with_those_that_are(own_file, name, said):
    own_file("brightness", BRIGHTNESS)
    with pytest.raises(InputError) as caught:
        configuration(name)
    assert said in str(caught.value)
    assert "known: patchcore, spade" in str(caught.value)
    assert "brightness" in str(caught.value).splitlines()[-1]


def test_a_file_whose_configuration_has_another_name_is_no_method(own_file):
    own_file("darkness", BRIGHTNESS)
    with pytest.raises(InputError, match="'darkness' is no method"):
        configuration("darkness")

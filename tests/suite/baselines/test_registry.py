import pytest
import torch
from small_networks import SmallPyramid, pictures

from patchcore_core import InputError, PatchCoreConfig
from patchcore_core.config import MethodConfig
from patchcore_suite.baselines.config import METHODS, EnsembleConfig, SpadeConfig
from patchcore_suite.baselines.ensemble import Ensemble
from patchcore_suite.baselines.registry import DETECTORS, detector


def test_every_configuration_has_a_method():
    assert set(DETECTORS) == {*METHODS.values(), EnsembleConfig}
    members = (PatchCoreConfig(hierarchies=(1,)), PatchCoreConfig(hierarchies=(2,)))
    ensemble = detector(EnsembleConfig(models=members), seed=3)
    assert isinstance(ensemble, Ensemble)
    assert [model.seed for model in ensemble.models] == [3, 3]


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_every_method_does_what_a_detector_promises(kind):
    config = kind()
    nominal, test = pictures(4), pictures(3, seed=1)
    test[1] += 3 * (torch.arange(48) > 24)

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


def test_one_network_for_an_ensemble_is_refused():
    members = (PatchCoreConfig(), PatchCoreConfig(stride=2))
    with pytest.raises(InputError, match="an ensemble has no one network"):
        detector(EnsembleConfig(models=members), network=SmallPyramid())

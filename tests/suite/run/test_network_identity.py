import functools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_networks import SmallPyramid
from torch import nn

from patchcore_core import InputError
from patchcore_core.backbones import load_backbone
from patchcore_suite.run.network_identity import network_sha256

FACTOR = 2


def scale(images):
    return images * FACTOR


class Scaled(nn.Module):
    power = 1

    def __init__(self, start=1.0):
        super().__init__()
        self.start = nn.Parameter(torch.tensor(start))

    def forward(self, images):
        return [scale(images) * self.start**self.power]


class With(nn.Module):
    """A network that does what its plain attribute says."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return [self.value(images)]


def test_equal_networks_are_one_and_others_are_not():
    assert network_sha256(Scaled()) == network_sha256(Scaled())
    assert network_sha256(Scaled()) != network_sha256(Scaled(2.0))
    assert network_sha256(SmallPyramid((1, 2))) != network_sha256(SmallPyramid((1, 2), seed=1))
    assert network_sha256(nn.Sequential(nn.Conv2d(3, 4, 3))) != network_sha256(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    )


def test_training_mode_does_not_tell_networks_apart_nor_does_use():
    network = Scaled()
    first = network_sha256(network.train())
    network.eval()(torch.rand(1, 3, 4, 4))
    assert network_sha256(network) == first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 3),
        (2, 2.0),
        ("mean", "max"),
        ([1, 2], [2, 1]),
        ({"size": 1}, {"size": 2}),
        (torch.tensor([1.0]), torch.tensor([2.0])),
        (torch.tensor(1.0, dtype=torch.bfloat16), torch.tensor(2.0, dtype=torch.bfloat16)),
        (np.zeros(2), np.ones(2)),
        (SimpleNamespace(size=1), SimpleNamespace(size=2)),
        ([Scaled(1.0)], [Scaled(2.0)]),
        (lambda images: images * 2, lambda images: images * 3),
        (lambda images: images + 2, lambda images: images * 2),
        (lambda images, by=2: images * by, lambda images, by=3: images * by),
        (functools.partial(torch.mul, other=2), functools.partial(torch.mul, other=3)),
        (F.relu, F.silu),
        (Scaled(1.0).forward, lambda images: images),
        (nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=4)),
    ],
)
def test_an_attribute_that_is_no_parameter_tells_networks_apart(one, other):
    assert network_sha256(With(one)) == network_sha256(With(one))
    assert network_sha256(With(one)) != network_sha256(With(other))


@pytest.mark.parametrize("name", ["FACTOR", "scale"])
def test_what_the_code_names_tells_networks_apart(name, monkeypatch):
    before = network_sha256(Scaled())
    monkeypatch.setitem(globals(), name, 3 if name == "FACTOR" else lambda images: images)
    assert network_sha256(Scaled()) != before


def test_an_attribute_of_the_class_a_buffer_and_a_hook_tell_networks_apart(monkeypatch):
    network = Scaled()
    before = network_sha256(network)
    handle = network.register_forward_hook(lambda module, given, maps: [fmap * 2 for fmap in maps])
    assert network_sha256(network) != before
    handle.remove()
    assert network_sha256(network) == before
    network.register_buffer("grid", torch.zeros(2), persistent=False)
    assert network_sha256(network) != before
    monkeypatch.setattr(Scaled, "power", 2)
    assert network_sha256(Scaled()) != before


def test_a_closure_tells_networks_apart():
    def of(factor):
        return With(lambda images: images * factor)

    assert network_sha256(of(2)) == network_sha256(of(2))
    assert network_sha256(of(2)) != network_sha256(of(3))


def test_a_network_that_knows_itself_is_told_all_the_same():
    network = With([])
    network.value.append(network)
    assert network_sha256(network) == network_sha256(network)


def test_a_named_backbone_and_a_traced_network_are_told_by_their_tensors():
    backbones = [
        load_backbone(f"untrained/{name}", (1,)) for name in ("squeezenet1_1", "squeezenet1_1", "squeezenet1_0")
    ]
    first, again, other = map(network_sha256, backbones)
    assert first == again != other
    traced = [network_sha256(torch.jit.trace(nn.Conv2d(3, 2, 1), torch.rand(1, 3, 4, 4))) for _ in range(2)]
    assert traced[0] != traced[1]


def test_another_process_finds_the_same():
    code = """
from torch import nn
from patchcore_suite.run.network_identity import network_sha256
class Net(nn.Module):
    sizes = {"small", "large", "medium"}
    def forward(self, images):
        return [images if "x" in {"a", "b", "c", "x"} else nn.functional.relu(images)]
print(network_sha256(nn.Sequential(Net(), nn.ReLU())))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_a_function_cannot_be_told_from_another_and_is_refused():
    with pytest.raises(InputError, match=r"is no nn\.Module"):
        network_sha256(lambda images: [images])

import torch

from benchmarks import extend, scale
from patchcore_core import PatchCoreConfig


def images(n=12):
    return torch.randn(n, 8, 8, 6, generator=torch.Generator().manual_seed(0))


def test_each_sampler_is_measured_at_the_same_size():
    rows = images().flatten(0, 2)
    for sampler in scale.SAMPLERS:
        assert len(scale.select(rows, sampler, 20).unique()) == 20, sampler


def test_a_bank_that_grows_is_about_as_large_as_that_of_one_run():
    config = PatchCoreConfig(coreset_fraction=0.1)
    one, many = extend.whole(images(), config), extend.grown(images(), config, 4)
    assert one.rows_seen == many.rows_seen == 12 * 64
    assert len(one.memory_bank) == 76
    assert 19 < len(many.memory_bank) <= 76

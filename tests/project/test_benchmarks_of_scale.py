import torch

from benchmarks import extend, scale
from patchcore_core import PatchCoreConfig
from patchcore_core.detector import generator


def images(n=12):
    return torch.randn(n, 8, 8, 6, generator=torch.Generator().manual_seed(0))


def test_each_sampler_is_measured_at_the_same_size():
    rows = images().flatten(0, 2)
    for sampler in (*scale.SAMPLERS, *scale.OPEN):
        assert len(scale.select(rows, sampler, 20).unique()) == 20, sampler


def test_two_rounds_that_leave_nothing_open_are_those_of_the_sampler():
    rows = images().flatten(0, 2)
    of_sampler = scale.select(rows, "two_round", 20)
    assert torch.equal(scale.two_rounds(rows, 20, generator(0, "first pick"), kept=1, scattered=True), of_sampler)
    assert not torch.equal(scale.two_rounds(rows, 20, generator(0, "first pick"), kept=2, scattered=False), of_sampler)
    assert scale.sent_rows("two_round", 768, 20) == 7 * 20
    assert scale.sent_rows("two_round, both", 768, 20) == 7 * 40


def test_a_bank_that_grows_is_about_as_large_as_that_of_one_run():
    config = PatchCoreConfig(coreset_fraction=0.1)
    one, many = extend.whole(images(), config), extend.grown(images(), config, 4)
    assert one.rows_seen == many.rows_seen == 12 * 64
    assert len(one.memory_bank) == 76
    assert 19 < len(many.memory_bank) <= 76

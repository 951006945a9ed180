import contextlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import covering_radius, greedy_coreset
from patchcore_core.fast.lower_bounds import Screen
from patchcore_suite.plugins.first_picks import anchor_gaps
from patchcore_suite.shards import greedy
from patchcore_suite.shards.carrier import Here
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.local import processes
from patchcore_suite.shards.shard import Shard


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n=700, d=8, seed=1):
    return torch.randn(n, d, generator=seeded(seed))


def here(features, shards, **options):
    """Shards of nearly equal length in this process."""
    ends = [len(features) * part // shards for part in range(shards + 1)]
    return Here([Shard(features[start:end], start, **options) for start, end in pairwise(ends)])


MADE = {
    "noise": noise(),
    "far from the origin": noise() + 1e3,
    "unequal": noise() * torch.logspace(-3, 3, 700)[torch.randperm(700, generator=seeded(2))][:, None],
    "repeats": noise(60)[torch.randint(60, (900,), generator=seeded(3))],
    "all equal": torch.full((300, 5), 0.1),
    "too close for single precision": torch.cat([torch.full((900, 8), 1e3), 1e-2 * noise(300)]),
    "lattice": torch.cartesian_prod(*[torch.linspace(0, 1, 9)] * 3),
    "corners": 0.1 * torch.cartesian_prod(*[torch.arange(2.0)] * 10),
    "float16": noise().half(),
    "bfloat16": noise().bfloat16(),
    "float64": noise().double(),
}


@pytest.mark.parametrize("shards", [1, 2, 3, 8])
@pytest.mark.parametrize("name", MADE)
def test_picks_are_those_of_one_machine(name, shards):
    features = MADE[name]
    for size in (1, 2, 250):
        expected = greedy_coreset(features, size, start=7)
        found = greedy.greedy_over_shards(here(features, shards), size, start=7)
        assert torch.equal(found.picks, expected)
        assert torch.equal(found.rows, features[expected])
    assert greedy.covering_radius(here(features, shards), expected) == covering_radius(features, expected)


def test_every_row_can_be_picked():
    features = MADE["repeats"]
    found = greedy.greedy_over_shards(here(features, 3), len(features), start=0)
    assert torch.equal(found.picks, greedy_coreset(features, len(features), start=0))


def test_screened_rows_are_picked_alike_with_room_and_without():
    features = noise(6000, 64) * torch.logspace(0.5, -2, 64)
    expected = greedy_coreset(features, 600, start=0)
    for memory in (None, 2**30, 0):
        assert torch.equal(greedy.greedy_over_shards(here(features, 2, memory=memory), 600, start=0).picks, expected)


def test_shards_multiply_no_more_rows_than_one_machine(monkeypatch):
    features, counts = noise(6000, 64) * torch.logspace(0.5, -2, 64), []
    screened = Screen.passing

    def passing(self, picks, *given):
        passed = screened(self, picks, *given)
        counts[-1] += (len(given[0]) if passed is None else len(passed)) * len(picks)
        return passed

    monkeypatch.setattr(Screen, "passing", passing)
    for select in (
        greedy_coreset,
        lambda rows, *size, **first: greedy.greedy_over_shards(here(rows, 3), *size, **first),
    ):
        counts.append(0)
        select(features, 600, start=0)
    one, shards = counts
    assert 0 < one < 0.5 * 600 * 6000
    assert shards < 1.1 * one


def test_the_first_pick_is_drawn_or_given_as_on_one_machine():
    features = noise()
    drawn = greedy_coreset(features, 40, generator=seeded(4))
    assert torch.equal(greedy.greedy_over_shards(here(features, 3), 40, generator=seeded(4)).picks, drawn)
    gaps = anchor_gaps(features, generator=seeded(5))
    anchored = greedy_coreset(features, 40, gaps=gaps)
    assert torch.equal(greedy.greedy_over_shards(here(features, 3), 40, gaps=gaps).picks, anchored)
    found = greedy.greedy_over_shards(here(features, 3), 40, anchors=10, generator=seeded(5))
    assert torch.equal(found.picks, anchored)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_anchors_of_half_precision_are_compared_in_single(name):
    features = MADE[name]
    expected = greedy_coreset(features, 40, gaps=anchor_gaps(features.float(), generator=seeded(5)))
    found = greedy.greedy_over_shards(here(features, 3), 40, anchors=10, generator=seeded(5))
    assert torch.equal(found.picks, expected)


def test_bytes_of_each_round_are_counted():
    features = noise()
    found = greedy.greedy_over_shards(here(features, 2), 3, start=0)
    # Each shard: candidates (256 rows of 8 float32, a number and a gap each), a bound and the largest gap.
    candidates = 256 * (8 * 4 + 8 + 8) + 3 * 8
    assert found.received >= 2 * found.rounds * candidates
    assert found.sent >= 2 * 8 * 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, "size=0"),
        ({"size": 701}, "size=701"),
        ({"size": 2, "start": 700}, "start=700"),
        ({"size": 2, "gaps": torch.ones(3)}, "gaps"),
        ({"size": 2, "gaps": -torch.ones(700)}, "negative or NaN"),
        ({"size": 2, "start": 1, "anchors": 3}, "only one of start"),
    ],
)
def test_what_cannot_be_selected_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        greedy.greedy_over_shards(here(noise(), 2), **given)


def test_rows_that_are_not_finite_are_counted_over_all_shards():
    features = noise()
    features[[3, 650]] = torch.nan
    with pytest.raises(InputError, match="2 of 700 patch features hold NaN"):
        greedy.greedy_over_shards(here(features, 3), 5)


def test_shards_of_different_rows_are_refused():
    with pytest.raises(InputError, match="several shapes"):
        greedy.greedy_over_shards(Here([Shard(noise(), 0), Shard(noise(d=9), 700)]), 5)
    with pytest.raises(InputError, match="none may be empty"):
        greedy.greedy_over_shards(Here([Shard(noise(), 0), Shard(noise(0), 700)]), 5)


# Rows of files


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_rows_of_a_file_are_those_that_were_written(kind, tmp_path):
    rows = noise(50).to(getattr(torch, kind))
    (tmp_path / "rows").write_bytes(b"head" + rows.view(torch.uint8).numpy().tobytes())
    parts = RowFile(tmp_path / "rows", 50, 8, kind, offset=4).divided(3)
    assert [(part.first, part.count) for part in parts] == [(0, 16), (16, 17), (33, 17)]
    found = [FileRows(part) for part in parts]
    assert torch.equal(torch.cat([of[:] for of in found]), rows)
    assert torch.equal(found[1][2:9:3], rows[18:25:3])
    assert torch.equal(found[2][torch.tensor([5, 0, 5])], rows[[38, 33, 38]])
    assert found[0][:2].dtype == rows.dtype
    assert found[0][torch.empty(0, dtype=torch.long)].shape == (0, 8)


def test_rows_far_apart_and_near_each_other_are_read_alike(tmp_path):
    rows = noise(30_000, 2)
    (tmp_path / "rows").write_bytes(rows.numpy().tobytes())
    found = FileRows(RowFile(tmp_path / "rows", 30_000, 2))
    for step in (1, 3, 63, 65, 1000, 29_999):
        chosen = torch.arange(0, 30_000, step)
        shuffled = chosen[torch.randperm(len(chosen), generator=seeded(6))]
        assert torch.equal(found[shuffled], rows[shuffled])
    assert torch.equal(found[29_990:40_000], rows[29_990:])
    (tmp_path / "rows").write_bytes(b"")
    with pytest.raises(InputError, match="shorter than its rows"):
        found[:]


@pytest.mark.parametrize(("memory", "held"), [(None, True), (2**20, True), (1.9 * 700 * 8 * 4, False), (0, False)])
def test_rows_of_a_file_are_held_where_there_is_room(memory, held, tmp_path):
    (tmp_path / "rows").write_bytes(noise().numpy().tobytes())
    shard = Shard(FileRows(RowFile(tmp_path / "rows", 700, 8)), 0, memory)
    shard.begin(torch.zeros(8), torch.float32)
    (tmp_path / "rows").write_bytes(b"")
    with contextlib.nullcontext() if held else pytest.raises(InputError, match="shorter than its rows"):
        assert torch.equal(shard.rows_of(torch.tensor([3]))[1], noise()[[3]])


def test_a_file_of_numpys_is_read_and_what_is_no_such_file_refused(tmp_path):
    np.save(tmp_path / "rows.npy", noise(9).numpy())
    assert torch.equal(FileRows(RowFile.of_array(tmp_path / "rows.npy"))[:], noise(9))
    assert len(RowFile.of_array(tmp_path / "rows.npy").divided(20)) == 9  # no part is empty
    np.save(tmp_path / "whole.npy", np.arange(6).reshape(2, 3))
    (tmp_path / "text.npy").write_text("no array")
    for name, message in (("whole.npy", "int64"), ("text.npy", "cannot be read"), ("none.npy", "cannot be read")):
        with pytest.raises(InputError, match=message):
            RowFile.of_array(tmp_path / name)


@pytest.mark.slow
def test_processes_pick_alike_and_one_that_dies_is_told(tmp_path):
    np.save(tmp_path / "rows.npy", noise().numpy())
    files = RowFile.of_array(tmp_path / "rows.npy").divided(2)
    with processes(files) as carrier:
        assert torch.equal(greedy.greedy_over_shards(carrier, 90, start=3).picks, greedy_coreset(noise(), 90, start=3))
        with pytest.raises(InputError, match="shard of rows 0 to 349"):
            carrier.ask_each("sample", [(0,), (1,)])
        carrier.kill(1)
        with pytest.raises(InputError, match="the process of shard 1 died"):
            greedy.greedy_over_shards(carrier, 90, start=3)

"""Shards whose rows lie on a GPU that is not there, see `absent_gpu`: what they ask and answer lies on the CPU."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from absent_gpu import absent_gpu

from patchcore_core.coreset import covering_radius, greedy_coreset
from patchcore_core.neighbours import nearest
from patchcore_suite.plugins.first_picks import anchor_gaps
from patchcore_suite.shards import greedy
from patchcore_suite.shards.carrier import Here
from patchcore_suite.shards.files import FileRows, RowFile
from patchcore_suite.shards.search import BankInParts, nearest_in_parts
from patchcore_suite.shards.shard import Shard

N = 600


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


FEATURES = torch.randn(N, 20, generator=draw())
MADE = {
    "noise": FEATURES,
    "repeats": FEATURES[:8].repeat(75, 1),  # in double precision, and then in order
    "float16": FEATURES.half(),
}


def here(rows, gpu):
    """Three shards of one machine with a GPU."""
    ends = [0, 200, 350, N]
    return Here([Shard(rows[start:end].to(gpu), start) for start, end in pairwise(ends)])


@pytest.mark.parametrize("name", MADE)
def test_picks_are_those_of_one_machine(name):
    rows = MADE[name]
    expected = greedy_coreset(rows, 100, start=7)
    with absent_gpu() as gpu:
        found = greedy.greedy_over_shards(here(rows, gpu), 100, start=7)
        assert (found.picks.device.type, found.rows.device.type) == ("cpu", "cpu")
        assert torch.equal(found.picks, expected)
        assert torch.equal(found.rows, rows[expected])
        assert greedy.covering_radius(here(rows, gpu), expected) == pytest.approx(covering_radius(rows, expected))


def test_anchors_and_gaps_from_the_outset_reach_the_gpu():
    gaps = anchor_gaps(FEATURES, generator=draw(5))
    expected = greedy_coreset(FEATURES, 40, gaps=gaps)
    with absent_gpu() as gpu:
        for first in ({"gaps": gaps}, {"anchors": 10, "generator": draw(5)}):
            assert torch.equal(greedy.greedy_over_shards(here(FEATURES, gpu), 40, **first).picks, expected)


@pytest.mark.parametrize("memory", [0, 2**30])
def test_rows_of_a_file_are_selected_on_a_gpu_and_a_bank_is_searched_there_in_parts(tmp_path, memory):
    np.save(tmp_path / "rows.npy", FEATURES.numpy())
    file = RowFile.of_array(tmp_path / "rows.npy")
    expected = greedy_coreset(FEATURES, 100, start=7)
    wanted = nearest(FEATURES[:50], FEATURES, 3)
    chosen = torch.tensor([40, 3, 599])
    with absent_gpu() as gpu:
        shards = [Shard(FileRows(part, gpu), part.first, memory) for part in file.divided(2)]
        assert torch.equal(greedy.greedy_over_shards(Here(shards), 100, start=7).picks, expected)
        distances, rows = nearest_in_parts(FEATURES[:50].to(gpu), file.divided(3), 3)
        assert (distances.device, rows.device) == (gpu, gpu)
        assert torch.equal(rows.cpu(), wanted[1])
        torch.testing.assert_close(distances.cpu(), wanted[0])
        bank = BankInParts(file, 2**30, gpu)
        assert bank[chosen.to(gpu)].device == gpu
        assert torch.equal(bank[chosen.to(gpu)].cpu(), FEATURES[chosen])

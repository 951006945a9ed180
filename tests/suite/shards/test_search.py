import errno
import os

import faiss
import numpy as np
import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.neighbours import nearest
from patchcore_suite.plugins.searches import recall
from patchcore_suite.shards import room, search
from patchcore_suite.shards.files import RowFile
from patchcore_suite.shards.search import DiskIndex, nearest_in_parts, parts_within


def noise(n, d=16, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def written(tmp_path):
    def write(rows):
        (tmp_path / "bank").write_bytes(rows.numpy().tobytes())
        return RowFile(tmp_path / "bank", *rows.shape)

    return write


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_parts_find_the_neighbours_of_the_whole(written, parts, k):
    bank, queries = noise(60), noise(200, seed=1)
    distances, rows = nearest_in_parts(queries, written(bank).divided(parts), k)
    expected = nearest(queries, bank, k)
    assert torch.equal(rows, expected[1])
    assert torch.equal(distances, expected[0])


def test_of_equally_near_rows_the_lowest_is_found(written):
    bank = torch.zeros(9, 2)
    bank[[2, 5, 8]] = 1.0
    distances, rows = nearest_in_parts(torch.ones(1, 2), written(bank).divided(3), 3)
    assert rows.tolist() == [[2, 5, 8]]
    assert distances.tolist() == [[0, 0, 0]]


def test_a_bank_is_divided_as_memory_asks_and_too_little_is_refused(written):
    bank = written(noise(300_000, 4))
    assert len(parts_within(bank, 1e9)) == 1
    parts = parts_within(bank, 2**23 * 3)  # at most 524288 rows... of which each takes 48 bytes
    assert sum(part.count for part in parts) == 300_000
    with pytest.raises(InputError, match="cannot hold one block"):
        parts_within(bank, 1000)
    with pytest.raises(InputError, match="k=0"):
        nearest_in_parts(noise(1, 4), [bank], 0)


def test_lists_on_disk_find_most_neighbours(written, tmp_path):
    bank, queries = noise(4000), noise(300, seed=1)
    index = DiskIndex(written(bank), tmp_path / "lists", probes=40)
    distances, rows = index.nearest(queries, 2)
    expected = nearest(queries, bank, 2)
    assert (tmp_path / "lists").stat().st_size == 4000 * (16 + 8)
    assert recall(rows, expected[1]) > 0.5
    assert torch.allclose(distances, (bank[rows] - queries[:, None]).norm(dim=2))
    assert (distances.diff(dim=1) >= 0).all()
    with pytest.raises(InputError, match="at least 256 rows"):
        DiskIndex(written(noise(30)), tmp_path / "lists")


def test_lists_on_disk_are_those_of_the_same_index_in_memory(written, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 700)  # several parts, the last one short
    bank = noise(2000)
    index = DiskIndex(written(bank), tmp_path / "lists", probes=5)
    inside = faiss.IndexIVFPQ(index._quantizer, 16, index._index.nlist, 16, 8)
    inside.pq, inside.nprobe, inside.is_trained = index._index.pq, 5, True
    inside.add(bank.numpy())
    queries = noise(50, seed=1).numpy()
    found, expected = index._index.search(queries, 4), inside.search(queries, 4)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)  # their sums begin elsewhere


def test_lists_that_find_no_room_are_refused_and_leave_no_file(written, tmp_path, monkeypatch):
    def fallocate(handle, start, size):
        os.truncate(handle, size // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    bank = written(noise(600))
    with pytest.raises(InputError, match=r"lists cannot be written: No such file or directory"):
        DiskIndex(bank, tmp_path / "none/lists")
    monkeypatch.setattr(room.os, "posix_fallocate", fallocate)
    with pytest.raises(InputError, match="codes of 600 rows need 1 MiB in") as refused:
        DiskIndex(bank, tmp_path / "lists")
    assert "make room there" in refused.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]

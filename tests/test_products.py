import pytest
import torch

from patchcore_core import products
from patchcore_core.products import in_blocks, smallest


def noise(n, m, seed=0):
    return torch.randn(n, m, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("m", [1, 3, 63, 64, 127, 128, 129, 191, 192, 200, 1000])
def test_the_smallest_value_of_each_row_and_its_column(m):
    values = noise(40, m)
    low, column = smallest(values)
    expected = values.min(dim=1)
    assert torch.equal(low, expected.values)
    assert torch.equal(column, expected.indices)


@pytest.mark.parametrize("m", [5, 130, 300])
def test_of_equal_values_the_first_column_is_named(m):
    values = torch.randint(0, 3, (200, m), generator=torch.Generator().manual_seed(1)).float()
    first = [row.tolist().index(row.min()) for row in values]
    assert smallest(values)[1].tolist() == first


def test_columns_of_a_larger_buffer_can_be_searched():
    values = noise(30, 256)[:, :200]
    assert torch.equal(smallest(values)[1], values.argmin(dim=1))


@pytest.mark.parametrize(("n", "rows"), [(0, 4), (1, 4), (8, 4), (9, 4), (10, 100)])
def test_blocks_cover_all_rows_once_and_in_order(n, rows):
    done = []
    in_blocks(n, rows, lambda block: done.extend(range(block.start, block.stop)))
    assert done == list(range(n))


def test_a_gpu_out_of_memory_gets_smaller_blocks_and_no_row_is_left_out():
    done, tried = [], []

    def work(block):
        tried.append(block.stop - block.start)
        if tried[-1] > 200:
            raise torch.OutOfMemoryError("out of memory")
        done.extend(range(block.start, block.stop))

    in_blocks(1000, 800, work)
    assert done == list(range(1000))
    assert tried == [800, 400, 200, 200, 200, 200, 200]


def test_a_gpu_too_small_for_the_smallest_block_is_an_error():
    def work(block):
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_blocks(1000, 800, work)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    calls = []

    def work(block):
        calls.append(block)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        in_blocks(1000, 800, work)
    assert len(calls) == 1


def test_the_probe_is_for_processors():
    assert products.bfloat16_pays(torch.device("cuda")) is False
    assert products.bfloat16_pays(torch.device("cpu")) in (True, False)

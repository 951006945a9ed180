import pytest
import torch

from patchcore_core.fast import products
from patchcore_core.fast.products import Product, block_rows, half_distance_factors, in_blocks, shifted, smallest


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


def test_half_squared_distances_are_a_product_by_hand():
    centre = torch.tensor([1.0, 0.0])
    factors = half_distance_factors(torch.tensor([[4.0, 4.0], [1.0, 0.0]]), centre)
    assert factors.tolist() == [[-3, -4, 12.5], [0, 0, 0]]
    rows = shifted(torch.tensor([[1.0, 4.0]]), centre)
    assert rows.tolist() == [[0, 4, 1]]
    # (1, 4) is 3 and 4 away; half its squared norm about the centre is 8.
    assert (rows @ factors.T + 8).tolist() == [[4.5, 8]]


@pytest.mark.parametrize(("m", "columns"), [(1, 1), (127, 127), (128, 128), (129, 192), (192, 192)])
def test_factors_are_filled_up_to_whole_groups_with_the_last_row(m, columns):
    factors = half_distance_factors(noise(m, 5), torch.zeros(5))
    assert factors.shape == (columns, 6)
    assert torch.equal(factors[m:], factors[m - 1 : m].expand(columns - m, -1))


@pytest.mark.parametrize("precision", [torch.float16, torch.float64])
def test_what_is_shifted_has_the_precision_of_the_centre(precision):
    rows = noise(7, 3).to(precision)
    longer = shifted(rows, torch.ones(3, dtype=torch.float64))
    assert longer.dtype == torch.float64
    assert torch.equal(longer, torch.cat([rows.double() - 1, torch.ones(7, 1)], dim=1))


def test_products_use_one_room_again():
    product, right = Product(), noise(3, 4)
    first = product(noise(10, 3), right)
    assert torch.equal(first, noise(10, 3) @ right)
    second = product(noise(6, 3, seed=1), right)
    assert second.data_ptr() == first.data_ptr()
    assert torch.equal(second, noise(6, 3, seed=1) @ right)
    assert torch.equal(product(noise(20, 3), right), noise(20, 3) @ right)


def test_a_block_has_at_least_one_row_and_more_on_a_gpu(monkeypatch):
    monkeypatch.setattr(products, "BLOCK_VALUES", 1000)
    assert [block_rows(values, torch.device("cpu")) for values in (10, 1000, 1001, 0)] == [100, 1, 1, 1000]
    assert block_rows(1000, torch.device("cuda")) > 1000


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

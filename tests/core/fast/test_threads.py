import threading

import pytest
import torch

from patchcore_core.coreset import greedy_coreset, random_projection
from patchcore_core.fast import products
from patchcore_core.fast.nearest_picks import Gaps
from patchcore_core.fast.products import Product, in_blocks
from patchcore_core.fast.threads import ALIGNED, parts, steps_alone
from patchcore_core.neighbours import Index

SOURCE = torch.zeros(1)


class OnDisk:
    """Rows that are made when they are asked for, one part after the other."""

    device = torch.device("cpu")


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("n", [1, 63, 64, 130, 1000, 1024, 5000, 10_240, 10_241])
def test_every_row_is_worked_on_once_and_whole_blocks_stay_whole(threads, n):
    torch.set_num_threads(threads)
    seen = []
    in_blocks(n, 1000, seen.append, SOURCE)
    seen.sort(key=lambda block: block.start)
    assert [row for block in seen for row in range(block.start, min(block.stop, n))] == list(range(n))
    whole = n // (1000 * threads) * threads
    assert seen[:whole] == [slice(1000 * i, 1000 * (i + 1)) for i in range(whole)]
    for block in seen:
        assert block.start % 1000 % ALIGNED == 0
        assert block.stop - block.start >= min(ALIGNED, n - block.start // 1000 * 1000)


def test_what_is_left_is_cut_so_that_all_threads_have_some():
    assert parts(0, 1000, 1000, 2) == [slice(0, 512), slice(512, 1000)]
    assert parts(2000, 2100, 1000, 2) == [slice(2000, 2100)]  # nothing that is worth a second thread
    assert parts(2000, 4010, 1000, 3) == [
        slice(2000, 2704), slice(2704, 3000), slice(3000, 3704), slice(3704, 4000), slice(4000, 4010),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", [True, False])
def test_each_thread_computes_its_blocks_alone(cut):
    torch.set_num_threads(3)
    met, seen = threading.Barrier(3, timeout=30), {}

    def work(block):
        if block.start < 300:
            met.wait()  # three threads are at work at once
        seen[block.start] = (threading.current_thread(), torch.get_num_threads())

    in_blocks(750, 100, work, SOURCE, cut=cut)
    assert {count for start, (_, count) in seen.items() if start < 600} == {1}
    assert len({thread for start, (thread, _) in seen.items() if start < 300}) == 3
    if not cut:  # what is left is done here, by all threads together
        assert seen[600] == seen[700] == (threading.main_thread(), 3)
    assert torch.get_num_threads() == 3


def test_rows_that_are_made_when_they_are_asked_for_are_read_in_order_by_one_thread():
    torch.set_num_threads(4)
    seen = []
    for source in (None, OnDisk()):
        in_blocks(1000, 100, lambda block: seen.append((block.start, threading.current_thread())), source)
    assert seen == [(start, threading.main_thread()) for start in range(0, 1000, 100)] * 2


def test_blocks_within_blocks_are_done_by_the_thread_that_has_the_outer_one():
    torch.set_num_threads(2)
    threads = {}

    def outer(block):
        def inner(_):
            threads.setdefault(block.start, set()).add(threading.current_thread())

        with steps_alone():
            in_blocks(1000, 100, inner, SOURCE)
        threads[block.start].add(threading.current_thread())

    in_blocks(2000, 1000, outer, SOURCE)
    assert [len(of) for of in threads.values()] == [1, 1]


def test_between_blocks_steps_are_alone_and_afterwards_as_before():
    torch.set_num_threads(3)
    counts = []
    with steps_alone(), steps_alone():
        assert torch.get_num_threads() == 1
        in_blocks(600, 100, lambda block: counts.append(threading.active_count()), SOURCE)
        assert torch.get_num_threads() == 1
    assert max(counts) > 1
    assert torch.get_num_threads() == products.threads_for_blocks() == 3


@pytest.mark.parametrize("error", [RuntimeError("allocate memory"), KeyboardInterrupt()])
def test_where_a_block_fails_no_more_are_begun(error):
    torch.set_num_threads(2)
    begun, pause = [], threading.Event()

    def work(block):
        begun.append(block)
        if block.start == 0:
            raise error
        pause.wait(0.01)

    with pytest.raises(type(error)):
        in_blocks(40_000, 100, work, SOURCE)
    assert len(begun) < 300
    assert torch.get_num_threads() == 2


def test_threads_take_over_what_holds_for_gradients():
    torch.set_num_threads(2)
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with mode():
            here = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
            found = set()
            in_blocks(
                400,
                100,
                lambda _, of=found: of.add((torch.is_inference_mode_enabled(), torch.is_grad_enabled())),
                SOURCE,
            )
        assert found == {here}


def test_a_product_has_a_room_for_each_thread():
    product, rooms = Product(), []
    met = threading.Barrier(2, timeout=30)

    def multiply(value):
        found = product(torch.full((2, 2), value), torch.eye(2))
        met.wait()
        rooms.append(found.unique().tolist() == [value])

    threads = [threading.Thread(target=multiply, args=(value,)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rooms == [True, True]


def features(n, d=24, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * torch.logspace(1, -1, d)


def computed(kind):
    rows = features(11_111).to(kind)
    picks = greedy_coreset(rows, 400, start=5)
    gaps = Gaps(rows)
    gaps.add(picks)
    bank = torch.cat([rows[picks], rows[picks[:30]]])  # some rows twice
    few, many = Index(bank).nearest(rows, 3), Index(bank.repeat(12, 1)[:4900]).nearest(rows[::2])
    projected = random_projection(rows, 8, generator=torch.Generator().manual_seed(0))
    return [picks, gaps.squared, gaps.nearest, *few, *many, projected]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
def test_bytes_are_the_same_with_any_number_of_threads(kind, monkeypatch):
    monkeypatch.setattr(products, "BLOCK_VALUES", 2**17)  # many blocks, and some that are left
    expected = computed(kind)
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        for found, one in zip(computed(kind), expected, strict=True):
            assert torch.equal(found, one)

import faiss
import pytest
import torch
from searched_rows import brute_force, check, clustered, noise

from patchcore_core import searches
from patchcore_core.common.errors import InputError
from patchcore_core.fast import products
from patchcore_core.neighbours import Index, nearest

both = pytest.mark.parametrize("search", ["torch", "faiss"])


@both
def test_by_hand(search):
    bank = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    queries = torch.tensor([[3.0, 0.0], [6.0, 9.0]])
    distances, indices = nearest(queries, bank, 2, search=search)
    assert torch.allclose(distances, torch.tensor([[3.0, 4.0], [1.0, 34.0**0.5]]))
    assert indices.tolist() == [[0, 1], [2, 1]]


@both
@pytest.mark.parametrize("k", [1, 2, 9, 50])
def test_it_equals_brute_force(search, k):
    check(noise(300), noise(50, seed=1), k, search)


@pytest.mark.parametrize("rows", [127, 128, 129, 256, 300, 1000])
def test_a_bank_in_parts_is_searched_whole(rows, monkeypatch):
    monkeypatch.setattr(searches, "PART_ROWS", 128)
    check(noise(300), noise(rows, seed=1), 1, "torch")
    check(noise(300), noise(300)[torch.arange(rows) % 100], 1, "torch")  # each row again in other parts


@both
@pytest.mark.parametrize("k", [1, 5])
def test_it_equals_brute_force_far_from_the_origin(search, k):
    check(noise(300) + 1e3, noise(50, seed=1) + 1e3, k, search)


@both
@pytest.mark.parametrize("k", [1, 5])
def test_it_equals_brute_force_where_products_cannot_rank(search, k):
    # Two heaps 2000 apart: products of such norms are known to 0.2, squared distances within a heap are 1e-5.
    bank = 1e-3 * noise(200, seed=1)
    bank[100:] += 500
    queries = bank[::7] + 1e-3 * noise(29, seed=2)
    check(queries, bank, k, search, tolerance=1e-4)


@both
def test_many_blocks_give_what_one_gives(search, monkeypatch):
    queries, bank = noise(500), noise(64, seed=1)
    whole = nearest(queries, bank, 3, search=search)
    monkeypatch.setattr(products, "BLOCK_VALUES", 1000)
    in_blocks = nearest(queries, bank, 3, search=search)
    assert torch.equal(whole[1], in_blocks[1])
    assert torch.allclose(whole[0], in_blocks[0])


@both
@pytest.mark.parametrize("offset", [0, 1000])
def test_a_query_that_is_in_the_bank_has_distance_zero(search, offset):
    bank = noise(200, d=152) + offset
    distances, indices = nearest(bank, bank, search=search)
    assert torch.equal(distances, torch.zeros(200, 1))
    assert torch.equal(indices[:, 0], torch.arange(200))


@both
def test_distances_ascend_even_where_they_differ_in_their_last_digit_only(search):
    bank = noise(500, d=256)
    bank /= bank.norm(dim=1, keepdim=True)  # all at about the same distance from the middle
    distances, indices = nearest(1e-4 * noise(20, d=256, seed=1), bank, 100, search=search)
    assert (distances.diff(dim=1) >= 0).all()
    assert all(len(row.unique()) == 100 for row in indices)


@both
def test_with_k_all_rows_every_row_is_named_once(search):
    distances, indices = nearest(noise(20), noise(7, seed=1), 7, search=search)
    assert indices.sort(dim=1).values.tolist() == [list(range(7))] * 20
    assert (distances.diff(dim=1) >= 0).all()


@both
def test_repeated_rows_of_the_bank_are_neighbours_one_by_one(search):
    bank = torch.tensor([[1.0, 0.0], [5.0, 5.0], [1.0, 0.0], [1.0, 0.0]])
    distances, indices = nearest(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), bank, 3, search=search)
    assert distances.tolist() == [[0, 0, 0], [2, 2, 2]]
    assert indices.sort(dim=1).values.tolist() == [[0, 2, 3], [0, 2, 3]]


@both
def test_a_bank_of_one_row(search):
    distances, indices = nearest(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(1, 2), search=search)
    assert distances.tolist() == [[5], [0]]
    assert indices.tolist() == [[0], [0]]


@both
@pytest.mark.parametrize("k", [1, 3])
def test_no_queries_give_no_neighbours(search, k):
    distances, indices = nearest(torch.empty(0, 16), noise(5), k, search=search)
    assert distances.shape == indices.shape == (0, k)


def test_the_two_searches_agree():
    queries, bank = noise(400, d=64), noise(90, d=64, seed=1)
    by_torch, by_faiss = (nearest(queries, bank, 4, search=search) for search in ("torch", "faiss"))
    assert torch.equal(by_torch[1], by_faiss[1])
    assert torch.equal(by_torch[0], by_faiss[0])


def test_the_search_named_is_the_one_that_runs(monkeypatch):
    used = []
    flat = faiss.IndexFlatL2
    monkeypatch.setattr(faiss, "IndexFlatL2", lambda d: used.append(d) or flat(d))
    nearest(noise(5), noise(9), search="torch")
    assert used == []
    nearest(noise(5), noise(9), search="faiss")
    assert used == [16]


# An index, built once


@pytest.mark.parametrize("search", ["torch", "faiss", "ivf", "ivfpq"])
def test_an_index_gives_what_the_one_call_gives_however_the_queries_are_split(search):
    queries, bank = clustered(300, seed=1), clustered(700)
    index = Index(bank, search)
    distances, indices = nearest(queries, bank, 3, search=search)
    parts = [index.nearest(part, 3) for part in queries.split(70)]
    assert torch.equal(torch.cat([rows for _, rows in parts]), indices)
    assert torch.allclose(torch.cat([found for found, _ in parts]), distances, rtol=1e-6)


@both
def test_an_index_is_built_once(search, monkeypatch):
    built = []
    ranking = searches.BUILT_IN[search]
    monkeypatch.setitem(searches.BUILT_IN, search, lambda bank: built.append(len(bank)) or ranking(bank))
    index = Index(noise(50), search)
    for k in (1, 2, 3):
        index.nearest(noise(9, seed=1) + 5, k)
    assert built == [50]


@pytest.mark.parametrize("shape", [(16,), (3, 16, 1)])
def test_a_bank_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"bank .* must be \(l, d\)"):
        Index(torch.zeros(shape))


# Errors


def test_queries_and_bank_are_left_as_they_were():
    queries, bank = noise(30), noise(9, seed=1)
    before = queries.clone(), bank.clone()
    nearest(queries, bank, 2)
    assert torch.equal(queries, before[0])
    assert torch.equal(bank, before[1])


@pytest.mark.parametrize("k", [0, -1, 6])
def test_a_k_out_of_range_is_refused_with_the_range(k):
    with pytest.raises(InputError, match=rf"k={k} must lie in 1..5"):
        nearest(noise(3), noise(5), k)


def test_an_empty_bank_is_refused():
    with pytest.raises(InputError, match="k=1"):
        nearest(noise(3), torch.empty(0, 16))


@pytest.mark.parametrize("shape", [(3, 15), (3,), (3, 16, 1)])
def test_queries_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match="queries"):
        nearest(torch.zeros(shape), noise(5))


def test_an_unknown_search_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="search='annoy' must be one of torch, faiss, faiss-gpu, hnsw, ivf, ivfpq"):
        nearest(noise(3), noise(5), search="annoy")


# Half precision, memory, GPUs


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_bank_in_half_precision_gives_the_distances_to_its_rows(kind):
    queries, bank = noise(200).to(kind), noise(50, seed=1).to(kind)
    distances, indices = nearest(queries, bank, 3)
    assert distances.dtype == torch.float32
    assert torch.allclose(distances.double(), brute_force(queries, bank, 3), rtol=2e-6, atol=2e-6)
    assert indices.shape == (200, 3)


def test_a_search_on_a_gpu_says_what_it_lacks(monkeypatch):
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(InputError, match="needs faiss built for GPUs"):
        Index(noise(50), "faiss-gpu")
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with pytest.raises(InputError, match="found no GPU"):
        Index(noise(50), "faiss-gpu")

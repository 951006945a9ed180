import faiss
import pytest
import torch
from searched_rows import check, clustered, noise

from patchcore_core.common.errors import InputError
from patchcore_core.neighbours import Index, nearest
from patchcore_suite.plugins import searches
from patchcore_suite.plugins.searches import recall

approximate = pytest.mark.parametrize("search", ["ivf", "ivfpq", "hnsw"])
of_cells = pytest.mark.parametrize("search", ["ivf", "ivfpq"])


@approximate
@pytest.mark.parametrize("k", [1, 4])
def test_an_approximate_search_returns_the_true_distances_of_distinct_rows_in_ascending_order(search, k):
    queries, bank = clustered(400, seed=1), clustered(1500)
    distances, indices = nearest(queries, bank, k, search=search)
    assert distances.shape == indices.shape == (400, k)
    assert indices.dtype == torch.long
    named = (queries.double()[:, None] - bank.double()[indices]).norm(dim=2)
    assert torch.allclose(distances.double(), named, rtol=2e-6, atol=2e-6)
    assert (distances.diff(dim=1) >= 0).all()
    assert all(len(row.unique()) == k for row in indices)


@pytest.mark.parametrize(("search", "least"), [("ivf", 0.95), ("ivfpq", 0.6), ("hnsw", 0.95)])
def test_an_approximate_search_finds_most_true_neighbours(search, least):
    queries, bank = clustered(400, seed=1), clustered(3000)
    exact = nearest(queries, bank, 3)
    found = nearest(queries, bank, 3, search=search)
    assert least <= recall(found[1], exact[1])
    assert (found[0] >= exact[0] - 1e-4).all()
    assert (found[0] / exact[0]).mean() < 1.05  # where another row is found, it is hardly farther


@of_cells
def test_an_approximate_search_visits_a_few_cells_only(search, monkeypatch):
    # Without clusters neighbours lie in many cells; with all cells visited the inverted file is exact.
    queries, bank = noise(400), noise(3000, seed=1)
    exact = nearest(queries, bank, 3)[1]
    shares = []
    for probes in (1, 16, 3000):
        monkeypatch.setattr(searches, "PROBES", probes)
        shares.append(recall(nearest(queries, bank, 3, search=search)[1], exact))
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[2] == 1 or search == "ivfpq"


@approximate
def test_an_approximate_search_repeats_itself_with_any_number_of_threads(search):
    queries, bank = clustered(300, seed=1), clustered(1000)
    threads = faiss.omp_get_max_threads()
    try:
        found = []
        for count in (1, 3):
            faiss.omp_set_num_threads(count)
            found.append(nearest(queries, bank, 3, search=search))
    finally:
        faiss.omp_set_num_threads(threads)
    for distances, indices in found[1:]:
        assert torch.equal(indices, found[0][1])
        assert torch.equal(distances, found[0][0])


@of_cells
@pytest.mark.parametrize("k", [250, 300])
def test_queries_whose_cells_hold_too_few_rows_are_searched_exactly(search, k, monkeypatch):
    monkeypatch.setattr(searches, "PROBES", 1)
    check(noise(40, seed=1), noise(300), k, search)


@approximate
def test_a_bank_of_one_repeated_row_can_be_searched(search):
    distances, indices = nearest(torch.full((3, 8), 0.5), torch.full((300, 8), 0.5), 2, search=search)
    assert distances.tolist() == [[0, 0]] * 3
    assert all(len(row.unique()) == 2 for row in indices)


@approximate
def test_an_approximate_search_takes_no_queries(search):
    distances, indices = nearest(torch.empty(0, 16), noise(300), 2, search=search)
    assert distances.shape == indices.shape == (0, 2)


@pytest.mark.parametrize(("d", "codes"), [(152, 38), (1024, 64), (64, 64), (6, 6), (67, 1)])
def test_codes_are_as_many_as_divide_the_dimensions_up_to_64(d, codes, monkeypatch):
    made = []
    ivfpq = faiss.IndexIVFPQ
    monkeypatch.setattr(faiss, "IndexIVFPQ", lambda *given: made.append(given[1:]) or ivfpq(*given))
    Index(noise(300, d), "ivfpq")
    assert made == [(d, 300 // 39, codes, 8)]


@pytest.mark.parametrize(("search", "rows"), [("ivf", 39), ("ivfpq", 256)])
def test_a_bank_too_small_to_train_on_is_refused_with_the_remedy(search, rows, capfd):
    with pytest.raises(InputError) as caught:
        Index(noise(rows - 1), search)
    assert f"search='{search}' needs at least {rows} rows in the memory bank" in str(caught.value)
    assert f"there are {rows - 1}" in str(caught.value)
    assert "Remedy: search: torch" in str(caught.value)
    assert Index(noise(rows), search).nearest(noise(5), 2)[1].shape == (5, 2)
    assert capfd.readouterr().err == ""  # faiss warns of small banks


def test_recall_by_hand():
    exact = torch.tensor([[0, 1], [2, 3]])
    assert recall(exact, exact) == 1
    assert recall(exact.flip(1), exact) == 1
    assert recall(torch.tensor([[1, 9], [8, 9]]), exact) == 0.25


@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (2,)])
def test_recall_of_other_shapes_is_refused(shape):
    with pytest.raises(InputError, match=r"must be \(n, k\)"):
        recall(torch.zeros(shape, dtype=torch.long), torch.zeros(2, 2, dtype=torch.long))

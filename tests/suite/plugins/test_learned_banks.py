import faiss
import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import random_coreset
from patchcore_core.neighbours import nearest
from patchcore_suite.plugins import learned_banks
from patchcore_suite.plugins.learned_banks import kmeans_centroids, learned_proxies, reconstruction_loss, softmax_scale

both = pytest.mark.parametrize("make", [kmeans_centroids, learned_proxies])


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(learned_banks, "PROXY_STEPS", 100)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clusters(n=900, d=12, *, scale=1.0, offset=0.0):
    """Rows around 15 centres, of unequal numbers."""
    centres = 3 * torch.randn(15, d, generator=seeded(1))
    which = (torch.rand(n, generator=seeded(2)) ** 2 * 15).long()
    return (centres[which] + 0.5 * torch.randn(n, d, generator=seeded(3))) * scale + offset


def squared_error(features, vectors):
    return float(nearest(features, vectors)[0].square().mean())


def random_rows(features, size, seed=0):
    return features[random_coreset(features, size, generator=seeded(seed))]


# k-means


def test_two_heaps_have_their_means_as_centroids_by_hand():
    features = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 1.0], [10.0, 5.0]])
    for seed in range(5):
        centroids = kmeans_centroids(features, 2, generator=seeded(seed))
        assert centroids[centroids[:, 0].argsort()].tolist() == [pytest.approx([0, 1]), pytest.approx([10, 2])]


@pytest.mark.parametrize("offset", [0, 1e3])
def test_centroids_are_the_means_of_the_rows_nearest_to_them(offset):
    features = clusters(offset=offset)
    centroids = kmeans_centroids(features, 8, generator=seeded())
    assert centroids.dtype == features.dtype
    owner = nearest(features, centroids)[1][:, 0]
    means = torch.stack([features[owner == k].double().mean(dim=0) for k in range(8)])
    assert torch.allclose(centroids.double(), means, rtol=1e-6, atol=1e-5)


def test_centroids_lie_nearer_than_random_rows():
    features = clusters()
    found = squared_error(features, kmeans_centroids(features, 30, generator=seeded()))
    assert found < 0.7 * min(squared_error(features, random_rows(features, 30, seed)) for seed in range(10))


def test_centroids_of_repeated_rows_are_finite_and_as_many_as_asked_for():
    features = torch.tensor([[0.0, 1.0], [5.0, 5.0]]).repeat(50, 1)
    centroids = kmeans_centroids(features, 7, generator=seeded())
    assert centroids.shape == (7, 2)
    assert squared_error(features, centroids) < 1e-4


def test_centroids_are_the_same_with_any_number_of_threads():
    features = clusters(3000)
    threads = faiss.omp_get_max_threads()
    try:
        found = []
        for count in (1, 2, 3):
            faiss.omp_set_num_threads(count)
            found.append(kmeans_centroids(features, 40, generator=seeded()))
    finally:
        faiss.omp_set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


# Learned proxies


def test_the_reconstruction_loss_by_hand():
    # From 0 the proxies 1 and -2 are at 1 and 2: weights e / (1 + e) and 1 / (1 + e).
    e = torch.e
    expected = ((e * 1 + 1 * -2) / (1 + e)) ** 2
    loss = reconstruction_loss(torch.tensor([[0.0]]), torch.tensor([[1.0], [-2.0]]))
    assert float(loss) == pytest.approx(expected)


def test_the_scale_of_the_softmax_by_hand():
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    assert softmax_scale(features, features[:1]) == pytest.approx(learned_banks.TEMPERATURE * (5 + 1) / 2)
    assert softmax_scale(features, features[:3]) == 0


@pytest.mark.parametrize("size", [1, 2, 20, 60])
def test_proxies_put_features_together_better_than_the_rows_that_they_began_as(size):
    features = clusters()
    initial = random_rows(features, size)
    scale = softmax_scale(features, initial)
    learned = learned_proxies(features, size, generator=seeded())
    assert learned.shape == (size, 12)
    assert not learned.requires_grad
    before, after = (float(reconstruction_loss(features / scale, made / scale)) for made in (initial, learned))
    assert after < 0.9 * before


@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 0), (1e3, 0), (1, 100)])
def test_proxies_follow_the_scale_and_the_place_of_the_features(scale, offset):
    plain = learned_proxies(clusters(), 20, generator=seeded())
    moved = learned_proxies(clusters(scale=scale, offset=offset), 20, generator=seeded())
    assert torch.allclose((moved - offset) / scale, plain, atol=0.05)


def test_proxies_lie_nearer_to_the_features_than_random_rows(monkeypatch):
    monkeypatch.setattr(learned_banks, "PROXY_STEPS", 1000)  # enough to wander off
    features = torch.randn(2000, 64, generator=seeded()) * torch.linspace(3, 0.2, 64)
    proxies, random = learned_proxies(features, 60, generator=seeded()), random_rows(features, 60)
    apart = [float(nearest(features, bank)[0].mean()) for bank in (proxies, random)]
    assert apart[0] < apart[1]


def test_a_single_proxy_goes_towards_the_mean(monkeypatch):
    monkeypatch.setattr(learned_banks, "PROXY_STEPS", 2000)
    features = clusters()
    learned = learned_proxies(features, 1, generator=seeded())
    assert (learned[0] - features.mean(dim=0)).norm() < 0.2 * features.std(dim=0).norm()


# What they have in common


@both
def test_one_generator_seed_gives_one_result_whatever_the_global_state(make):
    features = clusters()
    torch.manual_seed(0)
    first = make(features, 20, generator=seeded())
    torch.manual_seed(1)
    assert torch.equal(make(features, 20, generator=seeded()), first)
    assert not torch.equal(make(features, 20, generator=seeded(1)), first)


@both
def test_as_many_as_there_are_features_are_the_features(make):
    features = clusters(60)
    made = make(features, 60, generator=seeded())
    assert sorted(made.tolist()) == sorted(features.tolist())


@both
def test_nearly_as_many_as_there_are_features_are_finite(make):
    features = clusters(60)
    made = make(features, 59, generator=seeded())
    assert made.shape == (59, 12)
    assert torch.isfinite(made).all()


@both
def test_rows_that_are_all_equal_give_vectors_that_equal_them(make):
    made = make(torch.full((50, 3), 0.1), 5, generator=seeded())
    assert torch.allclose(made, torch.full((5, 3), 0.1))


@both
def test_the_features_are_left_as_they_were_even_without_gradients(make):
    features = clusters()
    before = features.clone()
    with torch.inference_mode():
        make(features, 5, generator=seeded())
    with torch.no_grad():
        made = make(features, 5, generator=seeded())
    assert torch.equal(features, before)
    assert not made.requires_grad


@both
@pytest.mark.parametrize("size", [0, 6])
def test_a_size_out_of_range_is_refused_with_the_range(make, size):
    with pytest.raises(InputError, match=rf"size={size} must lie in 1..5"):
        make(torch.zeros(5, 2), size)


@both
def test_features_that_are_not_finite_are_refused_and_counted(make):
    features = clusters()
    features[[3, 4], 2] = torch.nan
    with pytest.raises(InputError, match="2 of 900 patch features hold NaN or infinite"):
        make(features, 10)


@both
def test_progress_is_shown_when_asked_for(make, capfd, monkeypatch):
    monkeypatch.setattr(learned_banks, "LONG", 0)  # else only of what takes seconds
    make(clusters(), 10, generator=seeded())
    assert capfd.readouterr().err == ""
    make(clusters(), 10, generator=seeded(), progress=True)
    assert {kmeans_centroids: "k-means", learned_proxies: "proxies"}[make] in capfd.readouterr().err

"""Maps keep planted clusters together; principal components are those of a singular value decomposition."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from analysis.projection import lay_out
from analysis.projection.layout import principal_components

CLUSTERS, EACH, WIDTH = 4, 30, 24
LABELS = np.repeat(np.arange(CLUSTERS), EACH)
BENT = ("t-SNE", "UMAP")


def planted(seed: int = 0, apart: float = 8.0) -> np.ndarray:
    """Clusters (120, 24) so far apart that none reaches into another."""
    rng = np.random.default_rng(seed)
    centres = apart * np.linalg.qr(rng.normal(size=(WIDTH, CLUSTERS)))[0].T
    return (centres[LABELS] + rng.normal(size=(len(LABELS), WIDTH))).astype(np.float32)


def nearest(positions: np.ndarray) -> np.ndarray:
    """The nearest other point of each, by brute force."""
    distances = np.square(positions[:, None] - positions[None]).sum(-1)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(1)


def test_components_are_those_of_the_singular_value_decomposition():
    features = planted()
    scores, variance = principal_components(features, 5)
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign((scores * u[:, :5]).sum(0))  # a component is one up to its sign
    assert np.allclose(scores * signs, u[:, :5] * s[:5], atol=1e-3)
    assert np.allclose(variance, (s**2 / (s**2).sum())[:5], atol=1e-6)


def test_a_map_by_pca_is_the_first_two_components():
    features = planted()
    scores, variance = principal_components(features, 2)
    found = lay_out(features, "PCA")
    assert np.array_equal(found.positions, scores)
    assert np.array_equal(found.variance, variance)


def test_on_a_map_by_pca_nothing_is_farther_apart_than_in_the_features():
    features = planted()
    there = np.linalg.norm(features[:, None] - features[None], axis=-1)
    positions = lay_out(features, "PCA").positions
    assert (np.linalg.norm(positions[:, None] - positions[None], axis=-1) <= there + 1e-4).all()


def test_all_components_are_found_where_there_are_fewer_than_wanted():
    scores, variance = principal_components(planted()[:6], 50)
    assert scores.shape == (6, 6)
    assert variance.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", BENT)
def test_the_nearest_on_the_map_is_of_the_planted_cluster(method):
    features = planted()
    positions = lay_out(features, method, neighbours=10).positions
    assert (LABELS[nearest(positions)] == LABELS).all()
    assert trustworthiness(features, positions, n_neighbors=10) > 0.85


@pytest.mark.parametrize("method", BENT)
def test_without_clusters_in_the_features_the_map_shows_none(method):
    features = planted(apart=0.0)
    positions = lay_out(features, method, neighbours=10).positions
    assert (LABELS[nearest(positions)] == LABELS).mean() < 0.5  # 0.24 by chance


@pytest.mark.parametrize("method", BENT)
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_map(method):
    features = planted()
    first, again, other = (lay_out(features, method, neighbours=10, seed=seed).positions for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    # t-SNE starts from the principal components and is then without chance, but for the start of their search
    assert method == "t-SNE" or not np.array_equal(first, other)


@pytest.mark.parametrize("method", BENT)
def test_the_number_of_neighbours_changes_the_map(method):
    few, many = (lay_out(planted(), method, neighbours=neighbours).positions for neighbours in (5, 40))
    assert not np.allclose(few, many)


def test_a_smaller_least_distance_packs_points_more_tightly():
    def step(min_dist: float) -> float:
        positions = lay_out(planted(), "UMAP", neighbours=10, min_dist=min_dist).positions
        return float(np.median(np.linalg.norm(positions - positions[nearest(positions)], axis=1)))

    assert step(0.01) < 0.5 * step(0.9)


def test_phases_are_told_in_order():
    told: list[str] = []
    lay_out(planted(), "t-SNE", neighbours=5, tell=told.append)
    assert [text.split()[0] for text in told] == ["Finding", "Placing"]
    assert "120 points with t-SNE" in told[1]


@pytest.mark.parametrize("neighbours", [1, 120])
@pytest.mark.parametrize("method", BENT)
def test_neighbours_that_cannot_be_are_refused_in_one_sentence(method, neighbours):
    with pytest.raises(ValueError, match=f"{method} of 120 images needs 2 to 119 neighbours, got {neighbours}"):
        lay_out(planted(), method, neighbours=neighbours)


def test_images_that_are_all_the_same_cannot_be_laid_out():
    with pytest.raises(ValueError, match="the same features"):
        lay_out(np.ones((20, 5), np.float32))


def test_two_images_are_too_few():
    with pytest.raises(ValueError, match="at least 3 images"):
        lay_out(planted()[:2])

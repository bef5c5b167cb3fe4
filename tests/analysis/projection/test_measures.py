"""Trustworthiness is scikit-learn's; neighbours are those of a brute-force comparison."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from analysis.projection import agreement, correlation, faithfulness, nearest_on, tower_b_share

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 12)).astype(np.float32)
NEARLY = (FEATURES[:, :2] + 0.2 * RNG.normal(size=(300, 2))).astype(np.float32)


@pytest.mark.parametrize("k", [3, 10, 40])
def test_trustworthiness_is_that_of_scikit_learn_where_all_are_asked(k):
    found = faithfulness(FEATURES, NEARLY, k=k, asked=300)
    assert found.trustworthiness == pytest.approx(trustworthiness(FEATURES, NEARLY, n_neighbors=k), abs=1e-6)
    assert (found.k, found.asked) == (k, 300)


def test_some_of_the_images_tell_nearly_the_same_as_all():
    few, all_ = (faithfulness(FEATURES, NEARLY, asked=asked).trustworthiness for asked in (150, 300))
    assert few == pytest.approx(all_, abs=0.02)


def test_shared_neighbours_are_counted_as_by_brute_force():
    def sets(vectors):
        distances = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors[None], axis=-1)
        return [set(np.argsort(row)[1:11].tolist()) for row in distances]

    both = [len(a & b) / 10 for a, b in zip(sets(FEATURES), sets(NEARLY), strict=True)]
    assert faithfulness(FEATURES, NEARLY, asked=300).shared == pytest.approx(np.mean(both), abs=1e-9)


def test_a_perfect_map_has_the_largest_values():
    found = faithfulness(FEATURES, 3 * FEATURES + 1, asked=300)
    assert (found.trustworthiness, found.shared) == (1, 1)


def test_a_random_map_has_the_values_of_chance():
    found = faithfulness(FEATURES, RNG.normal(size=(300, 2)), asked=300)
    assert found.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert found.shared == pytest.approx(found.chance, abs=0.015)


def test_distances_do_not_suffer_from_where_the_origin_is():
    far = FEATURES + np.float32(1000)
    assert faithfulness(far, NEARLY, asked=300).trustworthiness == pytest.approx(
        faithfulness(FEATURES, NEARLY, asked=300).trustworthiness, abs=1e-3
    )


def test_few_images_have_fewer_neighbours():
    assert faithfulness(FEATURES[:5], NEARLY[:5]).k == 2
    with pytest.raises(ValueError, match="from 4 images"):
        faithfulness(FEATURES[:3], NEARLY[:3])


def test_the_nearest_on_a_map_are_those_of_brute_force():
    distances = np.linalg.norm(NEARLY[:, None] - NEARLY[None], axis=-1)
    assert np.array_equal(np.sort(nearest_on(NEARLY, 4)), np.sort(np.argsort(distances)[:, 1:5]))


def test_agreement_is_counted_and_chance_is_that_of_shuffled_labels():
    labels = RNG.choice(3, 300, p=[0.6, 0.3, 0.1])
    near = nearest_on(NEARLY)
    found = agreement(labels, near)
    counted = np.mean([labels[other] == labels[i] for i, others in enumerate(near) for other in others])
    shuffled = [agreement(RNG.permutation(labels), near).found for _ in range(50)]
    assert found.found == pytest.approx(counted)
    assert found.chance == pytest.approx(np.mean(shuffled), abs=0.01)


def test_a_value_that_lies_in_order_on_the_map_correlates_with_its_surroundings_and_a_shuffled_one_does_not():
    near = nearest_on(NEARLY)
    assert correlation(NEARLY[:, 0], near) > 0.9
    assert abs(correlation(RNG.permutation(NEARLY[:, 0]), near)) < 0.2
    assert correlation(np.ones(300), near) == 0


def test_the_share_of_tower_b_is_that_of_the_second_half_of_the_units():
    features = np.array([[3, 0, 0, 4], [1, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]], np.float32)
    assert tower_b_share(features) == pytest.approx([16 / 25, 0, 1, np.nan], nan_ok=True)

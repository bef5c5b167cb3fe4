"""The leave-one-out classifier against scikit-learn's, on noise and on towers that can be told apart."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from analysis.towers.readable import left_out_scores, tower_readability

LABELS = np.repeat([0, 1], 48)


def test_the_scores_are_those_of_scikit_learn_fitted_without_each_row_in_turn():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 20.0):
        features = 3 * rng.normal(size=(30, 4)) + 5
        labels = np.repeat([0, 1], [12, 18])
        features[:, 0] += shift * labels
        standard = (features - features.mean(0)) / features.std(0)
        theirs = [
            LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=1000)
            .fit(np.delete(standard, row, 0), np.delete(labels, row))
            .decision_function(standard[row : row + 1])[0]
            for row in range(30)
        ]
        np.testing.assert_allclose(left_out_scores(features, labels), theirs, atol=1e-5)


def test_one_in_twenty_towers_is_called_readable_when_the_features_are_noise():
    rng, labels = np.random.default_rng(1), np.repeat([0, 1], 8)
    p = [tower_readability(rng.normal(size=(16, 2)), labels, rng, n_permutations=19).p_value for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.045)
    assert np.mean(p) == pytest.approx(0.525, abs=0.07)  # of 1/20, 2/20, ... 1


def test_towers_that_differ_in_one_of_eight_features_are_told_apart():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(96, 8))
    features[:, 5] += 2 * LABELS
    found = tower_readability(features, LABELS, rng, n_permutations=99)
    assert found.auc == pytest.approx(0.92, abs=0.06)  # two normal distributions 2 apart: Phi(2 / sqrt(2))
    assert found.p_value == 0.01


def test_towers_that_differ_only_in_a_combination_are_told_apart():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(96, 2))
    features[:, 1] = features[:, 0] + 0.2 * rng.normal(size=96) + 0.5 * LABELS
    assert tower_readability(features, LABELS, rng, n_permutations=99).auc > 0.85


def test_a_constant_feature_does_no_harm():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(40, 2)) + np.repeat([0, 1], 20)[:, None]
    with_constant = np.column_stack([features, np.full(40, 7.0)])
    labels = np.repeat([0, 1], 20)
    np.testing.assert_allclose(left_out_scores(with_constant, labels), left_out_scores(features, labels), atol=1e-9)


def test_features_without_a_value_are_refused():
    with pytest.raises(ValueError, match="must all be numbers"):
        tower_readability(np.full((4, 1), np.nan), np.array([0, 0, 1, 1]), np.random.default_rng(0))

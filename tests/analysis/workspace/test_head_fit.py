"""The linear head against scikit-learn on the same problem, and its honesty on images that carry no class."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from analysis.workspace import head_fit
from analysis.workspace.head_fit import check_labels, fit_head, held_out


def blobs(n: int, classes: int, width: int = 200, *, apart: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    centres = rng.normal(0, apart, (classes, width))
    labels = np.arange(n) % classes
    return np.maximum(centres[labels] + rng.normal(0, 3, (n, width)) + 1, 0).astype(np.float16), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("n", [60, 400])  # fewer and more than there are features
def test_it_is_the_logistic_regression_of_the_centred_and_scaled_features(n: int, classes: int) -> None:
    features, labels = blobs(n, classes)
    fitted = fit_head(features, labels)
    rows = features.astype(np.float64)
    centred = rows - rows.mean(0)
    model = LogisticRegression(C=fitted.strength, tol=1e-8, max_iter=10_000)
    expected = model.fit(centred / centred.std(), labels).predict_proba(centred / centred.std())
    assert np.exp(fitted.head.log_probabilities(features)) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_it_learns_classes_that_lie_apart(classes: int) -> None:
    features, labels = blobs(240, classes)
    fitted = fit_head(features[:200], labels[:200])
    assert held_out(fitted.head.log_probabilities(features[200:]), labels[200:]).accuracy > 0.9
    assert held_out(fitted.out_of_fold, labels[:200]).accuracy > 0.9
    assert np.exp(fitted.out_of_fold).sum(1) == pytest.approx(np.ones(200))


def test_no_image_is_judged_by_a_head_that_has_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_fit, "STRENGTHS", (1.0,))
    rng = np.random.default_rng(0)
    features, labels = rng.random((200, 300)).astype(np.float16), rng.integers(0, 2, 200)
    fitted = fit_head(features, labels)
    assert held_out(fitted.head.log_probabilities(features), labels).accuracy > 0.9  # it has learnt them by heart
    assert held_out(fitted.out_of_fold, labels).low < 0.5  # and knows nothing


def test_the_same_images_give_the_same_head() -> None:
    features, labels = blobs(90, 3)
    first, second = fit_head(features, labels), fit_head(features, labels)
    assert np.array_equal(first.head.weight, second.head.weight)
    assert np.array_equal(first.out_of_fold, second.out_of_fold)


def test_two_images_of_a_class_are_enough() -> None:
    features, labels = blobs(6, 3)
    fitted = fit_head(features, labels)
    assert fitted.out_of_fold.shape == (6, 3)
    assert fitted.strength == head_fit.USUAL_STRENGTH


def test_of_many_images_it_takes_some_of_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_fit, "FIT_IMAGES", 60)
    features, labels = blobs(300, 3)
    labels = np.sort(labels)
    labels[:298] = np.minimum(labels[:298], 1)  # two images of the last class
    fitted = fit_head(features, labels)
    assert np.bincount(labels[fitted.fitted]).tolist() == [20, 20, 2]
    assert len(fitted.out_of_fold) == 42


def test_classes_with_too_few_images_are_named() -> None:
    check_labels(np.array([0, 0, 1, 1]), ["cat", "dog"])
    with pytest.raises(ValueError, match=r"dog \(1\), emu \(0\)"):
        check_labels(np.array([0, 0, 1]), ["cat", "dog", "emu"])


def test_features_without_any_difference_are_no_reason_to_fail() -> None:
    fitted = fit_head(np.ones((8, 20), np.float16), np.arange(8) % 2)
    assert np.exp(fitted.head.log_probabilities(np.ones((1, 20)))[0]) == pytest.approx([0.5, 0.5], abs=1e-3)

"""Fits a linear head on fc7: multinomial logistic regression, judged on images it has not seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from analysis.stats import wilson_interval
from analysis.workspace.head import Head, HeldOut, log_softmax

FOLDS = 5  # fewer where a class has fewer images
STRENGTHS = (1e-4, 1e-3, 1e-2)  # inverse of the L2 penalty, for features of unit variance
USUAL_STRENGTH = 1e-3  # where there are too few images to choose
ENOUGH = 5  # training images of the rarest class, to choose the strength
CHOICE_IMAGES = 2000  # at most, to choose the strength
FIT_IMAGES = 20_000  # at most, to fit the head
MIN_IMAGES = 2  # training images of every class
STEPS = 2000  # of the solver, at most


class FittedHead(NamedTuple):
    """A head, and how the images it was fitted on look to heads that did not see them."""

    head: Head
    strength: float
    fitted: NDArray[np.int64]  # (m,) indices of the training images that were used
    out_of_fold: NDArray[np.float64]  # (m, classes) their log-probabilities, each from the folds it is not in


def check_labels(labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raises ``ValueError`` naming the classes with too few training images for a head."""
    counts = np.bincount(labels, minlength=len(classes))
    if rare := [f"{name} ({n})" for name, n in zip(classes, counts, strict=True) if n < MIN_IMAGES]:
        raise ValueError(
            f"A linear head needs at least {MIN_IMAGES} training images of every class beside those held out; "
            f"too few of {', '.join(rare[:5])}: add some, or leave these classes out."
        )


def fit_head(features: NDArray[np.floating], labels: NDArray[np.int64]) -> FittedHead:
    """Fit a head on training images: features (n, 4096), labels (n,) with every class `MIN_IMAGES` times or more.

    Features are centred and divided by one number, their overall standard deviation: with 10, 20 and 200 CIFAR-10
    images a class this was better than a scale for each unit, which blows up units that seldom fire. The strength is
    that of the best cross-validated likelihood. The same input gives the same head.
    """
    fitted = _spread(labels, FIT_IMAGES)
    rows, truth = features[fitted].astype(np.float32), labels[fitted]
    centre = rows.mean(axis=0)
    rows -= centre
    scale = float(rows.std()) or 1.0
    rows /= scale
    with threadpool_limits(1):  # on a busy machine more threads wait for each other a hundred times longer
        rows, turned = _turned(rows)
        model = LogisticRegression(C=_strength(rows, truth), max_iter=STEPS)
        judged = cross_val_predict(model, rows, truth, cv=_folds(truth), method="decision_function")
        model.fit(rows, truth)
    weight = _one_per_class(model.coef_.T).T @ turned / scale
    bias = _one_per_class(model.intercept_[None])[0] - weight @ centre
    return FittedHead(
        Head(weight.astype(np.float32), bias.astype(np.float32)),
        float(model.C),
        fitted,
        log_softmax(_one_per_class(judged.reshape(len(rows), -1))),
    )


def held_out(log_probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> HeldOut:
    """Accuracy of predictions (n, classes) for images with these labels, n at least 1."""
    hits = log_probabilities.argmax(axis=1) == labels
    return HeldOut(len(hits), float(hits.mean()), *wilson_interval(int(hits.sum()), len(hits)))


def _spread(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of about so many images at most, as many of every class as there are or evenly spread over it."""
    if len(labels) <= most:
        return np.arange(len(labels))
    members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    each = max(MIN_IMAGES, most // len(members))
    drawn = [rows[np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(np.int64)] for rows in members]
    return np.sort(np.concatenate(drawn))


def _turned(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows (n, 4096) in coordinates of the space that they span, (n, d), and its axes, (d, 4096), at right angles.

    An L2 penalty does not see a rotation, so the same head is found in far fewer dimensions.
    """
    if len(rows) >= rows.shape[1]:
        return rows, np.eye(rows.shape[1], dtype=np.float32)
    left, lengths, axes = svd(rows, full_matrices=False)
    return left * lengths, axes


def _strength(rows: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    some = _spread(labels, CHOICE_IMAGES)
    rows, labels = rows[some], labels[some]
    if np.bincount(labels).min() < ENOUGH:
        return USUAL_STRENGTH
    model = LogisticRegression(max_iter=STEPS)
    search = GridSearchCV(model, {"C": STRENGTHS}, scoring="neg_log_loss", cv=_folds(labels), refit=False)
    return float(search.fit(rows, labels).best_params_["C"])


def _folds(labels: NDArray[np.int64]) -> StratifiedKFold:
    return StratifiedKFold(min(FOLDS, int(np.bincount(labels).min())), shuffle=True, random_state=0)


def _one_per_class(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logits (n, classes); of two classes scikit-learn gives the second's only, the first's being 0."""
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits

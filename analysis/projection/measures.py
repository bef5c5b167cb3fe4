"""What a map can be trusted in, and what it shows, as numbers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

NEIGHBOURS = 10  # that are compared, fewer where there are few images
ASKED = 500  # images whose neighbours are compared, at most


class Faithfulness(NamedTuple):
    """How far the neighbours on a map are neighbours in the features.

    Trustworthiness (Venna and Kaski 2001, "Neighborhood preservation in nonlinear projection methods") is 1 where all
    are; one that is none costs the more, the farther down it stands among an image's neighbours in the features.
    A random map has about 0.5.
    """

    trustworthiness: float
    shared: float  # share of an image's nearest on the map that are among its nearest in the features
    chance: float  # what a random map would share
    k: int  # nearest that are compared
    asked: int  # images that this was measured at


class Agreement(NamedTuple):
    """Whether what the colours show lies together on a map."""

    found: float  # share of an image's nearest that are of its kind
    chance: float  # the same in a random map


def faithfulness(features: Floats, positions: Floats, *, k: int = NEIGHBOURS, asked: int = ASKED) -> Faithfulness:
    """Compare positions (n, 2) with features (n, d) at `asked` of the n points, evenly spread, by Euclidean distance.

    With `asked` >= n the trustworthiness is that of ``sklearn.manifold.trustworthiness``, which needs memory for all
    n^2 distances. Raises ``ValueError`` for fewer than 4 points.
    """
    n = len(features)
    if n < 4:
        raise ValueError(f"Neighbours can be compared from 4 images on, got {n}.")
    k = min(k, (n - 1) // 2)
    rows = np.unique(np.linspace(0, n - 1, min(asked, n)).astype(np.int64))
    there, here = _squared_distances(features, rows), _squared_distances(positions, rows)
    near = np.argpartition(here, k - 1, axis=1)[:, :k]
    costs = np.take_along_axis(there, near, axis=1)
    ranks = 1 + np.stack([(there < cost[:, None]).sum(1) for cost in costs.T])  # (k, m): 1 is the nearest
    too_far = np.maximum(ranks - k, 0).sum() / (len(rows) * k)
    return Faithfulness(
        trustworthiness=float(1 - too_far * 2 / (2 * n - 3 * k - 1)),
        shared=float((ranks <= k).mean()),
        chance=k / (n - 1),
        k=k,
        asked=len(rows),
    )


def nearest_on(positions: Floats, k: int = NEIGHBOURS) -> Ints:
    """The k nearest other points (n, k) of each point on a map, fewer where there are fewer."""
    k = min(k, len(positions) - 1)
    found: Ints = NearestNeighbors(n_neighbors=k).fit(positions).kneighbors(return_distance=False)
    return found


def agreement(labels: NDArray[np.integer], near: Ints) -> Agreement:
    """How many of each point's nearest (n, k) have its label (n,)."""
    n, counts = len(labels), np.unique(labels, return_counts=True)[1]
    return Agreement(
        float((labels[near] == labels[:, None]).mean()), float((counts * (counts - 1)).sum() / (n * n - n))
    )


def correlation(values: Floats, near: Ints) -> float:
    """Correlation (Pearson) between a value (n,) and its mean over the nearest (n, k); 0 where all are the same."""
    around = values[near].mean(1)
    if not (np.ptp(values) and np.ptp(around)):
        return 0.0
    return float(np.corrcoef(values, around)[0, 1])


def tower_b_share(features: Floats) -> NDArray[np.float32]:
    """Share (n,) of the energy, the sum of squares, that the second half of the units has in features (n, d); nan
    where there is no energy."""
    energy = np.einsum("ij,ij->i", features, features)
    half = features[:, features.shape[1] // 2 :]
    share = np.full(len(features), np.nan)
    np.divide(np.einsum("ij,ij->i", half, half), energy, out=share, where=energy > 0)
    return share.astype(np.float32)


def _squared_distances(vectors: Floats, rows: Ints) -> Floats:
    """Squared distances (m, n) between some vectors and all, infinite from one to itself."""
    moved = np.asarray(vectors, np.float32) - np.mean(vectors, axis=0, dtype=np.float32)  # near 0 less is rounded away
    squares = np.square(moved).sum(1)
    found = squares[rows, None] + squares - 2 * (moved[rows] @ moved.T)
    found[np.arange(len(rows)), rows] = np.inf
    return np.asarray(found)

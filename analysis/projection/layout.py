"""Places on a plane for feature vectors: by PCA, t-SNE or UMAP; the same seed gives the same places.

t-SNE and UMAP start from the first principal components, and place the points at first as the first two do, for else
the arrangement of the clusters is chance (Kobak and Linderman 2021, "Initialization is critical for preserving global
data structure in both t-SNE and UMAP", Nature Biotechnology 39).
"""

import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]
Tell = Callable[[str], None]  # of a phase that begins

Method = Literal["PCA", "t-SNE", "UMAP"]
METHODS: tuple[Method, ...] = get_args(Method)
COMPONENTS = 50  # principal components that t-SNE and UMAP start from, at most
SMALLEST = 3  # points


class Layout(NamedTuple):
    """Where the points lie, and what principal components had to do with it."""

    positions: Floats  # (n, 2)
    variance: Floats  # share of the variance on each component used: 2 for PCA, up to `COMPONENTS` for the others


def lay_out(
    features: Floats,
    method: Method = "PCA",
    *,
    neighbours: int = 30,
    min_dist: float = 0.1,
    seed: int = 0,
    tell: Tell = lambda phase: None,
) -> Layout:
    """Places (n, 2) for features (n, d).

    `neighbours` is t-SNE's perplexity (van der Maaten and Hinton 2008) or UMAP's n_neighbors (McInnes, Healy and
    Melville 2018), `min_dist` how close UMAP may put points, 0 to 1. Raises ``ValueError`` for what cannot be.
    """
    n = len(features)
    if n < SMALLEST or features.shape[1] < 2:
        raise ValueError(f"A map needs at least {SMALLEST} images and 2 features, got {features.shape}.")
    tell("Finding the principal components")
    if method == "PCA":
        return Layout(*principal_components(features, 2, seed=seed))
    if not 2 <= neighbours < n:
        raise ValueError(f"{method} of {n} images needs 2 to {n - 1} neighbours, got {neighbours}.")
    scores, variance = principal_components(features, COMPONENTS, seed=seed)
    tell(f"Placing {n:,} points with {method}")
    positions = _tsne(scores, neighbours, seed) if method == "t-SNE" else _umap(scores, neighbours, min_dist, seed)
    return Layout(positions, variance)


def principal_components(features: Floats, count: int, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Scores (n, m) on the first `count` principal components, fewer where there are fewer, and their shares of the
    variance (m,). `seed` starts the iteration, which ends at the same values. Raises ``ValueError`` where all vectors
    are the same."""
    if not np.ptp(features, axis=0).any():
        raise ValueError("All images have the same features, so that there is nothing to tell them apart by.")
    count, most = min(count, *features.shape), min(features.shape)
    pca = PCA(count, svd_solver="arpack" if count < most else "full", random_state=seed)
    scores = pca.fit_transform(features)
    return scores.astype(np.float32), pca.explained_variance_ratio_.astype(np.float32)


def _tsne(scores: Floats, perplexity: int, seed: int) -> Floats:
    with threadpool_limits(1):  # sums of several threads differ in their last bits, and each step makes more of that
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
        positions: Floats = tsne.fit_transform(scores)
    return positions


def _umap(scores: Floats, neighbours: int, min_dist: float, seed: int) -> Floats:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # that it cannot place further images
        from umap import UMAP  # seconds that pages without such a map need not wait for

        umap = UMAP(
            n_neighbors=neighbours,
            min_dist=min_dist,
            init="pca",
            random_state=seed,
            n_jobs=1,  # what a seed asks for
            precomputed_knn=_nearest(scores, neighbours),  # exact, and sooner there than its own search is compiled
            force_approximation_algorithm=True,  # to have the given neighbours used however few points there are
        )
        positions: Floats = umap.fit_transform(scores)
    return positions


def _nearest(scores: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """The `count` points nearest to each, itself among them, and their distances."""
    distances, rows = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scores).kneighbors(scores)
    return rows, distances.astype(np.float32)

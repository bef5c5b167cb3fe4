"""What an index is given: whether it is fit to be searched, and whether it is what the index was built from."""

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.retrieval.exact import LONGEST
from analysis.retrieval.metrics import Features

CHECKED = 256  # rows that features are recognised by


class RetrievalError(ValueError):
    """An index that cannot be built, opened or searched; the message is one sentence that says what to do."""


def shape_of(features: Features) -> tuple[int, int]:
    """Their shape (n, d). Raises ``RetrievalError`` if they have another or are empty."""
    if len(features.shape) != 2 or 0 in features.shape:
        raise RetrievalError(f"Features must be (n, d) with n and d of 1 or more, got {tuple(features.shape)}.")
    n, d = features.shape
    return n, d


def as_queries(queries: ArrayLike, d: int) -> NDArray[np.float32]:
    """Queries (q, d) as float32; one query may be (d,). Raises ``RetrievalError`` for others."""
    asked = np.ascontiguousarray(np.atleast_2d(np.asarray(queries)), np.float32)
    if asked.ndim != 2 or asked.shape[1] != d:
        raise RetrievalError(f"Queries must be (q, {d}) as the features are, got {np.shape(queries)}.")
    if not (np.square(asked, dtype=np.float64).sum(1) < LONGEST**2).all():
        raise RetrievalError(f"Queries must be finite and shorter than {LONGEST:g}.")
    return asked


def as_mask(rows: ArrayLike, n: int) -> NDArray[np.bool_]:
    """A mask (n,) of rows that are given as one, or by their numbers. Raises ``RetrievalError`` for rows not there."""
    given = np.asarray(rows)
    if given.dtype == np.bool_:
        if given.shape != (n,):
            raise RetrievalError(f"A mask of rows must be ({n},), got {given.shape}.")
        return given
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise RetrievalError(f"Rows must be whole numbers or a mask, got {given.dtype}.")
    given = given.astype(np.int64)
    if len(outside := given[(given < 0) | (given >= n)]):
        raise RetrievalError(f"Rows must be from 0 to {n - 1}, got {outside[0]}.")
    mask = np.zeros(n, np.bool_)
    mask[given] = True
    return mask


def fingerprint(features: Features, n: int) -> str:
    """SHA-256 of some of the first n features, spread over all of them: what others would hardly have."""
    rows = np.unique(np.linspace(0, n - 1, CHECKED).astype(np.int64))
    values = np.ascontiguousarray(features[rows], np.float32)
    return hashlib.sha256(values.tobytes()).hexdigest()


def check_same(features: Features, n: int, d: int, expected: str) -> None:
    """Raises ``RetrievalError`` unless the first n features are (n, d) and have that fingerprint."""
    m, width = shape_of(features)
    if m < n or width != d:
        raise RetrievalError(
            f"The index is of features ({n}, {d}), these are ({m}, {width}): open those, or fit again."
        )
    if fingerprint(features, n) != expected:
        raise RetrievalError("The index is of other features than these, or they have changed since: fit it again.")

"""A smaller set of images that stands for all."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def sample_rows(labels: Ints, size: int, seed: int = 0) -> Ints:
    """At most `size` rows of `labels` (n,), in order: of every class its share, to within one image.

    Which rows of a class is drawn by `seed`. Raises ``ValueError`` for a size below 1.
    """
    if size < 1:
        raise ValueError(f"A sample needs at least 1 image, got {size}.")
    n = len(labels)
    if n <= size:
        return np.arange(n)
    shuffled = np.random.default_rng(seed).permutation(n)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    evenly = ((np.arange(size) + 0.5) * n / size).astype(np.int64)
    return np.sort(by_class[evenly])

"""A sample holds its share of every class, the same for the same seed."""

import numpy as np
import pytest

from analysis.projection import sample_rows

LABELS = np.random.default_rng(0).choice(7, 3000, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.04, 0.01])


@pytest.mark.parametrize("size", [10, 100, 999, 2999])
def test_every_class_has_its_share_to_within_one_image(size):
    rows = sample_rows(LABELS, size)
    shares = size * np.bincount(LABELS) / len(LABELS)
    assert len(rows) == size
    assert np.abs(np.bincount(LABELS[rows], minlength=7) - shares).max() <= 1


def test_rows_are_in_order_and_none_comes_twice():
    assert (np.diff(sample_rows(LABELS, 500)) > 0).all()


def test_the_seed_draws_other_images_and_the_same_ones_again():
    first, again, other = (sample_rows(LABELS, 300, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert len(np.intersect1d(first, other)) < 100  # 30 by chance


def test_every_image_of_a_class_can_be_drawn():
    drawn = np.unique(np.concatenate([sample_rows(LABELS[:200], 50, seed) for seed in range(60)]))
    assert len(drawn) == 200


def test_a_small_set_is_taken_whole():
    assert sample_rows(LABELS[:40], 40).tolist() == list(range(40))


def test_no_sample_is_empty():
    with pytest.raises(ValueError, match="at least 1"):
        sample_rows(LABELS, 0)

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.benchmarks import synthetic
from analysis.benchmarks.synthetic import BLOCK, Mixer, statistics, write_vectors

CLASSES = 12


def made(n: int, d: int, seed: int = 0) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Groups of alike vectors without negative values, many zeros, units that are not alike; and their groups."""
    rng = np.random.default_rng(9)
    centres, units = rng.normal(0, 1, (CLASSES, d)), rng.uniform(0.3, 2, d)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    vectors = np.maximum(units * (centres[labels] + rng.normal(-0.5, 0.7, (n, d))), 0)
    return vectors.astype(np.float16), labels


def test_statistics_are_those_of_a_comparison_of_all_with_all() -> None:
    features, _ = made(900, 24)
    found, exact = statistics(features), features.astype(np.float64)
    assert found.zeros == pytest.approx((exact == 0).mean())
    lengths = np.linalg.norm(exact, axis=1)
    assert found.length == pytest.approx(lengths.mean(), rel=1e-5)
    assert found.length_spread == pytest.approx(lengths.std(ddof=1), rel=1e-5)
    variances = np.linalg.eigvalsh(np.cov(exact.T))[::-1]
    expected = [variances[: min(axes, 24)].sum() / variances.sum() for axes in synthetic.AXES]
    np.testing.assert_allclose(found.shares, expected, rtol=1e-4)
    distances = np.sort(np.linalg.norm(exact[:, None] - exact[None], axis=2), axis=1)
    expected = [(distances[:, k] / distances[:, (900 - 1) // 2]).mean() for k in synthetic.NEAREST]
    np.testing.assert_allclose(found.nearest, expected, rtol=1e-3)


def test_made_up_vectors_have_the_statistics_of_the_real_ones() -> None:
    features, labels = made(6000, 64)
    mixer = Mixer(features, labels)
    drawn = np.concatenate([mixer.draw(block) for block in range(12)])[:6000]
    real, made_up = statistics(features), statistics(drawn)
    for name in ("zeros", "length", "length_spread"):
        np.testing.assert_allclose(getattr(made_up, name), getattr(real, name), rtol=0.05)
    for name in ("shares", "nearest"):  # of fc7 within a tenth, of these groups not quite
        np.testing.assert_allclose(getattr(made_up, name), getattr(real, name), rtol=0.3)
    np.testing.assert_allclose((drawn == 0).mean(0), (features == 0).mean(0), atol=0.05)  # each unit
    assert not {row.tobytes() for row in drawn} & {row.tobytes() for row in features}


def test_the_same_block_gives_the_same_vectors_and_another_gives_others() -> None:
    mixer, again = (Mixer(*made(500, 16), seed=3) for _ in range(2))
    assert (mixer.draw(5) == again.draw(5)).all()
    assert (mixer.draw(5) != mixer.draw(6)).any()
    assert (mixer.draw(5) != Mixer(*made(500, 16), seed=4).draw(5)).any()


def test_a_file_whose_writing_was_broken_off_is_finished_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "KEPT", 2)
    drawn: list[int] = []

    def draw(block: int) -> NDArray[np.float16]:
        drawn.append(block)
        if len(drawn) == 6:
            raise KeyboardInterrupt
        return np.full((BLOCK, 3), block, np.float16)

    n, file = 9 * BLOCK + 7, tmp_path / "vectors.npy"
    with pytest.raises(KeyboardInterrupt):
        write_vectors(file, draw, n, 3, lambda done: None)
    assert not file.exists()
    advanced: list[int] = []
    vectors = write_vectors(file, draw, n, 3, advanced.append)
    assert (vectors[:, 0] == np.arange(n) // BLOCK).all()
    assert drawn[6:] == list(range(4, 10))
    assert advanced == [BLOCK] * 5 + [7]
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.npy"]
    with pytest.raises(ValueError, match="delete it"):
        write_vectors(file, draw, n + 1, 3, advanced.append)

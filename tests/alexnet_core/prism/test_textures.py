"""Textures: ink between 0 and 1, repeating where it should; noise that is smooth and fills its range."""

import numpy as np
import pytest
import torch

from alexnet_core.prism.textures import COARSE, FINE, INKS, LATTICE_POINTS, noise_field

CPU = torch.device("cpu")


def fields(points: int = 200) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    u, w, noise = torch.rand(3, points, points, generator=generator)
    return 6 * u - 3, 6 * w - 3, noise


@pytest.mark.parametrize("name", INKS)
def test_ink_lies_between_none_and_all_and_both_occur(name: str) -> None:
    ink = INKS[name](*fields())
    assert ink.min() >= 0
    assert ink.max() <= 1
    assert name == "plain" or (ink.min() < 0.1 and ink.max() > 0.8)
    assert 0.05 < ink.mean() < 0.6 or name == "plain"


@pytest.mark.parametrize("name", ["stripes", "checks", "dots", "waves"])
def test_a_pattern_repeats_after_a_period(name: str) -> None:
    u, w, noise = fields()
    torch.testing.assert_close(INKS[name](u + 1, w, noise), INKS[name](u, w, noise), atol=2e-5, rtol=0)


def test_checks_and_stripes_cover_half() -> None:
    for name in ("checks", "stripes"):
        assert INKS[name](*fields(600)).mean().item() == pytest.approx(0.5, abs=0.01)


def test_noise_meets_its_lattice_and_is_smooth_between() -> None:
    rng = np.random.default_rng(0)
    lattice = rng.random((2, LATTICE_POINTS))
    size = 30 * COARSE * FINE // 3
    noise = noise_field(lattice, size, CPU)[:, 0].numpy()
    coarse = lattice[:, : (COARSE + 1) ** 2].reshape(2, COARSE + 1, COARSE + 1)
    fine = lattice[:, (COARSE + 1) ** 2 :].reshape(2, FINE + 1, FINE + 1)
    shared = size // 3  # both lattices have a point at each third of the image
    expected = 0.6 * coarse[:, 2, 4] + 0.4 * fine[:, 5, 10]
    np.testing.assert_allclose(noise[:, shared, 2 * shared], expected, atol=0.01)
    assert np.abs(np.diff(noise, axis=1)).max() < 0.03
    assert noise.min() > 0
    assert noise.max() < 1
    assert noise.std() > 0.1

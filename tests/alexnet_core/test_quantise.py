"""Weights in 4 and 8 bits against a brute-force search for the nearest level."""

import pytest
import torch
from torch import Tensor

from alexnet_core.quantise import GROUP, LEVELS, SHRINKS, dequantise, quantise

BITS = (4, 8)


def weights(*shape: int, std: float = 0.01, seed: int = 0) -> Tensor:
    return std * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def round_trip(values: Tensor, bits: int) -> Tensor:
    codes, scales = quantise(values, bits)
    return dequantise(codes, scales, tuple(values.shape), bits)


def grouped(values: Tensor) -> Tensor:
    """Rows of the weights that share a scale; the last one is filled up with zeros."""
    flat = values.flatten()
    return torch.cat([flat, flat.new_zeros(-len(flat) % GROUP)]).view(-1, GROUP)


def nearest(groups: Tensor, scales: Tensor, level: int) -> Tensor:
    """Of all codes from -level to level the one whose value is nearest, tried one by one."""
    values = torch.arange(-level, level + 1) * scales[:, None]  # (groups, levels)
    best = (groups[:, :, None] - values[:, None, :]).abs().argmin(2)
    return values.gather(1, best)


@pytest.mark.parametrize("bits", BITS)
def test_every_weight_becomes_its_nearest_level(bits: int) -> None:
    values = weights(7, 40, 3)
    _, scales = quantise(values, bits)
    expected = nearest(grouped(values), scales.float(), LEVELS[bits])
    found = grouped(round_trip(values, bits))
    error, least = (found - grouped(values)).abs(), (expected - grouped(values)).abs()
    torch.testing.assert_close(error, least, rtol=1e-4, atol=1e-9)


def test_8_bits_are_off_by_half_a_step_of_the_largest_weight_at_most() -> None:
    values = weights(50, GROUP)
    step = values.abs().amax(1, keepdim=True) / 127
    assert ((round_trip(values, 8) - values).abs() <= 0.501 * step).all()


def test_4_bits_lose_about_what_an_ideal_16_level_code_would() -> None:
    values = weights(100, GROUP)
    noise = (round_trip(values, 4) - values).square().mean() / values.square().mean()
    assert 0.008 < float(noise) < 0.02  # the best uniform 16-level code of a Gaussian loses 0.0115


def test_the_scale_of_4_bits_is_the_best_of_its_grid() -> None:
    values = weights(20, GROUP)
    found = (round_trip(values, 4) - values).square().sum(1)
    widest = values.abs().amax(1) / 7
    for shrink in SHRINKS:
        other = (nearest(values, (widest * shrink).half().float(), 7) - values).square().sum(1)
        assert (found <= other * (1 + 1e-5)).all()
    assert (found < 0.9 * (nearest(values, widest.half().float(), 7) - values).square().sum(1)).any()


@pytest.mark.parametrize("bits", BITS)
def test_zero_stays_exactly_zero(bits: int) -> None:
    values = weights(3, 200)
    values[:, ::3] = 0
    values[1] = 0
    restored = round_trip(values, bits)
    assert not restored[values == 0].any()


@pytest.mark.parametrize("bits", BITS)
def test_a_negated_weight_is_stored_as_the_negative(bits: int) -> None:
    values = weights(3, 200)
    assert torch.equal(round_trip(-values, bits), -round_trip(values, bits))


@pytest.mark.parametrize("bits", BITS)
def test_weights_too_small_for_the_scale_s_format_become_zero_not_nonsense(bits: int) -> None:
    assert not round_trip(weights(2, GROUP, std=1e-9), bits).any()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("std", [1e-3, 1e-2, 10.0])
def test_the_relative_loss_is_the_same_for_weights_of_any_usual_size(bits: int, std: float) -> None:
    values = weights(20, GROUP, std=1.0)
    loss, reference = ((round_trip(scale * values, bits) / scale - values).norm() for scale in (std, 1.0))
    assert float(loss) == pytest.approx(float(reference), rel=0.02)


@pytest.mark.parametrize(("bits", "count", "size"), [(4, 256, 128), (8, 256, 256), (4, 129, 128), (8, 129, 256)])
def test_storage_is_bits_per_weight_of_whole_groups_and_a_half_per_group(bits: int, count: int, size: int) -> None:
    codes, scales = quantise(weights(count), bits)
    assert (codes.dtype, codes.numel()) == (torch.uint8, size)
    assert (scales.dtype, scales.numel()) == (torch.float16, 2)


def test_two_codes_share_a_byte_the_first_in_its_lower_half() -> None:
    values = torch.zeros(GROUP)
    values[:4] = torch.tensor([7.0, -7.0, 1.0, 3.0])
    codes, scales = quantise(values, 4)
    assert float(scales) == 1
    halves = [half - 7 for byte in codes[:2].tolist() for half in (byte % 16, byte // 16)]
    assert halves == [7, -7, 1, 3]


@pytest.mark.parametrize("shape", [(5,), (3, 7), (4, 3, 5, 5), (1, 128), (1, 129)])
@pytest.mark.parametrize("bits", BITS)
def test_any_shape_comes_back_in_float32(bits: int, shape: tuple[int, ...]) -> None:
    values = weights(*shape)
    restored = round_trip(values, bits)
    assert (restored.shape, restored.dtype) == (values.shape, torch.float32)
    assert (restored - values).norm() < (0.2 if bits == 4 else 0.01) * values.norm()


def test_memory_layout_and_gradients_do_not_matter() -> None:
    values = weights(8, 6, 5, 5)
    other = values.clone().to(memory_format=torch.channels_last).requires_grad_()
    for found, expected in zip(quantise(other, 4), quantise(values, 4), strict=True):
        assert torch.equal(found, expected)
        assert not found.requires_grad


@pytest.mark.parametrize("bits", [1, 2, 16])
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"4 or 8, got {bits}"):
        quantise(weights(10), bits)


@pytest.mark.parametrize("bits", BITS)
def test_codes_or_scales_that_do_not_fit_the_shape_are_refused(bits: int) -> None:
    codes, scales = quantise(weights(300), bits)
    for shape, torn_codes, torn_scales in (
        ((300,), codes[:-1], scales),
        ((300,), codes, scales[:-1]),
        ((400,), codes, scales),
    ):
        with pytest.raises(ValueError, match="needs"):
            dequantise(torn_codes, torn_scales, shape, bits)

"""Store weights in few bits: symmetric integers with one scale per small group of weights."""

import torch
from torch import Tensor

GROUP = 128  # weights that share one float16 scale
LEVELS = {4: 7, 8: 127}  # largest magnitude of a code; symmetric, so 0 stays exactly 0


def quantise(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes and scales of `weights`, such that ``scale * code`` is close to them.

    Returns packed codes (uint8; two 4-bit codes a byte) and float16 scales, one per `GROUP` weights in memory
    order (the last group may be padded). For 4 bits the scale of each group is the best of a grid in squared
    error, since clipping its largest weight costs less than coarse steps for all others.
    Raises ``ValueError`` for other than 4 or 8 bits.
    """
    if bits not in LEVELS:
        raise ValueError(f"bits must be 4 or 8, got {bits}.")
    flat = weights.detach().float().flatten()
    groups = torch.nn.functional.pad(flat, (0, -len(flat) % GROUP)).view(-1, GROUP)
    scales = _best_scales(groups, LEVELS[bits], shrinks=(1.0,) if bits == 8 else SHRINKS)
    codes = _round(groups, scales.float(), LEVELS[bits])
    return _pack(codes, bits), scales


SHRINKS = tuple(1.0 - 0.04 * i for i in range(13))  # 1.00 ... 0.52 of the scale that clips nothing


def dequantise(packed: Tensor, scales: Tensor, shape: tuple[int, ...], bits: int) -> Tensor:
    """Float32 weights of `shape` from what `quantise` returned.

    Raises ``ValueError`` if the number of codes or scales does not fit the shape.
    """
    count = 1
    for side in shape:
        count *= side
    groups = -(-count // GROUP)
    if scales.numel() != groups or packed.numel() * 8 != groups * GROUP * bits:
        raise ValueError(
            f"{shape} needs {groups} scales and {groups * GROUP * bits // 8} bytes of codes, "
            f"got {scales.numel()} and {packed.numel()}."
        )
    values = _unpack(packed, bits).view(groups, GROUP) * scales.float()[:, None]
    return values.flatten()[:count].view(shape)


def _best_scales(groups: Tensor, level: int, shrinks: tuple[float, ...]) -> Tensor:
    widest = groups.abs().amax(1) / level
    best, least = widest.half(), torch.full_like(widest, torch.inf)
    for shrink in shrinks:
        scales = (widest * shrink).half()
        error = (_round(groups, scales.float(), level) * scales.float()[:, None] - groups).square().sum(1)
        best, least = torch.where(error < least, scales, best), torch.minimum(error, least)
    return best


def _round(groups: Tensor, scales: Tensor, level: int) -> Tensor:
    safe = torch.where(scales > 0, scales, 1.0)
    return (groups / safe[:, None]).round().clamp(-level, level)


def _pack(codes: Tensor, bits: int) -> Tensor:
    unsigned = (codes.flatten() + LEVELS[bits]).to(torch.uint8)
    return unsigned if bits == 8 else unsigned[::2] | (unsigned[1::2] << 4)


def _unpack(packed: Tensor, bits: int) -> Tensor:
    unsigned = packed if bits == 8 else torch.stack([packed & 15, packed >> 4], 1).flatten()
    return unsigned.float() - LEVELS[bits]

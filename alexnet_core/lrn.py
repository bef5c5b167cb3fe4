"""Local response normalisation across channels (paper section 3.3) and inside a map (the authors' cnorm2).

Both are y = x * d ** -beta with d = k + scale * (sum of x^2 over a window), so one autograd function serves both.
It saves only x and computes d again in the backward pass, which is cheaper than to write and read it.

On the CPU the batch is worked through in blocks that stay in the cache. `use_compiled` replaces the arithmetic of a
block by a kernel from torch.compile: about twice as fast, after some ten seconds of compiling for every new map
size, dtype and memory format; the batch size does not matter. It is off until asked for, so that neither the app
nor a short run has to wait. CUDA tensors, a model that is itself under torch.compile, and gradients of gradients
take the same arithmetic over the whole batch at once.
"""

import logging
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_log = logging.getLogger(__name__)
_compiled_wanted = False
_BLOCK = 2**17  # elements; a handful of float32 temporaries of this size fit a core's cache


def use_compiled(enabled: bool = True) -> None:
    """Choose compiled kernels (or the eager ones again) for CPU tensors, in the whole process.

    Needs a C++ compiler. Where compiling fails, the eager path takes over and the reason goes to the debug log.
    """
    global _compiled_wanted
    _compiled_wanted = enabled


def uses_compiled() -> bool:
    """Whether compiled kernels are in use; False again once compiling has failed."""
    return _compiled_wanted


def local_response_norm(
    x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, towers: int = 1
) -> Tensor:
    """Normalise each response by its neighbours at the same place in `size` adjacent channels.

    y[c] = x[c] * (k + alpha / size * sum of x[j]^2 over j = c - size // 2 ... c + (size - 1) // 2) ** -beta

    Alpha is divided by the size, as in torch, Caffe and the authors' code; the formula as the paper prints it is
    alpha=5e-4 here. The window ends at the first and last channel and, unlike torch's, at the borders between
    towers, as it did when each GPU held its own 48 (or 128) channels.

    Parameters: x of shape (N, C, H, W), any floating dtype; below float32 the arithmetic is done in float32.
    Returns: same shape, dtype and memory format. Twice differentiable.
    Raises: TypeError if x is not floating point; ValueError if x is not four-dimensional, if `size` is not
    positive, or if C is not a multiple of `towers`.
    Source: paper section 3.3; layer.py and layers-145.cfg of the authors' code (minDiv 2, scale / size).
    """
    _check(x, size)
    if towers < 1 or x.shape[1] % towers:
        raise ValueError(f"The channels must divide evenly into towers, got {x.shape[1]} channels, towers={towers}.")
    return _normalise(x, _Norm((1,), size, alpha / size, beta, k, towers))


def map_response_norm(x: Tensor, size: int = 5, alpha: float = 1e-3, beta: float = 0.75) -> Tensor:
    """Normalise each response by its neighbours in a `size` x `size` window of the same map.

    y = x * (1 + alpha / size^2 * sum of x^2 over the window, clipped at the border of the map) ** -beta

    Parameters: x of shape (N, C, H, W), any floating dtype; below float32 the arithmetic is done in float32.
    Returns: same shape, dtype and memory format. Twice differentiable.
    Raises: TypeError if x is not floating point; ValueError if x is not four-dimensional or `size` not positive.
    Source: cnorm2 (type rnorm) of layers-145.cfg, kCNorm_fewfilter of cuda-convnet2; not in the paper.
    """
    _check(x, size)
    return _normalise(x, _Norm((1, 2), size, alpha / size**2, beta, k=1.0, towers=1))


class _Norm(NamedTuple):
    axes: tuple[int, ...]  # of a block (see _rows) along which the window extends
    size: int
    scale: float
    beta: float
    k: float
    towers: int


def _check(x: Tensor, size: int) -> None:
    if not x.is_floating_point():
        raise TypeError(f"Response normalisation needs a floating point tensor, got {x.dtype}.")
    if x.dim() != 4:
        raise ValueError(f"Response normalisation needs shape (N, C, H, W), got {tuple(x.shape)}.")
    if size < 1:
        raise ValueError(f"The window size must be at least 1, got {size}.")


def _normalise(x: Tensor, norm: _Norm) -> Tensor:
    return _ResponseNorm.apply(x, norm)  # type: ignore[no-any-return, no-untyped-call]


class _ResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, norm: _Norm) -> Tensor:
        return _blockwise(_forward, (x,), norm)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Norm], output: Tensor) -> None:
        x, ctx.norm = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _blockwise(_backward, (*ctx.saved_tensors, *gradients), ctx.norm), None


# The arithmetic of one block. In-place only on fresh temporaries, so autograd can differentiate it.


def _forward(norm: _Norm, result: Tensor, x: Tensor) -> None:
    """Result: y = x d^-beta."""
    x = _precise(x)
    result.copy_(x * _gain(_denominator(x, norm), norm.beta))


def _backward(norm: _Norm, result: Tensor, x: Tensor, gradient: Tensor) -> None:
    """Result: g d^-beta - 2 beta scale x W'(g x d^(-beta - 1)), W' the transpose of the window sum."""
    x, gradient = _precise(x), _precise(gradient)
    denominator = _denominator(x, norm)
    direct = gradient * _gain(denominator, norm.beta)
    through = (direct * x).div_(denominator)
    before, after = (norm.size - 1) // 2, norm.size // 2
    shared = _window_sum(through, norm.axes, before, after, 0.0, -2 * norm.beta * norm.scale)
    result.copy_(torch.addcmul(direct, x, shared))


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _denominator(x: Tensor, norm: _Norm) -> Tensor:
    return _window_sum(x * x, norm.axes, norm.size // 2, (norm.size - 1) // 2, norm.k, norm.scale)


def _gain(denominator: Tensor, beta: float) -> Tensor:
    if beta != 0.75:
        return denominator.pow(-beta)
    root = denominator.rsqrt()  # d^-1/2 d^-1/4 costs a fraction of pow
    return root * root.sqrt()


def _window_sum(values: Tensor, axes: tuple[int, ...], before: int, after: int, start: float, scale: float) -> Tensor:
    """Start + scale * the sum over the window that reaches `before` back and `after` ahead along each axis."""
    for axis in axes[:-1]:
        values = _slide(values, axis, before, after, 0.0, 1.0)
    return _slide(values, axes[-1], before, after, start, scale)


def _slide(values: Tensor, axis: int, before: int, after: int, start: float, scale: float) -> Tensor:
    padded = F.pad(values, (0, 0) * (values.dim() - 1 - axis) + (before, after))
    total = torch.full_like(values, start)
    for offset in range(before + after + 1):
        total.add_(padded.narrow(axis, offset, values.shape[axis]), alpha=scale)
    return total


# From tensors to blocks.

_Kernel = Callable[..., None]


def _blockwise(kernel: _Kernel, tensors: tuple[Tensor, ...], norm: _Norm) -> Tensor:
    """Fill a new tensor like the first one by `kernel`, block by block."""
    x = tensors[0]
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    result = torch.empty_like(x, memory_format=layout)
    rows = [_rows(t.contiguous(memory_format=layout), norm, channels_last) for t in (result, *tensors)]
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling() or not x.numel():
        kernel(norm, *rows)
        return result
    # One image a block under the compiler: a fixed shape, whatever the batch size.
    images = 1 if _compiled_wanted else max(1, _BLOCK * x.shape[0] // x.numel())
    step = images * (rows[0].shape[0] // x.shape[0])
    for block in zip(*(r.split(step) for r in rows), strict=True):
        _run(kernel, norm, *block)
    return result


def _rows(x: Tensor, norm: _Norm, channels_last: bool) -> Tensor:
    """View of x as images or parts of them along axis 0, and norm.axes where the window extends."""
    n, c, h, w = x.shape
    if channels_last:
        x = x.permute(0, 2, 3, 1)
    if len(norm.axes) == 2:
        return x if channels_last else x.view(n * c, h, w)
    if channels_last:
        return x.view(n * h * w * norm.towers, c // norm.towers, 1)
    return x.view(n * norm.towers, c // norm.towers, h * w)


def _run(kernel: _Kernel, norm: _Norm, result: Tensor, *tensors: Tensor) -> None:
    global _compiled_wanted
    if _compiled_wanted:
        try:
            return _compiled(kernel, result.shape, result.dtype)(norm, result, *tensors)
        except Exception as error:  # whatever stops the compiler, the same arithmetic works without it
            _compiled_wanted = False
            _log.debug("Response normalisation goes on uncompiled: %s", type(error).__name__)
    return kernel(norm, result, *tensors)


@cache
def _compiled(kernel: _Kernel, shape: torch.Size, dtype: torch.dtype) -> _Kernel:
    # torch.compile keeps at most eight variants of one code object, so every shape and dtype gets its own.
    own = FunctionType(kernel.__code__.replace(), kernel.__globals__)
    # Inductor would inline the padding into each of the window's reads, three times slower; 0 makes it store it.
    return torch.compile(own, fullgraph=True, dynamic=False, options={"realize_reads_threshold": 0})

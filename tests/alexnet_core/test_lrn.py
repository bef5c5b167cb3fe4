"""Response normalisation against float64 loops, torch's own, closed forms and the traps of the ports."""

import logging
import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import EllipsisType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet_core import lrn
from alexnet_core.lrn import local_response_norm, map_response_norm, use_compiled, uses_compiled

FORMATS = [torch.contiguous_format, torch.channels_last]
Place = tuple[EllipsisType | int, ...]
COMPILER = shutil.which(os.environ.get("CXX", "g++"))


@pytest.fixture(autouse=True)
def _eager_again() -> Iterator[None]:
    yield
    use_compiled(False)


@pytest.fixture
def fake_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """torch.compile that raises after counting how often it was asked."""
    asked: list[int] = []

    def broken(*_: object, **__: object) -> None:
        asked.append(1)
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    lrn._compiled.cache_clear()
    yield asked
    lrn._compiled.cache_clear()


def noise(*shape: int, std: float = 60.0, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * std).to(dtype)


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_()
    y = function(x)
    return y.detach(), torch.autograd.grad(y, x, gradient)[0]


def looped(
    x: Tensor, gradient: Tensor, windows: dict[Place, list[Place]], scale: float, beta: float, k: float
) -> tuple[Tensor, Tensor]:
    """Value and gradient by a loop over the places of the last axes and one over each place's window."""
    y, result = torch.zeros_like(x), torch.zeros_like(x)
    for place, window in windows.items():
        d = torch.full_like(x[place], k)
        for other in window:
            d += scale * x[other] ** 2
        y[place] = x[place] * d**-beta
        result[place] += gradient[place] * d**-beta
        for other in window:
            result[other] -= gradient[place] * x[place] * beta * d ** (-beta - 1) * 2 * scale * x[other]
    return y, result


def reach(place: int, size: int, first: int, end: int) -> range:
    """Window of one place, clipped to first ... end - 1; an even one reaches further back than ahead."""
    return range(max(first, place - size // 2), min(end, place - size // 2 + size))


def looped_lrn(
    x: Tensor, gradient: Tensor, size: int, alpha: float, beta: float, k: float, towers: int
) -> tuple[Tensor, Tensor]:
    tower = x.shape[1] // towers
    windows: dict[Place, list[Place]] = {
        (..., c): [(..., j) for j in reach(c, size, c // tower * tower, (c // tower + 1) * tower)]
        for c in range(x.shape[1])
    }
    y, result = looped(x.movedim(1, -1), gradient.movedim(1, -1), windows, alpha / size, beta, k)
    return y.movedim(-1, 1), result.movedim(-1, 1)


def looped_map_norm(x: Tensor, gradient: Tensor, size: int, alpha: float, beta: float) -> tuple[Tensor, Tensor]:
    h, w = x.shape[2:]
    windows: dict[Place, list[Place]] = {
        (..., i, j): [(..., a, b) for a in reach(i, size, 0, h) for b in reach(j, size, 0, w)]
        for i in range(h)
        for j in range(w)
    }
    return looped(x, gradient, windows, alpha / size**2, beta, 1.0)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("towers", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_lrn_and_its_gradient_equal_loops_over_channels(size: int, towers: int, layout: torch.memory_format) -> None:
    x, gradient = noise(2, 8, 3, 4), noise(2, 8, 3, 4, std=1, seed=1)
    truth = looped_lrn(x, gradient, size, 0.01, 0.75, 2.0, towers)
    ours = value_and_gradient(
        lambda t: local_response_norm(t, size, 0.01, 0.75, 2.0, towers), x.to(memory_format=layout), gradient
    )
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_map_norm_and_its_gradient_equal_loops_over_the_map_and_its_borders(
    size: int, layout: torch.memory_format
) -> None:
    x, gradient = noise(2, 3, 4, 7), noise(2, 3, 4, 7, std=1, seed=1)
    truth = looped_map_norm(x, gradient, size, 0.05, 0.75)
    ours = value_and_gradient(lambda t: map_response_norm(t, size, 0.05), x.to(memory_format=layout), gradient)
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)


def test_any_other_exponent_equals_the_loops() -> None:
    x, gradient = noise(2, 6, 3, 3), noise(2, 6, 3, 3, std=1, seed=1)
    lrn_truth = looped_lrn(x, gradient, 5, 0.01, 0.6, 1.5, 1)
    map_truth = looped_map_norm(x, gradient, 3, 0.05, 1.2)
    torch.testing.assert_close(
        value_and_gradient(lambda t: local_response_norm(t, 5, 0.01, 0.6, 1.5), x, gradient), lrn_truth
    )
    torch.testing.assert_close(value_and_gradient(lambda t: map_response_norm(t, 3, 0.05, 1.2), x, gradient), map_truth)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11])
def test_lrn_without_towers_equals_torch_for_odd_and_even_windows(size: int) -> None:
    x, gradient = noise(3, 7, 4, 5), noise(3, 7, 4, 5, std=1, seed=1)
    truth = value_and_gradient(lambda t: F.local_response_norm(t, size, 1e-2, 0.75, 2.0), x, gradient)
    torch.testing.assert_close(
        value_and_gradient(lambda t: local_response_norm(t, size, 1e-2, 0.75, 2.0), x, gradient), truth
    )


@pytest.mark.parametrize(
    ("alpha", "k", "expected"),
    [(1e-4, 2.0, 55.358), (5e-4, 2.0, 43.869), (1e-4, 1.0, 87.220)],
    ids=["the authors' code", "the paper as printed", "Caffe"],
)
def test_one_hot_channel_gives_the_closed_form_of_each_convention(alpha: float, k: float, expected: float) -> None:
    x = torch.zeros(1, 96, 2, 2)
    x[:, 40] = 100
    y = local_response_norm(x, alpha=alpha, k=k)
    torch.testing.assert_close(y[:, 40], torch.full((1, 2, 2), expected), rtol=0, atol=5e-4)
    assert y.count_nonzero() == 4


def test_tiny_responses_are_scaled_by_k_to_the_minus_beta() -> None:
    x = noise(1, 96, 3, 3, std=1e-6)
    torch.testing.assert_close(local_response_norm(x) / x, torch.full_like(x, 2**-0.75))
    torch.testing.assert_close(map_response_norm(x), x)


def test_no_response_crosses_the_border_between_towers() -> None:
    x = noise(1, 96, 3, 3)
    bumped = x.clone()
    bumped[:, 48] += 100
    changed = {
        towers: (local_response_norm(bumped, towers=towers) != local_response_norm(x, towers=towers))
        .flatten(2).any(2).nonzero()[:, 1].tolist()
        for towers in (1, 2)
    }  # fmt: skip
    assert changed == {1: [46, 47, 48, 49, 50], 2: [48, 49, 50]}


@pytest.mark.parametrize(("std", "spread"), [(2, 5e-5), (60, 0.03), (300, 0.12)])
def test_lrn_only_works_on_responses_of_the_size_that_raw_images_give(std: float, spread: float) -> None:
    x = noise(4, 96, 10, 10, std=std).relu()
    gain = (local_response_norm(x) / x)[x > 0]
    assert gain.std().item() == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("function", [lambda x: local_response_norm(x, 4, 0.5, towers=2), map_response_norm])
@pytest.mark.parametrize("layout", FORMATS)
def test_first_and_second_derivatives_pass_gradcheck(
    function: Callable[[Tensor], Tensor], layout: torch.memory_format
) -> None:
    x = noise(2, 4, 2, 3, std=2).to(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("function", [local_response_norm, map_response_norm])
@pytest.mark.parametrize("layout", FORMATS)
def test_memory_format_and_dtype_are_kept_forward_and_backward(
    function: Callable[[Tensor], Tensor], layout: torch.memory_format
) -> None:
    x = noise(2, 6, 4, 5, dtype=torch.bfloat16).to(memory_format=layout).requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y.float().square().sum(), x)
    for tensor in (y, gradient):
        assert tensor.stride() == x.stride()
        assert tensor.dtype == torch.bfloat16


@pytest.mark.parametrize("function", [local_response_norm, map_response_norm])
def test_a_slice_or_a_foreign_gradient_layout_gives_the_same_values(function: Callable[[Tensor], Tensor]) -> None:
    wide, gradient = noise(2, 12, 6, 5), noise(2, 6, 6, 5, std=1, seed=1)
    truth = value_and_gradient(function, wide[:, ::2].contiguous(), gradient)
    x = wide.requires_grad_()
    y = function(x[:, ::2])
    (whole,) = torch.autograd.grad(y, x, gradient.to(memory_format=torch.channels_last))
    torch.testing.assert_close((y.detach(), whole[:, ::2]), truth)


@pytest.mark.parametrize("layout", FORMATS)
def test_bfloat16_is_off_by_no_more_than_the_rounding_of_its_result(layout: torch.memory_format) -> None:
    x, gradient = noise(2, 12, 5, 5, dtype=torch.bfloat16), noise(2, 12, 5, 5, std=1, seed=1, dtype=torch.bfloat16)
    lrn_truth = looped_lrn(x.double(), gradient.double(), 5, 1e-4, 0.75, 2.0, 2)
    map_truth = looped_map_norm(x.double(), gradient.double(), 5, 1e-3, 0.75)
    x = x.to(memory_format=layout)
    lrn_ours = value_and_gradient(lambda t: local_response_norm(t, towers=2), x, gradient)
    map_ours = value_and_gradient(map_response_norm, x, gradient)
    for ours, truth in zip((*lrn_ours, *map_ours), (*lrn_truth, *map_truth), strict=True):
        assert torch.all((ours - truth).abs() <= 2**-8 * truth.abs())


def test_half_precision_responses_whose_squares_overflow_are_right() -> None:
    x = torch.full((1, 5, 2, 2), 1000.0, dtype=torch.float16)
    truth = 1000 * (2 + 2e-5 * 5e6) ** -0.75
    assert local_response_norm(x)[0, 2, 0, 0].item() == pytest.approx(truth, rel=2**-11)


def test_float32_stays_float32_and_exact_under_bfloat16_autocast() -> None:
    x, gradient = noise(2, 6, 4, 4, dtype=torch.float32), noise(2, 6, 4, 4, std=1, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = value_and_gradient(local_response_norm, x, gradient)
    torch.testing.assert_close(ours, value_and_gradient(local_response_norm, x, gradient), rtol=0, atol=0)


@pytest.mark.parametrize("function", [local_response_norm, map_response_norm])
@pytest.mark.parametrize("layout", FORMATS)
def test_blocks_of_images_and_a_short_last_block_change_nothing(
    function: Callable[[Tensor], Tensor], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, gradient = noise(5, 6, 4, 3).to(memory_format=layout), noise(5, 6, 4, 3, std=1, seed=1)
    alone = [value_and_gradient(function, x[i : i + 1], gradient[i : i + 1]) for i in range(5)]
    monkeypatch.setattr(lrn, "_BLOCK", 2 * 6 * 4 * 3)
    together = value_and_gradient(function, x, gradient)
    torch.testing.assert_close(together, tuple(torch.cat(parts) for parts in zip(*alone, strict=True)), rtol=0, atol=0)


def test_an_empty_batch_gives_an_empty_batch() -> None:
    assert local_response_norm(torch.empty(0, 4, 3, 3)).shape == (0, 4, 3, 3)
    assert map_response_norm(torch.empty(0, 4, 3, 3)).shape == (0, 4, 3, 3)


def test_input_and_gradient_are_left_as_they_were_and_only_the_input_is_saved() -> None:
    x, gradient = noise(2, 6, 3, 3).requires_grad_(), noise(2, 6, 3, 3, std=1, seed=1)
    before = x.detach().clone(), gradient.clone()
    y = local_response_norm(x)
    assert y.grad_fn is not None
    assert [saved is x for saved in y.grad_fn.saved_tensors] == [True]  # type: ignore[attr-defined]
    y.backward(gradient)
    torch.testing.assert_close((x.detach(), gradient), before, rtol=0, atol=0)


def test_threads_that_share_the_functions_do_not_disturb_each_other() -> None:
    inputs = [noise(3, 8, 9, 9, seed=seed) for seed in range(16)]

    def both(x: Tensor) -> tuple[Tensor, ...]:
        ones = torch.ones_like(x)
        return *value_and_gradient(local_response_norm, x, ones), *value_and_gradient(map_response_norm, x, ones)

    with ThreadPoolExecutor(4) as pool:
        for ours, truth in zip(pool.map(both, inputs), map(both, inputs), strict=True):
            torch.testing.assert_close(ours, truth, rtol=0, atol=0)


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own imports
def test_compiled_kernels_equal_the_loops_and_serve_every_batch_size() -> None:
    use_compiled()
    graphs = []
    for n in (2, 1, 5):
        x, gradient = noise(n, 8, 4, 5, dtype=torch.float32), noise(n, 8, 4, 5, std=1, seed=1, dtype=torch.float32)
        truth = looped_lrn(x.double(), gradient.double(), 5, 0.01, 0.75, 2.0, 2)
        ours = value_and_gradient(lambda t: local_response_norm(t, alpha=0.01, towers=2), x, gradient)
        torch.testing.assert_close(ours, tuple(t.float() for t in truth))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert uses_compiled()
    assert graphs[0] == graphs[1] == graphs[2] > 0


def test_without_a_working_compiler_the_eager_path_takes_over_and_says_so_once(
    fake_compiler: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    x, gradient = noise(3, 8, 4, 5), noise(3, 8, 4, 5, std=1, seed=1)
    truth = value_and_gradient(local_response_norm, x, gradient)
    use_compiled()
    with caplog.at_level(logging.DEBUG):
        ours = value_and_gradient(local_response_norm, x, gradient)
    torch.testing.assert_close(ours, truth)
    assert not uses_compiled()
    assert len(fake_compiler) == 1
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_nothing_is_compiled_until_asked_for(fake_compiler: list[int]) -> None:
    fresh = runpy.run_path(lrn.__file__)
    fresh["local_response_norm"](noise(2, 8, 4, 5))
    assert not fresh["uses_compiled"]()
    assert not fake_compiler


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("function", [local_response_norm, map_response_norm])
def test_cuda_gives_the_values_of_the_cpu(function: Callable[[Tensor], Tensor]) -> None:
    x, gradient = noise(2, 8, 5, 6, dtype=torch.float32), noise(2, 8, 5, 6, std=1, seed=1, dtype=torch.float32)
    ours = value_and_gradient(function, x.cuda(), gradient.cuda())
    torch.testing.assert_close(tuple(t.cpu() for t in ours), value_and_gradient(function, x, gradient))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: local_response_norm(torch.ones(1, 6, 2, 2), towers=4), ValueError, "6 channels, towers=4"),
        (lambda: local_response_norm(torch.ones(1, 6, 2, 2), towers=0), ValueError, "towers=0"),
        (lambda: local_response_norm(torch.ones(1, 6, 2, 2), size=0), ValueError, "at least 1, got 0"),
        (lambda: local_response_norm(torch.ones(6, 2, 2)), ValueError, r"got \(6, 2, 2\)"),
        (lambda: map_response_norm(torch.ones(6, 2, 2)), ValueError, r"got \(6, 2, 2\)"),
        (lambda: map_response_norm(torch.ones(1, 6, 2, 2), size=-1), ValueError, "at least 1, got -1"),
        (lambda: local_response_norm(torch.ones(1, 6, 2, 2, dtype=torch.uint8)), TypeError, "uint8"),
    ],
)
def test_impossible_requests_are_refused(call: Callable[[], Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

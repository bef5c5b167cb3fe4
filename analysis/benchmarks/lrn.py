"""Response normalisation across channels against torch.nn.LocalResponseNorm, forward plus backward on the CPU.

    python -m analysis.benchmarks.lrn [--threads 2] [--repeats 9] [--shape 64 96 55 55] [--channels-last] [--json]

Every way runs once per round, in turn, so that a load on the machine meets all of them; the table gives the median
over the rounds. torch has no bfloat16 LRN on the CPU, so its float32 is the baseline of both types. ReLU alone is the
floor: it reads and writes the same tensors and computes next to nothing. Errors are measured on the first eight
images, outputs and gradients, against loops over the channels in float64, as a share of the largest true value.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import trange

from alexnet_core.lrn import local_response_norm, use_compiled, uses_compiled

SIZE, ALPHA, BETA, K = 5, 1e-4, 0.75, 2.0
CHECKED = 8  # images; the loops take longer than everything else
STD = 60.0  # of conv1's responses to raw 0-255 images: small ones would leave the normalisation idle


class Way(NamedTuple):
    name: str
    dtype: torch.dtype
    function: Callable[[Tensor], Tensor]
    compiled: bool = False


class Row(NamedTuple):
    name: str
    dtype: str
    median_ms: float
    ratio: float  # baseline's median divided by this one's
    max_error: float | None  # share of the largest true value; None where there is nothing to compare (ReLU)


@dataclass(frozen=True)
class Report:
    torch_version: str
    threads: int
    shape: tuple[int, ...]
    repeats: int
    channels_last: bool  # the baseline is NCHW in any case
    rows: list[Row]


def run(shape: Sequence[int], repeats: int, *, channels_last: bool = False) -> Report:
    """Time and check every way on one random batch of shape (N, C, H, W); without a compiler two rows are missing."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * STD
    gradient = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    data = {way: _inputs(way, x, gradient, channels_last) for way in _ways()}
    data = {way: tensors for way, tensors in data.items() if _works(way, *tensors)}
    seconds: dict[Way, list[float]] = {way: [] for way in data}
    for _ in trange(repeats, desc="rounds", leave=False, disable=None):
        for way, tensors in data.items():
            seconds[way].append(_time(way, *tensors))
    medians = {way: 1000 * median(times) for way, times in seconds.items()}
    baseline = next(iter(medians.values()))
    rows = [
        Row(way.name, str(way.dtype).removeprefix("torch."), ms, baseline / ms, _error(way, *data[way]))
        for way, ms in medians.items()
    ]
    use_compiled(False)
    return Report(torch.__version__, torch.get_num_threads(), tuple(shape), repeats, channels_last, rows)


def _ours(x: Tensor) -> Tensor:
    return local_response_norm(x, SIZE, ALPHA, BETA, K)


def _ways() -> list[Way]:
    return [
        Way("torch", torch.float32, nn.LocalResponseNorm(SIZE, ALPHA, BETA, K)),
        Way("ours eager", torch.float32, _ours),
        Way("ours compiled", torch.float32, _ours, compiled=True),
        Way("ours eager", torch.bfloat16, _ours),
        Way("ours compiled", torch.bfloat16, _ours, compiled=True),
        Way("ReLU alone", torch.float32, torch.relu),
        Way("ReLU alone", torch.bfloat16, torch.relu),
    ]


def _inputs(way: Way, x: Tensor, gradient: Tensor, channels_last: bool) -> tuple[Tensor, Tensor]:
    layout = torch.channels_last if channels_last and way.name != "torch" else torch.contiguous_format
    x, gradient = (t.to(way.dtype, memory_format=layout, copy=True) for t in (x, gradient))
    return x.requires_grad_(), gradient


def _works(way: Way, x: Tensor, gradient: Tensor) -> bool:
    """Warm up, which compiles; False if that failed."""
    _forward_backward(way, x, gradient)
    return uses_compiled() == way.compiled


def _forward_backward(way: Way, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    use_compiled(way.compiled)
    y = way.function(x)
    return y.detach(), torch.autograd.grad(y, x, gradient)[0]


def _time(way: Way, x: Tensor, gradient: Tensor) -> float:
    start = perf_counter()
    _forward_backward(way, x, gradient)
    return perf_counter() - start


def _error(way: Way, x: Tensor, gradient: Tensor) -> float | None:
    if way.name == "ReLU alone":
        return None
    results = _forward_backward(way, x, gradient)
    worst, largest = [0.0, 0.0], [0.0, 0.0]
    for image in range(min(CHECKED, x.shape[0])):
        for i, truth in enumerate(brute_force(x[image].detach().double(), gradient[image].double())):
            worst[i] = max(worst[i], (results[i][image] - truth).abs().max().item())
            largest[i] = max(largest[i], truth.abs().max().item())
    return max(error / scale for error, scale in zip(worst, largest, strict=True))


def brute_force(x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Output and input gradient for one image (C, H, W) by loops over the channels, in the precision of x."""
    channels = x.shape[0]
    windows = [range(max(0, c - SIZE // 2), min(channels, c + (SIZE - 1) // 2 + 1)) for c in range(channels)]
    y, result = torch.empty_like(x), torch.zeros_like(x)
    for c, window in enumerate(windows):
        denominator = K + ALPHA / SIZE * x[window.start : window.stop].square().sum(0)
        y[c] = x[c] * denominator**-BETA
        result[c] += gradient[c] * denominator**-BETA
        through = gradient[c] * x[c] * denominator ** (-BETA - 1)
        for j in window:
            result[j] -= 2 * BETA * ALPHA / SIZE * x[j] * through
    return y, result


def table(report: Report) -> str:
    """The report as text."""
    layout = "channels_last" if report.channels_last else "NCHW"
    lines = [
        f"LRN forward + backward on {report.shape}, {layout}, median of {report.repeats}; "
        f"torch {report.torch_version}, {report.threads} thread(s)",
        f"{'':<14} {'type':<9} {'ms':>9} {'ratio':>7} {'max error':>10}",
    ]
    for row in report.rows:
        error = "" if row.max_error is None else f"{row.max_error:.1e}"
        lines.append(f"{row.name:<14} {row.dtype:<9} {row.median_ms:>9.1f} {row.ratio:>6.1f}x {error:>10}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m analysis.benchmarks.lrn", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="torch's default if left out")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--shape", type=int, nargs=4, default=[64, 96, 55, 55], metavar=("N", "C", "H", "W"))
    parser.add_argument("--channels-last", action="store_true", help="for ours and ReLU; the baseline stays NCHW")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    report = run(options.shape, options.repeats, channels_last=options.channels_last)
    if options.json:
        text = json.dumps(asdict(report) | {"rows": [row._asdict() for row in report.rows]})
    else:
        text = table(report)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

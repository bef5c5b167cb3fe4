"""Rendering Prism against the work it feeds: the forward pass of the compact network on the same images.

    python -m analysis.benchmarks.prism [--size 128] [--images 256] [--repeats 5] [--device cuda] [--json]

Rendering runs with one thread and with all, the forward pass with all; each runs once a round, in turn, so that a
load on the machine meets all of them. The table gives the median over the rounds, in images a second, and the ratio
to the forward pass: above 1, rendering on the fly is not what a reader of images waits for.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from alexnet_core.model import build_model
from alexnet_core.prism import World, draw_scenes, render

INPUT = 127  # pixels that the compact network reads
BATCH = 64  # images in a forward pass


class Row(NamedTuple):
    """One way through the same images."""

    name: str
    threads: int
    images_per_second: float
    ratio: float  # to the forward pass


@dataclass(frozen=True)
class Report:
    """Everything the table shows."""

    torch_version: str
    device: str
    size: int
    images: int
    repeats: int
    rows: list[Row]


def run(size: int, images: int, repeats: int, device: torch.device) -> Report:
    """Render and read `images` images of `size` pixels, `repeats` times each way."""
    labels, numbers = np.arange(images) % 100, np.arange(images)
    scenes = draw_scenes(World(), 0, labels, numbers, training=False)
    model = build_model(num_classes=100, input_size=INPUT).to(device).eval()
    batch = torch.zeros(BATCH, 3, INPUT, INPUT, device=device)
    threads = torch.get_num_threads()
    ways: dict[tuple[str, int], Callable[[], object]] = {
        ("draw scenes", 1): partial(draw_scenes, World(), 0, labels, numbers, training=False),
        ("render", 1): partial(render, scenes, size, device),
        ("render", threads): partial(render, scenes, size, device),
        ("forward pass", threads): partial(_forward, model, batch, images),
    }
    seconds: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for step in trange(repeats + 1, desc="rounds", leave=False, disable=None):
        for way, work in ways.items():
            took = _time(work, way[1], device)
            seconds[way] += [took] if step else []  # the first round warms up
    torch.set_num_threads(threads)
    rates = {way: images / median(times) for way, times in seconds.items()}
    forward = rates["forward pass", threads]
    rows = [Row(name, count, rate, rate / forward) for (name, count), rate in rates.items()]
    return Report(torch.__version__, str(device), size, images, repeats, rows)


@torch.inference_mode()
def _forward(model: torch.nn.Module, batch: Tensor, images: int) -> None:
    for _ in range(-(-images // len(batch))):
        model(batch)


def _time(work: Callable[[], object], threads: int, device: torch.device) -> float:
    torch.set_num_threads(threads)
    start = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - start


def table(report: Report) -> str:
    """The report as text."""
    lines = [
        f"{report.images} images of {report.size} px, median of {report.repeats}; torch {report.torch_version}, "
        f"{report.device}",
        f"{'':<14} {'threads':>7} {'images/s':>9} {'ratio':>7}",
    ]
    lines += [
        f"{row.name:<14} {row.threads:>7} {row.images_per_second:>9,.0f} {row.ratio:>6.2f}x" for row in report.rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how fast Prism is rendered."""
    parser = argparse.ArgumentParser(prog="python -m analysis.benchmarks.prism", description=main.__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    report = run(options.size, options.images, options.repeats, torch.device(options.device))
    if options.json:
        text = json.dumps(asdict(report) | {"rows": [row._asdict() for row in report.rows]})
    else:
        text = table(report)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()

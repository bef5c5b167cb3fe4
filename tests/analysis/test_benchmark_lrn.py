"""The LRN benchmark on a tiny batch: rows with numbers, errors that catch a wrong answer; never timings."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet_core import lrn
from analysis.benchmarks import lrn as benchmark

SHAPE = [2, 6, 4, 5]


@pytest.fixture(autouse=True)
def _instant_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch.compile that gives the function back: the benchmark's wiring is tested here, not the compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    lrn._compiled.cache_clear()
    yield
    lrn._compiled.cache_clear()
    lrn.use_compiled(False)


def test_every_way_yields_a_row_with_numbers() -> None:
    report = benchmark.run(SHAPE, repeats=2)
    assert [(row.name, row.dtype) for row in report.rows] == [
        ("torch", "float32"),
        ("ours eager", "float32"),
        ("ours compiled", "float32"),
        ("ours eager", "bfloat16"),
        ("ours compiled", "bfloat16"),
        ("ReLU alone", "float32"),
        ("ReLU alone", "bfloat16"),
    ]
    assert all(row.median_ms > 0 and row.ratio > 0 for row in report.rows)
    assert report.rows[0].ratio == 1
    assert not lrn.uses_compiled()
    limits = {"float32": 1e-6, "bfloat16": 2**-8}
    assert all(0 < row.max_error < limits[row.dtype] for row in report.rows if row.max_error is not None)


def test_a_wrong_answer_shows_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        return torch.nn.functional.local_response_norm(x.float(), size, alpha, beta, k=1.0).to(x)

    monkeypatch.setattr(benchmark, "local_response_norm", wrong)
    rows = benchmark.run(SHAPE, repeats=1).rows
    errors = {row.name: row.max_error for row in rows if row.dtype == "float32" and row.max_error is not None}
    assert errors["torch"] < 1e-6 < 0.1 < errors["ours eager"]


def test_brute_force_equals_torch_in_float64() -> None:
    x = torch.randn(1, 7, 3, 3, dtype=torch.float64) * 60
    gradient = torch.randn_like(x)
    leaf = x.clone().requires_grad_()
    y = torch.nn.functional.local_response_norm(leaf, 5, 1e-4, 0.75, 2.0)
    truth = y.detach()[0], torch.autograd.grad(y, leaf, gradient)[0][0]
    torch.testing.assert_close(benchmark.brute_force(x[0], gradient[0]), truth)


def test_without_a_compiler_the_compiled_rows_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: Callable[..., Any], **_: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    names = {row.name for row in benchmark.run(SHAPE, repeats=1).rows}
    assert names == {"torch", "ours eager", "ReLU alone"}


@pytest.mark.parametrize("channels_last", [False, True])
def test_json_is_one_object_with_the_rows(channels_last: bool, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--shape", *map(str, SHAPE), "--repeats", "1", "--json", *["--channels-last"] * channels_last]
    benchmark.main(options)
    report = json.loads(capsys.readouterr().out)
    assert report["shape"] == SHAPE
    assert report["channels_last"] is channels_last
    assert report["threads"] == torch.get_num_threads()
    assert len(report["rows"]) == 7


def test_table_has_a_line_for_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--shape", *map(str, SHAPE), "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert f"torch {torch.__version__}" in lines[0]
    assert len(lines) == 2 + 7
    assert all("x" in line and ("float32" in line or "bfloat16" in line) for line in lines[2:])

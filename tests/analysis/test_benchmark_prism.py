"""The Prism benchmark: every way is timed on the images that were asked for, and the numbers agree."""

import json

import pytest
import torch

from analysis.benchmarks import prism


def test_ratios_are_the_rates_against_the_forward_pass() -> None:
    report = prism.run(32, 20, 2, torch.device("cpu"))
    forward = next(row for row in report.rows if row.name == "forward pass")
    assert forward.ratio == 1
    for row in report.rows:
        assert row.images_per_second > 0
        assert row.ratio == pytest.approx(row.images_per_second / forward.images_per_second)


def test_a_rate_is_images_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prism, "_time", lambda work, threads, device: 0.5)
    assert {row.images_per_second for row in prism.run(16, 10, 3, torch.device("cpu")).rows} == {20.0}


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--size", "16", "--images", "4", "--repeats", "1", "--device", "cpu"]
    prism.main(options)
    assert "render" in capsys.readouterr().out
    prism.main([*options, "--json"])
    assert json.loads(capsys.readouterr().out)["images"] == 4

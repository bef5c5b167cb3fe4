"""The benchmark of errors: the simulated predictions are what a network's would be, and everything is timed."""

import json
import math

import numpy as np
import pytest

from analysis.benchmarks import errors
from analysis.benchmarks.errors import simulate
from analysis.predictions import COLUMNS, TOP, about


@pytest.mark.parametrize("classes", [2, 3, 10, 11, 200])
def test_simulated_columns_agree_with_each_other(classes: int) -> None:
    table = simulate(200, classes, np.random.default_rng(0))
    k = min(TOP, classes)
    assert table.schema.equals(COLUMNS)
    assert len(about(table).classes) == classes
    for i, row in enumerate(table.to_pylist()):
        top, p = row["top_classes"], row["top_probabilities"]
        others = max(1 - sum(p), 0) / (classes - k) if classes > k else 0
        assert (row["id"], row["path"], row["guess"]) == (i, f"val/{i}", top[0])
        assert row["confidence"] == p[0]
        assert len(set(top)) == len(top) == k
        assert all(0 <= label < classes for label in (*top, row["label"]))
        assert p == sorted(p, reverse=True)
        if row["label"] in top:
            assert row["rank"] == top.index(row["label"])
            assert row["probability"] == p[row["rank"]]
        else:
            assert k <= row["rank"] < classes
            assert row["probability"] == pytest.approx(others, rel=1e-3)
        assert row["loss"] == pytest.approx(-math.log(row["probability"]), rel=1e-5, abs=1e-6)
        assert row["margin"] == pytest.approx(row["probability"] - p[row["rank"] == 0], abs=1e-6)
        every = [*p, *[others] * (classes - k)]
        assert row["entropy"] == pytest.approx(-sum(q * math.log(q) for q in every if q > 1e-6), rel=1e-2, abs=2e-5)


def test_the_truth_is_at_each_place_as_often_as_its_probability_says() -> None:
    table = simulate(100_000, 50, np.random.default_rng(1))
    p = np.stack(table["top_probabilities"].to_numpy())
    ranks = table["rank"].to_numpy()
    for place in range(10):
        assert np.mean(ranks == place) == pytest.approx(p[:, place].mean(), abs=0.006)


def test_the_same_generator_gives_the_same_table() -> None:
    first, second, other = (simulate(50, 20, np.random.default_rng(seed)) for seed in (2, 2, 3))
    assert first.equals(second)
    assert not first.equals(other)


def test_one_class_leaves_nothing_to_guess() -> None:
    with pytest.raises(ValueError, match="fewer than two classes"):
        simulate(5, 1, np.random.default_rng(0))


def test_the_median_of_the_times_and_the_peak_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.3, 0.1, 0.2])
    monkeypatch.setattr(errors, "_works", lambda table, other: {"fill": lambda: np.zeros(2**20)})
    monkeypatch.setattr(errors, "_time", lambda work: next(seconds))
    (row,) = errors.run([10], 5, 3).rows
    assert row[:3] == ("fill", 10, pytest.approx(200))
    assert row.peak_mb == pytest.approx(8, rel=0.01)


def test_the_peak_counts_what_arrow_allocates() -> None:
    table = simulate(100_000, 5, np.random.default_rng(0))
    assert errors._peak(lambda: table.take(np.arange(len(table)))) > 0.9 * table.nbytes


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rows", "60", "90", "--classes", "30", "--repeats", "1"]
    errors.main(options)
    assert "select 'top-5 wrong'" in capsys.readouterr().out
    errors.main([*options, "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["rows"] for row in rows} == {60, 90}
    assert len({row["name"] for row in rows}) == len(rows) / 2

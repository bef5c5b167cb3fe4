"""The benchmark of retrieval on a few vectors: rows with numbers, and a recall that catches a wrong answer."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import analysis.retrieval.choose as choose
from analysis.benchmarks import retrieval as benchmark
from analysis.retrieval import Hits, Index
from analysis.retrieval import index as index_module
from tests.analysis.test_benchmark_synthetic import made

D = 32


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "FLAT_VALUES", 0)  # no set so small that exact search is chosen
    monkeypatch.setattr(choose, "DIMENSIONS", 16)
    monkeypatch.setattr(index_module, "FEW_BYTES", 0)
    monkeypatch.setattr(benchmark, "KEPT", 16)
    monkeypatch.setattr(benchmark, "SAMPLE", 1024)
    monkeypatch.setattr(benchmark, "STREAMED", 300)


@pytest.fixture
def real() -> benchmark.Real:
    features, labels = made(600, D)
    return benchmark.Real("small", features, labels, made(300, D, seed=1)[0].astype(np.float32))


def test_every_library_finds_what_is_nearest(real: benchmark.Real) -> None:
    table = benchmark.peers(real)
    names = [row.name.split()[0] for row in table.rows]
    others = ["usearch"] if find_spec("usearch") else []
    assert names == ["scikit-learn", "FAISS", *others, "ours,", "ours,"]
    for row in table.rows:
        assert row.recall >= (1 if row.name == benchmark.EXACT else 0.9)
        assert min(row.single_ms, row.batch_ms) > 0
    assert table.rows[0].memory_mb == pytest.approx(600 * D * 4 / 1e6)
    assert table.rows[-2].memory_mb < table.rows[-1].memory_mb


def test_without_usearch_the_table_is_one_shorter(real: benchmark.Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    assert len(benchmark.peers(real).rows) == 4


def test_a_wrong_answer_shows_in_the_recall(real: benchmark.Real, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(vectors: np.ndarray) -> tuple[benchmark.Search, float]:
        return lambda queries, k: Hits(np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k))), 0

    monkeypatch.setattr(benchmark, "_faiss", wrong)
    assert benchmark.peers(real).rows[1].recall < 0.2


def test_made_up_vectors_are_searched_in_memory_and_on_disk(real: benchmark.Real, tmp_path: Path) -> None:
    table = benchmark.million(real, 2000, tmp_path)
    streamed, exact, ours = table.rows
    assert streamed.recall == exact.recall == 1
    assert ours.recall >= 0.9
    assert (ours.name, ours.disk_mb) == ("ours, PCA16,IVF128,SQ8", 0)
    assert [one.name for one in table.likeness][:2] == ["share of zeros", "length, mean"]
    table = benchmark.ten_million(real, 3000, tmp_path)
    assert table.rows[-1].recall >= 0.9
    assert table.rows[-1].disk_mb == pytest.approx(3000 * (16 + 8) / 1e6)
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.endswith(("work", ".lock"))) == [
        "index-2000",
        "index-projected-3000",
        "projected-3000.npy",
        "vectors-2000.npy",
    ]


def test_what_is_there_is_not_made_again(real: benchmark.Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = benchmark.million(real, 2000, tmp_path)
    monkeypatch.setattr(Index, "save", lambda *_: pytest.fail("The index was there."))
    monkeypatch.setattr(benchmark.Mixer, "draw", _fails_for_blocks(benchmark.Mixer.draw))
    assert benchmark.million(real, 2000, tmp_path).rows[-1].build_s == first.rows[-1].build_s


def _fails_for_blocks(draw):  # type: ignore[no-untyped-def]
    def guarded(mixer, block, *count):  # type: ignore[no-untyped-def]
        assert block >= benchmark.HELD_OUT, "The vectors were there."
        return draw(mixer, block, *count)

    return guarded


def test_queries_are_of_another_split_than_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.arange(900, dtype=np.float16)[:, None]
    splits = {"train": SimpleNamespace(count=500), "val": SimpleNamespace(count=400)}
    store = SimpleNamespace(splits=splits, split=lambda name: SimpleNamespace(labels=np.zeros(500)))
    workspace = SimpleNamespace(name="small", dataset="set", splits=("train", "val"))
    monkeypatch.setattr(benchmark, "find_workspace", lambda name, home: workspace)
    monkeypatch.setattr(benchmark, "open_dataset", lambda name, home: store)
    monkeypatch.setattr(benchmark, "open_features", lambda workspace: features)
    real = benchmark.real_features("small", 100)
    assert real.features.max() == 99
    assert (len(real.labels), len(real.queries)) == (100, 300)
    assert (real.queries.min(), real.queries.max()) == (500, 899)
    workspace.splits = ("val",)
    with pytest.raises(ValueError, match="only 'val'"):
        benchmark.real_features("small")


def test_the_command_prints_a_table_or_json(
    real: benchmark.Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "real_features", lambda *_: real)
    common = ["--folder", str(tmp_path), "--n", "1500", "--parts", "million"]
    benchmark.main(common)
    printed = capsys.readouterr().out
    assert "1,500 made-up vectors like those of small, 32 values" in printed
    assert "share of zeros" in printed
    assert f"{1:>7,.1f}x {1:>7,.1f}x" in printed  # exact search against itself
    benchmark.main([*common, "--json"])
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["rows"][1]["name"] == benchmark.EXACT


def test_a_workspace_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    with pytest.raises(SystemExit):
        benchmark.main(["nowhere"])
    assert "nowhere" in capsys.readouterr().err

from pathlib import Path

import numpy as np
import pytest

import analysis.retrieval.choose as module
from analysis.retrieval import Index, choose_index


def test_small_sets_are_searched_exactly_and_it_says_how_long_that_takes() -> None:
    choice = choose_index(100_000, 4096)
    assert choice.kind == "flat"
    assert "100,000 vectors of 4,096 takes about 82 ms" in choice.reason


def test_a_million_vectors_get_an_index_that_fits_the_memory() -> None:
    choice = choose_index(1_000_000, 4096, memory=400_000_000)
    assert choice.kind == "PCA256,IVF4096,SQ8"
    assert choice.bytes is not None
    assert choice.bytes <= 400_000_000
    assert "of the 400 MB allowed" in choice.reason


def test_less_memory_gives_shorter_codes_until_there_are_none() -> None:
    kinds = [choose_index(1_000_000, 4096, memory=memory).kind for memory in (300_000_000, 150_000_000, 80_000_000)]
    assert [kind.rpartition(",")[2] for kind in kinds] == ["SQ8", "PQ64np", "PQ32np"]
    with pytest.raises(ValueError, match=r"at least .* MB, allowed are 1\.0 MB"):
        choose_index(1_000_000, 4096, memory=1_000_000)


def test_nothing_may_be_missed_means_exact_search_at_any_size() -> None:
    choice = choose_index(10_000_000, 4096, recall=1)
    assert choice.kind == "flat"
    assert "nothing may be missed" in choice.reason


def test_few_dimensions_are_kept_as_they_are() -> None:
    assert choose_index(10_000_000, 256).kind == "IVF16384,SQ8"
    assert choose_index(100_000_000, 10, memory=10**10).kind == "IVF32768,SQ8"  # 10 cannot be cut in fours


def test_the_expected_bytes_are_those_that_are_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "DIMENSIONS", 16)
    monkeypatch.setattr(module, "FLAT_VALUES", 0)
    features = np.random.default_rng(0).normal(size=(4000, 24)).astype(np.float32)
    for index in (Index(memory=300_000), Index(memory=100_000, on_disk=True)):
        index.fit(features, queries=features[:20], work=tmp_path if index.on_disk else None)
        assert index.choice_.kind == "PCA16,IVF256,SQ8"
        assert index.choice_.bytes == pytest.approx(index.measured_.bytes, rel=0.1)


def test_lists_on_disk_take_no_memory() -> None:
    choice = choose_index(10_000_000, 256, memory=200_000_000, on_disk=True)
    assert choice.kind == "IVF16384,SQ8"
    assert choice.bytes == 4 * 256 * 16384 + 10_000_000 * (4 + 8 + 1)
    with pytest.raises(ValueError, match="at least"):
        choose_index(10_000_000, 256, memory=200_000_000)

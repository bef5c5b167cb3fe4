import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import Index, RetrievalError, read_manifest, saved
from tests.analysis.retrieval.conftest import N


@pytest.fixture(scope="module")
def index(features: NDArray[np.float16]) -> Index:
    """Read-only."""
    return Index("PCA12,IVF16,SQ8", metric="cosine", memory=10**6, recall=0.9, seed=5).fit(features, source="fc7")


def test_an_opened_index_is_the_one_that_was_saved(
    index: Index, features: NDArray[np.float16], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    index.save(tmp_path / "a" / "index")
    opened = Index.open(tmp_path / "a" / "index", features, source="fc7")
    for field in ("kind", "metric", "memory", "recall", "seed", "choice_", "tuning_", "measured_", "explanation"):
        assert getattr(opened, field) == getattr(index, field)
    for mine, other in zip(opened.search(queries, 20), index.search(queries, 20), strict=True):
        assert (mine == other).all()
    assert read_manifest(tmp_path / "a" / "index").measured == index.measured_


def test_an_index_opens_with_features_that_have_grown(
    features: NDArray[np.float16], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    Index("flat").fit(features[:1000]).save(tmp_path / "index")
    opened = Index.open(tmp_path / "index", features)
    assert opened.search(queries, 1000).rows.max() == 999
    assert opened.add(features).search(queries, N).rows.max() == N - 1


def test_what_is_missing_stale_or_another_is_refused(
    index: Index, features: NDArray[np.float16], tmp_path: Path
) -> None:
    with pytest.raises(RetrievalError, match="There is no index in"):
        Index.open(tmp_path / "nowhere", features)
    index.save(tmp_path / "index")
    with pytest.raises(RetrievalError, match="of 'fc7', not 'pool5'"):
        Index.open(tmp_path / "index", features, source="pool5")
    changed = features.copy()
    changed[0, 0] += 1
    with pytest.raises(RetrievalError, match="have changed since"):
        Index.open(tmp_path / "index", changed)
    with pytest.raises(RetrievalError, match="fit again"):
        Index.open(tmp_path / "index", features[:100])
    manifest = tmp_path / "index" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"version": 99}))
    with pytest.raises(RetrievalError, match="version 99"):
        Index.open(tmp_path / "index", features)


def test_a_damaged_byte_anywhere_is_noticed(index: Index, features: NDArray[np.float16], tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index.save(folder)
    for file in sorted(folder.glob("0*")):
        whole = file.read_bytes()
        for spoilt in (whole[:-1], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], b""):
            file.write_bytes(spoilt)
            with pytest.raises(RetrievalError, match="is damaged"):
                Index.open(folder, features)
        file.unlink()
        with pytest.raises(RetrievalError, match="is damaged"):
            Index.open(folder, features)
        file.write_bytes(whole)
    for spoilt in (b"", b"{", b"[]", b'{"version": 2}', b'{"version": 2, "name": "000001", "sha256": {}}'):
        (folder / "manifest.json").write_bytes(spoilt)
        with pytest.raises(RetrievalError, match="is damaged"):
            Index.open(folder, features)


@pytest.mark.parametrize("step", ["_write_arrays", "write_json"])
def test_a_save_that_fails_leaves_the_old_index(
    step: str, index: Index, features: NDArray[np.float16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    folder = tmp_path / "index"
    Index("flat").fit(features).save(folder)
    with monkeypatch.context() as patch:
        patch.setattr(saved, step, fail)
        with pytest.raises(OSError, match="No space"):
            index.save(folder)
    assert Index.open(folder, features).kind == "flat"
    index.save(folder)
    assert Index.open(folder, features).kind == index.kind
    assert len(list(folder.iterdir())) == 3  # nothing of the others


def test_an_index_whose_save_is_killed_at_random_moments_is_the_old_or_the_new_one() -> None:
    command = [sys.executable, "-m", "tests.analysis.retrieval.kill_save", "--times", "8"]
    run = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("killed after") == 8

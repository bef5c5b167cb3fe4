from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import METRICS, Index, Metric, RetrievalError, codes, lists
from analysis.retrieval.lists import load_faiss
from tests.analysis.retrieval.conftest import D, N
from tests.analysis.retrieval.test_codes import codes_of

KINDS = ["PCA12,IVF16,SQ8", "IVF16,Flat", "RR24,IVF8,PQ6x4np"]


@pytest.fixture(autouse=True)
def _small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "BLOCK", 400)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_lists_on_disk_find_what_lists_in_memory_find(
    kind: str, metric: Metric, features: NDArray[np.float16], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    if kind != KINDS[0] and metric != "euclidean":
        return
    index = Index(kind, metric=metric).fit(features[:1200])
    disk = Index(kind, metric=metric, on_disk=True).fit(features[:1200], work=tmp_path / "work")
    disk.tuning_ = index.tuning_
    allowed = np.arange(N) % 3 == 0

    def check() -> None:
        for mask in (None, allowed[: len(index.live_)]):
            for mine, other in zip(
                disk.search(queries, 30, allowed=mask), index.search(queries, 30, allowed=mask), strict=True
            ):
                assert (mine == other).all()

    check()
    for features_now in (features[:1300], features):
        index.add(features_now)
        disk.add(features_now)
        check()
    for _ in range(2):  # what is opened can be saved again
        disk.save(tmp_path / "index")
        disk = Index.open(tmp_path / "index", features)
        check()
    assert len(list((tmp_path / "index").iterdir())) == 4


def test_codes_on_disk_are_not_in_memory(features: NDArray[np.float16], tmp_path: Path) -> None:
    index = Index("IVF16,Flat").fit(features, queries=features[:50])
    disk = Index("IVF16,Flat", on_disk=True).fit(features, queries=features[:50], work=tmp_path)
    assert disk.measured_.disk_bytes == N * (4 * D + 8)
    assert index.measured_.disk_bytes == 0
    assert disk.measured_.bytes == pytest.approx(index.measured_.bytes - N * (4 * D + 8), rel=0.03)
    assert f"MB in memory, {N * (4 * D + 8) / 1e6:.1f} MB on disk" in disk.explanation


def test_a_damaged_byte_in_the_lists_is_noticed(features: NDArray[np.float16], tmp_path: Path) -> None:
    Index("IVF16,SQ8", on_disk=True).fit(features, work=tmp_path / "work").save(tmp_path / "index")
    file = next((tmp_path / "index").glob("*.lists"))
    whole = file.read_bytes()
    file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(RetrievalError, match="is damaged"):
        Index.open(tmp_path / "index", features)


@pytest.mark.parametrize("kind", ["HNSW16", "IVF16,PQ6x4fsr", "SQ8"])
def test_kinds_whose_lists_cannot_be_on_disk_are_refused(
    kind: str, features: NDArray[np.float16], tmp_path: Path
) -> None:
    with pytest.raises(RetrievalError, match=r"need a kind with 'IVF'|cannot leave the lists"):
        Index(kind, on_disk=True).fit(features, work=tmp_path)


def test_lists_on_disk_need_a_folder_and_exact_search_has_none(features: NDArray[np.float16]) -> None:
    with pytest.raises(RetrievalError, match="a folder to work in"):
        Index("IVF16,SQ8", on_disk=True).fit(features)
    assert Index(on_disk=True).fit(features).choice_.kind == "flat"


def test_lists_of_several_sources_are_written_one_after_the_other(
    features: NDArray[np.float16], tmp_path: Path
) -> None:
    faiss, index = load_faiss(), codes_of("IVF4,Flat", features).index
    sources = []
    for rows in (np.arange(100), np.arange(100, 130)):
        block = faiss.clone_index(index)
        block.reset()
        block.add_with_ids(features[rows].astype(np.float32), rows)
        sources.append(block)
    sizes = lists.write_lists(tmp_path / "lists", [lists.lists_of(block).invlists for block in sources])
    nearest = index.quantizer.search(features[:130].astype(np.float32), 1)[1].ravel()
    assert sizes.tolist() == np.bincount(nearest, minlength=4).tolist()
    written = (tmp_path / "lists").read_bytes()
    for number, size in enumerate(sizes.astype(int)):
        start = int(sizes[:number].sum()) * (4 * D + 8)
        vectors = np.frombuffer(written, np.float32, size * D, start).reshape(size, D)
        ids = np.frombuffer(written, np.int64, size, start + 4 * D * size)
        assert (ids == np.flatnonzero(nearest == number)).all()
        assert (vectors == features[ids]).all()


class FakeGpu:
    """FAISS as it is where there is a GPU, which is a copy on the CPU."""

    def __init__(self, able: bool) -> None:
        self.able, self.searches, self.copies = able, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(load_faiss(), name)

    def get_num_gpus(self) -> int:
        return 1

    def StandardGpuResources(self) -> object:
        return object()

    def index_cpu_to_gpu(self, resources: object, device: int, index: Any) -> Any:
        if not self.able:
            raise RuntimeError("not implemented")
        self.copies += 1
        copy = load_faiss().clone_index(index)

        def search(vectors: NDArray[np.float32], count: int, params: Any) -> Any:
            self.searches += 1
            return copy.search(vectors, count, params=params)

        return SimpleNamespace(search=search)


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_searches_a_copy_that_is_renewed_and_filters_stay_on_the_cpu(
    able: bool, features: NDArray[np.float16], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, some = FakeGpu(able), codes_of("PCA12,IVF16,SQ8", features, np.arange(1000))
    expected = some.candidates(queries, 20, 4)
    again = codes_of("PCA12,IVF16,SQ8", features, np.arange(1000))
    monkeypatch.setattr(lists, "load_faiss", lambda: fake)
    for _ in range(2):
        assert (again.candidates(queries, 20, 4) == expected).all()
    assert (fake.searches, fake.copies) == ((2, 1) if able else (0, 0))
    allowed = np.arange(N) % 2 == 0
    assert (again.candidates(queries, 20, 4, allowed) == some.candidates(queries, 20, 4, allowed)).all()
    assert again.candidates(queries, 1000, 4000).shape == (len(queries), 1000)
    assert fake.searches == (2 if able else 0)
    again.add(features, np.arange(1000, N))
    some.add(features, np.arange(1000, N))
    assert (again.candidates(queries, 20, 4) == some.candidates(queries, 20, 4)).all()
    assert (fake.searches, fake.copies) == ((4, 3) if able else (0, 0))  # that of each is renewed

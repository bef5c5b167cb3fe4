"""FAISS's inverted lists: merged from blocks, in a file where they need not be in memory, and a copy on a GPU."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

GPU_MOST = 2048  # lists to probe and vectors to find that FAISS can do on a GPU


def load_faiss() -> Any:
    """The module: loading it takes a moment, which nobody need wait for who only imports, and its types are partial."""
    return import_module("faiss")


def lists_of(index: Any) -> Any:
    """The part of an index that has lists that can be merged and lie in a file, ``None`` if it has none."""
    faiss = load_faiss()
    found = faiss.try_extract_index_ivf(index)
    return None if found is None or isinstance(faiss.downcast_index(found), faiss.IndexIVFFastScan) else found


def write_lists(file: Path, sources: Sequence[Any]) -> NDArray[np.uint64]:
    """Write the lists of several sources as one: of each list the codes, then the ids; how long each is."""
    faiss = load_faiss()
    lists, width = sources[0].nlist, sources[0].code_size
    sizes = np.array([[int(source.list_size(number)) for source in sources] for number in range(lists)], np.uint64)
    with file.open("wb") as opened:
        for number, row in enumerate(sizes):
            there = [(source, int(size)) for source, size in zip(sources, row, strict=True) if size]
            for source, size in there:
                opened.write(faiss.rev_swig_ptr(source.get_codes(number), size * width))
            for source, size in there:
                opened.write(faiss.rev_swig_ptr(source.get_ids(number), size))
    return np.ascontiguousarray(sizes.sum(1))


class DiskLists:
    """Lists in a file that is mapped, put into an index; vectors added later are in memory until all are written."""

    def __init__(self, index: Any, file: Path, sizes: NDArray[np.uint64]) -> None:
        """Of an index that has learned and is empty, the file that `write_lists` wrote, and what it returned."""
        faiss = load_faiss()
        self.index, self.sizes = index, sizes
        self.empty, self._later = faiss.clone_index(index), faiss.clone_index(index)
        place = lists_of(index)
        self._file = faiss.OnDiskInvertedLists(place.nlist, place.code_size, str(file))
        self._file.read_only, self._file.totsize = True, file.stat().st_size
        self._file.set_all_lists_sizes(faiss.swig_ptr(sizes))
        if self._file.totsize:
            self._file.do_mmap()
        self._use(self._file)
        self._count()

    @property
    def sources(self) -> list[Any]:
        """What is to be written."""
        return [self._file, lists_of(self._later).invlists]

    @property
    def bytes(self) -> tuple[int, int]:
        """In the file, and in memory; the latter without what the index has learned."""
        return int(self._file.totsize), int(self._later.ntotal * (self._file.code_size + 8))

    def add(self, vectors: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Add vectors (m, r), in memory."""
        self._later.add_with_ids(vectors, ids)
        if self._read is self._file:
            faiss = load_faiss()
            self._pointers = faiss.InvertedListsPtrVector()
            for source in self.sources:
                self._pointers.push_back(source)
            self._use(faiss.HStackInvertedLists(len(self.sources), self._pointers.data()))
        self._count()

    def _use(self, lists: Any) -> None:
        """Let the index read these; it does not own them, so they are kept here."""
        place, self._read = lists_of(self.index), lists
        place.replace_invlists(lists, place.own_invlists)
        place.own_invlists = False

    def _count(self) -> None:
        lists_of(self.index).ntotal = self.index.ntotal = int(self.sizes.sum()) + self._later.ntotal


class GpuCopy:
    """A copy of an index on a GPU, searched by one thread at a time, as FAISS wants it."""

    def __init__(self, index: Any) -> None:
        """Raises ``RuntimeError`` for what FAISS cannot copy, or what does not fit."""
        faiss = load_faiss()
        self._resources, self._lock, self.ntotal = faiss.StandardGpuResources(), Lock(), index.ntotal
        self._index = faiss.index_cpu_to_gpu(self._resources, 0, index)

    def search(self, vectors: NDArray[np.float32], count: int, parameters: Any) -> NDArray[np.int64]:
        """Positions (q, count) of the nearest; -1 where no more was found."""
        with self._lock:
            found: NDArray[np.int64] = self._index.search(vectors, count, params=parameters)[1]
        return found


def on_gpu(index: Any) -> GpuCopy | None:
    """A copy on a GPU; None where there is none, or FAISS cannot."""
    if lists_of(index) is not None and load_faiss().get_num_gpus():
        with suppress(RuntimeError):
            return GpuCopy(index)
    return None


def merge(index: Any, blocks: Iterable[Any]) -> None:
    """Move what blocks hold, which have learned the same and have ids, into an index."""
    for block in blocks:
        index.merge_from(block, 0)

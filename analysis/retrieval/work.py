"""The work of a fit: told of as it goes and, where a folder is named, kept so that a killed fit goes on."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from alexnet_core.files import written_beside
from analysis.retrieval.checks import RetrievalError
from analysis.retrieval.lists import load_faiss

READING, LEARNING, ADDING, MEASURING = (
    "reading the features",
    "learning the codes",
    "adding the vectors",
    "measuring",
)

Progress = Callable[[str, int, int], None]  # what is being done (see above), how much of it is done, of how much


class Work:
    """Arrays and FAISS indexes that a fit makes on its way; without a folder they are only made.

    All files are in a folder "unfinished" of the one that is named, and are of one `key`, the hash of what they follow
    from: those of another are deleted.
    """

    def __init__(self, folder: Path | None = None, key: str = "", progress: Progress | None = None) -> None:
        self.folder = folder and folder / "unfinished"
        self.key = key
        self.tell: Progress = progress or _ignore

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """While nobody else works in the folder. Raises ``RetrievalError`` if somebody does."""
        if self.folder is None:
            yield
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder.with_suffix(".lock"), timeout=0):
                self._forget_others(self.folder)
                yield
        except Timeout:
            raise RetrievalError(
                f"Another fit is at work in {self.folder.parent}: wait for it, or name another."
            ) from None

    def array(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """An array that is there, or is made and kept."""
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npy"
        if not file.exists():
            with written_beside(file) as beside, beside.open("wb") as opened:
                np.save(opened, make())
        array: NDArray[Any] = np.load(file)
        return array

    def index(self, name: str, make: Callable[[], Any], *, mapped: bool = False) -> Any:
        """A FAISS index that is there, or is made and kept; `mapped` leaves its lists on disk."""
        if self.folder is None:
            return make()
        faiss, file = load_faiss(), self.folder / f"{name}.faiss"
        if not file.exists():
            with written_beside(file) as beside:
                faiss.write_index(make(), str(beside))
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP if mapped else 0)

    def remove(self) -> None:
        """Delete what was kept."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.with_suffix(".lock").unlink(missing_ok=True)

    def _forget_others(self, folder: Path) -> None:
        told = folder / "key"
        if not told.exists() or told.read_text() != self.key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with written_beside(told) as beside:
                beside.write_text(self.key)


def _ignore(phase: str, done: int, total: int) -> None:
    """Nobody wants to know."""

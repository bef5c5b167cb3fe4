"""An index on disk: one manifest, which names the files that belong to it and is replaced last."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from alexnet_core.files import UNFINISHED, sha256_of_file, write_json, written_beside
from analysis.retrieval.checks import RetrievalError
from analysis.retrieval.choose import Choice
from analysis.retrieval.codes import Codes, Encoder
from analysis.retrieval.lists import DiskLists, load_faiss, write_lists
from analysis.retrieval.measure import Measured
from analysis.retrieval.metrics import Metric
from analysis.retrieval.rerank import Tuning

MANIFEST = "manifest.json"
VERSION = 2
CODES, ARRAYS, LISTS = ".faiss", ".npz", ".lists"


class Manifest(NamedTuple):
    """What an index was asked to be, what it was built from, and what it was measured to be."""

    kind: str
    metric: Metric
    memory: int | None
    recall: float  # asked for
    seed: int
    on_disk: bool
    shape: tuple[int, int]  # of the features
    fingerprint: str  # of the features, see `checks.fingerprint`
    source: str
    choice: Choice
    tuning: Tuning
    measured: Measured


def read_manifest(folder: Path) -> Manifest:
    """What there is to know of the index in a folder, without opening it. Raises ``RetrievalError``."""
    return _read_manifest(folder)[0]


def write_index(
    folder: Path, manifest: Manifest, codes: Codes | None, *, squares: NDArray[np.float32], live: NDArray[np.bool_]
) -> None:
    """Write new files under new names, then the manifest that names them, then delete what it named before."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        name = f"{_generation(folder) + 1:06d}"
        arrays: dict[str, NDArray[Any]] = {"squares": squares, "live": live}
        files = {}
        if codes is not None:
            arrays |= {"rows": codes.rows, "mean": codes.encoder.mean, "axes": codes.encoder.axes}
            if codes.disk is not None:
                files[LISTS], arrays["sizes"] = _write_disk(folder / f"{name}{LISTS}", codes.disk)
            index = codes.disk.empty if codes.disk else codes.index
            files[CODES] = _write(folder / f"{name}{CODES}", lambda file: load_faiss().write_index(index, str(file)))
        files[ARRAYS] = _write(folder / f"{name}{ARRAYS}", lambda file: _write_arrays(arrays, file))
        parts = {"choice": manifest.choice._asdict(), "tuning": manifest.tuning._asdict()}
        values = manifest._asdict() | parts | {"measured": manifest.measured._asdict()}
        write_json(folder / MANIFEST, {"version": VERSION, "name": name, "sha256": files} | values)
        _delete_others(folder, name)


def read_index(folder: Path) -> tuple[Manifest, Codes | None, Mapping[str, NDArray[Any]]]:
    """The index in a folder. Raises ``RetrievalError`` if there is none, or a byte of it is not as it was written."""
    manifest, name, sums = _read_manifest(folder)
    files = {kind: folder / f"{name}{kind}" for kind in sums}
    for kind, file in files.items():
        if not file.exists() or sha256_of_file(file) != sums[kind]:
            raise RetrievalError(_damaged(folder, f"{file.name} is not as it was written"))
    with np.load(files[ARRAYS]) as opened:
        arrays = dict(opened)
    if CODES not in files:
        return manifest, None, arrays
    encoder, index = (
        Encoder(manifest.metric, arrays["mean"], arrays["axes"]),
        load_faiss().read_index(str(files[CODES])),
    )
    disk = DiskLists(index, files[LISTS], arrays["sizes"]) if LISTS in files else None
    return manifest, Codes(encoder, index, arrays["rows"], disk), arrays


def _read_manifest(folder: Path) -> tuple[Manifest, str, dict[str, str]]:
    try:
        values = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise RetrievalError(f"There is no index in {folder}: fit one and save it there.") from None
    except (OSError, ValueError) as error:
        raise RetrievalError(_damaged(folder, str(error))) from error
    try:
        version, name, sums = values.pop("version"), values.pop("name"), values.pop("sha256")
        if version != VERSION:
            raise RetrievalError(f"The index in {folder} is of version {version}, not {VERSION}: fit it again.")
        tuples = {key: tuple(value) for key, value in values["measured"].items() if isinstance(value, list)}
        read = Manifest(**values)
        manifest = read._replace(
            shape=(int(read.shape[0]), int(read.shape[1])),
            choice=Choice(**values["choice"]),
            tuning=Tuning(**values["tuning"]),
            measured=Measured(**values["measured"] | tuples),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RetrievalError(_damaged(folder, repr(error))) from error
    return manifest, name, sums


def _generation(folder: Path) -> int:
    """Number of the newest files there, 0 if there are none."""
    return max((int(file.stem) for file in folder.glob(f"*{ARRAYS}") if file.stem.isdecimal()), default=0)


def _write(file: Path, write: Callable[[Path], None]) -> str:
    """Write a file, whole or not at all; its SHA-256."""
    with written_beside(file) as beside:
        write(beside)
    return sha256_of_file(file)


def _write_disk(file: Path, disk: DiskLists) -> tuple[str, NDArray[np.uint64]]:
    """Write lists as `_write` does; their SHA-256, and how long they are."""
    with written_beside(file) as beside:
        sizes = write_lists(beside, disk.sources)
    return sha256_of_file(file), sizes


def _write_arrays(arrays: Mapping[str, NDArray[Any]], file: Path) -> None:
    with file.open("wb") as opened:
        np.savez(opened, allow_pickle=False, **arrays)


def _delete_others(folder: Path, name: str) -> None:
    """Delete what earlier manifests named, and what broken saves have left."""
    for file in folder.iterdir():
        ours = file.suffix in (CODES, ARRAYS, LISTS, UNFINISHED)
        if ours and not file.name.startswith(f"{name}."):
            with suppress(FileNotFoundError):
                file.unlink()


def _damaged(folder: Path, reason: str) -> str:
    return f"The index in {folder} is damaged ({reason}): fit it again."

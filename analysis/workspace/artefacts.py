"""What was computed for a workspace: whether it is fresh, and readers that refuse what is not."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alexnet_core.checkpoint import CheckpointError
from alexnet_core.checkpoint import read_card as card_of
from alexnet_core.data import open_dataset
from alexnet_core.files import sha256_of_file, sha256_of_values, write_json
from alexnet_core.store import ImageStore
from analysis.predictions import TOP, read_predictions
from analysis.retrieval import Index
from analysis.retrieval.saved import VERSION as INDEX_VERSION
from analysis.workspace.head import Head, HeldOut, load_head
from analysis.workspace.progress import Progress, read_progress
from analysis.workspace.registry import Workspace, WorkspaceError, checkpoint_place, find_workspace
from analysis.workspace.shards import STAGE
from analysis.workspace.thumbnails import QUALITY, SIDE, Thumbnails

Status = Literal["fresh", "stale", "missing"]

MANIFEST = "manifest.json"
FILES = {  # in the order in which they are built
    "thumbnails": "thumbnails.arrow",
    "features": "features.npy",
    "head": "head.safetensors",  # only where the classes of the images are not the checkpoint's
    "predictions": "predictions.parquet",
    "index": "index",  # a folder
}
VERSIONS = {"thumbnails": 1, "features": 1, "logits": 1, "head": 1, "predictions": 2, "index": 2}  # of the code
VIEWS = 1  # central crop


class Inputs(NamedTuple):
    """All that the artefacts of a workspace follow from."""

    checkpoint_id: str
    dataset: str
    store_hash: str
    splits: tuple[str, ...]
    names_hash: str  # of the class names, which the store's hash leaves out
    head: bool  # whether the classes are not the checkpoint's, in order

    @classmethod
    def of(cls, card: Mapping[str, Any], store: ImageStore, workspace: Workspace) -> "Inputs":
        """What an artefact that is built now follows from."""
        return cls(
            checkpoint_id=str(card["id"]),
            dataset=store.name,
            store_hash=store.hash,
            splits=workspace.splits or tuple(store.splits),
            names_hash=sha256_of_values(store.class_names),
            head=[row["id"] for row in card["classes"]] != list(store.classes),
        )

    def key(self, artefact: str) -> str:
        """Hash of what goes into one artefact, or into "logits", and of the version of the code that makes it."""
        images = [self.store_hash, self.splits]
        match artefact:
            case "thumbnails":
                goes_in: list[Any] = [*images, SIDE, QUALITY]
            case "features" | "logits":
                goes_in = [*images, self.checkpoint_id, STAGE, VIEWS]
            case "predictions":
                goes_in = [self.key("head" if self.head else "logits"), self.dataset, self.names_hash, TOP]
            case "index":
                goes_in = [self.key("features"), INDEX_VERSION]
            case _:
                goes_in = [self.key("features")]
        return sha256_of_values(artefact, VERSIONS[artefact], goes_in)

    def artefacts(self) -> list[str]:
        """The artefacts of this workspace, in the order in which they are built."""
        return [name for name in FILES if name != "head" or self.head]


class Artefact(NamedTuple):
    """State of one artefact of a workspace."""

    status: Status
    bytes: int  # on disk, 0 if missing


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What there is of a workspace."""

    images: bool  # whether the image store is there
    artefacts: Mapping[str, Artefact]  # by name, in the order in which they are built
    progress: Progress | None  # of the build that runs now, in any process
    problem: str  # why it cannot be built as it is, one sentence; "" if it can

    @property
    def fresh(self) -> bool:
        """Whether every artefact can be used."""
        return all(artefact.status == "fresh" for artefact in self.artefacts.values())

    @property
    def bytes(self) -> int:
        """Bytes of all artefacts; the images are not counted."""
        return sum(artefact.bytes for artefact in self.artefacts.values())


class Entry(NamedTuple):
    """What the manifest says of one artefact."""

    key: str  # `Inputs.key` when it was built
    sha256: str
    bytes: int
    seconds: float  # that it took; for features and thumbnails without the pass over the images
    rate: float  # images/s


class Manifest(NamedTuple):
    """What a workspace was built from, and what came of it."""

    inputs: Inputs
    checkpoint: str  # name
    images: Mapping[str, int]  # in each split, in gallery order
    artefacts: Mapping[str, Entry]
    pass_rate: float | None = None  # images/s of the last pass over the images: loading, network, thumbnails
    head: HeldOut | None = None  # how good the linear head is, where there is one


def manifest_of(workspace: Workspace) -> Manifest | None:
    """What was built, and how fast; ``None`` if nothing was, or its manifest cannot be read, which is the same."""
    try:
        values = json.loads((workspace.folder / MANIFEST).read_bytes())
        inputs = values["inputs"] | {"splits": tuple(values["inputs"]["splits"])}
        return Manifest(
            inputs=Inputs(**inputs),
            checkpoint=values["checkpoint"],
            images=values["images"],
            artefacts={name: Entry(**entry) for name, entry in values["artefacts"].items()},
            pass_rate=values["pass_rate"],
            head=HeldOut(**values["head"]) if values["head"] else None,
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_manifest(workspace: Workspace, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all."""
    values = manifest._asdict() | {
        "inputs": manifest.inputs._asdict(),
        "artefacts": {name: entry._asdict() for name, entry in manifest.artefacts.items()},
        "head": manifest.head and manifest.head._asdict(),
    }
    write_json(workspace.folder / MANIFEST, values)


def size_of(place: Path) -> int:
    """Bytes of an artefact."""
    return sum(file.stat().st_size for file in _files(place))


def sha256_of(place: Path) -> str:
    """SHA-256 of an artefact; of one that is a folder, of the names and sums of its files."""
    if place.is_file():
        return sha256_of_file(place)
    return sha256_of_values(*((file.relative_to(place).as_posix(), sha256_of_file(file)) for file in _files(place)))


def read_card(workspace: Workspace) -> dict[str, Any]:
    """The checkpoint's card with its id, without reading the weights. Raises ``WorkspaceError``."""
    try:
        return card_of(checkpoint_place(workspace))
    except CheckpointError as error:
        raise WorkspaceError(str(error)) from error


def check_fit(card: Mapping[str, Any], store: ImageStore, workspace: Workspace) -> None:
    """Raises ``WorkspaceError`` unless the checkpoint can read these images and they have the wanted splits."""
    if (size := card["preprocess"]["source_size"]) != store.size:
        raise WorkspaceError(f"{card['name']!r} reads images of {size} px, {store.name!r} holds {store.size} px.")
    if unknown := [split for split in workspace.splits if split not in store.splits]:
        raise WorkspaceError(f"{store.name!r} has the splits {list(store.splits)}, not {unknown}.")


def inputs_of(workspace: Workspace) -> Inputs | None:
    """What the artefacts should follow from now; where the images are not there, those they were built from.

    ``None`` without images and manifest. Raises ``WorkspaceError`` where checkpoint and images cannot be used.
    """
    return _inputs(workspace, _store_of(workspace))


def _inputs(workspace: Workspace, store: ImageStore | None) -> Inputs | None:
    card = read_card(workspace)
    if store:
        check_fit(card, store, workspace)
        return Inputs.of(card, store, workspace)
    manifest = manifest_of(workspace)
    return manifest and manifest.inputs._replace(checkpoint_id=card["id"])


def state_of(workspace: Workspace) -> State:
    """What there is of a workspace, judged by the hashes of what goes in; no large file is read."""
    problem, images, inputs, manifest = "", False, None, manifest_of(workspace)
    try:
        store = _store_of(workspace)
        images = store is not None
        inputs = _inputs(workspace, store)
    except WorkspaceError as error:
        problem = str(error)
    names = inputs.artefacts() if inputs else [name for name in FILES if name != "head"]
    return State(
        images=images,
        artefacts={name: _artefact(workspace, name, inputs, manifest) for name in names},
        progress=read_progress(workspace),
        problem=problem,
    )


def verify_workspace(name: str, *, home: Path | None = None) -> list[str]:
    """Compare every byte of the artefacts with the manifest's SHA-256, and their inputs with what is there now;
    one sentence per problem, [] if all is well."""
    workspace = find_workspace(name, home)
    state, manifest = state_of(workspace), manifest_of(workspace)
    problems = [state.problem] if state.problem else []
    for artefact, found in state.artefacts.items():
        if found.status != "fresh" or manifest is None:
            problems.append(_not_fresh(workspace, artefact, found.status))
        elif sha256_of(file := workspace.folder / FILES[artefact]) != manifest.artefacts[artefact].sha256:
            problems.append(_damaged(workspace, file))
    return problems


def open_predictions(workspace: Workspace) -> pa.Table:
    """One row per gallery image with the columns `analysis.predictions.COLUMNS`."""
    file, inputs = _fresh(workspace, "predictions", check=True)
    with _as_workspace_error(workspace, file):
        return read_predictions(file, checkpoint_id=inputs.checkpoint_id, store_hash=inputs.store_hash)


def open_features(workspace: Workspace) -> NDArray[np.float16]:
    """Features (n, 4096) float16, memory-mapped and read-only: fc7 after its ReLU, central crop."""
    file, _ = _fresh(workspace, "features")
    with _as_workspace_error(workspace, file):
        features: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return features


def open_thumbnails(workspace: Workspace) -> Thumbnails:
    """JPEGs of at most 96 px, ``[i]`` -> bytes."""
    file, _ = _fresh(workspace, "thumbnails")
    with _as_workspace_error(workspace, file):
        return Thumbnails(file)


def open_index(workspace: Workspace) -> Index:
    """The index of the features by Euclidean distance; rows are those of the gallery."""
    folder, inputs = _fresh(workspace, "index")
    features = open_features(workspace)
    with _as_workspace_error(workspace, folder):
        return Index.open(folder, features, source=inputs.key("features"))


def open_head(workspace: Workspace) -> Head | None:
    """The linear head, or ``None`` where the classes of the images are the checkpoint's."""
    if (inputs := inputs_of(workspace)) and not inputs.head:
        return None
    file, _ = _fresh(workspace, "head", check=True)
    with _as_workspace_error(workspace, file):
        return load_head(file)[0]


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())


def _store_of(workspace: Workspace) -> ImageStore | None:
    """The images, or ``None`` if they are not there. Raises ``WorkspaceError`` if they are damaged."""
    try:
        return open_dataset(workspace.dataset, workspace.home)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise WorkspaceError(str(error)) from error


def _artefact(workspace: Workspace, name: str, inputs: Inputs | None, manifest: Manifest | None) -> Artefact:
    file = workspace.folder / FILES[name]
    if not file.exists():
        return Artefact("missing", 0)
    size, entry = size_of(file), manifest and manifest.artefacts.get(name)
    fresh = entry and inputs and (entry.key, entry.bytes) == (inputs.key(name), size)
    return Artefact("fresh" if fresh else "stale", size)


def _fresh(workspace: Workspace, name: str, *, check: bool = False) -> tuple[Path, Inputs]:
    """The file of an artefact and what it follows from, if it is fresh; `check` compares its bytes as well."""
    file, inputs, manifest = workspace.folder / FILES[name], inputs_of(workspace), manifest_of(workspace)
    status = _artefact(workspace, name, inputs, manifest).status
    if status != "fresh" or inputs is None or manifest is None:
        raise WorkspaceError(_not_fresh(workspace, name, status))
    if check and sha256_of(file) != manifest.artefacts[name].sha256:
        raise WorkspaceError(_damaged(workspace, file))
    return file, inputs


@contextmanager
def _as_workspace_error(workspace: Workspace, file: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, EOFError, RuntimeError) as error:  # FAISS raises RuntimeError
        raise WorkspaceError(f"{_damaged(workspace, file)} ({error})") from error


def _not_fresh(workspace: Workspace, name: str, status: Status) -> str:
    many = name.endswith("s")  # features, predictions, thumbnails; but the index, the head
    missing, stale = ("are not there", "do not belong") if many else ("is not there", "does not belong")
    other = f"{stale} to its checkpoint and images, or {'are' if many else 'is'} damaged"
    state = missing if status == "missing" else other
    return f"The {name} of workspace {workspace.name!r} {state}; run: {_command(workspace)}"


def _damaged(workspace: Workspace, file: Path) -> str:
    return f"{file} is not as it was built; delete it and run: {_command(workspace)}"


def _command(workspace: Workspace) -> str:
    return f"python -m analysis.workspace build {workspace.name}"

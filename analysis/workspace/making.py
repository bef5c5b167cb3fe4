"""From a checkpoint and an image store to the artefacts of a workspace, by way of one pass over the images."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.files import written_beside
from alexnet_core.store import ImageStore
from analysis.predictions import About, Rows, write_predictions
from analysis.retrieval import Index
from analysis.shards import Shard, shards_of
from analysis.workspace.artefacts import (
    FILES,
    VIEWS,
    Entry,
    Inputs,
    Manifest,
    manifest_of,
    sha256_of,
    size_of,
    state_of,
    write_manifest,
)
from analysis.workspace.head import HeldOut, load_head, log_softmax, save_head
from analysis.workspace.progress import Reporter
from analysis.workspace.registry import Workspace
from analysis.workspace.shards import GalleryShards, compute_gallery
from analysis.workspace.thumbnails import write_thumbnails

SHARDS = "shards"  # folder of an unfinished build
OUTGROWN = ("index.faiss",)  # files of earlier versions, which kept the features twice
FITTED, HELD_OUT = "train", "val"  # splits that a linear head is fitted on, and judged by
ROWS = 8192  # features read at once
WORK = {"thumbnails": 0.01, "features": 0.01, "head": 0.2, "predictions": 0.02, "index": 0.02}  # of the pass
BYTES = 32_000  # of disk that an image needs while a workspace is built: features twice, and two thumbnails
STEPS = {
    "thumbnails": "Packing the thumbnails",
    "features": "Joining the features",
    "head": "Fitting a linear head to the classes",
    "predictions": "Writing the predictions",
    "index": "Building the index",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build: what it reads, and what there is to do."""

    workspace: Workspace
    store: ImageStore
    checkpoint: Checkpoint
    device: torch.device
    inputs: Inputs
    todo: tuple[str, ...]  # artefacts that are not fresh, in order
    shards: tuple[Shard, ...]
    parts: GalleryShards

    @classmethod
    def plan(cls, workspace: Workspace, store: ImageStore, checkpoint: Checkpoint, device: torch.device) -> "Build":
        """Find out what is to be done. Raises ``ValueError`` if that cannot be done."""
        inputs = Inputs.of(checkpoint.card, store, workspace)
        todo = tuple(name for name, found in state_of(workspace).artefacts.items() if found.status != "fresh")
        parts = [part for part in todo if part in ("thumbnails", "features")]
        if "predictions" in todo and not inputs.head:
            parts.append("logits")
        build = cls(
            workspace=workspace,
            store=store,
            checkpoint=checkpoint,
            device=device,
            inputs=inputs,
            todo=todo,
            shards=tuple(shards_of({split: store.splits[split].count for split in inputs.splits})),
            parts=GalleryShards(workspace.folder / SHARDS, {part: inputs.key(part) for part in parts}),
        )
        build.check()
        return build

    @property
    def count(self) -> int:
        """Images of the gallery."""
        return sum(self.store.splits[split].count for split in self.inputs.splits)

    def check(self) -> None:
        """Raises ``ValueError`` for what would otherwise fail after minutes of work."""
        if "head" in self.todo:
            from analysis.workspace.head_fit import check_labels  # scikit-learn takes seconds to import

            if FITTED not in self.inputs.splits:
                raise ValueError(f"{self.store.name!r} has other classes than the checkpoint and no split {FITTED!r}.")
            check_labels(self.store.split(FITTED).labels, self.store.classes)
        needed = self.count * BYTES if self.parts.keys else 0
        if (free := shutil.disk_usage(self.workspace.folder).free) < needed:
            place = self.workspace.folder
            raise ValueError(f"{place} must have {needed / 1e9:.1f} GB free for this, has {free / 1e9:.1f} GB.")

    def run(self, reporter: Reporter) -> None:
        """Do it, and forget what was only needed on the way."""
        if self.todo:
            works = {name: round(self.count * WORK[name]) for name in self.todo}
            reporter.plan(self.count * bool(self.parts.keys) + sum(works.values()))
            manifest = self.begin(self.look(reporter))
            for name in self.todo:
                with reporter.step(STEPS[name], works[name]):
                    manifest = self.make(name, manifest)
        shutil.rmtree(self.parts.root, ignore_errors=True)
        for name in (*([] if self.inputs.head else [FILES["head"]]), *OUTGROWN):
            (self.workspace.folder / name).unlink(missing_ok=True)

    def look(self, reporter: Reporter) -> float | None:
        """The pass over the images; returns images/s, or ``None`` if nothing was left to do."""
        self.forget_other_shards()
        todo = self.parts.todo(self.shards)
        if not todo:
            return None
        began = time.monotonic()
        with reporter.step("Looking at the images", self.count, done=self.count - todo, counted=True) as advance:
            compute_gallery(self.parts, self.shards, self.store, self.checkpoint, device=self.device, advance=advance)
        return round(todo / (time.monotonic() - began), 1)

    def forget_other_shards(self) -> None:
        """Delete what an unfinished build from other images, or by another network, has left."""
        wanted = {self.parts.place(part) for part in self.parts.keys}
        for place in set(self.parts.root.glob("*")) - wanted:
            shutil.rmtree(place)

    def begin(self, pass_rate: float | None) -> Manifest:
        """A manifest of what stays; from now on no file is replaced that it vouches for."""
        old = manifest_of(self.workspace)
        kept = {} if old is None else {name: e for name, e in old.artefacts.items() if self.stays(name)}
        manifest = Manifest(
            inputs=self.inputs,
            checkpoint=str(self.checkpoint.card["name"]),
            images={split: self.store.splits[split].count for split in self.inputs.splits},
            artefacts=kept,
            pass_rate=pass_rate or (old and old.pass_rate),
            head=old.head if old and "head" in kept else None,
        )
        write_manifest(self.workspace, manifest)
        return manifest

    def stays(self, name: str) -> bool:
        return name in self.inputs.artefacts() and name not in self.todo

    def make(self, name: str, manifest: Manifest) -> Manifest:
        """Build one artefact; returns the manifest with it."""
        makers: dict[str, Callable[[Path], HeldOut | None]] = {
            "thumbnails": self.thumbnails,
            "features": self.features,
            "head": self.head,
            "predictions": self.predictions,
            "index": self.index,
        }
        file, began = self.workspace.folder / FILES[name], time.monotonic()
        told = makers[name](file)
        seconds = max(1e-3, time.monotonic() - began)
        entry = Entry(
            key=self.inputs.key(name),
            sha256=sha256_of(file),
            bytes=size_of(file),
            seconds=round(seconds, 3),
            rate=round(self.count / seconds, 1),
        )
        manifest = manifest._replace(artefacts={**manifest.artefacts, name: entry}, head=told or manifest.head)
        write_manifest(self.workspace, manifest)
        return manifest

    def thumbnails(self, file: Path) -> None:
        """Pack the JPEGs of all shards."""
        write_thumbnails(file, (self.parts.jpegs(shard) for shard in self.shards))

    def features(self, file: Path) -> None:
        """Join the features of all shards in one .npy file."""
        width = self.parts.array("features", self.shards[0]).shape[1]
        with written_beside(file) as beside:
            joined = np.lib.format.open_memmap(beside, "w+", np.float16, (self.count, width))
            row = 0
            for shard in self.shards:
                block = self.parts.array("features", shard)
                joined[row : (row := row + len(block))] = block
            joined.flush()

    def head(self, file: Path) -> HeldOut:
        """Fit a linear head and predict the gallery with it. No image is judged by a head that has seen it."""
        from analysis.workspace.head_fit import fit_head, held_out

        features, train = self.open_features(), self.rows_of(FITTED)
        fitted = fit_head(features[train], self.store.split(FITTED).labels)
        blocks = (features[row : row + ROWS] for row in range(0, self.count, ROWS))
        judged = np.concatenate([fitted.head.log_probabilities(block) for block in blocks])
        judged[train.start + fitted.fitted] = fitted.out_of_fold
        save_head(file, fitted.head, judged)
        told = HELD_OUT if HELD_OUT in self.inputs.splits else FITTED
        return held_out(judged[self.rows_of(told)], self.store.split(told).labels)

    def predictions(self, file: Path) -> None:
        """Write what is predicted for each image, by the network or by the linear head."""
        card = self.checkpoint.card
        about = About(
            checkpoint=str(card["name"]),
            checkpoint_id=self.checkpoint.id,
            dataset=self.store.name,
            store_hash=self.inputs.store_hash,
            classes=tuple(self.store.classes),
            class_names=tuple(self.store.class_names),
            judge="head" if self.inputs.head else "fc8",
            views=VIEWS,
            off="",
            firsts={split: self.rows_of(split).start for split in self.inputs.splits},
        )
        write_predictions(file, self.rows, about)

    def rows(self) -> Iterator[Rows]:
        """Predictions shard by shard."""
        judged = load_head(self.workspace.folder / FILES["head"])[1] if self.inputs.head else None
        splits = {split: self.store.split(split) for split in self.inputs.splits}
        first = 0
        for shard in self.shards:
            images, span = splits[shard.split], slice(shard.start, shard.stop)
            labels = images.labels[span]
            logs = log_softmax(self.parts.array("logits", shard)) if judged is None else judged[first:][: len(labels)]
            ids = np.arange(first, first := first + len(labels))
            yield Rows(ids, shard.split, images.paths[span], labels, logs, VIEWS)

    def index(self, folder: Path) -> None:
        """The index that suits the gallery, exact where it is small; it reads the features where they are."""
        index = Index().fit(self.open_features(), source=self.inputs.key("features"), work=folder)
        index.save(folder)

    def open_features(self) -> NDArray[np.float16]:
        """The features, which are fresh by now."""
        features: NDArray[np.float16] = np.load(self.workspace.folder / FILES["features"], mmap_mode="r")
        return features

    def rows_of(self, split: str) -> slice:
        """Rows of a split in the gallery."""
        before = self.inputs.splits[: self.inputs.splits.index(split)]
        start = sum(self.store.splits[name].count for name in before)
        return slice(start, start + self.store.splits[split].count)

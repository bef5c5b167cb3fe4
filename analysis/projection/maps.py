"""Maps of a workspace's images, each kept in a file that is named by all that it follows from."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alexnet_core.files import sha256_of_values, written_beside
from analysis.projection.layout import Method, Tell, lay_out
from analysis.projection.measures import Faithfulness, faithfulness, tower_b_share
from analysis.projection.sample import sample_rows
from analysis.retrieval.metrics import Metric
from analysis.retrieval.spaces import STAGE, Space, has_halves, source_of, space_features
from analysis.workspace import Workspace, open_images

VERSION = 1  # of the code
FOLDER = "maps"  # of a workspace
HALVES = {"all": None, "A": 0, "B": 1}  # as the command line has them
MEMORY = 2**30  # bytes of features that are held, in float32


class MapPlan(NamedTuple):
    """All that may be chosen of a map; see `lay_out` and `Space`."""

    method: Method = "PCA"
    neighbours: int = 30
    min_dist: float = 0.1
    seed: int = 0  # of the sample and of the method
    images: int = 5000  # at most; more are sampled (`sample_rows`)
    split: str = ""  # that the images are of; all for ""
    stage: str = STAGE
    metric: Metric = "euclidean"  # or "cosine": lengths are left out of account
    half: int | None = None  # units of tower A (0) or of tower B (1); None: all

    def options(self) -> list[str]:
        """The same for the command line."""
        values = self._asdict() | {"half": next(name for name, half in HALVES.items() if half == self.half)}
        return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]

    def settled(self) -> "MapPlan":
        """The same with what its method does not look at put aside."""
        if self.method == "UMAP":
            return self
        return self._replace(min_dist=0.0, neighbours=self.neighbours if self.method == "t-SNE" else 0)


class ImageMap(NamedTuple):
    """Where images lie on a map, and how far it can be trusted."""

    rows: NDArray[np.int64]  # (n,) of the gallery, in order
    positions: NDArray[np.float32]  # (n, 2)
    variance: NDArray[np.float32]  # see `Layout`
    tower_b: NDArray[np.float32]  # (n,) share of the stage's energy in tower B (`tower_b_share`); nan without towers
    faithfulness: Faithfulness
    seconds: float  # that it took


def make_map(workspace: Workspace, plan: MapPlan, tell: Tell = lambda phase: None) -> ImageMap:
    """Compute a map and keep it; nothing is left behind if that is cut short. `tell` hears of each phase.

    Raises ``ValueError``, one sentence, if there are no images or features, or no such map of them.
    """
    file, began = map_file(workspace, plan), time.monotonic()
    tell("Reading the features")
    rows = map_rows(workspace, plan)
    features = _vectors(workspace, plan, rows)
    positions, variance = lay_out(
        features, plan.method, neighbours=plan.neighbours, min_dist=plan.min_dist, seed=plan.seed, tell=tell
    )
    tell("Comparing neighbours on the map with those in the features")
    trust = faithfulness(features, positions)
    shares = _tower_b(workspace, plan, rows, features)
    found = ImageMap(rows, positions, variance, shares, trust, round(time.monotonic() - began, 2))
    _write(file, plan, found)
    return found


def open_map(workspace: Workspace, plan: MapPlan) -> ImageMap | None:
    """A map that was made; ``None`` if it was not, or its file is damaged, which is the same.

    Raises ``ValueError``, one sentence, if there are no such features.
    """
    file = map_file(workspace, plan)
    try:
        with safe_open(file, "numpy") as opened:
            told = json.loads(opened.metadata()["map"])
            return ImageMap(
                rows=opened.get_tensor("rows"),
                positions=opened.get_tensor("positions"),
                variance=opened.get_tensor("variance"),
                tower_b=opened.get_tensor("tower_b"),
                faithfulness=Faithfulness(**told["faithfulness"]),
                seconds=told["seconds"],
            )
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        return None


def map_file(workspace: Workspace, plan: MapPlan) -> Path:
    """Where a map is, or will be, kept. Raises ``ValueError``, one sentence, if there are no such features."""
    source = source_of(workspace, _space(plan))
    settled: dict[str, Any] = plan.settled()._asdict()
    return workspace.folder / FOLDER / f"{sha256_of_values(VERSION, source, settled)[:32]}.safetensors"


def map_rows(workspace: Workspace, plan: MapPlan) -> NDArray[np.int64]:
    """Rows of the gallery that a map shows. Raises ``ValueError`` for an unknown split, or if there are no images."""
    images = open_images(workspace)
    splits = workspace.splits or tuple(images.splits)
    if plan.split not in ("", *splits):
        raise ValueError(f"{workspace.name!r} has the splits {list(splits)}, not {plan.split!r}.")
    labels = {split: images.split(split).labels for split in splits}
    if not plan.split:
        return sample_rows(np.concatenate(list(labels.values())), plan.images, plan.seed)
    before = sum(len(labels[split]) for split in splits[: splits.index(plan.split)])
    return before + sample_rows(labels[plan.split], plan.images, plan.seed)


def _space(plan: MapPlan) -> Space:
    return Space(plan.stage, plan.metric, plan.half)


def _vectors(workspace: Workspace, plan: MapPlan, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors (n, d) whose Euclidean distances the map is to show."""
    if plan.metric == "inner product":
        raise ValueError("Inner products are no distances, which is what a map shows; take euclidean or cosine.")
    stored = space_features(workspace, _space(plan))
    width = stored.shape[1]
    if len(rows) * width * 4 > MEMORY:
        raise ValueError(f"{plan.stage} has {width:,} numbers an image: take at most {MEMORY // (4 * width):,} images.")
    features = np.asarray(stored[rows], np.float32)
    if plan.metric == "cosine":
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        np.divide(features, lengths, out=features, where=lengths > 0)
    return features


def _tower_b(
    workspace: Workspace, plan: MapPlan, rows: NDArray[np.int64], features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How the energy of the whole stage, whichever half the map is of, is shared by the towers."""
    if not has_halves(workspace, plan.stage):
        return np.full(len(rows), np.nan, np.float32)
    if plan.half is None:
        return tower_b_share(features)
    return tower_b_share(np.asarray(space_features(workspace, Space(plan.stage))[rows], np.float32))


def _write(file: Path, plan: MapPlan, found: ImageMap) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "rows": found.rows,
        "positions": found.positions,
        "variance": found.variance,
        "tower_b": found.tower_b,
    }
    told = {"plan": plan._asdict(), "faithfulness": found.faithfulness._asdict(), "seconds": found.seconds}
    file.parent.mkdir(exist_ok=True)
    with written_beside(file) as beside:
        save_file(arrays, beside, metadata={"map": json.dumps(told)})

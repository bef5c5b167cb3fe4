"""What is kept of one training: first-layer kernels, their colour over time, and how good the network became."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from alexnet_core.colour import recoloured
from alexnet_core.conditions import subset
from alexnet_core.config import named_config
from alexnet_core.data import open_dataset
from alexnet_core.export import network_of
from alexnet_core.files import written_beside
from alexnet_core.quantise import dequantise, quantise
from alexnet_core.train import TrainConfig, read_state
from analysis.experiments.cuts import cuts_of
from analysis.experiments.function import IMAGES, Function, measure_functions
from analysis.experiments.knowledge import Knowledge, measure_knowledge
from analysis.experiments.matrix import RESULTS, Cell
from analysis.kernels.indices import measure_kernels
from analysis.lesions.study import factors_of, spread
from analysis.sealed import from_json, to_json

LEAST_TOP1 = 0.20  # a network counts from here, or from three times chance
LEAST_LIVE = 60  # live kernels that it needs besides
ARRAYS = ("steps", "chroma", "live", "learned_chroma", "learned_live")


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A way to cut a network in two, what the halves are for, and what they know."""

    name: str  # as of its `Cut`
    labels: tuple[int, ...]  # 0 or 1 for each unit of conv1
    function: Function | None  # None where the images have no colour
    knowledge: Knowledge


class Result(NamedTuple):
    """What is kept of one training, small enough to stay with the code (about 55 kB)."""

    condition: str
    seed: int
    card: dict[str, Any]  # how it was trained, on what, and how good it became
    kernels: NDArray[np.float32]  # (96, 3, 11, 11), raw RGB, as trained; kept in 8 bits, in groups as in checkpoints
    steps: NDArray[np.int64]  # at which the following was measured, log-spaced
    chroma: NDArray[np.float32]  # (steps, 96) chroma energy as trained
    live: NDArray[np.bool_]  # (steps, 96) neither close to zero nor still noise
    learned_chroma: NDArray[np.float32]  # (steps, 96) without what is left of the start; NaN at step 0
    learned_live: NDArray[np.bool_]  # (steps, 96) the same of what was learned
    halves: tuple[Halves, ...]  # the ways in which the network was cut in two, the towers first

    @property
    def top1(self) -> float:
        """Share of the held-out training images that the finished network got right."""
        return 1 - float(self.card["curve"][-1]["held_out_error"])

    @property
    def towers(self) -> int:
        """Towers of the network, 1, 2 or 4."""
        return int(named_config(self.card["training"]["mode"], **self.card["training"]["network"]).towers)


def collect(cell: Cell, home: Path | None = None) -> Result:
    """The result of a finished run. Raises ``FileNotFoundError`` or ``ValueError`` where it is not finished."""
    tensors, state = read_state(cell.folder(home))
    progress, curve = state["progress"], state["progress"]["curve"]
    if not same_training(state["config"], cell.config) or len(curve) < cell.config.epochs:
        raise ValueError(f"{cell.folder(home)} is not the finished training of {cell.name}.")
    snapshots = tensors["snapshots"].numpy()
    trained = snapshots.astype(np.float32)
    decays = np.array(progress["snapshot_decays"], np.float32)[:, None, None, None, None]
    chroma, live = _measured(trained)
    learned_chroma, learned_live = _measured(trained - decays * trained[:1])
    return Result(
        condition=cell.condition.name,
        seed=cell.seed,
        card={
            "training": state["config"],
            "data_hash": state["data_hash"],
            "device": state["device"],
            "torch": state["torch"],
            "commit": state["commit"],
            "seconds": round(progress["seconds"]),
            "steps": progress["step"],
            "curve": curve,
            "noise_left": progress["conv1_decay"],
            "classes": len(tensors["model.stages.fc8.weight"]),
        },
        kernels=trained[-1],
        steps=np.array(progress["snapshot_steps"], np.int64),
        chroma=chroma,
        live=live,
        learned_chroma=learned_chroma,
        learned_live=learned_live,
        halves=_halves(cell, tensors, state, home),
    )


def _halves(cell: Cell, tensors: dict[str, Tensor], state: dict[str, Any], home: Path | None) -> tuple[Halves, ...]:
    """What the network's halves are for, on validation images in its colours and classes, and what they know."""
    config, store = cell.config, open_dataset(cell.config.dataset, home)
    split = store.split("val")
    labels = torch.from_numpy(np.array(split.labels))
    used = subset(labels, config.classes)
    used = used[spread(len(used), IMAGES)]
    images = recoloured(torch.from_numpy(np.array(split.images[used.numpy()])), config.colours, config.degrees).numpy()
    truth = labels[used].unique(return_inverse=True)[1] if config.classes else labels[used]
    model, preprocess = network_of(tensors, state, len(tensors["model.stages.fc8.weight"]))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    factors = {} if config.classes else factors_of(store)
    cuts, rngs = cuts_of(model), np.random.default_rng(cell.seed).spawn(2)
    functions = measure_functions(model, preprocess, images, truth.numpy(), factors, cuts, rngs[0])
    knowledge = measure_knowledge(model, preprocess, cuts, rngs[1])
    return tuple(
        Halves(name=cut.name, labels=tuple(cut.labels[0].tolist()), function=function, knowledge=known)
        for cut, function, known in zip(cuts, functions, knowledge, strict=True)
    )


def save(file: Path, result: Result) -> None:
    """Write a result, whole or not at all."""
    codes, scales = quantise(torch.from_numpy(result.kernels), 8)
    arrays = {name: np.ascontiguousarray(getattr(result, name)) for name in ARRAYS}
    arrays |= {"codes": codes.numpy(), "scales": scales.numpy()}
    card = result.card | {"halves": [to_json(each) for each in result.halves]}
    told = {"condition": result.condition, "seed": result.seed, "card": card, "shape": result.kernels.shape}
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(file) as beside:
        save_file(arrays, beside, metadata={"result": json.dumps(told)})


def load(file: Path) -> Result:
    """A result. Raises ``ValueError``, one sentence, if the file is missing or damaged."""
    try:
        with safe_open(file, "numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in ARRAYS}
            codes, scales = (torch.from_numpy(opened.get_tensor(name)) for name in ("codes", "scales"))
            told = json.loads(opened.metadata()["result"])
        kernels = dequantise(codes, scales, tuple(told.pop("shape")), 8).numpy()
        halves = tuple(from_json(Halves, each) for each in told["card"].pop("halves"))
        return Result(**told, **arrays, kernels=kernels, halves=halves)
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{file} is missing or damaged ({error!r}); train it again.") from error


def finished(cell: Cell, results: Path = RESULTS) -> Result | None:
    """The kept result of a training, if there is one, of this code, and it was trained in just this way."""
    try:
        result = load(cell.file(results))
    except ValueError:  # one of older code is collected again, for which its training is only resumed
        return None
    return result if same_training(result.card["training"], cell.config) else None


def same_training(recorded: dict[str, Any], config: TrainConfig) -> bool:
    """Whether what a run recorded is this training; fields that it did not know yet had their defaults."""
    known = asdict(TrainConfig(preset="", dataset="")) | recorded
    wanted = json.loads(json.dumps(asdict(config)))
    return all(known[key] == value for key, value in wanted.items() if key != "save_minutes")


def counts(result: Result) -> str:
    """Why a network does not count, one sentence; "" if it does: it must have learned something, and conv1 too."""
    least = min(LEAST_TOP1, 3 / result.card["classes"])
    if result.top1 < least:
        return f"{result.top1:.1%} of the held-out images are right, at least {least:.0%} are needed."
    live = int(result.live[-1].sum())
    return "" if live >= LEAST_LIVE else f"{live} of {result.live.shape[1]} kernels are live, {LEAST_LIVE} are needed."


def _measured(kernels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Chroma energy, NaN where a kernel is zero, and which are live, each (steps, n), of (steps, n, 3, k, k)."""
    found = [measure_kernels(layer) for layer in kernels]
    chroma, live = (np.array([getattr(indices, name) for indices in found]) for name in ("chroma", "live"))
    return chroma.astype(np.float32), live

"""Train a network by the recipe of net #145: ``python -m alexnet_core.train --preset tiny-imagenet-127``.

Everything random at step t is drawn from (seed, t), so a killed run continues on the same path from its
last saved state with ``--resume``.
"""

import argparse
import json
import logging
import platform
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from alexnet_core.colour import recoloured
from alexnet_core.conditions import start_from, subset
from alexnet_core.data import open_dataset
from alexnet_core.lrn import use_compiled
from alexnet_core.memory import reuse_freed_memory
from alexnet_core.model import AlexNet, build_model
from alexnet_core.optim import PaperSGD
from alexnet_core.paths import runs_dir
from alexnet_core.preprocess import Preprocess, fit_preprocess
from alexnet_core.schedule import CosineSchedule, Phase, PlateauSchedule, Schedule
from alexnet_core.store import ImageStore

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 2012  # which training images are held out does not depend on the run's seed
STATE_FILE = "state.safetensors"
LOG_FILE = "log.jsonl"
MAY_CHANGE = ("epochs", "save_minutes")  # of a run that is resumed: all else would make it another run


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What fixes a training run, apart from the images themselves."""

    preset: str
    dataset: str
    mode: str = "chm145"
    network: dict[str, Any] = field(default_factory=dict)  # changes to the mode's AlexNetConfig
    full_size: int = 256  # pixels before the crop
    batch_size: int = 128
    epochs: int = 90  # at most; the plateau schedule may end earlier
    schedule: str = "plateau"  # "plateau" as net #145, or "cosine" for short runs
    rate: float = 0.01  # where the cosine starts
    momentum: float = 0.9
    weight_decay: float = 5e-4
    patience: int = 4  # epochs without a better held-out error before the plateau schedule moves on
    quiet_share: float = 0.2  # last share of a cosine run: no lighting, conv1 frozen
    held_out: int = 5000  # training images that judge the plateau
    seed: int = 0
    precision: str = "bf16"  # or "fp32"
    save_minutes: float = 3.0
    # What a controlled experiment changes (alexnet_core.conditions, alexnet_core.colour):
    colours: str = "original"  # of all images; or "grey", or "rotated" by `degrees`
    degrees: float = 0.0
    jitter: bool = True  # the colour noise of training
    classes: int = 0  # trained on, evenly spread over all; 0: all
    images: int = 0  # trained on, held out ones included; 0: all
    start: str = "random"  # or "grey tower A", or "mirrored towers" up to `epsilon`
    epsilon: float = 0.0


PRESETS = {
    "chm145": TrainConfig(preset="chm145", dataset="imagenet-256"),
    "tiny-imagenet-127-long": TrainConfig(
        preset="tiny-imagenet-127-long",
        dataset="tiny-imagenet-64",
        network={"input_size": 127},
        full_size=144,
    ),
    "tiny-imagenet-127": TrainConfig(
        preset="tiny-imagenet-127",
        dataset="tiny-imagenet-64",
        network={"input_size": 127},
        full_size=144,
        epochs=10,  # under two hours on two cores
        schedule="cosine",
    ),
    "prism-127": TrainConfig(
        preset="prism-127",
        dataset="prism-128",
        network={"input_size": 127},
        full_size=136,
        epochs=12,  # an hour on two cores
        schedule="cosine",
        held_out=2000,
    ),
}


@dataclass(slots=True)
class Progress:
    """Where a run stands; saved with the weights in one file, so the two can never disagree."""

    step: int = 0
    seconds: float = 0.0
    conv1_decay: float = 1.0  # product of (1 - rate * weight decay): what is left of conv1's initial noise
    curve: list[dict[str, float]] = field(default_factory=list)  # one row an epoch
    snapshot_steps: list[int] = field(default_factory=list)
    snapshot_decays: list[float] = field(default_factory=list)


class Run:
    """A training run in a folder: new, or with `resume` taken up where the folder's saved state stands.

    Raises ``FileNotFoundError`` if there is nothing to resume, ``ValueError`` if it was trained on other images
    or by another recipe, or if the held-out images leave no full batch.
    """

    def __init__(
        self, folder: Path, config: TrainConfig, store: ImageStore, device: torch.device, *, resume: bool = False
    ) -> None:
        self.folder, self.config, self.store, self.device = folder, config, store, device
        self.commit = code_commit()  # of the code that is running; the checkout may move on meanwhile
        self.images, labels, _ = store.split("train")
        self.labels = torch.from_numpy(np.array(labels))
        used = subset(self.labels, config.classes, config.images)
        num_classes = len(store.classes)
        if config.classes:  # the network learns these alone
            kept, self.labels[used] = self.labels[used].unique(return_inverse=True)
            num_classes = len(kept)
        # A GPU waits for nothing if the images live in its memory; a CPU reads them through the page cache.
        self._resident = torch.from_numpy(np.array(self.images)).to(device) if device.type == "cuda" else None
        shuffled = used[torch.randperm(len(used), generator=torch.Generator().manual_seed(HELD_OUT_SEED))]
        self.held_out, self.training = shuffled[: config.held_out], shuffled[config.held_out :]
        if not self.steps_per_epoch:
            raise ValueError(
                f"held_out={config.held_out} must leave a batch of {config.batch_size} "
                f"among the {len(used)} training images of {store.name!r}."
            )
        weights = torch.Generator().manual_seed(config.seed)
        self.model = build_model(config.mode, num_classes, generator=weights, **config.network)
        start_from(self.model, config.start, config.epsilon, weights)
        self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimiser = PaperSGD(_learned(self.model), momentum=config.momentum, weight_decay=config.weight_decay)
        self.schedule = _schedule(config)
        self.progress = Progress()
        self.snapshots: list[Tensor] = []
        self.preprocess = self._take_up() if resume else self._measure()

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the training images."""
        return len(self.training) // self.config.batch_size

    def train(self) -> None:
        """Run to the end, saving every few minutes and on SIGINT; then the folder holds the final state."""
        total = self.config.epochs * self.steps_per_epoch
        started = time.monotonic() - self.progress.seconds
        saved = time.monotonic()
        losses: list[Tensor] = []
        self._take_snapshot()
        with (
            _Interrupt() as interrupted,
            tqdm(total=total, initial=self.progress.step, unit="step", smoothing=0.05, mininterval=1) as bar,
        ):
            while self.progress.step < total and not self.schedule.finished:
                phase = self.schedule.phase(self.progress.step / total)
                losses.append(self._step(phase))
                bar.update()
                self.progress.seconds = time.monotonic() - started
                if self.progress.step % self.steps_per_epoch == 0:
                    bar.set_postfix_str(self._end_epoch(torch.stack(losses).mean().item(), phase))
                    losses.clear()
                if interrupted.seen or time.monotonic() - saved > 60 * self.config.save_minutes:
                    self.save()
                    saved = time.monotonic()
                if interrupted.seen:
                    raise SystemExit(f"Interrupted; {self.folder} is saved. Continue with --resume.")
        self._take_snapshot(last=True)
        self.save()

    def _measure(self) -> Preprocess:
        logger.info("Measuring the mean image and the principal colours...")
        blocks = (self._fetch(chosen) for chosen in self.training.sort().values.split(1000))
        size = self.model.config.input_size
        return fit_preprocess(blocks, full_size=self.config.full_size, input_size=size)

    def _fetch(self, chosen: Tensor) -> Tensor:
        """Stored images on the device, in the colours of this run; only the chosen ones are read from disk."""
        if self._resident is not None:
            stored = self._resident[chosen.to(self.device)]
        else:
            stored = torch.from_numpy(self.images[chosen.numpy()])
        return recoloured(stored, self.config.colours, self.config.degrees)

    def _logits(self, batch: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits: Tensor = self.model(batch.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def _step(self, phase: Phase) -> Tensor:
        """One update; returns its loss without waiting for the device."""
        config, progress = self.config, self.progress
        epoch, position = divmod(progress.step, self.steps_per_epoch)
        shuffle = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        order = torch.randperm(len(self.training), generator=shuffle)
        chosen = self.training[order[position * config.batch_size : (position + 1) * config.batch_size]]
        seed = config.seed * 1_000_000_007 + progress.step
        torch.manual_seed(seed)  # dropout
        draws = torch.Generator().manual_seed(seed)
        batch = self.preprocess.training_batch(self._fetch(chosen), draws, lighting=phase.lighting * config.jitter)
        loss = F.cross_entropy(self._logits(batch), self.labels[chosen].to(self.device))
        loss.backward()
        self.optimiser.step({key: phase.rate(*key) for key in _parameter_keys(self.model)})
        progress.step += 1
        progress.conv1_decay *= 1 - phase.conv1 * config.weight_decay
        self._take_snapshot()
        return loss.detach()

    def _take_snapshot(self, *, last: bool = False) -> None:
        """Keep conv1 as it is now; float16 is finer than any index that is read from it."""
        progress = self.progress
        if progress.step in progress.snapshot_steps or not (last or progress.step in SNAPSHOT_STEPS):
            return
        progress.snapshot_steps.append(progress.step)
        progress.snapshot_decays.append(progress.conv1_decay)
        self.snapshots.append(self.model.kernels("conv1").half().cpu().contiguous())

    def _end_epoch(self, loss: float, phase: Phase) -> str:
        """Judge the epoch on the held-out images, log it, and say it in one line."""
        error = self._held_out_error()
        self.schedule.observe(error)
        row = {
            "epoch": self.progress.step // self.steps_per_epoch,
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "rate": phase.weights,
            "training_loss": loss,
            "held_out_error": error,
        }
        self.progress.curve.append(row)
        # Written whole: epochs that a killed run had logged but not yet saved are not listed twice.
        (self.folder / LOG_FILE).write_text("".join(json.dumps(row) + "\n" for row in self.progress.curve))
        images = self.progress.step * self.config.batch_size
        return f"loss {loss:.2f}, held-out error {error:.1%}, {images / self.progress.seconds:.0f} img/s"

    @torch.no_grad()
    def _held_out_error(self) -> float:
        self.model.eval()
        wrong = 0
        for chosen in self.held_out.split(250):
            guess = self._logits(self.preprocess.centre(self._fetch(chosen))).argmax(1).cpu()
            wrong += int((guess != self.labels[chosen]).sum())
        self.model.train()
        return wrong / len(self.held_out)

    def save(self) -> None:
        """Write weights, velocities, mean image, snapshots and progress as one file, beside and renamed."""
        sizes, measured = self.preprocess.parts()
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"velocity.{name}": tensor for name, tensor in self.optimiser.velocities().items()}
        tensors |= {f"preprocess.{name}": tensor for name, tensor in measured.items()}
        tensors["snapshots"] = torch.stack(self.snapshots)
        state = {
            "config": asdict(self.config),
            "progress": asdict(self.progress),
            "schedule": vars(self.schedule),
            "rates": self.optimiser.rates(),
            "sizes": sizes,
            "data_hash": self.store.hash,
            "device": device_name(self.device),
            "torch": torch.__version__,
            "commit": self.commit,
        }
        beside = self.folder / f"{STATE_FILE}.part"
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, beside, metadata={"state": json.dumps(state)})
        beside.replace(self.folder / STATE_FILE)

    def _take_up(self) -> Preprocess:
        tensors, state = read_state(self.folder)
        if state["data_hash"] != self.store.hash:
            raise ValueError(f"{self.folder} was trained on other images than those of {self.store.name!r}.")
        wanted = json.loads(json.dumps(asdict(self.config)))  # tuples become lists, as in the file
        begun = asdict(TrainConfig(preset="", dataset="")) | state["config"]  # an older run knew fewer fields
        changed = [key for key in wanted if key not in MAY_CHANGE and wanted[key] != begun[key]]
        if changed:
            raise ValueError(
                f"{self.folder} was begun with other values of {changed}: "
                f"{[begun[key] for key in changed]}; resume it with those, or choose another --folder."
            )
        self.model.load_state_dict(with_prefix(tensors, "model."))
        self.optimiser.restore(with_prefix(tensors, "velocity."), state["rates"])
        self.snapshots = list(tensors["snapshots"])
        self.progress = Progress(**state["progress"])
        vars(self.schedule).update(state["schedule"])
        return preprocess_of(tensors, state)


SNAPSHOT_STEPS = frozenset({0, *(round(10 ** (i / 4)) for i in range(4, 24))})  # log-spaced: 0, 10, 18, 32, ...


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a run's saved state. Raises ``FileNotFoundError`` if there is none."""
    path = folder / STATE_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: no run was saved there.")
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return tensors, json.loads(file.metadata()["state"])


def preprocess_of(tensors: dict[str, Tensor], state: dict[str, Any]) -> Preprocess:
    """The preprocessing that a saved run was trained with."""
    return Preprocess.from_parts(state["sizes"], with_prefix(tensors, "preprocess."))


def device_name(device: torch.device) -> str:
    """What the card says about where a network was trained."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listing = Path("/proc/cpuinfo")  # Linux; elsewhere the platform's own words
    lines = listing.read_text().splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"CPU, {torch.get_num_threads()} threads of {model}"


def code_commit() -> str:
    """The commit that this code stands at, "unknown" outside a git checkout; the card tells it."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _schedule(config: TrainConfig) -> Schedule:
    if config.schedule == "plateau":
        return PlateauSchedule(config.patience)
    if config.schedule == "cosine":
        return CosineSchedule(config.rate, config.quiet_share)
    raise ValueError(f"schedule must be 'plateau' or 'cosine', got {config.schedule!r}.")


def _learned(model: AlexNet) -> list[tuple[str, torch.nn.Module]]:
    return [(name, stage) for name, stage in model.stages.items() if name.startswith(("conv", "fc"))]


def _parameter_keys(model: AlexNet) -> list[tuple[str, str]]:
    return [(name, kind) for name, _ in _learned(model) for kind in ("weight", "bias")]


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class _Interrupt:
    """Turns SIGINT into a flag, so that a step is finished and saved before the run ends."""

    seen = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: object) -> None:
        self.seen = True

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def main(arguments: list[str] | None = None) -> None:
    """Train a network; a run that was stopped continues with --resume."""
    parser = argparse.ArgumentParser(prog="python -m alexnet_core.train", description=main.__doc__)
    parser.add_argument("--preset", choices=list(PRESETS), required=True)
    parser.add_argument("--folder", type=Path, help="where the run is kept (default: the data home's runs/PRESET)")
    parser.add_argument("--dataset", help="name of another data set than the preset's")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="continue the run in the folder")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    changes = {key: value for key in ("dataset", "epochs", "seed") if (value := getattr(options, key)) is not None}
    config = replace(PRESETS[options.preset], **changes)
    folder = options.folder or runs_dir() / config.preset
    if (folder / STATE_FILE).exists() and not options.resume:
        parser.error(f"{folder} already holds a run: add --resume to continue it, or choose another --folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        store = open_dataset(config.dataset)
        run = Run(folder, config, store, torch.device(options.device), resume=options.resume)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    use_compiled()  # some seconds of compiling against hours of steps
    run.train()
    error = run.progress.curve[-1]["held_out_error"]
    logger.info("Done: held-out top-1 error %.1f %%. Next: python -m alexnet_core.export %s", 100 * error, folder)


if __name__ == "__main__":
    reuse_freed_memory()  # for the whole process, so only in one of its own
    main()

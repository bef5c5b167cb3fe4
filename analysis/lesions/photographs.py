"""What either tower is good for on photographs, in colour and without: ``python -m analysis.lesions.photographs``."""

import argparse
import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet_core.checkpoint import LESIONS, SHIPPED, Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.files import sha256_of_values
from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from alexnet_core.store import ImageStore, Split
from analysis.evaluate import check_fit
from analysis.lesions.dissociation import Estimate, lesions_file
from analysis.lesions.lesion import (
    SCOPES,
    Lesion,
    Scope,
    complement,
    matched_lesion,
    run_under,
    tower_lesion,
    unit_means,
)
from analysis.lesions.photo_dissociation import (
    CONTRASTS,
    METRICS,
    Answers,
    ColourClasses,
    PhotoReport,
    PhotoTable,
    RandomHalves,
    answers_of,
    colour_classes,
    photo_table,
    random_halves,
    verdict_of,
)
from analysis.lesions.study import AT_ONCE, mean_overlap, spread
from analysis.sealed import read_sealed, save_sealed
from analysis.shards import BATCH, Shard, ShardFolder, compute_shards
from analysis.stimuli import STIMULI, Stimulus, photo_stimulus

VERSION = 1  # of the code that makes answers
MODES: tuple[Literal["zero", "mean"], ...] = ("zero", "mean")
PHOTOS = f".photos{LESIONS}"  # ends the name of a result
STATES = ("intact", "A off", "B off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured; images are evenly spread over their split.

    Raises ``ValueError`` for fewer than two images, a negative number of halves, or without the primary contrast.
    """

    split: str = "val"
    limit: int | None = None  # images for the table; None takes all
    stimuli: tuple[Stimulus, ...] = STIMULI
    scope: Scope = "conv1-conv2"
    mode: Literal["zero", "mean"] = "zero"
    reference: int = 500  # images, as they are, for mean activations: of "train", or of the split itself
    halves: int = 100  # random halves, for the primary contrast; 0 for none
    halves_images: int = 500
    resamples: int = 2000  # of the bootstrap
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("limit", "reference", "halves_images"):
            if (count := getattr(self, name)) is not None and count < 2:
                raise ValueError(f"{name} must be at least 2 images, got {count}.")
        if not set(CONTRASTS[0]) <= set(self.stimuli) or self.halves < 0:
            raise ValueError(
                f"There must be {' and '.join(CONTRASTS[0])} among the stimuli and 0 or more halves, "
                f"got {self.stimuli} and {self.halves}."
            )


def measure_network(
    model: AlexNet,
    preprocess: Preprocess,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    stimuli: Sequence[Stimulus] = CONTRASTS[0],
    resamples: int = 2000,
) -> PhotoTable:
    """One network in one pass over images (N, 3, s, s), as stored: either tower's conv1 and conv2 off by zeros.

    Without random halves it takes 40 s for 2,000 images of 127 px on a core: cheap enough for many seeds. Raises
    ``ValueError`` unless the network has two towers.
    """
    subject, blocks = _Subject.of(model, preprocess, tower_lesions(model)), _blocks(len(images))
    answers: dict[Stimulus, Answers] = {
        stimulus: np.concatenate(
            [subject.answers(images[block], labels[block], stimulus) for block in blocks]
        ).transpose(1, 2, 0)
        for stimulus in stimuli
    }
    return photo_table(answers, rng, resamples=resamples)


def study(
    checkpoint: Checkpoint, store: ImageStore, plan: Plan, *, device: torch.device | None = None, progress: bool = False
) -> PhotoReport:
    """Every stimulus with every tower off, the random halves, and the classes that need colour.

    Interrupted, the same call goes on where it stopped; `discard_unfinished` deletes what it kept for that. Raises
    ``ValueError`` unless the network has two towers and reads the store's images and classes.
    """
    check_fit([checkpoint], store)
    halves_rng, table_rng, classes_rng = np.random.default_rng(plan.seed).spawn(3)
    photos = _Photos(checkpoint, store, plan, device or torch.device("cpu"), progress)
    lesions = tower_lesions(checkpoint.model, plan.scope, plan.mode)
    rows = spread(len(photos.split.labels), plan.limit)
    answers = photos.answers("towers off", plan.stimuli, lesions, rows)
    table = photo_table(answers, table_rng, resamples=plan.resamples)
    labels = np.asarray(photos.split.labels)[rows]
    halves = (_measure_halves(photos, plan, halves_rng),) if plan.halves else ()
    classes = colour_classes(answers, labels, classes_rng, resamples=plan.resamples)
    return PhotoReport(
        checkpoint=checkpoint.card["name"],
        checkpoint_id=checkpoint.id,
        dataset=store.name,
        data_hash=store.hash,
        split=plan.split,
        images=len(rows),
        scope=plan.scope,
        mode=plan.mode,
        resamples=plan.resamples,
        seed=plan.seed,
        verdict=verdict_of(table, halves),
        rows=table.rows,
        contrasts=table.contrasts,
        halves=halves,
        classes=classes,
    )


def tower_lesions(
    model: AlexNet, scope: Scope = "conv1-conv2", mode: Literal["zero", "mean"] = "zero"
) -> tuple[Lesion, Lesion, Lesion]:
    """None, tower A off, tower B off. Raises ``ValueError`` unless there are two towers."""
    if (towers := model.config.towers) != 2:
        raise ValueError(f"The towers are compared in pairs: the network must have 2, this one has {towers}.")
    return Lesion(), tower_lesion(model, 0, scope, mode), tower_lesion(model, 1, scope, mode)


def discard_unfinished(checkpoint: Checkpoint) -> None:
    """Delete what `study` keeps to be able to go on."""
    shutil.rmtree(_unfinished(checkpoint), ignore_errors=True)


def photo_file(checkpoint: Checkpoint) -> Path:
    """Where this machine's own result for a checkpoint lies: ``<data home>/lesions/<checkpoint id>.photos...json``."""
    return lesions_file(checkpoint).with_name(f"{checkpoint.id}{PHOTOS}")


def load_photos(checkpoint: Checkpoint) -> PhotoReport | None:
    """The result measured here, else the one shipped as ``NAME.photos.lesions.json``, else ``None``.

    A result of another checkpoint counts as absent. Raises ``ValueError`` for a damaged file.
    """
    for path in (photo_file(checkpoint), SHIPPED / f"{checkpoint.card['name']}{PHOTOS}"):
        if path.exists() and (report := read_sealed(path, PhotoReport)).checkpoint_id == checkpoint.id:
            return report
    return None


class _Subject(NamedTuple):
    """A network, a copy in the fastest layout, and the lesions that it is asked under."""

    network: AlexNet
    preprocess: Preprocess
    lesions: Sequence[Lesion]
    means: Mapping[str, Tensor]
    device: torch.device

    @classmethod
    def of(
        cls, model: AlexNet, preprocess: Preprocess, lesions: Sequence[Lesion], device: torch.device | None = None
    ) -> "_Subject":
        place = device or next(model.parameters()).device
        network: AlexNet = copy.deepcopy(model).eval().to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(network, preprocess, lesions, {}, place)

    def with_means(self, photographs: NDArray[np.uint8]) -> "_Subject":
        """The same, with the mean activations over photographs (N, 3, s, s) that lesions by means need."""
        stages = sorted({stage for lesion in self.lesions for stage in lesion.units})
        batches = (self.batch(photographs[block], "colour") for block in _blocks(len(photographs)))
        return self._replace(means=unit_means(self.network, batches, stages))

    def batch(self, images: NDArray[np.uint8], stimulus: Stimulus) -> Tensor:
        """Network input of the central crops of images shown as that stimulus."""
        shown = photo_stimulus(torch.from_numpy(np.array(images)).to(self.device), stimulus)
        return self.preprocess.centre(shown).contiguous(memory_format=torch.channels_last)

    def answers(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        stimulus: Stimulus,
        advance: Callable[[int], object] = lambda _: None,
    ) -> Answers:
        """Answers to images (N, 3, s, s), images first: (N, lesions, metrics). `advance` is told how many came."""
        batch, truth = self.batch(images, stimulus), torch.from_numpy(np.array(labels)).to(self.device)
        found = []
        for first in range(0, len(self.lesions), AT_ONCE):
            some = self.lesions[first : first + AT_ONCE]
            found.append(answers_of(run_under(self.network, batch, some, means=self.means).float(), truth))
            advance(len(some) * len(batch))
        return np.concatenate(found).transpose(2, 0, 1)


class _Photos(NamedTuple):
    """What the study's passes over images have in common."""

    checkpoint: Checkpoint
    store: ImageStore
    plan: Plan
    device: torch.device
    progress: bool

    @property
    def split(self) -> Split:
        return self.store.split(self.plan.split)

    def subject(self, lesions: Sequence[Lesion]) -> _Subject:
        """The network under these lesions, with the means that they need."""
        subject = _Subject.of(self.checkpoint.model, self.checkpoint.preprocess, lesions, self.device)
        if all(lesion.mode == "zero" for lesion in lesions):
            return subject
        reference = self.store.split("train" if "train" in self.store.splits else self.plan.split).images
        return subject.with_means(np.array(reference[spread(len(reference), self.plan.reference)]))

    def answers(
        self, label: str, stimuli: Sequence[Stimulus], lesions: Sequence[Lesion], rows: NDArray[np.intp]
    ) -> dict[Stimulus, Answers]:
        """Answers (lesions, metrics, images) to these rows by stimulus, taken up where an earlier call ended."""
        shards = self.shards(stimuli, lesions, rows)
        pieces = [
            Shard(number, self.plan.split, block.start, block.stop) for number, block in enumerate(_blocks(len(rows)))
        ]
        split, subject = self.split, self.subject(lesions)
        total = len(rows) * len(stimuli) * len(lesions)
        left = sum((shard.stop - shard.start) * len(shards.missing(shard)) * len(lesions) for shard in pieces)

        def load(_: Shard, start: int, stop: int, __: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
            return np.array(split.images[rows[start:stop]]), split.labels[rows[start:stop]]

        with tqdm(total=total, initial=total - left, desc=label, unit="image", disable=not self.progress) as bar:

            def compute(batch: tuple[NDArray[np.uint8], NDArray[np.int64]], parts: Sequence[str]) -> dict[str, Answers]:
                return {part: subject.answers(*batch, cast(Stimulus, part), bar.update) for part in parts}

            compute_shards(shards, pieces, load=load, compute=compute, advance=lambda _: None)
        return {
            stimulus: np.concatenate([shards.array(stimulus, shard) for shard in pieces]).transpose(1, 2, 0)
            for stimulus in stimuli
        }

    def shards(self, stimuli: Sequence[Stimulus], lesions: Sequence[Lesion], rows: NDArray[np.intp]) -> ShardFolder:
        """Where the answers to each stimulus lie until the result is written."""
        identity = [VERSION, self.checkpoint.id, self.store.hash, self.plan.split, self.plan.reference, rows.tolist()]
        asked = [[{stage: list(units) for stage, units in lesion.units.items()}, lesion.mode] for lesion in lesions]
        keys: dict[str, str] = {stimulus: sha256_of_values(identity, asked, stimulus) for stimulus in stimuli}
        return ShardFolder(_unfinished(self.checkpoint), keys)


def _measure_halves(photos: _Photos, plan: Plan, rng: np.random.Generator) -> RandomHalves:
    """The towers among random halves that match tower A, each against its complement, silenced like the towers."""
    model = photos.checkpoint.model
    lesions = tower_lesions(model, plan.scope, plan.mode)
    drawn = [matched_lesion(model, lesions[1], rng) for _ in range(plan.halves)]
    pairs = [lesion for match in drawn for lesion in (match.lesion, complement(model, match.lesion))]
    rows = spread(len(photos.split.labels), plan.halves_images)
    answers = photos.answers("random halves", CONTRASTS[0], [*lesions, *pairs], rows)
    error = {stage: max(abs(match.error[stage]) for match in drawn) for stage in drawn[0].error}
    return random_halves(answers, error, mean_overlap(lesions[1], drawn))


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BATCH, n)) for start in range(0, n, BATCH)]


def _unfinished(checkpoint: Checkpoint) -> Path:
    return photo_file(checkpoint).with_suffix(".unfinished")


# The command line.


def report_text(report: PhotoReport) -> str:
    """The result for people: shares in %, log p in nats, everything with its 95 % interval."""
    lines = [
        f"{report.checkpoint} ({report.checkpoint_id}) on {report.dataset}, {report.split}: {report.images:,} images, "
        f"towers off in {report.scope} ({report.mode})"
    ]
    for metric in METRICS:
        lines += ["", f"{metric:14s}" + "".join(f"{state:24s}" for state in STATES) + "A off - B off"]
        lines += [
            _line(row.stimulus, metric, [*row.score[metric], row.difference[metric]], signed=len(STATES))
            for row in report.rows
        ]
        lines += [
            _line(f"{c.more} - {c.less}", metric, [*c.advantage[metric], c.interaction[metric]], signed=0)
            for c in report.contrasts
        ]
        lines += [
            _line(f"  as a share of {c.more}", metric, [*c.relative[metric], c.relative_interaction[metric]], signed=0)
            for c in report.contrasts
            if metric in c.relative
        ]
    for half in report.halves:
        lines += ["", *_halves_lines(half)]
    for classes in report.classes:
        lines += ["", *_classes_lines(classes)]
    return "\n".join([*lines, "", report.verdict])


def _line(name: str, metric: str, values: Sequence[Estimate], *, signed: int) -> str:
    texts = (_text(value, metric, plus=place >= signed) for place, value in enumerate(values))
    return f"{name:28s}" + "".join(f"{text:24s}" for text in texts).rstrip()


def _text(value: Estimate, metric: str, *, plus: bool) -> str:
    scale, form = (1, ".2f") if metric == "log p" else (100, ".1f")
    form = "+" * plus + form
    return f"{scale * value.value:{form}} [{scale * value.low:{form}}, {scale * value.high:{form}}]"


def _halves_lines(half: RandomHalves) -> Iterator[str]:
    error = max(half.norm_error.values())
    overlap = ", ".join(f"{100 * share:.0f} % in {stage}" for stage, share in half.overlap.items())
    yield (
        f"The towers among {half.n} random halves and their complements, {half.images:,} images: squared norm within "
        f"{100 * error:.1f} % of tower A's, of their units {overlap} lie in it"
    )
    for metric in METRICS:
        for name, rank in (
            ("A off: drop", half.drop[metric][0]),
            ("B off: drop", half.drop[metric][1]),
            ("interaction", half.interaction[metric]),
        ):
            low, middle, high = np.quantile(rank.controls, (0.025, 0.5, 0.975))
            yield (
                f"  {metric:6s} {name:12s} {rank.observed:+.3f}   random {middle:+.3f} ({low:+.3f} to {high:+.3f})   "
                f"above {rank.rank} of {half.n}, p = {rank.p_value:.2g}"
            )


def _classes_lines(classes: ColourClasses) -> Iterator[str]:
    yield (
        f"{len(classes.chosen)} colour-dependent classes ({classes.images[0]:,} images tested) against the others "
        f"({classes.images[1]:,}), and the difference"
    )
    for name, values in (("worth of colour", classes.benefit), ("interaction", classes.interaction)):
        for metric in METRICS:
            yield _line(f"  {metric}, {name}", metric, values[metric], signed=0)


def main(arguments: list[str] | None = None) -> None:
    """Measure what switching off a tower costs on photographs in colour, in grey, and otherwise changed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = Plan(**{item.name: getattr(options, item.name) for item in fields(Plan)})
        checkpoint = load_checkpoint(options.checkpoint)
        store = open_dataset(options.dataset or checkpoint.card["dataset"])
        report = study(checkpoint, store, plan, device=torch.device(options.device), progress=True)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    save_sealed(report, options.to or photo_file(checkpoint))
    discard_unfinished(checkpoint)
    print(json.dumps(report.to_json(), indent=1) if options.json else report_text(report))


def _parser() -> argparse.ArgumentParser:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m analysis.lesions.photographs", description=main.__doc__)
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--dataset", help="name of an image store (default: the one the checkpoint was trained on)")
    parser.add_argument("--split", default=plan.split)
    parser.add_argument("--limit", type=int, help="only that many images for the table, evenly spread")
    parser.add_argument("--stimuli", nargs="+", choices=STIMULI, default=plan.stimuli)
    parser.add_argument("--scope", choices=SCOPES, default=plan.scope, help="what of a tower is switched off")
    parser.add_argument("--mode", choices=MODES, default=plan.mode, help="what silenced units give")
    parser.add_argument("--reference", type=int, default=plan.reference, help="images for mean activations")
    parser.add_argument("--halves", type=int, default=plan.halves, help="random halves; 0 for none")
    parser.add_argument("--halves-images", type=int, default=plan.halves_images)
    parser.add_argument("--resamples", type=int, default=plan.resamples, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print the JSON in place of a table")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write the JSON there and not into the data home")
    return parser


if __name__ == "__main__":
    main()

"""What switching off a tower costs, measured on a data set against random lesions: ``python -m analysis.lesions``."""

import argparse
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.files import sha256_of_values, written_beside
from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES, hue_of, shape_of
from alexnet_core.store import ImageStore, Split
from analysis.evaluate import check_fit
from analysis.lesions.dissociation import (
    INTACT,
    Condition,
    Controls,
    Factors,
    Hits,
    LesionReport,
    Off,
    compare,
    drops_of,
    lesions_file,
    points,
    rank_among,
    save_lesions,
    score,
    verdict_of,
)
from analysis.lesions.lesion import (
    MODES,
    SCOPES,
    STAGES,
    Lesion,
    Match,
    Mode,
    matched_lesion,
    run_under,
    tower_lesion,
    unit_means,
)

AT_ONCE = 25  # lesions that share a pass over a block of images, so that progress moves every few seconds
PARTS = ("table", "controls")
NAMES = ("tower A", "tower B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured; images are evenly spread over their split.

    Raises ``ValueError`` for fewer than two images, no modes or a negative number of random lesions.
    """

    split: str = "val"
    limit: int | None = None  # images for the table; None takes all
    modes: tuple[Mode, ...] = MODES
    reference: int = 500  # images for mean activations: of "train", or of the split itself if there is no "train"
    controls: int = 200  # random lesions for each tower
    control_images: int = 1000  # the towers' own lesions are measured again on them
    bfloat16: bool = False  # for the controls: faster where the processor knows this format
    resamples: int = 10_000  # of the bootstrap
    seed: int = 0
    batch_size: int = 50

    def __post_init__(self) -> None:
        for name in ("limit", "reference", "control_images"):
            if (count := getattr(self, name)) is not None and count < 2:
                raise ValueError(f"{name} must be at least 2 images, got {count}.")
        if not self.modes or self.controls < 0:
            raise ValueError(f"There must be a mode, and 0 or more controls; got {self.modes} and {self.controls}.")


class Journal(NamedTuple):
    """What is finished of a long measurement: a file that is replaced after every block of images.

    `key` says what is measured; a file with another key, or a torn one, counts as absent.
    """

    path: Path
    key: str

    def load(self) -> Hits | None:
        """What is right so far (lesions, metrics, images), or ``None``."""
        try:
            with self.path.open("rb") as file, np.load(file) as kept:
                return kept["hits"] if str(kept["key"]) == self.key else None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def save(self, hits: Hits) -> None:
        """Replace the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(self.path) as beside, beside.open("wb") as file:
            np.savez(file, hits=hits, key=np.array(self.key))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """A network, images and labels on which lesions are measured; the network is a copy, in the fastest layout."""

    network: AlexNet
    preprocess: Preprocess
    split: Split
    factors: Factors
    batch_size: int
    device: torch.device
    progress: bool

    def batch(self, rows: NDArray[np.intp]) -> Tensor:
        """Network input (N, 3, s, s) of the central crops of these images."""
        block = torch.from_numpy(np.array(self.split.images[rows])).to(self.device)
        return self.preprocess.centre(block).contiguous(memory_format=torch.channels_last)

    def blocks(self, n: int, start: int = 0) -> Iterator[slice]:
        """Places `start` to n in blocks."""
        return (slice(first, min(first + self.batch_size, n)) for first in range(start, n, self.batch_size))

    def means(self, rows: NDArray[np.intp]) -> dict[str, Tensor]:
        """Mean activations over these images, at all stages where a tower can be silenced."""
        blocks = tqdm(list(self.blocks(len(rows))), desc="mean activations", unit="batch", disable=not self.progress)
        return unit_means(self.network, (self.batch(rows[block]) for block in blocks), STAGES["whole tower"])

    def hits(
        self,
        lesions: Sequence[Lesion],
        rows: NDArray[np.intp],
        journal: Journal,
        *,
        label: str,
        means: dict[str, Tensor] | None = None,
        donors: NDArray[np.intp] | None = None,
        precision: torch.dtype = torch.float32,
    ) -> Hits:
        """What is right under each lesion, (lesions, metrics, images), taken up where the journal ends.

        `donors` holds the row of each image's donor.
        """
        found = [] if (before := journal.load()) is None else [before]
        done = found[0].shape[2] if found else 0
        total = len(lesions) * len(rows)
        with tqdm(total=total, initial=done * len(lesions), desc=label, unit="image", disable=not self.progress) as bar:
            for block in self.blocks(len(rows), done):
                images, labels = self.batch(rows[block]), self.split.labels[rows[block]]
                others = None if donors is None else self.batch(donors[block])
                right = []
                for first in range(0, len(lesions), AT_ONCE):
                    some = lesions[first : first + AT_ONCE]
                    with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
                        logits = run_under(self.network, images, some, means=means, donors=others)
                    right.append(score(logits.float(), labels, self.factors))
                    bar.update(len(some) * len(images))
                found.append(np.concatenate(right))
                journal.save(np.concatenate(found, axis=2))
        return np.concatenate(found, axis=2)


def study(
    checkpoint: Checkpoint,
    store: ImageStore,
    plan: Plan,
    *,
    device: torch.device | None = None,
    progress: bool = False,
) -> LesionReport:
    """Accuracies with each tower off, in every scope and mode, and with random lesions for comparison.

    Interrupted, the same call goes on where it stopped; `discard_unfinished` deletes what it kept for that. Raises
    ``ValueError`` unless the network has two towers and reads the store's images and classes.
    """
    check_fit([checkpoint], store)
    if (towers := checkpoint.model.config.towers) != 2:
        raise ValueError(f"The towers are compared in pairs: the network must have 2, this one has {towers}.")
    device = device or torch.device("cpu")
    bench = Bench(
        network=copy.deepcopy(checkpoint.model).to(device).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        preprocess=checkpoint.preprocess,
        split=store.split(plan.split),
        factors=factors_of(store),
        batch_size=plan.batch_size,
        device=device,
        progress=progress,
    )
    donor_rng, bootstrap_rng, *control_rngs = np.random.default_rng(plan.seed).spawn(4)
    key = sha256_of_values(checkpoint.id, store.hash, asdict(plan))
    table, random = (Journal(_journal_file(checkpoint, part), key) for part in PARTS)
    hits = measure_table(bench, store, plan, donor_rng, table)
    factors = tuple(bench.factors)
    conditions, dissociations = compare(hits, factors, bootstrap_rng, resamples=plan.resamples)
    controls = measure_controls(bench, plan, control_rngs, random)
    return LesionReport(
        checkpoint=checkpoint.card["name"],
        checkpoint_id=checkpoint.id,
        dataset=store.name,
        data_hash=store.hash,
        split=plan.split,
        images=hits[INTACT].shape[1],
        factors=factors,
        resamples=plan.resamples,
        seed=plan.seed,
        reference=reference_text(store, plan),
        verdict=verdict_of(conditions, dissociations, controls),
        conditions=conditions,
        dissociations=dissociations,
        controls=controls,
    )


def factors_of(store: ImageStore) -> Factors:
    """Shape and hue of each class of a Prism whose labels have both, else nothing."""
    classes = np.arange(len(store.classes))
    both = tuple(store.class_names) == tuple(CLASS_NAMES)
    return {"shape": shape_of(classes), "hue": hue_of(classes)} if both else {}


def spread(n: int, count: int | None) -> NDArray[np.intp]:
    """Rows of `count` >= 2 images evenly spread over n, or of all of them."""
    return np.arange(n) if count is None or count >= n else np.arange(count) * (n - 1) // (count - 1)


def draw_donors(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Another place for each of n, each used once: the next one along a random circle."""
    circle = rng.permutation(n)
    donors = np.empty(n, np.intp)
    donors[circle] = np.roll(circle, 1)
    return donors


def measure_table(
    bench: Bench, store: ImageStore, plan: Plan, rng: np.random.Generator, journal: Journal
) -> dict[Off, Hits]:
    """What is right (metrics, images) with no tower off and with each one off in every scope and mode."""
    lesions: dict[Off, Lesion] = {INTACT: Lesion()}
    for scope, mode, tower in product(SCOPES, plan.modes, (0, 1)):
        lesions[Off(tower, scope, mode)] = tower_lesion(bench.network, tower, scope, mode)
    means = None
    if "mean" in plan.modes:
        split = store.split(reference_split(store, plan))
        means = replace(bench, split=split).means(spread(len(split.labels), plan.reference))
    rows = spread(len(bench.split.labels), plan.limit)
    others = rows[draw_donors(len(rows), rng)] if "resample" in plan.modes else None
    hits = bench.hits(list(lesions.values()), rows, journal, label="towers off", means=means, donors=others)
    return dict(zip(lesions, hits, strict=True))


def reference_split(store: ImageStore, plan: Plan) -> str:
    """The split that means are taken over."""
    return "train" if "train" in store.splits else plan.split


def reference_text(store: ImageStore, plan: Plan) -> str:
    """What the means were taken over, in words."""
    split = reference_split(store, plan)
    count = len(spread(len(store.split(split).labels), plan.reference))
    return f"{count:,} images of {split}" if "mean" in plan.modes else "none"


def measure_controls(
    bench: Bench, plan: Plan, rngs: Sequence[np.random.Generator], journal: Journal
) -> tuple[Controls, ...]:
    """Each tower's conv1-conv2 lesion by zeros among random ones that match it, drawn by that tower's generator."""
    if not plan.controls:
        return ()
    wanted = [tower_lesion(bench.network, tower) for tower in (0, 1)]
    drawn = [
        [matched_lesion(bench.network, lesion, rng) for _ in range(plan.controls)]
        for lesion, rng in zip(wanted, rngs, strict=True)
    ]
    lesions = [Lesion(), *wanted, *(match.lesion for matches in drawn for match in matches)]
    rows = spread(len(bench.split.labels), plan.control_images)
    precision = torch.bfloat16 if plan.bfloat16 else torch.float32
    hits = bench.hits(lesions, rows, journal, label="random lesions", precision=precision)
    drops = drops_of(hits[0], hits[1:], tuple(bench.factors))
    return tuple(
        Controls(
            tower=tower,
            scope="conv1-conv2",
            mode=lesion.mode,
            n=plan.controls,
            images=len(rows),
            precision=str(precision).removeprefix("torch."),
            ranks={name: rank_among(values[tower], values[2:].reshape(2, -1)[tower]) for name, values in drops.items()},
            units={stage: len(units) for stage, units in lesion.units.items()},
            norm_error={stage: max(abs(match.error[stage]) for match in matches) for stage in lesion.units},
            overlap=mean_overlap(lesion, matches),
        )
        for tower, (lesion, matches) in enumerate(zip(wanted, drawn, strict=True))
    )


def discard_unfinished(checkpoint: Checkpoint) -> None:
    """Delete what `study` keeps to be able to go on."""
    for part in PARTS:
        _journal_file(checkpoint, part).unlink(missing_ok=True)


def mean_overlap(lesion: Lesion, matches: Sequence[Match]) -> dict[str, float]:
    """Mean share of the random lesions' units that are also silenced by the one they match, by stage."""
    return {
        stage: float(np.mean([np.isin(match.lesion.units[stage], units).mean() for match in matches]))
        for stage, units in lesion.units.items()
    }


def _journal_file(checkpoint: Checkpoint, part: str) -> Path:
    return lesions_file(checkpoint).with_suffix(f".{part}.npz")


# The command line.


def report_text(report: LesionReport) -> str:
    """The result for people: accuracies in %, everything else in percentage points, with 95 % intervals."""
    metrics = report.conditions[0].accuracy
    lines = [
        f"{report.checkpoint} ({report.checkpoint_id}) on {report.dataset}, {report.split}: {report.images:,} images; "
        "accuracy in %, drop in points [95 % interval]",
        "",
        " " * 38 + "".join(f"{metric:30s}" for metric in metrics).rstrip(),
        *(_condition_text(row) for row in report.conditions),
    ]
    if report.dissociations:
        first, second = report.factors
        lines += ["", f"{second} drop - {first} drop", " " * 38 + f"{'A off':24s}{'B off':24s}interaction, A - B"]
        lines += [
            f"{row.scope + ', ' + row.mode:38s}"
            + "".join(f"{points(each):24s}" for each in (*row.specificity, row.interaction)).rstrip()
            for row in report.dissociations
        ]
    for control in report.controls:
        lines += ["", *_control_lines(control)]
    return "\n".join([*lines, "", report.verdict])


def _condition_text(row: Condition) -> str:
    name = "intact" if row.tower is None else f"{NAMES[row.tower]} off, {row.scope}, {row.mode}"
    cells = (
        f"{100 * share.value:5.1f}  {points(row.drop[metric]) if metric in row.drop else '':23s}"
        for metric, share in row.accuracy.items()
    )
    return f"{name:37s}" + "".join(cells).rstrip()


def _control_lines(control: Controls) -> Iterator[str]:
    error = max(control.norm_error.values())
    overlap = ", ".join(f"{100 * share:.0f} % in {stage}" for stage, share in control.overlap.items())
    yield (
        f"{NAMES[control.tower]} off among {control.n} random lesions, {control.images:,} images: squared norm within "
        f"{100 * error:.1f} %, of their units {overlap} lie in this tower"
    )
    for name, rank in control.ranks.items():
        low, middle, high = (100 * value for value in np.quantile(rank.controls, (0.025, 0.5, 0.975)))
        yield (
            f"  {name + ' drop':18s}{100 * rank.observed:+6.1f}   random {middle:+.1f} ({low:+.1f} to {high:+.1f})   "
            f"above {rank.rank} of {control.n}, p = {rank.p_value:.2g}"
        )


def main(arguments: list[str] | None = None) -> None:
    """Measure what switching off a tower costs: top-1, top-5 and, on Prism, shape and hue of the top-1 class."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = Plan(**{item.name: getattr(options, item.name) for item in fields(Plan)})
        checkpoint = load_checkpoint(options.checkpoint)
        store = open_dataset(options.dataset or checkpoint.card["dataset"])
        report = study(checkpoint, store, plan, device=torch.device(options.device), progress=True)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    save_lesions(report, options.to or lesions_file(checkpoint))
    discard_unfinished(checkpoint)
    print(json.dumps(report.to_json(), indent=1) if options.json else report_text(report))


def _parser() -> argparse.ArgumentParser:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m analysis.lesions", description=main.__doc__)
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--dataset", help="name of an image store (default: the one the checkpoint was trained on)")
    parser.add_argument("--split", default=plan.split)
    parser.add_argument("--limit", type=int, help="only that many images for the table, evenly spread")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=plan.modes)
    parser.add_argument("--reference", type=int, default=plan.reference, help="images for mean activations")
    parser.add_argument(
        "--controls", type=int, default=plan.controls, help="random lesions by zeros for each tower; 0 for none"
    )
    parser.add_argument("--control-images", type=int, default=plan.control_images)
    parser.add_argument("--bfloat16", action="store_true", help="random lesions in bfloat16: faster on new processors")
    parser.add_argument("--resamples", type=int, default=plan.resamples, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--batch-size", type=int, default=plan.batch_size)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print the JSON in place of a table")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write the JSON there and not into the data home")
    return parser

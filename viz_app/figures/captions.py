"""What the pages say: sentences and tables made from values, for captions, hover texts and screen readers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet_core.config import AlexNetConfig
from alexnet_core.geometry import receptive_field
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES, HUES
from analysis.activations import Balance, Maps, Position
from analysis.workspace import Manifest, Progress, State
from viz_app.figures.image import Scale
from viz_app.figures.theme import TOWER_MARKS, percent

BadgeColour: TypeAlias = Literal["blue", "gray", "green", "orange", "red"]

WEAK_GUESS = 0.2  # best guesses below are right one time in six on validation images, where a class always fits

INTRO = (
    "Follow a photo through the two towers of the network: what the network sees of it, how each unit of each stage "
    "responds, and which class it guesses. Choose a sample or hand over a photo of your own."
)
CAVEAT = (
    "A response says what a unit reacts to in this one photo, not what it is for; which tower is called A is an "
    "accident of training."
)
MAPS_HELP = (
    "Every small square is one unit's map: how strongly the unit responds at each place of the photo. All stages come "
    "from one pass of the central crop through the network."
)
BALANCE_HELP = (
    "Activation energy is the sum of all squared responses. The share says which tower responds more, not which one "
    "matters more for the guess. From conv3 on each unit may read both towers."
)
EVIDENCE_HELP = (
    "Grad-CAM: the maps of the last convolution, weighted by how much each of them raises the score of the class. It "
    "shows places that speak for the class; places that speak against it stay dark."
)
COLOUR_HELP = (
    "The same photo without colour (Rec. 601 grey), and with every hue turned while brightness stays. A tower whose "
    "responses change much here relies on colour."
)

STAGE_HELP = (
    "The operations in the order in which they run: conv = convolution, norm and cnorm = response normalisation, "
    "relu = negative responses set to 0, pool = maximum of a neighbourhood, fc = fully connected, drop = dropout."
)

SWATCHES = {name: HUES[label % len(HUES)].hex for label, name in enumerate(CLASS_NAMES)}  # Prism's classes

_KINDS = {
    "conv": "weighted sums of what comes before, may be negative",
    "relu": "negative responses set to 0",
    "norm": "each response divided by those of neighbouring units at the same place",
    "cnorm": "each response divided by those around it on the same map",
    "pool": "the largest response of each 3 × 3 window, every second place",
    "fc": "weighted sums of all units before, of both towers",
    "drop": "responses halved, in place of the random dropping in training",
}


def escaped(text: str) -> str:
    """Text from outside, such as a file name, that markdown must not read as markup."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|<>~$:-])", r"\\\1", text)


def class_labels(classes: Sequence[Mapping[str, str]]) -> list[str]:
    """One unique readable name per class, in logit order: the first synonym, with its id where two would be equal."""
    names = [row["name"].split(",")[0] for row in classes]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} ({row['id']})" for name, row in zip(names, classes, strict=True)]


def best(probabilities: NDArray[np.floating], count: int = 5) -> NDArray[np.intp]:
    """Classes of the largest probabilities, best first; ties in class order."""
    return np.argsort(-probabilities, kind="stable")[:count]


def fit_warning(labels: Sequence[str], probabilities: NDArray[np.floating]) -> str:
    """A plain warning where even the best guess is weak, else an empty string."""
    top = int(best(probabilities, 1)[0])
    if probabilities[top] >= WEAK_GUESS:
        return ""
    return (
        f"Perhaps none of the {len(labels)} classes fits this photo: the best guess, “{escaped(labels[top])}”, gets "
        f"only {probabilities[top]:.0%}. The network cannot answer “none of these”."
    )


def found_classes(
    classes: Sequence[Mapping[str, str]], query: str, guesses: Mapping[str, NDArray[np.floating]]
) -> pd.DataFrame:
    """Classes with `query` in one of their names, the likeliest first, and their probability (%) for each photo."""
    words, first = query.casefold().split(), next(iter(guesses.values()))
    rows = [int(row) for row in best(first, len(classes)) if all(w in classes[row]["name"].casefold() for w in words)]
    names = [classes[index]["name"].split(",", 1) for index in rows]
    table = pd.DataFrame(
        {
            "class": [name[0] for name in names],
            "also called": [name[1].strip() if len(name) > 1 else "" for name in names],
        }
    )
    for photo, probabilities in guesses.items():
        table[photo] = probabilities[rows] * 100
    return table


def search_answer(found: int, total: int, query: str) -> str:
    """How the search went, and what it means for a photo of what was looked for."""
    if not query.strip():
        return f"The network knows {total} classes and answers with one of them, whatever the photo shows."
    if not found:
        return (
            f"No class name holds “{escaped(query.strip())}”: a photo of it will be given the name of something else."
        )
    return f"{found} of {total} classes match “{escaped(query.strip())}”."


def swatch(label: str) -> str:
    """The colour that a class of Prism names, "" for all other classes."""
    return SWATCHES.get(label, "")


def with_swatch(label: str) -> str:
    """A class name for markdown, after a small square of the colour that it names."""
    if not (colour := swatch(label)):
        return escaped(label)
    square = f"<rect width='12' height='12' rx='3' fill='{colour}'/>"
    picture = f"<svg xmlns='http://www.w3.org/2000/svg' width='12' height='12'>{square}</svg>"
    return f"![](data:image/svg+xml,{quote(picture)})\N{THIN SPACE}{escaped(label)}"


def truth_text(truth: str, labels: Sequence[str], probabilities: NDArray[np.floating]) -> str:
    """What the photo shows, and how far up the network's list that is."""
    start = f"Truth: **{with_swatch(truth)}**"
    if truth not in labels:
        return f"{start}, a class that this network does not know."
    index = labels.index(truth)
    rank = 1 + int((probabilities > probabilities[index]).sum())
    if rank == 1:
        return f"{start}: the guess is right."
    return f"{start}: guess number {rank} of {len(labels)}, at {probabilities[index]:.1%}."


def own_classes_text(names: Sequence[str], probabilities: NDArray[np.floating]) -> str:
    """The guess in the classes of a set that the network was not trained on."""
    listed = ", ".join(f"{escaped(names[index])} {probabilities[index]:.0%}" for index in best(probabilities, 3))
    return f"In the classes of these images (linear head on fc7): {listed}."


def guesses_text(labels: Sequence[str], probabilities: NDArray[np.floating]) -> str:
    """The five best guesses in words."""
    listed = ", ".join(f"{labels[index]} {probabilities[index]:.1%}" for index in best(probabilities))
    return f"Best guesses: {listed}."


def photo_line(credit: str, note: str) -> str:
    """Under the photo: what the frame means, whose photo it is, what had to be done to the file."""
    return " ".join(part for part in ("The network reads what is framed.", escaped(credit), escaped(note)) if part)


def input_line(preprocess: Preprocess) -> str:
    """Under the network's view: how much detail is left."""
    size, source = preprocess.input_size, preprocess.source_size
    detail = "" if preprocess.full_size == source else f", enlarged from a photo of {source} × {source}"
    return f"What the network sees: {size} × {size} pixels{detail}."


def legend_line(*, signed: bool) -> str:
    """What the ends of the colour strip mean."""
    return "−largest · 0 · +largest response" if signed else "0 · largest response"


def legend_alt(*, signed: bool) -> str:
    """The colour strip in words."""
    return "Strip from blue over white to red." if signed else "Strip from dark violet over green to yellow."


def stage_text(stage: str) -> str:
    """What the operation of this stage does."""
    return f"{stage}: {_KINDS[stage.rstrip('0123456789')]}."


def stage_line(stage: str, maps: Maps, scale: Scale, *, per_map: bool) -> str:
    """Name, size and range of one stage's maps."""
    units, height, width = maps.shape
    span = f"{scale.low:.3g} to {scale.high:.3g}".replace("-", "−")
    if height == width == 1:
        return f"**{stage}** · {units} units · {span}"
    return f"**{stage}** · {units} maps of {width} × {height} · {'own scales' if per_map else span}"


def stage_alt(stage: str, maps: Maps, towers: int) -> str:
    """The maps of a stage for those who do not see them."""
    sides = " | ".join(
        f"{TOWER_MARKS[tower].name}: {np.count_nonzero(block.max((1, 2)) > 0)} of {len(block)} units respond"
        for tower, block in enumerate(np.split(maps, towers))
    )
    return f"Maps of {stage}, one block per tower. {sides}."


def tower_name(stage: str, unit: int, units: int, towers: int) -> str:
    """The tower that a unit belongs to, in words."""
    return "no tower" if stage == "fc8" else TOWER_MARKS[unit * towers // units].name


def unit_title(stage: str, unit: int, units: int, towers: int) -> str:
    """Name of a unit."""
    return f"Unit {unit} of {stage} ({tower_name(stage, unit, units, towers)})"


def unit_text(config: AlexNetConfig, stage: str, unit: int, maps: Maps, places: Sequence[Position]) -> str:
    """What there is to know of one unit on this photo."""
    largest = maps.max((1, 2))
    rank = 1 + int((largest > largest[unit]).sum())
    start = (
        f"{unit_title(stage, unit, len(maps), config.towers)}: largest response {largest[unit]:.3g}, "
        f"rank {rank} of {len(maps)}."
    )
    if maps.shape[1:] == (1, 1):
        return f"{start} It sees the whole crop and has no place on the photo."
    if not places:
        return f"{start} It responds to nothing in this photo."
    spots = ", ".join(f"**{number}** {place.value:.3g}" for number, place in enumerate(places, 1))
    return f"{start} {_reach(config, stage)} Strongest places: {spots}."


def _reach(config: AlexNetConfig, stage: str) -> str:
    size, whole = receptive_field(config, stage).size, config.input_size
    start = f"Through convolutions and poolings a place sees {size} × {size}"
    if size >= whole:
        return f"{start} pixels, more than the crop's {whole} × {whole}: the frame may lie outside."
    return f"{start} of the crop's {whole} × {whole} pixels, framed for place 1."


def balance_text(balance: Balance) -> str:
    """The tower balance of the first and the last stage in words."""
    parts = [
        f"{stage}: " + ", ".join(f"{TOWER_MARKS[tower].name} {share:.0%}" for tower, share in enumerate(shares))
        for stage, shares in zip(balance.stages, balance.shares, strict=True)
        if np.isfinite(shares).all()
    ]
    return "Share of activation energy. " + "; ".join(parts) + "."


def evidence_title(label: str, probability: float, evidence: Maps) -> str:
    """Title of a Grad-CAM figure."""
    if not evidence.any():
        return f"{label} ({percent(probability)}): nothing speaks for it"
    return f"Evidence for {label} ({percent(probability)})"


def colour_text(grey: Balance, turned: Balance, stage: str) -> str:
    """Which tower cares about colour on this photo, by how far its responses at `stage` move."""
    row = grey.stages.index(stage)
    moves = np.stack([grey.shares[row], turned.shares[row]], 1)  # (towers, 2)
    if not np.isfinite(moves).all():
        return f"A tower is silent at {stage} on this photo, so the towers cannot be compared."
    parts = "; ".join(
        f"{TOWER_MARKS[tower].name} by {without:.0%} when colour is taken away, by {hues:.0%} when hues are turned"
        for tower, (without, hues) in enumerate(moves)
    )
    text = f"At {stage}, before the towers meet, the responses change: {parts}."
    if len(moves) == 1:
        return text
    leader = TOWER_MARKS[int(moves.sum(1).argmax())].name
    return f"{text} On this photo **{leader}** cares more about colour."


def map_table(values: Maps) -> pd.DataFrame:
    """A map (h, w) as a table, one row of the map per row."""
    table = pd.DataFrame(values, columns=[f"column {column}" for column in range(values.shape[1])])
    table.insert(0, "row", range(len(values)))
    return table


def balance_table(balances: Mapping[str, Balance], quantity: str = "share of energy") -> pd.DataFrame:
    """Long table of shares or changes: one row per photo, stage and tower."""
    return pd.DataFrame(
        [
            {"photo": name, "stage": stage, "tower": TOWER_MARKS[tower].name[-1], quantity: float(value)}
            for name, balance in balances.items()
            for stage, row in zip(balance.stages, balance.shares, strict=True)
            for tower, value in enumerate(row)
        ]
    )


def comparison_table(shares: Mapping[str, Balance], changes: Mapping[str, Balance]) -> pd.DataFrame:
    """Shares of energy and changes of the responses side by side; nothing has changed in the original."""
    table = balance_table(shares)
    return table.merge(balance_table(changes, "change of responses"), how="left", on=["photo", "stage", "tower"])


def megabytes(count: int) -> str:
    """A size for people."""
    if count < 100_000:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:,.0f} MB" if count >= 10_000_000 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 90:
        return f"{seconds:.0f}\N{NO-BREAK SPACE}s"
    return f"{seconds / 60:.0f}\N{NO-BREAK SPACE}min" if seconds < 5400 else f"{seconds / 3600:.1f}\N{NO-BREAK SPACE}h"


def checkpoint_line(card: Mapping[str, Any]) -> str:
    """Which network it is, and how good."""
    metrics = card.get("metrics", {}).get("as_stored")
    name = f"**{escaped(str(card['name']))}**"
    if not metrics:
        return name
    views = {1: "the central crop", 10: "ten views"}[card["metrics"]["views"]]
    rates = f"top-1 {metrics['top1']:.1%}, top-5 {metrics['top5']:.1%}"
    return f"{name}: {rates} right on {metrics['n']:,} validation images, from {views} of each."


def images_line(title: str, images: int | None, classes: int | None) -> str:
    """Which images it has."""
    return f"{escaped(title)}. {images:,} images of {classes} classes." if images else f"{escaped(title)}."


def progress_text(progress: Progress) -> str:
    """How far a build is, how long it has taken, and how long it may still take."""
    share = progress.done / progress.total if progress.total else 0.0
    text = f"{escaped(progress.step)} · {duration(progress.seconds)} so far"
    if progress.seconds < 3 or share < 0.03:
        return text
    return f"{text}, about {duration(progress.seconds / share - progress.seconds)} left"


def state_word(state: State, *, failed: bool = False) -> tuple[str, BadgeColour]:
    """State of a workspace in a word or two, and the colour of its badge."""
    if state.progress:
        return "being built", "blue"
    if failed:
        return "build failed", "red"
    if not state.images:
        return "images not here", "gray"
    if state.fresh:
        return "complete", "green"
    return ("out of date", "orange") if is_stale(state) else ("not built yet", "gray")


def is_stale(state: State) -> bool:
    """Whether something was built from another network or other images."""
    return any(artefact.status == "stale" for artefact in state.artefacts.values())


def artefacts_line(state: State) -> str:
    """The artefacts with their sizes, and which of them are stale or missing."""
    if not state.bytes:
        return "Nothing is computed yet."
    marks = {"fresh": "✓", "stale": "↻ out of date,", "missing": "– missing"}
    return " · ".join(
        f"{name} {marks[status]}" + (f" {megabytes(size)}" if status != "missing" else "")
        for name, (status, size) in state.artefacts.items()
    )


def build_facts(manifest: Manifest, built: float) -> str:
    """When a workspace was built (seconds since 1970), how fast, and how good its linear head is."""
    facts = [f"Built on {datetime.fromtimestamp(built):%d %B %Y at %H:%M}"]
    if manifest.pass_rate:
        facts.append(f"{manifest.pass_rate:,.0f} images/s")
    if head := manifest.head:
        facts.append(
            f"linear head: {head.accuracy:.1%} right on {head.n:,} images kept from it "
            f"(95% interval {head.low:.1%} to {head.high:.1%})"
        )
    return "; ".join(facts) + "."


def removal_text(name: str, size: int, *, images: bool, entry: bool) -> str:
    """What a removal deletes and frees."""
    also = [what for what, there in (("the images read for it", images), ("its entry in this list", entry)) if there]
    return f"This deletes {' and '.join([f'what was computed for **{escaped(name)}**', *also])}: {megabytes(size)}."


def folder_line(classes: Mapping[str, int], size: int) -> str:
    """What a folder of photos holds."""
    listed = ", ".join(f"{escaped(name)} {count}" for name, count in classes.items())
    return f"{sum(classes.values()):,} pictures ({megabytes(size)}) of {len(classes)} classes: {listed}."


def left_out_title(count: int) -> str:
    """How many files could not be used."""
    return "1 file is left out" if count == 1 else f"{count:,} files are left out"


def sizes_line(sizes: Mapping[str, int]) -> str:
    """What the folders of the data home hold."""
    if not sizes:
        return "Nothing is kept there yet."
    listed = ", ".join(f"{escaped(name)} {megabytes(size)}" for name, size in sizes.items())
    return f"{megabytes(sum(sizes.values()))} in all: {listed}."

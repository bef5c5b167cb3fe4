"""The report on a network's errors: the page's numbers, figures and images in one HTML file."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from analysis.errors.calibration import Calibration, RiskCoverage, calibration, risk_coverage
from analysis.errors.classes import class_rows
from analysis.errors.confusions import confused_pairs
from analysis.errors.rates import Rates, rates
from analysis.errors.selection import Selection, in_split, select
from analysis.predictions import About
from viz_app.figures.paper import Panel, as_svg, drawn, figure4, figure4_text, panels_of
from viz_app.figures.report import calibration_chart, risk_chart
from viz_app.figures.theme import percent
from viz_app.frame import Table, rendered
from viz_app.provenance import facts_table, network_facts, software_table

IMAGES = 96  # of the selection, shown
PAIRS = 20
TENTHS = np.linspace(0.1, 1, 10)  # coverages in the table
SOFTWARE = ("torch", "numpy", "scipy", "pyarrow", "cleanlab", "matplotlib")


class Material(NamedTuple):
    """What a report is about."""

    title: str  # of the images
    card: Mapping[str, Any]  # of the checkpoint that predicted
    table: pa.Table  # analysis.predictions
    about: About
    names: Sequence[str]  # readable, in the order of the labels
    image: Callable[[int], Image.Image]  # of a position in the table, every pixel that the store has
    thumbnail: Callable[[int], bytes]  # JPEG, likewise


class Shown(NamedTuple):
    """One image of the selection."""

    number: int
    jpeg: bytes
    truth: str
    probability: float  # of the truth
    guess: str
    confidence: float  # of the guess
    right: bool


def errors_report(material: Material, selection: Selection, *, images: int = IMAGES, made: date | None = None) -> str:
    """The report as HTML: all numbers are about the selection's split, the images are the first of the selection.

    Raises ``ValueError`` if the split has no images.
    """
    table, names, about = in_split(material.table, selection.split), material.names, material.about
    if not len(table):
        raise ValueError(f"There are no predictions for split {selection.split!r}; choose from {list(about.firsts)}.")
    positions = select(material.table, selection, names)
    found, curve, overall = calibration(table), risk_coverage(table), rates(table)
    rows = material.table.take(pa.array(positions[:images])).to_pylist()
    panels = panels_of(material.table, drawn(material.table, selection.split, 0), names, material.image)
    return rendered(
        "errors.html",
        title=f"What {about.checkpoint} gets wrong",
        command="python -m viz_app.report errors",
        made=made or date.today(),
        images_are=_images_text(material, selection.split),
        rates=overall,
        rate_table=_rate_table(overall),
        pair_table=_pair_table(table, names),
        class_table=_class_table(table, names),
        calibration_text=_calibration_text(found),
        calibration_chart=calibration_chart(found),
        calibration_table=_calibration_table(found),
        risk_text=_risk_text(curve),
        risk_chart=risk_chart(curve),
        risk_table=_risk_table(curve, len(table)),
        selection_text=_selection_text(selection, names, len(rows), len(positions), len(table)),
        cards=[_shown(row, material.thumbnail(at), names) for row, at in zip(rows, positions.tolist(), strict=False)],
        image_table=_image_table(rows, names),
        figure4=as_svg(figure4(panels)),
        figure4_alt=figure4_text(panels),
        figure4_table=_figure4_table(panels),
        fact_tables=_fact_tables(material, selection.split, len(table)),
        methods=_methods(about),
    )


def _images_text(material: Material, split: str) -> str:
    return f"{split or 'all splits'} of {material.about.dataset} ({material.title})"


def _rate_table(found: Rates) -> Table:
    rows = [("top-1", found.top1_wrong.hits, found.top1_wrong), ("top-5", found.top5_wrong.hits, found.top5_wrong)]
    return Table("How often it is wrong", ("Wrong at", "Images", "Share, 95% interval"), rows)


def _pair_table(table: pa.Table, names: Sequence[str]) -> Table:
    rows = [
        (
            names[pair.first],
            names[pair.second],
            pair.there + pair.back,
            pair.there,
            pair.n_first,
            pair.back,
            pair.n_second,
        )
        for pair in confused_pairs(table, limit=PAIRS)
    ]
    headings = ("A", "B", "Images both ways", "A taken for B", "of images of A", "B taken for A", "of images of B")
    return Table(f"The {len(rows)} pairs of classes with the most images taken for each other", headings, rows)


def _class_table(table: pa.Table, names: Sequence[str]) -> Table:
    found = [row for row in class_rows(table, names) if row.n]
    rows = [
        (
            names[row.label],
            row.top1,
            row.top5,
            "–" if row.wrong_guess is None else names[row.wrong_guess],
            row.wrong_count,
        )
        for row in sorted(found, key=lambda row: row.top1.value)
    ]
    headings = ("Class", "Right at top-1", "Right at top-5", "Most often taken for", "Times")
    return Table("Every class with images, the worst first", headings, rows)


def _calibration_text(found: Calibration) -> str:
    low, high = (100 * end for end in found.ece_interval)
    return (
        f"Expected calibration error: {100 * found.ece:.2f} points [{low:.2f}, {high:.2f}], the mean distance between "
        f"confidence and share right over {len(found.bins)} bins; in the worst bin {100 * found.mce:.2f} points."
    )


def _calibration_table(found: Calibration) -> Table:
    rows = [(f"{row.low:.1%} to {row.high:.1%}", row.n, row.confidence, row.right) for row in found.bins if row.n]
    return Table("Bins of confidence that hold images", ("Confidence", "Images", "Mean confidence", "Right"), rows)


def _risk_text(found: RiskCoverage) -> str:
    return (
        f"Area under the risk-coverage curve: {found.aurc:.4f}; {found.best_aurc:.4f} if the network were always surer "
        f"when right, {found.risk[-1]:.4f} if its confidence said nothing."
    )


def _risk_table(found: RiskCoverage, n: int) -> Table:
    places = np.abs(found.coverage - TENTHS[:, None]).argmin(axis=1)
    rows = [
        (f"{coverage:.1%}", round(coverage * n), risk)
        for coverage, risk in zip(found.coverage[places].tolist(), found.risk[places].tolist(), strict=True)
    ]
    return Table("If only the surest images are answered", ("Share answered", "Images", "Wrong"), rows)


def _selection_text(selection: Selection, names: Sequence[str], shown: int, found: int, n: int) -> str:
    """What was selected, and how many that are."""
    conditions = {
        selection.criterion: True,
        "{} and {}".format(*selection.ranks): selection.criterion == "rank between",
        f"sure means from {selection.sure:.0%}": selection.criterion in ("right but unsure", "wrong and sure"),
        f"true class: {', '.join(names[label] for label in selection.true)}": selection.true,
        f"guess: {', '.join(names[label] for label in selection.guessed)}": selection.guessed,
        f"“{selection.text}” in a class name": selection.text,
        "confidence {:.0%} to {:.0%}".format(*selection.confidence): selection.confidence != (0, 1),
        "suspected label errors": selection.issues_only,
    }
    wanted = "; ".join(text for text, holds in conditions.items() if holds)
    order = f"random, seed {selection.seed}" if selection.order == "random" else selection.order
    return (
        f"Selected: {wanted}. {found:,} of {n:,} images ({found / n:.1%}); the first {shown:,} in the order "
        f"“{order}”. Under each image: its label with the probability the network gave it, then the best "
        "guess with its own."
    )


def _shown(row: Mapping[str, Any], jpeg: bytes, names: Sequence[str]) -> Shown:
    return Shown(
        number=row["id"],
        jpeg=jpeg,
        truth=names[row["label"]],
        probability=row["probability"],
        guess=names[row["guess"]],
        confidence=row["confidence"],
        right=row["rank"] == 0,
    )


def _image_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    values = [
        (
            str(row["id"]),
            row["path"],
            names[row["label"]],
            row["rank"] + 1,
            row["probability"],
            ", ".join(
                f"{names[guess]} {percent(probability)}"
                for guess, probability in zip(row["top_classes"][:5], row["top_probabilities"][:5], strict=True)
            ),
        )
        for row in rows
    ]
    headings = ("Image", "Path", "Truth", "Its rank", "Its probability", "Best guesses")
    return Table("The images above", headings, values)


def _figure4_table(panels: Sequence[Panel]) -> Table:
    rows = [
        (
            panel.truth,
            *(
                f"{'★ ' if place == panel.right else ''}{guess} {percent(probability)}"
                for place, (guess, probability) in enumerate(zip(panel.guesses, panel.probabilities, strict=True))
            ),
        )
        for panel in panels
    ]
    count = len(panels[0].guesses)
    return Table("The figure's numbers; ★ is right", ("Label", *(f"Guess {k + 1}" for k in range(count))), rows)


def _fact_tables(material: Material, split: str, n: int) -> list[Table]:
    about = material.about
    images = {
        "Images": material.title,
        "Data set": about.dataset,
        "Hash": about.store_hash,
        "Split": f"{split or 'all'}, {n:,} images",
        "Classes": f"{len(about.classes):,}",
    }
    return [
        facts_table("The network", _network(material)),
        facts_table("The images", images),
        software_table(SOFTWARE),
    ]


def _network(material: Material) -> dict[str, str]:
    card, about = material.card, material.about
    facts = {"Name": about.checkpoint, "Id": about.checkpoint_id}
    return facts | network_facts(card) if card["id"] == about.checkpoint_id else facts  # an average has no card


def _methods(about: About) -> list[str]:
    views = "the central crop" if about.views == 1 else f"the mean of {about.views} views (paper, section 4.1)"
    return [
        f"Probabilities are the softmax of {views}{f', {about.off}' if about.off else ''}."
        + (" They are those of a linear head on fc7 fitted to these classes." if about.judge == "head" else ""),
        "An image is right at top-1 if its label is the best guess, at top-5 if it is among the five best.",
        "Intervals of shares are Wilson's, 95%. They are over images: another training run may differ by more.",
        "The expected calibration error uses bins of equal width (Guo et al. 2017); its interval is a bootstrap over "
        "images. Risk and coverage: Geifman and El-Yaniv 2017.",
        "Suspected label errors are those of confident learning (Northcutt et al. 2021, by cleanlab): candidates to "
        "look at, not verdicts.",
    ]

"""The report on the two towers: the page's numbers and figures in one HTML file, every number in a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet_core import Checkpoint
from analysis.between.report import BetweenTowers
from analysis.between.routing import AxesReport, BlockMass
from analysis.experiments.matrix import Matrix
from analysis.experiments.nets import KINDS, Net, rows_of
from analysis.experiments.report import NOTE, net_table, summary
from analysis.kernels.indices import KernelIndices
from analysis.lesions.dissociation import Estimate, LesionReport
from analysis.lesions.photo_dissociation import METRICS, PhotoReport
from analysis.towers.comparison import colour_shares, tower_labels
from analysis.towers.study import TowerStudy
from viz_app.figures import lesions, networks, photo_lesions, routing, tower_charts, tower_kernels
from viz_app.figures.captions import class_labels
from viz_app.figures.lesions import titled
from viz_app.figures.report import Chart
from viz_app.figures.tower_charts import Marks
from viz_app.frame import Number, Table, rendered
from viz_app.lab import study
from viz_app.provenance import facts_table, network_facts, software_table

SOFTWARE = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib")
NUMBER_STARTS = "+-–≤0123456789"


class Material(NamedTuple):
    """What a report is about."""

    checkpoint: Checkpoint
    kernels: Mapping[str, NDArray[np.float32]]  # by "as trained" and "learned part"
    indices: Mapping[str, KernelIndices]
    table: pd.DataFrame  # a row per kernel
    studies: Mapping[str, TowerStudy]
    images: str  # what the secondary indices saw, "" without images
    blocks: BlockMass | None  # None where conv3 does not read both towers
    axes: Sequence[AxesReport]
    between: BetweenTowers | None
    lesions: LesionReport | None
    photos: PhotoReport | None
    matrices: Sequence[tuple[Matrix, Sequence[Net]]]


class Part(NamedTuple):
    """A piece of a section: a sentence or two, a chart with its text, tables."""

    text: str = ""
    chart: Chart | None = None
    alt: str = ""
    caption: str = ""
    tables: Sequence[Table] = ()


class Section(NamedTuple):
    """A section of the report."""

    id: str
    title: str
    parts: Sequence[Part]


def towers_report(material: Material, *, made: date | None = None) -> str:
    """The report as HTML."""
    primary = material.studies[KINDS[0]].primary
    sections = [
        Section("kernels", "Kernels", list(_kernels(material))),
        Section("networks", "Networks", list(_networks(material))),
        Section("routing", "Routing", list(_routing(material))),
        Section("lesions", "Lesions", list(_lesions(material))),
    ]
    return rendered(
        "towers.html",
        title=f"The two towers of {material.checkpoint.card['name']}",
        command="python -m viz_app.report towers",
        made=made or date.today(),
        lead=plain(tower_kernels.verdict_text(primary)),
        sections=sections,
        fact_tables=_fact_tables(material),
        methods=_methods(material),
    )


def to_json(material: Material) -> dict[str, Any]:
    """Every result as plain JSON values."""
    return {
        "checkpoint": material.checkpoint.card["name"],
        "checkpoint_id": material.checkpoint.id,
        "images": material.images,
        "kernels": {name: found.to_json() for name, found in material.studies.items()},
        "blocks": material.blocks and asdict(material.blocks),
        "axes": [asdict(each) for each in material.axes],
        "between": material.between and asdict(material.between),
        "lesions": material.lesions and material.lesions.to_json(),
        "photographs": material.photos and material.photos.to_json(),
        "networks": {matrix.name: _records(net_table(nets)) for matrix, nets in material.matrices},
    }


def table_of(caption: str, frame: pd.DataFrame) -> Table:
    """A table of the page as one of the report; what begins like a number is one."""
    rows = [tuple(_cell(str(value)) for value in row) for row in frame.fillna("–").itertuples(index=False)]
    return Table(caption, tuple(map(str, frame.columns)), rows)


def plain(text: str) -> str:
    """A sentence of the page without its Markdown."""
    return text.replace("**", "").replace("  \n", " ").replace("\\", "")


def _cell(text: str) -> str | Number:
    return Number(text) if text[:1] and text[0] in NUMBER_STARTS else text


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return found


def _kernels(material: Material) -> Iterator[Part]:
    results = {name: found.primary for name, found in material.studies.items()}
    rows = tower_kernels.measured_rows(results)
    yield Part(
        "This network beside published ones.",
        tower_charts.rows_chart(
            [row.name for row in rows],
            [Marks("difference of mean chroma, 95% interval", [(row.difference, *row.interval) for row in rows])],
            "difference of mean chroma (ticks: 99.9% null)",
            ticks=[row.null_999 for row in rows],
        ),
        tower_kernels.references_alt(results),
        "Difference of the towers' mean chroma, with 95% intervals over kernels. Each row is one network.",
        [table_of("The same in numbers", tower_kernels.references_table(results))],
    )
    for name, found in material.studies.items():
        yield from _study(material, name, found)


def _study(material: Material, name: str, found: TowerStudy) -> Iterator[Part]:
    kernels, indices, primary = material.kernels[name], material.indices[name], found.primary
    shares = colour_shares(indices, tower_labels(len(kernels), 2), primary.threshold or 0.5)
    counted = (shares.sentence(), tower_kernels.shares_text(primary), shares.left_out())
    yield Part(
        plain(" ".join(filter(None, (f"{titled(name)}.", tower_kernels.verdict_text(primary), *counted)))),
        tower_charts.swarm_chart(kernels, indices, primary),
        tower_kernels.swarm_text(indices, primary),
        tower_kernels.SWARM_TEXT,
    )
    yield Part(
        "",
        tower_charts.map_chart(kernels, indices),
        tower_kernels.chroma_map_text(indices),
        f"{tower_kernels.MAP_TEXT} {tower_kernels.chroma_map_text(indices)}",
    )
    if not found.secondary:
        return
    if (sweep := found.secondary.sweep) and primary.threshold is not None:
        yield Part(
            tower_kernels.sweep_text(sweep),
            tower_charts.sweep_chart(sweep, primary.threshold),
            tower_kernels.sweep_text(sweep),
            tower_kernels.SWEEP_TEXT,
            [table_of(f"Purity at every threshold, {name}", tower_kernels.sweep_table(sweep))],
        )
    yield Part(
        plain(tower_kernels.secondary_text(found.secondary)),
        tables=[table_of(f"All else, {name}", tower_kernels.secondary_table(found.secondary))],
    )


def _networks(material: Material) -> Iterator[Part]:
    yield Part(NOTE)
    for matrix, nets in material.matrices:
        for kind in KINDS:
            rows = rows_of(matrix, nets, kind)
            first = kind == KINDS[0]
            told = [matrix.title, *summary(matrix, nets), networks.missing_text(matrix, rows)] if first else []
            measured = any(row.measured for row in rows)
            yield Part(
                " ".join(part for part in told if part),
                tower_charts.nets_chart([row for row in rows if row.nets]) if measured else None,
                networks.nets_alt(rows),
                f"{kind}: {networks.NETS_TEXT[kind]}",
                [table_of(f"{matrix.name}, {kind}", networks.rows_table(rows))],
            )
        yield from _courses(matrix, nets)
        if nets:
            yield Part(tables=[table_of(f"{matrix.name}: every network", networks.nets_for_reading(nets))])


def _courses(matrix: Matrix, nets: Sequence[Net]) -> Iterator[Part]:
    row = next((row for row in rows_of(matrix, nets) if row.measured), None)
    if row:
        text = networks.courses_text(row)
        yield Part(text, tower_charts.courses_chart(row), text, f"{row.condition}: {row.asks} {networks.COURSE_TEXT}")


def _routing(material: Material) -> Iterator[Part]:
    if blocks := material.blocks:
        yield Part(
            f"{plain(routing.blocks_text(blocks))} {routing.cross_talk_text(blocks)}",
            tables=[table_of("Whom conv3 reads", routing.blocks_table(blocks))],
        )
    if material.axes:
        yield Part(
            f"{routing.axes_text(material.axes)} {routing.AXES_TEXT}",
            tables=[table_of("Axes of the connections from conv1 to conv2", routing.axes_table(material.axes))],
        )
    if not (found := material.between):
        yield Part(f"Not measured: similarity and probes (python -m analysis.between {_name(material)}).")
        return
    stages, probes = found.similarity, found.probes
    yield Part(
        routing.between_text(found),
        tower_charts.rows_chart(
            [row.stage for row in stages],
            [Marks("towers", _ends(row.towers for row in stages))],
            "CKA of the towers (ticks: mean of random halves)",
            ticks=[float(np.mean(row.halves)) for row in stages],
        ),
        routing.similarity_alt(stages),
        "Linear CKA (debiased) between the towers, stage by stage, with 95% intervals.",
        [table_of("Similarity of the towers", routing.similarity_table(stages))],
    )
    yield Part(
        routing.probes_text(probes),
        tower_charts.rows_chart(
            [f"{row.factor}, {row.stage}" for row in probes.probes],
            [
                Marks(f"tower {'AB'[tower]}", _ends(row.towers[tower] for row in probes.probes), tower)
                for tower in (0, 1)
            ],
            "share right (ticks: chance)",
            ticks=[row.chance for row in probes.probes],
        ),
        routing.probes_text(probes),
        "What a linear classifier reads off either tower.",
        [table_of("Probes", routing.probes_table(probes))],
    )


def _lesions(material: Material) -> Iterator[Part]:
    if report := material.lesions:
        yield Part(f"{report.verdict} {lesions.intact_text(report)}")
        tables = [table_of("What each lesion costs", lesions.drops_table(report))]
        if report.dissociations:
            main = report.dissociation() or report.dissociations[0]
            tables.append(table_of("The towers' lesions compared", lesions.interaction_table(report)))
            yield Part(plain(lesions.interaction_text(main, report.factors)))
        told = [lesions.random_text(control, lesions.statistic(report)) for control in report.controls]
        yield Part(plain(" ".join([*told, *([lesions.matching_text(report.controls)] if told else [])])), tables=tables)
    else:
        yield Part(f"Not measured: what each lesion costs ({lesions.command(_name(material))}).")
    if photos := material.photos:
        yield from _photographs(photos, class_labels(material.checkpoint.card["classes"]))
    else:
        yield Part(
            "Not measured: photographs in colour and without "
            f"(python -m analysis.lesions.photographs {_name(material)})."
        )


def _photographs(report: PhotoReport, names: Sequence[str]) -> Iterator[Part]:
    metric = METRICS[0]
    yield Part(
        f"{report.verdict} {photo_lesions.about_text(report)}",
        tower_charts.rows_chart(
            [row.stimulus for row in report.rows],
            [
                Marks(f"tower {'AB'[tower]} off", _ends((row.drop[metric][tower] for row in report.rows), 100), tower)
                for tower in (0, 1)
            ],
            "drop of top-1, percentage points",
            zero=True,
        ),
        photo_lesions.drops_alt(report, metric),
        photo_lesions.STIMULI_TEXT,
        [table_of("Scores by kind of photograph", photo_lesions.score_table(report))],
    )
    contrasts = report.contrasts
    yield Part(
        "",
        tower_charts.rows_chart(
            [f"{row.more} over {row.less}" for row in contrasts],
            [Marks("interaction", _ends((row.interaction[metric] for row in contrasts), 100))],
            "interaction of top-1, percentage points",
            zero=True,
        ),
        photo_lesions.worth_alt(report, metric),
        photo_lesions.WORTH_TEXT,
        [table_of("What one kind of photograph has over another", photo_lesions.worth_table(report))],
    )
    for half in report.halves:
        yield Part(plain(photo_lesions.halves_text(half, metric)))
    for classes in report.classes:
        yield Part(plain(photo_lesions.classes_text(classes, names)))


def _ends(found: Any, scale: float = 1.0) -> list[tuple[float, float, float]]:
    estimates: Iterator[Estimate] = iter(found)
    return [(scale * each.value, scale * each.low, scale * each.high) for each in estimates]


def _name(material: Material) -> str:
    return str(material.checkpoint.card["name"])


def _fact_tables(material: Material) -> list[Table]:
    card, studies = material.checkpoint.card, material.studies
    counted = ", ".join(f"{name} {a} + {b}" for name, found in studies.items() for a, b in [found.primary.live])
    numbers = {
        "Live kernels, A + B": counted,
        "Permutations": f"{next(iter(studies.values())).primary.n_permutations:,}",
        "Images for secondary indices": material.images or "none",
        "Networks": ", ".join(f"{matrix.name} {len(nets)}" for matrix, nets in material.matrices),
        "Images for lesions": f"{material.lesions.images:,}" if material.lesions else "not measured",
        "Images for photographs": f"{material.photos.images:,}" if material.photos else "not measured",
        "Images for similarity": f"{material.between.images:,}" if material.between else "not measured",
    }
    network = {"Name": str(card["name"]), "Id": material.checkpoint.id} | network_facts(card)
    return [facts_table("The network", network), facts_table("How many", numbers), software_table(SOFTWARE)]


def _methods(material: Material) -> list[str]:
    return [
        "Chroma is 1 - 3 |mean over channels|² / |kernel|²: the share of a kernel's energy that a grey image cannot "
        "reach; random weights have 0.667. The learned part is the kernel less what weight decay left of its start.",
        "Declared primary statistic: difference of mean chroma between the towers over live kernels, by permutation of "
        "the labels, two-sided because which tower is called A is arbitrary. Specialised: beyond the 99.9% null; weak: "
        "beyond the 95% null.",
        "A kernel is live if its norm is at least 5% of the median and neighbouring weights agree more than those of "
        "99% of random kernels.",
        "Colour begins at Otsu's threshold on the chroma of all live kernels, which does not look at the towers. The "
        "sweep's bands hold for all thresholds at once (max-T, Westfall and Young 1993).",
        "Secondary indices are adjusted for being many (Holm 1979). Intervals within a network are bootstrap intervals "
        f"over kernels, with a fixed seed; {study.PHOTOGRAPHS} images at most are shown for those that need images.",
        "Across networks the network is the unit: intervals of the mean by Student's t; exact sign test; joint p-value "
        "of the networks' own (Fisher 1925); lower bound of the rate (Clopper and Pearson 1934).",
        "Function of a trained network: conv1 and conv2 of one half silenced by zeros; by how much more its hue than "
        "its shape answers suffer (top-1 in colour than in grey where labels have no factors), one half less the "
        "other, among random halves of the same size and norm against their rest. Blind cut: conv1 and conv2 halved at "
        "the median of the first axis of a correspondence analysis of conv2's connections.",
        "Chroma 0 means reading R + G + B; pictures are made grey at equal luma (Rec. 601).",
        "Lesions silence a tower's conv1 and conv2 behind their ReLUs, nothing is trained again; intervals are paired "
        "bootstraps over images.",
    ]

"""How good a workspace's neighbours are, kept in its folder: a report per stage, for the page and for later."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet_core.files import sha256_of_values, write_json
from analysis.retrieval.quality import (
    Difference,
    Estimate,
    Hubs,
    Kind,
    Quality,
    Row,
    Whitening,
    chance_skewness,
    differences,
    hubs,
    rows,
)
from analysis.stats import Interval
from analysis.workspace import Workspace
from analysis.workspace.artefacts import inputs_of

FOLDER = "quality"  # in the workspace's folder
VERSION = 1  # of the code that measures, and of the files

NOTE = (
    "No half is pure behind conv2: conv3, fc6 and fc7 read both towers, so each half of fc7 knows what both computed.\n"
    "Each interval stands for itself; it is for other queries (hubness: gallery images), not for another network."
)


class Factor(NamedTuple):
    """What makes two images alike: their class, or one part of it."""

    name: str
    queries: int  # with at least one relevant image
    chance: float  # expected precision@k of a random order


class Report(NamedTuple):
    """All that was measured of one stage's features."""

    workspace: str
    checkpoint: str
    stage: str
    queries: int
    gallery: int
    left_out: int  # queries that are in the gallery and must not find themselves
    measures: tuple[str, ...]  # "P@1", ..., "MAP@R"
    factors: tuple[Factor, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    chance_skewness: float
    hubs: tuple[Hubs, ...]
    whitenings: tuple[Whitening, ...]

    @property
    def title(self) -> str:
        """What was measured, in a few words."""
        return f"{self.workspace}: {self.stage} of {self.checkpoint}"


def report_on(workspace: Workspace, stage: str, quality: Quality, rng: np.random.Generator) -> Report:
    """Means, differences and hubness with their bootstrap intervals."""
    return Report(
        workspace=workspace.name,
        checkpoint=workspace.checkpoint,
        stage=stage,
        queries=quality.n_queries,
        gallery=quality.n_gallery,
        left_out=quality.left_out,
        measures=quality.measures,
        factors=tuple(Factor(name, int(quality.counted(name).sum()), quality.chance(name)) for name in quality.scores),
        rows=tuple(rows(quality, rng)),
        differences=tuple(differences(quality, rng)),
        chance_skewness=chance_skewness(quality),
        hubs=tuple(hubs(quality, rng)),
        whitenings=quality.whitenings,
    )


def keep_report(workspace: Workspace, report: Report) -> Path | None:
    """Write a report into the workspace's folder, whole or not at all; the file, or ``None`` where nothing is written
    because a report of the same features on more queries is kept already."""
    earlier = next((one for one in kept_reports(workspace) if one.stage == report.stage), None)
    if earlier and earlier.queries > report.queries:
        return None
    file = workspace.folder / FOLDER / f"{report.stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"version": VERSION, "key": _key(workspace), "report": to_json(report)})
    return file


def kept_reports(workspace: Workspace) -> list[Report]:
    """The reports kept for a workspace, in the order of their stages' names; those about another checkpoint or other
    images, and what cannot be read, are left out. Raises ``WorkspaceError`` where the workspace cannot be used."""
    found, files = [], sorted((workspace.folder / FOLDER).glob("*.json"))
    key = _key(workspace) if files else ""
    for file in files:
        with suppress(OSError, ValueError, TypeError, KeyError):
            values = json.loads(file.read_bytes())
            if (values["version"], values["key"]) == (VERSION, key):
                found.append(from_json(values["report"]))
    return found


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values, every mean under the name of its measure."""

    def told(row: Row | Difference) -> dict[str, Any]:
        means = zip(report.measures, map(_flat, row.means), strict=True)
        return {"factor": row.factor, **row.kind._asdict(), **dict(means)}

    return report._asdict() | {
        "measures": list(report.measures),
        "factors": [factor._asdict() for factor in report.factors],
        "rows": [told(row) for row in report.rows],
        "differences": [told(one) | {"less": one.less._asdict()} for one in report.differences],
        "hubs": [
            {**one.kind._asdict(), "skewness": _flat(one.skewness), "most": one.most, "never": one.never}
            for one in report.hubs
        ],
        "whitenings": [whitening._asdict() for whitening in report.whitenings],
    }


def from_json(values: Mapping[str, Any]) -> Report:
    """The report that `to_json` made these of. Raises ``KeyError``, ``TypeError`` or ``ValueError`` otherwise."""
    measures = tuple(values["measures"])

    def means(row: Mapping[str, Any]) -> tuple[Estimate, ...]:
        return tuple(_estimate(row[measure]) for measure in measures)

    parts: dict[str, Any] = {
        "measures": measures,
        "factors": tuple(Factor(**factor) for factor in values["factors"]),
        "rows": tuple(Row(row["factor"], _kind(row), means(row)) for row in values["rows"]),
        "differences": tuple(
            Difference(one["factor"], _kind(one), _kind(one["less"]), means(one)) for one in values["differences"]
        ),
        "hubs": tuple(
            Hubs(_kind(one), _estimate(one["skewness"]), one["most"], one["never"]) for one in values["hubs"]
        ),
        "whitenings": tuple(Whitening(**one) for one in values["whitenings"]),
    }
    return Report(**(dict(values) | parts))


def _key(workspace: Workspace) -> str:
    """What a report follows from: the images, the checkpoint and the code."""
    inputs = inputs_of(workspace)
    return sha256_of_values("quality", VERSION, inputs and inputs.key("features"))


def _kind(values: Mapping[str, Any]) -> Kind:
    return Kind(values["part"], values["scaling"])


def _flat(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, **estimate.interval._asdict()}


def _estimate(values: Mapping[str, float]) -> Estimate:
    return Estimate(values["value"], Interval(values["low"], values["high"]))

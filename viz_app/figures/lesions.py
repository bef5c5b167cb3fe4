"""Figures and sentences of the Towers page: guesses with and without a tower, measured drops, random lesions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from alexnet_core.prism import CLASS_NAMES, HUES, SHAPES
from analysis.lesions.dissociation import Condition, Controls, Dissociation, Estimate, LesionReport, points
from analysis.lesions.lesion import MODES, SCOPES, Mode, Scope
from viz_app.figures.captions import best, escaped, with_swatch
from viz_app.figures.theme import LEGEND_ABOVE, LINE, TOWER_MARKS, plain_figure
from viz_app.switches import Switches

Guesses = NDArray[np.floating]
"""Probabilities (2, n): of the intact network, then with towers off."""

SCOPE_HELP = (
    "conv1-conv2 takes a tower's first two layers, before conv3 mixes the towers. The whole tower takes its "
    "conv1 to conv5 and its half of fc6 and fc7."
)
HOW_TO_READ = """
- **A lesion** silences units behind their ReLU and lets the rest of the network run as it was trained; nothing is
  trained again. *conv1-conv2* leaves conv3 to read the other tower alone, *whole tower* also takes what comes after.
- **Why three ways.** Zeros do more than silence: neighbours inside a response normalisation (LRN) are divided by less,
  so their gain rises, and the layers after, fc6 above all, get less drive than they were trained with. The mean keeps
  the drive and takes the information; resample also keeps how responses vary. A finding that all three
  share is about the tower, not about the silence.
- **The null** is a network that loses as many units of equal strength, but at random from both towers. Beyond it, what
  is lost is a matter of *which* units went, not of how many. Random lesions take about half of either tower, so this
  asks whether a tower is a special half; it does not ask whether every training run would make it so.
- **One network.** Intervals are over images. Nothing here says what another training run would show: the towers
  may change names, or not specialise at all.
"""
MODE_TEXTS = {
    "zero": "Units that are off give 0, as if cut out; the layers after them get less drive than they are used to.",
    "mean": "Units that are off give their mean over {count} images: the usual drive, but nothing of this image.",
    "resample": "Units that are off respond as if they saw another image, the donor: {donor}.",
}
ALL_OFF = {
    "zero": "Nothing of the image is left: the network now says the same of every image.",
    "mean": "Nothing of the image is left: the network now says the same of every image.",
    "resample": "Nothing of this image is left: the network says what it says of the donor.",
}
MODE_HELP = (
    "What the units of a tower that is off give instead: zeros, their mean, or what another image makes them give."
)
DURATION = (
    "About a quarter of an hour on two processor cores, most of it for the random lesions (`--controls 0` leaves "
    "them out). "
    "The command shows progress and goes on where it was interrupted. Load this page anew afterwards."
)


class Mark(NamedTuple):
    """How one measure looks in the figure of drops."""

    symbol: str
    colour: str


MEASURE_MARKS = (Mark("square", "#009e73"), Mark("triangle-up", "#cc79a7"))  # shape and hue, or top-1 and top-5
MEASURE_NAMES = {"top1": "top-1", "top5": "top-5"}
LAYERS = {"relu1": "conv1", "relu2": "conv2"}


# One image.


def by_factor(guesses: Guesses) -> tuple[Guesses, Guesses]:
    """Probabilities (2, 100) of Prism's classes summed to shapes (2, 10) and to hues (2, 10)."""
    grid = guesses.reshape(len(guesses), len(SHAPES), len(HUES))
    return grid.sum(2), grid.sum(1)


def knows_factors(labels: Sequence[str]) -> bool:
    """Whether a network's classes are Prism's shapes in Prism's hues."""
    return tuple(labels) == CLASS_NAMES


def answer_text(truth: str, labels: Sequence[str], guesses: Guesses, switches: Switches, donor: str = "") -> str:
    """What is to be seen, what the network says, and what it says with towers off: one line of Markdown.

    `truth` and `donor` (the class of the donor image) may be empty.
    """
    parts = [f"Truth: {with_swatch(truth)}."] if truth else []
    intact, lesioned = (int(row.argmax()) for row in guesses)
    parts.append(f"Intact: {with_swatch(labels[intact])} ({guesses[0, intact]:.0%}).")
    if switches.off:
        change = change_text(labels[intact], labels[lesioned], donor, knows_factors(labels))
        said = f"{with_swatch(labels[lesioned])} ({guesses[1, lesioned]:.0%})"
        parts.append(f"{switches.name}: **{said}: {change}**.")
    return " ".join(parts)


def change_text(before: str, after: str, donor: str, factors: bool) -> str:
    """How an answer differs from the one before, by hue and shape where classes have them."""
    if before == after:
        return "the answer stayed"
    if not factors:
        return "the answer changed"
    old, new, other = (dict(zip(("hue", "shape"), name.split(" ", 1), strict=False)) for name in (before, after, donor))
    words = [f"the {factor} {_fate(factor, old, new, other)}" for factor in ("hue", "shape")]
    return "hue and shape both changed" if words == ["the hue changed", "the shape changed"] else ", ".join(words)


def _fate(factor: str, old: Mapping[str, str], new: Mapping[str, str], donor: Mapping[str, str]) -> str:
    if old[factor] == new[factor]:
        return "stayed"
    return "changed to the donor's" if new[factor] == donor.get(factor) else "changed"


def listed_classes(guesses: Guesses) -> list[int]:
    """The five best of the first guesses (rows, n), then the three best of each other row that are not among them."""
    others = (index for row in guesses[1:] for index in best(row, 3))
    return list(dict.fromkeys(int(index) for index in (*best(guesses[0]), *others)))


def guess_pairs(
    names: Sequence[str], guesses: Guesses, colours: Sequence[str], without: str, truth: str = ""
) -> go.Figure:
    """Two bars a row: solid for the intact network, hatched with towers off (`without` names them, "" for none).

    `colours` are swatches ("#1fa3a0") or "" for grey; the row named `truth` is ticked.
    """
    shades = [colour or LINE for colour in colours]
    hatched = {"shape": "/", "fillmode": "replace"}
    looks: list[tuple[str, dict[str, Any]]] = [("intact", {}), (without, {"pattern": hatched})][: 2 if without else 1]
    bars = [
        _bars(values, look | {"color": shades, "line": {"color": shades, "width": 1.5}}, name)
        for values, (name, look) in zip(guesses, looks, strict=False)
    ]
    keys = [_key(name, look) for name, look in looks]
    ticks = [f"✓ {name}" if name == truth else name for name in names]
    layout = {
        "barmode": "group",
        "bargap": 0.25,
        "bargroupgap": 0.08,
        "xaxis": {
            "title": {"text": "probability" + (" (✓ = truth)" if truth in names else "")},
            "range": [0, 1.14],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "tickformat": ".0%",
            "fixedrange": True,
        },
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": [escape_html(tick) for tick in ticks],
            "range": [len(names) - 0.5, -0.5],
            "fixedrange": True,
            "automargin": True,
        },
        "legend": LEGEND_ABOVE | {"itemclick": False, "itemdoubleclick": False},
        "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
    }
    return plain_figure([*bars, *keys], layout, height=90 + 34 * len(names))


def _key(name: str, look: dict[str, Any]) -> dict[str, Any]:
    """An entry of the legend in grey: the bars themselves have many colours."""
    marker = look | {"color": LINE}
    return {
        "type": "bar",
        "x": [None],
        "y": [0],
        "orientation": "h",
        "name": name,
        "marker": marker,
        "offsetgroup": name,
    }


def _bars(values: NDArray[np.floating], look: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": values.astype(np.float32),
        "y": list(range(len(values))),
        "orientation": "h",
        "offsetgroup": name,
        "marker": look,
        "text": [f"{value:.0%}" for value in values],
        "textposition": "outside",
        "textfont": {"size": 11},
        "constraintext": "none",
        "cliponaxis": False,
        "hovertemplate": f"{name}: %{{x:.1%}}<extra></extra>",
        "showlegend": False,
    }


def pairs_text(kind: str, names: Sequence[str], guesses: Guesses, without: str) -> str:
    """The bars in words."""
    rows = ", ".join(
        f"{name} {before:.0%}" + (f" then {after:.0%}" if without else "")
        for name, before, after in zip(names, *guesses, strict=True)
    )
    heading = f"intact, then {without[:1].lower()}{without[1:]}" if without else "intact"
    return f"Probability of {kind}, {heading}: {rows}."


def guess_table(labels: Sequence[str], guesses: Guesses, without: str, grey: Guesses) -> pd.DataFrame:
    """All classes with their probabilities, in colour and in grey."""
    table = pd.DataFrame({"class": list(labels)})
    for kind, values in (("", guesses), (", in grey", grey)):
        table[f"intact{kind}"] = values[0]
        if without:
            table[f"{without}{kind}"] = values[1]
    return table


def titled(name: str) -> str:
    """With a capital at the start, the others kept: "Tower A"."""
    return name[:1].upper() + name[1:]


def escape_html(text: str) -> str:
    """Text that plotly must not read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


# Measured.


def measures(report: LesionReport) -> tuple[str, str]:
    """The two measures to compare: shape and hue where labels have them, else top-1 and top-5."""
    return (report.factors[0], report.factors[1]) if report.factors else ("top1", "top5")


def measure_name(name: str) -> str:
    """A measure for people: "hue", "top-1"."""
    return MEASURE_NAMES.get(name, name)


def intact_text(report: LesionReport) -> str:
    """What was measured on what, and how good the intact network is."""
    accuracy = report.condition(None).accuracy
    parts = ", ".join(f"{measure_name(name)} {share.value:.1%}" for name, share in accuracy.items())
    return (
        f"{report.images:,} images of {report.dataset} ({report.split}). Intact network: {parts}. Intervals: paired "
        f"bootstrap over images, 95%, {report.resamples:,} resamples. Means are over {report.reference}."
    )


def rows_of(report: LesionReport, scope: Scope) -> list[Condition]:
    """Measured lesions of one scope, tower by tower."""
    rows = [row for row in report.conditions if row.scope == scope]
    return sorted(rows, key=lambda row: (row.tower, MODES.index(row.mode or "zero")))


def drops_figure(report: LesionReport) -> go.Figure:
    """Drop of two measures for every lesion, with intervals; one panel per scope, one row per tower and mode."""
    scopes = [scope for scope in SCOPES if rows_of(report, scope)]
    panels = [_panel(report, scope, place, len(scopes)) for place, scope in enumerate(scopes)]
    layout: dict[str, Any] = {
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "annotations": [],
        "shapes": [],
    }
    for panel in panels:
        layout |= panel.axes
        layout["annotations"].append(panel.heading)
        layout["shapes"].append(panel.zero)
    count = sum(len(rows_of(report, scope)) for scope in scopes)
    traces = [trace for panel in panels for trace in panel.traces]
    return plain_figure(traces, layout, height=110 + 40 * len(scopes) + 32 * count)


class _Panel(NamedTuple):
    traces: list[dict[str, Any]]
    axes: dict[str, Any]
    heading: dict[str, Any]
    zero: dict[str, Any]


def _panel(report: LesionReport, scope: Scope, place: int, count: int) -> _Panel:
    """One scope's rows; panels share their horizontal scale, and the last one carries its title."""
    rows, number = rows_of(report, scope), str(place + 1) if place else ""
    height = 1 / count
    top = 1 - place * height
    heights = np.arange(len(rows))
    traces = [
        _dots(
            [row.drop[name] for row in rows],
            heights + shift,
            mark,
            measure_name(name),
            {"xaxis": f"x{number}", "yaxis": f"y{number}", "legendgroup": name, "showlegend": not place},
        )
        for name, mark, shift in zip(measures(report), MEASURE_MARKS, (-0.14, 0.14), strict=True)
    ]
    title = {"text": "drop, percentage points"} if place == count - 1 else None
    axes = {
        f"xaxis{number}": {
            "matches": "x" if place else None,
            "anchor": f"y{number}",
            "title": title,
            "showticklabels": place == count - 1,
            "zeroline": False,
            "fixedrange": True,
        },
        f"yaxis{number}": {
            "domain": [top - height + (0.03 if place < count - 1 else 0), top - 0.06],
            "anchor": f"x{number}",
            "tickvals": heights.tolist(),
            "ticktext": [f"{_tower(row.tower)} off, {row.mode}" for row in rows],
            "range": [len(rows) - 0.5, -0.5],
            "zeroline": False,
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        },
    }
    heading = {
        "text": f"<b>{scope}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top - 0.06,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }
    zero = _upright(0, f"x{number}", f"y{number} domain", "dot")
    return _Panel(traces, axes, heading, zero)


def _dots(
    estimates: Sequence[Estimate], heights: NDArray[np.floating], mark: Mark, name: str, more: dict[str, Any]
) -> dict[str, Any]:
    value, low, high = (100 * np.array([getattr(e, part) for e in estimates]) for part in ("value", "low", "high"))
    return {
        "type": "scatter",
        "x": value.astype(np.float32),
        "y": heights.astype(np.float32),
        "mode": "markers",
        "name": name,
        "marker": {"symbol": mark.symbol, "color": mark.colour, "size": 10, "line": {"color": LINE, "width": 1}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": (high - value).astype(np.float32),
            "arrayminus": (value - low).astype(np.float32),
            "color": mark.colour,
            "thickness": 2,
            "width": 4,
        },
        "text": [f"{name} {points(estimate)}" for estimate in estimates],
        "hovertemplate": "%{text} points<extra></extra>",
    } | more


def _tower(tower: int | None) -> str:
    """Mark and letter of a tower that is off."""
    mark = TOWER_MARKS[tower or 0]
    return f"{mark.glyph} {mark.name.removeprefix('tower ')}"


def _upright(x: float, xref: str, yref: str, dash: str) -> dict[str, Any]:
    line = {"color": LINE, "width": 1, "dash": dash}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "xref": xref, "yref": yref, "line": line}


def drops_text(report: LesionReport) -> str:
    """The drops in words."""
    rows = "; ".join(
        f"tower {'AB'[row.tower or 0]} off, {row.scope}, {row.mode}: "
        + ", ".join(f"{measure_name(name)} {points(row.drop[name])}" for name in measures(report))
        for scope in SCOPES
        for row in rows_of(report, scope)
    )
    return f"Drops in accuracy in percentage points with 95% intervals. {rows}."


def drops_table(report: LesionReport) -> pd.DataFrame:
    """Accuracies (%) and drops (points, 95% interval) as text: a row per lesion, for reading."""
    intact, *lesions = report.conditions
    start = {"off": "nothing", "layers": "", "how": "", "images": report.images}
    first = start | {f"{measure_name(name)} (%)": f"{100 * e.value:.1f}" for name, e in intact.accuracy.items()}
    rows = [
        {"off": _tower(row.tower), "layers": row.scope, "how": row.mode, "images": report.images}
        | {f"{measure_name(name)} (%)": f"{100 * e.value:.1f}" for name, e in row.accuracy.items()}
        | {f"{measure_name(name)} drop": points(e) for name, e in row.drop.items()}
        for row in lesions
    ]
    return pd.DataFrame([first, *rows]).fillna("")


def drops_csv(report: LesionReport) -> pd.DataFrame:
    """The same as numbers, shares of 1: a row per lesion and measure."""
    return pd.DataFrame(
        [
            {
                "checkpoint": report.checkpoint,
                "dataset": report.dataset,
                "split": report.split,
                "images": report.images,
                "tower_off": "" if row.tower is None else "AB"[row.tower],
                "layers": row.scope or "",
                "mode": row.mode or "intact",
                "measure": name,
            }
            | _columns("accuracy", row.accuracy[name])
            | (_columns("drop", row.drop[name]) if name in row.drop else {})
            for row in report.conditions
            for name in row.accuracy
        ]
    )


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def interaction_text(row: Dissociation, factors: Sequence[str]) -> str:
    """The one number that compares the towers, in words."""
    first, second = factors
    size = f"**{points(row.interaction)} percentage points** ({row.scope}, {row.mode})"
    meaning = {
        1: f"tower A off costs {second} (rather than {first}) more than tower B off does.",
        -1: f"tower B off costs {second} (rather than {first}) more than tower A off does.",
        0: "the interval holds 0, so the two towers' lesions cannot be told apart by what they cost.",
    }
    return (
        f"Interaction, ({second} drop − {first} drop) with tower A off, minus the same with tower B off: {size}. "
        f"In words: {meaning[row.interaction.sign]}"
    )


def interaction_table(report: LesionReport) -> pd.DataFrame:
    """The comparison of the towers for every scope and mode, points with 95% intervals."""
    first, second = report.factors
    difference = f"{second} − {first} drop"
    return pd.DataFrame(
        [
            {
                "layers": row.scope,
                "how": row.mode,
                f"● A off: {difference}": points(row.specificity[0]),
                f"◆ B off: {difference}": points(row.specificity[1]),
                "interaction": points(row.interaction),
            }
            for row in report.dissociations
        ]
    )


# Random lesions.


def statistic(report: LesionReport) -> str:
    """What towers are ranked by among random lesions."""
    return f"{report.factors[1]} - {report.factors[0]}" if report.factors else "top1"


def statistic_name(report: LesionReport) -> str:
    """The same for people."""
    return f"{report.factors[1]} drop − {report.factors[0]} drop" if report.factors else "top-1 drop"


def random_figure(report: LesionReport) -> go.Figure:
    """Every random lesion as a ring, each tower's own lesion as its mark; a row per tower."""
    name = statistic(report)
    traces, notes = [], []
    for place, control in enumerate(report.controls):
        mark, rank = TOWER_MARKS[control.tower], control.ranks[name]
        spread = 0.5 * ((np.arange(control.n) * 0.618034) % 1 - 0.5)  # golden steps: evenly scattered, always the same
        traces += [
            {
                "type": "scatter",
                "x": (100 * np.array(rank.controls)).astype(np.float32),
                "y": (place + spread).astype(np.float32),
                "mode": "markers",
                "name": "random lesions",
                "legendgroup": "random",
                "showlegend": not place,
                "marker": {"symbol": "circle-open", "size": 5, "color": LINE},
                "hovertemplate": "random lesion: %{x:+.1f} points<extra></extra>",
            },
            {
                "type": "scatter",
                "x": [100 * rank.observed],
                "y": [place],
                "mode": "markers",
                "name": f"{mark.name} off",
                "marker": {
                    "symbol": mark.symbol,
                    "size": 16,
                    "color": mark.colour,
                    "line": {"color": "white", "width": 1.5},
                },
                "cliponaxis": False,
                "hovertemplate": f"{mark.name} off: %{{x:+.1f}} points<extra></extra>",
            },
        ]
        notes.append(
            {
                "text": f"{mark.name} off <b>{100 * rank.observed:+.1f}</b>",
                "x": 100 * rank.observed,
                "y": place - 0.4,
                "showarrow": False,
            }
        )
    layout = {
        "xaxis": {
            "title": {"text": f"{statistic_name(report)}, percentage points"},
            "zeroline": False,
            "fixedrange": True,
        },
        "yaxis": {
            "tickvals": list(range(len(report.controls))),
            "ticktext": [f"like {_tower(control.tower)}" for control in report.controls],
            "range": [len(report.controls) - 0.5, -0.6],
            "zeroline": False,
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        },
        "shapes": [_upright(0, "x", "y domain", "dot")],
        "annotations": notes,
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 10},
    }
    return plain_figure(traces, layout, height=110 + 110 * len(report.controls))


def random_text(control: Controls, name: str) -> str:
    """Where a tower's lesion stands among random ones, its p-value in words."""
    mark, rank = TOWER_MARKS[control.tower], control.ranks[name]
    place = {0: f"below all {control.n}", control.n: f"above all {control.n}"}.get(
        rank.rank, f"above {rank.rank} of {control.n}"
    )
    if rank.p_value <= 0.01:
        words = "very unlikely to be chance"
    elif rank.p_value <= 0.05:
        words = "unlikely to be chance"
    else:
        words = "no more than chance may do"
    return (
        f"{mark.glyph} **{titled(mark.name)} off: {100 * rank.observed:+.1f} points**, {place} random lesions "
        f"(p = {rank.p_value:.2g}, two-sided: {words})."
    )


def matching_text(controls: Sequence[Controls]) -> str:
    """What a random lesion is, and how well it matches."""
    first = controls[0]
    size = " and ".join(f"{count} units of {LAYERS.get(stage, stage)}" for stage, count in first.units.items())
    error = max(error for control in controls for error in control.norm_error.values())
    inside = " and ".join(
        f"{np.mean([control.overlap[stage] for control in controls]):.0%} in {LAYERS.get(stage, stage)}"
        for stage in first.overlap
    )
    return (
        f"Each random lesion silences {size}, drawn from both towers and set to {first.mode}; on average {inside} lie "
        f"in the tower it stands in for. The summed squared weights equal that tower's to within {error:.1%} in every "
        f"layer. All were measured on the same {first.images:,} images, the towers' own lesions once more among them."
    )


def random_alt(report: LesionReport) -> str:
    """The rings and marks in words."""
    name = statistic(report)
    rows = []
    for control in report.controls:
        rank = control.ranks[name]
        low, middle, high = (100 * value for value in np.quantile(rank.controls, (0.025, 0.5, 0.975)))
        rows.append(
            f"{TOWER_MARKS[control.tower].name} off {100 * rank.observed:+.1f}; {control.n} random lesions like it "
            f"{middle:+.1f}, 95% of them {low:+.1f} to {high:+.1f}"
        )
    return f"{statistic_name(report)} in percentage points. {'. '.join(rows)}."


def random_csv(report: LesionReport) -> pd.DataFrame:
    """Every random lesion and both towers' own, with all drops (shares of 1)."""
    frames = []
    for control in report.controls:
        drops = {f"{name} drop": [rank.observed, *rank.controls] for name, rank in control.ranks.items()}
        kind = ["tower", *["random"] * control.n]
        frames.append(pd.DataFrame({"stands_in_for": "AB"[control.tower], "lesion": kind, **drops}))
    return pd.concat(frames, ignore_index=True)


def command(checkpoint: str) -> str:
    """What measures the lesions of a checkpoint."""
    return f"python -m analysis.lesions {checkpoint}"


def mode_text(mode: Mode, count: int, donor: str) -> str:
    """What units that are switched off give instead, in a sentence."""
    return MODE_TEXTS[mode].format(count=count, donor=escaped(donor))

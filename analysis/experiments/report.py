"""A matrix of experiments in words and tables: which condition parts the towers, in how many networks, how far."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.experiments.matrix import Matrix
from analysis.experiments.nets import FEWEST, KERNELS, KINDS, Net, Row, rows_of
from analysis.stats import Interval

NOTE = (
    "Range: largest less smallest mean chroma energy of the towers' live kernels; of two towers the difference without "
    "its sign (which tower is the colourful one is arbitrary), of one tower that of two arbitrary halves. Chance: its "
    "mean when the kernels' labels are shuffled. The network is the unit; its interval (Student's t) needs three of "
    "them. Joint p: of the hypothesis that no network's towers are parted, from each one's own (Fisher). "
    "Beyond: networks over the 99.9 % point of their own null; the bound is what their true share exceeds with 95 % "
    "confidence. "
    "Function: with conv1 and conv2 of one half silenced, by how much more hue suffers than shape (colour than grey, "
    "where labels have no shape and hue), as a share of images; the range is the difference between the halves, its "
    "null that of random halves of the same size and norm against their rest, and beyond means nearly all of them. "
    "Crossed: each half is the more needed one for a factor of its own, a double dissociation; if not, one half may "
    "simply carry more of everything. "
    "Probes: by how much more a linear classifier tells of a grating's hue than of its orientation from one half of "
    "pool2. Blind cut: halved where the connections of conv2 part by themselves."
)

COLUMNS = (
    ("nets", 5),
    ("range", 6),
    ("chance", 7),
    ("excess, 95 %", 24),
    ("sign p", 7),
    ("joint p", 8),
    ("beyond", 7),
    ("bound", 6),
)


def summary(matrix: Matrix, nets: Sequence[Net]) -> list[str]:
    """The findings in sentences, no stronger than the number of networks allows."""
    case, *others = rows_of(matrix, nets)
    if not case.measured:
        return [f"No network of “{case.condition}” has been measured yet."]
    n = len(case.measured)
    lines = [
        f"Kernels of “{case.condition}”, {_nets(n)}: the towers' mean chroma differs by {case.mean:.3f} on average, "
        f"{_signed(sum(case.excess) / n)}{_ends(case.interval)} more than shuffled labels give; "
        f"{case.beyond} of {n} beyond the 99.9 % null (joint p = {case.joint_p:.2g}; true share at least "
        f"{case.rate_bound:.0%})."
    ]
    learned = rows_of(matrix, nets, KINDS[1])[0]
    if learned.measured:
        lines.append(
            f"Of the learned part alone: {learned.mean:.3f}, {learned.beyond} of {len(learned.measured)} beyond it."
        )
    lines += _of_others(others)
    lines += _of_function(rows_of(matrix, nets, KINDS[2])[0])
    lines += _of_probes(rows_of(matrix, nets, KINDS[3])[0])
    if n < FEWEST:
        lines.append(f"{_nets(n)} cannot speak for every training; an interval needs {FEWEST}.")
    return lines


def _of_others(rows: Sequence[Row]) -> list[str]:
    """How many networks of each other condition are beyond the null, in a sentence."""
    found = [
        f"{row.condition} {row.beyond} of {len(row.measured)} ({row.mean:.3f} apart)" for row in rows if row.measured
    ]
    return [f"Kernels beyond the 99.9 % null in other conditions: {'; '.join(found)}."] if found else []


def _of_function(row: Row) -> list[str]:
    """What the towers are for, in a sentence."""
    if not row.measured:
        return []
    first, second = next(net.factors[row.kind] for net in row.nets if row.kind in net.factors)
    return [
        f"Function: how much more {second} suffers than {first} with a tower silenced differs between the towers by "
        f"{_points(row)} random halves differ. {_agreeing(row, second)} Each tower is the more "
        f"needed one for a factor of its own (a double dissociation) in {row.crossed} of {len(row.measured)}."
    ]


def _of_probes(row: Row) -> list[str]:
    """What the towers know, in a sentence."""
    if not row.measured:
        return []
    return [
        f"Probes: how much better hue is read off a tower's pool2 than orientation differs between the towers by "
        f"{_points(row)} random halves differ. {_agreeing(row, 'hue')}"
    ]


def _points(row: Row) -> str:
    """The mean range and its excess in percentage points."""
    n = len(row.measured)
    return (
        f"{100 * (row.mean or 0):.1f} points on average, {100 * sum(row.excess) / n:+.1f}"
        f"{_ends(row.interval, '.1f', 100)} more than"
    )


def _agreeing(row: Row, factor: str) -> str:
    agreeing, comparable = row.agreeing
    return (
        f"{row.beyond} of {len(row.measured)} beyond nearly all of these; {factor} belongs to the tower with the more "
        f"colourful kernels in {agreeing} of {comparable}."
    )


def table(matrix: Matrix, nets: Sequence[Net]) -> pd.DataFrame:
    """A row per condition and kind (as trained, learned part, function, probes), in numbers."""
    return pd.DataFrame([_numbers(row) for kind in KINDS for row in rows_of(matrix, nets, kind) if row.nets])


def net_table(nets: Sequence[Net]) -> pd.DataFrame:
    """A row per network and kind, those that do not count included, with the reason."""
    return pd.DataFrame([_net_numbers(net, kind) for net in nets for kind in KINDS])


def text(matrix: Matrix, nets: Sequence[Net]) -> str:
    """The report for a terminal."""
    lines = [matrix.title, "", *summary(matrix, nets), ""]
    ends = (f"{name:>{width}s}" for name, width in COLUMNS)
    heads = f"{'condition':22s} {' '.join(ends)}"
    for kind in KINDS:
        lines += [f"{kind}:", heads, *(_line(row) for row in rows_of(matrix, nets, kind) if row.nets), ""]
    lines += [f"left out: {net.condition}, seed {net.seed}: {net.reason}" for net in nets if net.reason]
    missing = [row.condition for row in rows_of(matrix, nets) if not row.nets]
    lines += [f"not trained: {', '.join(missing)}"] if missing else []
    return "\n".join([*lines, "", NOTE])


def _line(row: Row) -> str:
    n = len(row.measured)
    if not n or row.mean is None:
        return f"{row.condition:22s} {n:5d}"
    excess = f"{_signed(sum(row.excess) / n)}{_ends(row.interval)}"
    chance = sum(spread.chance for spread in row.measured) / n
    return (
        f"{row.condition:22s} {n:5d} {row.mean:6.3f} {chance:7.3f} {excess:>24s} {row.sign_p:7.2g} {row.joint_p:8.2g} "
        f"{row.beyond:3d}/{n:<3d} {row.rate_bound:6.1%}{f'  crossed {row.crossed}/{n}' * (row.kind == KINDS[2])}"
    )


def _numbers(row: Row) -> dict[str, Any]:
    n, interval = len(row.measured), row.interval
    return {
        "condition": row.condition,
        "kind": row.kind,
        "trained": len(row.nets),
        "n": n,
        "mean_range": row.mean,
        "mean_chance": sum(spread.chance for spread in row.measured) / n if n else None,
        "mean_excess": sum(row.excess) / n if n else None,
        "excess_low": interval.low if interval else None,
        "excess_high": interval.high if interval else None,
        "sign_p": row.sign_p,
        "joint_p": row.joint_p,
        "beyond_999": row.beyond,
        "rate_lower_bound": row.rate_bound,
        "crossed": row.crossed if row.kind == KINDS[2] else None,
    }


def _net_numbers(net: Net, kind: str) -> dict[str, Any]:
    spread, course = net.courses[kind].last, net.courses[kind]
    return {
        "condition": net.condition,
        "cut": net.cut or "towers",
        "seed": net.seed,
        "kind": kind,
        "top1": net.top1,
        "live": net.live,
        "left_out": net.reason,
        **{f"mean_{chr(ord('A') + tower)}": mean for tower, mean in enumerate(spread.means if spread else ())},
        "range": spread.range if spread else None,
        "p_value": spread.p_value if spread else None,
        "null_95": spread.null_95 if spread else None,
        "null_999": spread.null_999 if spread else None,
        "detected_at_step": course.detected if kind in KERNELS else None,
        "crossed": net.crossed if kind == KINDS[2] else None,
        "agrees": net.agrees(kind) if kind not in KERNELS else None,
    }


def _nets(n: int) -> str:
    return f"{n} network" + "s" * (n != 1)


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _ends(interval: Interval | None, digits: str = ".3f", scale: int = 1) -> str:
    return f" [{scale * interval.low:+{digits}}, {scale * interval.high:+{digits}}]" if interval else ""

"""``python -m analysis.retrieval quality``: how good the neighbours are that a workspace's features give."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.retrieval.quality import (
    COMPONENTS,
    HUB_K,
    KS,
    Difference,
    Estimate,
    Hubs,
    Kind,
    Quality,
    Row,
    chance_skewness,
    differences,
    hubs,
    rows,
    workspace_quality,
)
from analysis.workspace import WorkspaceError, find_workspace

NOTE = (
    "No half is pure behind conv2: conv3, fc6 and fc7 read both towers, so each half of fc7 knows what both computed.\n"
    "Each interval stands for itself; it is for other queries (hubness: gallery images), not for another network."
)
WIDTH = 50  # of the first column


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what is wrong."""
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except WorkspaceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.retrieval", description="Retrieval by features.")
    commands = parser.add_subparsers(required=True)
    told = "same-class precision@k, MAP@R and hubness of a workspace's features: by tower, raw, L2 and whitened"
    command = commands.add_parser("quality", help=told, description=f"{told}. {NOTE}")
    command.add_argument("workspace", help="its last split asks, the others are the gallery; a lone split asks itself")
    command.add_argument("--stage", default="fc7", help="default: fc7; others once analysis.features computed them")
    command.add_argument("--k", type=int, nargs="+", default=list(KS), help="of precision@k (default: 1 5 10)")
    command.add_argument("--queries", type=int, metavar="N", help="only that many, evenly spread")
    command.add_argument(
        "--components", type=int, default=COMPONENTS, help="principal components of whitened features, at most"
    )
    command.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    command.add_argument("--json", action="store_true", help="print one JSON object in place of tables")
    command.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    command.set_defaults(run=_run_quality)
    return parser


def _run_quality(options: argparse.Namespace) -> None:
    workspace = find_workspace(options.workspace, options.home)
    quality = workspace_quality(
        workspace,
        stage=options.stage,
        ks=options.k,
        n_queries=options.queries,
        components=options.components,
        progress=True,
    )
    rng = np.random.default_rng(options.seed)
    title = f"{workspace.name}: {options.stage} of {workspace.checkpoint}"
    found = rows(quality, rng), differences(quality, rng), hubs(quality, rng)
    print(json.dumps(_values(title, quality, *found)) if options.json else _text(title, quality, *found))


def _values(
    title: str, quality: Quality, means: list[Row], less: list[Difference], hubness: list[Hubs]
) -> dict[str, Any]:
    return {
        "title": title,
        "queries": quality.n_queries,
        "gallery": quality.n_gallery,
        "left_out": quality.left_out,
        "factors": [
            {"factor": factor, "queries": int(quality.counted(factor).sum()), "chance": quality.chance(factor)}
            for factor in quality.scores
        ],
        "rows": [{"factor": row.factor, **row.kind._asdict(), **_measured(quality, row.means)} for row in means],
        "differences": [
            {"factor": one.factor, **one.kind._asdict(), "less": one.less._asdict(), **_measured(quality, one.means)}
            for one in less
        ],
        "chance_skewness": chance_skewness(quality),
        "hubs": [
            {**one.kind._asdict(), "skewness": _flat(one.skewness), "most": one.most, "never": one.never}
            for one in hubness
        ],
        "whitenings": [whitening._asdict() for whitening in quality.whitenings],
        "note": NOTE,
    }


def _measured(quality: Quality, means: Sequence[Estimate]) -> dict[str, dict[str, float]]:
    return {name: _flat(estimate) for name, estimate in zip(quality.measures, means, strict=True)}


def _flat(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, **estimate.interval._asdict()}


def _text(title: str, quality: Quality, means: list[Row], less: list[Difference], hubness: list[Hubs]) -> str:
    own = ", none finds itself" if quality.left_out else ""
    lines = [
        f"{title}, {quality.n_queries:,} queries, gallery of {quality.n_gallery:,}{own}",
        *(
            f"whitened, {one.part}: {one.components} principal components of {one.sample:,} gallery images, "
            f"{one.variance:.1%} of their variance"
            for one in quality.whitenings
        ),
        NOTE,
    ]
    for factor in quality.scores:
        counted, chance = int(quality.counted(factor).sum()), quality.chance(factor)
        lines += ["", f"by {factor}, in % [95 % interval]; {counted:,} queries, chance {chance:.2%}"]
        lines += _table(quality.measures, [(_name(row.kind), row.means) for row in means if row.factor == factor])
        lines += ["", f"by {factor}, difference on the same queries in points [95 % interval]"]
        pairs = [(f"{_name(one.kind)} - {_name(one.less)}", one.means) for one in less if one.factor == factor]
        lines += _table(quality.measures, pairs)
    lines += ["", f"hubness: skewness of N_{HUB_K} [95 % interval]; by chance {chance_skewness(quality):.2f}"]
    for hub in hubness:
        value, (low, high) = hub.skewness
        interval = f"{value:.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"{_name(hub.kind):{WIDTH}s} {interval:24s} largest hub {hub.most:,}, never found {hub.never:.1%}")
    return "\n".join(lines)


def _table(measures: Sequence[str], lines: Sequence[tuple[str, Sequence[Estimate]]]) -> list[str]:
    head = " ".join([" " * WIDTH, *(f"{measure:24s}" for measure in measures)])
    return [head.rstrip(), *(_line(name, estimates) for name, estimates in lines)]


def _line(name: str, estimates: Sequence[Estimate]) -> str:
    shares = (f"{100 * value:.2f} [{100 * low:.2f}, {100 * high:.2f}]" for value, (low, high) in estimates)
    return " ".join([f"{name:{WIDTH}s}", *(f"{share:24s}" for share in shares)]).rstrip()


def _name(kind: Kind) -> str:
    return f"{kind.part}, {kind.scaling}"


if __name__ == "__main__":
    sys.exit(main())

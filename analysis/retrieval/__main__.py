"""``python -m analysis.retrieval quality|index``: how good a workspace's neighbours are, and what finds them."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from analysis.retrieval.index import AUTO
from analysis.retrieval.metrics import METRICS
from analysis.retrieval.quality import COMPONENTS, HUB_K, KS, Estimate, Kind, workspace_quality
from analysis.retrieval.reports import NOTE, Report, keep_report, report_on, to_json
from analysis.retrieval.spaces import HALVES, STAGE, Space, open_space
from analysis.workspace import find_workspace

WIDTH = 50  # of the first column


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what is wrong."""
    options = _parser().parse_args(argv)
    try:
        options.run(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.retrieval", description="Retrieval by features.")
    commands = parser.add_subparsers(required=True)
    told = "same-class precision@k, MAP@R and hubness of a workspace's features: by tower, raw, L2 and whitened"
    kept = "The result is kept in the workspace's folder, where the page Retrieval finds it."
    command = commands.add_parser("quality", help=told, description=f"{told}. {kept} {NOTE}")
    command.add_argument("workspace", help="its last split asks, the others are the gallery; a lone split asks itself")
    command.add_argument(
        "--stage", nargs="+", default=["fc7"], help="default: fc7; others once analysis.features computed them"
    )
    command.add_argument("--k", type=int, nargs="+", default=list(KS), help="of precision@k (default: 1 5 10)")
    command.add_argument(
        "--queries", type=int, metavar="N", help="only that many, evenly spread; takes no place of a result of more"
    )
    command.add_argument(
        "--components", type=int, default=COMPONENTS, help="principal components of whitened features, at most"
    )
    command.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    command.add_argument("--json", action="store_true", help="print one JSON object a stage in place of tables")
    command.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    command.set_defaults(run=_run_quality)
    told = "fit and keep an index of a workspace's features, as the page Retrieval does when it is asked for"
    command = commands.add_parser("index", help=told, description=told)
    command.add_argument("workspace")
    command.add_argument("--stage", default=STAGE, help="whose features are there (default: fc7)")
    command.add_argument("--metric", choices=METRICS, default="euclidean")
    command.add_argument("--half", choices=HALVES, default="all", help="units of one tower only")
    command.add_argument("--kind", default=AUTO, help="flat, auto (default), or a factory string of FAISS")
    command.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    command.set_defaults(run=_run_index)
    return parser


def _run_quality(options: argparse.Namespace) -> None:
    workspace = find_workspace(options.workspace, options.home)
    for stage in options.stage:
        quality = workspace_quality(
            workspace,
            stage=stage,
            ks=options.k,
            n_queries=options.queries,
            components=options.components,
            progress=True,
        )
        report = report_on(workspace, stage, quality, np.random.default_rng(options.seed))
        keep_report(workspace, report)
        print(json.dumps(to_json(report) | {"note": NOTE}) if options.json else _text(report))


def _run_index(options: argparse.Namespace) -> None:
    workspace = find_workspace(options.workspace, options.home)
    space = Space(options.stage, options.metric, HALVES[options.half], options.kind)
    with tqdm(bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}", leave=False) as bar:

        def show(phase: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description_str(phase.capitalize())

        index = open_space(workspace, space, progress=show)
    print(index.explanation)


def _text(report: Report) -> str:
    own = ", none finds itself" if report.left_out else ""
    lines = [
        f"{report.title}, {report.queries:,} queries, gallery of {report.gallery:,}{own}",
        *(
            f"whitened, {one.part}: {one.components} principal components of {one.sample:,} gallery images, "
            f"{one.variance:.1%} of their variance"
            for one in report.whitenings
        ),
        NOTE,
    ]
    for name, queries, chance in report.factors:
        lines += ["", f"by {name}, in % [95 % interval]; {queries:,} queries, chance {chance:.2%}"]
        lines += _table(report.measures, [(_name(row.kind), row.means) for row in report.rows if row.factor == name])
        lines += ["", f"by {name}, difference on the same queries in points [95 % interval]"]
        pairs = [
            (f"{_name(one.kind)} - {_name(one.less)}", one.means) for one in report.differences if one.factor == name
        ]
        lines += _table(report.measures, pairs)
    lines += ["", f"hubness: skewness of N_{HUB_K} [95 % interval]; by chance {report.chance_skewness:.2f}"]
    for hub in report.hubs:
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

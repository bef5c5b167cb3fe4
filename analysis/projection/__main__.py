"""The command line of maps: ``python -m analysis.projection WORKSPACE --method UMAP``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.projection.layout import METHODS
from analysis.projection.maps import HALVES, ImageMap, MapPlan, make_map, map_file, open_map
from analysis.workspace import find_workspace


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what is wrong."""
    options = _parser().parse_args(argv)
    plan = MapPlan(
        method=options.method,
        neighbours=options.neighbours,
        min_dist=options.min_dist,
        seed=options.seed,
        images=options.images,
        split=options.split,
        stage=options.stage,
        metric=options.metric,
        half=HALVES[options.half],
    )
    try:
        workspace = find_workspace(options.workspace, options.home)
        found = open_map(workspace, plan) or make_map(workspace, plan, _say)
        print(_text(plan, found), map_file(workspace, plan), sep="\n")
    except (ValueError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    usual = MapPlan()
    parser = argparse.ArgumentParser(
        prog="python -m analysis.projection",
        description="Put a workspace's images on a map by what the network makes of them, and keep the map.",
    )
    parser.add_argument("workspace")
    parser.add_argument("--method", choices=METHODS, default=usual.method)
    parser.add_argument("--neighbours", type=int, default=usual.neighbours, help="perplexity, or n_neighbors of UMAP")
    parser.add_argument("--min-dist", type=float, default=usual.min_dist, help="how close UMAP may put points")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--images", type=int, default=usual.images, help="at most (default: 5000)")
    parser.add_argument("--split", default=usual.split, help="default: all")
    parser.add_argument("--stage", default=usual.stage, help="whose features are there (default: fc7)")
    parser.add_argument("--metric", choices=("euclidean", "cosine"), default=usual.metric)
    parser.add_argument("--half", choices=HALVES, default="all", help="units of one tower only")
    parser.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    return parser


def _say(phase: str) -> None:
    print(f"{phase} ...", file=sys.stderr, flush=True)


def _text(plan: MapPlan, found: ImageMap) -> str:
    trust = found.faithfulness
    return (
        f"{plan.method} of {len(found.rows):,} images in {found.seconds:.1f} s: trustworthiness "
        f"{trust.trustworthiness:.3f}; of {trust.k} neighbours on the map {trust.shared:.1%} are neighbours in the "
        f"features (chance {trust.chance:.1%}); variance of the {len(found.variance)} components used "
        f"{found.variance.sum():.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""``python -m analysis.experiments run|status|report|train``."""

import argparse
from pathlib import Path

import torch

from alexnet_core.memory import reuse_freed_memory
from analysis.experiments.matrix import RESULTS, list_matrices, load_matrix
from analysis.experiments.nets import read_matrix
from analysis.experiments.report import net_table, text
from analysis.experiments.running import run_matrix, standing, train_cell


def main(arguments: list[str] | None = None) -> None:
    """Train a matrix of small networks and keep what is needed to compare their towers."""
    parser = argparse.ArgumentParser(prog="python -m analysis.experiments", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, told in (
        ("run", "train all that is missing"),
        ("status", "how far each training is"),
        ("report", "what the networks that were trained say"),
        ("train", "train one network, with any seed"),
    ):
        command = verbs.add_parser(verb, help=told, description=told)
        command.add_argument("matrix", help=f"{', '.join(list_matrices())}, or a TOML file")
        if verb == "train":
            command.add_argument("condition")
            command.add_argument("seed", type=int)
        command.add_argument("--results", type=Path, default=RESULTS, help="where results are kept")
        command.add_argument("--home", type=Path, help="data home (default: $ALEXNET_HOME or the user data folder)")
        if verb == "report":
            command.add_argument("--csv", type=Path, help="also write a row per network to this file")
        if verb == "run":
            command.add_argument("--jobs", type=int, default=1, help="networks that are trained side by side")
        if verb in ("run", "train"):
            command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    try:
        matrix = load_matrix(options.matrix)
        if options.verb == "run":
            run_matrix(matrix, home=options.home, results=options.results, device=options.device, jobs=options.jobs)
        elif options.verb == "train":
            cell = matrix.cell(options.condition, options.seed)
            train_cell(cell, home=options.home, results=options.results, device=torch.device(options.device))
        elif options.verb == "report":
            nets = read_matrix(matrix, options.results)
            print(text(matrix, nets))
            if options.csv:
                net_table(nets).to_csv(options.csv, index=False)
        else:
            for row in (standing(cell, home=options.home, results=options.results) for cell in matrix.cells()):
                print(f"{row.cell.name:28s} {row.share:6.1%}  {row.word}")
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))


if __name__ == "__main__":
    reuse_freed_memory()  # for the whole process, so only in one of its own
    main()

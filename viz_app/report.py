"""Reports as single HTML files that open without server or network: ``python -m viz_app.report errors|towers``."""

import argparse
import sys
from pathlib import Path

from alexnet_core.checkpoint import Checkpoint, load_checkpoint, read_card
from alexnet_core.data import open_dataset
from alexnet_core.files import write_json, written_beside
from analysis.errors.export import write_csv
from analysis.errors.selection import CRITERIA, ORDERS, Selection, select
from analysis.workspace import about, find_workspace, open_images, open_predictions, open_thumbnails
from analysis.workspace.registry import checkpoint_place
from viz_app.errors.report import IMAGES, Material, errors_report
from viz_app.figures.captions import class_labels
from viz_app.lab.gather import gathered
from viz_app.lab.report import to_json, towers_report
from viz_app.samples import Gallery, gallery

ERRORS = (
    "Rates, confused pairs, classes, confidence and images of a workspace as HTML; the list of images as CSV beside."
)
TOWERS = (
    "Are the two towers of a network specialised? Every number of the Towers page as HTML; the results as JSON and the "
    "table of kernels as CSV beside."
)


def main(arguments: list[str] | None = None) -> int:
    """Write a report."""
    parser = argparse.ArgumentParser(prog="python -m viz_app.report", description=main.__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _errors_command(commands.add_parser("errors", help="what a network gets wrong", description=ERRORS))
    _towers_command(commands.add_parser("towers", help="whether its towers are specialised", description=TOWERS))
    options = parser.parse_args(arguments)
    try:
        options.write(options)
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _errors_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workspace", help="name of a built workspace (python -m analysis.workspace list)")
    parser.add_argument("--html", type=Path, default=Path("report.html"), help="default: %(default)s")
    parser.add_argument("--split", help="default: val where there is one, else all")
    parser.add_argument("--criterion", choices=CRITERIA, default="top-1 wrong", help="default: %(default)s")
    parser.add_argument("--order", choices=ORDERS, default="most wrong", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the order “random”")
    parser.add_argument("--images", type=int, default=IMAGES, help="of the selection shown (default: %(default)s)")
    parser.add_argument("--home", type=Path, help="data home (default: $ALEXNET_HOME)")
    parser.set_defaults(write=write_errors)


def _towers_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--html", type=Path, default=Path("report.html"), help="default: %(default)s")
    parser.add_argument("--dataset", help="image store to look at (default: the one it was trained on, if it is there)")
    parser.set_defaults(write=write_towers)


def write_errors(options: argparse.Namespace) -> None:
    """Write the report on a workspace's errors, and its list of images beside.

    Raises ``ValueError``, one sentence, for a workspace that is not built and for a split that it does not have.
    """
    material = _material(options.workspace, options.home)
    selection = Selection(
        criterion=options.criterion, order=options.order, split=_split(options.split, material), seed=options.seed
    )
    html = errors_report(material, selection, images=options.images)
    listed = options.html.with_suffix(".csv")
    with written_beside(options.html) as beside:
        beside.write_text(html, encoding="utf-8")
    with written_beside(listed) as beside, beside.open("wb") as sink:
        write_csv(sink, material.table, select(material.table, selection, material.names), material.names)
    print(f"{options.html}: {options.html.stat().st_size:,} bytes; {listed}: {listed.stat().st_size:,} bytes")


def _split(asked: str | None, material: Material) -> str:
    return ("val" if "val" in material.about.firsts else "") if asked is None else asked


def _material(name: str, home: Path | None) -> Material:
    """What a workspace holds."""
    workspace = find_workspace(name, home)
    table, thumbnails = open_predictions(workspace), open_thumbnails(workspace)
    images, found, ids = gallery(open_images(workspace), workspace.splits), about(table), table["id"].to_numpy()
    rows = [{"id": id_, "name": name} for id_, name in zip(found.classes, found.class_names, strict=True)]
    return Material(
        title=workspace.title,
        card=read_card(checkpoint_place(workspace)),
        table=table,
        about=found,
        names=class_labels(rows),
        image=lambda position: images.pixels(int(ids[position])),
        thumbnail=lambda position: thumbnails[int(ids[position])],
    )


def write_towers(options: argparse.Namespace) -> None:
    """Write the report on a network's towers, its results and its table of kernels.

    Raises ``ValueError``, one sentence, for a network that has not two towers.
    """
    checkpoint = load_checkpoint(options.checkpoint)
    material = gathered(checkpoint, _images(checkpoint, options.dataset))
    html, results, kernels = (options.html.with_suffix(suffix) for suffix in (options.html.suffix, ".json", ".csv"))
    with written_beside(html) as beside:
        beside.write_text(towers_report(material), encoding="utf-8")
    write_json(results, to_json(material))
    with written_beside(kernels) as beside:
        material.table.to_csv(beside, index=False)
    print("; ".join(f"{file}: {file.stat().st_size:,} bytes" for file in (html, results, kernels)))


def _images(checkpoint: Checkpoint, dataset: str | None) -> Gallery | None:
    """Images to look at: those asked for, else the network's own where they are on this machine."""
    try:
        return gallery(open_dataset(dataset or str(checkpoint.card.get("dataset", ""))), ())
    except (FileNotFoundError, ValueError):
        if dataset:
            raise
        return None


if __name__ == "__main__":
    sys.exit(main())

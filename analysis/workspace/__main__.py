"""The command line of workspaces: ``python -m analysis.workspace build|list|show|verify|remove NAME``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from analysis.workspace.artefacts import manifest_of, state_of, verify_workspace
from analysis.workspace.building import build_workspace, create_workspace, own_images, remove_workspace
from analysis.workspace.progress import Progress
from analysis.workspace.registry import (
    BUILT_IN,
    Workspace,
    WorkspaceError,
    find_workspace,
    list_workspaces,
    open_images,
)

DEFAULT_CHECKPOINT = "tiny-imagenet-127"  # for one's own photographs
SHOWN = 10  # files left out that are named on the screen


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what is wrong."""
    arguments = _parser().parse_args(argv)
    try:
        sound: bool = arguments.run(arguments)
    except WorkspaceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    return 0 if sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.workspace", description="Workspaces: build and keep them."
    )
    commands = parser.add_subparsers(required=True)
    building = commands.add_parser(
        "build", help="compute what is missing or stale; --from makes a workspace of your own"
    )
    building.add_argument(
        "--from", dest="given", type=Path, metavar="PATH", help="folder of class subfolders, or archive"
    )
    building.add_argument("--dataset", help="make a workspace of a built image store instead")
    building.add_argument("--checkpoint", help=f"of your own workspace (default: {DEFAULT_CHECKPOINT})")
    building.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    building.set_defaults(run=_run_build)
    listing = commands.add_parser("list", help="all workspaces, and what there is of them")
    listing.set_defaults(run=_run_list)
    showing = commands.add_parser(
        "show", help="one workspace: its artefacts, their bytes, and how fast they were built"
    )
    showing.set_defaults(run=_run_show)
    checking = commands.add_parser(
        "verify", help="compare every byte with its checksum, and the inputs with what is there"
    )
    checking.set_defaults(run=_run_verify)
    removing = commands.add_parser("remove", help="delete what was computed; your own workspace altogether")
    removing.set_defaults(run=_run_remove)
    for command in (building, showing, checking, removing):
        command.add_argument("name")
    for command in (building, listing, showing, checking, removing):
        command.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    return parser


def _run_build(arguments: argparse.Namespace) -> bool:
    name, home, given = arguments.name, arguments.home, arguments.given
    own = name not in BUILT_IN and (given or arguments.dataset)
    if not own and (arguments.checkpoint or arguments.dataset):
        raise WorkspaceError("--checkpoint and --dataset are for a new workspace, made with --from or --dataset.")
    if own:
        checkpoint = arguments.checkpoint or DEFAULT_CHECKPOINT
        workspace = create_workspace(name, checkpoint=checkpoint, dataset=arguments.dataset, images=given, home=home)
        _print_left_out(workspace)
    with tqdm(
        desc="Starting", bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", leave=False
    ) as bar:

        def show(progress: Progress) -> None:
            bar.total, bar.n = progress.total, progress.done
            bar.set_description_str(progress.step)

        device = torch.device(arguments.device)
        workspace = build_workspace(
            name, images=None if own else given, home=home, report=show, device=device, progress=True
        )
    _print_workspace(workspace)
    return True


def _run_list(arguments: argparse.Namespace) -> bool:
    for workspace in list_workspaces(arguments.home):
        print(_summary(workspace))
    return True


def _run_show(arguments: argparse.Namespace) -> bool:
    _print_workspace(find_workspace(arguments.name, arguments.home))
    return True


def _run_verify(arguments: argparse.Namespace) -> bool:
    problems = verify_workspace(arguments.name, home=arguments.home)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{arguments.name}: every checksum is right")
    return not problems


def _run_remove(arguments: argparse.Namespace) -> bool:
    workspace = find_workspace(arguments.name, arguments.home)
    images = own_images(workspace)
    freed = remove_workspace(workspace.name, home=arguments.home)
    also = f", with the images that were read for it ({images})" if images else ""
    print(f"{workspace.name}: {freed:,} bytes freed{also}")
    return True


def _print_left_out(workspace: Workspace) -> None:
    """Which files could not be used, and why."""
    splits = open_images(workspace).splits
    skipped = [(split, *file) for split, info in splits.items() for file in info.skipped]
    for split, path, reason in skipped[:SHOWN]:
        print(f"left out of {split}: {path}: {reason}")
    if len(skipped) > SHOWN:
        print(f"and {len(skipped) - SHOWN} more files")


def _print_workspace(workspace: Workspace) -> None:
    """A line on the whole, and one for each artefact."""
    print(_summary(workspace))
    state, manifest = state_of(workspace), manifest_of(workspace)
    for name, artefact in state.artefacts.items():
        entry = manifest and manifest.artefacts.get(name)
        took = f"{entry.seconds:8.2f} s {entry.rate:12,.0f} images/s" if entry else ""
        print(f"  {name:12s} {artefact.status:8s} {artefact.bytes:15,} bytes {took}".rstrip())
    if manifest and manifest.pass_rate:
        print(f"  loading, network and thumbnails together: {manifest.pass_rate:,.0f} images/s")
    if manifest and (head := manifest.head):
        share, low, high = (f"{100 * value:.1f}" for value in (head.accuracy, head.low, head.high))
        print(f"  linear head: top-1 {share} % [{low}, {high}] on {head.n:,} images that it has not seen")
    if state.problem:
        print(f"  {state.problem}")


def _summary(workspace: Workspace) -> str:
    state, manifest = state_of(workspace), manifest_of(workspace)
    statuses = [artefact.status for artefact in state.artefacts.values()]
    condition = (
        "fresh" if state.fresh else "stale" if "stale" in statuses else "incomplete" if state.bytes else "not built"
    )
    counts = (
        ", ".join(f"{split} {count:,}" for split, count in manifest.images.items()) if manifest else "not counted yet"
    )
    images = f"{workspace.dataset} ({counts})" if state.images else f"{workspace.dataset} (not there)"
    running = f", being built: {state.progress.step}" if state.progress else ""
    return (
        f"{workspace.name}: {condition}{running}; checkpoint {workspace.checkpoint}; images {images}; "
        f"{state.bytes / 1e6:,.1f} MB computed"
    )


if __name__ == "__main__":
    sys.exit(main())

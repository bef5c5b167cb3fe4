"""Fetches public image sets, and one's own photographs, into image stores."""

import argparse
import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from alexnet_core import sources
from alexnet_core.archive import unpack
from alexnet_core.build import UNFINISHED, ImageSource, build_store
from alexnet_core.download import download
from alexnet_core.paths import datasets_dir, downloads_dir
from alexnet_core.prism.store import SIZE, is_prism, open_prism, prism_source
from alexnet_core.store import ImageStore

SHOWN = 10  # files left out that are named on the screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one kind of data set becomes a store."""

    find: Callable[[Path], ImageSource]
    size: int = 256  # pixels, unless the user says otherwise
    store: str = ""  # first part of the store's name; "" takes the name of what was given
    url: str = ""  # "" where the user must bring the images
    md5: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)  # images per split of the official set


RECIPES = {
    "tiny-imagenet": Recipe(
        find=sources.tiny_imagenet,
        size=64,
        store="tiny-imagenet",
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        md5="90528d7ca1a48142e341f4ef8d21d0de",  # Stanford gives none; many loaders agree on it
        counts={"train": 100_000, "val": 10_000},
    ),
    "cifar10": Recipe(
        find=sources.cifar10,
        size=32,
        store="cifar10",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",  # from the authors' page
        counts={"train": 50_000, "val": 10_000},
    ),
    "imagenette": Recipe(
        find=sources.imagenette,
        store="imagenette",
        url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        md5="3df6f0d01a2c9592104656642f5e78a3",  # from torchvision.datasets.Imagenette
        counts={"train": 9_469, "val": 3_925},
    ),
    "imagenet-folder": Recipe(find=sources.imagenet_folder, store="imagenet"),
    "folder": Recipe(find=sources.own_folder),
}


def fetch(
    recipe: str,
    given: Path | None = None,
    *,
    home: Path | None = None,
    size: int | None = None,
    name: str | None = None,
    progress: bool = True,
) -> ImageStore:
    """Builds the store of a recipe from ``given`` (an archive or a folder), else from its official address.

    Interrupted at any point, the same call goes on where it stopped; a store that is there is returned as it
    is. Raises ValueError or OSError saying what to do, also if ``given`` would replace a store.
    """
    if recipe == "prism":
        return _rendered(name or f"prism-{size or SIZE}", home, progress)
    if recipe not in RECIPES:
        raise ValueError(f"Unknown data set {recipe!r}; choose from {['prism', *RECIPES]}.")
    plan = RECIPES[recipe]
    size = size or plan.size
    name = name or f"{plan.store or _slug(given)}-{size}"
    folder = _store_folder(name, home)
    if folder.exists() and given is None:
        return ImageStore.open(folder)
    if folder.exists():
        raise ValueError(f"{folder} exists already; delete it to build it again, or choose another --name.")
    with _unpacked(given or _downloaded(recipe, home, progress), folder, progress) as root:
        source = _with_count_note(plan.find(root), plan.counts)
        return build_store(source, folder, name=name, size=size, progress=progress)


def open_dataset(name: str, home: Path | None = None) -> ImageStore:
    """The built store of that name, or Prism; FileNotFoundError with the command that makes it.

    A Prism that is not on disk renders its images when they are read.
    """
    folder = _store_folder(name, home)
    if is_prism(name) and not folder.exists():
        return open_prism(name)
    if not (folder / "manifest.json").exists():
        there = ", ".join(list_datasets(home)) or "none"
        raise FileNotFoundError(
            f"Data set {name!r} is not in {folder.parent} (there: {there}). "
            f"Run: python -m alexnet_core.data fetch {_fetch_arguments(name)}"
        )
    return ImageStore.open(folder)


def list_datasets(home: Path | None = None) -> list[str]:
    """Names of the stores that are built."""
    names = (manifest.parent.name for manifest in datasets_dir(home).glob("*/manifest.json"))
    return sorted(name for name in names if not name.endswith(UNFINISHED))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what went wrong."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _rendered(name: str, home: Path | None, progress: bool) -> ImageStore:
    """Prism's pixels on disk: training then reads what it would render again in every epoch."""
    size, folder = open_prism(name).size, _store_folder(name, home)
    if folder.exists():
        return ImageStore.open(folder)
    return build_store(prism_source(name), folder, name=name, size=size, progress=progress)


def _slug(given: Path | None) -> str:
    """A store name from the name of a folder or archive: "My Photos.tar.xz" becomes "my-photos"."""
    if given is None:
        raise ValueError("This kind of data set needs --from PATH: an archive or a folder of images.")
    stem = re.sub(r"(\.tar)?\.(zip|tar|tgz|gz|bz2|xz)$", "", given.expanduser().resolve().name.lower())
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "photos"


def _store_folder(name: str, home: Path | None) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"The name of a data set must be letters, digits, '-', '_' and '.', got {name!r}.")
    return datasets_dir(home) / name


def _downloaded(recipe: str, home: Path | None, progress: bool) -> Path:
    plan = RECIPES[recipe]
    if not plan.url:
        raise ValueError(f"{recipe} has no public address: pass your copy with --from PATH.")
    file = downloads_dir(home) / plan.url.rpartition("/")[2]
    return download(plan.url, file, md5=plan.md5, progress=progress)


@contextmanager
def _unpacked(given: Path, folder: Path, progress: bool) -> Iterator[Path]:
    """A folder with what ``given`` holds; an unpacked archive is kept until the store is built."""
    given = given.expanduser().resolve()
    if not given.exists():
        raise ValueError(f"--from must be an archive or a folder; {given} does not exist.")
    if given.is_dir():
        yield given
        return
    stamp = f"{given} {given.stat().st_size} {given.stat().st_mtime_ns}"
    root = folder.with_name(f"{folder.name}.unpacked-{hashlib.sha256(stamp.encode()).hexdigest()[:8]}")
    if not root.exists():
        unpack(given, root, progress=progress)
    yield root
    shutil.rmtree(root)


def _with_count_note(source: ImageSource, official: Mapping[str, int]) -> ImageSource:
    found = {split: len(samples) for split, samples in source.splits.items()}
    if not official or found == official:
        return source
    note = f"{source.note} Not the whole official set: {found} of {dict(official)}."
    return replace(source, note=note.strip())


def _fetch_arguments(name: str) -> str:
    """What to type after ``fetch`` for a store of that name."""
    for recipe, plan in RECIPES.items():
        if plan.store and (match := re.fullmatch(rf"{plan.store}-(\d+)", name)):
            size = "" if int(match[1]) == plan.size else f" --size {match[1]}"
            return f"{recipe}{size}{'' if plan.url else ' --from PATH'}"
    return f"folder --from PATH --name {name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m alexnet_core.data", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fetching = commands.add_parser("fetch", help="download or read images and build their store")
    fetching.add_argument(
        "recipe", choices=["prism", *RECIPES], help="kind of data set; 'folder' is one's own class/image.jpg"
    )
    fetching.add_argument("--from", dest="given", type=Path, metavar="PATH", help="local .zip, .tar.* or folder")
    fetching.add_argument("--size", type=int, help="pixels of the stored squares (else 64, 32 or 256)")
    fetching.add_argument("--name", help="name of the store")
    fetching.set_defaults(run=_run_fetch)
    listing = commands.add_parser("list", help="show the stores that are built")
    listing.set_defaults(run=_run_list)
    checking = commands.add_parser("verify", help="compare every pixel of a store with its checksums")
    checking.add_argument("name")
    checking.set_defaults(run=_run_verify)
    for command in (fetching, listing, checking):
        command.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    return parser


def _run_fetch(arguments: argparse.Namespace) -> None:
    chosen = {"home": arguments.home, "size": arguments.size, "name": arguments.name}
    store = fetch(arguments.recipe, arguments.given, **chosen)
    print(_summary(store), f"in {store.folder}")
    for split, info in store.splits.items():
        for path, reason in info.skipped[:SHOWN]:
            print(f"left out of {split}: {path}: {reason}")
        if len(info.skipped) > SHOWN:
            print(f"and {len(info.skipped) - SHOWN} more in {store.folder / 'manifest.json'}")


def _run_list(arguments: argparse.Namespace) -> None:
    for name in list_datasets(arguments.home):
        try:
            print(_summary(open_dataset(name, arguments.home)))
        except ValueError as error:  # one broken store must not hide the others
            print(f"{name}: {error}")


def _run_verify(arguments: argparse.Namespace) -> None:
    store = open_dataset(arguments.name, arguments.home)
    store.verify()
    print(_summary(store), "every checksum is right")


def _summary(store: ImageStore) -> str:
    counts = ", ".join(f"{split} {info.count:,}" for split, info in store.splits.items())
    skipped = sum(len(info.skipped) for info in store.splits.values())
    megabytes = sum(file.stat().st_size for file in store.folder.iterdir()) / 1e6
    parts = [
        f"{store.name}: {len(store.classes)} classes, {counts} images of {store.size} x {store.size} pixels",
        f"{megabytes:,.1f} MB",
        f"{skipped} files left out",
        f"hash {store.hash[:12]}",
        store.note,
    ]
    return "; ".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(main())

"""The command line of feature stores: ``python -m analysis.features CHECKPOINT DATA --stage fc7``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from alexnet_core.checkpoint import SHIPPED, Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.lrn import use_compiled
from alexnet_core.paths import checkpoints_dir
from analysis.features.extraction import DTYPES, extract

STAGES = (
    "a stage of the network; conv1 to conv5, fc6 and fc7 mean what they pass on, behind their ReLU (fc7 is relu7, the "
    "paper's last hidden layer), all others, such as pool5, norm1 or fc8, mean themselves; maps are flattened as "
    "(channel, row, column)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 on success, 1 after one line on what is wrong."""
    options = _parser().parse_args(argv)
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    use_compiled()  # some seconds of compiling, once on a machine, against minutes
    try:
        found = extract(
            _checkpoint(options.checkpoint, options.home),
            open_dataset(options.data, options.home),
            options.stage,
            splits=options.split,
            dtype=options.dtype,
            home=options.home,
            device=torch.device(options.device or _device()),
            rank=rank,
            ranks=ranks,
            progress=True,
            fresh=options.fresh,
        )
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    for store in found:
        n, d = store.shape
        print(f"{store.checkpoint}, {store.stage}: {n:,} x {d:,} {store.dtype.name} in {store.folder}")
    if not found:
        print(f"Process {rank + 1} of {ranks} has done its part; the last one to end says where the features are.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.features",
        description="Keep what stages of a network give for every image of a data set. Interrupted, the same command "
        "goes on where it stopped; under torchrun --nproc-per-node N every process computes a share.",
    )
    parser.add_argument("checkpoint", help="name or path")
    parser.add_argument("data", help="name of a built image store")
    parser.add_argument("--stage", nargs="+", default=["fc7"], help=f"{STAGES} (default: fc7)")
    parser.add_argument("--split", nargs="+", default=[], help="default: all")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    parser.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    parser.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--fresh", action="store_true", help="compute again what is there")
    return parser


def _checkpoint(name: str, home: Path | None) -> Checkpoint:
    """Those that ship go first, as everywhere; then those in this data home."""
    own = checkpoints_dir(home) / f"{name}.json"
    return load_checkpoint(own if own.exists() and not (SHIPPED / own.name).exists() else name)


def _device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


if __name__ == "__main__":
    sys.exit(main())

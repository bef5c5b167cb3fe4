"""All that is measured of the two towers' first-layer kernels in a checkpoint: ``python -m analysis.towers``."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.files import write_json
from analysis.kernels.functional import colour_response, grating_tuning, hue_tuning
from analysis.kernels.indices import (
    first_layer_kernels,
    kernel_table,
    knows_learned_part,
    load_snapshots,
    measure_kernels,
)
from analysis.kernels.patches import patch_covariance
from analysis.lesions.study import spread
from analysis.towers.comparison import TowerResult, measure, tower_labels
from analysis.towers.secondary import Secondary, measure_secondary, secondary_indices

Floats = NDArray[np.float64]


class Photographs(NamedTuple):
    """What natural images add to the indices of a network's first layer."""

    covariance: Floats  # of the patches it reads
    indices: dict[str, Floats]  # by name, a value per kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerStudy:
    """One set of kernels: the declared primary comparison and, where it can be made, the secondary ones."""

    primary: TowerResult
    secondary: Secondary | None

    def to_json(self) -> dict[str, Any]:
        """The primary fields as plain JSON values, the others under "secondary"."""
        return self.primary.to_json() | {"secondary": self.secondary and self.secondary.to_json()}


def study_checkpoint(
    checkpoint: Checkpoint,
    rng: np.random.Generator,
    *,
    folder: Path | None = None,
    photographs: Photographs | None = None,
    n_permutations: int = 100_000,
) -> dict[str, TowerStudy]:
    """Results for the first layer "as trained" and, where step 0 was kept, for its "learned part".

    `folder`: where the snapshots lie, if not among the named checkpoints. What `photographs` tell of responses is
    of the network as trained. Raises ``ValueError`` unless the network has exactly two towers.
    """
    towers = checkpoint.model.config.towers
    if towers != 2:
        raise ValueError(f"A comparison of towers needs exactly 2 of them; this network has {towers}.")
    snapshots = load_snapshots(checkpoint, folder)
    sets = {"as trained": first_layer_kernels(checkpoint)}
    if knows_learned_part(snapshots):
        sets["learned part"] = first_layer_kernels(checkpoint, snapshots, learned=True)
    labels, (secondary_rng,) = tower_labels(len(sets["as trained"]), towers), rng.spawn(1)
    return {
        name: TowerStudy(
            primary=measure(kernels, labels, rng, n_permutations),
            secondary=measure_secondary(
                kernels,
                labels,
                secondary_rng,
                covariance=photographs.covariance if photographs else None,
                more=photographs.indices if photographs and name == "as trained" else None,
            ),
        )
        for name, kernels in sets.items()
    }


def look_at(checkpoint: Checkpoint, photographs: NDArray[np.uint8]) -> Photographs:
    """What stored images (n, 3, s, s), as large as the network's own, add. A second per hundred.

    The index "colour_selectivity" is that of the answers behind the first ReLU. Raises ``ValueError`` for other sizes.
    """
    if photographs.shape[1:] != (3, *[checkpoint.preprocess.source_size] * 2):
        size = checkpoint.preprocess.source_size
        raise ValueError(f"The network reads stored images of {size} px, got {photographs.shape}.")
    response = colour_response(checkpoint.model, checkpoint.preprocess, photographs)
    return Photographs(
        covariance=patch_covariance(photographs, checkpoint.preprocess),
        indices={"colour_selectivity": response.selectivity},
    )


def study_table(checkpoint: Checkpoint, photographs: Photographs | None = None) -> pd.DataFrame:
    """One row per kernel as trained: its indices, and what hue, orientation and frequency it answers to."""
    kernels = first_layer_kernels(checkpoint)
    indices = measure_kernels(kernels)
    values = secondary_indices(kernels, indices, photographs.covariance if photographs else None)
    hue = hue_tuning(checkpoint.model, checkpoint.preprocess)
    grating = grating_tuning(checkpoint.model, checkpoint.preprocess)
    answers = {
        "hue_kind": hue.kind,
        "best_hue": hue.preferred,
        "hue_selectivity": hue.selectivity,
        "best_orientation": grating.orientation,
        "best_frequency": grating.frequency,
        "grating_selectivity": grating.selectivity,
    }
    towers = checkpoint.model.config.towers
    return kernel_table(indices, towers, values | (photographs.indices if photographs else {}) | answers)


def main(arguments: list[str] | None = None) -> None:
    """Print how the two towers' first-layer kernels compare, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m analysis.towers", description=main.__doc__)
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--dataset", help="image store whose photographs are shown: adds indices of the responses")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=500, help="of them, evenly spread (default: 500)")
    parser.add_argument("--csv", type=Path, help="also write the table of all kernels to this file")
    parser.add_argument("--json", type=Path, help="also write the JSON to this file")
    parser.add_argument("--seed", type=int, default=0, help="of permutation and bootstrap (default: 0)")
    parser.add_argument("--permutations", type=int, default=100_000, help="of the primary statistic")
    options = parser.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(options.checkpoint)
        path = Path(options.checkpoint)
        photographs = _photographs(checkpoint, options.dataset, options.split, options.images)
        studies = study_checkpoint(
            checkpoint,
            np.random.default_rng(options.seed),
            folder=path.parent if path.with_suffix(".json").exists() else None,
            photographs=photographs,
            n_permutations=options.permutations,
        )
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    about = {"checkpoint": checkpoint.card["name"], "id": checkpoint.id, "seed": options.seed}
    about |= {"dataset": options.dataset, "images": options.images} if options.dataset else {}
    content = about | {name: study.to_json() for name, study in studies.items()}
    if options.csv:
        study_table(checkpoint, photographs).to_csv(options.csv, index=False)
    if options.json:
        write_json(options.json, content)
    print(json.dumps(content, indent=1))


def _photographs(checkpoint: Checkpoint, dataset: str | None, split: str, count: int) -> Photographs | None:
    if not dataset:
        return None
    images = open_dataset(dataset).split(split).images
    return look_at(checkpoint, images[spread(len(images), count)])

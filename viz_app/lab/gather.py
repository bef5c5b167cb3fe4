"""All that a report says of a network's towers, measured now or read from what was kept. No Streamlit here."""

from collections.abc import Sequence

from alexnet_core import Checkpoint
from analysis.between.report import load_between
from analysis.experiments.matrix import list_matrices, load_matrix
from analysis.experiments.nets import KERNELS, read_matrix
from analysis.kernels.indices import first_layer_kernels, load_snapshots, measure_kernels
from analysis.lesions.dissociation import load_lesions
from analysis.lesions.photographs import load_photos
from analysis.towers.study import study_table
from viz_app.lab.report import Material
from viz_app.lab.study import PHOTOGRAPHS, axes_by_tower, blocks_of, photographs_of, studied
from viz_app.samples import Gallery
from viz_app.switches import stock_of


def gathered(checkpoint: Checkpoint, images: Gallery | None, matrices: Sequence[str] | None = None) -> Material:
    """The material of a report; by default with all matrices that come with the code.

    Raises ``ValueError``, one sentence, for a network that has not two towers.
    """
    photographs, snapshots = photographs_of(checkpoint, images), load_snapshots(checkpoint)
    studies = studied(checkpoint, photographs)
    kernels = {name: first_layer_kernels(checkpoint, snapshots, learned=name == KERNELS[1]) for name in studies}
    return Material(
        checkpoint=checkpoint,
        kernels=kernels,
        indices={name: measure_kernels(layer) for name, layer in kernels.items()},
        table=study_table(checkpoint, photographs),
        studies=studies,
        images=f"at most {PHOTOGRAPHS} of {images.store.name}" if images and photographs else "",
        blocks=blocks_of(checkpoint, stock_of(images)),
        axes=axes_by_tower(checkpoint.model),
        between=load_between(checkpoint),
        lesions=load_lesions(checkpoint),
        photos=load_photos(checkpoint),
        matrices=[
            (matrix, read_matrix(matrix))
            for matrix in map(load_matrix, list_matrices() if matrices is None else matrices)
        ],
    )

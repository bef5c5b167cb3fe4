"""What the page and the report both measure of a network: the same numbers in both. No Streamlit here."""

import numpy as np

from alexnet_core import Checkpoint
from alexnet_core.model import AlexNet
from analysis.between.routing import AxesReport, BlockMass, block_mass, measure_axes, read_means
from analysis.kernels.indices import measure_kernels
from analysis.towers.comparison import MIN_LIVE
from analysis.towers.study import Photographs, TowerStudy, look_at, study_checkpoint
from viz_app.samples import Gallery
from viz_app.switches import Stock
from viz_app.uploads import read_picture

PHOTOGRAPHS = 200  # images whose patches and answers are looked at: a matter of seconds


def studied(checkpoint: Checkpoint, photographs: Photographs | None) -> dict[str, TowerStudy]:
    """Both towers' kernels compared, by "as trained" and "learned part", with a fixed seed.

    Raises ``ValueError`` unless there are two towers, and for damaged snapshots.
    """
    return study_checkpoint(checkpoint, np.random.default_rng(0), photographs=photographs)


def photographs_of(checkpoint: Checkpoint, gallery: Gallery | None) -> Photographs | None:
    """What some held-out images of a gallery tell; ``None`` without images of the network's size."""
    if gallery is None or gallery.pixels(0).width != checkpoint.preprocess.source_size:
        return None
    images = [np.asarray(gallery.pixels(row)).transpose(2, 0, 1) for row in gallery.spread(PHOTOGRAPHS)]
    return look_at(checkpoint, np.stack(images))


def blocks_of(checkpoint: Checkpoint, stock: Stock) -> BlockMass | None:
    """How conv3 divides its weights among the towers, and their drive over some images; ``None`` if it has groups."""
    model, preprocess = checkpoint.model, checkpoint.preprocess
    if model.config.groups("conv3") > 1:
        return None
    photos = map(stock.take, stock.spread)
    batches = (preprocess.centre(read_picture(photo.data, preprocess.source_size).stored) for photo in photos)
    return block_mass(model, means=read_means(model, batches) if stock.size else None)


def axes_by_tower(model: AlexNet) -> list[AxesReport]:
    """What orders the connections from conv1 to conv2 inside each tower, or in all of a network without groups.

    Empty where a tower has too few live kernels.
    """
    towers, kernels = model.config.towers, model.kernels("conv1").numpy()
    if measure_kernels(kernels).live.reshape(towers, -1).sum(1).min() < MIN_LIVE:
        return []
    rng = np.random.default_rng(0)
    grouped = model.config.groups("conv2") > 1
    return [measure_axes(model, rng, tower=tower) for tower in (range(towers) if grouped else (None,))]

"""Class probabilities of stored images, from the central crop or averaged over ten views (paper section 4.1)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess

VIEWS = (1, 10)


def views_of(preprocess: Preprocess, images: Tensor, views: int) -> Tensor:
    """Network input of shape (N, views, 3, s, s) for uint8 images (N, 3, source_size, source_size).

    Raises ``ValueError`` unless `views` is 1 (central crop) or 10 (corners, centre, mirrors).
    """
    if views not in VIEWS:
        raise ValueError(f"views must be 1 or 10, got {views}.")
    return preprocess.ten_views(images) if views == 10 else preprocess.centre(images)[:, None]


@torch.inference_mode()
def probabilities(model: AlexNet, preprocess: Preprocess, images: Tensor, *, views: int = 1) -> Tensor:
    """Softmax outputs averaged over the views, shape (N, num_classes); the mean is of softmax, not of logits."""
    batch = views_of(preprocess, images, views)
    logits: Tensor = model(batch.flatten(0, 1))
    return logits.float().softmax(1).view(*batch.shape[:2], -1).mean(1)


def predict_stored(
    networks: Sequence[tuple[AlexNet, Preprocess]],
    images: np.ndarray,
    *,
    views: int = 1,
    batch_size: int = 50,
    device: torch.device | None = None,
    progress: str | None = None,
) -> Iterator[Tensor]:
    """Stream probabilities of a memory-mapped image array, one (n <= batch_size, num_classes) block at a time.

    Several networks, each with its own preprocessing, are averaged with equal weights, as the paper averages
    five and seven. `progress` is the label of a progress bar.
    """
    device = device or torch.device("cpu")
    starts = range(0, len(images), batch_size)
    for start in tqdm(starts, desc=progress, unit="batch", disable=progress is None):
        block = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        yield torch.stack([probabilities(*network, block, views=views) for network in networks]).mean(0).cpu()


def rank_of_truth(scores: Tensor, labels: Tensor) -> Tensor:
    """Rank of the true class, 0 = first, shape (N,); a tie counts half a place, rounded down.

    `scores` (N, classes), higher is better. In the top-5 if the rank is below 5.
    """
    true = scores.gather(1, labels[:, None])
    above, equal = (~(scores <= true)).sum(1), (scores == true).sum(1) - 1  # NaN is never right
    return above + equal // 2

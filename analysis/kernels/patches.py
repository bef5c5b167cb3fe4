"""What small patches of natural images are like: their covariance, which says how strongly a kernel is driven."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from alexnet_core.preprocess import Preprocess

BATCH = 32  # images at a time: bounds the memory


@torch.inference_mode()
def patch_covariance(
    images: NDArray[np.uint8], preprocess: Preprocess, *, size: int = 11, stride: int = 4
) -> NDArray[np.float64]:
    """Covariance of the patches that a first layer reads of stored images (n, 3, s, s).

    The patches are `size` pixels wide and `stride` apart, all within the image; rows and columns of the covariance
    stand in the order of a kernel's weights (3, size, size). Raises ``ValueError`` if there are no images.
    """
    if not len(images):
        raise ValueError("The covariance of patches needs at least one image, got none.")
    weights = 3 * size**2
    count, total, products = 0, torch.zeros(weights, dtype=torch.float64), torch.zeros((weights,) * 2).double()
    for start in range(0, len(images), BATCH):
        batch = preprocess.centre(torch.from_numpy(np.array(images[start : start + BATCH])))
        patches = F.unfold(batch, size, stride=stride).transpose(1, 2).flatten(0, 1)
        count, total = count + len(patches), total + patches.sum(0, dtype=torch.float64)
        products += patches.T @ patches
    mean = total / count
    return (products / count - mean.outer(mean)).numpy()

"""Which labels are suspect: confident learning (Northcutt et al. 2021) by cleanlab, streamed over any number of images.

A class's usual confidence is the mean probability of its label over the images that bear it. A label is marked where
the network is surer of another class than it usually is of that class's own images. The more often a network errs, the
more of the marked labels are right all the same: the lowest qualities are what is worth looking at.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cleanlab.experimental.label_issues_batched import LabelInspector


class Judged(NamedTuple):
    """Some images of one split: what they are said to be, and what the network says."""

    split: str
    labels: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float64]  # (n, classes)


class LabelQuality(NamedTuple):
    """How far the labels of one split can be believed, in the order of its images."""

    quality: NDArray[np.float32]  # (n,), 0 to 1, low is suspect
    issue: NDArray[np.bool_]  # (n,)

    def part(self, start: int, count: int) -> "LabelQuality":
        """That of some consecutive images."""
        return LabelQuality(self.quality[start : start + count], self.issue[start : start + count])


def label_quality(blocks: Callable[[], Iterable[Judged]]) -> dict[str, LabelQuality]:
    """Judge the labels of each split by itself, for a network is surer of the images that it was trained on.

    `blocks` is called twice and must give the same both times. The quality is 1/2 + d/4, where d is by how much the
    label's probability exceeds its class's usual confidence, less the same for the best other class: both are -1 to 1.
    That is cleanlab's normalised margin of adjusted probabilities, which lies the closer to 1/2 the more classes there
    are, stretched back. As many labels are marked as cleanlab counts issues, those of the lowest quality, but none
    that the network agrees with. Classes without images have a usual confidence of 0.
    """
    from cleanlab.experimental.label_issues_batched import LabelInspector  # seconds, and only writers need it

    settings = {"method": "normalized_margin", "adjust_pred_probs": True}
    inspectors: dict[str, LabelInspector] = {}
    for split, labels, probabilities in blocks():
        if split not in inspectors:
            classes = probabilities.shape[1]
            inspectors[split] = LabelInspector(num_class=classes, verbose=False, quality_score_kwargs=settings)
        inspectors[split].update_confident_thresholds(labels, probabilities)
    agreed: dict[str, list[NDArray[np.bool_]]] = {split: [] for split in inspectors}
    for split, labels, probabilities in blocks():
        inspectors[split].score_label_quality(labels, probabilities)
        agreed[split].append(probabilities.argmax(axis=1) == labels)
    return {split: _quality(inspectors[split], np.concatenate(agreed[split])) for split in inspectors}


def _quality(inspector: "LabelInspector", agreed: NDArray[np.bool_]) -> LabelQuality:
    usual = inspector.get_confident_thresholds()
    squeezed = 1 - usual.sum() + len(usual) * usual.max()  # what cleanlab divides adjusted probabilities by
    issue = np.zeros(len(agreed), bool)
    issue[inspector.get_label_issues()] = True
    quality = 0.5 + (inspector.get_quality_scores() - 0.5) * squeezed / 2
    return LabelQuality(quality.clip(0, 1).astype(np.float32), issue & ~agreed)

"""What halves of a network know: pool2 planted so that one half has hue and the other orientation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet_core import build_model
from alexnet_core.preprocess import Preprocess
from analysis.experiments import knowledge
from analysis.experiments.cuts import Cut
from analysis.experiments.knowledge import Knowledge, measure_knowledge
from analysis.stimuli import HUES, tinted_gratings

PREPROCESS = Preprocess(64, 70, 63, torch.full((3, 70, 70), 128.0), torch.eye(3), torch.ones(3))
FIRST = np.arange(32) % 2  # of units that know the orientation (0) or the hue (1), in no order of number


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even units answer to a picture's orientation alone, odd ones to its hue alone, all with noise."""

    def answers(_: object, images: Tensor, stages: list[str]) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        shown = tinted_gratings(len(images), 63, np.random.default_rng(5))
        codes = [np.eye(HUES)[labels] @ rng.normal(size=(HUES, 32)) for labels in (shown.orientation, shown.hue)]
        return {stages[0]: np.where(FIRST == 0, *codes) + rng.normal(0, 0.3, (len(images), 32))}

    monkeypatch.setattr(knowledge, "mean_activations", answers)
    monkeypatch.setattr(knowledge, "PICTURES", 160)
    monkeypatch.setattr(knowledge, "RANDOM_HALVES", 5)


def measured(labels: np.ndarray) -> Knowledge:
    (found,) = measure_knowledge(None, PREPROCESS, [Cut("towers", (labels, labels))], np.random.default_rng(5))  # type: ignore[arg-type]
    return found


@pytest.mark.usefixtures("planted")
def test_halves_that_know_one_factor_each_are_told_apart() -> None:
    found = measured(FIRST)
    (orientation_a, hue_a), (orientation_b, hue_b) = found.told
    assert min(orientation_a, hue_b) > 0.9
    assert max(hue_a, orientation_b) < 0.3  # chance 0.125
    assert found.split.value == pytest.approx((hue_b - orientation_b) - (hue_a - orientation_a))
    assert found.specificity[1] - found.specificity[0] == pytest.approx(found.split.value)
    assert found.split.low < found.split.value < found.split.high
    assert len(found.null) == 5
    assert np.abs(found.null).max() < found.split.value / 2
    turned = measured(1 - FIRST)
    assert turned.split.value == pytest.approx(-found.split.value)


@pytest.mark.usefixtures("planted")
def test_halves_that_mix_what_units_know_are_alike() -> None:
    found = measured(np.arange(32) // 16)
    assert abs(found.split.value) < 0.3
    assert min(min(half) for half in found.told) > 0.5


@pytest.mark.usefixtures("slim")
def test_a_network_is_shown_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "PICTURES", 160)
    monkeypatch.setattr(knowledge, "RANDOM_HALVES", 1)
    model = build_model("chm145", 6, input_size=63, generator=torch.Generator().manual_seed(0)).eval()
    labels = np.arange(32) // 16
    (found,) = measure_knowledge(model, PREPROCESS, [Cut("towers", (labels, labels))], np.random.default_rng(0))
    assert found.factors == ("orientation", "hue")
    assert all(0 <= share <= 1 for half in found.told for share in half)

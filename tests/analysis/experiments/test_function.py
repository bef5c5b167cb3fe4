"""What halves of a network are for: against weights set to zero, planted nulls, and images without colour."""

import copy

import numpy as np
import pytest
import torch

from alexnet_core import AlexNet, build_model
from alexnet_core.colour import to_grey
from alexnet_core.preprocess import Preprocess
from analysis.experiments import function
from analysis.experiments.cuts import cuts_of
from analysis.experiments.function import Function, measure_functions, without
from analysis.lesions.dissociation import Factors
from analysis.lesions.lesion import Lesion, Match

pytestmark = pytest.mark.usefixtures("slim")

FACTORS = {"shape": np.arange(6) // 3, "hue": np.arange(6) % 3}
PREPROCESS = Preprocess(64, 70, 63, torch.full((3, 70, 70), 128.0), torch.eye(3), torch.ones(3))
IMAGES = np.random.default_rng(1).integers(0, 256, (40, 3, 64, 64), dtype=np.uint8)
LABELS = np.random.default_rng(2).integers(0, 6, 40)


def network(towers: int = 2) -> AlexNet:
    """One whose answers differ from image to image."""
    model = build_model("chm145", 6, input_size=63, towers=towers, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("weight"):
                weight.mul_(6 if "fc" in name else 4)
    return model.eval().requires_grad_(False)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "RANDOM_HALVES", 3)


def functions(model: AlexNet, factors: Factors, images: np.ndarray = IMAGES) -> list[Function | None]:
    return measure_functions(model, PREPROCESS, images, LABELS, factors, cuts_of(model), rng())


def guesses(model: AlexNet, images: torch.Tensor) -> np.ndarray:
    batch = PREPROCESS.centre(images).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        return model(batch).argmax(1).numpy()


def without_tower(model: AlexNet, tower: int) -> AlexNet:
    """A copy whose weights and biases of that tower's conv1 and conv2 are zero: its units never fire."""
    cut = copy.deepcopy(model)
    for stage in ("conv1", "conv2"):
        half = len(cut.kernels(stage)) // 2
        for name in ("weight", "bias"):
            cut.get_parameter(f"stages.{stage}.{name}")[tower * half : (tower + 1) * half] = 0
    return cut


def test_silenced_halves_are_those_of_a_network_with_their_weights_at_zero() -> None:
    model, images = network(), torch.from_numpy(IMAGES).float()
    (found,) = functions(model, FACTORS)
    assert found is not None
    assert found.factors == ("shape", "hue")

    def right(subject: AlexNet) -> tuple[float, ...]:
        guess = guesses(subject, images)
        return tuple(float((values[guess] == values[LABELS]).mean()) for values in FACTORS.values())

    wanted = [right(model), *(right(without_tower(model, tower)) for tower in (0, 1))]
    assert len(set(wanted)) == 3
    assert (found.intact, *found.off) == tuple(map(pytest.approx, wanted))
    (shape_a, hue_a), (shape_b, hue_b) = wanted[1:]
    split = found.split
    assert split.value == pytest.approx((hue_a - shape_a) - (hue_b - shape_b))
    assert split.low < split.value < split.high
    assert found.specificity[1] - found.specificity[0] == pytest.approx(split.value)


def test_without_factors_images_are_shown_in_grey_and_in_colour() -> None:
    model, images = network(), torch.from_numpy(IMAGES).float()
    (found,) = functions(model, {})
    assert found is not None
    assert found.factors == ("grey", "colour")
    shown = (to_grey(images), images)
    wanted = [float((guesses(model, pixels) == LABELS).mean()) for pixels in shown]
    assert found.intact == pytest.approx(tuple(wanted))


def test_a_null_of_the_towers_themselves_is_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "matched_lesion", lambda model, lesion, _: Match(lesion, {}))
    (found,) = functions(network(), FACTORS)
    assert found is not None
    assert found.null == pytest.approx([found.split.value] * 3)


def test_images_without_colour_say_nothing_about_colour() -> None:
    grey = to_grey(torch.from_numpy(IMAGES).float()).round().to(torch.uint8).numpy()
    assert functions(network(), {}, grey) == [None]


def test_all_cuts_are_compared_with_the_same_random_halves() -> None:
    halves, blind = functions(network(1), FACTORS)
    assert halves is not None
    assert blind is not None
    assert halves.null == blind.null
    assert halves.off != blind.off


def test_a_network_is_cut_by_towers_and_without_groups_also_where_conv2_parts() -> None:
    (towers,) = cuts_of(network(2))
    assert towers.name == "towers"
    assert [labels.tolist() for labels in towers.labels] == [[0] * 8 + [1] * 8, [0] * 16 + [1] * 16]
    assert [cut.name for cut in cuts_of(network(4))] == ["pairs of towers"]
    halves, blind = cuts_of(network(1))
    assert (halves.name, blind.name) == ("arbitrary halves", "blind cut")
    assert without(halves, 1) == Lesion({"relu1": list(range(8, 16)), "relu2": list(range(16, 32))})
    both = [without(blind, half).units["relu2"] for half in (0, 1)]
    assert sorted([*both[0], *both[1]]) == list(range(32))
    assert len(both[0]) == 16

"""Towers switched off over one image: the lesion is the one that the words say, and every mode gets what it needs."""

import numpy as np
import pytest
import torch

from alexnet_core.data import open_dataset
from analysis.lesions.lesion import MODES, SCOPES, STAGES, Lesion, run_under, tower_lesion, unit_means
from viz_app.samples import gallery, sample_names
from viz_app.switches import REFERENCE, Switches, donor_of, guesses_with_and_without, stock_of


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 1, 3, 127, 127, generator=torch.Generator().manual_seed(1)) * 50


@pytest.fixture(scope="module")
def means(tiny_model, images) -> dict[str, torch.Tensor]:
    return unit_means(tiny_model, images, STAGES["whole tower"])


def guesses(model, images, means, off, scope="conv1-conv2", mode="zero") -> np.ndarray:
    return guesses_with_and_without(model, images[0], Switches(off, scope, mode), means=means, donor=images[1])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tower", [0, 1])
def test_one_tower_off_is_that_tower_s_lesion(tiny_model, images, means, tower, scope, mode):
    lesion = tower_lesion(tiny_model, tower, scope, mode)
    logits = run_under(tiny_model, images[0], [Lesion(), lesion], means=means, donors=images[1])
    found = guesses(tiny_model, images, means, (tower,), scope, mode)
    np.testing.assert_allclose(found, logits[:, 0].softmax(1).numpy(), rtol=1e-5)


def test_with_nothing_off_both_rows_are_the_plain_network_s(tiny_model, images, means):
    expected = tiny_model(images[0])[0].softmax(0).numpy()
    for row in guesses(tiny_model, images, means, ()):
        np.testing.assert_allclose(row, expected, rtol=1e-5)


@pytest.mark.parametrize("scope", SCOPES)
def test_with_both_towers_resampled_the_network_answers_for_the_donor(tiny_model, images, means, scope):
    intact, without = guesses(tiny_model, images, means, (0, 1), scope, "resample")
    donor = tiny_model(images[1])[0].softmax(0).numpy()
    np.testing.assert_allclose(without, donor, rtol=1e-4)
    assert np.abs(intact - donor).max() > 1e-4


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_with_both_towers_zeroed_or_averaged_the_image_no_longer_matters(tiny_model, images, means, mode):
    of_one = guesses(tiny_model, images, means, (0, 1), mode=mode)
    of_other = guesses(tiny_model, images.flip(0), means, (0, 1), mode=mode)
    np.testing.assert_allclose(of_one[1], of_other[1], rtol=1e-5)
    assert np.abs(of_one[0] - of_other[0]).max() > 1e-4


@pytest.mark.parametrize(("off", "name"), [((), "Nothing off"), ((1,), "Tower B off"), ((0, 1), "Towers A and B off")])
def test_switches_say_what_is_off(off, name):
    assert Switches(off, "conv1-conv2", "zero").name == name


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_donor_is_another_image_and_always_the_same(count):
    for row in range(count):
        donor = donor_of(row, count)
        assert donor != row
        assert 0 <= donor < count
        assert donor == donor_of(row, count)
    assert len({(donor_of(row, 5000) - row) % 5000 for row in range(50)}) > 40  # not simply the next one


def test_without_a_gallery_the_samples_are_the_stock():
    stock = stock_of(None)
    assert [stock.take(row).name for row in range(stock.size)] == list(sample_names())
    assert list(stock.spread) == list(range(stock.size))


def test_a_gallery_is_a_stock_that_knows_the_truth():
    shown = gallery(open_dataset("prism-32"), ("val",))
    stock = stock_of(shown)
    assert stock.size == 5000
    assert len(set(stock.spread)) == REFERENCE
    assert stock.take(17).truth == shown.label(17)

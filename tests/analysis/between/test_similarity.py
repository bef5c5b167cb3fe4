"""CKA of features whose similarity is known, and of networks with equal, unrelated and half-related towers."""

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint
from alexnet_core.conditions import start_from
from alexnet_core.model import AlexNet, build_model
from alexnet_core.preprocess import Preprocess
from analysis.between import similarity
from analysis.between.similarity import compared_stages, debiased_cka, tower_similarity


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def network(slim, start: str = "random", **changes) -> AlexNet:
    model = build_model("chm145", 10, input_size=63, generator=torch.Generator().manual_seed(0), **changes)
    return start_from(model, start, 0.0, torch.Generator()).eval().requires_grad_(False)


def batches(n: int = 4, size: int = 20) -> torch.Tensor:
    """Network input (n, size, 3, 63, 63)."""
    return torch.randn(n, size, 3, 63, 63, generator=torch.Generator().manual_seed(1)) * 60


def test_features_are_equal_to_themselves_turned_scaled_and_shifted():
    one = rng().normal(size=(20, 6))
    turn, _ = np.linalg.qr(rng(1).normal(size=(6, 6)))
    assert debiased_cka(one, one) == pytest.approx(1)
    assert debiased_cka(one, 5 * one @ turn + 3) == pytest.approx(1)


def test_unrelated_features_have_none_on_average_where_the_plain_cka_is_high():
    debiased, plain = [], []
    for seed in range(300):
        one, two = rng(seed).normal(size=(2, 12, 40))
        debiased.append(debiased_cka(one, two))
        plain.append(_plain_cka(one, two))
    assert abs(np.mean(debiased)) < 4 * np.std(debiased) / np.sqrt(300)
    assert np.mean(plain) > 0.6


def _plain_cka(one: np.ndarray, two: np.ndarray) -> float:
    one, two = one - one.mean(0), two - two.mean(0)
    return float((one.T @ two).__pow__(2).sum() / np.sqrt(((one.T @ one) ** 2).sum() * ((two.T @ two) ** 2).sum()))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_features_of_a_known_correlation_have_its_square(rho):
    one, other = rng().normal(size=(2, 2000, 5))
    assert debiased_cka(one, rho * one + np.sqrt(1 - rho**2) * other) == pytest.approx(rho**2, abs=0.03)


def test_the_unbiased_estimate_is_that_of_song_et_al():
    one, two = rng().normal(size=(9, 3)), rng(1).normal(size=(9, 4))
    k, m = (features @ features.T for features in (one, two))

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, k, m = len(k), k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        ones = np.ones(n)
        middle = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + middle - 2 * (ones @ k @ m @ ones) / (n - 2)) / (n * (n - 3))

    assert debiased_cka(one, two) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))


def test_mirrored_towers_are_the_same_at_every_stage(slim):
    model = network(slim, "mirrored towers")
    for stage in tower_similarity(model, batches(2, 8), rng(), halves=3, shuffles=19, resamples=20):
        assert (stage.towers.value, stage.towers.low, stage.towers.high) == pytest.approx((1, 1, 1), abs=1e-6)
        assert stage.p_value == 0.05
        assert stage.null_95 < 0.9
        assert max(stage.halves) < 1


def test_towers_that_see_unrelated_things_are_less_alike_than_random_halves(slim):
    model = network(slim)
    kernels = model.kernels("conv1")
    kernels[:8, 1:], kernels[8:, :1] = 0, 0  # tower A sees red alone, tower B no red
    colours = torch.randn(6, 20, 3, 1, 1, generator=torch.Generator().manual_seed(2)) * 60
    fields = (colours + torch.zeros(63, 63)).unbind()
    (stage,) = tower_similarity(model, fields, rng(), stages=["pool1"], halves=9, shuffles=99, resamples=200)
    assert stage.towers.low < 0.05
    assert stage.p_value > 0.01
    assert min(stage.halves) > stage.towers.value
    assert np.median(stage.halves) > stage.towers.value + 0.3
    assert stage.p_halves == pytest.approx(2 / 10)


def test_the_value_is_that_of_all_batches_products_together(slim):
    model, given = network(slim), batches(3, 6)
    (stage,) = tower_similarity(model, given, rng(), stages=["relu2"], halves=0, shuffles=9, resamples=10)
    products = np.zeros(3)
    for batch in given:
        maps = model.run(batch, taps=["relu2"])[1]["relu2"].double().numpy()
        one, two = (half.reshape(6, -1) for half in (maps[:, :16], maps[:, 16:]))
        first, second = (similarity._centred(side @ side.T) for side in (one, two))
        products += (first * second).sum(), (first * first).sum(), (second * second).sum()
    assert stage.towers.value == pytest.approx(products[0] / np.sqrt(products[1] * products[2]))


def test_units_are_shared_out_as_the_towers_are(slim):
    model = network(slim)
    sides = similarity._sides(model, "relu2", 4, rng())
    assert sides.shape == (5, 32)
    assert sides.sum(1).tolist() == [16] * 5
    assert np.flatnonzero(sides[0]).tolist() == list(model.units("relu2", 0))
    assert len({side.tobytes() for side in sides}) == 5


def test_relus_and_poolings_are_compared(slim):
    assert compared_stages(network(slim)) == (
        "pool1", "relu1", "relu2", "pool2", "relu3", "relu4", "relu5", "pool5", "relu6", "relu7",
    )  # fmt: skip


def test_what_cannot_be_compared_is_refused(slim):
    with pytest.raises(ValueError, match="must have 2, this one has 1"):
        tower_similarity(network(slim, towers=1), batches(), rng())
    with pytest.raises(ValueError, match="at least 4 images, got one of 3"):
        tower_similarity(network(slim), batches(2, 3), rng())
    with pytest.raises(ValueError, match="at least 2 are needed, got 1"):
        tower_similarity(network(slim), batches(1, 8), rng(), halves=0, shuffles=1)


def test_a_checkpoint_is_compared_over_whole_batches_of_a_data_set(slim, make_store, monkeypatch):
    store = make_store("small")
    preprocess = Preprocess(16, 63, 63, torch.full((3, 63, 63), 128.0), torch.eye(3), torch.ones(3))
    classes = [{"id": one, "name": name} for one, name in zip(store.classes, store.class_names, strict=True)]
    checkpoint = Checkpoint(network(slim), {"name": "tiny", "id": "0", "classes": classes}, preprocess)
    monkeypatch.setattr(similarity, "BATCH", 5)
    found = similarity.measure_similarity(checkpoint, store, rng(), images=12, halves=2)
    assert [row.stage for row in found] == list(compared_stages(checkpoint.model))
    with pytest.raises(ValueError, match="at least 2 are needed, got 1"):
        similarity.measure_similarity(checkpoint, store, rng(), images=6, halves=2)

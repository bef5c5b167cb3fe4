"""The plateau schedule against the logged rows of net #145, patience counted by hand, and the cosine."""

import math
from collections.abc import Sequence

import pytest

from alexnet_core.schedule import CosineSchedule, Phase, PlateauSchedule

ROWS_145 = [  # weights of conv1, other weights, lighting: layer-params-145-2010.cfg, alexnet_facts 2.3
    (1e-2, 1e-2, 0.1),
    (1e-3, 1e-3, 0.1),
    (1e-4, 1e-4, 0.1),
    (1e-5, 1e-4, 0.0),
    (0.0, 1e-4, 0.0),
    (0.0, 1e-5, 0.0),
]


def rows_after(errors: Sequence[float], patience: int) -> list[int]:
    """The row in force after each epoch, found from its learning rates."""
    schedule, rows = PlateauSchedule(patience), []
    for error in errors:
        schedule.observe(error)
        phase = schedule.phase(0.0)
        rows.append(ROWS_145.index((phase.conv1, phase.weights, phase.lighting)))
    return rows


def patient_rows(errors: Sequence[float], patience: int) -> list[int]:
    """The same counted by hand: move on after `patience` epochs in a row without a new best."""
    best, waited, row, rows = 1.0, 0, 0, []
    for error in errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited == patience:
            row, waited = row + 1, 0
        rows.append(row)
    return rows


def test_plateaus_walk_through_the_rows_of_net_145_in_order_and_then_end() -> None:
    schedule, seen = PlateauSchedule(patience=1), []
    schedule.observe(0.5)
    while not schedule.finished:
        phase = schedule.phase(0.0)
        seen.append((phase.conv1, phase.weights, phase.lighting))
        assert phase.biases == 0.02
        schedule.observe(0.5)
    assert seen == ROWS_145


def test_a_finished_schedule_stays_in_its_last_row() -> None:
    schedule = PlateauSchedule(patience=1)
    for _ in range(20):
        schedule.observe(0.5)
    assert schedule.finished
    assert schedule.phase(1.0).weights == 1e-5


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_the_rate_drops_after_exactly_as_many_epochs_without_a_better_error(patience: int) -> None:
    errors = [0.9, 0.8] + [0.8] * patience
    assert rows_after(errors, patience) == [0] * (patience + 1) + [1]


def test_a_better_error_starts_the_count_anew() -> None:
    errors = [0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7]
    assert rows_after(errors, 3) == [0] * 9 + [1]


def test_the_best_error_counts_across_a_drop() -> None:
    errors = [0.5, 0.6, 0.6, 0.55, 0.55]  # after the drop nothing is better than the 0.5 before it
    assert rows_after(errors, 2) == [0, 0, 1, 1, 2]


def test_an_error_that_only_wanders_above_the_best_is_no_improvement() -> None:
    assert rows_after([0.5, 0.7, 0.6, 0.55], 3) == [0, 0, 0, 1]


@pytest.mark.parametrize("patience", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_patience_is_what_counting_by_hand_gives(patience: int, seed: int) -> None:
    errors = [round(abs(math.sin(1000 * seed + 1.7 * epoch)) / (1 + epoch / 4), 2) for epoch in range(12)]
    by_hand = patient_rows(errors, patience)
    last = next((i for i, row in enumerate(by_hand) if row == len(ROWS_145)), len(errors))
    assert rows_after(errors[:last], patience) == by_hand[:last]


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_a_plateau_does_not_look_at_the_progress(progress: float) -> None:
    assert PlateauSchedule(4).phase(progress) == PlateauSchedule(4).phase(0.5)


def test_an_interrupted_plateau_goes_on_from_its_saved_state() -> None:
    errors = [0.9, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.5]
    whole, first = PlateauSchedule(3), PlateauSchedule(3)
    for error in errors:
        whole.observe(error)
    for error in errors[:5]:
        first.observe(error)
    second = PlateauSchedule(3)
    vars(second).update(vars(first))
    for error in errors[5:]:
        second.observe(error)
    assert vars(second) == vars(whole)


@pytest.mark.parametrize(("progress", "rate"), [(0.0, 0.01), (0.25, 0.00853553), (0.5, 0.005), (0.75, 0.00146447)])
def test_the_cosine_falls_from_the_rate_to_nothing(progress: float, rate: float) -> None:
    phase = CosineSchedule(0.01, 0.2).phase(progress)
    assert phase.weights == phase.conv1 == pytest.approx(rate, abs=1e-8)
    assert phase.biases == pytest.approx(2 * rate, abs=2e-8)
    assert phase.lighting == 0.1


@pytest.mark.parametrize(("step", "quiet"), [(79, False), (80, True), (99, True)])
def test_the_last_share_of_a_cosine_has_no_lighting_and_leaves_conv1_alone(step: int, quiet: bool) -> None:
    phase = CosineSchedule(0.01, 0.2).phase(step / 100)
    assert (phase.lighting == 0, phase.conv1 == 0) == (quiet, quiet)
    assert phase.weights > 0


def test_the_cosine_ends_at_zero_and_never_finishes_early() -> None:
    schedule = CosineSchedule(0.01, 0.0)
    schedule.observe(0.5)
    assert not schedule.finished
    assert schedule.phase(1.0).weights == pytest.approx(0, abs=1e-12)
    assert schedule.phase(1.5) == schedule.phase(1.0)


def test_rates_by_layer_and_kind() -> None:
    phase = Phase(conv1=1e-5, weights=1e-4, biases=2e-2, lighting=0.0)
    assert phase.rate("conv1", "weight") == 1e-5
    assert phase.rate("conv1", "bias") == 2e-2
    assert phase.rate("conv2", "weight") == phase.rate("fc8", "weight") == 1e-4
    assert phase.rate("conv2", "bias") == phase.rate("fc8", "bias") == 2e-2


def test_a_frozen_conv1_keeps_its_biases_too() -> None:
    phase = Phase(conv1=0.0, weights=1e-4, biases=2e-2, lighting=0.0)
    assert phase.rate("conv1", "weight") == phase.rate("conv1", "bias") == 0
    assert phase.rate("conv2", "bias") == 2e-2

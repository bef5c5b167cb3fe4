"""What is said across networks: the towers' range against brute force, and rows of planted networks."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import hypergeom

from analysis.experiments import nets
from analysis.experiments.function import Function
from analysis.experiments.knowledge import Knowledge
from analysis.experiments.matrix import load_matrix
from analysis.experiments.nets import (
    Course,
    Net,
    Row,
    Spread,
    compare_courses,
    compare_towers,
    group_means,
    read_nets,
    rows_of,
)
from analysis.experiments.report import net_table, summary, table, text
from analysis.experiments.results import Halves, Result
from analysis.lesions.dissociation import Estimate
from analysis.towers.comparison import tower_labels

MATRIX = load_matrix("tiny-imagenet")
LIVE = np.ones(96, bool)
TWO = tower_labels(96, 2)


def function_of(a_off: tuple[float, float], b_off: tuple[float, float], null: tuple[float, ...] = (0.1,)) -> Function:
    """Towers off, of an intact network that has 80 % of the shapes and 90 % of the hues right."""
    split = (a_off[1] - a_off[0]) - (b_off[1] - b_off[0])
    return Function(
        factors=("shape", "hue"),
        images=1000,
        intact=(0.8, 0.9),
        off=(a_off, b_off),
        split=Estimate(split, split - 0.1, split + 0.1),
        null=null,
    )


B_HAS_HUE = function_of((0.5, 0.8), (0.7, 0.3), (0.01, -0.02, 0.1, -0.3))

A_HAS_HUE = Knowledge(
    factors=("orientation", "hue"),
    pictures=800,
    told=((0.5, 0.9), (0.8, 0.6)),
    split=Estimate(-0.6, -0.7, -0.5),
    null=(0.01, -0.02, 0.03),
)


def result_of(
    chroma: np.ndarray,
    *,
    condition: str = "two-towers",
    seed: int = 1,
    towers: int = 2,
    error: float = 0.7,
    function: Function | None = None,
    cut: np.ndarray | None = None,
) -> Result:
    """A result with this chroma (steps, 96) at steps 0, 1, 2, ...; `cut` (96,) are its blind halves."""
    cuts = [("towers", TWO), *([] if cut is None else [("blind cut", cut)])]
    halves = tuple(
        Halves(name=name, labels=tuple(labels.tolist()), function=function, knowledge=A_HAS_HUE)
        for name, labels in cuts
    )
    card = {
        "training": {"mode": "chm145", "network": {"towers": towers}},
        "curve": [{"held_out_error": error}],
        "classes": 200,
    }
    chroma = chroma.astype(np.float32)
    live = np.ones(chroma.shape, bool)
    kernels = np.zeros((96, 3, 11, 11), np.float32)
    return Result(condition, seed, card, kernels, np.arange(len(chroma)), chroma, live, chroma, live, halves)


def parted(by: float, rng: np.random.Generator, steps: int = 1) -> np.ndarray:
    """Chroma of towers whose means lie `by` apart."""
    return np.clip(rng.normal(0.4, 0.1, (steps, 96)) + by * (np.arange(96) >= 48), 0, 1)


def test_group_means_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    values, labels, sizes = rng.random((3, 6)), np.array([[0, 1, 2, 2, 1, 0], [2, 1, 0, 1, 0, 2]]), np.array([2, 2, 2])
    found = group_means(values, labels, sizes)
    for row, draw, group in product(range(3), range(2), range(3)):
        assert found[row, draw, group] == pytest.approx(values[row, labels[draw] == group].mean())


def test_the_null_is_that_of_all_permutations() -> None:
    chroma = np.zeros(96)
    chroma[:3] = 1.0  # three of 96: the range follows from how many fall into tower A, hypergeometric
    found = compare_towers(chroma, LIVE, TWO, np.random.default_rng(0))
    assert found is not None
    share = hypergeom(96, 48, 3)
    ranges = [abs(2 * k - 3) / 48 for k in range(4)]
    assert found.chance == pytest.approx(sum(share.pmf(k) * ranges[k] for k in range(4)), rel=0.01)
    assert found.p_value == pytest.approx(share.pmf(0) + share.pmf(3), abs=0.01)


def test_steps_are_compared_as_if_each_were_alone() -> None:
    rng = np.random.default_rng(0)
    chroma, live = parted(0.1, rng, steps=3), np.tile(LIVE, (3, 1))
    live[0, :30], live[1, :5] = False, False
    found = compare_courses(chroma, live, TWO, np.random.default_rng(1))
    assert found[0] is None
    for step in (1, 2):
        alone, together = compare_towers(chroma[step], live[step], TWO, np.random.default_rng(2)), found[step]
        assert alone is not None
        assert together is not None
        assert together.means == pytest.approx(alone.means)
        assert together.null_95 == pytest.approx(alone.null_95, rel=0.05)


def test_two_towers_are_compared_by_the_difference_of_their_means() -> None:
    chroma = parted(0.3, np.random.default_rng(0))[0]
    found = compare_towers(chroma, LIVE, TWO, np.random.default_rng(1))
    assert found is not None
    assert found.range == pytest.approx(abs(chroma[:48].mean() - chroma[48:].mean()))
    assert found.means == pytest.approx((chroma[:48].mean(), chroma[48:].mean()))
    assert found.beyond
    assert found.null_50 < found.null_95 < found.null_999 < found.range


def test_a_colourful_fourth_of_four_towers_is_found_and_shuffled_it_is_not() -> None:
    rng = np.random.default_rng(0)
    chroma = np.clip(rng.normal(0.3, 0.1, 96) + 0.4 * (np.arange(96) >= 72), 0, 1)
    four = compare_towers(chroma, LIVE, tower_labels(96, 4), rng)
    assert four is not None
    assert len(four.means) == 4
    assert four.beyond
    shuffled = compare_towers(rng.permutation(chroma), LIVE, tower_labels(96, 4), rng)
    assert shuffled is not None
    assert not shuffled.beyond


def test_dead_kernels_are_not_counted_and_too_few_live_ones_are_not_compared() -> None:
    chroma, live = parted(0.0, np.random.default_rng(0))[0], LIVE.copy()
    chroma[:5], live[:5] = 1.0, False
    found = compare_towers(chroma, live, TWO, np.random.default_rng(0))
    assert found is not None
    assert found.means[0] == pytest.approx(chroma[5:48].mean())
    live[:29] = False
    assert compare_towers(chroma, live, TWO, np.random.default_rng(0)) is None


def test_under_the_null_p_values_are_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "PERMUTATIONS", 1000)
    rng = np.random.default_rng(0)
    found = [compare_towers(rng.beta(0.4, 0.4, 96), LIVE, TWO, rng) for _ in range(200)]
    p_values = np.array([spread.p_value for spread in found if spread])
    assert len(p_values) == 200
    assert (p_values < 0.05).sum() in range(3, 20)  # 10 expected; outside this, less than once in a thousand
    assert p_values.mean() == pytest.approx(0.5, abs=0.07)


def test_the_split_is_detected_from_the_step_after_which_it_stays() -> None:
    def spread(beyond: bool) -> Spread:
        return Spread((0.1, 0.4), 0.3, 0.001, 0.05, 0.05, 0.1, 0.2 if beyond else 0.4)

    def detected(*beyond: bool | None) -> int | None:
        return Course(tuple(range(len(beyond))), tuple(None if b is None else spread(b) for b in beyond)).detected

    assert detected(None, False, True, True) == 2
    assert detected(True, False, True) == 2
    assert detected(True, True) == 0
    assert detected(True, False) is None


def test_rows_hold_networks_that_count_and_name_the_others() -> None:
    rng = np.random.default_rng(0)
    found = [net for seed in (1, 2, 3, 4) for net in read_nets(result_of(parted(0.3, rng), seed=seed))]
    found += read_nets(result_of(parted(0.0, rng), seed=5, error=0.99))
    found += read_nets(result_of(parted(0.0, rng), condition="one-tower", towers=1))
    case = rows_of(MATRIX, found)[0]
    assert (len(case.nets), len(case.measured), case.beyond) == (5, 4, 4)
    assert case.mean == pytest.approx(0.3, abs=0.05)
    assert case.interval is not None
    assert case.interval.low < np.mean(case.excess) < case.interval.high
    assert case.sign_p == pytest.approx(2 / 2**4)
    assert case.joint_p is not None
    assert case.joint_p < 1e-12  # four times 1 in 20,001
    assert case.rate_bound == pytest.approx(0.05 ** (1 / 4))
    told = text(MATRIX, found)
    assert "left out: two-towers, seed 5: 1.0% of the held-out images are right" in told
    assert "not trained: longer, grey, norm-across" in told
    assert "4 networks" in summary(MATRIX, found)[0]
    assert "in other conditions: one-tower 0 of 1 (0.0" in summary(MATRIX, found)[2]


def test_few_networks_are_not_generalised_from() -> None:
    found = read_nets(result_of(parted(0.3, np.random.default_rng(0))))
    row = rows_of(MATRIX, found)[0]
    assert row.interval is None
    assert "cannot speak for every training" in summary(MATRIX, found)[-1]
    assert "No network" in summary(MATRIX, [])[0]


def test_tables_hold_the_numbers_of_rows_and_networks() -> None:
    rng = np.random.default_rng(0)
    found = [net for seed in (1, 2, 3) for net in read_nets(result_of(parted(0.2, rng, steps=3), seed=seed))]
    frame = table(MATRIX, found).set_index("kind")
    row: Row = rows_of(MATRIX, found)[0]
    assert frame.loc["as trained", "mean_range"] == row.mean
    assert frame.loc["as trained", "n"] == 3
    per_net = net_table(found)
    assert len(per_net) == 12
    assert per_net["range"].to_numpy()[::4] == pytest.approx([spread.range for spread in row.measured])
    assert isinstance(found[0], Net)


def test_function_is_compared_by_what_silencing_costs() -> None:
    (net,) = read_nets(result_of(parted(0.3, np.random.default_rng(0)), function=B_HAS_HUE))
    found = net.courses["function"].last
    assert found is not None
    assert found.means == pytest.approx((-0.2, 0.5))  # A off: shape -.3, hue -.1; B off: shape -.1, hue -.6
    assert found.range == pytest.approx(0.7)
    assert found.range == pytest.approx(abs(B_HAS_HUE.split.value))
    assert found.p_value == pytest.approx(1 / 5)
    assert found.chance == pytest.approx(np.mean([0.01, 0.02, 0.1, 0.3]))


def test_one_half_that_carries_everything_is_no_double_dissociation() -> None:
    assert B_HAS_HUE.crossed
    assert not function_of((0.1, 0.1), (0.7, 0.85)).crossed


def test_probes_are_compared_by_what_is_told() -> None:
    (net,) = read_nets(result_of(parted(0.3, np.random.default_rng(0))))
    found = net.courses["probes"].last
    assert found is not None
    assert found.means == pytest.approx((0.4, -0.2))
    assert found.range == pytest.approx(abs(A_HAS_HUE.split.value))
    assert found.p_value == pytest.approx(1 / 4)
    assert net.courses["function"].last is None


def test_the_more_colourful_tower_agrees_with_the_one_that_hue_hangs_on() -> None:
    rng = np.random.default_rng(0)
    (agrees,) = read_nets(result_of(parted(0.3, rng), function=B_HAS_HUE))
    (differs,) = read_nets(result_of(parted(-0.3, rng), seed=2, function=B_HAS_HUE))
    (unknown,) = read_nets(result_of(parted(0.3, rng), seed=3))
    nets = [agrees, differs, unknown]
    assert [net.agrees("function") for net in nets] == [True, False, None]
    assert [net.crossed for net in nets] == [True, True, None]
    assert [net.agrees("probes") for net in nets] == [False, True, False]
    assert rows_of(MATRIX, nets, "function")[0].agreeing == (1, 2)
    assert rows_of(MATRIX, nets, "probes")[0].agreeing == (1, 3)
    told = "".join(summary(MATRIX, nets))
    assert "hue belongs to the tower with the more colourful kernels in 1 of 2." in told
    assert "(a double dissociation) in 2 of 2." in told
    assert "hue belongs to the tower with the more colourful kernels in 1 of 3." in told


def test_a_network_without_groups_is_read_a_second_time_where_it_parts_by_itself() -> None:
    cut = np.arange(96) % 2
    chroma = np.clip(np.random.default_rng(0).normal(0.4, 0.1, (1, 96)) + 0.3 * cut, 0, 1)
    found = read_nets(result_of(chroma, condition="one-tower", towers=1, cut=cut))
    rows = {row.condition: row for row in rows_of(MATRIX, found)}
    assert list(rows)[3:5] == ["one-tower", "one-tower, blind cut"]
    assert rows["one-tower"].beyond == 0
    assert rows["one-tower, blind cut"].beyond == 1
    assert rows["one-tower, blind cut"].mean == pytest.approx(0.3, abs=0.06)

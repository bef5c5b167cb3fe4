"""Blocks and axes of connections on matrices and networks whose structure was planted."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from alexnet_core import Checkpoint
from alexnet_core.model import AlexNet, build_model
from alexnet_core.preprocess import Preprocess
from analysis.between import routing
from analysis.between.routing import (
    axes_of,
    blind_cut,
    block_mass,
    connection_strengths,
    connectivity,
    cross_talk,
    main,
    measure_axes,
    partial_spearman,
    read_means,
    shuffled_within_margins,
)
from analysis.kernels.indices import KernelIndices, measure_kernels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def network(slim, **changes) -> AlexNet:
    model = build_model("chm145", 10, input_size=127, generator=torch.Generator().manual_seed(0), **changes)
    return model.eval().requires_grad_(False)


def indices(n: int, chroma: np.ndarray, frequency: np.ndarray, live: np.ndarray | None = None) -> KernelIndices:
    found = measure_kernels(rng(9).normal(size=(n, 3, 5, 5)))
    return found._replace(chroma=chroma, frequency=frequency, live=np.ones(n, bool) if live is None else live)


# Blocks.


def test_planted_blocks_are_found_with_their_shares_of_squared_weights(slim):
    model = network(slim)
    weights = model.kernels("conv3")  # 48 readers, 32 sources
    gains = np.array([[3.0, 1.0], [2.0, 0.0]])  # [source's tower][reader's tower]
    weights.copy_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)).sign())
    for source in (0, 1):
        for reader in (0, 1):
            weights[24 * reader : 24 * reader + 24, 16 * source : 16 * source + 16] *= gains[source, reader]
    found = block_mass(model)
    assert np.array(found.weights) == pytest.approx(gains**2 / (gains**2).sum())
    assert found.across == pytest.approx((1 + 4) / 14)
    assert found.cross_talk == pytest.approx([4 / 13] * 24 + [1.0] * 24)
    assert found.drive == ()


def test_drive_is_the_absolute_weight_times_the_mean_activation(slim):
    model = network(slim)
    weights = model.kernels("conv3")
    weights.copy_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)).sign())
    means = np.repeat([1.0, 3.0], 16)
    found = block_mass(model, means=means)
    assert np.array(found.weights) == pytest.approx(np.full((2, 2), 0.25))
    assert np.array(found.drive) == pytest.approx(np.array([[1, 1], [3, 3]]) / 8)


def test_random_weights_run_as_much_between_four_towers_as_chance_says(slim):
    found = block_mass(network(slim, towers=4))
    assert np.array(found.weights).shape == (4, 4)
    assert np.array(found.weights).sum() == pytest.approx(1)
    assert found.across == pytest.approx(0.75, abs=0.02)


def test_the_means_are_those_of_the_stage_that_the_layer_reads(slim):
    model = network(slim)
    images = torch.randn(3, 3, 127, 127, generator=torch.Generator().manual_seed(0)) * 50
    _, kept = model.run(images, taps=["pool2"])
    assert read_means(model, [images[:1], images[1:]]) == pytest.approx(kept["pool2"].mean((0, 2, 3)).numpy(), rel=1e-4)


def test_a_unit_that_reads_nothing_has_no_cross_talk():
    found = cross_talk(np.array([[1.0, 1, 0, 2], [0, 0, 0, 0], [0, 0, 5, 0], [0, 3, 0, 1]]), 2)
    assert found[[0, 2, 3]] == pytest.approx([0.5, 0, 0.75])
    assert np.isnan(found[1])


def test_layers_inside_a_tower_and_means_that_do_not_fit_are_refused(slim):
    model = network(slim)
    with pytest.raises(ValueError, match="conv4 of this network stays inside"):
        block_mass(model, "conv4")
    with pytest.raises(ValueError, match="conv3 reads 32 units"):
        block_mass(model, means=np.ones(5))


# Axes.


def test_what_only_totals_explain_has_no_axis():
    strengths = np.outer(rng().uniform(1, 5, 30), rng(1).uniform(1, 9, 20))
    assert connectivity(strengths).singular == pytest.approx(np.zeros(3), abs=1e-7)


def test_two_separate_parts_are_one_axis_of_full_strength():
    strengths = np.zeros((20, 10))
    strengths[:10, :5], strengths[10:, 5:] = rng().uniform(1, 2, (2, 10, 5))
    found = connectivity(strengths)
    assert found.singular[0] == pytest.approx(1)
    assert 0.5 < found.share[0] < 1
    assert len(set(np.sign(found.sources[0, :5]))) == len(set(np.sign(found.sources[0, 5:]))) == 1
    assert found.sources[0, 0] * found.sources[0, 9] < 0
    assert found.readers[0, 0] * found.sources[0, 0] > 0


def test_axes_are_those_of_a_correspondence_analysis_written_down_anew():
    table = rng().gamma(1.0, size=(12, 8))
    p = table / table.sum()
    r, c = p.sum(1), p.sum(0)
    left, singular, right = np.linalg.svd(np.diag(r**-0.5) @ (p - np.outer(r, c)) @ np.diag(c**-0.5))
    found = connectivity(table)
    assert found.singular == pytest.approx(singular[:3])
    assert found.share == pytest.approx(singular[:3] ** 2 / (singular**2).sum())
    for place in range(3):
        for ours, theirs in (
            (found.sources[place], right[place] / c**0.5),
            (found.readers[place], left[:, place] / r**0.5),
        ):
            assert abs(np.corrcoef(ours, theirs)[0, 1]) == pytest.approx(1)


def test_axes_do_not_care_for_the_unit_of_the_strengths():
    table = rng().gamma(1.0, size=(12, 8))
    assert connectivity(7 * table).singular == pytest.approx(connectivity(table).singular)


def test_units_without_connections_are_left_out():
    table = rng().gamma(1.0, size=(12, 8))
    table[3], table[:, 5] = 0, 0
    found = connectivity(table)
    kept = connectivity(np.delete(np.delete(table, 3, 0), 5, 1))
    assert found.singular == pytest.approx(kept.singular)
    assert np.isnan(found.sources[:, 5]).all()
    assert np.isnan(found.readers[:, 3]).all()
    assert np.isfinite(np.delete(found.sources, 5, 1)).all()
    with pytest.raises(ValueError, match="must not be negative"):
        connectivity(-table)


def test_strengths_are_norms_over_positions():
    weights = rng().normal(size=(4, 3, 5, 5))
    assert connection_strengths(weights)[2, 1] == pytest.approx(np.linalg.norm(weights[2, 1]))


def test_the_shuffle_keeps_every_total_and_breaks_the_order():
    table = np.exp(rng().normal(0, 0.3, (30, 20))) * np.outer(rng(1).uniform(1, 9, 30), rng(2).uniform(1, 9, 20))
    table[:15, :10] *= 4
    shuffled = shuffled_within_margins(table, rng(3))
    assert shuffled.sum(1) == pytest.approx(table.sum(1), rel=1e-6)
    assert shuffled.sum(0) == pytest.approx(table.sum(0), rel=1e-6)
    assert connectivity(shuffled).singular[0] < 0.8 * connectivity(table).singular[0]
    assert connectivity(shuffled).share[0] < 0.5 * connectivity(table).share[0]
    assert not np.allclose(shuffled, table)


def planted(seed: int, by: str) -> tuple[np.ndarray, KernelIndices]:
    """Strengths (60, 24) whose readers choose sources by chroma or by frequency; the two are related (rho about 0.7).

    Colourful sources send more in all, as in real networks.
    """
    source = rng(seed)
    chroma = source.uniform(size=24)
    frequency = 0.7 * chroma + 0.4 * source.uniform(size=24)
    values = {"chroma": chroma, "frequency": frequency, "nothing": np.zeros(24)}[by]
    taste = source.normal(size=(60, 1))
    strengths = np.exp(1.5 * taste * (values - values.mean()) + 0.3 * source.normal(size=(60, 24))) * (1 + 3 * chroma)
    return strengths, indices(24, chroma, frequency)


def test_readers_that_choose_by_chroma_make_chroma_the_first_axis_given_frequency_too():
    report = axes_of(*planted(0, "chroma"), rng(), shuffles=99)
    first = report.axes[0]
    assert first.chroma > 0.9
    assert first.chroma_partial > 0.7
    assert abs(first.frequency_partial) < 0.5
    assert first.p_chroma == first.p_chroma_partial == report.p_first == 0.01
    assert report.gap > 2
    assert report.null_95 < first.share
    assert (report.sources, report.shuffles, report.tower) == (24, 99, None)


def test_readers_that_choose_by_frequency_leave_no_partial_chroma():
    found = [axes_of(*planted(seed, "frequency"), rng(), shuffles=39).axes[0] for seed in range(5)]
    assert all(abs(axis.frequency_partial) > 0.7 for axis in found)
    assert sum(axis.p_chroma_partial < 0.05 for axis in found) <= 1


def test_without_order_the_p_values_are_even_though_colourful_sources_send_more():
    found = [axes_of(*planted(seed, "nothing"), rng(seed), shuffles=9) for seed in range(50)]
    for p_values in ([row.p_first for row in found], [min(axis.p_chroma for axis in row.axes) for row in found]):
        assert np.mean(np.array(p_values) <= 0.1) <= 0.26


def test_dead_kernels_are_left_out():
    strengths, known = planted(0, "chroma")
    strengths[:, 3] *= 50
    live = np.arange(24) != 3
    report = axes_of(strengths, known._replace(live=live), rng(), shuffles=9)
    assert report.sources == 23
    assert report.axes[0].singular == pytest.approx(connectivity(strengths[:, live]).singular[0])


def test_partial_correlation_without_conditions_is_spearmans():
    first, second = rng().normal(size=(2, 30))
    assert partial_spearman(first, second, []) == pytest.approx(spearmanr(first, second).statistic)


def test_partial_correlation_is_the_textbook_formula_for_one_condition():
    x, y, z = rng().normal(size=(3, 40)) + 1.5 * rng(1).normal(size=40)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    wanted = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_spearman(x, y, [z]) == pytest.approx(wanted)
    assert partial_spearman(x, x, [x]) == 0.0


def test_inside_a_tower_only_its_own_connections_count(slim):
    model = network(slim)
    model.kernels("conv1").copy_(smooth_kernels(16))
    before = measure_axes(model, rng(), tower=1, shuffles=9)
    model.kernels("conv2")[:16] *= torch.rand(16, 1, 1, 1, generator=torch.Generator().manual_seed(1)) * 9  # tower A's
    assert measure_axes(model, rng(), tower=1, shuffles=9) == before
    assert before.tower == 1
    assert before.sources == measure_kernels(model.kernels("conv1").numpy()[8:]).live.sum()
    for other, tower in ((model, None), (network(slim, towers=1), 0)):
        with pytest.raises(ValueError, match="Name a tower"):
            measure_axes(other, rng(), tower=tower)


def smooth_kernels(n: int) -> torch.Tensor:
    """Live kernels of many frequencies and chromas."""
    place = torch.arange(11.0)
    waves = torch.stack([torch.cos(0.2 * (unit + 1) * place).expand(11, 11) for unit in range(n)])
    colours = torch.randn(n, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return waves[:, None] * colours


def test_the_blind_cut_finds_planted_towers_without_looking_at_kernels(slim):
    model = network(slim, towers=1)
    member = torch.randperm(16, generator=torch.Generator().manual_seed(3)) % 2  # tower of each source, in no order
    reader = torch.arange(32) % 2
    model.kernels("conv2")[reader[:, None] != member] *= 0.5
    cut, readers = blind_cut(model)
    assert np.bincount(cut).tolist() == [8, 8]
    agreement = (cut == member.numpy()).mean()
    assert max(agreement, 1 - agreement) == 1
    assert np.array_equal(readers, reader.numpy() if agreement == 1 else 1 - reader.numpy())
    model.kernels("conv1").copy_(smooth_kernels(16))
    assert np.array_equal(blind_cut(model)[0], cut)
    with pytest.raises(ValueError, match="has groups"):
        blind_cut(network(slim))


def test_the_command_prints_both_towers_axes_and_the_blocks(slim, make_store, monkeypatch, capsys):
    model = network(slim)
    model.kernels("conv1").copy_(smooth_kernels(16))
    preprocess = Preprocess(16, 127, 127, torch.full((3, 127, 127), 128.0), torch.eye(3), torch.ones(3))
    checkpoint = Checkpoint(model, {"name": "tiny", "id": "0", "dataset": "small"}, preprocess)
    monkeypatch.setattr(routing, "load_checkpoint", lambda name: checkpoint)
    main(["tiny", "--shuffles", "9"])
    found = json.loads(capsys.readouterr().out)
    assert [row["tower"] for row in found["axes"]] == [0, 1]
    assert np.sum(found["blocks"]["weights"]) == pytest.approx(1)
    assert found["blocks"]["drive"] == []
    images = torch.from_numpy(np.array(make_store("small").split("val").images))
    main(["tiny", "--shuffles", "9", "--images", "12"])
    wanted = block_mass(model, means=read_means(model, [preprocess.centre(images)])).drive
    assert np.array(json.loads(capsys.readouterr().out)["blocks"]["drive"]) == pytest.approx(np.array(wanted), rel=1e-4)

"""Who reads whom: how much the towers exchange, and which axes order the connections from conv1 to conv2.

``python -m analysis.between.routing CHECKPOINT``. Unit u of n belongs to tower ``u * towers // n``, as everywhere.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.model import AlexNet
from analysis.kernels.indices import KernelIndices, measure_kernels
from analysis.lesions.lesion import unit_means
from analysis.lesions.study import spread
from analysis.shards import BATCH
from analysis.stats import permutation_p

Floats = NDArray[np.float64]

AXES = 3  # vectors that are looked at behind the trivial one
BALANCING_ROUNDS = 50  # of alternately mending row and column sums; a few are enough for dense matrices


# Blocks.


@dataclass(frozen=True, slots=True)
class BlockMass:
    """What share of a layer's connections runs between which towers: ``[source][reader]``, all summing to 1."""

    layer: str
    weights: tuple[tuple[float, ...], ...]  # of the squared weights
    drive: tuple[tuple[float, ...], ...] | tuple[()]  # of |weight| times the source's mean activation; () if unknown
    cross_talk: tuple[float, ...]  # of each unit's squared weights, the share on other towers' units
    across: float  # share of the squared weights between different towers; 1 - 1 / towers if they do not matter


def block_mass(model: AlexNet, layer: str = "conv3", means: ArrayLike | None = None) -> BlockMass:
    """How a convolution that reads both towers divides its weights among them.

    `means` (inputs,): mean activation of the units it reads, from `read_means`. Raises ``ValueError`` for a
    convolution that stays inside its tower and for means that do not fit.
    """
    weights, towers = model.kernels(layer).cpu().numpy().astype(np.float64), model.config.towers
    if model.config.groups(layer) != 1:
        raise ValueError(f"{layer} of this network stays inside its towers: nothing runs between them.")
    energy = (weights**2).sum((2, 3))
    blocks = _shares(energy, towers)
    drive: tuple[tuple[float, ...], ...] = ()
    if means is not None:
        activity = np.asarray(means, np.float64)
        if activity.shape != (weights.shape[1],):
            raise ValueError(f"{layer} reads {weights.shape[1]} units, got means of shape {activity.shape}.")
        drive = _rows(_shares(np.abs(weights).sum((2, 3)) * activity, towers))
    return BlockMass(
        layer, _rows(blocks), drive, tuple(cross_talk(energy, towers).tolist()), 1 - float(np.trace(blocks))
    )


def cross_talk(energy: Floats, towers: int) -> Floats:
    """Share of each reader's energy (readers, sources) that comes from other towers than its own, shape (readers,).

    NaN for a reader without any.
    """
    reader, source = (np.arange(n) * towers // n for n in energy.shape)
    other = np.where(reader[:, None] != source, energy, 0).sum(1)
    total = energy.sum(1)
    return _ratio(other, total, np.nan)


def read_means(model: AlexNet, batches: Iterable[Tensor], layer: str = "conv3") -> Floats:
    """Mean activation (inputs,) of the units a convolution reads, over images (network input) and positions."""
    before = model.config.stages[model.config.stages.index(layer) - 1]
    means: Floats = unit_means(model, batches, [before])[before].double().cpu().numpy()
    return means


def _shares(strengths: Floats, towers: int) -> Floats:
    """Shares (sources' tower, readers' tower) of strengths (readers, sources)."""
    reader, source = (np.eye(towers)[np.arange(n) * towers // n] for n in strengths.shape)
    blocks = source.T @ strengths.T @ reader
    shares: Floats = blocks / blocks.sum()
    return shares


def _rows(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())


# Axes of connectivity.


class Connectivity(NamedTuple):
    """Correspondence analysis of connection strengths (readers, sources), the trivial vector dropped."""

    singular: Floats  # (axes,) falling, each at most 1: how strongly an axis orders the connections
    share: Floats  # (axes,) of the inertia, the sum of all squared singular values
    sources: Floats  # (axes, sources) place of each source on each axis; NaN where it has no connections
    readers: Floats  # (axes, readers) likewise; an axis may be turned round, sources and readers together


def connection_strengths(weights: NDArray[np.floating]) -> Floats:
    """L2 norm (readers, sources) of each pair's weights, from a convolution's (readers, sources, k, k)."""
    strengths: Floats = np.sqrt((weights.astype(np.float64) ** 2).sum((2, 3)))
    return strengths


def connectivity(strengths: ArrayLike, axes: int = AXES) -> Connectivity:
    """The strongest axes along which sources and readers seek each other, their total strengths divided out.

    A_ij / sqrt(r_i c_j) with row sums r and column sums c; its first singular vectors only repeat the totals
    (Perron-Frobenius) and are dropped. Singular values are correlations between the two sides: 1 where the network
    falls into parts, 0 where every source reaches every reader alike. Raises ``ValueError`` for negative strengths.
    """
    found = np.asarray(strengths, np.float64)
    if found.min() < 0:
        raise ValueError(f"Connection strengths must not be negative, got {found.min():.3g}.")
    rows, columns = found.sum(1), found.sum(0)
    live_rows, live_columns = rows > 0, columns > 0
    r, c = np.sqrt(rows[live_rows]), np.sqrt(columns[live_columns])
    # The trivial pair is known, so it is taken off before, not sought among equals behind.
    rest = found[np.ix_(live_rows, live_columns)] / np.outer(r, c) - np.outer(r, c) / rows.sum()
    left, singular, right = np.linalg.svd(rest, full_matrices=False)
    sources, readers = np.full((axes, len(columns)), np.nan), np.full((axes, len(rows)), np.nan)
    sources[:, live_columns], readers[:, live_rows] = right[:axes] / c, left[:, :axes].T / r
    return Connectivity(
        singular[:axes], _ratio(singular**2, np.full_like(singular, (singular**2).sum()), 0)[:axes], sources, readers
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """What one axis of connectivity has to do with the sources' colour and frequency."""

    singular: float
    share: float  # of all order in the connections
    chroma: float  # Spearman's rho with the kernels' chroma energy
    frequency: float  # with their frequency
    total: float  # with the total strength of their connections
    chroma_partial: float  # with chroma, given frequency and total strength
    frequency_partial: float  # with frequency, given chroma and total strength
    p_chroma: float  # of |chroma| against the largest |chroma| of any axis of a shuffled matrix
    p_chroma_partial: float  # likewise of the partial one


@dataclass(frozen=True, slots=True)
class AxesReport:
    """Which axes order the connections from conv1 to conv2."""

    tower: int | None  # connections inside this tower; None for all of a network without groups
    sources: int  # live kernels
    axes: tuple[Axis, ...]
    gap: float  # singular value of the first axis over that of the second
    p_first: float  # of the first axis's share against that of shuffled matrices
    null_95: float  # share that 95 % of the shuffled matrices' first axes stay below
    shuffles: int


def measure_axes(
    model: AlexNet, rng: np.random.Generator, *, tower: int | None = None, shuffles: int = 1000
) -> AxesReport:
    """Axes of the connections from conv1 to conv2, inside a tower or, without groups, of all.

    In a grouped network taken whole, the first axis would only tell the towers apart. The null shuffles how much each
    pair exceeds what its two totals let expect, and restores the totals. Raises ``ValueError`` where a tower must be
    named, or must not.
    """
    grouped = model.config.groups("conv2") > 1
    if grouped != (tower is not None):
        raise ValueError("Name a tower of a network with groups in conv2, and none of a network without.")
    kernels, weights = (model.kernels(layer).cpu().numpy() for layer in ("conv1", "conv2"))
    if tower is not None:
        kernels, weights = kernels[list(model.units("conv1", tower))], weights[list(model.units("conv2", tower))]
    return axes_of(connection_strengths(weights), measure_kernels(kernels), rng, tower=tower, shuffles=shuffles)


def axes_of(
    strengths: Floats,
    indices: KernelIndices,
    rng: np.random.Generator,
    *,
    tower: int | None = None,
    shuffles: int = 1000,
) -> AxesReport:
    """`measure_axes` for strengths (readers, sources) and the indices of the sources; dead kernels are left out."""
    live = indices.live
    chroma, frequency, own = indices.chroma[live], indices.frequency[live], strengths[:, live]
    found, null = connectivity(own), _null_of(own, chroma, frequency, rng, shuffles)
    axes = (
        _axis(float(singular), float(share), places, chroma, frequency, own.sum(0), null)
        for singular, share, places in zip(found.singular, found.share, found.sources, strict=True)
    )
    return AxesReport(
        tower=tower,
        sources=int(live.sum()),
        axes=tuple(axes),
        gap=float(found.singular[0] / found.singular[1]),
        p_first=permutation_p(float(found.share[0]), null.share),
        null_95=float(np.quantile(null.share, 0.95)),
        shuffles=shuffles,
    )


def shuffled_within_margins(strengths: Floats, rng: np.random.Generator) -> Floats:
    """The same row and column sums, and otherwise no order: each pair's excess over them is given to another pair.

    Excess is the strength over r_i c_j / total; after the shuffle rows and columns are rescaled in turn until the
    sums are the old ones (Sinkhorn). Zeros are shuffled like all else.
    """
    rows, columns = strengths.sum(1, keepdims=True), strengths.sum(0, keepdims=True)
    expected = rows * columns / strengths.sum()
    excess = _ratio(strengths, expected, 0)
    shuffled: Floats = expected * rng.permuted(excess.ravel()).reshape(excess.shape)
    for _ in range(BALANCING_ROUNDS):
        shuffled *= _ratio(rows, shuffled.sum(1, keepdims=True), 1)
        shuffled *= _ratio(columns, shuffled.sum(0, keepdims=True), 1)
        if np.allclose(shuffled.sum(1, keepdims=True), rows, rtol=1e-9, atol=0):
            break
    return shuffled


def blind_cut(model: AlexNet) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two equal halves, 0 and 1, of conv1's units and of conv2's, that seek each other; blind to colour.

    Both cut at the median of the first axis of connectivity: the towers that a network without groups would fall into
    (specialisation 4.5). For `analysis.towers.measure`. Raises ``ValueError`` for a network with groups in conv2.
    """
    if model.config.groups("conv2") > 1:
        raise ValueError("conv2 of this network has groups: its towers are known, a cut would only find them again.")
    found = connectivity(connection_strengths(model.kernels("conv2").cpu().numpy()))
    return _upper_half(found.sources[0]), _upper_half(found.readers[0])


def _upper_half(places: Floats) -> NDArray[np.intp]:
    return np.asarray(np.argsort(np.argsort(places, kind="stable")) >= len(places) // 2, np.intp)


def partial_spearman(first: ArrayLike, second: ArrayLike, given: Sequence[ArrayLike]) -> float:
    """Correlation of the ranks of two variables (n,) once what `given` ones say linearly of them is taken off."""
    ranks = [rankdata(np.asarray(values, np.float64)) for values in (first, second, *given)]
    known = np.column_stack([np.ones(len(ranks[0])), *ranks[2:]])
    rest = [each - known @ np.linalg.lstsq(known, each, rcond=None)[0] for each in ranks[:2]]
    scale = np.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1]))
    return float(rest[0] @ rest[1] / scale) if scale > 1e-9 * len(ranks[0]) else 0.0


class _Null(NamedTuple):
    """What shuffled matrices give: the first axis's share, and the largest correlation of any axis with chroma."""

    share: Floats
    chroma: Floats
    partial: Floats


def _null_of(strengths: Floats, chroma: Floats, frequency: Floats, rng: np.random.Generator, shuffles: int) -> _Null:
    total, found = strengths.sum(0), []
    for _ in range(shuffles):
        other = connectivity(shuffled_within_margins(strengths, rng))
        plain, partial = (
            max(abs(partial_spearman(axis, chroma, given)) for axis in other.sources)
            for given in ([], [frequency, total])
        )
        found.append((other.share[0], plain, partial))
    return _Null(*np.array(found).T)


def _axis(
    singular: float, share: float, places: Floats, chroma: Floats, frequency: Floats, total: Floats, null: _Null
) -> Axis:
    """An axis, turned so that its far end is the more colourful one."""
    plain = partial_spearman(places, chroma, [])
    places, plain = (places, plain) if plain >= 0 else (-places, -plain)
    partial = partial_spearman(places, chroma, [frequency, total])
    return Axis(
        singular=singular,
        share=share,
        chroma=plain,
        frequency=partial_spearman(places, frequency, []),
        total=partial_spearman(places, total, []),
        chroma_partial=partial,
        frequency_partial=partial_spearman(places, frequency, [chroma, total]),
        p_chroma=permutation_p(plain, null.chroma),
        p_chroma_partial=permutation_p(abs(partial), null.partial),
    )


def _ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    """Part over whole, `otherwise` where the whole is nothing."""
    return np.divide(part, whole, out=np.full_like(whole, otherwise), where=whole > 0)


def _means(checkpoint: Checkpoint, images: int) -> Floats:
    """Mean activations that conv3 reads, over images evenly spread over the validation split."""
    pixels = open_dataset(checkpoint.card["dataset"]).split("val").images
    rows = spread(len(pixels), images)
    blocks = (torch.from_numpy(np.array(pixels[some])) for some in np.array_split(rows, -(-len(rows) // BATCH)))
    return read_means(checkpoint.model, map(checkpoint.preprocess.centre, blocks))


def main(arguments: list[str] | None = None) -> None:
    """Print how the towers of a checkpoint are wired to each other, and what orders their connections, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m analysis.between.routing", description=main.__doc__)
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--shuffles", type=int, default=1000, help="shuffled matrices for the null")
    parser.add_argument(
        "--images", type=int, default=0, help="of its data set's validation split, for mean activations; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        checkpoint, rng = load_checkpoint(options.checkpoint), np.random.default_rng(options.seed)
        model, means = checkpoint.model, _means(checkpoint, options.images) if options.images else None
        towers = range(model.config.towers) if model.config.groups("conv2") > 1 else [None]
        axes = [measure_axes(model, rng, tower=tower, shuffles=options.shuffles) for tower in towers]
        found: dict[str, Any] = {
            "axes": [asdict(each) for each in axes],
            "blocks": asdict(block_mass(model, means=means)),
        }
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""One row of numbers per kernel: how colourful, which hue, how fine, which way its stripes run, how strong."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from alexnet_core.checkpoint import SHIPPED, Checkpoint
from alexnet_core.paths import checkpoints_dir

Floats = NDArray[np.float64]

SPECTRUM_SIZE = 64  # samples per axis of the zero-padded Fourier transform
LIVE_NORM = 0.05  # share of the median norm under which a kernel counts as dead (specialisation 4.4)
_NORMAL_99 = 2.3263  # 99 % point of the normal distribution

_GREY = np.full(3, 1 / math.sqrt(3))
_RED = np.array([2, -1, -1]) / math.sqrt(6)  # with _YELLOW_GREEN spans the plane of opponent colours:
_YELLOW_GREEN = np.array([0, 1, -1]) / math.sqrt(2)  # red 0, yellow 60, green 120, blue 240 degrees
HUES = (
    "red", "orange", "yellow", "lime", "green", "turquoise",
    "cyan", "azure", "blue", "violet", "magenta", "pink",
)  # fmt: skip


class KernelIndices(NamedTuple):
    """Indices of n kernels, each of shape (n,); undefined ones (a kernel of zeros) are NaN."""

    chroma: Floats  # share of the kernel's energy that a grey image cannot see, 0 to 1; random weights: 0.667
    hue: Floats  # colour of the strongest spot, degrees: red 0, yellow 60, green 120, blue 240
    grey_angle: Floats  # degrees between the kernel's colour axis and grey: 0 black-white, 90 pure colour
    separability: Floats  # share of the energy in one colour axis times one pattern; random weights: 0.397
    frequency: Floats  # centre of the power spectrum of that pattern, cycles per pixel
    bandwidth: Floats  # spread (standard deviation) of that spectrum, cycles per pixel
    orientation: Floats  # direction of the stripes, degrees anticlockwise: 0 lying, 90 upright
    selectivity: Floats  # 0: no preferred orientation, 1: all power along one
    norm: Floats  # root of the summed squared weights
    smoothness: Floats  # correlation of neighbouring weights, about -1 to 1; random weights: 0
    live: NDArray[np.bool_]  # neither close to zero nor indistinguishable from random weights


def measure_kernels(kernels: NDArray[np.floating]) -> KernelIndices:
    """Indices of kernels (n, 3, k, k) whose input is raw RGB (divide by the std first if inputs were).

    Raises ``ValueError`` for another shape. Definitions: shared reference specialisation.md, section 4.4.
    """
    w = _checked(kernels)
    axis, pattern, separability = colour_axis(w)
    power = power_spectrum(pattern)
    frequency, bandwidth = _radial_moments(power)
    orientation, selectivity = _preferred_orientation(power)
    norm, smoothness = np.sqrt((w**2).sum((1, 2, 3))), _smoothness(w)
    return KernelIndices(
        chroma=chroma_energy(w),
        hue=hue_angle(axis),
        grey_angle=np.degrees(np.arccos(np.clip(np.abs(axis @ _GREY), 0, 1))),
        separability=separability,
        frequency=frequency,
        bandwidth=bandwidth,
        orientation=orientation,
        selectivity=selectivity,
        norm=norm,
        smoothness=smoothness,
        live=(norm >= LIVE_NORM * np.median(norm)) & (smoothness > random_smoothness(w.shape[-1])),
    )


def kernel_table(indices: KernelIndices, towers: int, more: Mapping[str, NDArray[Any]] | None = None) -> pd.DataFrame:
    """The indices, and `more` of them, as a table: a row per kernel, with its number and the letter of its tower."""
    n = len(indices.chroma)
    names = [chr(ord("A") + unit * towers // n) for unit in range(n)]
    return pd.DataFrame({"kernel": np.arange(n), "tower": names} | indices._asdict() | dict(more or {}))


Order = Literal["number", "chroma", "hue", "frequency", "orientation", "norm"]


def ranking(indices: KernelIndices, order: Order, colour: NDArray[np.bool_]) -> NDArray[np.intp]:
    """All kernels in the chosen order: by number, most chroma first, coarse before fine, strongest first.

    By hue, the kernels marked in `colour` come first: the hue of a grey kernel means nothing. NaN comes last.
    """
    if order == "number":
        return np.arange(len(indices.chroma))
    if order == "hue":
        return np.lexsort((indices.hue, ~colour))
    values: Floats = getattr(indices, order)
    return np.argsort(-values if order in ("chroma", "norm") else values, kind="stable")


def chroma_energy(kernels: NDArray[np.floating]) -> Floats:
    """Share of each kernel's energy in colour, 0 to 1: 1 - 3 |mean over channels|^2 / |kernel|^2.

    Exact: a grey image reaches a kernel (n, 3, k, k) only through the sum over its channels.
    """
    w = _checked(kernels)
    return np.clip(1 - _ratio(3 * (w.mean(1) ** 2).sum((1, 2)), (w**2).sum((1, 2, 3))), 0, 1)


def weighted_chroma(kernels: NDArray[np.floating], covariance: NDArray[np.floating]) -> Floats:
    """Share of each kernel's response to natural images that their colour causes, 0 to 1, shape (n,).

    Var(w (x - Px)) / [Var(w Px) + Var(w (x - Px))] over patches x of the given `covariance` (3 k k, 3 k k), where P
    makes every pixel grey: far smaller than `chroma_energy`, as photographs vary mostly in luminance. Patches of
    white noise give `chroma_energy`. NaN where the patches do not reach a kernel (n, 3, k, k). Raises ``ValueError``
    for a covariance of another size.
    """
    w = _checked(kernels)
    weights = w[0].size
    if covariance.shape != (weights, weights):
        raise ValueError(f"covariance must have shape ({weights}, {weights}), got {covariance.shape}.")
    grey = np.broadcast_to(w.mean(1, keepdims=True), w.shape)
    in_grey, in_colour = (
        np.einsum("ni,ij,nj->n", part, covariance, part, optimize=True)
        for part in (grey.reshape(len(w), -1), (w - grey).reshape(len(w), -1))
    )
    return _ratio(in_colour, in_grey + in_colour)


class ColourAxis(NamedTuple):
    """A kernel as one colour direction times one spatial pattern, its best rank-1 approximation."""

    direction: Floats  # (n, 3) unit vectors in RGB, pointing to the colour of the strongest spot
    pattern: Floats  # (n, k, k) weights along that direction
    separability: Floats  # (n,) share of the energy kept, 1/3 to 1


def colour_axis(kernels: NDArray[np.floating]) -> ColourAxis:
    """First singular pair of each kernel (n, 3, k, k) seen as a 3 x k*k matrix."""
    w = _checked(kernels)
    rows = w.reshape(len(w), 3, -1)
    energies, axes = np.linalg.eigh(rows @ rows.transpose(0, 2, 1))  # ascending
    direction = axes[:, :, -1]
    pattern = np.einsum("nc,ncp->np", direction, rows)
    strongest = np.take_along_axis(pattern, np.abs(pattern).argmax(1, keepdims=True), 1)
    sign = np.where(strongest < 0, -1.0, 1.0)
    share = _ratio(energies[:, -1], energies.sum(1))
    return ColourAxis(direction * sign, (pattern * sign).reshape(w.shape[0], *w.shape[2:]), share)


def hue_angle(directions: NDArray[np.floating]) -> Floats:
    """Angle of RGB directions (n, 3) in the plane of opponent colours, degrees from 0 (red) to under 360."""
    angle = np.degrees(np.arctan2(directions @ _YELLOW_GREEN, directions @ _RED))
    return np.asarray(angle % 360 % 360)  # once more: the remainder of -1e-14 rounds to 360


def hue_direction(degrees: NDArray[np.floating]) -> Floats:
    """Unit vectors in RGB (n, 3), without grey, of hues in degrees: `hue_angle` reads them back."""
    turn = np.radians(degrees)[:, None]
    return np.asarray(np.cos(turn) * _RED + np.sin(turn) * _YELLOW_GREEN)


def hue_name(degrees: float) -> str:
    """Plain name of a hue angle, one of twelve sectors of 30 degrees, red centred at 0."""
    return HUES[round(degrees / 30) % 12]


def hue_pair(degrees: float) -> str:
    """The two ends of a colour axis, such as "orange against azure", the strongest spot's colour first."""
    return f"{hue_name(degrees)} against {hue_name(degrees + 180)}"


def power_spectrum(patterns: NDArray[np.floating]) -> Floats:
    """Power of patterns (n, k, k), zero-padded: (n, 64, 64), frequency 0 in the middle (index 32)."""
    transform = np.fft.fft2(np.asarray(patterns, np.float64), s=(SPECTRUM_SIZE, SPECTRUM_SIZE))
    return np.fft.fftshift(np.abs(transform) ** 2, axes=(1, 2))


def spectrum_axis() -> Floats:
    """Frequencies of the spectrum's rows and columns, cycles per pixel, from -0.5 to under 0.5."""
    return np.fft.fftshift(np.fft.fftfreq(SPECTRUM_SIZE))


def random_smoothness(size: int) -> float:
    """Smoothness that 99 % of random Gaussian kernels (3, size, size) stay below.

    The standard deviation is exact (a ratio of quadratic forms whose direction and length are independent),
    its shape close to normal.
    """
    weights, pairs = 3 * size**2, 6 * size * (size - 1)
    return _NORMAL_99 * math.sqrt(weights / (pairs * (weights + 2)))


class Snapshots(NamedTuple):
    """The first layer at some steps of training."""

    kernels: NDArray[np.float16]  # (steps, n, 3, k, k)
    steps: tuple[int, ...]
    noise_left: tuple[float, ...]  # factor by which weight decay has shrunk the initial weights


def load_snapshots(checkpoint: Checkpoint, folder: Path | None = None) -> Snapshots | None:
    """Snapshots kept beside a checkpoint as ``NAME.conv1.safetensors``, or ``None`` if there are none.

    Looks into `folder`, or where named checkpoints lie. Raises ``ValueError`` for a damaged file or one of
    another network.
    """
    name = f"{checkpoint.card['name']}.conv1.safetensors"
    folders = (SHIPPED, checkpoints_dir()) if folder is None else (folder,)
    path = next((place / name for place in folders if (place / name).exists()), None)
    if path is None:
        return None
    try:
        with safe_open(path, "np") as file:
            about = {key: json.loads(value) for key, value in file.metadata().items()}
            found = Snapshots(file.get_tensor("kernels"), tuple(about["steps"]), tuple(about["noise_left"]))
    except (SafetensorError, KeyError, ValueError, AttributeError, OSError) as error:
        raise ValueError(f"{path} is not a readable file of snapshots ({error}); delete or restore it.") from error
    wanted = tuple(checkpoint.model.kernels("conv1").shape)
    if found.kernels.shape[1:] != wanted or not len(found.kernels) == len(found.steps) == len(found.noise_left):
        raise ValueError(f"{path} holds kernels {found.kernels.shape} of another network; this one has {wanted}.")
    return found


def first_layer_kernels(
    checkpoint: Checkpoint, snapshots: Snapshots | None = None, *, step: int | None = None, learned: bool = False
) -> NDArray[np.float32]:
    """Kernels of the first layer (n, 3, k, k): of the finished network, or at a `step` that was kept.

    `learned` takes off what is left of the initial noise. Raises ``ValueError`` for a step that was not kept,
    and where step 0 would be needed and is missing.
    """
    if step is None:
        kernels: NDArray[np.float32] = checkpoint.model.kernels("conv1").numpy()
        left = float(checkpoint.card.get("conv1_decay", snapshots.noise_left[-1] if snapshots else 1.0))
    else:
        if snapshots is None or step not in snapshots.steps:
            raise ValueError(f"Step {step} was not kept; there are {list(snapshots.steps if snapshots else ())}.")
        index = snapshots.steps.index(step)
        kernels, left = snapshots.kernels[index].astype(np.float32), snapshots.noise_left[index]
    if not learned:
        return kernels
    if not knows_learned_part(snapshots):
        raise ValueError("The learned part needs the kernels at step 0, which were not kept.")
    return np.asarray(kernels - left * snapshots.kernels[0], np.float32)


def knows_learned_part(snapshots: Snapshots | None) -> TypeGuard[Snapshots]:
    """Whether the initial kernels were kept, so that they can be taken off."""
    return snapshots is not None and snapshots.steps[0] == 0


class Readers(NamedTuple):
    """Which units of the next layer read a channel, strongest first."""

    units: NDArray[np.intp]
    strengths: Floats  # L2 norm of each unit's weights on the channel


def readers(weights: NDArray[np.floating], channel: int, inputs: int) -> Readers:
    """Units of a convolution (units, inputs / groups, k, k) that see input `channel` of `inputs`.

    In a grouped convolution only the units of the channel's own tower do.
    """
    per_group = weights.shape[1]
    groups = inputs // per_group
    group = channel // per_group
    units = np.arange(group * len(weights) // groups, (group + 1) * len(weights) // groups)
    strengths = np.sqrt((weights[units, channel % per_group].astype(np.float64) ** 2).sum((1, 2)))
    order = np.argsort(-strengths, kind="stable")
    return Readers(units[order], strengths[order])


class UnitInputs(NamedTuple):
    """What one unit of a deeper convolution reads, one row per input channel."""

    channels: NDArray[np.intp]  # numbers of the channels in the layer below
    towers: NDArray[np.intp]  # tower of each
    maps: NDArray[np.floating]  # (channels, k, k) weights
    strengths: Floats  # L2 norm of each map

    def energy_by_tower(self) -> dict[int, float]:
        """Share of the unit's squared weights that lies on each tower's channels, summing to 1."""
        energy = self.strengths**2
        return {int(t): float(energy[self.towers == t].sum() / energy.sum()) for t in np.unique(self.towers)}

    def table(self) -> pd.DataFrame:
        """One row per input channel: its number, the letter of its tower, the strength of the weights on it."""
        letters = [chr(ord("A") + tower) for tower in self.towers]
        return pd.DataFrame({"channel": self.channels, "tower": letters, "strength": self.strengths})

    def pages(self, *, strongest_first: bool, size: int = 64) -> list[NDArray[np.intp]]:
        """Rows in pages of at most `size`, each from one tower, by number or the strongest first."""
        rows = np.argsort(-self.strengths, kind="stable") if strongest_first else np.arange(len(self.channels))
        blocks = [rows[self.towers[rows] == tower] for tower in np.unique(self.towers)]
        return [block[start : start + size] for block in blocks for start in range(0, len(block), size)]


def unit_inputs(weights: NDArray[np.floating], unit: int, inputs: int, towers: int) -> UnitInputs:
    """What a unit of a convolution (units, inputs / groups, k, k) reads of `inputs` channels in `towers` blocks.

    Raises ``ValueError`` for a unit that does not exist.
    """
    if not 0 <= unit < len(weights):
        raise ValueError(f"unit must be between 0 and {len(weights) - 1}, got {unit}.")
    per_group = weights.shape[1]
    group = unit * (inputs // per_group) // len(weights)
    channels = np.arange(group * per_group, (group + 1) * per_group)
    maps = weights[unit]
    strengths = np.sqrt((maps.astype(np.float64) ** 2).sum((1, 2)))
    return UnitInputs(channels, channels * towers // inputs, maps, strengths)


def _checked(kernels: NDArray[np.floating]) -> Floats:
    if kernels.ndim != 4 or kernels.shape[1] != 3 or kernels.shape[2] != kernels.shape[3]:
        raise ValueError(f"kernels must have shape (n, 3, k, k), got {kernels.shape}.")
    return np.asarray(kernels, np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def _radial_moments(power: Floats) -> tuple[Floats, Floats]:
    """Power-weighted mean and standard deviation of the radial frequency, cycles per pixel, each (n,)."""
    radius = np.hypot(*np.meshgrid(spectrum_axis(), spectrum_axis()))
    total = power.sum((1, 2))
    mean = _ratio((power * radius).sum((1, 2)), total)
    spread = (power * (radius - mean[:, None, None]) ** 2).sum((1, 2))
    return mean, np.sqrt(_ratio(spread, total))


def _preferred_orientation(power: Floats) -> tuple[Floats, Floats]:
    """Direction of the stripes in degrees, 0 to under 180, and its selectivity, from the doubled angles."""
    axis = spectrum_axis()
    across, down = np.meshgrid(axis, axis)
    angle = np.arctan2(-down, across)  # rows count downwards, angles go up
    weighted = np.where(np.hypot(across, down) > 0, power, 0.0)  # the mean has no direction
    mean = (weighted * np.exp(2j * angle)).sum((1, 2))
    total = weighted.sum((1, 2))
    stripes = np.degrees(np.angle(mean)) / 2 + 90  # stripes run across the wave's own direction
    return np.where(total > 0, stripes % 180, np.nan), _ratio(np.abs(mean), total)


def _smoothness(w: Floats) -> Floats:
    """Mean product of horizontal and vertical neighbours over the mean square, (n,)."""
    size = w.shape[-1]
    products = (w[..., :, 1:] * w[..., :, :-1]).sum((1, 2, 3)) + (w[..., 1:, :] * w[..., :-1, :]).sum((1, 2, 3))
    pairs, weights = 6 * size * (size - 1), 3 * size**2
    return _ratio(products / pairs, (w**2).sum((1, 2, 3)) / weights)

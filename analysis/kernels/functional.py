"""What the units of any stage answer to: photographs in colour and in grey, hues, gratings."""

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.colour import to_grey
from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from analysis.stimuli import FIELD, gratings, hue_colours

Floats = NDArray[np.float64]

TOP = 100  # patches that excite a unit most, for its colour selectivity (Rafegas and Vanrell 2018)
CONTRAST = 0.5  # of gratings: they reach from half to one and a half times the mean
FREQUENCIES = (0.02, 0.03, 0.045, 0.065, 0.095, 0.14, 0.2, 0.28, 0.4)  # cycles per pixel of the network's input
ORIENTATIONS = tuple(range(0, 180, 15))  # degrees
PHASES = 12
LEAST_RISE = 0.02  # of the strongest unit's, under which a unit counts as not responding to hue
_BATCH = 32  # images at a time: bounds the memory


class ColourResponse(NamedTuple):
    """How the units of a stage answer to photographs in colour and in grey, each (units,); undefined ones are NaN."""

    selectivity: Floats  # colour selectivity index, 1 - grey / colour over the best patches; 0: blind to colour
    colour: Floats  # mean answer over images and positions
    grey: Floats  # the same for the images in grey
    d_prime: Floats  # colour - grey, over the root mean variance of the two, of means over positions
    active: Floats  # share of positions, in colour, with an answer above 0


@torch.inference_mode()
def colour_response(
    model: AlexNet, preprocess: Preprocess, images: NDArray[np.uint8], stage: str = "relu1", *, top: int = TOP
) -> ColourResponse:
    """Answers of a stage's units to stored images (n, 3, s, s), each shown in colour and in grey of equal luma.

    The selectivity is the paired one: of the `top` images that excite a unit most, the answer at the best place and
    the one at the same place of the grey image. It wants a stage whose answers are not negative, behind a ReLU; it
    falls below 0 where grey excites more. Raises ``ValueError`` for no images, an unknown stage, or a network in
    training mode.
    """
    _check_mode(model)
    if not len(images):
        raise ValueError("Answers to photographs need at least one image, got none.")
    best: list[Tensor] = []  # strongest answers so far (patches, units, 1), and those to grey at the same places
    paired: list[Tensor] = []
    means, active = [], []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.array(images[start : start + _BATCH])).float()
        answers, in_grey = (_answers(model, preprocess.centre(shown), stage) for shown in (batch, to_grey(batch)))
        strongest, place = answers.max(2, keepdim=True)
        pairs = torch.cat([*best, strongest]), torch.cat([*paired, in_grey.gather(2, place)])
        kept = pairs[0].topk(min(top, len(pairs[0])), dim=0)
        best, paired = [kept.values], [pairs[1].gather(0, kept.indices)]
        means.append(torch.stack([answers.mean(2), in_grey.mean(2)]))
        active.append((answers > 0).double().mean(2))
    colour, grey = _array(torch.cat(means, dim=1))
    excited, excited_in_grey = (_array(x[0].sum((0, 2))) for x in (best, paired))
    spread = np.sqrt((colour.var(0) + grey.var(0)) / 2)
    return ColourResponse(
        selectivity=1 - _ratio(excited_in_grey, excited),
        colour=colour.mean(0),
        grey=grey.mean(0),
        d_prime=_ratio(colour.mean(0) - grey.mean(0), spread),
        active=_array(torch.cat(active).mean(0)),
    )


class HueTuning(NamedTuple):
    """Answers of a stage's central units to uniform fields of one luma that differ in hue."""

    hues: Floats  # (h,) degrees, as `analysis.kernels.hue_angle` counts them: red 0, yellow 60, blue 240
    answers: Floats  # (units, h)
    baseline: Floats  # (units,) answer to grey of the same luma

    @property
    def rise(self) -> Floats:
        """Answers above the one to grey, (units, h)."""
        return self.answers - self.baseline[:, None]

    @property
    def preferred(self) -> Floats:
        """Hue with the largest answer, degrees, (units,)."""
        return np.asarray(self.hues[self.answers.argmax(1)])

    @property
    def selectivity(self) -> Floats:
        """How narrowly hues excite, 0 (all alike) to 1 (a single one), (units,); for linear units pi / 4.

        NaN for a unit that none excites.
        """
        return _concentration(self.rise, np.radians(self.hues))

    @property
    def kind(self) -> NDArray[np.str_]:
        """By unit: "opponent" (some hues excite and others inhibit), "excited", "inhibited" or "unresponsive"."""
        least = LEAST_RISE * np.abs(self.rise).max()
        excited, inhibited = self.rise.max(1) > least, self.rise.min(1) < -least
        kinds = np.array([["unresponsive", "inhibited"], ["excited", "opponent"]])
        return np.asarray(kinds[excited.astype(int), inhibited.astype(int)])


@torch.inference_mode()
def hue_tuning(model: AlexNet, preprocess: Preprocess, stage: str = "conv1", *, step: int = 1) -> HueTuning:
    """Answers to uniform fields of hues `step` degrees apart, all of one luma and equally far from grey.

    Inhibition shows only in a stage before the ReLU. Equal luma (Rec. 601) is not equal R + G + B: a unit that reads
    the three channels alike has no `analysis.kernels.chroma_energy`, yet it answers to these fields.
    """
    _check_mode(model)
    hues = np.arange(0, 360, step, dtype=np.float64)
    colours = torch.from_numpy(np.vstack([hue_colours(hues), np.full(3, FIELD)])).float()
    fields = colours[:, :, None, None].expand(-1, -1, preprocess.input_size, preprocess.input_size)
    answers = _central(model, preprocess, fields.split(_BATCH), stage)
    return HueTuning(hues, answers[:-1].T, answers[-1])


class GratingTuning(NamedTuple):
    """Answers of a stage's central units to gratings, above the one to a uniform field of their mean."""

    orientations: Floats  # (o,) degrees anticlockwise of the stripes: 0 lying, 90 upright
    frequencies: Floats  # (f,) cycles per pixel of the network's input
    rise: Floats  # (units, o, f), the largest over phases

    @property
    def orientation(self) -> Floats:
        """Orientation of the grating that excites most, degrees, (units,)."""
        return np.asarray(self.orientations[self._best[0]])

    @property
    def frequency(self) -> Floats:
        """Frequency of the grating that excites most, cycles per pixel, (units,)."""
        return np.asarray(self.frequencies[self._best[1]])

    @property
    def selectivity(self) -> Floats:
        """At that frequency, 0 (all orientations alike) to 1 (a single one); NaN for a unit that none excites."""
        curve = np.take_along_axis(self.rise, self._best[1][:, None, None], axis=2)[:, :, 0]
        return _concentration(curve, np.radians(2 * self.orientations))

    @property
    def _best(self) -> tuple[NDArray[np.intp], ...]:
        flat = self.rise.reshape(len(self.rise), -1).argmax(1)
        return np.unravel_index(flat, self.rise.shape[1:])


@torch.inference_mode()
def grating_tuning(
    model: AlexNet,
    preprocess: Preprocess,
    stage: str = "conv1",
    *,
    colour: tuple[float, float, float] = (1, 1, 1),
    orientations: Sequence[float] = ORIENTATIONS,
    frequencies: Sequence[float] = FREQUENCIES,
    phases: int = PHASES,
) -> GratingTuning:
    """Answers to sinusoidal gratings of every orientation, frequency and phase, about the middle grey.

    They vary along `colour`, an RGB direction whose largest part swings by half of the middle grey: (1, 1, 1) is
    black and white, (1, -1, 0) red and green.
    """
    _check_mode(model)
    swing = torch.tensor(colour, dtype=torch.float32)
    swing = swing / swing.abs().max() * CONTRAST * FIELD
    every = np.array(list(product(orientations, frequencies, 360 * np.arange(phases) / phases)))
    batches = (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
    sines = (gratings(some[:, 0], some[:, 1], some[:, 2], preprocess.input_size) for some in batches)
    shown = (FIELD + swing[:, None, None] * waves[:, None] for waves in sines)
    blank = torch.full((1, 3, preprocess.input_size, preprocess.input_size), FIELD)
    answers = _central(model, preprocess, shown, stage) - _central(model, preprocess, [blank], stage)
    rise = answers.T.reshape(-1, len(orientations), len(frequencies), phases).max(3)
    return GratingTuning(np.array(orientations, np.float64), np.array(frequencies, np.float64), rise)


def _check_mode(model: AlexNet) -> None:
    if model.training:
        raise ValueError("Answers are measured on a network in eval mode: call model.eval() first.")


def _answers(model: AlexNet, batch: Tensor, stage: str) -> Tensor:
    """Output of a stage (n, units, positions) for network input; a fully connected one has a single position."""
    output, _ = model.run(batch.to(next(model.parameters()).device), until=stage)
    return output.reshape(*output.shape[:2], -1)


def _central(model: AlexNet, preprocess: Preprocess, batches: Iterable[Tensor], stage: str) -> Floats:
    """Answers (n, units) in the middle of a stage's map to images (n, 3, s, s) of the network's size, 0 to 255."""
    answers = [_answers(model, preprocess.subtract_mean(batch), stage) for batch in batches]
    side = math.isqrt(answers[0].shape[2])
    middle = side // 2 * (side + 1)
    return _array(torch.cat([each[:, :, middle] for each in answers]))


def _concentration(rise: Floats, angles: Floats) -> Floats:
    """Length of the mean direction (units,) of angles (a,) weighted by what rises above 0 (units, a)."""
    excited = rise.clip(min=0)
    return _ratio(np.abs(excited @ np.exp(1j * angles)), excited.sum(1))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def _array(values: Tensor) -> Floats:
    return values.double().cpu().numpy()

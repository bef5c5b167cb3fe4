"""What Prism's images show: drawn from a seed, each image from its number alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from alexnet_core.prism.hues import ANGLE_STEP, FIRST_ANGLE, HUES, Floats, oklch_to_linear, widest_chroma
from alexnet_core.prism.shapes import SHAPES
from alexnet_core.prism.textures import LATTICE_POINTS, TEXTURES

Ints = npt.NDArray[np.int64]

COVERED = 0.5  # radii: a bar whose near edge is farther off is not drawn
CLASS_NAMES = tuple(f"{hue.name} {shape}" for shape in SHAPES for hue in HUES)


def shape_of(labels: Ints) -> Ints:
    """Indices into `SHAPES` of labels 0-99."""
    return labels // len(HUES)


def hue_of(labels: Ints) -> Ints:
    """Indices into `HUES` of labels 0-99."""
    return labels % len(HUES)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What Prism's images show and what their labels mean."""

    label: Literal["both", "shape", "hue"] = "both"
    chroma: float = 1.0  # times the chroma of everything; 0 is a grey world
    isoluminant: bool = False  # one luma everywhere: what is to be seen is seen by colour alone
    bound: bool = False  # in training each shape has one hue of its own: a short-cut
    turn: float = 0.0  # degrees by which all hues are turned in validation images, their labels kept

    def __post_init__(self) -> None:
        if self.label not in ("both", "shape", "hue"):
            raise ValueError(f"label must be 'both', 'shape' or 'hue', got {self.label!r}.")
        if not 0 <= self.chroma <= 1:
            raise ValueError(f"chroma must be 0 to 1, got {self.chroma}.")


@dataclass(frozen=True, slots=True)
class Scenes:
    """What n images show: everything that `render` needs, and the factors to study."""

    shape: Ints  # (n,) indices into SHAPES
    hue: Ints  # (n,) indices into HUES
    texture: Ints  # (n,) of the object, indices into TEXTURES
    ground: Ints  # (n,) of the background, indices into TEXTURES
    values: Mapping[str, Floats]  # (n,) each, by name: position, light, blur, ... in the units of `_RANGES`
    colours: Mapping[str, Floats]  # (n, 3) each: linear RGB 0-1
    lattice: Floats  # (n, cells) noise in 0-1, both octaves
    world: World

    def __getitem__(self, rows: slice) -> "Scenes":
        values, colours = ({key: v[rows] for key, v in table.items()} for table in (self.values, self.colours))
        factors = (self.shape[rows], self.hue[rows], self.texture[rows], self.ground[rows])
        return Scenes(*factors, values, colours, self.lattice[rows], self.world)

    def __len__(self) -> int:
        return len(self.shape)

    def describe(self, row: int) -> str:
        """The nuisance factors of one image, in English."""
        v = {name: float(column[row]) for name, column in self.values.items()}
        parts = [f"surface {TEXTURES[self.texture[row]]}", f"ground {TEXTURES[self.ground[row]]}"]
        parts += ["a bar in front"] if v["cover_offset"] < COVERED else []
        return ", ".join([*parts, f"light at {v['exposure']:.0%}, tint {v['tint']:.2f}, noise {v['noise']:.1%}"])


# Every image draws one number in 0-1 for each name, in this order; `_RANGES` stretches it.
_RANGES: dict[str, tuple[float, float]] = {
    "texture": (0, 1),
    "ground": (0, 1),
    "angle": (0, 360),  # degrees
    "radius": (0.44, 0.78),  # half the object's size, of half the image
    "aspect": (0.84, 1.19),
    "x": (-0.3, 0.3),
    "y": (-0.3, 0.3),
    "lightness": (0.5, 0.82),  # of the object's surface, OKLab
    "saturation": (0.5, 1.0),  # share of the chroma that the screen can show
    "hue_jitter": (-7, 7),  # degrees
    "ink": (-0.24, 0.24),  # lightness of the surface's pattern against its colour
    "ink_chroma": (0.0, 1.1),
    "period": (0.22, 0.5),  # of the surface's pattern, in radii
    "turn": (0, 360),  # of the surface's pattern, degrees
    "bevel": (0.12, 0.6),  # width, in radii
    "relief": (0.3, 1.6),  # height of the bevel
    "gloss": (0.0, 0.75),
    "light_angle": (0, 360),  # where the light comes from
    "light_height": (0.5, 1.4),
    "shadow": (0.1, 0.6),
    "shadow_reach": (0.05, 0.22),
    "shadow_softness": (0.04, 0.25),
    "ground_hue_1": (0, 360),
    "ground_hue_2": (0, 360),
    "ground_light": (0.3, 0.78),
    "ground_step": (-0.2, 0.2),  # lightness of its second colour against the first
    "ground_chroma_1": (0.0, 0.8),
    "ground_chroma_2": (0.0, 0.8),
    "ground_period": (0.25, 0.9),
    "ground_turn": (0, 360),
    "ground_noise": (0.0, 0.5),
    "blob_x": (-0.9, 0.9),
    "blob_y": (-0.9, 0.9),
    "blob_size": (0.2, 0.6),
    "blob_hue": (0, 360),
    "blob_light": (0.35, 0.85),
    "cover_hue": (0, 360),
    "cover_light": (0.3, 0.85),
    "cover_chroma": (0.0, 1.0),
    "cover_angle": (0, 360),
    "cover_offset": (-0.6, 2.6),  # of its near edge from the object's centre, in radii; see COVERED
    "cover_width": (0.18, 0.5),
    "tint_hue": (0, 360),
    "tint": (0.0, 0.38),  # chroma of the light, of the full screen's
    "exposure": (0.55, 1.25),
    "blur": (0.0, 1.0),
    "noise": (0.005, 0.04),  # standard deviation, of full scale
    "seed": (0, 2**31),
}


def draw_scenes(world: World, seed: int, labels: Ints, indices: Ints, *, training: bool) -> Scenes:
    """What the images with these numbers show, given the shape and hue that `labels` (10 * shape + hue) name.

    Image i depends on (seed, i) and its label alone, whatever else is drawn with it. `training` tells whether
    a bound world keeps its short-cut and a turned one is left as it was.
    """
    uniform = np.stack([_uniform(seed, int(i), len(_RANGES) + LATTICE_POINTS) for i in indices])
    values = {name: low + (high - low) * uniform[:, k] for k, (name, (low, high)) in enumerate(_RANGES.items())}
    shape, hue = shape_of(labels), hue_of(labels)
    if world.bound and training:
        hue = shape
    turn = 0.0 if training else world.turn
    return Scenes(
        shape,
        hue,
        (values["texture"] * len(TEXTURES)).astype(np.int64),
        (values["ground"] * len(TEXTURES)).astype(np.int64),
        values,
        _colours(values, FIRST_ANGLE + ANGLE_STEP * hue.astype(np.float64), world.chroma, turn),
        uniform[:, len(_RANGES) :],
        world,
    )


def _uniform(seed: int, index: int, count: int) -> Floats:
    return np.random.Generator(np.random.Philox(key=[seed, index])).random(count)


def _colours(v: Mapping[str, Floats], angle: Floats, chroma: float, turn: float) -> dict[str, Floats]:
    """Linear RGB of everything that has a colour."""

    def colour(light: Floats, share: Floats, hue: Floats) -> Floats:
        return oklch_to_linear(light, chroma * share * widest_chroma(light, hue + turn), hue + turn)

    own = angle + v["hue_jitter"]
    return {
        "object": colour(v["lightness"], v["saturation"], own),
        "ink": colour(
            np.clip(v["lightness"] + v["ink"], 0.2, 0.95), v["saturation"] * np.minimum(v["ink_chroma"], 1), own
        ),
        "ground_1": colour(v["ground_light"], v["ground_chroma_1"], v["ground_hue_1"]),
        "ground_2": colour(v["ground_light"] + v["ground_step"], v["ground_chroma_2"], v["ground_hue_2"]),
        "blob": colour(v["blob_light"], np.ones_like(angle), v["blob_hue"]),
        "cover": colour(v["cover_light"], v["cover_chroma"], v["cover_hue"]),
        "light": _normalised(colour(np.full_like(angle, 0.8), v["tint"], v["tint_hue"])) * v["exposure"][:, None],
    }


def _normalised(colours: Floats) -> Floats:
    """The same light with a mean of 1 over R, G and B."""
    even: Floats = colours / colours.mean(-1, keepdims=True)
    return even

"""From scenes to pixels, on any device, many images at once.

Pixels are computed with additions, multiplications, divisions, square roots, comparisons and integer
operations only: IEEE 754 rounds these one way, so every machine gives the same pixels.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet_core.colour import luma
from alexnet_core.prism.hues import Floats
from alexnet_core.prism.scenes import COVERED, Ints, Scenes
from alexnet_core.prism.shapes import DISTANCES, length
from alexnet_core.prism.textures import INKS, noise_field

VERSION = 1  # of the pixels: raise it with any change that moves one
BLOCK = 16  # images rendered at once on a CPU: their planes stay in its caches

_SHAPES, _TEXTURES = tuple(DISTANCES.values()), tuple(INKS.values())


@torch.inference_mode()
def render(scenes: Scenes, size: int, device: torch.device | None = None) -> Tensor:
    """Pixels of scenes: (n, 3, size, size) uint8 sRGB on `device`, blocks of `BLOCK` at once on a CPU."""
    device = device or torch.device("cpu")
    step = BLOCK if device.type == "cpu" else 1024
    blocks = [_render_block(scenes[i : i + step], size, device) for i in range(0, len(scenes), step)]
    return torch.cat(blocks) if blocks else torch.empty(0, 3, size, size, dtype=torch.uint8, device=device)


def _render_block(scenes: Scenes, size: int, device: torch.device) -> Tensor:
    v = {name: _plane(column, device) for name, column in scenes.values.items() if name != "seed"}
    colour = {name: _plane(rows, device) for name, rows in scenes.colours.items()}
    noise = noise_field(scenes.lattice, size, device)
    x, y = _grid(size, device)
    ground = _ground(scenes, v, colour, noise, x, y)
    u, w = _turned(x - v["x"], y - v["y"], _direction(scenes.values["angle"], device))
    radius = v["radius"]
    u, w = u / (radius * v["aspect"]), w / (radius / v["aspect"])
    distance = _chosen(scenes.shape, _SHAPES, u, w)  # in radii
    light_x, light_y = _direction(scenes.values["light_angle"], device)
    surface = _surface(scenes, v, colour, noise, u, w) * _lit(distance, v, light_x, light_y, size)
    shade = _shadow(scenes, v, x, y, light_x, light_y)
    linear = _over(ground * (1 - shade), surface, _inside(distance * radius, size))
    linear = _over(linear, colour["cover"], _cover(v, x, y, _direction(scenes.values["cover_angle"], device), size))
    linear = _blurred((linear * colour["light"]).clamp(0, 1), v["blur"])
    grain = _grain(scenes.values["seed"], size, device, coloured=scenes.world.chroma > 0)
    levels = _to_levels(linear) + 255 * v["noise"] * grain
    if scenes.world.isoluminant:
        levels = _one_luma(levels)
    return (levels.clamp(0, 255) + 0.5).floor().to(torch.uint8)


def _plane(values: Floats, device: torch.device) -> Tensor:
    """(n,) or (n, 3) as float32 that broadcasts over (n, 3, size, size)."""
    plane = torch.from_numpy(values.astype(np.float32)).to(device)
    return plane.reshape(len(plane), -1, 1, 1)


def _grid(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Columns (1, 1, 1, size) and rows (1, 1, size, 1) of pixel centres, -1 to 1 across the image."""
    centres = (torch.arange(size, device=device) * 2 + 1) / size - 1
    return centres.view(1, 1, 1, -1), centres.view(1, 1, -1, 1)


def _direction(degrees: Floats, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine; computed in double precision and rounded once, so that they are the same everywhere."""
    return _plane(np.cos(np.radians(degrees)), device), _plane(np.sin(np.radians(degrees)), device)


def _turned(x: Tensor, y: Tensor, direction: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    c, s = direction
    return c * x + s * y, c * y - s * x


def _chosen(kinds: Ints, functions: Sequence[Callable[..., Tensor]], *fields: Tensor) -> Tensor:
    """Row i from function ``kinds[i]`` of the fields' rows i."""
    result = torch.empty_like(fields[0])
    for kind in np.unique(kinds):
        rows = torch.from_numpy(np.flatnonzero(kinds == kind)).to(result.device)
        result[rows] = functions[kind](*(field[rows] for field in fields))
    return result


def _over(below: Tensor, above: Tensor, share: Tensor) -> Tensor:
    return below + (above - below) * share


def _inside(distance: Tensor, size: int) -> Tensor:
    """Coverage of pixels by what lies at negative distances, in image units (the image is 2 wide)."""
    return (0.5 - distance * (size / 2)).clamp(0, 1)


def _ground(
    scenes: Scenes, v: Mapping[str, Tensor], colour: Mapping[str, Tensor], noise: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """The background: two colours in a texture, clouded by noise, with a soft blob of a third."""
    u, w = _turned(x, y, _direction(scenes.values["ground_turn"], noise.device))
    u, w = u / v["ground_period"], w / v["ground_period"]
    ink = _chosen(scenes.ground, _TEXTURES, u, w, noise)
    share = (ink + (noise - 0.5) * 2 * v["ground_noise"] + 0.25 * u * v["ground_period"]).clamp(0, 1)
    ground = _over(colour["ground_1"], colour["ground_2"], share)
    reach = length(x - v["blob_x"], y - v["blob_y"]) / v["blob_size"]
    return _over(ground, colour["blob"], _soft(1.5 - reach))


def _soft(t: Tensor) -> Tensor:
    """0 below 0, 1 above 1, smooth between."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _surface(
    scenes: Scenes, v: Mapping[str, Tensor], colour: Mapping[str, Tensor], noise: Tensor, u: Tensor, w: Tensor
) -> Tensor:
    """Colour of the object before any light falls on it; `u`, `w` in radii."""
    a, b = _turned(u, w, _direction(scenes.values["turn"], noise.device))
    ink = _chosen(scenes.texture, _TEXTURES, a / v["period"], b / v["period"], noise)
    return _over(colour["object"], colour["ink"], ink)


def _lit(distance: Tensor, v: Mapping[str, Tensor], light_x: Tensor, light_y: Tensor, size: int) -> Tensor:
    """How bright the bevelled object is, about 1 on its flat top: diffuse light and a highlight."""
    rise = (-distance / v["bevel"]).clamp(0, 1)
    height = v["relief"] * v["bevel"] * rise * (2 - rise)
    padded = F.pad(height, (1, 1, 1, 1), mode="replicate")
    steps = size / 4 * v["radius"]  # of the slope across two pixels
    slope_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * steps
    slope_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * steps
    up = v["light_height"]
    norm = (1 + slope_x * slope_x + slope_y * slope_y).sqrt()
    towards = (1 + up * up).sqrt()
    facing = ((up - slope_x * light_x - slope_y * light_y) / (norm * towards)).clamp(min=0)
    shine = facing * facing
    shine = shine * shine
    shine = shine * shine
    return 0.35 + 0.75 * facing + v["gloss"] * shine * shine


def _shadow(scenes: Scenes, v: Mapping[str, Tensor], x: Tensor, y: Tensor, light_x: Tensor, light_y: Tensor) -> Tensor:
    """Share of the light that the object keeps from the background, soft at the edge."""
    reach = v["shadow_reach"]
    u, w = _turned(
        x - v["x"] + reach * light_x, y - v["y"] + reach * light_y, _direction(scenes.values["angle"], x.device)
    )
    radius = v["radius"]
    distance = _chosen(scenes.shape, _SHAPES, u / (radius * v["aspect"]), w / (radius / v["aspect"])) * radius
    return v["shadow"] * _soft(0.5 - distance / (2 * v["shadow_softness"]))


def _cover(v: Mapping[str, Tensor], x: Tensor, y: Tensor, direction: tuple[Tensor, Tensor], size: int) -> Tensor:
    """Coverage by a bar in front of the object."""
    along, _ = _turned(x - v["x"], y - v["y"], direction)
    middle = v["radius"] * v["cover_offset"] + v["cover_width"] / 2
    bar = _inside((along - middle).abs() - v["cover_width"] / 2, size)
    return bar * (v["cover_offset"] < COVERED)


def _blurred(linear: Tensor, amount: Tensor) -> Tensor:
    """Mixed with itself smoothed by (1, 2, 1) / 4 both ways."""
    soft = linear
    for dim in (2, 3):
        ahead, behind = soft.roll(-1, dim), soft.roll(1, dim)
        ahead.select(dim, -1).copy_(soft.select(dim, -1))
        behind.select(dim, 0).copy_(soft.select(dim, 0))
        soft = 0.25 * (ahead + behind) + 0.5 * soft
    return _over(linear, soft, amount)


def _to_levels(linear: Tensor) -> Tensor:
    """sRGB levels 0-255 of linear light 0-1, to within 0.6 levels; square roots are exact where powers are not."""
    a = linear.sqrt()
    b = a.sqrt()
    return 255 * (0.662002687 * a + 0.684122060 * b - 0.323583601 * b.sqrt() - 0.0225411470 * linear).clamp(0, 1)


def _grain(seeds: Floats, size: int, device: torch.device, *, coloured: bool) -> Tensor:
    """Noise of a camera, (n, 1 or 3, size, size), nearly normal, standard deviation 1: four bytes of a hash each."""
    channels = 3 if coloured else 1
    place = torch.arange(channels * size * size, dtype=torch.int32, device=device).view(1, channels, size, size)
    key = torch.from_numpy(seeds.astype(np.int64)).to(device).int().view(-1, 1, 1, 1)
    h = (place * -1640531527) ^ key
    for shift in (16, 15):
        h = (h ^ _shifted(h, shift)) * 73244475
    h = h ^ _shifted(h, 16)
    total = (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + ((h >> 24) & 255)
    return (total - 510) / 147.8


def _shifted(h: Tensor, bits: int) -> Tensor:
    """Bits moved right with zeros behind them; torch would repeat the sign."""
    kept: Tensor = (h >> bits) & (2 ** (32 - bits) - 1)
    return kept


def _one_luma(levels: Tensor, grey: float = 128) -> Tensor:
    """The same colour differences around one luma; chroma is reduced where a screen could not show them."""
    difference = levels - luma(levels)
    room = (grey / difference.abs().clamp(min=1)).amin(1, keepdim=True).clamp(max=1)
    return grey + difference * room

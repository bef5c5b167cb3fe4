"""Prism: a rendered world of shapes and hues, drawn from a seed, for tests and experiments without photographs.

An image shows one object, out of ten shapes in one of ten hues, with a surface, in a light, before a
background, sometimes half hidden. `hues`, `shapes` and `textures` say what there is, `scenes` draws what an
image shows, `rendering` turns it into pixels, `store` makes a data set of it.
"""

from alexnet_core.prism.hues import HUES, Hue
from alexnet_core.prism.rendering import render
from alexnet_core.prism.scenes import CLASS_NAMES, Scenes, World, draw_scenes, hue_of, shape_of
from alexnet_core.prism.shapes import SHAPES
from alexnet_core.prism.textures import TEXTURES

__all__ = [
    "CLASS_NAMES",
    "HUES",
    "SHAPES",
    "TEXTURES",
    "Hue",
    "Scenes",
    "World",
    "draw_scenes",
    "hue_of",
    "render",
    "shape_of",
]

"""Scenes: each drawn from its number alone, factors independent of each other, worlds as they are named."""

from dataclasses import replace

import numpy as np
import pytest

from alexnet_core.prism.hues import HUES
from alexnet_core.prism.scenes import CLASS_NAMES, Scenes, World, draw_scenes, hue_of, shape_of
from alexnet_core.prism.textures import TEXTURES

LABELS = np.arange(600) % 100


def scenes(world: World | None = None, *, seed: int = 5, training: bool = False) -> Scenes:
    return draw_scenes(world or World(), seed, LABELS, np.arange(len(LABELS)), training=training)


def test_an_image_does_not_depend_on_those_drawn_with_it() -> None:
    whole, alone = scenes(), draw_scenes(World(), 5, LABELS[[417]], np.array([417]), training=False)
    for name, column in whole.values.items():
        assert column[417] == alone.values[name][0]
    for name, colour in whole.colours.items():
        np.testing.assert_array_equal(colour[417], alone.colours[name][0])
    np.testing.assert_array_equal(whole.lattice[417], alone.lattice[0])


def test_another_seed_shows_other_scenes_of_the_same_label() -> None:
    one, other = scenes(seed=5), scenes(seed=6)
    np.testing.assert_array_equal(one.shape, other.shape)
    assert abs(np.corrcoef(one.values["x"], other.values["x"])[0, 1]) < 0.15


def test_labels_name_shape_and_hue() -> None:
    assert CLASS_NAMES[85] == "teal star"
    assert (shape_of(np.array([85])), hue_of(np.array([85]))) == (8, 5)


def test_nuisance_factors_tell_nothing_of_the_label() -> None:
    """Correlations of 600 images; beyond 0.17 once in 30,000 if there is none."""
    drawn = scenes()
    for name, column in drawn.values.items():
        for factor in (drawn.shape, drawn.hue):
            assert abs(np.corrcoef(column, factor)[0, 1]) < 0.17, name


def test_the_objects_hue_is_that_of_its_label_to_within_the_jitter() -> None:
    """The dominant channel of a surface follows the angle: red, green and blue ones in the right places."""
    drawn = scenes()
    dominant = drawn.colours["object"].argmax(1)
    names = np.array([hue.name for hue in HUES])[drawn.hue]
    assert (dominant[np.isin(names, ["red", "orange", "pink"])] == 0).all()
    assert (dominant[np.isin(names, ["lime", "emerald"])] == 1).all()
    assert (dominant[np.isin(names, ["azure", "blue", "violet"])] == 2).mean() > 0.95


def test_a_grey_world_has_no_colour_and_the_same_lightness_draws() -> None:
    drawn = scenes(World(chroma=0.0))
    for colour in drawn.colours.values():
        np.testing.assert_allclose(colour, colour[:, :1].repeat(3, 1), rtol=1e-6)
    np.testing.assert_array_equal(drawn.values["lightness"], scenes().values["lightness"])


def test_a_bound_world_ties_hue_to_shape_in_training_only() -> None:
    world = World(bound=True)
    taught, asked = scenes(world, training=True), scenes(world, training=False)
    np.testing.assert_array_equal(taught.hue, taught.shape)
    np.testing.assert_array_equal(asked.hue, hue_of(LABELS))


def test_a_turned_world_turns_validation_by_whole_hues_and_keeps_the_labels() -> None:
    """Turned by three steps, an image has the colours that the label three hues on would give it."""
    turned, plain = scenes(World(turn=108)), scenes()
    np.testing.assert_array_equal(turned.hue, plain.hue)
    three_on = draw_scenes(
        World(), 5, shape_of(LABELS) * 10 + (hue_of(LABELS) + 3) % 10, np.arange(len(LABELS)), training=False
    )
    np.testing.assert_allclose(turned.colours["object"], three_on.colours["object"], atol=1e-5)
    untouched = scenes(World(turn=108), training=True)
    np.testing.assert_array_equal(untouched.colours["object"], plain.colours["object"])


def test_what_else_an_image_shows_is_told_in_words() -> None:
    drawn = scenes()
    covered = int(np.argmin(drawn.values["cover_offset"]))
    words = drawn.describe(covered)
    assert f"surface {TEXTURES[drawn.texture[covered]]}, ground {TEXTURES[drawn.ground[covered]]}, a bar" in words
    assert f"noise {100 * drawn.values['noise'][covered]:.1f}%" in words
    assert "a bar" not in drawn.describe(int(np.argmax(drawn.values["cover_offset"])))


def test_a_part_of_the_scenes_is_that_part() -> None:
    whole = scenes()
    part = whole[40:50]
    assert len(part) == 10
    np.testing.assert_array_equal(part.values["blur"], whole.values["blur"][40:50])
    np.testing.assert_array_equal(part.shape, whole.shape[40:50])


@pytest.mark.parametrize("change", [{"label": "colour"}, {"chroma": 1.5}, {"chroma": -0.1}])
def test_a_world_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(World(), **change)  # type: ignore[arg-type]

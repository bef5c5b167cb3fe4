"""Figure 4: what is drawn where, read from matplotlib's own objects and from the files."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tests.analysis.errors.tables import random_table
from viz_app.figures import paper

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
PANEL = paper.Panel(PIXELS, "b", ("a", "b", "c", "d", "e"), (0.5, 0.25, 0.125, 0.0625, 0.0004), 1)


def parts(figure: Figure) -> list[tuple[Axes, Axes]]:
    """Picture and bars of every image that is drawn."""
    return [tuple(part.axes) for part in figure.subfigs if part.axes]


def texts(bars: Axes) -> list[str]:
    return [text.get_text() for text in bars.texts]


@pytest.mark.parametrize("right", [0, 1, 4, None])
def test_the_bar_of_the_truth_and_no_other_is_red_hatched_and_starred(right: int | None) -> None:
    ((_, bars),) = parts(paper.figure4([PANEL._replace(right=right)]))
    hatched = [place for place, bar in enumerate(bars.patches) if bar.get_hatch()]
    starred = [place for place, name in enumerate(texts(bars)[::2]) if name.startswith("★")]
    colours = [bar.get_facecolor() for bar in bars.patches]
    red = [place for place, (r, _, b, _) in enumerate(colours) if r > b]
    assert hatched == starred == red == ([] if right is None else [right])


def test_bars_are_as_long_as_probabilities_and_stand_from_the_best_down() -> None:
    ((_, bars),) = parts(paper.figure4([PANEL]))
    assert [bar.get_width() for bar in bars.patches] == list(PANEL.probabilities)
    heights = [bars.transData.transform((0, bar.get_y()))[1] for bar in bars.patches]
    assert heights == sorted(heights, reverse=True)
    assert bars.get_xlim() == (0, 1)
    assert texts(bars) == ["a", "50.0%", "★ b", "25.0%", "c", "12.5%", "d", "6.2%", "e", "<0.1%"]


def test_every_pixel_of_the_image_is_drawn() -> None:
    ((picture, _),) = parts(paper.figure4([PANEL]))
    assert np.array_equal(picture.images[0].get_array(), PIXELS)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_four_images_stand_in_a_row(count: int, rows: int) -> None:
    figure = paper.figure4([PANEL] * count)
    assert len(parts(figure)) == count
    assert figure.get_size_inches() == pytest.approx((7.2, 2.55 * rows))


def test_names_end_at_the_first_comma_and_long_ones_are_cut() -> None:
    table = random_table(classes=5)
    names = ["x" * 40, "tench, Tinca tinca", "c", "d", "e"]
    (found,) = paper.panels_of(table, [0], names, lambda _: Image.fromarray(PIXELS))
    assert sorted(found.guesses) == sorted(["x" * 40, "tench", "c", "d", "e"])
    ((_, bars),) = parts(paper.figure4([found]))
    assert max(map(len, texts(bars))) == paper.LONGEST
    assert any(text.endswith("x…") for text in texts(bars))


def test_the_truth_is_found_by_its_label_where_two_classes_have_the_same_name() -> None:
    table = random_table(classes=8)
    found = paper.panels_of(table, range(60), ["crane"] * 8, lambda _: Image.fromarray(PIXELS))
    wanted = [rank if rank < 5 else None for rank in map(place_of_truth, table.slice(0, 60).to_pylist())]
    assert [panel.right for panel in found] == wanted
    assert None in wanted
    assert len(set(wanted)) > 3


def place_of_truth(row: dict[str, list[int]]) -> int:
    return row["top_classes"].index(row["label"])


def test_dollars_and_backslashes_in_names_are_no_formulae() -> None:
    odd = PANEL._replace(truth=r"$\frac$", guesses=(r"$\frac$", "a_b^c$", "<b>&", "é", "'\""))
    svg = paper.as_svg(paper.figure4([odd]))
    assert b"frac" in svg  # written beside the outlines, as it is


def test_a_draw_has_eight_images_of_the_split_and_is_the_same_for_the_same_seed() -> None:
    table = random_table()
    first = paper.drawn(table, "val", 0)
    assert len(set(first)) == 8
    assert {table["split"][position].as_py() for position in first} == {"val"}
    assert paper.drawn(table, "val", 0) == first
    assert paper.drawn(table, "val", 1) != first


def test_a_draw_of_errors_has_none_that_is_right() -> None:
    table = random_table()
    ranks = [table["rank"][position].as_py() for seed in range(5) for position in paper.drawn(table, "", seed)]
    wrong = [
        table["rank"][position].as_py()
        for seed in range(5)
        for position in paper.drawn(table, "", seed, only_errors=True)
    ]
    assert 0 in ranks
    assert len(wrong) == 40
    assert 0 not in wrong


def test_the_text_alternative_tells_every_label_guess_and_probability() -> None:
    text = paper.figure4_text([PANEL, PANEL._replace(truth="z", right=None)])
    assert text.startswith("Image 1: b. Guesses: a 50.0%, b 25.0% (right), c 12.5%, d 6.2%, e <0.1%. Image 2: z.")
    assert text.endswith("None is right.")


def test_png_has_300_dots_an_inch() -> None:
    with Image.open(BytesIO(paper.as_png(paper.figure4([PANEL] * 8)))) as image:
        assert image.size == (2160, 1530)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_pdf_embeds_truetype_fonts_and_keeps_text() -> None:
    pdf = paper.as_pdf(paper.figure4([PANEL]))
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


FILES = """
from hashlib import sha256
import numpy as np
from viz_app.figures import paper
panel = paper.Panel(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), "b", ("a", "b"), (0.5, 0.25), 1)
saved = [save(paper.figure4([panel])) for save in (paper.as_png, paper.as_pdf, paper.as_svg)]
digests = [sha256(file).hexdigest() for file in saved]
"""


def test_files_are_the_same_in_another_process() -> None:
    command = [sys.executable, "-c", f"{FILES}print(*digests)"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    here: dict[str, list[str]] = {}
    exec(FILES, here)
    assert found.stdout.split() == here["digests"]


def small(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


FOUND = (paper.Alike(small(1), "crane, bird", 26.349, True), paper.Alike(small(2), "cup", 0.2134, False))
ROW = paper.AlikeRow(small(0), "crane, bird", FOUND)


def grid(figure: Figure) -> list[list[Axes]]:
    """Its images as they lie, from above and from the left."""
    rows: dict[float, list[Axes]] = {}
    for axes in sorted(figure.axes, key=lambda one: (-one.get_position().y0, one.get_position().x0)):
        rows.setdefault(round(axes.get_position().y0, 3), []).append(axes)
    return list(rows.values())


def test_a_query_stands_first_and_what_was_found_follows_from_the_nearest() -> None:
    found = grid(paper.neighbours_figure([ROW, ROW._replace(pixels=small(9)), ROW]))
    assert [[int(axes.images[0].get_array()[0, 0, 0]) for axes in row] for row in found] == [
        [0, 1, 2],
        [9, 1, 2],
        [0, 1, 2],
    ]


def test_below_an_image_stand_its_class_ticked_or_crossed_and_its_distance() -> None:
    (row,) = grid(paper.neighbours_figure([ROW]))
    assert [axes.get_xlabel() for axes in row] == ["crane, bird", "✓ crane, bird\n26.3", "✕ cup\n0.213"]
    (bare,) = grid(paper.neighbours_figure([ROW], words=False))
    assert not any(axes.get_xlabel() for axes in bare)


def test_nothing_is_ticked_where_the_query_has_no_class() -> None:
    unknown = FOUND[0]._replace(agrees=None)
    assert unknown.marked == "crane, bird"
    text = paper.row_text(paper.AlikeRow(small(0), "", (unknown,)))
    assert text == "Query of no known class. Found, with distance: crane, bird (26.3)."


def test_rows_of_fewer_images_leave_their_places_empty() -> None:
    found = grid(paper.neighbours_figure([ROW._replace(found=FOUND[:1]), ROW._replace(found=()), ROW]))
    assert list(map(len, found)) == [2, 1, 3]


@pytest.mark.parametrize("words", [True, False])
def test_images_and_words_of_five_rows_do_not_lie_on_each_other(words: bool) -> None:
    figure = paper.neighbours_figure([ROW._replace(found=FOUND * 3)] * 5, words=words)
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == 35
    for place, one in enumerate(boxes):
        assert figure.bbox.padded(1).containsx(one.x1)
        assert figure.bbox.padded(1).containsy(one.y0)
        assert not any(one.overlaps(other) for other in boxes[place + 1 :])


def test_the_words_of_the_neighbours_tell_every_image() -> None:
    text = paper.neighbours_text([ROW, ROW])
    assert text.count("Found, with distance: ✓ crane, bird (26.3), ✕ cup (0.213).") == 2
    assert text.startswith("Row 1: Query crane, bird.")


def test_the_files_of_the_neighbours_are_the_same_each_time() -> None:
    for save in (paper.as_png, paper.as_pdf, paper.as_svg):
        assert save(paper.neighbours_figure([ROW])) == save(paper.neighbours_figure([ROW]))

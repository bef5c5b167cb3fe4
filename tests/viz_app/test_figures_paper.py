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

"""Browsing: words and counts of a selection, and the way from image to image."""

from typing import Any

import numpy as np
import pytest

from analysis.errors.rates import Rates, share
from analysis.errors.selection import Selection
from tests.viz_app.errors.test_state import Session
from viz_app.errors import browse
from viz_app.errors.browse import counts_text, item, rates_text, step_image

POSITIONS = np.random.default_rng(0).permutation(200)[:100]


class Stand:
    """A subject of two classes whose gallery rows are 1000 more than the positions."""

    names = ("cat", "dog")

    def gallery_row(self, position: int) -> int:
        return position + 1000

    def thumbnail(self, position: int) -> bytes:
        return b"jpeg"


def test_rates_are_told_with_their_denominator_and_interval() -> None:
    text = rates_text(Rates(10_000, share(6564, 10_000), share(3897, 10_000)))
    assert text.replace("\\", "") == (
        "6,564 of 10,000 are wrong at top-1, 65.6% [64.7, 66.6], and 3,897 at top-5, 39.0% [38.0, 39.9]."
    )


def test_what_is_shown_is_told_as_a_part_of_something() -> None:
    among = Rates(10_000, share(6564, 10_000), share(3897, 10_000))
    assert "Shown: **3,897** of 10,000 images (top-5 wrong; order: most wrong)" in counts_text(Selection(), 3897, among)
    narrow = Selection(criterion="all", text="cat", order="random", seed=4)
    text = counts_text(narrow, 50, Rates(50, share(31, 50), share(20, 50)))
    assert "**50** of the 50 images that pass the filters (all; shuffled with seed 4)" in text
    assert "31 of 50 are wrong at top-1, 62.0%" in text


def test_a_filter_that_nothing_passes_gives_no_rates() -> None:
    text = counts_text(Selection(text="zebra"), 0, Rates(0, share(0, 0), share(0, 0)))
    assert "**0** of the 0 images" in text
    assert "nan" not in text


def told(*, suspect: bool = False, **changes: Any) -> Any:
    row = {"label": 0, "guess": 1, "confidence": 0.734, "probability": 0.0002, "rank": 1}
    return item(Stand(), 5, row | changes, suspect=suspect)


def test_an_image_says_truth_guess_and_probability_and_is_marked_without_colour() -> None:
    wrong = told()
    assert (wrong.title, wrong.lines, wrong.mark) == ("cat", ("✕ 73% dog", "no. 2: <0.1%"), "✕")
    assert wrong.alt == "Image 1005, labelled cat, taken for dog."
    assert told(suspect=True).mark == "✕?"
    assert "label suspected" in told(suspect=True).alt
    right = told(guess=0, rank=0, probability=0.734)
    assert (right.lines, right.mark) == (("✓ 73% cat", "no. 1: 73.4%"), "")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    found = Session(page=1, picture=None)
    monkeypatch.setattr(browse.st, "session_state", found)
    return found


def test_steps_go_through_all_images_in_order_and_turn_the_page(session: Session) -> None:
    seen, pages, chosen = [], [], None
    for _ in range(100):
        step_image(Stand(), POSITIONS, chosen, 1)
        chosen = session.picture - 1000
        seen.append(chosen)
        pages.append(session.page)
    assert seen == POSITIONS.tolist()
    assert pages == [1] * 48 + [2] * 48 + [3] * 4


def test_steps_end_at_the_ends(session: Session) -> None:
    step_image(Stand(), POSITIONS, int(POSITIONS[-1]), 1)
    assert session.picture == POSITIONS[-1] + 1000
    step_image(Stand(), POSITIONS, int(POSITIONS[0]), -1)
    assert session.picture == POSITIONS[0] + 1000


def test_an_image_that_is_not_in_the_list_leads_to_the_first_one_of_the_page(session: Session) -> None:
    session.page = 2
    outside = int(np.setdiff1d(np.arange(200), POSITIONS)[0])
    step_image(Stand(), POSITIONS, outside, 1)
    assert session.picture == POSITIONS[48] + 1000

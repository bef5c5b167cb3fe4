"""The report as a reader's program finds it, its numbers against a recount of the table."""

from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from analysis.errors.selection import Selection, select
from analysis.predictions import about
from analysis.stats import wilson_interval
from tests.analysis.errors.tables import random_table
from viz_app.errors.report import Material, errors_report
from viz_app.uploads import jpeg

ODD = ["<script>alert('x')</script>", "\"><img src=x onerror='y'>", "O'Brien & sons", "$\\frac$", "{{ 7 * 7 }}"]
NAMES = [*ODD, *(f"class {label}, synonym" for label in range(5, 12))]
MADE = date(2026, 11, 22)


class Page(NamedTuple):
    """What a report holds."""

    text: str
    tags: Counter[str]
    addresses: list[str]  # of src, srcset and href
    alts: list[str]
    tables: dict[str, list[list[str]]]  # rows of cells by caption, the headings first
    ids: set[str]


class Reader(HTMLParser):
    """Takes a report apart; every opened element must be closed."""

    VOID = frozenset({"meta", "img", "source"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page("", Counter(), [], [], {}, set())
        self.texts: list[str] = []
        self.open: list[str] = []
        self.caption, self.rows, self.cell = "", [[""]], ""
        self.feed(html)
        self.close()
        assert not self.open
        self.page = self.page._replace(text=" ".join(" ".join(self.texts).split()))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.page.tags[tag] += 1
        self.page.addresses.extend(str(found[name]) for name in ("src", "srcset", "href") if name in found)
        if tag == "img":
            self.page.alts.append(found["alt"] or "")
        if "id" in found:
            assert found["id"] not in self.page.ids
            self.page.ids.add(str(found["id"]))
        assert not [name for name in found if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)
        self.cell = "" if tag in ("th", "td", "caption") else self.cell
        if tag == "table":
            self.rows = []
        elif tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("th", "td"):
            self.rows[-1].append(self.cell)
        elif tag == "caption":
            self.caption = self.cell
        elif tag == "table":
            self.page.tables[self.caption] = self.rows

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
            self.cell += data


def material(table: pa.Table, **changes: Any) -> Material:
    """A table with images that tell which row they are."""

    def image(position: int) -> Image.Image:
        return Image.fromarray(np.full((8, 8, 3), table["id"][position].as_py() % 256, np.uint8))

    card = {"id": about(table).checkpoint_id, "commit": "abc<b>", "torch": "2.13", "preprocess": {}, "metrics": {}} | {
        "config": {"mode": "chm145", "towers": 2, "input_size": 127}
    }
    parts = {"title": "Odd <images>", "card": card, "table": table, "about": about(table), "names": NAMES}
    return Material(**(parts | {"image": image, "thumbnail": lambda position: jpeg(image(position))} | changes))


TABLE = random_table()
ROWS = [row for row in TABLE.to_pylist() if row["split"] == "val"]
SELECTION = Selection(criterion="top-1 wrong", split="val", order="loss")


@pytest.fixture(scope="module")
def html() -> str:
    """A report about validation images."""
    return errors_report(material(TABLE), SELECTION, images=5, made=MADE)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """The same, taken apart."""
    return Reader(html).page


@pytest.fixture(scope="module")
def rows(page: Page) -> Callable[[str], list[list[str]]]:
    """Rows of the table whose caption starts so, without the headings."""

    def of(caption: str) -> list[list[str]]:
        (found,) = [cells for name, cells in page.tables.items() if name.startswith(caption)]
        assert {len(row) for row in found} == {len(found[0])}
        return found[1:]

    return of


def share(hits: int, n: int) -> str:
    low, high = wilson_interval(hits, n)
    return f"{100 * hits / n:.1f}% [{100 * low:.1f}, {100 * high:.1f}] of {n}"


def test_the_file_needs_nothing_from_elsewhere(page: Page) -> None:
    assert page.tags.keys().isdisjoint({"script", "link", "iframe", "object", "embed", "form"})
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors == page.ids


def test_every_image_has_a_text_alternative(page: Page) -> None:
    assert page.tags["img"] == 2 + 5 + 1
    assert all(page.alts)


def test_names_with_quotes_and_markup_are_text(page: Page, html: str) -> None:
    for name in ODD:
        assert name in page.text
    assert "<script" not in html
    assert "onerror='y'>" not in html
    assert "Odd <images>" in page.text
    assert "abc<b>" in page.text


def test_rates_are_those_of_a_recount(page: Page, rows: Callable[[str], list[list[str]]]) -> None:
    n = len(ROWS)
    one, five = (sum(row["rank"] >= k for row in ROWS) for k in (1, 5))
    assert rows("How often") == [["top-1", str(one), share(one, n)], ["top-5", str(five), share(five, n)]]
    assert f"Of {n} images, val of" in page.text
    assert share(one, n) in page.text


def test_pairs_are_those_of_a_recount(rows: Callable[[str], list[list[str]]]) -> None:
    cells = Counter((NAMES[row["label"]], NAMES[row["guess"]]) for row in ROWS)
    images = Counter(NAMES[row["label"]] for row in ROWS)
    sums = []
    for first, second, both, there, n_first, back, n_second in rows("The 20 pairs"):
        assert (int(there), int(back)) == (cells[first, second], cells[second, first])
        assert (int(n_first), int(n_second)) == (images[first], images[second])
        assert int(both) == int(there) + int(back)
        sums.append(int(both))
    every = sorted((cells[a, b] + cells[b, a] for a in NAMES for b in NAMES if a < b), reverse=True)
    assert sums == every[:20]


def test_classes_are_those_of_a_recount(rows: Callable[[str], list[list[str]]]) -> None:
    found = rows("Every class")
    assert sorted(row[0] for row in found) == sorted({NAMES[row["label"]] for row in ROWS})
    for name, top1, top5, wrong, count in found:
        own = [row for row in ROWS if NAMES[row["label"]] == name]
        assert top1 == share(sum(row["rank"] == 0 for row in own), len(own))
        assert top5 == share(sum(row["rank"] < 5 for row in own), len(own))
        mistaken = Counter(NAMES[row["guess"]] for row in own if row["guess"] != row["label"])
        assert mistaken[wrong] == int(count) == max(mistaken.values(), default=0)
    shares = [float(row[1].split("%")[0]) for row in found]
    assert shares == sorted(shares)


def test_calibration_is_that_of_a_recount(page: Page, rows: Callable[[str], list[list[str]]]) -> None:
    error, counted = 0.0, 0
    for i in range(15):
        own = [row for row in ROWS if i / 15 < row["confidence"] <= (i + 1) / 15 or (i == 0 and not row["confidence"])]
        if not own:
            continue
        right, total = sum(row["rank"] == 0 for row in own), sum(row["confidence"] for row in own)
        error += abs(total - right) / len(ROWS)
        shown = rows("Bins of")[counted]
        assert shown[1:] == [str(len(own)), f"{100 * total / len(own):.1f}%", share(right, len(own))]
        counted += 1
    assert counted == len(rows("Bins of"))
    assert f"Expected calibration error: {100 * error:.2f} points" in page.text


def test_risk_at_full_coverage_is_the_error_rate(rows: Callable[[str], list[list[str]]]) -> None:
    answered, n, wrong = rows("If only")[-1]
    assert (answered, n) == ("100.0%", str(len(ROWS)))
    assert wrong == f"{100 * sum(row['rank'] > 0 for row in ROWS) / len(ROWS):.1f}%"


def test_the_images_are_the_first_of_the_selection(page: Page, rows: Callable[[str], list[list[str]]]) -> None:
    worst = sorted((row for row in ROWS if row["rank"] > 0), key=lambda row: (-row["loss"], row["id"]))
    found = rows("The images above")
    assert [row[0] for row in found] == [str(row["id"]) for row in worst[:5]]
    assert [row[3] for row in found] == [str(row["rank"] + 1) for row in worst[:5]]
    assert page.alts[2:7] == [f"Image {row['id']}: {NAMES[row['label']]}" for row in worst[:5]]
    assert f"{len(worst)} of {len(ROWS)} images" in page.text
    jpegs = [address for address in page.addresses if address.startswith("data:image/jpeg")]
    shown = [Image.open(BytesIO(b64decode(jpeg.partition(",")[2]))).getpixel((4, 4))[0] for jpeg in jpegs]
    assert shown == pytest.approx([row["id"] % 256 for row in worst[:5]], abs=2)  # JPEG is nearly exact on grey


def test_a_selection_is_told_in_words() -> None:
    selection = Selection(
        criterion="wrong and sure", sure=0.3, true=(2,), guessed=(5, 6), text="syn", confidence=(0.1, 0.9), order="loss"
    )
    text = Reader(errors_report(material(TABLE), selection, made=MADE)).page.text
    n = len(select(TABLE, selection, NAMES))
    assert (
        "Selected: wrong and sure; sure means from 30%; true class: O'Brien & sons; guess: class 5, synonym, class 6, "
        f"synonym; “syn” in a class name; confidence 10% to 90%. {n} of 300 images"
    ) in text


def test_a_selection_without_images_still_has_a_report() -> None:
    selection = Selection(text="no class is called so")
    page = Reader(errors_report(material(TABLE), selection, made=MADE)).page
    assert "0 of 300 images (0.0%)" in page.text
    assert page.tags["img"] == 3


def test_the_same_material_gives_the_same_file(html: str) -> None:
    assert errors_report(material(TABLE), SELECTION, images=5, made=MADE) == html


def test_facts_of_another_network_s_card_are_not_told() -> None:
    other = material(TABLE)
    text = Reader(errors_report(other._replace(card=other.card | {"id": "other"}), SELECTION, made=MADE)).page.text
    assert about(TABLE).checkpoint_id in text
    assert "chm145" not in text


def test_a_split_without_predictions_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"no predictions for split 'test'; choose from \['train', 'val'\]"):
        errors_report(material(TABLE), Selection(split="test"))

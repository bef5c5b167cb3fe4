"""Values as reports write them."""

import pytest
from jinja2 import UndefinedError

from analysis.errors.rates import share
from viz_app.frame import Cell, Number, Table, _environment, data_uri, shown


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("as it is", "as it is"),
        (1234567, "1,234,567"),
        (0.12345, "12.3%"),
        (0.0001, "<0.1%"),
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (share(5, 10), "50.0% [23.7, 76.3] of 10"),  # Wilson 1927 by hand
        (share(0, 0), "none"),
        (Number("+0.2 [0, 1]"), "+0.2 [0, 1]"),
    ],
)
def test_a_value_is_written_for_people(cell: Cell, text: str) -> None:
    assert shown(cell) == text


def test_a_file_becomes_an_address_that_holds_it() -> None:
    assert data_uri(b"abc", "text/plain") == "data:text/plain;base64,YWJj"


def test_a_table_s_texts_are_escaped_and_its_numbers_stand_to_the_right() -> None:
    macro = '{% import "parts.html" as parts %}{{ parts.table(table) }}'
    table = Table("<caption>", ("a & b", "n", "size"), [('"<script>"', 1000, Number("+0.2"))])
    html = _environment().from_string(macro).render(table=table)
    assert "<script" not in html
    assert "&lt;caption&gt;" in html
    assert "a &amp; b" in html
    assert '<td class="number">1,000</td>' in html
    assert '<td class="number">+0.2</td>' in html


def test_a_value_that_a_template_asks_for_must_be_given() -> None:
    with pytest.raises(UndefinedError):
        _environment().get_template("frame.html").render(title="x")

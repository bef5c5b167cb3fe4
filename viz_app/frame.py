"""The frame of all reports: from values and a template to one HTML file that opens without server or network."""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.errors.rates import Share
from viz_app.figures.theme import percent, share_text


class Number(NamedTuple):
    """A number in the form in which it is to be shown, such as "+0.21 [0.02, 0.40]"."""

    text: str


Cell: TypeAlias = str | int | float | Share | Number

TEMPLATES = Path(__file__).with_name("templates")


class Table(NamedTuple):
    """A table of a report: text, counts (int), shares from 0 to 1 (float), counted shares, other numbers."""

    caption: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


def rendered(template: str, **values: Any) -> str:
    """A template filled with values; every text in them is escaped."""
    return _environment().get_template(template).render(values)


def shown(cell: Cell) -> str:
    """A value for people: 12,345; 4.5%; 17.3% [15.1, 19.6] of 1,000."""
    if isinstance(cell, Share):
        return share_text(cell)
    if isinstance(cell, Number):
        return cell.text
    if isinstance(cell, float):
        return percent(cell)
    return cell if isinstance(cell, str) else f"{cell:,}"


def data_uri(content: bytes, kind: str) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "data_uri": data_uri}
    return environment

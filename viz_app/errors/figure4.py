"""Section: Figure 4 (left) of the paper for this network, to look at and to take away."""

import base64
import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape

import streamlit as st
from matplotlib.figure import Figure
from PIL import Image

from viz_app.errors.state import current_split
from viz_app.errors.subject import Subject
from viz_app.figures import paper
from viz_app.figures.captions import escaped
from viz_app.inputs import file_button, png_button
from viz_app.resources import figure4_svg

LEAST = 760  # pixels at which the figure's words can be read
MOST = 32  # images that can be named

INTRO = (
    "Figure 4 (left) of the paper shows eight test images with the five best guesses of the network. Here it is drawn "
    "for this network: under each image its label, then the guesses as bars from 0 to 100%. The right one is red, "
    "hatched and starred."
)
CHOICE_HELP = (
    "Numbers of images, as Browse and the words under the figure give them, with commas: these are shown, in this "
    "order, in place of a draw."
)


def show(subject: Subject) -> None:
    """The figure, the choice of its images, and its files."""
    st.markdown(INTRO)
    positions = choose(subject)
    if not positions:
        st.info("There is no such image here.", icon=":material/image:")
        return
    panels = paper.panels_of(subject.table, positions, subject.names, partial(image_at, subject))
    svg = figure4_svg(subject.key, positions, partial(as_file, paper.as_svg, panels))
    st.html(scrolled(svg, paper.figure4_text(panels)))
    name = f"{subject.about.checkpoint}-figure-4"
    with st.container(horizontal=True):
        png_button("Figure as PNG, 300 dpi", partial(as_file, paper.as_png, panels), name, key="figure4_png")
        file_button(
            "Figure as PDF", partial(as_file, paper.as_pdf, panels), f"{name}.pdf", "application/pdf", key="figure4_pdf"
        )
    with st.expander("The same in words"):
        rows = zip(map(subject.gallery_row, positions), panels, strict=True)
        st.markdown("\n".join(f"1. Image {row:,}: {escaped(paper.panel_text(panel))}" for row, panel in rows))


def scrolled(svg: str, alt: str) -> str:
    """The figure as wide as the page, but never so narrow that it cannot be read: there it scrolls sideways."""
    data = base64.b64encode(svg.encode()).decode()
    style = f"width: 100%; min-width: {LEAST}px; max-width: none"
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" style="{style}">'
    return f'<div style="overflow-x: auto">{image}</div>'


def choose(subject: Subject) -> tuple[int, ...]:
    """Positions of the images on show: named by the visitor, else drawn; both kept in the URL."""
    draw, errors, named = st.columns([1, 1, 3], vertical_alignment="bottom")
    seed = draw.number_input("Draw number", 0, 9999, 0, key="figure_seed", bind="query-params")
    only_errors = errors.toggle("Only errors", key="figure_errors", bind="query-params", help="Top-1 is wrong.")
    numbers = named.text_input("Or these images", key="figure_images", bind="query-params", help=CHOICE_HELP)
    if numbers and numbers.strip():
        rows = [int(number) for number in re.findall(r"[0-9]{1,9}", numbers)][:MOST]
        return tuple(found for row in rows if (found := subject.position(row)) is not None)
    return paper.drawn(subject.table, current_split(), seed, only_errors=only_errors)


def image_at(subject: Subject, position: int) -> Image.Image:
    """The image of a row of the table, every pixel that the store has."""
    return subject.gallery.pixels(subject.gallery_row(position))


def as_file(save: Callable[[Figure], bytes], panels: Sequence[paper.Panel]) -> bytes:
    """The figure, drawn anew."""
    return save(paper.figure4(panels))

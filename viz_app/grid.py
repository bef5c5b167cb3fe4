"""A grid of thumbnails to click on: real buttons with text alternatives, for mouse, finger and keyboard."""

import base64
from collections.abc import Callable, Sequence
from typing import NamedTuple

import streamlit as st

CSS = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 0.5rem; }
button {
  all: unset; box-sizing: border-box; cursor: pointer; display: flex; flex-direction: column; gap: 0.15rem;
  padding: 0.3rem; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius);
  background: var(--st-secondary-background-color); color: var(--st-text-color);
  font-family: var(--st-font); font-size: 0.78rem; line-height: 1.25; min-width: 0;
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
button[aria-pressed="true"] { box-shadow: inset 0 0 0 3px var(--st-primary-color); }
.picture { position: relative; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; display: block; border-radius: 0.2rem; }
.mark {
  position: absolute; top: 0.15rem; right: 0.15rem; min-width: 1.1rem; padding: 0 0.15rem; text-align: center;
  border-radius: 0.55rem; background: rgba(0, 0, 0, 0.72); color: #fff; font-weight: 700;
}
.mark:empty { display: none; }
.title { font-weight: 600; }
.title, .line { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""

JS = """
const cells = (grid) => [...grid.querySelectorAll("button")];

function cell(item) {
  const button = document.createElement("button");
  button.type = "button";
  const picture = document.createElement("div");
  picture.className = "picture";
  const image = document.createElement("img");
  image.src = `data:image/jpeg;base64,${item.jpeg}`;
  image.alt = item.alt;
  const mark = document.createElement("span");
  mark.className = "mark";
  mark.textContent = item.mark;
  mark.ariaHidden = "true";
  picture.append(image, mark);
  button.append(picture);
  [item.title, ...item.lines].forEach((text, place) => {
    const line = document.createElement("div");
    line.className = place ? "line" : "title";
    line.textContent = line.title = text;
    button.append(line);
  });
  return button;
}

function columns(grid) {
  const top = grid.firstElementChild?.offsetTop;
  return cells(grid).filter((button) => button.offsetTop === top).length || 1;
}

function move(grid, event) {
  const buttons = cells(grid), place = buttons.indexOf(event.target.closest("button")), last = buttons.length - 1;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(grid), ArrowDown: columns(grid), Home: -place,
                  End: last - place };
  if (!(event.key in steps) || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();  // the page's own arrow keys go from image to image
  const next = place + steps[event.key];
  if (next >= 0 && next <= last) focusOn(grid, next);
}

function focusOn(grid, place) {  // one stop for the tab key, arrows inside
  cells(grid).forEach((button, other) => (button.tabIndex = other === place ? 0 : -1));
  cells(grid)[place].focus();
}

function toTop() {  // what a click opens stands above the grid
  const top = document.querySelector(".st-key-shown_images");
  if (!top) return;
  top.style.scrollMarginTop = "4rem";
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  top.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}

export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  const shown = JSON.stringify(data.items.map((item) => [item.position, item.title, item.lines, item.mark]));
  if (grid.shown !== shown) {
    grid.shown = shown;
    grid.replaceChildren(...data.items.map(cell));
  }
  const chosen = data.items.findIndex((item) => item.position === data.chosen);
  cells(grid).forEach((button, place) => {
    button.ariaPressed = String(place === chosen);
    button.tabIndex = place === Math.max(chosen, 0) ? 0 : -1;
    button.onclick = () => {
      setTriggerValue("clicked", data.items[place].position);
      toTop();
    };
  });
  grid.onkeydown = (event) => move(grid, event);
}
"""

_component = st.components.v2.component("thumbnail_grid", html='<div class="grid"></div>', css=CSS, js=JS)


class Item(NamedTuple):
    """One image of a grid."""

    position: int  # what a click returns
    jpeg: bytes
    title: str  # the first line below it
    lines: tuple[str, ...]  # the others
    alt: str
    mark: str = ""  # a character over the corner of the image


def thumbnail_grid(
    items: Sequence[Item], key: str, chosen: int | None = None, on_click: Callable[[int], None] | None = None
) -> int | None:
    """Draw the thumbnails, the chosen one framed; returns the position that was just clicked.

    `on_click` is called with it before the page is drawn anew, where the state of other widgets may be set.
    """

    def clicked() -> None:
        position = st.session_state[key].clicked
        if on_click and position is not None:
            on_click(position)

    rows = [item._asdict() | {"jpeg": base64.b64encode(item.jpeg).decode()} for item in items]
    result = _component(key=key, data={"items": rows, "chosen": chosen}, on_clicked_change=clicked)
    position: int | None = result.clicked
    return position

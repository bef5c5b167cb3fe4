"""Two sets of predictions on the page: counted, tested, shown image by image, or how to make a second one."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.errors.comparison import compare
from analysis.predictions import about
from tests.analysis.errors.tables import described, random_table, replaced
from viz_app.errors import compare as section

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.errors.compare import show; show(st.session_state.subject)"
NAMES = [f"thing {label}" for label in range(12)]
FIRST = random_table()


def shuffled_ranks(seed: int) -> Any:
    """The same images and labels with other ranks, the guesses to go with them."""
    ranks = np.random.default_rng(seed).permutation(FIRST["rank"].to_numpy())
    guess = np.where(ranks == 0, FIRST["label"].to_numpy(), (FIRST["label"].to_numpy() + 1) % 12)
    return replaced(replaced(FIRST, "rank", ranks), "guess", guess)


TABLES = {
    "intact": FIRST,
    "tower A off": shuffled_ranks(1).take(np.random.default_rng(2).permutation(len(FIRST))),
    "tower B off": FIRST.filter(np.asarray(FIRST["split"]) == "val"),
    "other images": described(FIRST, store_hash="b" * 64),
}


def subject(title: str) -> SimpleNamespace:
    """As much of a subject as the section needs; row i of the gallery has id i."""
    table = TABLES[title]
    ids = table["id"].to_numpy()

    def position(row: int) -> int | None:
        found = np.flatnonzero(ids == row)
        return int(found[0]) if len(found) else None

    return SimpleNamespace(
        workspace=SimpleNamespace(checkpoint="my-net"),
        gallery=SimpleNamespace(splits={"train": None, "val": None}, labels=FIRST["label"].to_numpy()),
        table=table,
        about=about(table),
        names=NAMES,
        key=title,
        title=title,
        gallery_row=lambda place: int(ids[place]),
        position=position,
        thumbnail=lambda place: b"jpeg",
    )


def source(title: str, off: str | None = None) -> SimpleNamespace:
    """Where a subject comes from: the workspace itself, or an evaluation of the same network."""
    off = title if off is None else off
    evaluation = SimpleNamespace(checkpoint_id=about(FIRST).checkpoint_id, views=1, off=off)
    return SimpleNamespace(title=title, evaluation=None if title == "intact" else evaluation)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[list[section.Item]]:
    """Grids of thumbnails that were drawn."""
    grids: list[list[section.Item]] = []
    monkeypatch.setattr(section, "thumbnail_grid", lambda items, key, chosen, on_click: grids.append(items))
    return grids


@pytest.fixture(autouse=True)
def _sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "subjects", lambda workspace: [source(title) for title in TABLES])
    monkeypatch.setattr(section, "current_checkpoint", lambda: SimpleNamespace(id=about(FIRST).checkpoint_id))
    monkeypatch.setattr(section, "subject_of", lambda workspace, gallery, source: subject(source.title))


def page(title: str = "intact", split: str = "", **query: str) -> AppTest:
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["split_in_use"] = split
    app.session_state["subject"] = subject(title)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.error, *app.code))


@pytest.mark.parametrize(("top", "k"), [("top-1", 1), ("top-5", 5)])
def test_the_outcomes_and_the_test_are_told(shown, top, k):
    app = page(compare_top=top)
    assert app.selectbox(key="compare_with").options == ["tower A off", "tower B off", "other images"]
    found, text = compare(FIRST, TABLES["tower A off"], k), words(app)
    for cell in found[:4]:
        assert f"**{len(cell)}** " in text
    assert f"Top-{k} changes by" in text
    assert "McNemar" in text


def test_only_images_of_the_chosen_split_are_compared(shown):
    text = words(page(split="val", compare_cell="fixed"))
    table = TABLES["tower A off"]
    found = compare(
        FIRST.filter(np.asarray(FIRST["split"]) == "val"), table.filter(np.asarray(table["split"]) == "val")
    )
    assert f"| {found.n} images |" in text
    for cell in found[:4]:
        assert f"**{len(cell)}** " in text
    fixed = [place for place in compare(FIRST, table).fixed.tolist() if FIRST["split"][place].as_py() == "val"]
    assert [item.position for item in shown[-1]] == fixed[: section.PAGE]


def test_a_split_that_only_one_has_cannot_be_compared(shown):
    assert "no image in common" in page(split="train", compare_with="tower B off").error[0].value


def test_the_grid_shows_the_images_of_the_chosen_outcome_page_by_page(shown):
    for cell, name in (("fixed", "fixed"), ("wrong both times", "both_wrong")):
        positions = getattr(compare(FIRST, TABLES["tower A off"]), name)
        for number in (1, 2):
            page(compare_cell=cell, compare_page=str(number))
            expected = positions[section.PAGE * (number - 1) : section.PAGE * number].tolist()
            assert [item.position for item in shown[-1]] == expected


def test_each_thumbnail_has_the_truth_and_both_answers(shown):
    page(compare_cell="broken")
    second = TABLES["tower A off"].to_pydict()
    for item in shown[-1]:
        row = FIRST.slice(item.position, 1).to_pylist()[0]
        place = second["id"].index(row["id"])
        assert item.title == NAMES[row["label"]] == NAMES[second["label"][place]]
        assert item.lines == (
            f"✓ {row['confidence']:.0%} {NAMES[row['label']]}",
            f"✕ {second['confidence'][place]:.0%} {NAMES[second['guess'][place]]}",
        )
        assert item.title in item.alt
        assert item.lines[1] in item.alt


def test_another_outcome_begins_with_its_first_page(shown):
    app = page(compare_cell="wrong both times", compare_page="3")
    app.segmented_control(key="compare_cell").set_value("fixed").run()
    assert not app.exception
    assert [item.position for item in shown[-1]] == compare(FIRST, TABLES["tower A off"]).fixed[:24].tolist()


def test_a_page_that_is_not_there_is_the_first(shown):
    page(compare_cell="fixed", compare_page="99")
    assert [item.position for item in shown[-1]] == compare(FIRST, TABLES["tower A off"]).fixed[:24].tolist()


def test_an_outcome_without_images_says_so(shown):
    app = page(compare_with="tower B off", compare_cell="fixed")  # the same answers, but for one split alone
    assert "No image is fixed." in words(app)
    assert "there is nothing to test" in words(app)
    assert not shown


def test_predictions_about_other_images_are_refused_in_one_sentence(shown):
    app = page(compare_with="other images")
    assert "These two cannot be compared." in app.error[0].value
    assert not shown


def test_predictions_that_cannot_be_read_are_refused_in_one_sentence(shown, monkeypatch):
    def damaged(*_: object) -> None:
        raise ValueError("a.parquet is cut short.")

    monkeypatch.setattr(section, "subject_of", damaged)
    assert "cut short" in page().error[0].value.replace("\\", "")


def test_without_other_predictions_the_commands_for_them_are_shown(shown, monkeypatch):
    same = [source("intact"), source("intact once more", off="")]
    monkeypatch.setattr(section, "subjects", lambda workspace: same)
    text = words(page())
    assert "nothing to compare with yet" in text
    assert "python -m analysis.evaluate my-net --dataset simulated --split val --views 1 --off A B" in text


def test_an_open_image_has_its_card_here_with_both_answers_above_it(shown, monkeypatch):
    cards: list[int] = []
    monkeypatch.setattr(section.why, "card", lambda subject, position: cards.append(position))
    row = FIRST["id"][17].as_py()
    text = " ".join(each.value for each in page(picture=str(row)).markdown)
    assert cards == [17]
    for table in ("intact", "tower A off"):
        assert section.answer(subject(table), row) in text.replace("\\", "")


def test_the_changes_of_classes_are_listed(shown):
    frame = page().dataframe[0].value
    found = compare(FIRST, TABLES["tower A off"])
    assert frame["fixed"].sum() == len(found.fixed)
    assert frame["broken"].sum() == len(found.broken)

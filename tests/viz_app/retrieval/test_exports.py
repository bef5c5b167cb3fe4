"""The CSV of neighbours: every column against the image store and the query."""

from types import SimpleNamespace

import pytest

from alexnet_core import load_checkpoint
from analysis.retrieval.spaces import Neighbour, Space
from analysis.workspace import Workspace
from tests.viz_app.retrieval.world import TRAIN
from viz_app.resources import gallery_photo, workspace_gallery
from viz_app.retrieval import exports
from viz_app.retrieval.query import Query
from viz_app.retrieval.subject import Subject, subject_of
from viz_app.uploads import photo

pytestmark = pytest.mark.usefixtures("fresh_caches")

FOUND = [Neighbour(3, 1.25), Neighbour(TRAIN + 5, 2.5)]


@pytest.fixture
def subject(mine: Workspace) -> Subject:
    gallery = workspace_gallery(mine)
    assert gallery
    return subject_of(mine, load_checkpoint("tiny"), gallery)


def test_a_line_tells_query_neighbour_and_how_they_were_compared(subject: Subject) -> None:
    gallery = subject.gallery
    query = Query(gallery_photo(gallery.key, TRAIN, gallery), TRAIN, label=int(gallery.labels[TRAIN]))
    table = exports.neighbours_table(subject, query, FOUND, Space("fc7", "cosine", 1), "IVF64,SQ8")
    val = gallery.store.split("val")
    second = table.iloc[1]
    assert second["query_row"] == TRAIN
    assert second["query_path"] == val.paths[0]
    assert second["query_class"] == gallery.classes[val.labels[0]]
    assert (second["rank"], second["row"], second["split"], second["path"]) == (2, TRAIN + 5, "val", val.paths[5])
    assert (second["class"], second["distance"]) == (gallery.classes[val.labels[5]], 2.5)
    assert second["agrees"] == (val.labels[5] == val.labels[0])
    assert (second["stage"], second["units"], second["metric"]) == ("fc7", "tower B", "cosine")
    assert (second["index"], second["checkpoint_id"]) == ("IVF64,SQ8", subject.checkpoint.id)
    assert (table["agrees"] == [gallery.labels[3] == val.labels[0], val.labels[5] == val.labels[0]]).all()


def test_what_is_not_known_of_a_photo_is_left_empty(subject: Subject) -> None:
    table = exports.neighbours_table(subject, Query(photo("mine.png", b"")), FOUND, Space(), "flat")
    assert {*table["query"]} == {"mine.png"}
    lines = table.to_csv(index=False).splitlines()
    assert lines[1].startswith("mine.png,,,,1,3,train,")
    assert table["agrees"].isna().all()


def test_the_button_names_its_file_after_the_query_and_the_index_that_found(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(exports, "csv_button", lambda label, table, name, key: made.append((table(), name, key)))
    monkeypatch.setattr(exports, "space_of", lambda *_: SimpleNamespace(choice_=SimpleNamespace(kind="HNSW32")))
    exports.neighbours_button(subject, Query(photo("my cat.png", b"")), FOUND, Space(), "there")
    ((table, name, key),) = made
    assert ({*table["index"]}, name, key) == ({"HNSW32"}, "mine-neighbours-of-my cat.png", "there")

"""What the Errors page is about: rows, positions and images agree; what cannot be used is said in one sentence."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

from alexnet_core import Checkpoint, load_checkpoint
from analysis.workspace import Workspace, find_workspace
from tests.viz_app.errors.world import TRAIN, VAL
from viz_app.errors import subject as module
from viz_app.errors.subject import Source, Subject, subject_of, subjects
from viz_app.resources import workspace_gallery

LESIONED = "tiny, central crop, tower A off"


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def _chosen(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny: Checkpoint = load_checkpoint("tiny")
    monkeypatch.setattr(module, "current_checkpoint", lambda: tiny)


def opened(workspace: Workspace, start: str) -> Subject:
    """The subject whose title begins like this."""
    (source,) = [source for source in subjects(workspace) if source.title.startswith(start)]
    gallery = workspace_gallery(workspace)
    assert gallery is not None
    return subject_of(workspace, gallery, source)


def test_the_workspaces_own_predictions_come_first_and_then_the_evaluations(mine: Workspace) -> None:
    own, *others = subjects(mine)
    assert own == Source("This workspace: tiny, central crop")
    assert len(others) == 4
    assert all("(val, 60 images)" in source.title for source in others)


@pytest.mark.parametrize("part", ["This workspace", "second, ", LESIONED])
def test_a_position_is_about_the_image_with_that_label_and_path(mine: Workspace, part: str) -> None:
    subject = opened(mine, part)
    paths = [path for split in subject.gallery.splits.values() for path in split.paths]
    for position in (0, 7, len(subject.table) - 1):
        row = subject.gallery_row(position)
        assert subject.gallery.labels[row] == subject.table["label"][position].as_py()
        assert paths[row] == subject.table["path"][position].as_py()
        assert subject.position(row) == position


def test_an_image_that_was_not_evaluated_has_no_position(mine: Workspace) -> None:
    evaluation = opened(mine, "second, ")
    assert [evaluation.position(row) for row in (0, TRAIN - 1, TRAIN, TRAIN + VAL)] == [None, None, 0, None]


def test_thumbnails_are_the_images_with_and_without_the_built_ones(mine: Workspace) -> None:
    subject = opened(mine, "This workspace")
    pixels = np.asarray(subject.gallery.pixels(subject.gallery_row(5)), float)
    for shown in (subject, subject_without_thumbnails(subject)):
        seen = np.asarray(Image.open(BytesIO(shown.thumbnail(5))), float)
        assert np.abs(seen.mean((0, 1)) - pixels.mean((0, 1))).max() < 6


def subject_without_thumbnails(subject: Subject) -> Subject:
    return replace(subject, thumbnails=None)


def test_the_card_is_about_the_network_that_predicted_where_it_can_be(mine: Workspace) -> None:
    own, lesioned = opened(mine, "This workspace"), opened(mine, LESIONED)
    average = opened(mine, "tiny + ")
    assert own.is_own
    assert not lesioned.is_own
    assert lesioned.checkpoint.id == own.checkpoint.id
    assert not average.is_own
    assert average.checkpoint.id == own.checkpoint.id
    assert opened(mine, "second, ").checkpoint.card["name"] == "second"


def test_keys_differ_between_tables(mine: Workspace) -> None:
    keys = [opened(mine, part).key for part in ("This workspace", "second, ", LESIONED, "tiny + ")]
    assert len(set(keys)) == 4


def test_rows_of_a_split_are_where_its_labels_are(mine: Workspace) -> None:
    subject = opened(mine, "This workspace")
    assert subject.gallery.rows("train") == range(TRAIN)
    assert subject.gallery.rows("val") == range(TRAIN, TRAIN + VAL)
    assert pc.sum(pc.equal(subject.table["split"], "val")).as_py() == VAL


def test_a_cut_evaluation_is_refused_in_one_sentence(mine: Workspace, tmp_path: Path) -> None:
    source = next(source for source in subjects(mine) if source.title.startswith(LESIONED))
    assert source.evaluation is not None
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(source.evaluation.file.read_bytes()[:-100])
    cut.with_suffix(".json").write_bytes(source.evaluation.file.with_suffix(".json").read_bytes())
    gallery = workspace_gallery(mine)
    assert gallery is not None
    with pytest.raises(ValueError, match=r"cut short or changed"):
        subject_of(mine, gallery, source._replace(evaluation=replace(source.evaluation, file=cut)))


def test_a_workspace_of_other_classes_is_judged_by_its_head(mine: Workspace) -> None:
    subject = opened(find_workspace("others"), "This workspace")
    assert subject.about.judge == "head"
    assert subject.names == ["class n08", "class n09"]

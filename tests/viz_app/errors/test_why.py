"""The card's words: what the bars are, whom the label is compared with, how the neighbours vote."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_core import Checkpoint, load_checkpoint
from analysis.retrieval.spaces import Space
from analysis.workspace import Workspace, build_workspace, create_workspace, find_workspace, open_features
from tests.viz_app.errors.world import TRAIN
from viz_app.errors import subject as subjects
from viz_app.errors import why
from viz_app.errors.subject import Source, subject_of
from viz_app.errors.why import COLUMNS, Case, answer_text, change, neighbours_text
from viz_app.resources import found_by, workspace_gallery
from viz_app.retrieval.terms import Terms

pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture
def case(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Image 7 of the held-out ones."""
    tiny: Checkpoint = load_checkpoint("tiny")
    for module in (subjects, why):
        monkeypatch.setattr(module, "current_checkpoint", lambda: tiny)
    gallery = workspace_gallery(mine)
    assert gallery is not None
    subject = subject_of(mine, gallery, Source("own"))
    told: dict[str, Any] = subject.table.select(COLUMNS).slice(TRAIN + 7, 1).to_pylist()[0]
    return Case(subject, TRAIN + 7, told, tiny, gallery.photo(TRAIN + 7))


def with_told(case: Case, **changes: Any) -> Case:
    return case._replace(told=case.told | changes)


def test_the_rival_of_the_truth_is_the_guess_or_the_next_best(case: Case) -> None:
    assert with_told(case, label=0, top_classes=[2, 0, 1]).rivals == (0, 2)
    assert with_told(case, label=0, top_classes=[0, 1, 2]).rivals == (0, 1)


def test_own_predictions_need_no_explanation(case: Case) -> None:
    assert answer_text(case) == "✓ = the label. Central crop, both towers on."


def test_other_views_are_told_apart_from_the_cards_central_crop(case: Case) -> None:
    about = case.subject.about._replace(views=10)
    text = answer_text(case._replace(subject=replace(case.subject, about=about))).replace("\\", "")
    best = int(case.seen().probabilities.argmax())
    assert "the chosen predictions: tiny, 10 views." in text
    assert f"with both towers of tiny on, which says **class n0{best + 1}**" in text


def test_an_answer_that_changes_stands_out(case: Case) -> None:
    cat, dog = np.array([0.9, 0.1, 0.0], np.float32), np.array([0.1, 0.9, 0.0], np.float32)
    assert change(case, cat, cat) == "the answer stayed"
    assert change(case, cat, dog) == "**the answer changed**"


def test_neighbours_vote_for_the_label_and_its_rival(case: Case) -> None:
    asked = with_told(case, label=0, top_classes=[2, 0, 1])
    votes = ["class n01", "class n03", "class n03", "class n02", "class n03", "class n01"]
    text = neighbours_text(asked, votes, trained=True)
    assert text.startswith("2 of 6 bear this image's label (✓ class n01), 3 that of its rival (✕ class n03).")
    assert "no training images" not in text
    assert "no training images" in neighbours_text(asked, votes, trained=False)


def test_distances_by_another_network_are_told(case: Case) -> None:
    other = case._replace(subject=replace(case.subject, checkpoint=load_checkpoint("second")))
    assert "by the workspace's network, tiny" in neighbours_text(other, [], trained=True)


def test_two_networks_on_the_same_images_have_neighbours_of_their_own(
    mine: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(mine.home, tmp_path / "home")
    monkeypatch.setenv("ALEXNET_HOME", str(home))
    create_workspace("twin", checkpoint="second", dataset="set")
    build_workspace("twin")
    for workspace in (find_workspace("mine"), find_workspace("twin")):
        features, gallery = open_features(workspace).astype(np.float64), workspace_gallery(workspace)
        assert gallery is not None
        distances = np.linalg.norm(features[:TRAIN] - features[TRAIN + 7], axis=1)
        found = found_by(workspace, Space(), "image", Terms(split="train"), (), features[TRAIN + 7], gallery).found
        assert [each.row for each in found] == np.argsort(distances, kind="stable")[:6].tolist()

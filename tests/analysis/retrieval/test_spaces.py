"""What a workspace's images are compared by, against the network itself and against comparing everything."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet_core.checkpoint import load_checkpoint
from alexnet_core.paths import data_home
from alexnet_core.store import ImageStore
from analysis.activations import read_activations
from analysis.features import extract
from analysis.retrieval import METRICS, Features, Index, Metric, RetrievalError
from analysis.retrieval.__main__ import main
from analysis.retrieval.spaces import (
    NEAR_DUPLICATE,
    Space,
    has_halves,
    near_duplicates,
    open_space,
    opens_at_once,
    query_features,
    search,
    space_features,
    stages_of,
)
from analysis.workspace import (
    Workspace,
    WorkspaceError,
    build_workspace,
    create_workspace,
    open_features,
    open_images,
    open_index,
)
from analysis.workspace.registry import find_workspace, register
from tests.analysis.retrieval.conftest import brute_force
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store

TRAIN, N = 21, 34
STAGES = {"conv2": "relu2", "pool5": "pool5", "fc6": "relu6", "fc7": "relu7"}  # and what is meant by them


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """21 training and 13 validation images of three classes, 64 units in fc7."""
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)
    small_checkpoint(data_home(), "tiny")
    small_store(data_home(), "set")
    create_workspace("mine", checkpoint="tiny", dataset="set")
    return build_workspace("mine")


@pytest.fixture
def full(workspace: Workspace) -> Workspace:
    """The same with the features of other stages."""
    extract(load_checkpoint("tiny"), open_images(workspace), list(STAGES))
    return workspace


def stored(images: ImageStore, row: int) -> torch.Tensor:
    split, place = ("train", row) if row < TRAIN else ("val", row - TRAIN)
    return torch.from_numpy(np.array(images.split(split).images[place]))[None]


def all_of(features: Features) -> NDArray[np.float64]:
    return np.asarray(features[: features.shape[0]], np.float64)


def test_stages_have_the_names_of_their_layers_and_stand_in_the_order_of_the_network(workspace: Workspace) -> None:
    assert stages_of(workspace) == ["fc7"]
    extract(load_checkpoint("tiny"), open_images(workspace), ["fc8", "relu6", "pool5"])
    assert stages_of(workspace) == ["pool5", "fc6", "fc7", "fc8"]


def test_features_that_are_not_of_all_the_gallery_by_this_network_are_not_taken(workspace: Workspace) -> None:
    images = open_images(workspace)
    small_checkpoint(data_home(), "other", seed=1)
    extract(load_checkpoint("other"), images, ["fc6"])
    extract(load_checkpoint("tiny"), images, ["fc6"], splits=["val"])
    extract(load_checkpoint("tiny"), images, ["fc6"], dtype="float32")
    assert stages_of(workspace) == ["fc7"]
    with pytest.raises(WorkspaceError, match=r"run: python -m analysis.features tiny set --stage fc6$"):
        space_features(workspace, Space("fc6"))


def test_row_i_is_what_the_network_makes_of_image_i_and_a_half_is_a_tower(full: Workspace) -> None:
    model, preprocess = load_checkpoint("tiny").model, load_checkpoint("tiny").preprocess
    for row, (stage, tap) in product((0, TRAIN - 1, TRAIN, N - 1), STAGES.items()):
        with torch.no_grad():
            output, _ = model.run(preprocess.centre(stored(open_images(full), row)), until=tap)
        for half in (None, 0, 1):
            found = space_features(full, Space(stage, half=half))
            expected = output[0] if half is None else output[0, list(model.units(tap, half))]
            assert found.shape == (N, expected.numel())
            np.testing.assert_allclose(found[[row]][0], expected.flatten().numpy(), rtol=2e-3, atol=0.05)
            np.testing.assert_array_equal(found[3:30][[2, 0]], found[np.array([5, 3])])


@pytest.mark.parametrize("splits", [("val",), ("train",)])
def test_a_gallery_of_one_split_finds_its_rows_in_the_features_of_all(full: Workspace, splits: tuple[str, ...]) -> None:
    whole = all_of(space_features(full, Space("fc6", half=1)))
    register(replace(full, splits=splits))
    build_workspace("mine")
    part = space_features(find_workspace("mine"), Space("fc6", half=1))
    np.testing.assert_array_equal(all_of(part), whole[TRAIN:] if splits == ("val",) else whole[:TRAIN])


def test_the_index_of_a_space_finds_what_comparing_everything_finds(full: Workspace) -> None:
    for space in (Space(*choice) for choice in product(("pool5", "fc6", "fc7"), METRICS, (None, 1))):
        features, index = all_of(space_features(full, space)), open_space(full, space)
        rows, distances = brute_force(features, features[5:9], 6, space.metric)
        hits = index.search(features[5:9], 6)
        np.testing.assert_array_equal(hits.rows, rows)
        np.testing.assert_allclose(hits.distances, distances, rtol=1e-6, atol=1e-9)


def test_the_papers_index_is_the_workspaces_own(workspace: Workspace) -> None:
    for space in (Space(), Space(kind="auto"), None):
        index = open_space(workspace, space)
        np.testing.assert_array_equal(index.squares_, open_index(workspace).squares_)
    assert not (workspace.folder / "indexes").exists()


def test_without_the_workspaces_own_index_it_says_how_to_build_it(workspace: Workspace) -> None:
    (workspace.folder / "index" / "manifest.json").unlink()
    with pytest.raises(WorkspaceError, match=r"run: python -m analysis.workspace build mine$"):
        open_space(workspace)


def test_an_index_is_fitted_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = []
    first = open_space(workspace, Space(metric="cosine"), progress=lambda *told: phases.append(told))
    assert phases
    monkeypatch.setattr(Index, "fit", None)
    again = open_space(workspace, Space(metric="cosine"))
    assert again.measured_ == first.measured_
    assert np.shares_memory(np.asarray(again.features_), np.asarray(again.features_[:]))  # a view, no copy


@pytest.mark.parametrize("damage", ["torn", "of other features"])
def test_an_index_that_cannot_be_used_is_fitted_again(workspace: Workspace, damage: str) -> None:
    space = Space(metric="cosine", half=0)
    open_space(workspace, space)
    (folder,) = (each for each in (workspace.folder / "indexes").iterdir() if each.is_dir())
    if damage == "torn":
        (file,) = folder.glob("*.npz")
        file.write_bytes(file.read_bytes()[:-1])
    else:
        small_checkpoint(data_home(), "tiny", seed=3)
        build_workspace("mine")
    features = all_of(space_features(workspace, space))
    hits = open_space(workspace, space).search(features[4], 5)
    np.testing.assert_array_equal(hits.rows, brute_force(features, features[4:5], 5, "cosine")[0])


def test_an_approximate_index_says_how_good_it_is_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)
    small_checkpoint(data_home(), "tiny")
    small_store(data_home(), "many", train=150, val=10)
    create_workspace("many", checkpoint="tiny", dataset="many")
    built, space = build_workspace("many"), Space(kind="PCA16,IVF4,SQ8")
    assert not opens_at_once(built, space)
    assert "recall@10" in open_space(built, space).explanation
    assert opens_at_once(built, space)
    monkeypatch.setattr(Index, "fit", None)
    kept = open_space(built, space)
    features = all_of(open_features(built))
    found = search(kept, features[155], 5, without=[155]).found
    expected = brute_force(features, features[155:156], 6, "euclidean")[0][0, 1:]
    assert len({each.row for each in found} & set(expected.tolist())) >= 4


def test_exact_indexes_open_at_once(workspace: Workspace) -> None:
    assert all(opens_at_once(workspace, Space(metric="cosine", kind=kind)) for kind in ("flat", "auto"))
    assert opens_at_once(workspace, Space())
    assert not (workspace.folder / "indexes").exists()


def test_the_command_fits_an_index_for_the_page(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "mine", "--metric", "cosine", "--half", "B"]) == 0
    assert capsys.readouterr().out == open_space(workspace, Space("fc7", "cosine", 1)).explanation + "\n"
    assert main(["index", "mine", "--stage", "fc6"]) == 1
    assert "run: python -m analysis.features tiny set --stage fc6" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused_in_words(workspace: Workspace) -> None:
    assert has_halves(workspace, "fc7")
    assert not has_halves(workspace, "fc8")
    for space, words in (
        (Space("fc9"), "Unknown stage 'fc9'"),
        (Space("fc8", half=0), "fc8 of 'tiny' has no half 0"),
        (Space(half=2), "fc7 of 'tiny' has no half 2"),
        (Space(metric="manhattan"), "The metric must be one of"),  # type: ignore[arg-type]
        (Space(kind="IVF4,Flat"), "is learned from 100 vectors"),
    ):
        with pytest.raises(ValueError, match=words):
            open_space(workspace, space)


def test_an_image_that_is_handed_over_finds_itself(full: Workspace) -> None:
    checkpoint = load_checkpoint("tiny")
    for row, stage, half in product((2, TRAIN + 2), STAGES, (None, 1)):
        image, space = checkpoint.preprocess.centre(stored(open_images(full), row))[0], Space(stage, half=half)
        query = query_features(read_activations(checkpoint.model, image), space)
        (nearest,) = search(open_space(full, space), query, 1).found
        assert nearest.row == row
        assert nearest.distance < 1e-3 * np.linalg.norm(query)


def test_neighbours_are_the_nearest_of_the_rows_that_may_be_found(workspace: Workspace) -> None:
    index, features = open_space(workspace), all_of(open_features(workspace))
    distances = np.linalg.norm(features - features[25], axis=1)
    for allowed, left in ((None, set(range(N))), (range(TRAIN), set(range(TRAIN))), ([25, 3, 9], {3, 9, 25})):
        expected = sorted(left - {25, 9}, key=lambda row: distances[row])[:6]
        found = search(index, features[25], 6, allowed=allowed, without=[25, 9]).found
        assert [each.row for each in found] == expected
        assert [each.distance for each in found] == pytest.approx(distances[expected])


def planted() -> NDArray[np.float16]:
    """400 vectors far from each other, and 30 that lie near row 7, at growing distance."""
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(430, 32)))
    steps = (np.arange(30) + 0.5) / 15 * NEAR_DUPLICATE  # 15 are nearly the same
    away = rng.normal(size=(30, 32))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    vectors[400:] = vectors[7] + np.linalg.norm(vectors[7]) * steps[:, None] * away
    return vectors.astype(np.float16)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 6, 40])
def test_near_duplicates_are_left_out_and_named_and_others_take_their_place(metric: Metric, k: int) -> None:
    vectors = planted()
    index = Index("flat", metric=metric).fit(vectors)
    order = brute_force(vectors, vectors[7:8], len(vectors), metric)[0][0].tolist()
    alike = {7, *range(400, 415)}
    expected = [row for row in order if row not in alike][:k]
    found, left_out = search(index, vectors[7], k, skip_duplicates=True)
    assert [each.row for each in found] == expected
    assert [each.row for each in left_out] == [row for row in order[: order.index(expected[-1])] if row in alike]


def test_near_duplicates_are_left_out_among_few_rows_too() -> None:
    vectors = planted()
    index = Index("flat").fit(vectors)
    found, left_out = search(index, vectors[7], 6, allowed=[7, 401, 402, 3], without=[7], skip_duplicates=True)
    assert [each.row for each in found] == [3]
    assert [each.row for each in left_out] == [401, 402]
    assert search(index, vectors[7], 6, allowed=[], skip_duplicates=True) == ([], [])


def test_a_copy_is_a_near_duplicate_however_long_and_nothing_is_one_of_no_image() -> None:
    vectors = planted()
    np.testing.assert_array_equal(
        near_duplicates(100 * vectors[7].astype(np.float32), 100 * vectors.astype(np.float32)),
        near_duplicates(vectors[7], vectors),
    )
    assert not near_duplicates(np.zeros(32), vectors).any()


def test_what_is_no_index_of_the_same_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="Queries must be"):
        search(Index("flat").fit(planted()), np.ones(31))

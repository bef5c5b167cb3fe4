"""A map is kept under all that it follows from, opened as it was made, and made again if it is damaged."""

import numpy as np
import pytest

from analysis.projection import MapPlan, lay_out, make_map, map_file, map_rows, maps, open_map
from analysis.projection.measures import faithfulness
from analysis.workspace import WorkspaceError, find_workspace, open_features, open_images

TSNE = MapPlan("t-SNE", neighbours=5)


def test_what_is_opened_is_what_was_made(mine):
    made = make_map(mine, MapPlan())
    opened = open_map(mine, MapPlan())
    assert opened is not None
    for name in ("rows", "positions", "variance", "tower_b"):
        assert np.array_equal(getattr(opened, name), getattr(made, name))
    assert (opened.faithfulness, opened.seconds) == (made.faithfulness, made.seconds)


def test_a_map_is_of_the_features_of_its_rows(mine):
    features = np.asarray(open_features(mine), np.float32)
    made = make_map(mine, MapPlan(images=25))
    assert len(made.rows) == 25
    expected = lay_out(features[made.rows], "PCA").positions
    assert np.allclose(made.positions, expected, atol=1e-4)
    assert made.faithfulness == faithfulness(features[made.rows], expected)


def test_the_share_of_tower_b_is_that_of_the_whole_stage_whichever_half_is_laid_out(mine):
    features = np.asarray(open_features(mine), np.float64)
    energy = np.square(features)
    expected = energy[:, features.shape[1] // 2 :].sum(1) / energy.sum(1)
    for half in (None, 0, 1):
        assert np.allclose(make_map(mine, MapPlan(half=half)).tower_b, expected, atol=1e-4)


def test_a_half_is_laid_out_by_its_own_units_alone(mine):
    features = np.asarray(open_features(mine), np.float32)
    width = features.shape[1] // 2
    for half in (0, 1):
        own = features[:, half * width : (half + 1) * width]
        assert np.allclose(make_map(mine, MapPlan(half=half)).positions, lay_out(own).positions, atol=1e-4)


def test_by_cosine_lengths_do_not_count(mine):
    features = np.asarray(open_features(mine), np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = make_map(mine, MapPlan(metric="cosine")).positions
    assert np.allclose(found, lay_out(unit).positions, atol=1e-5)


def test_inner_products_have_no_map(mine):
    with pytest.raises(ValueError, match="no distances"):
        make_map(mine, MapPlan(metric="inner product"))


@pytest.mark.parametrize(("split", "rows"), [("train", range(40)), ("val", range(40, 60)), ("", range(60))])
def test_rows_are_those_of_the_split_in_the_gallery(mine, split, rows):
    assert map_rows(mine, MapPlan(split=split)).tolist() == list(rows)
    some = map_rows(mine, MapPlan(split=split, images=10))
    assert len(some) == 10
    assert set(some.tolist()) <= set(rows)


def test_a_sample_of_a_split_has_its_share_of_every_class(mine):
    labels = open_images(mine).split("train").labels
    assert np.ptp(np.bincount(labels[map_rows(mine, MapPlan(split="train", images=12))])) <= 1


def test_an_unknown_split_is_refused(mine):
    with pytest.raises(ValueError, match="has the splits"):
        map_rows(mine, MapPlan(split="test"))


@pytest.mark.parametrize(
    "change",
    [
        {"neighbours": 6},
        {"seed": 1},
        {"images": 30},
        {"split": "val"},
        {"metric": "cosine"},
        {"half": 0},
        {"half": 1},
        {"method": "PCA"},
        {"method": "UMAP"},
    ],
)
def test_another_plan_is_another_file(mine, change):
    assert map_file(mine, TSNE) != map_file(mine, TSNE._replace(**change))


def test_what_a_method_does_not_look_at_makes_no_other_file(mine):
    assert map_file(mine, TSNE) == map_file(mine, TSNE._replace(min_dist=0.7))
    assert map_file(mine, MapPlan()) == map_file(mine, MapPlan(neighbours=7, min_dist=0.7))
    umap = MapPlan("UMAP")
    assert map_file(mine, umap) != map_file(mine, umap._replace(min_dist=0.7))


def test_another_network_is_another_file(mine):
    assert map_file(mine, TSNE).name != map_file(find_workspace("theirs"), TSNE).name


def test_a_map_that_was_not_made_is_none(mine):
    assert open_map(mine, MapPlan(seed=77)) is None


@pytest.mark.parametrize("damage", [b"", b"x" * 50, None])
def test_a_damaged_map_is_as_one_that_was_not_made(mine, damage):
    plan = MapPlan(images=20, seed=5)
    made = make_map(mine, plan)
    file = map_file(mine, plan)
    file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    assert open_map(mine, plan) is None
    again = make_map(mine, plan)
    assert np.array_equal(again.positions, made.positions)
    assert open_map(mine, plan) is not None


def test_a_failure_leaves_nothing_behind(mine):
    before = set((mine.folder / "maps").glob("*")) if (mine.folder / "maps").exists() else set()
    with pytest.raises(ValueError, match="neighbours"):
        make_map(mine, MapPlan("t-SNE", neighbours=200))
    assert set((mine.folder / "maps").glob("*")) == before


def test_features_that_are_not_there_are_named_with_the_command(mine):
    with pytest.raises(WorkspaceError, match=r"analysis\.features"):
        open_map(mine, MapPlan(stage="pool2"))


def test_too_much_memory_is_refused_with_the_number_that_would_do(mine, monkeypatch):
    monkeypatch.setattr(maps, "MEMORY", 64 * 4 * 20)
    with pytest.raises(ValueError, match="at most 20 images"):
        make_map(mine, MapPlan(images=21))
    assert len(make_map(mine, MapPlan(images=20, seed=2)).rows) == 20

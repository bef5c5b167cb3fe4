"""The quality of neighbours, against brute force, planted clusters and hubs, and other libraries."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, skew
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from alexnet_core.checkpoint import load_checkpoint
from alexnet_core.paths import data_home
from alexnet_core.prism import CLASS_NAMES
from analysis.features import extract
from analysis.predictions import COLUMNS, About, described
from analysis.retrieval import quality as module
from analysis.retrieval.__main__ import NOTE, main
from analysis.retrieval.quality import (
    PAPER,
    Kind,
    Quality,
    chance_skewness,
    differences,
    hubs,
    retrieval_quality,
    rows,
    usual_pairs,
    workspace_quality,
)
from analysis.stats import wilson_interval
from analysis.workspace import Workspace, WorkspaceError, build_workspace, create_workspace, open_features, open_images
from analysis.workspace import open_predictions as predictions_of
from analysis.workspace.registry import checkpoint_place
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

D = 12


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few images, a few queries at a time."""
    monkeypatch.setattr(module, "_BLOCK", 7)
    monkeypatch.setattr(module, "MEMORY", 2**13)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A whole workspace: 21 training and 13 validation images of three classes, 64 units in fc7."""
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)
    small_checkpoint(data_home(), "tiny")
    small_store(data_home(), "set")
    create_workspace("mine", checkpoint="tiny", dataset="set")
    return build_workspace("mine")


def _world(n: int = 60, classes: int = 4, seed: int = 0) -> tuple[Floats, Ints]:
    """Clusters that overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = np.abs(rng.normal(0, 1, (classes, D))[labels] + rng.normal(0, 1, (n, D)))
    return features.astype(np.float16), labels


def _brute_force(points: Floats, labels: Ints, queries: Ints, gallery: range, ks: tuple[int, ...]) -> Any:
    """Scores and occurrences by the definitions, with scikit-learn's neighbours and loops."""
    model = NearestNeighbors(algorithm="brute").fit(points[gallery.start : gallery.stop])
    order = model.kneighbors(points[queries], len(gallery), return_distance=False) + gallery.start
    scores, occurrences = [], np.zeros(len(gallery), int)
    for query, found in zip(queries, order, strict=True):
        ranking = [row for row in found if row != query]
        hits = [labels[row] == labels[query] for row in ranking]
        relevant = sum(hits)
        precisions = [sum(hits[:k]) / k for k in range(1, relevant + 1)]
        average = sum(p for p, hit in zip(precisions, hits, strict=False) if hit) / relevant
        scores.append([*(sum(hits[:k]) / k for k in ks), average])
        for row in ranking[:10]:
            occurrences[row - gallery.start] += 1
    return np.array(scores), occurrences


@pytest.mark.parametrize(
    ("queries", "gallery"),
    [
        (np.arange(60), range(60)),  # leave-one-out
        (np.arange(45, 60), range(45)),
        (np.arange(20), range(20, 60)),
        (np.arange(3, 60, 5), range(60)),
    ],
)
def test_every_kind_equals_brute_force_by_scikit_learn(blocks: None, queries: Ints, gallery: range) -> None:
    features, labels = _world()
    quality = retrieval_quality(features, {"class": labels}, queries, gallery, ks=(1, 5, 11), components=5)
    points = features.astype(np.float64)
    for part, cut in (("all", slice(D)), ("tower A", slice(D // 2)), ("tower B", slice(D // 2, D))):
        pca = PCA(5, whiten=True, svd_solver="full").fit(points[gallery.start : gallery.stop, cut])
        spaces = {"raw": points[:, cut], "L2": normalize(points[:, cut]), "whitened": pca.transform(points[:, cut])}
        spaces["whitened + L2"] = normalize(spaces["whitened"])
        for scaling, space in spaces.items():
            at = quality.kinds.index(Kind(part, scaling))
            scores, occurrences = _brute_force(space, labels, queries, gallery, (1, 5, 11))
            np.testing.assert_allclose(quality.scores["class"][:, at], scores, atol=1e-12)
            np.testing.assert_array_equal(quality.occurrences[at], occurrences)
    assert len(quality.kinds) == 12


def test_blocks_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = _world(90)
    whole = retrieval_quality(features, {"class": labels}, np.arange(90), range(90))
    monkeypatch.setattr(module, "_BLOCK", 8)
    monkeypatch.setattr(module, "MEMORY", 2**14)
    parts = retrieval_quality(features, {"class": labels}, np.arange(90), range(90))
    np.testing.assert_array_equal(parts.occurrences, whole.occurrences)
    np.testing.assert_array_equal(parts.scores["class"], whole.scores["class"])


def test_clusters_far_apart_give_precision_one() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 5
    features = 100 * np.eye(5, D)[labels] + rng.normal(0, 0.1, (60, D))
    features[:, D // 2 :] = features[:, : D // 2]
    quality = retrieval_quality(features, {"class": labels}, np.arange(60), range(60))
    assert all(mean.value == 1 for row in rows(quality, rng) for mean in row.means if row.kind.scaling == "raw")
    assert quality.chance("class") == pytest.approx(11 / 59)


def test_average_precision_of_a_ranking_worked_by_hand() -> None:
    labels = np.array([0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1])
    features = np.repeat(np.arange(12.0)[:, None], 2, axis=1)
    quality = retrieval_quality(features, {"class": labels}, np.array([0]), range(1, 12), ks=(1, 2, 3))
    p1, p2, p3, average = quality.scores["class"][0, quality.kinds.index(PAPER)]
    assert (p1, p2, p3) == pytest.approx((1, 1 / 2, 2 / 3))
    assert average == pytest.approx((1 + 2 / 3) / 3)  # hits at ranks 1 and 3 among R = 3; the one at rank 6 is too late


def test_a_tower_s_half_knows_nothing_of_the_other_half() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(80) % 4
    features = rng.normal(0, 1, (80, D))
    features[:, : D // 2] += 50 * np.eye(4, D // 2)[labels]
    precision = {
        row.kind.part: row.means[0].value
        for row in rows(retrieval_quality(features, {"class": labels}, np.arange(80), range(80)), rng)
        if row.kind.scaling == "raw"
    }
    assert precision["all"] == precision["tower A"] == 1
    assert precision["tower B"] < 0.5


def test_leave_one_out_leaves_the_query_out_and_nothing_else() -> None:
    labels = np.repeat(np.arange(15), 2)
    features = np.random.default_rng(3).normal(0, 1, (30, D))
    features[1::2] = -features[::2]  # the only image of the same class is the farthest
    quality = retrieval_quality(features, {"class": labels}, np.arange(30), range(30))
    raw = quality.kinds.index(PAPER)
    assert quality.left_out == 30
    assert quality.scores["class"][:, raw, 0].max() == 0
    assert (quality.relevant["class"] == 1).all()
    one = retrieval_quality(features, {"class": labels}, np.array([4]), range(30))
    assert (one.occurrences[:, 4] == 0).all()
    assert (one.occurrences.sum(1) == 10).all()
    twice = np.concatenate([features, features])  # an exact copy is another image, and is found first
    copies = retrieval_quality(twice, {"class": np.tile(labels, 2)}, np.arange(30, 60), range(30))
    assert copies.left_out == 0
    assert copies.scores["class"][:, raw, 0].min() == 1


@pytest.mark.usefixtures("blocks")
def test_of_equal_distances_the_smaller_row_is_nearer() -> None:
    features = np.zeros((40, 2), np.float32)
    features[5] = 3
    labels = np.array([0] * 9 + [1] * 31)
    quality = retrieval_quality(features, {"class": labels}, np.array([0, 20]), range(40), components=1)
    expected = np.zeros(40)
    expected[[1, 2, 3, 4, 6, 7, 8, 9, 10, 11]] += 1
    expected[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]] += 1
    np.testing.assert_array_equal(quality.occurrences[quality.kinds.index(PAPER)], expected)


def test_a_vector_of_zeros_is_no_trouble_for_the_cosine() -> None:
    features, labels = _world()
    features[7] = 0
    quality = retrieval_quality(features, {"class": labels}, np.arange(60), range(60))
    scores, occurrences = _brute_force(normalize(features.astype(float)), labels, np.arange(60), range(60), (1, 5, 10))
    at = quality.kinds.index(Kind("all", "L2"))
    others = np.arange(60) != 7  # to itself all directions are equally far
    np.testing.assert_allclose(quality.scores["class"][others, at], scores[others])
    assert occurrences[7] == quality.occurrences[at, 7] == 0


def test_the_whitening_is_fitted_on_the_gallery_alone() -> None:
    features, labels = _world()
    disturbed = features.copy()
    disturbed[50:] *= 40  # the queries
    first, second = (
        retrieval_quality(some, {"class": labels}, np.arange(50, 60), range(50), components=3)
        for some in (features, disturbed)
    )
    assert first.whitenings == second.whitenings
    assert [(one.part, one.components, one.sample) for one in first.whitenings] == [
        ("all", 3, 50),
        ("tower A", 3, 50),
        ("tower B", 3, 50),
    ]
    share = PCA(3).fit(features[:50].astype(float)).explained_variance_ratio_.sum()
    assert first.whitenings[0].variance == pytest.approx(share, rel=1e-5)


def test_queries_without_a_relevant_image_are_not_counted() -> None:
    features, labels = _world()
    labels[13] = 9  # alone
    quality = retrieval_quality(features, {"class": labels, "one": labels * 0}, np.arange(60), range(60))
    counted = np.arange(60) != 13
    np.testing.assert_array_equal(quality.counted("class"), counted)
    assert quality.counted("one").all()
    (mean, *_) = (row.means[0].value for row in rows(quality, np.random.default_rng(0)) if row.factor == "class")
    assert mean == pytest.approx(quality.scores["class"][counted, 0, 0].mean())
    assert all(mean.value == 1 for row in rows(quality, np.random.default_rng(0))[12:] for mean in row.means)


def test_a_planted_hub_is_found_by_all() -> None:
    features = np.vstack([10 * np.eye(64), np.zeros((1, 64))])  # all as far from each other, but for the last
    quality = retrieval_quality(features, {"class": np.zeros(65, int)}, np.arange(65), range(65))
    raw = quality.kinds.index(PAPER)
    hub = hubs(quality, np.random.default_rng(0))[raw]
    assert quality.occurrences[raw, 64] == hub.most == 64
    assert hub.kind == PAPER
    even = retrieval_quality(
        np.random.default_rng(0).normal(0, 1, (65, 2)), {"class": np.zeros(65, int)}, np.arange(65), range(65)
    )
    assert hub.skewness.value > 1 + hubs(even, np.random.default_rng(0))[raw].skewness.value


def test_hubness_equals_scipy_s_skewness() -> None:
    features, labels = _world(200)
    quality = retrieval_quality(features, {"class": labels}, np.arange(200), range(200))
    for hub, occurrences in zip(hubs(quality, np.random.default_rng(0)), quality.occurrences, strict=True):
        assert hub.skewness.value == pytest.approx(skew(occurrences))
        assert hub.skewness.interval.low < hub.skewness.value < hub.skewness.interval.high
        assert hub.never == (occurrences == 0).mean()
    assert chance_skewness(quality) == pytest.approx(float(binom(200, 10 / 200).stats("s")))


def _planted(scores: Floats) -> Quality:
    """Scores (queries, kinds) of one measure, as if they had been found."""
    n, kinds = scores.shape
    return Quality(
        ks=(),
        n_queries=n,
        n_gallery=100,
        left_out=0,
        kinds=(PAPER, Kind("tower A", "raw"), Kind("tower B", "raw"))[:kinds],
        relevant={"class": np.ones(n, np.int64)},
        scores={"class": scores[:, :, None].astype(float)},
        occurrences=np.ones((kinds, 100), np.int64),
        whitenings=(),
    )


def test_intervals_of_a_share_are_those_of_wilson() -> None:
    right = np.zeros((2000, 1))
    right[:600] = 1
    (row,) = rows(_planted(right), np.random.default_rng(4))
    ((value, interval),) = row.means
    assert value == 0.3
    np.testing.assert_allclose(interval, wilson_interval(600, 2000), atol=0.002)


def test_differences_are_paired_by_query() -> None:
    rng = np.random.default_rng(5)
    hard = rng.normal(0.5, 0.2, 1000)  # what is hard is hard for all
    scores = np.column_stack([hard, hard + 0.01 + rng.normal(0, 0.02, 1000), hard])
    a, b, between = differences(_planted(scores), np.random.default_rng(6))
    assert [(one.kind.part, one.less.part) for one in (a, b, between)] == [
        ("tower A", "all"),
        ("tower B", "all"),
        ("tower B", "tower A"),
    ]
    ((value, (low, high)),) = a.means
    assert value == pytest.approx((scores[:, 1] - scores[:, 0]).mean())
    spread = (scores[:, 1] - scores[:, 0]).std() / np.sqrt(1000)
    assert (high - low) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.1)
    assert b.means[0] == (0, (0, 0))
    assert between.means[0].value == pytest.approx(-value)


def test_the_same_seed_gives_the_same_intervals() -> None:
    features, labels = _world()
    quality = retrieval_quality(features, {"class": labels}, np.arange(60), range(60))
    first, again, other = (rows(quality, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    (one,) = differences(quality, np.random.default_rng(0), [(Kind("all", "L2"), Kind("tower A", "raw"))])
    assert one.means[0].value == pytest.approx(first[1].means[0].value - first[2].means[0].value)


def test_memory_hardly_grows_with_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 128)
    monkeypatch.setattr(module, "SAMPLE", 200)
    monkeypatch.setattr(module, "MEMORY", 2**18)
    peaks = []
    for n in (1000, 8000):
        np.save(tmp_path / f"{n}.npy", np.random.default_rng(0).normal(0, 1, (n + 50, 64)).astype(np.float16))
        features = np.load(tmp_path / f"{n}.npy", mmap_mode="r")
        labels = np.arange(n + 50) // 2
        tracemalloc.start()
        retrieval_quality(features, {"class": labels}, np.arange(n, n + 50), range(n + 50), components=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    results = 12 * 7000 * 8 * 2  # occurrences, which are joined at the end
    assert peaks[1] - peaks[0] < 1.3 * results < 8000 * 64 * 4  # the features alone would be more


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_parts_follow_the_number_of_towers(towers: int) -> None:
    features, labels = _world()
    quality = retrieval_quality(features, {"class": labels}, np.arange(60), range(60), towers=towers)
    names = [f"tower {letter}" for letter in "ABCD"[:towers]] if towers > 1 else []
    assert list(dict.fromkeys(kind.part for kind in quality.kinds)) == ["all", *names]
    assert len(usual_pairs(quality.kinds)) == 4 * (1 + len(names)) - 1 + 4 * (towers > 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ks": (0,)}, "k of at least 1"),
        ({"ks": ()}, "k of at least 1"),
        ({"ks": (60,)}, "59 images"),
        ({"gallery": range(9)}, "to find"),
        ({"queries": np.arange(0)}, "0 queries"),
        ({"factors": {}}, "At least one factor"),
        ({"factors": {"class": np.zeros(3, int)}}, "each of the 60 images"),
        ({"factors": {"name": np.arange(60)}}, "shares its name"),
        ({"towers": 5}, "12 units cannot be shared equally by 5"),
        ({"components": 0}, "at least 1 principal component"),
        ({"features": np.full((60, D), np.inf)}, "not finite"),
    ],
)
def test_what_cannot_be_compared_is_said(changes: dict[str, Any], message: str) -> None:
    features, labels = _world()
    asked: dict[str, Any] = {"features": features, "factors": {"class": labels}}
    asked |= {"queries": np.arange(60), "gallery": range(60)}
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        retrieval_quality(**(asked | changes))


def test_a_workspace_s_last_split_asks_the_others(built: Workspace) -> None:
    quality = workspace_quality(built, ks=(1, 3))
    labels = predictions_of(built)["label"].to_numpy()
    assert (quality.n_queries, quality.n_gallery, quality.left_out) == (13, 21, 0)
    scores, _ = _brute_force(open_features(built).astype(float), labels, np.arange(21, 34), range(21), (1, 3))
    np.testing.assert_allclose(quality.scores["class"][:, quality.kinds.index(PAPER)], scores)
    assert workspace_quality(built, n_queries=4).n_queries == 4
    with pytest.raises(WorkspaceError, match=r"'mine'.* 0 queries"):
        workspace_quality(built, n_queries=0)


def test_any_stage_can_be_judged_once_its_features_are_there(built: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=r"analysis\.features tiny set --stage fc6 --split train val"):
        workspace_quality(built, stage="fc6")
    checkpoint = load_checkpoint(checkpoint_place(built))
    for store in extract(checkpoint, open_images(built), ["fc6", "fc8"], dtype="float32", home=built.home):
        quality = workspace_quality(built, stage=store.stage.replace("relu", "fc"))
        points, queries = store[:].astype(float), np.arange(21, 34)
        scores, _ = _brute_force(points, store.labels(), queries, range(21), (1, 5, 10))
        np.testing.assert_allclose(quality.scores["class"][:, quality.kinds.index(PAPER)], scores)
        assert len(quality.kinds) == (4 if store.stage == "fc8" else 12)


def test_prism_is_also_judged_by_shape_and_hue_and_a_lone_split_asks_itself(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(200) % 100
    told = About("tiny", "", "prism", "", CLASS_NAMES, CLASS_NAMES, "fc8", 1, "", {"val": 0})
    table = pa.table({"label": labels}).cast(described(pa.schema([COLUMNS.field("label")]), told))
    features = np.concatenate([np.eye(10)[labels // 10], 2 * np.eye(10)[labels % 10]], axis=1)  # shape | hue
    monkeypatch.setattr(module, "open_predictions", lambda _: table)
    monkeypatch.setattr(module, "open_features", lambda _: features)
    quality = workspace_quality(built)
    assert (quality.n_queries, quality.n_gallery, quality.left_out) == (200, 200, 200)
    average = {
        (row.factor, row.kind.part): row.means[-1].value
        for row in rows(quality, np.random.default_rng(0))
        if row.kind.scaling == "raw"
    }
    assert average["class", "all"] == average["shape", "tower A"] == average["hue", "tower B"] == 1
    assert average["hue", "all"] == 1 > average["shape", "all"]  # the hue weighs twice as much
    assert max(average["shape", "tower B"], average["hue", "tower A"]) < 0.2


def test_the_command_prints_tables_that_say_what_was_compared(
    built: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "mine", "--k", "1", "4", "--components", "6"]) == 0
    said = capsys.readouterr().out
    assert "mine: fc7 of tiny, 13 queries, gallery of 21" in said
    assert NOTE in said
    assert "tower A: 6 principal components of 21 gallery images" in said
    assert said.count("all, raw") == 1 + 11 + 1
    assert "tower B, whitened + L2 - tower A, whitened + L2" in said
    quality = workspace_quality(built, ks=(1, 4), components=6)
    first = rows(quality, np.random.default_rng(0))[0].means[1]
    assert f"{100 * first.value:.2f} [{100 * first.interval.low:.2f}, " in said


def test_the_command_s_json_holds_the_same(built: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", "mine", "--queries", "5", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    quality = workspace_quality(built, n_queries=5)
    assert (values["queries"], values["gallery"], len(values["rows"]), len(values["hubs"])) == (5, 21, 12, 12)
    for i, row in enumerate(values["rows"]):
        assert Kind(row["part"], row["scaling"]) == quality.kinds[i]
        assert row["MAP@R"]["value"] == pytest.approx(quality.scores["class"][:, i, -1].mean())
        assert row["P@10"]["low"] <= row["P@10"]["value"] <= row["P@10"]["high"]
    for one in values["differences"]:
        first, less = (
            next(row for row in values["rows"] if (row["part"], row["scaling"]) == (kind["part"], kind["scaling"]))
            for kind in (one, one["less"])
        )
        assert one["P@1"]["value"] == pytest.approx(first["P@1"]["value"] - less["P@1"]["value"])


@pytest.mark.parametrize(
    ("arguments", "message"), [(["none"], "There is no workspace"), (["mine", "--k", "99"], "at least 1, and max")]
)
def test_what_is_wrong_is_said_in_one_line(
    built: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["quality", *arguments]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "%|" not in line and line.strip()]
    assert message in line

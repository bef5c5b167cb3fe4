"""Tables of predictions against sums by hand, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.label_quality import Judged, LabelQuality, label_quality
from analysis.predictions import (
    COLUMNS,
    TOP,
    About,
    Rows,
    about,
    prediction_table,
    read_predictions,
    write_predictions,
)

ABOUT = About("net", "id1", "set", "hash1", tuple("abc"), ("ant", "bee", "cat"), "fc8", 1, "", {"val": 0})


def rows(n: int, classes: int, *, first: int = 0, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, classes))
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return Rows(np.arange(first, first + n), "val", [f"{i}.png" for i in range(n)], rng.integers(0, classes, n), logs)


def table_of(given: Rows) -> pa.Table:
    """Its columns, with labels that were judged somehow."""
    rng, n = np.random.default_rng(9), len(given.ids)
    return prediction_table(given, LabelQuality(rng.random(n, np.float32), rng.random(n) < 0.5))


@pytest.mark.parametrize("classes", [2, 7, 40])
def test_every_column_equals_a_sum_by_hand(classes: int) -> None:
    given = rows(30, classes, first=100)
    for i, row in enumerate(table_of(given).to_pylist()):
        p, label = np.exp(given.log_probabilities[i]), int(given.labels[i])
        order = sorted(range(classes), key=lambda c: -p[c])
        assert (row["id"], row["path"], row["split"], row["label"]) == (100 + i, f"{i}.png", "val", label)
        assert row["top_classes"] == order[:TOP]
        assert row["top_probabilities"] == pytest.approx([p[c] for c in order[:TOP]], rel=1e-6)
        assert row["rank"] == order.index(label)
        assert row["probability"] == pytest.approx(p[label], rel=1e-6)
        assert row["loss"] == pytest.approx(-np.log(p[label]), rel=1e-6)
        assert row["margin"] == pytest.approx(p[label] - max(p[c] for c in range(classes) if c != label), abs=1e-6)
        assert row["entropy"] == pytest.approx(-sum(q * np.log(q) for q in p), rel=1e-5)
        assert row["views"] == 1
        assert (row["guess"], row["confidence"]) == (order[0], row["top_probabilities"][0])


def test_equal_probabilities_stand_in_the_order_of_their_classes() -> None:
    even = Rows(np.zeros(1, int), "val", ["a"], np.array([2]), np.log(np.full((1, 4), 0.25)))
    row = table_of(even).to_pylist()[0]
    assert row["top_classes"] == [0, 1, 2, 3]
    assert (row["rank"], row["margin"]) == (1, 0)  # half of three others are ahead, rounded down


def test_a_hopeless_image_has_a_finite_loss() -> None:
    logs = np.array([[0.0, -2000.0]])
    row = table_of(Rows(np.zeros(1, int), "val", ["a"], np.array([1]), logs)).to_pylist()[0]
    assert (row["loss"], row["probability"], row["entropy"], row["margin"]) == (2000, 0, 0, -1)


def test_blocks_are_joined_and_the_file_says_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.predictions.ROW_GROUP", 20)
    blocks = [rows(9, 3, first=9 * i, seed=i) for i in range(7)]
    write_predictions(tmp_path / "p.parquet", lambda: blocks, ABOUT)
    table = read_predictions(tmp_path / "p.parquet", checkpoint_id="id1", store_hash="hash1")
    judged = label_quality(lambda: [Judged("val", each.labels, np.exp(each.log_probabilities)) for each in blocks])
    parts = [judged["val"].part(9 * i, 9) for i in range(7)]
    assert table.equals(pa.concat_tables(map(prediction_table, blocks, parts)))
    assert table.equals(read_predictions(tmp_path / "p.parquet"))
    assert about(table) == ABOUT
    assert pq.ParquetFile(tmp_path / "p.parquet").num_row_groups == 3


def test_labels_of_two_splits_are_judged_apart_and_stay_with_their_images(tmp_path: Path) -> None:
    train, val = (
        rows(40, 3, first=first, seed=first)._replace(split=split) for first, split in ((0, "train"), (40, "val"))
    )
    about_both = ABOUT._replace(firsts={"train": 0, "val": 40})
    write_predictions(tmp_path / "both.parquet", lambda: [train, val], about_both)
    write_predictions(tmp_path / "val.parquet", lambda: [val], ABOUT)
    both, alone = (read_predictions(tmp_path / f"{name}.parquet") for name in ("both", "val"))
    assert both.slice(40).to_pylist() == alone.to_pylist()
    assert about(both).firsts == {"train": 0, "val": 40}
    assert np.ptp(alone["label_quality"].to_numpy()) > 0.2


@pytest.mark.parametrize("column", COLUMNS.names)
def test_a_table_without_a_column_is_refused_by_its_name(tmp_path: Path, column: str) -> None:
    file = tmp_path / "p.parquet"
    write_predictions(file, lambda: [rows(5, 3)], ABOUT)
    pq.write_table(pq.read_table(file).drop_columns(column), file)
    with pytest.raises(ValueError, match=rf"lacks the column\(s\) \['{column}'\]"):
        read_predictions(file, checkpoint_id="id1", store_hash="hash1")


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    table = table_of(rows(5, 3))
    place = COLUMNS.get_field_index("loss")
    pq.write_table(table.set_column(place, "loss", table["loss"].cast(pa.string())), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="'loss'"):
        read_predictions(tmp_path / "p.parquet", checkpoint_id="id1", store_hash="hash1")


def test_predictions_of_another_checkpoint_or_of_other_images_are_refused(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.parquet", lambda: [rows(5, 3)], ABOUT)
    with pytest.raises(ValueError, match="made by checkpoint id1, not by id2"):
        read_predictions(tmp_path / "p.parquet", checkpoint_id="id2", store_hash="hash1")
    with pytest.raises(ValueError, match="about the images"):
        read_predictions(tmp_path / "p.parquet", checkpoint_id="id1", store_hash="hash2")


def test_a_table_that_does_not_say_who_made_it_is_refused(tmp_path: Path) -> None:
    pq.write_table(table_of(rows(5, 3)), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="does not say which checkpoint"):
        read_predictions(tmp_path / "p.parquet", checkpoint_id="id1", store_hash="hash1")


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    file = tmp_path / "p.parquet"
    write_predictions(file, lambda: [rows(500, 3)], ABOUT)
    data = file.read_bytes()
    file.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    with pytest.raises(ValueError, match="cut short"):
        read_predictions(file, checkpoint_id="id1", store_hash="hash1")

"""Selections against loops over the rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.errors.selection import CRITERIA, ORDERS, Selection, in_split, matching_labels, select
from tests.analysis.errors.tables import random_table, replaced

NAMES = [f"{size} {animal}" for animal in ("Cat", "dog", "Bird", "bobcat") for size in ("small", "LARGE", "grey")]


def meets(row: dict[str, Any], wanted: Selection) -> bool:
    rank, sure = row["rank"] + 1, row["confidence"] >= np.float32(wanted.sure)
    low, high = np.float32(wanted.confidence)
    text = wanted.text.strip().lower()
    return all(
        (
            {
                "all": True,
                "top-1 wrong": rank > 1,
                "top-5 wrong": rank > 5,
                "right but unsure": rank == 1 and not sure,
                "wrong and sure": rank > 1 and sure,
                "rank between": wanted.ranks[0] <= rank <= wanted.ranks[1],
            }[wanted.criterion],
            not wanted.true or row["label"] in wanted.true,
            not wanted.guessed or row["guess"] in wanted.guessed,
            text in NAMES[row["label"]].lower() or text in NAMES[row["guess"]].lower(),
            low <= row["confidence"] <= high,
            wanted.split in ("", row["split"]),
            row["label_issue"] or not wanted.issues_only,
        )
    )


def key(row: dict[str, Any], order: str) -> float:
    return {
        "most wrong": row["probability"],
        "most confident error": -row["confidence"] if row["rank"] else row["confidence"],
        "loss": -row["loss"],
        "margin": row["margin"],
        "entropy": -row["entropy"],
        "suspected label": row["label_quality"],
    }[order]


def by_loop(table: pa.Table, wanted: Selection) -> list[int]:
    rows = table.to_pylist()
    found = [i for i, row in enumerate(rows) if meets(row, wanted)]
    if wanted.order == "as stored":
        return found
    return sorted(found, key=lambda i: (key(rows[i], wanted.order), rows[i]["id"]))


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("order", [order for order in ORDERS if order != "random"])
def test_every_criterion_in_every_order_equals_a_loop(criterion: str, order: str) -> None:
    table, wanted = random_table(), Selection(criterion=criterion, order=order)
    found = select(table, wanted, NAMES).tolist()
    assert found == by_loop(table, wanted)
    assert found


@pytest.mark.parametrize(
    "filters",
    [
        {"true": (3,)},
        {"true": (0, 5, 11), "guessed": (1, 2, 6)},
        {"guessed": (7,)},
        {"text": "CAT"},
        {"text": " large bob "},
        {"confidence": (0.3, 0.5)},
        {"split": "val"},
        {"issues_only": True},
        {"ranks": (2, 2), "criterion": "rank between"},
        {"sure": 0.3, "criterion": "wrong and sure"},
        {"true": (0, 1, 2, 3), "text": "dog", "confidence": (0.2, 0.9), "split": "train", "criterion": "top-1 wrong"},
    ],
)
def test_every_filter_equals_a_loop(filters: dict[str, Any]) -> None:
    table, wanted = random_table(2000), Selection(**{"criterion": "all", **filters})
    found = select(table, wanted, NAMES).tolist()
    assert found == by_loop(table, wanted)
    assert 0 < len(found) < len(table)


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_is_that_of_the_images_not_of_the_rows(order: str) -> None:
    """Except where the rows' own order is asked for."""
    table, wanted = random_table(), Selection(criterion="top-1 wrong", order=order)
    turned = table.take(np.arange(len(table))[::-1])
    here, there = (t["id"].to_numpy()[select(t, wanted, NAMES)].tolist() for t in (table, turned))
    assert there == (here[::-1] if order == "as stored" else here)


def test_a_random_order_follows_the_seed() -> None:
    table = random_table()
    orders = [select(table, Selection(criterion="all", order="random", seed=seed), NAMES) for seed in (0, 0, 1)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(len(table)))


def test_a_random_order_puts_every_image_everywhere() -> None:
    table = random_table(10)
    first = [select(table, Selection(criterion="all", order="random", seed=seed), NAMES)[0] for seed in range(400)]
    assert np.bincount(first, minlength=10).min() > 20  # 40 each are expected


def test_a_value_at_a_bound_is_inside_although_the_column_is_float32() -> None:
    table = replaced(random_table(3), "confidence", np.array([0.9, 0.8, 0.7], np.float32))
    ends = Selection(criterion="all", confidence=(0.7, 0.9), order="as stored")
    assert select(table, ends, NAMES).tolist() == [0, 1, 2]
    sure = Selection(criterion="wrong and sure", sure=0.9, order="as stored")
    assert select(replaced(table, "rank", [1, 1, 1]), sure, NAMES).tolist() == [0]


def test_a_text_that_no_name_holds_finds_nothing() -> None:
    assert not len(select(random_table(), Selection(criterion="all", text="zebra"), NAMES))


def test_the_text_is_found_anywhere_in_a_name_in_any_case() -> None:
    assert matching_labels(["Tabby cat", "BOBCAT", "dog"], " Cat ") == (0, 1)
    assert matching_labels(["Straße"], "STRASSE") == (0,)


def test_a_table_in_many_pieces_gives_the_same() -> None:
    table, wanted = random_table(), Selection(criterion="top-1 wrong", true=(1, 2), confidence=(0.1, 0.8), split="val")
    pieces = pa.concat_tables([table.slice(i, 7) for i in range(0, len(table), 7)])
    assert pieces["rank"].num_chunks > 1
    assert select(pieces, wanted, NAMES).tolist() == select(table, wanted, NAMES).tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_an_empty_table_gives_nothing(order: str) -> None:
    empty = random_table().slice(0, 0)
    assert select(empty, Selection(order=order, text="dog", confidence=(0, 0.5)), NAMES).tolist() == []


def test_only_the_columns_that_are_asked_about_are_read() -> None:
    columns = random_table().select(["id", "rank", "probability"])
    assert select(columns, Selection(), NAMES).tolist() == by_loop(random_table(), Selection())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"criterion": "top-2 wrong"}, "criterion must be one of"),
        ({"order": "best"}, "order must be one of"),
        ({"ranks": (0, 5)}, "1 <= first <= last, got"),
        ({"ranks": (7, 6)}, "1 <= first <= last, got"),
        ({"confidence": (0.5, 0.4)}, "low <= high"),
        ({"confidence": (0, 1.1)}, "low <= high"),
        ({"sure": -0.1}, "sure must be 0 to 1"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Selection(**wrong)


def test_equal_selections_are_one_key() -> None:
    assert len({Selection(true=(1, 2)), Selection(true=(1, 2)), Selection(true=(2, 1))}) == 2


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("split", ["train", "val", "test", ""])
def test_a_split_holds_its_rows_in_their_order(split: str, shuffled: bool) -> None:
    table = random_table(shuffled=shuffled)
    wanted = [row for row in table.to_pylist() if split in ("", row["split"])]
    assert in_split(table, split).to_pylist() == wanted
    assert in_split(table, split).schema.metadata == table.schema.metadata


def test_a_split_that_lies_side_by_side_is_not_copied() -> None:
    table = random_table(shuffled=False)
    part = in_split(table, "val")
    whole, shared = (t["rank"].chunk(0).buffers()[1].address for t in (table, part))
    assert whole == shared
    assert part["rank"].chunk(0).offset == 200

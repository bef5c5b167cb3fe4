"""Groups of classes against the shipped checkpoints' own class lists."""

import csv
from collections import Counter

import pytest

from alexnet_core.checkpoint import read_card
from alexnet_core.prism import CLASS_NAMES, HUES, SHAPES
from analysis.errors import groups as module
from analysis.errors.groups import groups

ANIMALS = {
    "birds", "cats", "dogs", "hoofed animals", "insects", "other mammals", "reptiles and amphibians", "sea animals",
    "spiders, centipedes and snails",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> tuple[list[str], list[str]]:
    rows = read_card("tiny-imagenet-127")["classes"]
    return [row["id"] for row in rows], [row["name"].split(",")[0] for row in rows]


def test_every_class_of_tiny_imagenet_stands_in_one_group(tiny: tuple[list[str], list[str]]) -> None:
    found = groups(*tiny)
    assert sorted(label for labels in found.values() for label in labels) == list(range(200))
    assert 18 <= len(found) <= 24
    assert min(map(len, found.values())) >= 3
    assert list(found) == sorted(found)


def test_the_shipped_table_has_each_id_once() -> None:
    with module._TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(Counter(row["wnid"] for row in rows).values()) == {1}
    assert {row["wnid"] for row in rows} == {row["id"] for row in read_card("tiny-imagenet-127")["classes"]}


def test_groups_of_animals_hold_the_animals(tiny: tuple[list[str], list[str]]) -> None:
    """WordNet's numbers of animals lie below 2.6 million; a spider's web, an artefact, is kept with the spiders."""
    found = groups(*tiny)
    animals = {tiny[0][label] for group in ANIMALS for label in found[group]}
    assert animals == {wnid for wnid in tiny[0] if wnid < "n02600000"} | {"n04275548"}


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("dogs", {"Chihuahua", "Yorkshire terrier", "golden retriever", "Labrador retriever", "German shepherd",
                  "standard poodle"}),
        ("cats", {"tabby", "Persian cat", "Egyptian cat", "cougar", "lion"}),
        ("landscapes", {"alp", "cliff", "coral reef", "lakeside", "seashore"}),
    ],
)  # fmt: skip
def test_a_group_holds_what_its_name_says(tiny: tuple[list[str], list[str]], group: str, names: set[str]) -> None:
    assert {tiny[1][label] for label in groups(*tiny)[group]} == names


def test_labels_follow_the_order_of_the_classes(tiny: tuple[list[str], list[str]]) -> None:
    assert groups(["n02123045", "n02085620", "n02129165"], ["tabby", "Chihuahua", "lion"]) == {
        "cats": (0, 2),
        "dogs": (1,),
    }


def test_prism_is_grouped_by_shape_and_by_hue() -> None:
    found = groups([str(i) for i in range(100)], CLASS_NAMES)
    assert set(found) == {f"shape: {shape}" for shape in SHAPES} | {f"hue: {hue.name}" for hue in HUES}
    for group, labels in found.items():
        word = group.partition(": ")[2]
        assert [label for label in range(100) if word in CLASS_NAMES[label].split(" ")] == list(labels)
        assert len(labels) == 10


def test_the_shipped_prism_checkpoint_is_known() -> None:
    rows = read_card("prism-127")["classes"]
    assert len(groups([row["id"] for row in rows], [row["name"] for row in rows])) == 20


def test_unknown_classes_have_no_groups(tiny: tuple[list[str], list[str]]) -> None:
    assert groups(["cats", "dogs"], ["cats", "dogs"]) == {}
    assert groups([*tiny[0], "n99999999"], [*tiny[1], "unknown"]) == {}

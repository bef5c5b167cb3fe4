"""The sentences of the Inspect page say what the numbers say."""

import numpy as np
import pytest
import torch

from alexnet_core.config import named_config
from alexnet_core.preprocess import Preprocess
from analysis.activations import Balance, Position
from viz_app.figures import captions
from viz_app.figures.image import Scale

CONFIG = named_config("chm145", num_classes=10, input_size=127)
CLASSES = [
    {"id": "n1", "name": "tabby, tabby cat"},
    {"id": "n2", "name": "crane"},
    {"id": "n3", "name": "crane, lifting machine"},
    {"id": "n4", "name": "Egyptian cat"},
]
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def test_classes_of_the_same_name_are_told_apart_by_their_id() -> None:
    assert captions.class_labels(CLASSES) == ["tabby", "crane (n2)", "crane (n3)", "Egyptian cat"]


def test_the_search_reads_all_names_whatever_their_case_and_puts_the_likeliest_first() -> None:
    found = captions.found_classes(CLASSES, " CAT ", {"a.jpg": PROBABILITIES, "b.jpg": PROBABILITIES[::-1]})
    assert list(found["class"]) == ["Egyptian cat", "tabby"]
    assert list(found["also called"]) == ["", "tabby cat"]
    assert list(found["a.jpg"]) == pytest.approx([40, 10])
    assert list(found["b.jpg"]) == pytest.approx([10, 40])
    assert list(captions.found_classes(CLASSES, "lifting crane", {"a": PROBABILITIES})["class"]) == ["crane"]


def test_a_search_without_success_says_what_that_means_for_a_photo() -> None:
    assert "the name of something else" in captions.search_answer(0, 4, "rose")
    assert "2 of 4" in captions.search_answer(2, 4, "cat")
    assert "knows 4 classes" in captions.search_answer(4, 4, "  ")


def test_the_page_warns_only_where_the_best_guess_is_weak() -> None:
    weak = captions.fit_warning(captions.class_labels(CLASSES), np.full(4, 0.15))
    assert "none of the 4 classes" in weak
    assert "15%" in weak
    assert captions.fit_warning(captions.class_labels(CLASSES), PROBABILITIES) == ""


def test_the_best_guesses_come_in_order_and_ties_in_class_order() -> None:
    assert list(captions.best(np.array([0.1, 0.3, 0.3, 0.2]), 3)) == [1, 2, 3]
    assert captions.guesses_text(["a", "b", "c", "d"], PROBABILITIES).startswith("Best guesses: d 40.0%, c 30.0%")


def test_file_names_cannot_smuggle_markup_into_the_page() -> None:
    assert captions.escaped("a_*b*_[x](y) $1$ :cat: <i>") == r"a\_\*b\*\_\[x\]\(y\) \$1\$ \:cat\: \<i\>"


@pytest.mark.parametrize("mode", ["chm145", "paper", "caffe", "caffenet", "onnx224"])
def test_every_stage_of_every_mode_is_explained(mode: str) -> None:
    for stage in named_config(mode).stages:
        assert captions.stage_text(stage).startswith(f"{stage}: ")


def test_stage_lines_give_size_and_range() -> None:
    maps = np.zeros((96, 15, 15), np.float32)
    assert captions.stage_line("conv1", maps, Scale(-3.14159, 3.14159), per_map=False) == (
        "**conv1** · 96 maps of 15 × 15 · −3.14 to 3.14"
    )
    assert captions.stage_line("conv1", maps, Scale(0, 1), per_map=True).endswith("own scales")
    assert captions.stage_line("fc6", maps[:, :1, :1], Scale(0, 2), per_map=True) == "**fc6** · 96 units · 0 to 2"


def test_the_text_alternative_of_maps_counts_the_responding_units_of_each_tower() -> None:
    maps = np.zeros((4, 2, 2), np.float32)
    maps[3, 1, 1] = 1
    text = captions.stage_alt("relu1", maps, 2)
    assert "tower A: 0 of 2" in text
    assert "tower B: 1 of 2" in text


def test_a_unit_is_described_by_tower_rank_and_places() -> None:
    maps = np.zeros((96, 15, 15), np.float32)
    maps[50, 1, 2], maps[3, 0, 0] = 5, 9
    text = captions.unit_text(CONFIG, "relu1", 50, maps, [Position(1, 2, 5.0)])
    assert text.startswith("Unit 50 of relu1 (tower B): largest response 5, rank 2 of 96.")
    assert "19 × 19 of the crop's 127 × 127 pixels" in text
    assert text.endswith("**1** 5.")


def test_units_without_response_or_place_are_said_to_have_none() -> None:
    silent = captions.unit_text(CONFIG, "relu1", 0, np.zeros((96, 15, 15), np.float32), [])
    assert silent.endswith("It responds to nothing in this photo.")
    whole = captions.unit_text(CONFIG, "fc8", 0, np.ones((10, 1, 1), np.float32), [Position(0, 0, 1.0)])
    assert "(no tower)" in whole
    assert whole.endswith("It sees the whole crop and has no place on the photo.")


def test_a_field_larger_than_the_crop_is_called_so() -> None:
    text = captions.unit_text(CONFIG, "relu5", 0, np.ones((256, 7, 7), np.float32), [Position(0, 0, 1.0)])
    assert "more than the crop's" in text


def test_the_network_s_view_names_the_pixels_that_are_left() -> None:
    tensors = torch.zeros(3, 144, 144), torch.eye(3), torch.ones(3)
    assert "127 × 127 pixels, enlarged from a photo of 64 × 64" in captions.input_line(
        Preprocess(64, 144, 127, *tensors)
    )
    assert "enlarged" not in captions.input_line(Preprocess(144, 144, 127, *tensors))


def test_the_photo_line_holds_credit_and_remarks() -> None:
    assert captions.photo_line("", "") == "The network reads what is framed."
    assert "Photo\\: by X\\." in captions.photo_line("Photo: by X.", "Only the first of 3.")


def test_the_tower_that_changes_more_is_named() -> None:
    stages = ["conv1", "relu1"]
    grey = Balance(stages, np.array([[0.9, 0.9], [0.1, 0.4]]))
    turned = Balance(stages, np.array([[0.9, 0.9], [0.2, 0.3]]))
    text = captions.colour_text(grey, turned, "relu1")
    assert "tower A by 10% when colour is taken away, by 20% when hues are turned" in text
    assert "**tower B** cares more" in text
    silent = Balance(stages, np.array([[0.9, 0.9], [np.nan, 0.4]]))
    assert "silent" in captions.colour_text(silent, turned, "relu1")
    single = Balance(stages, np.array([[0.9], [0.1]]))
    assert "cares more" not in captions.colour_text(single, single, "relu1")


def test_evidence_names_its_class_and_says_where_there_is_none() -> None:
    assert captions.evidence_title("tabby", 0.123, np.ones((2, 2), np.float32)) == "Evidence for tabby (12.3%)"
    assert "nothing speaks for it" in captions.evidence_title("tabby", 0.1, np.zeros((2, 2), np.float32))


def test_the_balance_in_words_leaves_out_silent_stages() -> None:
    text = captions.balance_text(Balance(["conv1", "relu1"], np.array([[0.25, 0.75], [np.nan, np.nan]])))
    assert "conv1: tower A 25%, tower B 75%" in text
    assert "relu1" not in text


def test_tables_hold_every_number_once() -> None:
    shares = {
        "Original": Balance(["conv1"], np.array([[0.25, 0.75]])),
        "Grey": Balance(["conv1"], np.array([[0.4, 0.6]])),
    }
    changes = {"Grey": Balance(["conv1"], np.array([[0.1, 0.2]]))}
    table = captions.comparison_table(shares, changes)
    assert list(table["share of energy"]) == [0.25, 0.75, 0.4, 0.6]
    assert list(table["change of responses"])[2:] == [0.1, 0.2]
    assert table["change of responses"][:2].isna().all()
    values = captions.map_table(np.array([[1, 2], [3, 4]], np.float32))
    assert list(values.columns) == ["row", "column 0", "column 1"]
    assert values["column 1"].tolist() == [2, 4]

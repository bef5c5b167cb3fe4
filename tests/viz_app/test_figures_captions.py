"""The sentences of the pages say what the numbers say."""

from datetime import datetime
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from alexnet_core.config import named_config
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES, HUES
from analysis.activations import Balance, Position
from analysis.workspace.artefacts import Artefact, Inputs, Manifest, State
from analysis.workspace.head import HeldOut
from analysis.workspace.progress import Progress
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


def test_every_class_of_prism_has_the_swatch_of_its_hue_and_others_have_none() -> None:
    by_name = {hue.name: hue.hex for hue in HUES}
    assert all(captions.swatch(name) == by_name[name.split()[0]] for name in CLASS_NAMES)
    assert captions.swatch("orange") == ""
    text = captions.with_swatch("teal star")
    assert by_name["teal"] in unquote(text)
    assert text.endswith("teal star")
    assert captions.with_swatch("a*b") == "a\\*b"


@pytest.mark.parametrize(
    ("truth", "sentence"),
    [
        ("Egyptian cat", "the guess is right"),
        ("crane (n2)", "guess number 3 of 4, at 20.0%"),
        ("fern", "a class that this network does not know"),
    ],
)
def test_the_truth_is_told_with_its_place_in_the_list(truth: str, sentence: str) -> None:
    assert sentence in captions.truth_text(truth, captions.class_labels(CLASSES), PROBABILITIES)


def test_a_guess_in_own_classes_names_the_best_three() -> None:
    text = captions.own_classes_text(["a_b", "c", "d", "e"], np.array([0.1, 0.6, 0.05, 0.25]))
    assert text.endswith("c 60%, e 25%, a\\_b 10%.")


@pytest.mark.parametrize(("size", "text"), [(40, "0 kB"), (99_000, "99 kB"), (1_540_000, "1.5 MB"), (4e9, "4,000 MB")])
def test_sizes_are_readable(size: int, text: str) -> None:
    assert captions.megabytes(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (150, "2 min"), (9000, "2.5 h")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert captions.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_progress_estimates_what_is_left_once_it_can() -> None:
    spoken = [
        captions.progress_text(Progress("Looking", done, 100, seconds)).replace("\N{NO-BREAK SPACE}", " ")
        for done, seconds in ((25, 10.0), (0, 10.0), (25, 1.0))
    ]
    assert spoken == ["Looking · 10 s so far, about 30 s left", "Looking · 10 s so far", "Looking · 1 s so far"]


def state(*statuses: str, images: bool = True, running: bool = False) -> State:
    artefacts = {name: Artefact(status, 2_000_000) for name, status in zip("ab", statuses, strict=True)}  # type: ignore[arg-type]
    progress = Progress("Looking", 1, 2, 1.0) if running else None
    return State(images=images, artefacts=artefacts, progress=progress, problem="")


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (state("fresh", "fresh"), "complete"),
        (state("fresh", "missing"), "not built yet"),
        (state("stale", "missing"), "out of date"),
        (state("stale", "missing", images=False), "images not here"),
        (state("missing", "missing", images=False, running=True), "being built"),
    ],
)
def test_the_state_of_a_workspace_has_a_word(found: State, word: str) -> None:
    assert captions.state_word(found)[0] == word


def test_a_failure_is_said_unless_the_next_try_is_under_way() -> None:
    assert captions.state_word(state("missing", "missing"), failed=True) == ("build failed", "red")
    assert captions.state_word(state("missing", "missing", running=True), failed=True)[0] == "being built"


def test_artefacts_are_listed_with_sizes() -> None:
    assert captions.artefacts_line(state("fresh", "stale")) == "a ✓ 2.0 MB · b ↻ out of date, 2.0 MB"


def test_a_manifest_is_told_in_a_sentence() -> None:
    inputs = Inputs("id", "mine", "hash", ("train", "val"), "names", True)
    manifest = Manifest(inputs, "prism-127", {"train": 180, "val": 20}, {}, 83.4, HeldOut(20, 0.85, 0.64, 0.948))
    text = captions.build_facts(manifest, datetime(2026, 11, 22, 4, 5).timestamp())
    assert text == (
        "Built on 22 November 2026 at 04:05; 83 images/s; linear head: 85.0% right on 20 images kept from it "
        "(95% interval 64.0% to 94.8%)."
    )


def test_a_removal_names_all_that_goes() -> None:
    text = captions.removal_text("my_set", 3_000_000, images=True, entry=True)
    assert "my\\_set" in text
    assert "images read for it" in text
    assert "3.0 MB" in text
    assert "images" not in captions.removal_text("prism", 1, images=False, entry=False)


def test_folders_and_sizes_are_summed_up() -> None:
    assert captions.folder_line({"a_b": 3, "c": 4}, 5_000_000) == "7 pictures (5.0 MB) of 2 classes: a\\_b 3, c 4."
    assert captions.sizes_line({"datasets": 3_000_000, "runs": 1_000_000}).startswith("4.0 MB in all: datasets 3.0 MB")
    assert captions.sizes_line({}) == "Nothing is kept there yet."


def test_a_network_without_measured_accuracy_is_named() -> None:
    assert captions.checkpoint_line({"name": "my_net"}) == "**my\\_net**"


def test_an_accuracy_is_told_with_the_views_it_was_measured_from() -> None:
    metrics = {"views": 10, "as_stored": {"top1": 0.7542, "top5": 0.972, "n": 5000}}
    line = captions.checkpoint_line({"name": "mine", "metrics": metrics})
    assert line == "**mine**: top-1 75.4%, top-5 97.2% right on 5,000 validation images, from ten views of each."

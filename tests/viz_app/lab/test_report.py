"""The towers' report as a reader's program finds it: every number in a table, and nothing from elsewhere."""

import csv
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alexnet_core.store import ImageStore
from analysis.experiments import nets
from analysis.kernels.indices import measure_kernels
from analysis.towers.comparison import measure, tower_labels
from analysis.towers.study import TowerStudy, study_table
from tests.viz_app.errors.test_report import Page, Reader
from tests.viz_app.lab.world import MATRIX, NETS, between, network, photo_report, split_kernels
from viz_app import report as command
from viz_app.frame import Number
from viz_app.lab import gather
from viz_app.lab.report import Material, plain, table_of, to_json, towers_report
from viz_app.lab.study import axes_by_tower, blocks_of, photographs_of, studied
from viz_app.samples import gallery
from viz_app.switches import Stock

MADE = date(2026, 11, 22)
CLASSES = ["<script>alert('x')</script>", *(f"class {place}" for place in range(1, 8))]
NO_IMAGES = Stock("none", 0, lambda row: pytest.fail("no image is asked for"), ())


@pytest.fixture(scope="module")
def checkpoint():
    return network("net-split", CLASSES, kernels=split_kernels())


@pytest.fixture(scope="module")
def material(checkpoint, make_report) -> Material:
    kernels = split_kernels()
    return Material(
        checkpoint=checkpoint,
        kernels={"as trained": kernels},
        indices={"as trained": measure_kernels(kernels)},
        table=study_table(checkpoint),
        studies=studied(checkpoint, None),
        images="",
        blocks=blocks_of(checkpoint, NO_IMAGES),
        axes=axes_by_tower(checkpoint.model),
        between=between("net-split"),
        lesions=make_report("net-split"),
        photos=photo_report("net-split"),
        matrices=[(MATRIX, NETS)],
    )


@pytest.fixture(scope="module")
def html(material) -> str:
    return towers_report(material, made=MADE)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Reader(html).page


def rows(page: Page, caption: str) -> list[list[str]]:
    """Rows of the table whose caption starts so, without the headings."""
    (found,) = [cells for name, cells in page.tables.items() if name.startswith(caption)]
    assert {len(row) for row in found} == {len(found[0])}
    return found[1:]


def test_the_file_needs_nothing_from_elsewhere(page):
    assert page.tags.keys().isdisjoint({"script", "link", "iframe", "object", "embed", "form"})
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} == page.ids


def test_every_chart_has_a_text_alternative_and_a_dark_side(page):
    assert page.tags["img"] == page.tags["source"] >= 9
    assert all(len(alt) > 40 for alt in page.alts)


def test_the_verdict_leads_and_its_numbers_are_those_of_the_function(page):
    found = measure(split_kernels(), tower_labels(96, 2), np.random.default_rng(0))
    assert found.verdict in page.text
    own = rows(page, "The same in numbers")[0]
    assert own[1] == "{:.2f} / {:.2f}".format(*found.mean_chroma)
    assert own[2].startswith(f"{found.difference:+.2f} [")


def test_every_number_of_every_section_is_in_a_table(page, material):
    study = material.studies["as trained"]
    assert len(rows(page, "All else, as trained")) == len(study.secondary.rows)
    assert len(rows(page, "Purity at every threshold")) == len(study.secondary.sweep.thresholds)
    for kind in ("as trained", "learned part", "function", "probes"):
        names = [row[0] for row in rows(page, f"small, {kind}")]
        assert names == ["case", "one-tower", "one-tower, blind cut", "weak", "never"]
    assert len(rows(page, "small: every network")) == 4 * len(NETS)
    assert len(rows(page, "Whom conv3 reads")) == 4
    assert len(rows(page, "Axes of the connections")) == 6
    assert len(rows(page, "Similarity of the towers")) == 3
    assert len(rows(page, "Probes")) == 4
    assert len(rows(page, "What each lesion costs")) == len(material.lesions.conditions)
    assert len(rows(page, "Scores by kind")) == 3 * len(material.photos.rows)


def test_what_was_not_measured_is_named_with_its_command(material):
    bare = material._replace(between=None, lesions=None, photos=None, blocks=None, axes=[], matrices=[(MATRIX, [])])
    text = Reader(towers_report(bare, made=MADE)).page.text
    for module in ("between", "lesions", "lesions.photographs"):
        assert f"python -m analysis.{module} net-split" in text
    assert "No network of “case” has been measured yet." in text
    assert "Not trained yet: case, one-tower, weak, never." in text


def test_names_with_markup_are_text(html):
    assert "<script>alert" not in html


def test_the_same_material_gives_the_same_file(material, html):
    assert towers_report(material, made=MADE) == html


def test_all_results_are_plain_json(material):
    found = json.loads(json.dumps(to_json(material)))
    assert found["kernels"]["as trained"]["difference"] == material.studies["as trained"].primary.difference
    assert len(found["networks"]["small"]) == 4 * len(NETS)
    assert found["between"]["probes"]["images"] == 400
    assert found["photographs"]["verdict"] == material.photos.verdict


def test_kernels_that_are_noise_have_a_report_too(material):
    noise = np.random.default_rng(0).normal(size=(96, 3, 11, 11)).astype(np.float32)
    study = TowerStudy(primary=measure(noise, tower_labels(96, 2), np.random.default_rng(0), 100), secondary=None)
    unlearned = material._replace(
        kernels={"as trained": noise}, indices={"as trained": measure_kernels(noise)}, studies={"as trained": study}
    )
    assert "Not measurable" in Reader(towers_report(unlearned, made=MADE)).page.text


def test_what_begins_like_a_number_stands_to_the_right():
    table = table_of("A", pd.DataFrame({"name": ["x"], "size": ["+0.20 [0.1, 0.3]"], "none": [None]}))
    assert table.rows == [("x", Number("+0.20 [0.1, 0.3]"), Number("–"))]
    assert plain("**a**  \nb\\.") == "a b."


def test_the_command_writes_report_results_and_kernels(checkpoint, monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setattr(command, "load_checkpoint", {"net-split": checkpoint}.__getitem__)
    monkeypatch.setattr(gather, "list_matrices", lambda: [])
    monkeypatch.setattr(command, "open_dataset", _no_dataset)
    file = tmp_path / "towers.html"
    assert command.main(["towers", "net-split", "--html", str(file)]) == 0
    assert "The two towers of net-split" in file.read_text(encoding="utf-8")
    results = json.loads((tmp_path / "towers.json").read_text(encoding="utf-8"))
    assert results["kernels"]["as trained"]["verdict"].startswith("Specialised")
    with (tmp_path / "towers.csv").open(newline="", encoding="utf-8") as opened:
        kernels = list(csv.DictReader(opened))
    assert [row["tower"] for row in kernels] == ["A"] * 48 + ["B"] * 48
    assert f"{file.stat().st_size:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"), [(["net-one"], "exactly 2"), (["net-split", "--dataset", "nowhere"], "no nowhere")]
)
def test_what_cannot_be_reported_is_said_in_one_line(checkpoint, monkeypatch, tmp_path, capsys, arguments, problem):
    known = {"net-split": checkpoint, "net-one": network("net-one", CLASSES, towers=1)}
    monkeypatch.setattr(command, "load_checkpoint", known.__getitem__)
    monkeypatch.setattr(command, "open_dataset", _no_dataset)
    assert command.main(["towers", *arguments, "--html", str(tmp_path / "a.html")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
    assert not list(tmp_path.glob("a.*"))


def test_images_of_another_size_are_not_looked_at(checkpoint, make_store):
    store: ImageStore = make_store("small")
    assert photographs_of(checkpoint, gallery(store, ())) is None
    assert photographs_of(checkpoint, None) is None


def test_the_unit_of_the_matrix_is_read_where_results_lie(monkeypatch, checkpoint):
    monkeypatch.setattr(gather, "list_matrices", lambda: ["small"])
    monkeypatch.setattr(gather, "load_matrix", {"small": MATRIX}.__getitem__)
    monkeypatch.setattr(gather, "read_matrix", lambda matrix: NETS)
    monkeypatch.setattr(gather, "studied", lambda *_: {})
    found = gather.gathered(checkpoint, None)
    assert found.matrices == [(MATRIX, NETS)]
    assert found.photos is found.between is found.lesions is None
    assert nets.KINDS[0] == "as trained"


def _no_dataset(name: str) -> ImageStore:
    raise FileNotFoundError(f"There is no {name}.")

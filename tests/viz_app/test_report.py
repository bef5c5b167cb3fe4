"""The command that writes reports, on a small workspace."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from alexnet_core.paths import data_home
from analysis.workspace import build_workspace, create_workspace, open_predictions
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store
from viz_app import report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the workspace "mine", 21 training and 13 validation images."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, field), value in SMALL.items():
            patch.setattr(module, field, value)
        patch.setenv("ALEXNET_HOME", str(tmp_path_factory.mktemp("home")))
        small_checkpoint(data_home(), "tiny")
        small_store(data_home(), "set")
        create_workspace("mine", checkpoint="tiny", dataset="set")
        build_workspace("mine")
        return data_home()


@pytest.fixture
def table(home: Path) -> pa.Table:
    """Its predictions."""
    return open_predictions(report.find_workspace("mine", home))


def test_the_report_and_its_list_are_written(
    home: Path, table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.html"
    arguments = ["errors", "mine", "--html", str(file), "--criterion", "all", "--order", "loss", "--images", "4"]
    assert report.main([*arguments, "--home", str(home)]) == 0
    html = file.read_text(encoding="utf-8")
    assert "Of 13 images, val of set" in html  # training images are not judged unless they are asked for
    assert html.count('src="data:image/jpeg;base64,') == 4
    with file.with_suffix(".csv").open(newline="", encoding="utf-8") as opened:
        listed = [int(row["id"]) for row in csv.DictReader(opened)]
    own = [row for row in table.to_pylist() if row["split"] == "val"]
    assert listed == [row["id"] for row in sorted(own, key=lambda row: (-row["loss"], row["id"]))]
    assert sorted(path.name for path in tmp_path.glob("mine.*")) == ["mine.csv", "mine.html"]
    assert f"{file.stat().st_size:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize(("split", "n"), [("train", 21), ("", 34)])
def test_another_split_or_all_can_be_asked_for(home: Path, tmp_path: Path, split: str, n: int) -> None:
    file = tmp_path / "a.html"
    assert report.main(["errors", "mine", "--html", str(file), "--split", split, "--home", str(home)]) == 0
    assert f"Of {n} images" in file.read_text(encoding="utf-8")


def test_thumbnails_and_pixels_are_those_of_the_row(home: Path, table: pa.Table) -> None:
    """Classes are tinted: the mean colour of an image tells its label."""
    material = report._material("mine", home)
    for position, label in enumerate(table["label"].to_pylist()):
        r, _, b = material.image(position).resize((1, 1)).getpixel((0, 0))
        tint = 0 if r > 140 else 1 if b > 140 else 2
        assert tint == label


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere"], "no workspace 'nowhere'"),
        (["prism"], "run: python -m analysis.workspace build prism"),
        (["mine", "--split", "test"], "no predictions for split 'test'"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line_and_nothing_is_written(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert report.main(["errors", *arguments, "--html", str(tmp_path / "a.html"), "--home", str(home)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(problem, line)
    assert not list(tmp_path.glob("a.*"))


def test_the_command_runs_without_streamlit() -> None:
    script = "import sys; sys.modules['streamlit'] = None; import viz_app.report"
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", script], cwd=ROOT, check=True)

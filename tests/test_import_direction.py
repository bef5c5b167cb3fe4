"""Imports go one way, viz_app -> analysis -> alexnet_core; and a few things that only a search can find."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {  # folder or file -> top-level modules it must not import
    "alexnet_core": {"analysis", "viz_app", "streamlit", "plotly", "faiss", "sklearn"},
    "analysis": {"viz_app", "streamlit", "plotly"},
    "viz_app/figures": {"streamlit"},
    "viz_app/uploads.py": {"streamlit"},
}
REMOVED_ARGUMENTS = ("use_container_width", "use_column_width")  # Streamlit only logs that they are gone
TEXTS = {".py", ".md", ".toml", ".txt", ".json", ".yml", ".yaml", ".cfg", ".sh", ".run", ""}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/")


def imported(source: str) -> set[str]:
    """Top-level modules that a source imports, anywhere in it and also by importlib."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return {name.partition(".")[0] or "." for name in found}


def violations(root: Path) -> list[str]:
    """Every forbidden import below `root`, as "file: module"; relative imports hide where they lead."""
    wrong = []
    for place, forbidden in FORBIDDEN.items():
        files = [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py"))
        for file in files:
            bad = imported(file.read_text(encoding="utf-8")) & (forbidden | {"."}) if file.exists() else set()
            wrong += [f"{file.relative_to(root)}: {name}" for name in sorted(bad)]
    return wrong


def test_imports_go_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("place", "line", "module"),
    [
        ("alexnet_core/deep/er.py", "import analysis.stats", "analysis"),
        ("alexnet_core/model.py", "from streamlit import cache_data", "streamlit"),
        ("alexnet_core/model.py", "def late():\n    import faiss as f", "faiss"),
        ("alexnet_core/model.py", "import os, sklearn.metrics", "sklearn"),
        ("alexnet_core/model.py", "import importlib\nimportlib.import_module('plotly.express')", "plotly"),
        ("analysis/stats.py", "if True:\n    from viz_app.menu import PAGES", "viz_app"),
        ("analysis/stats.py", "from .kernels import chroma", "."),
        ("viz_app/figures/maps.py", "import streamlit as st", "streamlit"),
        ("viz_app/uploads.py", "try:\n    import streamlit\nexcept ImportError: ...", "streamlit"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, place: str, line: str, module: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(f"import numpy\n{line}\n")
    assert violations(tmp_path) == [f"{place}: {module}"]


def test_an_import_that_is_allowed_is_not_found(tmp_path: Path) -> None:
    for place, line in (
        ("analysis", "from alexnet_core.model import AlexNet"),
        ("viz_app", "import streamlit, analysis"),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / "module.py").write_text(f"{line}\n# import viz_app, plotly\n'import plotly'\n")
    assert violations(tmp_path) == []


def test_the_core_runs_where_only_its_own_packages_are_installed() -> None:
    """Python itself is asked: with the others out of reach, every module of the core can be imported."""
    modules = [f"alexnet_core.{path.stem}" for path in sorted((ROOT / "alexnet_core").glob("[a-z]*.py"))]
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(FORBIDDEN['alexnet_core'])}: sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def tracked_texts() -> Iterator[Path]:
    """Text files that git tracks or would track; without git, those in the folders of this project."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        paths = [ROOT / line for line in listing.stdout.splitlines()]
    else:
        folders = ("alexnet_core", "analysis", "viz_app", "tests")
        paths = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*"))
    return (path for path in paths if path.is_file() and path.suffix in TEXTS)


def lines_with(pattern: str | re.Pattern[str], path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [f"{path}:{n}" for n, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]


def test_no_removed_argument_of_streamlit_is_used() -> None:
    used = [hit for path in (ROOT / "viz_app").rglob("*.py") for hit in lines_with("|".join(REMOVED_ARGUMENTS), path)]
    assert used == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    texts = [path for path in tracked_texts() if path != Path(__file__).resolve()]
    assert len(texts) > 20
    assert [hit for path in texts for hit in lines_with(MACHINE_PATH, path)] == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("data = Path('/home/kim/photos')", True),
        ("cd /root/project", True),
        ("C = '/Users/kim/x'", True),
        ("see https://example.org/home/kim/page", False),
        ("the home/kim folder", False),
        ("~/photos and ./work/", False),
    ],
)
def test_a_machine_s_folder_is_recognised(tmp_path: Path, line: str, named: bool) -> None:
    (tmp_path / "a.py").write_text(line)
    assert bool(lines_with(MACHINE_PATH, tmp_path / "a.py")) == named

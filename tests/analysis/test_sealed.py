"""Dataclasses that come back from a file as what they were, or not at all."""

import json
from dataclasses import dataclass

import pytest

from analysis.sealed import read_sealed, save_sealed, to_json


@dataclass(frozen=True)
class Part:
    name: str
    share: float | None


@dataclass(frozen=True)
class Whole:
    title: str
    parts: tuple[Part, ...]
    pair: tuple[int, Part]
    by_name: dict[str, tuple[float, float]]


WHOLE = Whole("ü", (Part("a", 0.1), Part("b", None)), (3, Part("c", 1e-9)), {"x": (1.5, 2.0)})


def test_a_result_comes_back_as_it_was(tmp_path):
    save_sealed(WHOLE, tmp_path / "new" / "file.json")
    assert read_sealed(tmp_path / "new" / "file.json", Whole) == WHOLE
    assert json.loads((tmp_path / "new" / "file.json").read_text())["report"] == to_json(WHOLE)


@pytest.mark.parametrize(
    ("old", "new"), [("0.1", "0.2"), ('"format_version": 1', '"format_version": 7'), ('"ü"', '"u"')]
)
def test_a_changed_file_is_refused_by_name(tmp_path, old, new):
    file = tmp_path / "file.json"
    save_sealed(WHOLE, file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"file.json is not a readable"):
        read_sealed(file, Whole)


def test_a_result_of_another_kind_is_refused(tmp_path):
    save_sealed(WHOLE.parts[0], tmp_path / "file.json")
    with pytest.raises(ValueError, match="not a readable"):
        read_sealed(tmp_path / "file.json", Whole)

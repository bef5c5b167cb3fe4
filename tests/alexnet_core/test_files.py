"""Files are whole or not there."""

import json
from pathlib import Path

import pytest

from alexnet_core.files import sha256_of_file, sha256_of_values, write_json, written_beside


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")
    with written_beside(file) as beside:
        beside.write_bytes(b"new")
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def _write_half(file: Path) -> None:
    with written_beside(file) as beside:
        beside.write_bytes(b"half")
        raise OSError("The disk is full.")


def test_an_error_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="full"):
        _write_half(file)
    assert [(f, f.read_bytes()) for f in tmp_path.iterdir()] == [(file, b"old")]


def test_json_comes_back_with_every_letter(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Möwe", "n": [1, None]})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": "Möwe", "n": [1, None]}


def test_hashes_are_those_of_the_bytes_and_of_the_values(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
    assert sha256_of_values("a", ["b"]) == sha256_of_values("a", ("b",)) != sha256_of_values("a", "b")

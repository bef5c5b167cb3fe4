"""Tests of alexnet_core.archive: whole archives come out whole, hostile and torn ones not at all."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alexnet_core.archive import ArchiveError, unpack

FILES = {"top/a/1.bin": b"one", "top/b/2.bin": np.random.default_rng(0).bytes(50_000), "top/empty.txt": b""}
KINDS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def make_archive(file: Path, kind: str, files: dict[str, bytes] = FILES) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return file
    with tarfile.open(file, f"w:{kind.partition('.')[2]}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            add(archive, name, data)
    return file


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, link
    archive.addfile(member, io.BytesIO(data))


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_archive_comes_out_whole_whatever_its_name(kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "data.bin", kind)
    assert unpack(archive, tmp_path / "out", progress=False) == tmp_path / "out"
    assert contents(tmp_path / "out") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin", "out"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_torn_archive_is_an_error_and_leaves_no_folder(kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "data.bin", kind)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(ArchiveError, match=r"data\.bin must be a whole"):
        unpack(archive, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_changed_bytes_inside_are_found(kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "data.bin", kind)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"data\.bin must be a whole"):
        unpack(archive, tmp_path / "out", progress=False)


def test_a_wrong_checksum_at_the_very_end_of_a_gzip_is_found(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "data.tgz", "tar.gz")
    data = bytearray(archive.read_bytes())
    data[-8] ^= 0xFF  # the CRC-32, behind all members
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="CRC"):
        unpack(archive, tmp_path / "out", progress=False)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.zip").write_text("hello")
    with pytest.raises(ArchiveError, match=r"must be a whole \.zip or \.tar"):
        unpack(tmp_path / "notes.zip", tmp_path / "out", progress=False)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:/evil.txt"])
def test_a_member_outside_the_folder_is_refused_and_not_written(name: str, kind: str, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "data.bin", kind, {"ok.txt": b"", name: b"evil"})
    with pytest.raises(ArchiveError, match="lies outside"):
        unpack(archive, tmp_path / "deep" / "out", progress=False)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not Path("/evil.txt").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for i, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)):
        with tarfile.open(tmp_path / f"{i}.tar", "w") as archive:
            add(archive, "trap", kind=kind, link="/etc/passwd")
        with pytest.raises(ArchiveError, match="no plain file"):
            unpack(tmp_path / f"{i}.tar", tmp_path / f"out{i}", progress=False)

    link = zipfile.ZipInfo("trap")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveError, match="no plain file"):
        unpack(tmp_path / "link.zip", tmp_path / "out", progress=False)


def test_leavings_of_a_killed_run_do_not_get_into_the_result(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half.jpg").write_bytes(b"half")
    unpack(make_archive(tmp_path / "data.zip", "zip"), tmp_path / "out", progress=False)
    assert contents(tmp_path / "out") == FILES

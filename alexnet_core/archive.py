"""Unpacks a .zip or .tar archive of images, and nothing outside the folder it is given."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

DAMAGE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


class ArchiveError(ValueError):
    """The archive is damaged, of an unknown kind, or holds something other than plain files inside itself."""


def unpack(archive: Path, folder: Path, *, progress: bool = True) -> Path:
    """Unpacks a .zip or a .tar (plain, .gz, .bz2, .xz) into the new ``folder``, told apart by content.

    Files are written to ``<folder>.partial``, which is renamed at the end: ``folder`` is whole or not there.
    Raises ArchiveError for a damaged or unknown archive, and for members that are links, devices or lie
    outside.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _reported(archive):
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, partial, progress)
        else:
            _unpack_tar(archive, partial, progress)
    return partial.rename(folder)


@contextmanager
def _reported(archive: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        text = f"{archive} must be a whole .zip or .tar archive (.gz, .bz2 or .xz): {error}."
        raise ArchiveError(text) from error


def _unpack_zip(archive: Path, folder: Path, progress: bool) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in tqdm(members, f"unpacking {archive.name}", unit=" files", disable=not progress):
            _check(archive, member.filename, plain=not stat.S_ISLNK(member.external_attr >> 16))
            opened.extract(member, folder)  # checks the CRC


def _unpack_tar(archive: Path, folder: Path, progress: bool) -> None:
    with (
        archive.open("rb") as raw,
        tqdm.wrapattr(
            raw, "read", archive.stat().st_size, f"unpacking {archive.name}", disable=not progress
        ) as counted,
        tarfile.open(fileobj=counted) as opened,
    ):
        for member in opened:
            _check(archive, member.name, plain=member.isfile() or member.isdir())
            opened.extract(member, folder, filter="data")
        _read_to_end(opened)


def _read_to_end(opened: tarfile.TarFile) -> None:
    """Reads past the last member, because the compressor's checksum stands behind it."""
    while opened.fileobj and opened.fileobj.read(2**20):
        pass


def _check(archive: Path, name: str, *, plain: bool) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise ArchiveError(f"{archive} holds {name!r}, which lies outside the archive; it is not unpacked.")
    if not plain:
        raise ArchiveError(f"{archive} holds {name!r}, which is no plain file or folder; it is not unpacked.")

"""Downloads one large file over unreliable connections: resumes, shows progress, checks the MD5."""

import hashlib
import time
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

BLOCK = 2**18  # bytes read and written at once
TIMEOUT = 30.0  # seconds without a byte


class DownloadError(OSError):
    """The file could not be fetched; the message says why and what to do."""


class _Progress(NamedTuple):
    """State of a ``.part`` file after one connection."""

    have: int  # bytes
    total: int | None  # bytes, None where the server did not say

    @property
    def complete(self) -> bool:
        return self.total is None or self.have == self.total


def download(
    url: str,
    file: Path,
    *,
    md5: str | None = None,
    retries: int = 5,
    pause: float = 1.0,
    progress: bool = True,
) -> Path:
    """Fetches ``url`` to ``file`` unless it is there already, and returns ``file``.

    Bytes gather in ``<file>.part``, which a later call continues (HTTP Range; a server that ignores it is
    read from the start). A cut connection is tried again after ``pause`` seconds, then twice that and so on,
    until ``retries`` connections in a row brought nothing new.

    Raises DownloadError if the server refuses or stays silent, or the bytes do not have the given MD5 (then
    they are deleted).
    """
    if file.exists():
        _check(file, url, md5)
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    resumed = part.exists()
    _fetch(url, part, retries, pause, progress)
    if resumed and md5 and md5_of(part) != md5:  # the old part may stem from another version of the file
        part.unlink()
        _fetch(url, part, retries, pause, progress)
    try:
        _check(part, url, md5)
    except DownloadError:
        part.unlink()
        raise
    return part.replace(file)


def md5_of(file: Path) -> str:
    """MD5 of a file as hexadecimal digits: what the authors of these data sets publish."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check(file: Path, url: str, md5: str | None) -> None:
    if md5 and (found := md5_of(file)) != md5:
        raise DownloadError(
            f"{file} is not the published file: its MD5 must be {md5}, found {found}. "
            f"Delete it and try again, or fetch {url} in a browser and pass it with --from."
        )


def _fetch(url: str, part: Path, retries: int, pause: float, progress: bool) -> None:
    """Connects until ``part`` is complete or nothing new has come ``retries`` times in a row."""
    furthest, fruitless = _size(part), 0
    while True:
        try:
            state = _connect(url, part, progress)
            if state.complete:
                return
            reason = f"the connection was cut after {state.have:,} of {state.total:,} bytes"
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) and 400 <= error.code < 500:
                text = f"{url} cannot be fetched: {error}. Pass a local copy with --from."
                raise DownloadError(text) from error
            reason = str(error) or type(error).__name__
        fruitless = 0 if _size(part) > furthest else fruitless + 1
        furthest = max(furthest, _size(part))
        if fruitless >= retries:
            raise DownloadError(
                f"{url} could not be fetched: {reason}. Run the command again to continue, "
                "or pass a local copy with --from."
            )
        time.sleep(pause * 2**fruitless)


def _connect(url: str, part: Path, progress: bool) -> _Progress:
    """One connection: appends what comes, or starts over where the server sends the whole file."""
    have = _size(part)
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # nothing beyond what we have: complete, or the part is of another file
            return _beyond_the_end(error, part, have)
        raise
    with response:
        start = have if response.status == 206 else 0
        length = response.headers["Content-Length"]
        total = start + int(length) if length else None
        with (
            part.open("r+b" if start else "wb") as file,
            tqdm(None, part.stem, total, initial=start, unit="B", unit_scale=True, disable=not progress) as bar,
        ):
            file.seek(start)
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    return _Progress(_size(part), total)


def _beyond_the_end(error: HTTPError, part: Path, have: int) -> _Progress:
    with error:
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
    if total != str(have):
        part.unlink()
        have = 0
    return _Progress(have, int(total) if total.isdecimal() else -1)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0

"""Tests of alexnet_core.download against a server on this machine that misbehaves on purpose."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from alexnet_core.download import DownloadError, download, md5_of

DATA = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(DATA).hexdigest()


@dataclass
class Manners:
    """How the server behaves, and what it was asked."""

    data: bytes = DATA
    cut_after: int | None = None  # bytes of a body sent before the connection is closed
    cuts: int = 10**9  # how many times it does that
    ranges: bool = True  # whether it knows Range
    status: int | None = None  # a refusal
    says_length: bool = True
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@contextmanager
def server(manners: Manners) -> Iterator[str]:
    """The address of a file served with these manners."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            manners.asked.append(asked)
            start = int(re.findall(r"\d+", asked)[0]) if asked and manners.ranges else 0
            if manners.status:
                self.send_error(manners.status)
            elif start and start >= len(manners.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(manners.data)}")
                self.end_headers()
            else:
                self.send_body(manners.data[start:], partial=bool(start))

        def send_body(self, body: bytes, *, partial: bool) -> None:
            self.send_response(206 if partial else 200)
            if manners.says_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if manners.cut_after is not None and manners.cuts > 0 and len(body) > manners.cut_after:
                manners.cuts -= 1
                body = body[: manners.cut_after]
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/data.zip"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def fetch(url: str, folder: Path, *, md5: str | None = MD5, retries: int = 3) -> Path:
    return download(url, folder / "data.zip", md5=md5, retries=retries, pause=0, progress=False)


def test_a_file_arrives_whole_and_leaves_no_part(tmp_path: Path) -> None:
    with server(Manners()) as url:
        assert fetch(url, tmp_path / "new").read_bytes() == DATA
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["data.zip"]


def test_cut_connections_are_continued_where_they_broke(tmp_path: Path) -> None:
    manners = Manners(cut_after=300_000)
    with server(manners) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA
    assert manners.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_call_continues_what_an_earlier_one_left(tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(DATA[:400_000])
    manners = Manners()
    with server(manners) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA
    assert manners.asked == ["bytes=400000-"]


def test_a_server_without_range_is_read_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(b"?" * 400_000)
    with server(Manners(ranges=False)) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA


def test_a_server_without_range_that_cuts_a_few_times_is_tried_again(tmp_path: Path) -> None:
    with server(Manners(ranges=False, cut_after=500_000, cuts=2)) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA


def test_a_server_that_never_gets_further_is_given_up_and_the_part_kept(tmp_path: Path) -> None:
    manners = Manners(ranges=False, cut_after=500_000)
    with server(manners) as url, pytest.raises(DownloadError, match=r"cut after 500,000 of 1,000,000 bytes"):
        fetch(url, tmp_path, retries=3)
    assert len(manners.asked) == 4
    assert (tmp_path / "data.zip.part").stat().st_size == 500_000
    assert not (tmp_path / "data.zip").exists()


def test_corrupt_bytes_are_refused_and_deleted(tmp_path: Path) -> None:
    corrupt = bytearray(DATA)
    corrupt[123_456] ^= 1
    with server(Manners(data=bytes(corrupt))) as url, pytest.raises(DownloadError, match=f"MD5 must be {MD5}"):
        fetch(url, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_part_of_another_file_is_noticed_and_everything_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(b"?" * 400_000)
    manners = Manners()
    with server(manners) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA
    assert manners.asked == ["bytes=400000-", None]


@pytest.mark.parametrize("left", [DATA, DATA + b"more"])
def test_a_part_that_is_complete_or_too_long_is_handled(left: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(left)
    with server(Manners()) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA


def test_a_body_of_unknown_length_is_taken_to_its_end_and_checked(tmp_path: Path) -> None:
    with server(Manners(says_length=False)) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA
    with server(Manners(says_length=False, cut_after=10)) as url, pytest.raises(DownloadError, match="MD5"):
        fetch(url, tmp_path / "cut")


def test_a_refusal_is_told_at_once_and_a_server_fault_is_tried_again(tmp_path: Path) -> None:
    refusing, failing = Manners(status=404), Manners(status=503)
    with server(refusing) as url, pytest.raises(DownloadError, match=r"404.*--from"):
        fetch(url, tmp_path)
    with server(failing) as url, pytest.raises(DownloadError, match=r"503.*Run the command again"):
        fetch(url, tmp_path)
    assert (len(refusing.asked), len(failing.asked)) == (1, 3)


def test_nobody_listening_is_one_clear_error(tmp_path: Path) -> None:
    with server(Manners()) as url:
        pass
    with pytest.raises(DownloadError, match=r"could not be fetched: .*refused"):
        fetch(url, tmp_path)


def test_a_file_that_is_there_is_not_fetched_again_but_checked(tmp_path: Path) -> None:
    manners = Manners()
    (tmp_path / "data.zip").write_bytes(DATA)
    with server(manners) as url:
        assert fetch(url, tmp_path).read_bytes() == DATA
        (tmp_path / "data.zip").write_bytes(b"something else")
        with pytest.raises(DownloadError, match="not the published file"):
            fetch(url, tmp_path)
    assert manners.asked == []


def test_without_a_checksum_the_length_alone_decides(tmp_path: Path) -> None:
    with server(Manners(cut_after=300_000)) as url:
        assert fetch(url, tmp_path, md5=None).read_bytes() == DATA


def test_the_md5_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert md5_of(tmp_path / "abc") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321

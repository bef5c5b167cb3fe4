"""Files that are whole or not there: written beside, made durable, renamed."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNFINISHED = ".part"  # at the end of the name of a file that is still being written


@contextmanager
def written_beside(file: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path beside `file` to write to: renamed to `file` if all went well, deleted if not.

    `durable` makes the bytes survive a power cut before the name does.
    """
    beside = file.with_name(f"{file.name}{UNFINISHED}")
    try:
        yield beside
        if durable:
            with beside.open("r+b") as opened:
                os.fsync(opened.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def write_json(file: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write a JSON object, whole or not at all."""
    with written_beside(file, durable=durable) as beside:
        beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of_file(file: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sha256_of_values(*values: Any) -> str:
    """SHA-256 of plain JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

"""Small JPEGs of all images of a gallery, in one Arrow file that is mapped, not read."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from alexnet_core.files import written_beside

SIDE = 96  # pixels at most: a smaller image is not enlarged
QUALITY = 85
_SCHEMA = pa.schema([("jpeg", pa.large_binary())])


class Thumbnails:
    """Read-only JPEGs in gallery order: ``len(thumbnails)``, ``thumbnails[i]`` -> bytes. Callable from any thread.

    Raises ``ValueError`` if the file is missing, cut short or of another kind.
    """

    def __init__(self, file: Path) -> None:
        try:
            with pa.ipc.open_file(pa.memory_map(str(file))) as reader:
                table = reader.read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} is missing or cut short ({error}).") from error
        if table.schema != _SCHEMA:
            raise ValueError(f"{file} must hold one column of JPEGs, found {table.schema.names}.")
        self._jpegs = table.column("jpeg")

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, i: int) -> bytes:
        jpeg: bytes = self._jpegs[i].as_py()
        return jpeg


def write_thumbnails(file: Path, blocks: Iterable[Iterable[bytes]]) -> None:
    """Write JPEGs block by block."""
    with written_beside(file) as beside, pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for block in blocks:
            writer.write_batch(pa.record_batch([pa.array(block, pa.large_binary())], schema=_SCHEMA))


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG of an image (3, s, s), reduced to `SIDE` if it is larger."""
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()

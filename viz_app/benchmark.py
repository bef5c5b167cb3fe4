"""How long a visitor waits: ``python -m viz_app.benchmark``, a table by default, one JSON object with ``--json``.

Drives the real app in Streamlit's own runtime, without a browser: every figure is the time from an event (an upload
that has arrived, a click, a page chosen) to the last element of the page, with the network and the page warm.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import torch
from PIL import Image
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime import Runtime, RuntimeConfig, SessionClient
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.web import bootstrap

from viz_app import builds
from viz_app.samples import sample, sample_names

MAIN = Path(__file__).with_name("main.py")
MEGAPIXELS_12 = (4000, 3000)
PATIENCE = 120.0  # seconds


class Row(NamedTuple):
    """One thing that a visitor does, how long it took each time (milliseconds), and how long it may take."""

    event: str
    milliseconds: list[float]
    limit: float


class Visitor(SessionClient):
    """A browser with one tab: learns the page's widgets, sends events, waits for the last element."""

    def __init__(self, runtime: Runtime, files: MemoryUploadedFileManager) -> None:
        self.runtime, self.files = runtime, files
        self.session = runtime.connect_session(self, {})
        self.pages: dict[str, str] = {}  # address -> hash
        self.page = ""
        self.widgets: dict[str, tuple[str, str]] = {}  # key -> id, fragment
        self.states: dict[str, WidgetState] = {}
        self.failure = ""
        self.finished = asyncio.Event()

    def write_forward_msg(self, msg: ForwardMsg) -> None:
        """Receive one message of the server."""
        kind = msg.WhichOneof("type")
        if kind == "navigation":
            self.pages = {page.url_pathname: page.page_script_hash for page in msg.navigation.app_pages}
        elif kind == "script_finished":
            self.finished.set()
        elif kind == "delta" and msg.delta.WhichOneof("type") == "new_element":
            name = msg.delta.new_element.WhichOneof("type") or ""
            element = getattr(msg.delta.new_element, name)
            if name == "exception":
                self.failure = f"The app failed: {element.type}: {element.message}"
            if str(getattr(element, "id", "")).startswith("$$ID-"):
                self.widgets[element.id.split("-", 2)[2]] = (element.id, msg.delta.fragment_id)

    async def open(self, address: str) -> float:
        """Choose a page in the menu by its address; returns milliseconds, as all events do."""
        self.page = self.pages[address]
        return await self._run()

    async def click(self, chart: str, point: int) -> float:
        """Click a point of the first trace of a chart."""
        points = [{"curve_number": 0, "point_number": point, "point_index": point}]
        selection = {"points": points, "point_indices": [point], "box": [], "lasso": []}
        self._state(chart).string_value = json.dumps({"selection": selection})
        return await self._run(self.widgets[chart][1])

    async def enter(self, field: str, text: str) -> float:
        """Type into a text field."""
        self._state(field).string_value = text
        return await self._run(self.widgets[field][1])

    async def enter_number(self, field: str, value: int) -> float:
        """Type into a field for whole numbers."""
        self._state(field).double_value = value
        return await self._run(self.widgets[field][1])

    async def press(self, button: str) -> float:
        """Press a button."""
        state = self._state(button)
        state.trigger_value = True
        try:
            return await self._run(self.widgets[button][1])
        finally:
            self.states.pop(state.id, None)

    async def upload(self, data: bytes, name: str) -> float:
        """Hand over one file in the place of those before; the time starts when it has arrived."""
        file = UploadedFileRec(uuid4().hex, name, "image/jpeg", data)
        self.files.add_file(self.session, file)
        state = self._state("upload").file_uploader_state_value
        state.Clear()
        state.uploaded_file_info.add(file_id=file.file_id, name=name, size=len(data))
        return await self._run()

    def _state(self, key: str) -> WidgetState:
        identity = self.widgets[key][0]
        return self.states.setdefault(identity, WidgetState(id=identity))

    async def _run(self, fragment: str = "") -> float:
        message = BackMsg()
        message.rerun_script.page_script_hash = self.page
        message.rerun_script.fragment_id = fragment
        message.rerun_script.widget_states.widgets.extend(self.states.values())
        if not fragment:
            self.widgets = {}  # a full run names all widgets that are left
        self.finished.clear()
        start = time.perf_counter()
        self.runtime.handle_backmsg(self.session, message)
        await asyncio.wait_for(self.finished.wait(), PATIENCE)
        elapsed = time.perf_counter() - start
        if self.failure:
            raise RuntimeError(self.failure)
        left = {identity for identity, _ in self.widgets.values()}
        self.states = {identity: state for identity, state in self.states.items() if identity in left}
        return elapsed * 1000


@asynccontextmanager
async def visitor() -> AsyncIterator[Visitor]:
    """The app in a runtime of its own, and one visitor in it who has opened the first page."""
    config._main_script_path = str(MAIN)  # as ``streamlit run`` does: the settings lie beside the script
    bootstrap.load_config_options({})
    files = MemoryUploadedFileManager("/upload")
    runtime = Runtime(RuntimeConfig(str(MAIN), MemoryMediaFileStorage("/media"), files))
    await runtime.start()
    try:
        yield Visitor(runtime, files)
    finally:
        runtime.stop()
        await runtime.stopped


def photos(count: int, rng: np.random.Generator) -> list[bytes]:
    """So many different 12-megapixel JPEGs: a sample photo, enlarged, with camera noise."""
    with Image.open(BytesIO(sample(sample_names()[0]).data)) as picture:
        large = np.asarray(picture.convert("RGB").resize(MEGAPIXELS_12, Image.Resampling.BICUBIC)).astype(np.int16)
    return [_jpeg(large + rng.integers(-6, 7, large.shape, dtype=np.int16)) for _ in range(count)]


def _jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


async def measure(repeats: int, rng: np.random.Generator) -> list[Row]:
    """Every event `repeats` times, and once before, which is not counted."""
    async with visitor() as guest:
        await guest._run()
        while any(map(builds.is_running, builds.names())):  # a first start computes the workspace, for a minute
            await asyncio.sleep(0.2)
        files = photos(repeats + 1, rng)
        uploads = [await guest.upload(data, f"photo-{number}.jpg") for number, data in enumerate(files)]
        (board,) = (key for key in guest.widgets if key.startswith("board_"))
        units = [await guest.click(board, number % 48) for number in range(repeats + 1)]
        visits = [(await guest.open("kernels"), await guest.open("")) for _ in range(repeats + 1)]
        await guest.open("kernels")
        kernels = [await guest.click("board", number % 48) for number in range(repeats + 1)]
        errors = await measure_errors(guest, repeats)
        retrieval = await measure_retrieval(guest, photos(repeats + 1, rng))
    opening_kernels, opening_inspect = zip(*visits, strict=True)
    return [
        Row("upload a 12-megapixel JPEG: to top-5 and all maps", uploads[1:], 400),
        Row("click on a unit (Inspect)", units[1:], 150),
        Row("click on a kernel (Kernels)", kernels[1:], 150),
        Row("open Inspect with that photo", list(opening_inspect[1:]), 1000),
        Row("open Kernels", list(opening_kernels[1:]), 1000),
        *errors,
        *retrieval,
    ]


async def measure_errors(guest: Visitor, repeats: int) -> list[Row]:
    """The events of the Errors page; none where the workspace has no predictions."""
    opening = [(await guest.open("errors"), await guest.open("kernels"))[0] for _ in range(repeats + 1)]
    await guest.open("errors")
    if "thumbnails" not in guest.widgets:
        return []
    filtering = [await guest.enter("find", chr(ord("a") + number % 26)) for number in range(repeats + 1)]
    await guest.enter("find", "")
    turning = [await guest.press("page_1") for _ in range(repeats + 1)]
    images = [await guest.press("image_1") for _ in range(repeats + 1)]
    return [
        Row("open Errors", opening[1:], 1000),
        Row("type into a filter (Errors)", filtering[1:], 300),
        Row("turn the page (Errors)", turning[1:], 300),
        Row("open the next image and its card (Errors)", images[1:], 500),
    ]


async def measure_retrieval(guest: Visitor, files: list[bytes]) -> list[Row]:
    """The events of the Retrieval page; none where the workspace has no index."""
    opening = [(await guest.open("retrieval"), await guest.open("kernels"))[0] for _ in files]
    await guest.open("retrieval")
    if "upload" not in guest.widgets:
        return []
    uploads = [await guest.upload(data, f"query-{number}.jpg") for number, data in enumerate(files)]
    walks = [await guest.enter_number("asked_row", number) for number in range(len(files))]
    return [
        Row("open Retrieval", opening[1:], 1000),
        Row("upload a 12-megapixel JPEG: to six neighbours", uploads[1:], 300),
        Row("walk to another image (Retrieval)", walks[1:], 300),
    ]


def table(rows: list[Row]) -> str:
    """Rows as text."""
    lines = [f"{'event':<50} {'median':>8} {'fastest':>8} {'slowest':>8} {'limit':>8}   milliseconds"]
    for row in rows:
        times = (median(row.milliseconds), min(row.milliseconds), max(row.milliseconds), row.limit)
        lines.append(f"{row.event:<50} " + " ".join(f"{value:8.0f}" for value in times))
    return "\n".join(lines)


def as_json(rows: list[Row]) -> str:
    """Rows and what they were measured on, as one JSON object."""
    events = [
        {
            "event": row.event,
            "median_ms": median(row.milliseconds),
            "limit_ms": row.limit,
            "milliseconds": row.milliseconds,
        }
        for row in rows
    ]
    return json.dumps({"events": events, "cpus": os.cpu_count(), "torch_threads": torch.get_num_threads()})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="how often each event is timed (default: 9)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    rows = asyncio.run(measure(args.repeats, np.random.default_rng()))
    print(as_json(rows) if args.json else table(rows))


if __name__ == "__main__":
    main()

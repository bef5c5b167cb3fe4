"""The benchmark's events on the Errors page do what a visitor does."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime

from analysis.workspace import Workspace
from viz_app import resources
from viz_app.benchmark import Row, Visitor, measure_errors, visitor


@pytest.fixture(autouse=True)
def _app(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The small workspace is the one that is chosen first; no trace of the runtime afterwards."""
    monkeypatch.setattr(resources, "default_workspace", lambda: mine)
    yield
    Runtime._instance = None
    st.cache_resource.clear()
    st.cache_data.clear()


async def measured(repeats: int) -> list[Row]:
    async with visitor() as guest:
        await guest._run()
        return await measure_errors(guest, repeats)


def test_every_event_is_timed_and_reaches_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    receive = Visitor.write_forward_msg

    def listen(guest: Visitor, message: ForwardMsg) -> None:
        element: Any = message.delta.new_element
        texts.append(element.markdown.body)
        receive(guest, message)

    monkeypatch.setattr(Visitor, "write_forward_msg", listen)
    rows = asyncio.run(measured(2))
    assert len(rows) == 4
    assert all(len(row.milliseconds) == 2 and min(row.milliseconds) > 0 for row in rows)
    assert any("that pass the filters" in text for text in texts)
    opened = [text for text in texts if "#### Image" in text]
    assert len(set(opened)) == 3

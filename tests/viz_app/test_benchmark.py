"""The benchmark drives the real app: its events arrive, and its report is complete."""

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime

from alexnet_core import Checkpoint, build_model
from alexnet_core.preprocess import Preprocess
from viz_app import benchmark, inputs, resources
from viz_app.benchmark import MEGAPIXELS_12, Row, Visitor, as_json, measure, photos, table


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A network in memory, small photos, and no trace of the runtime afterwards."""
    model = build_model("chm145", 3, input_size=127, generator=torch.Generator().manual_seed(0)).eval()
    preprocess = Preprocess(64, 144, 127, torch.zeros(3, 144, 144), torch.eye(3), torch.ones(3))
    card = {"id": "tiny", "name": "tiny", "classes": [{"id": str(n), "name": str(n)} for n in range(3)]}
    tiny = Checkpoint(model.requires_grad_(False), card, preprocess)
    monkeypatch.setattr(resources, "load_checkpoint", lambda name: tiny)
    monkeypatch.setattr(inputs, "workspace_choices", lambda: ["tiny (checkpoint only)"])
    monkeypatch.setattr(benchmark, "MEGAPIXELS_12", (160, 120))
    yield
    Runtime._instance = None
    st.cache_resource.clear()
    st.cache_data.clear()


def test_every_photo_is_a_different_jpeg_of_12_megapixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "MEGAPIXELS_12", MEGAPIXELS_12)
    first, second = photos(2, np.random.default_rng(0))
    assert first != second
    assert np.prod(Image.open(benchmark.BytesIO(first)).size) == 12_000_000


def test_events_reach_the_app_and_every_one_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def listen(guest: Visitor, message: ForwardMsg) -> None:
        if message.WhichOneof("type") == "delta":
            texts.append(message.delta.new_element.markdown.body)
        receive(guest, message)

    receive = Visitor.write_forward_msg
    monkeypatch.setattr(Visitor, "write_forward_msg", listen)
    rows = asyncio.run(measure(2, np.random.default_rng(0)))
    assert len(rows) == 5
    assert all(len(row.milliseconds) == 2 and min(row.milliseconds) > 0 for row in rows)
    for unit in range(3):
        assert any(f"Unit {unit} of relu1 (tower A)" in text for text in texts)


def test_an_app_that_fails_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_checkpoint", lambda name: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        asyncio.run(measure(1, np.random.default_rng(0)))


def test_the_report_gives_the_median_of_every_event() -> None:
    rows = [Row("click", [3.0, 1.0, 2.0], 150)]
    assert "click" in table(rows)
    assert " 2 " in table(rows)
    report = json.loads(as_json(rows))
    assert report["events"] == [{"event": "click", "median_ms": 2.0, "limit_ms": 150, "milliseconds": [3.0, 1.0, 2.0]}]

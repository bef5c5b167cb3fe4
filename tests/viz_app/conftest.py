"""Fixtures of the app's tests: no page starts a real build; a lesion result with a known answer."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import streamlit as st
from numpy.typing import NDArray

from analysis.lesions.dissociation import INTACT, Controls, LesionReport, Off, compare, rank_among, verdict_of
from analysis.lesions.lesion import MODES, SCOPES
from viz_app import builds
from viz_app.figures import rows, theme


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have been built, with the options of the command; nothing is."""
    calls: list[tuple[str, ...]] = []

    def record(workspace: str, *options: str, afterwards: object = None) -> None:
        calls.append((workspace, *options))
        builds._builds[workspace] = builds.Build()

    monkeypatch.setattr(builds, "_builds", {})
    monkeypatch.setattr(builds, "_asked", set())
    monkeypatch.setattr(builds, "start", record)
    return calls


@pytest.fixture(scope="module")
def fresh_caches() -> Iterator[None]:
    """What the pages of one test file keep is not there for the next one."""
    yield
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="module")
def checked_by_plotly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Names and values that plotly does not know fail in this file's `figures`; the page leaves its checks out."""
    plain = theme.plain_figure

    def checked(traces: list[dict[str, Any]], layout: dict[str, Any], *, height: int) -> go.Figure:
        go.Figure(traces, layout)
        return plain(traces, layout, height=height)

    with pytest.MonkeyPatch.context() as patch:
        for module in (request.module.figures, rows):
            if hasattr(module, "plain_figure"):
                patch.setattr(module, "plain_figure", checked)
        yield


def planted_report(checkpoint_id: str = "tiny", *, factors: bool = True, controls: int = 200) -> LesionReport:
    """A lesion result in which tower A carries hue and tower B shape, built by the project's own functions."""
    rng = np.random.default_rng(0)
    names = ("shape", "hue") if factors else ()

    def right(shape: float, hue: float) -> NDArray[np.bool_]:
        shapes, hues = rng.random(500) < shape, rng.random(500) < hue
        return np.stack([shapes & hues, shapes | hues, *([shapes, hues] if factors else [])])

    hits = {INTACT: right(0.9, 0.9)}
    for scope, mode in product(SCOPES, MODES):
        hits |= {Off(0, scope, mode): right(0.85, 0.4), Off(1, scope, mode): right(0.3, 0.8)}
    conditions, dissociations = compare(hits, names, rng, resamples=500)
    measures = ("top1", "top5", *names, *(["hue - shape"] if factors else []))
    found = tuple(
        Controls(
            tower=tower,
            scope="conv1-conv2",
            mode="zero",
            n=controls,
            images=100,
            precision="float32",
            ranks={name: rank_among(0.45 - 0.9 * tower, rng.normal(0, 0.05, controls)) for name in measures},
            units={"relu1": 48, "relu2": 128},
            norm_error={"relu1": 0.004, "relu2": 0.009},
            overlap={"relu1": 0.5, "relu2": 0.52},
        )
        for tower in ((0, 1) if controls else ())
    )
    return LesionReport(
        checkpoint="tiny",
        checkpoint_id=checkpoint_id,
        dataset="prism-128",
        data_hash="",
        split="val",
        images=500,
        factors=names,
        resamples=500,
        seed=0,
        reference="50 images of train",
        verdict=verdict_of(conditions, dissociations, found),
        conditions=conditions,
        dissociations=dissociations,
        controls=found,
    )


@pytest.fixture(scope="session")
def make_report() -> Callable[..., LesionReport]:
    """Maker of lesion results with a known answer."""
    return planted_report

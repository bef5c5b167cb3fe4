"""Fixtures that many tests share: a tiny network, photographs, the real data sets where they lie."""

import os
from pathlib import Path

import pytest
import torch

from alexnet_core.model import AlexNet, build_model

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two torch threads on a busy two-core machine are slower than one (style.md, pitfall 24)."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own data home."""
    monkeypatch.setenv("ALEXNET_HOME", str(tmp_path / "alexnet-home"))


@pytest.fixture(scope="session")
def tiny_model() -> AlexNet:
    """The two-tower network of the starter's geometry with random weights: 127 px, 10 classes. Read-only."""
    model = build_model("chm145", 10, input_size=127, generator=torch.Generator().manual_seed(0))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets' archives; skips on a user's machine, fails where CI must have it."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    message = f"{SHARED_DATA} does not exist: this test reads the real data sets that lie there."
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)

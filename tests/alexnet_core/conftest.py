"""Fixture of the core's tests: torchvision as an independent implementation."""

from importlib import import_module
from types import ModuleType

import pytest
import torch

_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where its compiled half was built for another torch and its operators are missing.

    Nothing tested here calls these operators, but the import registers shapes for them.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            _OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import_module("torchvision.transforms.v2")
    return import_module("torchvision")

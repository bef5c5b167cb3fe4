"""Freed memory is used again: the system counts the pages that it had to provide."""

import platform
import subprocess
import sys

import pytest

PAGES = """
import resource
import torch
from alexnet_core import memory

{call}
for _ in range(3):
    torch.empty(16 * 2**20).fill_(1)  # 64 MiB, 16,384 pages of 4 KiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(16 * 2**20).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(call: str) -> int:
    """Pages provided for ten tensors of 64 MiB, one after the other, after three such were freed."""
    done = subprocess.run([sys.executable, "-c", PAGES.format(call=call)], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_freed_memory_is_used_again() -> None:
    assert pages("assert memory.reuse_freed_memory()") < 2_000
    assert pages("") > 10 * 2_000  # by default the system is asked again every time


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from alexnet_core import memory

    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.reuse_freed_memory()
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # a C library without mallopt
    assert not memory.reuse_freed_memory()

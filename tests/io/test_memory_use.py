"""The memory of this process, compared with what an allocation adds."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from rotated_atss.io import memory_use
from rotated_atss.io.memory_use import resident_bytes


def test_an_allocation_adds_its_size():
    before = resident_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    pages = mmap.mmap(-1, 64 * 2**20)  # not an array, which may take memory that was freed before
    np.frombuffer(pages, np.uint8)[:] = 1
    assert resident_bytes() - before > 0.7 * len(pages)


def test_without_proc_the_maximum_is_returned(monkeypatch, tmp_path):
    pytest.importorskip("resource")
    now = resident_bytes()
    monkeypatch.setattr(memory_use, "_STATM", tmp_path / "missing")
    assert resident_bytes() > 0.5 * now

"""The memory of this process, compared with what an allocation adds."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.io import memory_use
from rotated_atss.io.memory_use import resident_bytes


def test_an_allocation_adds_its_size():
    before = resident_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    data = np.ones(64 * 2**20, np.uint8)  # ones, because zeros take no memory until they are written
    assert resident_bytes() - before > 0.7 * data.nbytes


def test_without_proc_the_maximum_is_returned(monkeypatch, tmp_path):
    pytest.importorskip("resource")
    now = resident_bytes()
    monkeypatch.setattr(memory_use, "_STATM", tmp_path / "missing")
    assert resident_bytes() > 0.5 * now

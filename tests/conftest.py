"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "ROTATED_ATSS_DATA"
if str(ROOT) not in sys.path:  # tests import shared references as tests.references
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """``shared_data("dota_sample", "images") -> Path`` of real data, or a skip that says what is missing.

    The folder is ``$ROTATED_ATSS_DATA`` or ``../shared/data`` beside the checkout. Never write into it.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")

    def locate(*parts: str) -> Path:
        path = folder.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"real data absent: {path} (set {DATA_VARIABLE} to the folder that holds it)")
        return path

    return locate

"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotated_atss.io.cpu_threads import set_wait_policy
from rotated_atss.mmcv_ext import has_compiled_mmcv_ops, provide_mmcv_ext

set_wait_policy()
provide_mmcv_ext()

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "ROTATED_ATSS_DATA"
if str(ROOT) not in sys.path:  # tests import shared references as tests.references
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """Function that returns a path of real data, ``shared_data("dota_sample", "images")``, or skips the test.

    The data folder is ``$ROTATED_ATSS_DATA`` or ``../shared/data``, relative to the checkout. Tests do not write to it.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")

    def locate(*parts: str) -> Path:
        path = folder.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no real data: {path} (set {DATA_VARIABLE} to the folder that contains it)")
        return path

    return locate


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that compare with mmcv's compiled ops or DOTA_devkit where these are not installed."""
    if has_compiled_mmcv_ops():
        return
    skip = pytest.mark.skip(reason="no baselines installed: run make setup-baselines")
    for item in items:
        if item.get_closest_marker("baseline"):
            item.add_marker(skip)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Run torch on one thread, which is faster for small images."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Checkpoints that must not be loaded, and MMEngine's unrestricted loaders."""

import importlib.util
import os

import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path):
    """An object that creates the folder ``tmp_path / "made"`` when it is unpickled."""
    return Trap(tmp_path / "made")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Checkpoints of another model, cut short, and with code."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}, "meta": {}}, folder / "other.pth")
    (folder / "cut.pth").write_bytes((folder / "other.pth").read_bytes()[:300])
    torch.save({"state_dict": {}, "meta": Trap(folder / "made")}, folder / "evil.pth")
    return folder


@pytest.fixture
def unrestricted_loaders(monkeypatch):
    """MMEngine's own loaders, as in a process that has loaded no config of this package."""
    spec = importlib.util.spec_from_file_location("mmengine.runner.fresh_checkpoint", mmengine_checkpoint.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name in ("_safe_torch_load", "load_url"):
        monkeypatch.setattr(mmengine_checkpoint, name, getattr(fresh, name))

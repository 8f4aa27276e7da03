"""One-line errors, logs of a run, and checkpoints that must not be loaded."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint

from rotated_atss.errors import UserError
from tests.references.pickles import Trap


@pytest.fixture
def fault():
    """``fault(call, *args, **kwargs) -> str``: the one-line error that a call must raise."""

    def call_and_catch(call, *args, **kwargs):
        with pytest.raises(UserError) as caught:
            call(*args, **kwargs)
        assert not any(part in str(caught.value) for part in ("\n", "\x1b", "Traceback"))
        return str(caught.value)

    return call_and_catch


@pytest.fixture
def read_log():
    """``read_log(work_dir) -> str``: the log of the latest run."""
    return lambda work_dir: sorted(Path(work_dir).glob("*/*.log"))[-1].read_text()


@pytest.fixture
def read_scalars():
    """``read_scalars(work_dir, key="loss") -> [(step, value), ...]``: logged scalars of the latest run, unrounded."""

    def read(work_dir, key="loss"):
        path = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))[-1]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [(row["step"], row[key]) for row in rows if key in row]

    return read


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


@pytest.fixture
def describe():
    """``describe(config, **changes)`` returns the record of an untrained model with the classes a and b."""
    from rotated_atss.detection.engine.config import build_model, load_config
    from rotated_atss.detection.engine.model_metadata import default_window, describe_model

    def call(name, **changes):
        cfg = load_config(name, changes)
        with torch.device("meta"):
            model = build_model(cfg)
        return describe_model(cfg, model, ["a", "b"], window=default_window(cfg))

    return call

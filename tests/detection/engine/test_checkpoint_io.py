"""Checkpoints of every kind: read without running their code, and refused in one line where they do not fit."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from rotated_atss.detection.engine.checkpoint_io import check_fits, check_resumable, read_checkpoint, state_dict_of
from rotated_atss.errors import UserError


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def model():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def saved(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def fault(call, *args):
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_layouts(tmp_path, model):
    state = model.state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for content in (state, {"state_dict": state}, {"state_dict": wrapped, "meta": {}}, {"state_dict": wrapped}):
        read = state_dict_of(read_checkpoint(saved(tmp_path / "a.pth", content)))
        assert list(read) == list(state)
        assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize("zipped", [True, False])
def test_older_checkpoint_of_mmdetection_2_or_mmrotate_0(tmp_path, model, zipped):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    meta = dict(
        env_info="sys.platform: linux",
        config="model = dict()\n",
        seed=0,
        exp_name="rotated_atss.py",
        mmrotate_version="0.3.4+",
        CLASSES=("plane", "ship"),
        PALETTE=[(165, 42, 42)],
        epoch=12,
        iter=38400,
        hook_msgs=dict(),
        mean=np.float64(0.5),
    )
    content = dict(meta=meta, state_dict=model.state_dict(), optimizer=optimizer.state_dict())
    path = saved(tmp_path / "old.pth", content, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert read["meta"]["CLASSES"] == ("plane", "ship")
    check_fits(model, state_dict_of(read), path)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, model):
    trapped = {"state_dict": model.state_dict(), "meta": Trap(tmp_path / "made")}
    path = saved(tmp_path / "evil.pth", trapped)
    message = fault(read_checkpoint, path)
    assert message.startswith(f"{path}: not loaded, for safety: it holds posix.mkdir, which may run code")
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Trap(tmp_path / "made")))
    assert str(bare) in fault(read_checkpoint, bare)
    assert not (tmp_path / "made").exists()


def test_mmengines_own_loader_runs_no_code_either(tmp_path, monkeypatch):
    path = saved(tmp_path / "evil.pth", {"state_dict": Trap(tmp_path / "made")})
    assert "for safety" in fault(CheckpointLoader.load_checkpoint, str(path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # as if it had been downloaded
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path.rename(tmp_path / "hub" / "checkpoints" / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint("https://example.invalid/evil.pth")
    assert not (tmp_path / "made").exists()


AGAIN, OTHER = "(copy or download it again)", " (cut short, or another kind of file)"
TEXT = ": it is text (give a file of weights, .pth or .safetensors)"
UNREADABLE = {
    "cut": f": cut short {AGAIN}",
    "empty": f": the file is empty {AGAIN}",
    "text": TEXT,
    "html": TEXT,
    "damaged": f": a zip of something else, or damaged {AGAIN}",
    "bytes": OTHER,
    "old": OTHER,
}


def test_files_that_are_no_checkpoints(tmp_path, model):
    assert fault(read_checkpoint, tmp_path / "none.pth") == f"{tmp_path / 'none.pth'}: no such checkpoint"
    assert "no such checkpoint" in fault(read_checkpoint, tmp_path)
    whole = saved(tmp_path / "whole.pth", {"state_dict": model.state_dict()}).read_bytes()
    other = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"this is no checkpoint\n" * 9,
        "html": b"<!DOCTYPE html><html>404</html>",
        "bytes": bytes(range(256)),
        "old": saved(tmp_path / "old.pth", {}, _use_new_zipfile_serialization=False).read_bytes()[:-9],
        "damaged": whole[:200] + bytes(400) + whole[600:],
    }
    for name, data in other.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        assert fault(read_checkpoint, path) == f"{path}: not a readable checkpoint{UNREADABLE[name]}"
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "not a readable checkpoint" in fault(read_checkpoint, tmp_path / "zip.pth")
    path = saved(tmp_path / "list.pth", [1, 2])
    assert fault(read_checkpoint, path) == f"{path}: holds a list instead of weights"


# -- fitting -----------------------------------------------------------------------------------------------------------


def test_weights_of_another_model(model):
    state = model.state_dict()
    check_fits(model, state, "a.pth")
    check_fits(model, {name: value for name, value in state.items() if "num_batches" not in name}, "a.pth")
    state["0.weight"] = torch.zeros(5, 3)
    state["extra.weight"] = state.pop("0.bias")
    state["extra.bias"] = torch.zeros(1)
    assert fault(check_fits, model, state, "a.pth") == (
        "a.pth: these are weights of another model: 1 missing (first: 0.bias); 2 left over (first: extra.weight); "
        "1 of another shape (first: 0.weight, (5, 3) instead of (2, 3)) (give the config they were trained with)"
    )


def test_only_a_trainings_state_is_resumed(tmp_path, model):
    whole = dict(state_dict=model.state_dict(), meta={}, message_hub={}, optimizer={}, param_schedulers=[])
    check_resumable(model, saved(tmp_path / "whole.pth", whole))
    bare = saved(tmp_path / "bare.pth", model.state_dict())
    assert fault(check_resumable, model, bare).startswith(
        f"{bare}: holds weights but no state of a training to resume (no meta, message_hub, optimizer"
    )
    other = saved(tmp_path / "other.pth", {**whole, "state_dict": {}})
    assert "6 missing (first: 0.weight)" in fault(check_resumable, model, other)

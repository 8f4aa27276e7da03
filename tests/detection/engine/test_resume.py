"""Resuming of training from checkpoints."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.resume import describe_finished_training

pytestmark = pytest.mark.usefixtures("quick")

UNUSABLE = [
    ("evil", "not loaded, for safety"),
    ("cut", "not a readable checkpoint"),
    ("gone", "no such checkpoint"),
    ("other", "weights of another model: "),
]


def test_latest_checkpoint_of_a_moved_folder_is_resumed(run, tmp_path, read_log):
    folder = run({"train_cfg.max_iters": 2})
    moved = folder.rename(tmp_path / "moved")
    assert run({"train_cfg.max_iters": 4}, work_dir=str(moved), resume=True) == moved
    assert "resumed epoch: 0, iter: 2" in read_log(moved)
    assert (moved / "iter_4.pth").is_file()


def test_a_copied_folder_is_resumed_from_its_own_checkpoint(run, tmp_path, read_log):
    folder = run({"train_cfg.max_iters": 2})
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    run({"train_cfg.max_iters": 4}, work_dir=str(copied), resume=True)
    log = read_log(copied)
    assert str(copied / "iter_2.pth") in log
    assert str(folder / "iter_2.pth") not in log


def test_an_empty_last_checkpoint_starts_at_the_beginning(run, tmp_path, read_log):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "last_checkpoint").touch()
    run({"train_cfg.max_iters": 1}, work_dir=str(tmp_path / "work"), resume=True)
    assert "nothing to resume, training starts at the beginning" in read_log(tmp_path / "work")


def test_finished_epochs_name_the_option_that_continues():
    cfg = Config(dict(train_cfg=dict(max_epochs=3)))
    message = describe_finished_training({"meta": {"iter": 9, "epoch": 3}}, cfg)
    assert message == "finished: epoch 3 of 3; raise --epochs to train longer"
    assert describe_finished_training({"meta": {"iter": 6, "epoch": 2}}, cfg) is None


def test_resume_without_a_checkpoint_starts_at_the_beginning(run, read_scalars, read_log):
    folder = run({"train_cfg.max_iters": 1}, resume=True)
    assert f"{folder}: nothing to resume, training starts at the beginning" in read_log(folder)
    assert [step for step, _ in read_scalars(folder)] == [1]


@pytest.mark.parametrize("name, message", UNUSABLE)
def test_unusable_checkpoints_are_not_resumed(foreign, run, name, message, fault):
    error = fault(run, resume=str(foreign / f"{name}.pth"))
    assert error.startswith(f"{foreign / name}.pth: ")
    assert message in error
    assert not (foreign / "made").exists()


def test_bare_weights_are_not_resumed_but_loaded(run, tmp_path, fault):
    content = read_checkpoint(run({"train_cfg.max_iters": 1}) / "iter_1.pth")
    torch.save({"state_dict": content["state_dict"], "meta": {}}, tmp_path / "bare.pth")
    error = fault(run, resume=str(tmp_path / "bare.pth"))
    assert "no training state to resume (no message_hub, optimizer, param_schedulers)" in error
    assert "start from these weights with --init-from" in error
    run({"train_cfg.max_iters": 1, "load_from": str(tmp_path / "bare.pth")})


def test_unusable_latest_checkpoint_is_refused(foreign, run, tmp_path, fault):
    work = tmp_path / "work"
    work.mkdir()
    for name, message in UNUSABLE[:2]:
        (work / "last_checkpoint").write_text(str(foreign / f"{name}.pth"))
        assert message in fault(run, work_dir=str(work), resume=True)
    for name in [str(foreign / "gone.pth")]:
        (work / "last_checkpoint").write_text(name)
        error = fault(run, work_dir=str(work), resume=True)
        assert error.startswith(f"{work / 'last_checkpoint'}: names a checkpoint that does not exist, '{name}'")
    assert not (foreign / "made").exists()

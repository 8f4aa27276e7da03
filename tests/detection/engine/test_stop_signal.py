"""Trainings that a signal ends: the checkpoint, and the losses after it."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch.utils.data.dataloader import _SingleProcessDataLoaderIter

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.resume import latest_checkpoint
from rotated_atss.detection.engine.stop_signal import StopSignalHook
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.errors import UserError
from rotated_atss.io.signals import TerminatedError

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]


@pytest.fixture
def signal_at(monkeypatch):
    """``signal_at(step, number)``: send this process a signal during the loss of a step, counted from 1."""
    plain = RotatedRetinaHead.loss_from_targets

    def arrange(step, number=signal.SIGTERM):
        calls = []

        def loss(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == step:
                os.kill(os.getpid(), number)
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(RotatedRetinaHead, "loss_from_targets", loss)

    return arrange


@pytest.fixture
def losses(read_scalars):
    """``losses(work_dir) -> {step: (loss, lr)}`` of the latest run."""

    def read(work_dir):
        rows = [dict(read_scalars(work_dir, key)) for key in ("loss", "lr")]
        return {step: tuple(row[step] for row in rows) for step in rows[0]}

    return read


def interrupt(call, *args, **kwargs):
    with pytest.raises(TerminatedError) as caught:
        call(*args, **kwargs)
    return caught.value


PUBLISHED = "rotated_atss_obb_r50_fpn_1x_dota_le90"
EPOCHS = {"train_cfg.max_epochs": 2, "train_cfg.val_interval": 9, "train_dataloader.batch_size": 1}


@pytest.mark.parametrize(
    ("workers", "steps"), [(0, (2, 5)), pytest.param(2, (7,), marks=pytest.mark.slow)], ids=["no_workers", "workers"]
)
def test_a_training_continues_within_an_epoch(run_published, losses, signal_at, tmp_path, workers, steps):
    """Five batches per epoch: the signal comes early or at the end of the first epoch, or in the second."""
    changes = {**EPOCHS, "train_dataloader.num_workers": workers}
    whole = run_published(changes, work_dir=str(tmp_path / "whole"), seed=1, deterministic=True)
    for step in steps:
        work = tmp_path / f"work{step}"
        signal_at(step)
        error = interrupt(run_published, changes, work_dir=str(work), seed=1, deterministic=True)
        assert error.exit_code == 143
        note = f"{work / 'interrupted.pth'} is written at iteration {step}; continue with --resume"
        assert str(error) == f"terminated by SIGTERM: {note}"
        first = losses(work)
        run_published(changes, work_dir=str(work), resume=True, deterministic=True)
        second = losses(work)
        assert (list(first), list(second)) == (list(range(1, step + 1)), list(range(step + 1, 11)))
        assert {**first, **second} == losses(whole)
        assert not (work / "interrupted.pth").exists()
        states = [torch.load(folder / "epoch_2.pth", weights_only=False)["state_dict"] for folder in (whole, work)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_iterations_and_another_signal(run, losses, signal_at, tmp_path):
    whole = run(seed=1, deterministic=True)
    signal_at(3, signal.SIGUSR1)
    work = tmp_path / "work"
    assert interrupt(run, work_dir=str(work), seed=1, deterministic=True).exit_code == 128 + signal.SIGUSR1
    first = losses(work)
    run(work_dir=str(work), resume=True, deterministic=True)
    assert {**first, **losses(work)} == losses(whole)


def test_an_epoch_of_another_length_starts_again(run_published, signal_at, tmp_path, read_log, read_scalars):
    signal_at(2)
    work = str(tmp_path / "work")
    interrupt(run_published, {**EPOCHS, "train_cfg.max_epochs": 1}, work_dir=work)
    run_published({**EPOCHS, "train_cfg.max_epochs": 1, "train_dataloader.batch_size": 2}, work_dir=work, resume=True)
    assert "the number of batches per epoch has changed from 5 to 3: epoch 1 starts again" in read_log(work)
    assert len(read_scalars(work)) == 3


def test_an_interrupted_validation_is_repeated(run_published, tmp_path, read_log, monkeypatch):
    work = str(tmp_path / "work")
    plain = Runner.call_hook

    def call_hook(self, name, **kwargs):
        if name == "before_val_iter" and kwargs["batch_idx"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(self, name, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "call_hook", call_hook)
        interrupt(run_published, {"train_cfg.max_epochs": 2}, work_dir=work)
    run_published({"train_cfg.max_epochs": 2}, work_dir=work, resume=True)
    log = read_log(work)
    assert log.index("Epoch(val) [1][3/3]") < log.index("Epoch(train) [2]") < log.index("Epoch(val) [2][3/3]")


LOST_WORKER = [
    RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
    ConnectionResetError(104, "connection reset"),
    EOFError(),
]


@pytest.fixture
def fail_to_load(monkeypatch):
    """``fail_to_load(error, number)``: raise an error at the third batch, where given after a signal."""
    plain = _SingleProcessDataLoaderIter._next_data

    def arrange(error, number=None):
        def next_data(self):
            if self._num_yielded == 2:
                if number is not None:
                    os.kill(os.getpid(), number)
                raise error
            return plain(self)

        monkeypatch.setattr(_SingleProcessDataLoaderIter, "_next_data", next_data)

    return arrange


@pytest.mark.parametrize("error", LOST_WORKER, ids=lambda error: type(error).__name__)
def test_a_lost_data_loading_process_after_a_signal(run_published, fail_to_load, tmp_path, error):
    """A worker that a signal ends closes its connections before its exit can be seen."""
    fail_to_load(error, signal.SIGTERM)
    stopped = interrupt(run_published, EPOCHS, work_dir=str(tmp_path / "work"))
    assert str(stopped).endswith("interrupted.pth is written at iteration 2; continue with --resume")
    assert (tmp_path / "work/interrupted.pth").exists()


@pytest.mark.parametrize(("error", "number"), [(LOST_WORKER[1], None), (RuntimeError("a fault"), signal.SIGTERM)])
def test_another_error_of_the_data_loading_is_raised(run_published, fail_to_load, tmp_path, error, number):
    fail_to_load(error, number)
    with pytest.raises(type(error)) as caught:
        run_published(EPOCHS, work_dir=str(tmp_path / "work"))
    assert caught.value is error


def test_a_checkpoint_that_cannot_be_written_after_a_signal(run_published, signal_at, tmp_path, monkeypatch):
    def save_checkpoint(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    signal_at(2)
    monkeypatch.setattr(Runner, "save_checkpoint", save_checkpoint)
    with pytest.raises(UserError, match="cannot write the checkpoint: No space left"):
        run_published(EPOCHS, work_dir=str(tmp_path / "work"))


def test_the_newest_checkpoint_is_found_without_its_pointer(tmp_path):
    for number, name in enumerate(["epoch_9.pth", "interrupted.pth", "epoch_10.pth", "other.pth"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"
    (tmp_path / "last_checkpoint").touch()
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"


@pytest.mark.slow
def test_a_signal_to_all_processes_ends_the_command_with_a_checkpoint(tiny_published_options, tmp_path, repo_root):
    """A batch system signals the data loading processes, too."""
    changes = {**EPOCHS, "train_cfg.max_epochs": 500, "train_dataloader.num_workers": 2}
    load_config(PUBLISHED, {**tiny_published_options, **changes}).dump(tmp_path / "long.py")
    arguments = [sys.executable, "-m", "rotated_atss", "train", "long.py", "--work-dir", "work"]
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repo_root)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while process.poll() is None and not list(tmp_path.glob("work/epoch_1.pth")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + signal.SIGTERM
    lines = [line for line in error.splitlines() if "mmengine" not in line]
    written = f"{tmp_path / 'work' / 'interrupted.pth'} is written"
    assert lines[-1].startswith(f"rotated-atss train: terminated by SIGTERM: {written} at iteration ")
    assert "Traceback" not in error
    assert latest_checkpoint(tmp_path / "work") == tmp_path / "work" / "interrupted.pth"


def test_several_optimizers_have_no_common_step(monkeypatch):
    layer = torch.nn.Linear(1, 1)
    wrapper = OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1), accumulative_counts=2)
    hook = StopSignalHook(SimpleNamespace(signal=signal.SIGTERM))
    saved = []
    monkeypatch.setattr(hook, "_save_and_end", lambda runner, meta: saved.append(meta))
    runner = SimpleNamespace(epoch=0, iter=4, optim_wrapper=OptimWrapperDict(first=wrapper))
    hook.after_train_iter(runner, 0)
    assert saved == [dict(epoch=0, iter=5)]

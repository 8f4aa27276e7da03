"""Work folders that contain an earlier training, or in which another training runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.work_folder import RemoveCheckpointsHook
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock

PUBLISHED = "rotated_atss_obb_r50_fpn_1x_dota_le90"
ADVICE = "(continue with --resume, choose another --work-dir, or replace them with --overwrite)"
ONE_STEP = {"train_cfg.max_iters": 1}

pytestmark = pytest.mark.usefixtures("quick")


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["epoch_2.pth", "iter_500.pth", "interrupted.pth", "best_AP.pth", "last_checkpoint"])
def test_a_folder_with_checkpoints_is_refused(run, tmp_path, fault, name):
    work = tmp_path / "work"
    work.mkdir()
    (work / name).write_text("old")
    message = f"{work}: the work folder must contain no checkpoints of an earlier training, got {name} {ADVICE}"
    assert fault(run, ONE_STEP, work_dir=str(work)) == message
    assert names(work) == [name]
    assert (work / name).read_text() == "old"


def test_overwrite_removes_the_old_checkpoints_when_the_training_starts(run, tmp_path, fault):
    work = tmp_path / "work"
    work.mkdir()
    old = ["best_AP.pth", "epoch_2.pth", "interrupted.pth", "iter_500.pth", "last_checkpoint"]
    for name in [*old, "weights.pth", "train_result.json"]:
        (work / name).write_text("old")
    fault(run, {**ONE_STEP, "optim_wrapper.optimizer.type": "SDG"}, work_dir=str(work), overwrite=True)
    assert {*old, "weights.pth", "train_result.json"} <= set(names(work))
    run(ONE_STEP, work_dir=str(work), overwrite=True)
    left = [name for name in names(work) if name.endswith((".pth", "last_checkpoint"))]
    assert left == ["iter_1.pth", "last_checkpoint", "weights.pth"]
    assert (work / "last_checkpoint").read_text() == str(work / "iter_1.pth")


def test_the_result_of_the_overwritten_training_is_removed_when_the_training_starts(tmp_path):
    (tmp_path / "train_result.json").write_text("old")
    RemoveCheckpointsHook().before_train(SimpleNamespace(work_dir=str(tmp_path)))
    assert names(tmp_path) == []


def test_start_weights_of_the_overwritten_training_are_loaded_first(run, read_log):
    work = run(ONE_STEP)
    run(ONE_STEP, work_dir=str(work), init_from=str(work / "iter_1.pth"), overwrite=True)
    assert "iter_1.pth" in read_log(work)
    assert (work / "iter_1.pth").is_file()


def test_overwrite_and_resume_exclude_each_other(run, fault):
    assert "--overwrite and --resume cannot be combined" in fault(run, ONE_STEP, overwrite=True, resume=True)


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_a_second_training_in_the_folder_is_refused(run, tmp_path, fault, options):
    work = tmp_path / "work"
    work.mkdir()
    before = names(work)
    with run_lock(work / ".train.lock"):
        message = fault(run, ONE_STEP, work_dir=str(work), **options)
    assert message.startswith(f"{work}/.train.lock: another run writes into this folder: process {os.getpid()} on ")
    assert names(work) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError])
def test_the_lock_is_held_during_the_training_and_removed_after_it(run, tmp_path, monkeypatch, error):
    work, locks = tmp_path / "work", []

    def loss(self, *args, **kwargs):
        locks.append((work / ".train.lock").is_file())
        raise error("stop")

    monkeypatch.setattr(RotatedRetinaHead, "loss_from_targets", loss)
    with pytest.raises(error):
        run(ONE_STEP, work_dir=str(work))
    assert locks == [True]
    assert not (work / ".train.lock").exists()


@pytest.fixture
def start(tiny_published_options, tmp_path, repo_root):
    """``start(*words, **environment)``: start a long training of the command line in ``work``."""
    changes = {"train_cfg.max_epochs": 500, "train_cfg.val_interval": 999, "train_dataloader.num_workers": 1}
    load_config(PUBLISHED, {**tiny_published_options, **changes}).dump(tmp_path / "long.py")
    processes = []

    def call(*words, **environment):
        arguments = [sys.executable, "-m", "rotated_atss", "train", "long.py", "--work-dir", "work", *words]
        process = subprocess.Popen(
            arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repo_root), **environment},
        )  # fmt: skip
        processes.append(process)
        return process

    yield call
    for process in processes:
        process.kill()
        process.wait()


def wait_for_checkpoint(process, folder):
    until = time.time() + 120
    while process.poll() is None and not list(folder.glob("epoch_*.pth")) and time.time() < until:
        time.sleep(0.1)


def error_lines(process, seconds=60):
    return [line for line in process.communicate(timeout=seconds)[1].splitlines() if "rotated-atss" in line]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_lock_of_a_running_a_stopped_and_a_killed_training(start, tmp_path):
    first = start()
    wait_for_checkpoint(first, tmp_path / "work")
    second = start("--overwrite")
    (line,) = error_lines(second)
    assert f"another run writes into this folder: process {first.pid} on " in line
    assert (second.returncode, first.poll()) == (2, None)
    first.send_signal(signal.SIGTERM)
    assert "interrupted.pth is written" in error_lines(first)[-1]
    assert not (tmp_path / "work" / ".train.lock").exists()
    for path in (tmp_path / "work").glob("epoch_*.pth"):
        path.unlink()
    third = start("--resume")
    wait_for_checkpoint(third, tmp_path / "work")
    third.kill()
    third.communicate()
    assert (tmp_path / "work" / ".train.lock").exists()
    fourth = start("--resume", "--iterations", "1")
    assert error_lines(fourth) == []
    assert fourth.returncode == 0
    assert not (tmp_path / "work" / ".train.lock").exists()


@pytest.mark.slow
def test_all_processes_end_with_the_error_of_the_first(start, tmp_path):
    (tmp_path / "work").mkdir()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        free_port = found.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "LOCAL_WORLD_SIZE": "2"}
    with run_lock(tmp_path / "work" / ".train.lock"):
        ranks = [start("--launcher", "pytorch", RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in range(2)]
        lines = [error_lines(process) for process in ranks]
    start_of_line = "rotated-atss train: error: work/.train.lock: another run writes into this folder: process "
    for process, (line,) in zip(ranks, lines):
        assert line.startswith(start_of_line)
        assert process.returncode == 2

"""The lock of an output folder."""

import errno
import socket
import subprocess
import sys
import threading
import time

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io import run_lock as module
from rotated_atss.io.run_lock import run_lock


class NoLocks:
    """``fcntl`` on a file system without ``flock``."""

    LOCK_EX = LOCK_NB = 0

    @staticmethod
    def flock(descriptor, flags):
        raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("fcntl", ["real", None, NoLocks])
def test_second_run_is_refused_and_names_the_file_and_the_first(tmp_path, monkeypatch, fcntl):
    if fcntl != "real":
        monkeypatch.setattr(module, "fcntl", fcntl)
    path, message = tmp_path / ".lock", r"/\.lock(\.exclusive)?: another run writes .* process \d+ on "
    with run_lock(path):
        for _ in range(2):
            with pytest.raises(UserError, match=message), run_lock(path):
                pytest.fail("two runs hold the lock")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError), run_lock(path):
        raise ValueError
    with run_lock(path):
        assert list(tmp_path.iterdir())


def test_file_of_a_killed_run_locks_nothing(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / ".lock").write_text("process 1 on another\n" * 9)
    with run_lock(tmp_path / ".lock"):
        assert (tmp_path / ".lock").read_text().count("process") == 1


def test_lock_is_not_taken_on_a_file_that_its_owner_removes(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    path, calls = tmp_path / ".lock", []

    class Removed:
        LOCK_EX, LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_NB

        @staticmethod
        def flock(descriptor, flags):
            if not calls:
                path.unlink()
            calls.append(descriptor)
            fcntl.flock(descriptor, flags)

    monkeypatch.setattr(module, "fcntl", Removed)
    with run_lock(path):
        assert path.exists()
    assert len(calls) == 2


def test_folder_that_cannot_be_written_is_one_line(tmp_path):
    path = tmp_path / "gone" / ".lock"
    with pytest.raises(UserError, match=r"gone/\.lock: the lock cannot be written: No such file"), run_lock(path):
        pass


def test_waits_for_the_workers_of_a_killed_run(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / ".lock"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    path.write_text(f"process {ended.stdout.strip()} on {socket.gethostname()}\n")
    with path.open() as worker:
        fcntl.flock(worker, fcntl.LOCK_EX)
        threading.Timer(0.3, worker.close).start()
        with run_lock(path):
            assert worker.closed


@pytest.mark.parametrize("fcntl", ["real", None])
def test_waits_as_long_as_requested(tmp_path, monkeypatch, fcntl):
    if fcntl != "real":
        monkeypatch.setattr(module, "fcntl", fcntl)
    with run_lock(tmp_path / ".lock"), pytest.raises(UserError, match="another run"), run_lock(tmp_path / ".lock", 0.2):
        pytest.fail("two runs hold the lock")
    taken = threading.Event()

    def hold():
        with run_lock(tmp_path / ".lock"):
            taken.set()
            time.sleep(0.3)

    first = threading.Thread(target=hold)
    first.start()
    taken.wait(10)
    with run_lock(tmp_path / ".lock", wait_s=30):
        first.join(10)
        assert not first.is_alive()

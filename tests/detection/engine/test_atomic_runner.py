"""Atomic writing of checkpoints."""

import errno
import os
from pathlib import Path

import pytest
from mmengine.fileio.backends import LocalBackend

pytestmark = pytest.mark.usefixtures("quick")


def test_full_disk_leaves_no_partial_checkpoint(run, monkeypatch, fault):
    def full(self, data, path):
        Path(path).write_bytes(data[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(LocalBackend, "put", full)
    message = fault(run)
    hint = "(free some space, then start again: nothing was saved)"
    assert f"iter_4.pth: cannot write the checkpoint: No space left on device {hint}" in message
    folder = Path(message.split("iter_4.pth")[0])
    assert folder.is_dir()
    assert not [path for path in folder.iterdir() if "pth" in path.name]
    assert not (folder / "last_checkpoint").exists()


def test_interrupted_save_keeps_the_older_checkpoint(run, monkeypatch):
    changes = {"train_cfg.max_iters": 2, "default_hooks.checkpoint.interval": 1}
    folder = run(changes)
    before = (folder / "iter_2.pth").read_bytes()

    def interrupted(self, data, path):
        Path(path).write_bytes(data[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(changes, work_dir=str(folder), resume=str(folder / "iter_1.pth"))
    assert (folder / "iter_2.pth").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir() if "pth" in path.name) == ["iter_1.pth", "iter_2.pth"]

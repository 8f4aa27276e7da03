"""Errors raised in loader processes."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from rotated_atss.detection.engine.build_errors import strip_worker_traceback
from rotated_atss.errors import UserError

pytestmark = pytest.mark.usefixtures("quick")


class _Killed(Dataset):
    """Dataset whose loader process is killed."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="needs forked loader processes")
def test_killed_loader_process_is_one_line():
    message = r"^a data loader process died: DataLoader worker \(pid.*\d\) .*[^. ] \(possibly out of memory: use fewer"
    with pytest.raises(UserError, match=message), strip_worker_traceback():
        next(iter(DataLoader(_Killed(), num_workers=1)))


class _Missing(Dataset):
    """Dataset whose file does not exist."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return Path("no/such/file").read_bytes()


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_file_is_one_line(workers):
    with (
        pytest.raises(UserError, match=r"^\[Errno 2\] No such file or directory: 'no.such.file'$"),
        strip_worker_traceback(),
    ):
        next(iter(DataLoader(_Missing(), num_workers=workers)))


def test_other_runtime_errors_are_kept():
    with pytest.raises(RuntimeError, match="shapes differ"), strip_worker_traceback():
        raise RuntimeError("shapes differ")


def test_error_of_a_loader_process_is_one_line(run, tiles, tmp_path, fault):
    shutil.copytree(tiles, tmp_path / "tiles")
    broken = sorted((tmp_path / "tiles" / "images").iterdir())
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    for workers in (0, 1):
        changes = {
            "train_dataloader.dataset.data_root": str(tmp_path / "tiles"),
            "train_dataloader.num_workers": workers,
        }
        error = fault(run, changes)
        assert error.endswith(".png: the image is truncated (split again or remove the tile)")
        assert Path(error.split(": ")[0]) in broken

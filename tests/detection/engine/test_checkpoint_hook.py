"""Number of checkpoints on disk, also when one cannot be written."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from mmengine.fileio.backends import LocalBackend

pytestmark = pytest.mark.usefixtures("quick")

EVERY = {"default_hooks.checkpoint.interval": 1}


def names(folder):
    return sorted(path.name for path in folder.iterdir() if "pth" in path.name)


def test_published_configs_keep_three_checkpoints(run):
    folder = run(EVERY)
    assert names(folder) == ["iter_2.pth", "iter_3.pth", "iter_4.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_4.pth")


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(run, monkeypatch, fault, tmp_path):
    plain = LocalBackend.put

    def put(self, data, path):
        if "iter_3" in str(path):
            Path(path).write_bytes(data[:1000])
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        plain(self, data, path)

    with monkeypatch.context() as patch:
        patch.setattr(LocalBackend, "put", put)
        message = fault(run, {**EVERY, "default_hooks.checkpoint.max_keep_ckpts": 1}, work_dir=str(tmp_path / "work"))
    folder = tmp_path / "work"
    hint = "(make the folder writable, then use --resume)"
    assert message == f"{folder / 'iter_3.pth'}: cannot write the checkpoint: Read-only file system {hint}"
    assert names(folder) == ["iter_2.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_2.pth")
    run({**EVERY, "default_hooks.checkpoint.max_keep_ckpts": 1}, work_dir=str(folder), resume=True)
    assert names(folder) == ["iter_4.pth"]


def test_the_best_checkpoint_is_kept(run_published, monkeypatch):
    from rotated_atss.detection.evaluation.dota_metric import DOTAMetric

    scores = iter([0.4, 0.6, 0.5])
    monkeypatch.setattr(DOTAMetric, "compute_metrics", lambda self, results: {"AP50": next(scores)})
    best = {"save_best": "dota/AP50", "rule": "greater", "max_keep_ckpts": 1}
    changes = {f"default_hooks.checkpoint.{key}": value for key, value in best.items()}
    folder = run_published({**changes, "train_cfg.max_epochs": 3})
    assert names(folder) == ["best_dota_AP50_epoch_2.pth", "epoch_3.pth"]


@pytest.mark.parametrize("is_copied", [True, False], ids=["copied_folder", "checkpoint_only"])
def test_the_best_checkpoint_of_the_original_folder_is_kept(run_published, monkeypatch, tmp_path, is_copied):
    from rotated_atss.detection.evaluation.dota_metric import DOTAMetric

    scores = iter([0.4, 0.6])
    monkeypatch.setattr(DOTAMetric, "compute_metrics", lambda self, results: {"AP50": next(scores)})
    changes = {"default_hooks.checkpoint.save_best": "dota/AP50", "default_hooks.checkpoint.rule": "greater"}
    original, work = run_published(changes), tmp_path / "other"
    if is_copied:
        shutil.copytree(original, work)
    resume = is_copied or str(original / "epoch_1.pth")
    run_published({**changes, "train_cfg.max_epochs": 2}, work_dir=str(work), resume=resume)
    assert names(original) == ["best_dota_AP50_epoch_1.pth", "epoch_1.pth"]
    first = ["epoch_1.pth"] if is_copied else []
    assert names(work) == ["best_dota_AP50_epoch_2.pth", *first, "epoch_2.pth"]

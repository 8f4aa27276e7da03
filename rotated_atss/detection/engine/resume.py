"""Checkpoints that training resumes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from rotated_atss.detection.engine.checkpoint_io import check_weights_fit, read_checkpoint, state_dict_of
from rotated_atss.detection.engine.start_weights import refuse_other_classes
from rotated_atss.errors import UserError

TRAINING_STATE = ("meta", "message_hub", "optimizer", "param_schedulers")


def latest_checkpoint(work_dir: Path) -> Path | None:
    """Return the latest checkpoint of a work folder, or None.

    The file ``last_checkpoint`` holds an absolute path. If the folder was moved, its checkpoint of the same name is
    returned.

    Raises:
        UserError: ``last_checkpoint`` names a file that does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     latest_checkpoint(Path(folder)) is None
        True
    """
    pointer = work_dir / "last_checkpoint"
    if not pointer.is_file():
        return None
    name = pointer.read_text().strip()
    for path in (Path(name), work_dir / Path(name).name):
        if path.is_file():
            return path
    what = f"names a checkpoint that does not exist, '{name}'"
    raise UserError(what, where=pointer, hint="give one: --resume CHECKPOINT")


def check_resumable(model: nn.Module, path: str | Path, classes: tuple[str, ...] | None = None) -> dict:
    """Raise an error unless training can resume from a checkpoint.

    Args:
        model: The detector without wrappers.
        path: The checkpoint.
        classes: Class names of the training data, if known.

    Returns:
        The content of the checkpoint.

    Raises:
        UserError: The file cannot be read, its weights do not fit the model, it was trained on other classes, or it has
            no training state.

    Example:
        >>> import tempfile, torch
        >>> model = nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(dict.fromkeys(TRAINING_STATE, {}) | {"state_dict": model.state_dict()}, f"{folder}/a.pth")
        ...     sorted(check_resumable(model, f"{folder}/a.pth"))[0]
        'message_hub'
    """
    content = read_checkpoint(path)
    check_weights_fit(model, state_dict_of(content), path)
    refuse_other_classes(content, classes, path)
    missing = [part for part in TRAINING_STATE if part not in content]
    if missing:
        raise UserError(
            f"holds weights but no training state to resume (no {', '.join(missing)})",
            where=path,
            hint="start from these weights with --init-from",
        )
    return content


def is_finished(content: Mapping[str, Any], cfg: Config) -> str | None:
    """Return a line that says that a checkpoint's training is finished, or None if there is more to train.

    Example:
        >>> is_finished({"meta": {"iter": 4, "epoch": 0}}, Config(dict(train_cfg=dict(max_iters=4))))
        'finished: iteration 4 of 4; raise train_cfg.max_iters (--cfg-options) to train longer'
    """
    meta = content.get("meta") or {}
    for key, unit, done in (("max_iters", "iteration", "iter"), ("max_epochs", "epoch", "epoch")):
        length = cfg.train_cfg.get(key)
        if length and meta.get(done, 0) >= length:
            return f"finished: {unit} {meta[done]} of {length}; raise train_cfg.{key} (--cfg-options) to train longer"
    return None

"""Checkpoints that training resumes from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rotated_atss.detection.engine.checkpoint_io import check_weights_fit, read_checkpoint, state_dict_of
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


def check_resumable(model: nn.Module, path: str | Path) -> None:
    """Raise an error unless training can resume from a checkpoint.

    Args:
        model: The detector without wrappers.
        path: The checkpoint.

    Raises:
        UserError: The file cannot be read, its weights do not fit the model, or it has no training state.

    Example:
        >>> import tempfile, torch
        >>> model = nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(dict.fromkeys(TRAINING_STATE, 0) | {"state_dict": model.state_dict()}, f"{folder}/a.pth")
        ...     check_resumable(model, f"{folder}/a.pth")
    """
    content = read_checkpoint(path)
    check_weights_fit(model, state_dict_of(content), path)
    missing = [part for part in TRAINING_STATE if part not in content]
    if missing:
        raise UserError(
            f"holds weights but no training state to resume (no {', '.join(missing)})",
            where=path,
            hint="start from these weights with --cfg-options load_from=PATH",
        )

"""Checkpoints that training resumes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from rotated_atss.detection.engine.checkpoint_io import check_weights_fit, is_finite, state_dict_of
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


def check_resumable(
    model: nn.Module, content: Mapping[str, Any], path: str | Path, classes: tuple[str, ...] | None = None
) -> None:
    """Raise an error unless training can resume from a checkpoint.

    Args:
        model: The detector without wrappers.
        content: The content of the checkpoint.
        path: Path of the checkpoint, for the error.
        classes: Class names of the training data, if known.

    Raises:
        UserError: The weights do not fit the model, it was trained on other classes, there is no training state,
            or the optimizer's is not finite.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> check_resumable(model, dict.fromkeys(TRAINING_STATE, {}) | {"state_dict": model.state_dict()}, "a.pth")
    """
    check_weights_fit(model, state_dict_of(content), path)
    refuse_other_classes(content, classes, path)
    missing = [part for part in TRAINING_STATE if part not in content]
    if missing:
        raise UserError(
            f"holds weights but no training state to resume (no {', '.join(missing)})",
            where=path,
            hint="start from these weights with --init-from",
        )
    if not all(map(is_finite, _tensors_in(content["optimizer"]))):
        what = "the state of the optimizer is NaN or infinite"
        raise UserError(what, where=path, hint="resume an earlier checkpoint, or use --init-from")


def _tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dictionaries and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors_in(item)


def resume_seed(cfg: Config, content: Mapping[str, Any]) -> str | None:
    """Set the seed of a config to that of the checkpoint's training, in place.

    Data is then drawn in the order of that training. MMEngine sets the seed only after the data loader is built.

    Returns:
        A line that says which seed applies if the config has another one.

    Example:
        >>> print(resume_seed(Config(dict(randomness=dict(seed=4))), {"meta": {"seed": 3}}))
        the seed is 3 in the checkpoint and 4 in the config; the checkpoint's applies
    """
    seed = (content.get("meta") or {}).get("seed")
    if not isinstance(seed, int):
        return None
    randomness: dict[str, Any] = dict(cfg.get("randomness") or {})
    given = randomness.get("seed")
    cfg.randomness = {**randomness, "seed": seed}
    if given is None or given == seed:
        return None
    return f"the seed is {seed} in the checkpoint and {given} in the config; the checkpoint's applies"


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

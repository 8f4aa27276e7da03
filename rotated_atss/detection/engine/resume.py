"""Find the checkpoint that a training resumes from, and check that it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from rotated_atss.checkpoints.read_file import is_finite, state_dict_of
from rotated_atss.detection.engine.checkpoint_io import check_weights_fit
from rotated_atss.detection.engine.start_weights import refuse_other_classes
from rotated_atss.errors import UserError

# Keys of a checkpoint from which a training can resume, and of its message_hub, MMEngine's store of logged values.
TRAINING_STATE = ("meta", "message_hub", "optimizer", "param_schedulers")
_HUB_KEYS = ("log_scalars", "runtime_info", "resumed_keys")
POINTER = "last_checkpoint"  # file that names the latest checkpoint
INTERRUPTED = "interrupted.pth"  # checkpoint that a signal caused
_CHECKPOINTS = ("epoch_*.pth", "iter_*.pth", INTERRUPTED)
_HINT = "start from these weights with --init-from"


def latest_checkpoint(work_dir: Path) -> Path | None:
    """Return the latest checkpoint of a work folder, or None.

    The file ``last_checkpoint`` in the folder contains the absolute path of the latest checkpoint. If the folder was
    moved, the checkpoint of the same name in the folder is returned. If ``last_checkpoint`` does not exist or is empty,
    because the process was killed before writing it, the newest checkpoint is returned.

    Raises:
        UserError: ``last_checkpoint`` names a file that does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     latest_checkpoint(Path(folder)) is None
        True
    """
    pointer = work_dir / POINTER
    name = pointer.read_text().strip() if pointer.is_file() else ""
    if not name:
        checkpoints = [path for pattern in _CHECKPOINTS for path in work_dir.glob(pattern)]
        return max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
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
        UserError: The weights do not fit the model or were trained on other classes, or the training state is missing,
            damaged, of another model or not finite.

    Example:
        >>> import pytest
        >>> model = nn.Linear(2, 1)
        >>> with pytest.raises(UserError, match="no training state to resume"):
        ...     check_resumable(model, {"state_dict": model.state_dict()}, "a.pth")
    """
    check_weights_fit(model, state_dict_of(content), path)
    refuse_other_classes(content, classes, path)
    missing = [part for part in TRAINING_STATE if part not in content]
    if missing:
        raise UserError(
            f"holds weights but no training state to resume (no {', '.join(missing)})",
            where=path,
            hint=_HINT,
        )
    _check_training_state(content, path)
    shapes = {parameter.shape for parameter in model.parameters()}
    for optimizer in _optimizers(content["optimizer"]):
        moments = [value for state in optimizer["state"].values() for value in _moments(state)]
        unknown_shapes = [value.shape for value in moments if value.shape not in shapes]
        if unknown_shapes:
            got = tuple(unknown_shapes[0])
            raise UserError(f"the state of the optimizer has a shape {got} that no weight has", where=path, hint=_HINT)
    if not all(map(is_finite, _tensors_in(content["optimizer"]))):
        what = "the state of the optimizer is NaN or infinite"
        raise UserError(what, where=path, hint="resume an earlier checkpoint, or use --init-from")


def _check_training_state(content: Mapping[str, Any], path: str | Path) -> None:
    """Raise an error unless the parts of :data:`TRAINING_STATE` have the form that MMEngine writes."""
    schedulers = content["param_schedulers"]
    # With several optimizers, there is one list of schedules per optimizer.
    schedule_lists = list(schedulers.values()) if isinstance(schedulers, Mapping) else [schedulers]
    hub = content["message_hub"]
    is_valid = {
        "meta": isinstance(content["meta"], Mapping) and {"epoch", "iter"} <= set(content["meta"]),
        "message_hub": isinstance(hub, Mapping) and all(isinstance(hub.get(key), Mapping) for key in _HUB_KEYS),
        "optimizer": all(map(_is_optimizer, _optimizers(content["optimizer"]))),
        "param_schedulers": all(isinstance(part, list) and all(map(_is_mapping, part)) for part in schedule_lists),
    }
    for part, valid in is_valid.items():
        if not valid:
            raise UserError(f"{part} is not that of a training", where=path, hint=_HINT)


def _optimizers(content: Any) -> list[Any]:
    """Return the states of all optimizers: usually one, or several by name, as ``OptimWrapperDict`` saves them."""
    if isinstance(content, Mapping) and "param_groups" not in content:
        return [part for part in content.values() if _is_mapping(part)] or [content]
    return [content]


def _is_optimizer(content: Any) -> bool:
    if not _is_mapping(content) or not isinstance(content.get("param_groups"), list):
        return False
    state = content.get("state")
    has_valid_groups = all(
        _is_mapping(group) and isinstance(group.get("params"), list) for group in content["param_groups"]
    )
    return has_valid_groups and isinstance(state, Mapping) and all(map(_is_mapping, state.values()))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _moments(state: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors in the optimizer state of a weight that have the shape of the weight (SGD, Adam, AdamW)."""
    values = (state.get(name) for name in ("momentum_buffer", "exp_avg", "exp_avg_sq"))
    return [value for value in values if isinstance(value, Tensor)]


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
    """Set the seed of a config, in place, to the seed of the training that wrote the checkpoint.

    Data is then drawn in the order of that training. MMEngine itself would set the seed only after the data loader is
    built.

    Returns:
        A warning that names both seeds if the config has another one, else None.

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
    """Return a message if the training of a checkpoint is finished; None if iterations are left.

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

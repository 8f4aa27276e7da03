"""Find the checkpoint that a training resumes from, and check that it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from rotated_atss.checkpoints.read_file import is_finite, state_dict_of
from rotated_atss.detection.engine.checkpoint_io import check_weights_fit
from rotated_atss.detection.engine.start_weights import reject_other_classes
from rotated_atss.errors import UserError

TRAINING_STATE = ("meta", "message_hub", "optimizer", "param_schedulers")  # keys of a checkpoint, needed for resuming
_HUB_KEYS = ("log_scalars", "runtime_info", "resumed_keys")  # of message_hub, MMEngine's store of logged values
LAST_CHECKPOINT_FILE = "last_checkpoint"  # file that names the latest checkpoint
INTERRUPTED_CHECKPOINT = "interrupted.pth"  # checkpoint written when a signal ends the training
CHECKPOINT_PATTERNS = ("epoch_*.pth", "iter_*.pth", INTERRUPTED_CHECKPOINT)
_HINT = "start from these weights with --init-from"


def latest_checkpoint(work_dir: Path) -> Path | None:
    """Return the latest checkpoint of a work folder, or None.

    The file ``last_checkpoint`` in the folder contains the absolute path of the latest checkpoint. If the folder was
    moved or copied, the path is that of the original folder, so the checkpoint of that name in this folder is returned
    if it exists. If ``last_checkpoint`` does not exist or is empty, as after a kill of the process, the newest
    checkpoint is returned.

    Raises:
        UserError: ``last_checkpoint`` names a file that does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     latest_checkpoint(Path(folder)) is None
        True
    """
    pointer = work_dir / LAST_CHECKPOINT_FILE
    name = pointer.read_text().strip() if pointer.is_file() else ""
    if not name:
        checkpoints = [path for pattern in CHECKPOINT_PATTERNS for path in work_dir.glob(pattern)]
        return max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
    for path in (work_dir / Path(name).name, Path(name)):
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
    reject_other_classes(content, classes, path)
    missing = [key for key in TRAINING_STATE if key not in content]
    if missing:
        raise UserError(
            f"contains weights but no training state to resume (no {', '.join(missing)})",
            where=path,
            hint=_HINT,
        )
    _check_training_state(content, path)
    shapes = {parameter.shape for parameter in model.parameters()}
    for optimizer in _optimizer_states(content["optimizer"]):
        moments = [value for state in optimizer["state"].values() for value in _moments(state)]
        unknown_shapes = [tuple(value.shape) for value in moments if value.shape not in shapes]
        if unknown_shapes:
            shape = unknown_shapes[0]
            raise UserError(
                f"the state of the optimizer has a shape {shape} that no weight has", where=path, hint=_HINT
            )
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
        "optimizer": all(map(_is_optimizer_state, _optimizer_states(content["optimizer"]))),
        "param_schedulers": all(
            isinstance(states, list) and all(map(_is_mapping, states)) for states in schedule_lists
        ),
    }
    for key, is_key_valid in is_valid.items():
        if not is_key_valid:
            raise UserError(
                f"invalid training state: {key} does not have the form that MMEngine writes",
                where=path,
                hint=_HINT,
            )


def _optimizer_states(saved: Any) -> list[Any]:
    """Return the states of all optimizers: one, or those of an ``OptimWrapperDict``, which saves them by name."""
    if isinstance(saved, Mapping) and "param_groups" not in saved:
        # If no value is a mapping, the saved value is invalid. It is returned, so that the caller finds it invalid.
        return [state for state in saved.values() if _is_mapping(state)] or [saved]
    return [saved]


def _is_optimizer_state(saved: Any) -> bool:
    """Return whether a value has the form of ``Optimizer.state_dict()``."""
    if not _is_mapping(saved) or not isinstance(saved.get("param_groups"), list):
        return False
    has_valid_groups = all(
        _is_mapping(group) and isinstance(group.get("params"), list) for group in saved["param_groups"]
    )
    state_of_weight = saved.get("state")
    return has_valid_groups and _is_mapping(state_of_weight) and all(map(_is_mapping, state_of_weight.values()))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _moments(state: Mapping[str, Any]) -> list[Tensor]:
    """Return the moments of SGD, Adam or AdamW for one weight, which have the shape of the weight."""
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


def restore_seed(cfg: Config, content: Mapping[str, Any]) -> str | None:
    """Set the seed of a config, in place, to the seed of the training that wrote the checkpoint.

    The samples then have the order of that training. MMEngine itself would set the seed only after the data loader is
    built, which is too late for its sampler.

    Returns:
        A warning that names both seeds if the config has another one, else None.

    Example:
        >>> print(restore_seed(Config(dict(randomness=dict(seed=4))), {"meta": {"seed": 3}}))
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


def describe_finished_training(content: Mapping[str, Any], cfg: Config) -> str | None:
    """Return a message if the training of a checkpoint is finished; None if iterations are left.

    Args:
        content: The content of the checkpoint.
        cfg: Config of the resumed training.

    Example:
        >>> describe_finished_training({"meta": {"iter": 9, "epoch": 3}}, Config(dict(train_cfg=dict(max_epochs=3))))
        'finished: epoch 3 of 3; raise --epochs to train longer'
        >>> describe_finished_training({"meta": {"iter": 4, "epoch": 0}}, Config(dict(train_cfg=dict(max_iters=4))))
        'finished: iteration 4 of 4; raise train_cfg.max_iters (--cfg-options) to train longer'
    """
    meta = content.get("meta") or {}
    max_iters_advice = "raise train_cfg.max_iters (--cfg-options)"  # --iterations is for smoke tests
    for limit_key, unit, counter, advice in (
        ("max_iters", "iteration", "iter", max_iters_advice),
        ("max_epochs", "epoch", "epoch", "raise --epochs"),
    ):
        limit = cfg.train_cfg.get(limit_key)
        if limit and meta.get(counter, 0) >= limit:
            position = f"{unit} {meta[counter]} of {limit}"
            return f"finished: {position}; {advice} to train longer"
    return None

"""Find the checkpoint from which a training run resumes, and check that the run can resume from it."""

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

# Besides the weights, a checkpoint must have these keys if training is to resume from it.
TRAINING_STATE = ("meta", "message_hub", "optimizer", "param_schedulers")
# Keys that the value of message_hub must have. The message hub is MMEngine's store of logged values.
_HUB_KEYS = ("log_scalars", "runtime_info", "resumed_keys")
LAST_CHECKPOINT_FILE = "last_checkpoint"  # file that names the latest checkpoint
INTERRUPTED_CHECKPOINT = "interrupted.pth"  # checkpoint written when a signal ends the training
CHECKPOINT_PATTERNS = ("epoch_*.pth", "iter_*.pth", INTERRUPTED_CHECKPOINT)
_INIT_FROM_HINT = "start from these weights with --init-from"


def latest_checkpoint(work_dir: Path) -> Path | None:
    """Return the latest checkpoint of a work folder; None if there is no checkpoint.

    The file ``last_checkpoint`` in the folder contains the absolute path of the latest checkpoint. If the folder has
    been moved or copied, this path still leads to the original folder. Therefore a checkpoint with the same file name
    in ``work_dir`` is preferred to the recorded path. If ``last_checkpoint`` does not exist or is empty, for example
    because the process was killed, the most recently modified checkpoint is returned.

    Raises:
        UserError: ``last_checkpoint`` contains the path of a file that does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     latest_checkpoint(Path(folder)) is None
        True
    """
    last_checkpoint_file = work_dir / LAST_CHECKPOINT_FILE
    recorded_path = last_checkpoint_file.read_text().strip() if last_checkpoint_file.is_file() else ""
    if not recorded_path:
        checkpoints = [path for pattern in CHECKPOINT_PATTERNS for path in work_dir.glob(pattern)]
        return max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
    for path in (work_dir / Path(recorded_path).name, Path(recorded_path)):
        if path.is_file():
            return path
    what = f"names a checkpoint that does not exist, '{recorded_path}'"
    raise UserError(what, where=last_checkpoint_file, hint="give the checkpoint with --resume CHECKPOINT")


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
        UserError: The weights do not fit the model; the weights were trained on other classes; or the training state is
            missing, is damaged, belongs to another model or has values that are not finite.

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
            hint=_INIT_FROM_HINT,
        )
    _check_training_state(content, path)
    # The moments of a weight have the shape of the weight. Another shape shows that the state belongs to another model.
    weight_shapes = {parameter.shape for parameter in model.parameters()}
    for optimizer_state in _optimizer_states(content["optimizer"]):
        moments = [moment for weight_state in optimizer_state["state"].values() for moment in _moments(weight_state)]
        unknown_shapes = [tuple(moment.shape) for moment in moments if moment.shape not in weight_shapes]
        if unknown_shapes:
            what = f"the state of the optimizer has a tensor of shape {unknown_shapes[0]}, but no weight has this shape"
            raise UserError(what, where=path, hint=_INIT_FROM_HINT)
    if not all(map(is_finite, _tensors_in(content["optimizer"]))):
        what = "the state of the optimizer has NaN or infinite values"
        raise UserError(what, where=path, hint="resume from an earlier checkpoint, or use --init-from")


def _check_training_state(content: Mapping[str, Any], path: str | Path) -> None:
    """Raise an error unless the parts of :data:`TRAINING_STATE` have the form that MMEngine writes."""
    schedulers = content["param_schedulers"]
    # With several optimizers, there is one list of schedules per optimizer.
    schedule_lists = list(schedulers.values()) if isinstance(schedulers, Mapping) else [schedulers]
    hub = content["message_hub"]
    is_valid_by_key = {
        "meta": isinstance(content["meta"], Mapping) and {"epoch", "iter"} <= set(content["meta"]),
        "message_hub": isinstance(hub, Mapping) and all(isinstance(hub.get(key), Mapping) for key in _HUB_KEYS),
        "optimizer": all(map(_is_optimizer_state, _optimizer_states(content["optimizer"]))),
        "param_schedulers": all(
            isinstance(states, list) and all(map(_is_mapping, states)) for states in schedule_lists
        ),
    }
    for key, is_valid in is_valid_by_key.items():
        if not is_valid:
            raise UserError(
                f"invalid training state: {key} does not have the form that MMEngine writes",
                where=path,
                hint=_INIT_FROM_HINT,
            )


def _optimizer_states(saved: Any) -> list[Any]:
    """Return the states of all optimizers.

    The saved value is the state of a single optimizer, or the states of an ``OptimWrapperDict`` by optimizer name.
    """
    if not isinstance(saved, Mapping) or "param_groups" in saved:
        return [saved]
    states = [state for state in saved.values() if _is_mapping(state)]
    return states or [saved]  # without any state, the saved value is invalid; the caller's checks will reject it


def _is_optimizer_state(saved: Any) -> bool:
    """Return whether a value has the form of ``Optimizer.state_dict()``."""
    if not _is_mapping(saved) or not isinstance(saved.get("param_groups"), list):
        return False
    has_valid_groups = all(
        _is_mapping(group) and isinstance(group.get("params"), list) for group in saved["param_groups"]
    )
    weight_states = saved.get("state")  # by index of the weight
    return has_valid_groups and _is_mapping(weight_states) and all(map(_is_mapping, weight_states.values()))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _moments(weight_state: Mapping[str, Any]) -> list[Tensor]:
    """Return the moments that SGD, Adam or AdamW has saved for one weight."""
    values = (weight_state.get(name) for name in ("momentum_buffer", "exp_avg", "exp_avg_sq"))
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
    """Set the seed of a config, in place, to the seed of the training run that wrote a checkpoint.

    The samples then have the same order as in that run. MMEngine itself would set the seed only after it has built the
    data loader, but the data loader's sampler needs the seed when it is built.

    Returns:
        A warning if the config has a different seed, otherwise None.

    Example:
        >>> print(restore_seed(Config(dict(randomness=dict(seed=4))), {"meta": {"seed": 3}}))
        the seed is 3 in the checkpoint and 4 in the config; the value of the checkpoint is used
    """
    seed = (content.get("meta") or {}).get("seed")
    if not isinstance(seed, int):
        return None
    randomness: dict[str, Any] = dict(cfg.get("randomness") or {})
    config_seed = randomness.get("seed")
    cfg.randomness = {**randomness, "seed": seed}
    if config_seed is None or config_seed == seed:
        return None
    return f"the seed is {seed} in the checkpoint and {config_seed} in the config; the value of the checkpoint is used"


def describe_finished_training(content: Mapping[str, Any], cfg: Config) -> str | None:
    """Return a message if a checkpoint was saved at the end of its training run; None if iterations are left.

    Args:
        content: The content of the checkpoint.
        cfg: Config of the run that resumes from the checkpoint.

    Example:
        >>> checkpoint = {"meta": {"iter": 9, "epoch": 3}}
        >>> describe_finished_training(checkpoint, Config(dict(train_cfg=dict(max_epochs=3))))
        'finished: epoch 3 of 3; raise --epochs to train longer'
        >>> describe_finished_training(checkpoint, Config(dict(train_cfg=dict(max_epochs=4)))) is None
        True
    """
    meta = content.get("meta") or {}
    # --iterations is not advised, because it is meant for smoke tests: it also turns validation off.
    max_iters_advice = "raise train_cfg.max_iters (--cfg-options)"
    for limit_key, unit, counter, advice in (
        ("max_iters", "iteration", "iter", max_iters_advice),
        ("max_epochs", "epoch", "epoch", "raise --epochs"),
    ):
        limit = cfg.train_cfg.get(limit_key)
        if limit and meta.get(counter, 0) >= limit:
            position = f"{unit} {meta[counter]} of {limit}"
            return f"finished: {position}; {advice} to train longer"
    return None

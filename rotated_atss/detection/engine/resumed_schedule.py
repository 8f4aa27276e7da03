"""Hook that applies changes of a config's schedules and optimizer settings when a training run is resumed."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner

from rotated_atss.detection.engine.epoch_loop import EPOCH_LENGTH
from rotated_atss.errors import UserError, count_of

# Keys of a schedule's state that are not compared. The values of the first three keys change with each step. verbose
# does not affect the learning rate. base_values are compared as settings of the parameter groups.
SCHEDULE_STATE = ("last_step", "_global_step", "_last_value", "base_values", "verbose")
SCHEDULED_PREFIXES = ("initial_", "max_", "min_")  # prefixes of the keys that schedules add to a parameter group


class ResumedScheduleHook(Hook):
    """Apply the config's schedules and optimizer settings when a training run is resumed.

    MMEngine restores schedules and settings from the checkpoint, so changes in the config would have no effect. If
    config and checkpoint differ, this hook logs the differences and steps the config's schedules from the start to the
    checkpoint's iteration. Then the learning rate is the same as in an uninterrupted run with this config.

    Args:
        path: The checkpoint, for messages.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Log the differences, and change the training state of the checkpoint to the config's values.

        Raises:
            UserError: The checkpoint has the state of another optimizer.
        """
        schedulers, states = runner.param_schedulers or [], checkpoint.get("param_schedulers") or []
        if not isinstance(runner.optim_wrapper, OptimWrapper) or isinstance(schedulers, dict):
            return  # with several optimizers, nothing is compared: MMEngine restores the values of the checkpoint
        groups = list(runner.optim_wrapper.param_groups)  # includes MMEngine's extra group, like saved_groups
        saved_groups = _list_saved_groups(checkpoint["optimizer"])
        _check_same_optimizer(groups, saved_groups, self.path)
        differences = [*_schedule_differences(schedulers, states), *_group_differences(groups, saved_groups)]
        if not differences:
            return
        # A schedule that reads validation metrics (ReduceOnPlateau) cannot be stepped again from the start.
        is_replayable = not any(getattr(scheduler, "need_val_args", False) for scheduler in schedulers)
        source = "config" if is_replayable else "checkpoint"
        for difference in differences:
            runner.logger.warning(f"{self.path}: {difference}; the value of the {source} is used")
        if is_replayable:
            meta = checkpoint["meta"]
            replay_schedules(schedulers, meta["iter"], meta["epoch"], meta.get(EPOCH_LENGTH))
            # Now groups have the learning rate at the checkpoint's iteration. After this hook, MMEngine loads the
            # dictionaries saved_groups of the checkpoint into the optimizer, so the settings are copied into them.
            for group, saved_group in zip(groups, saved_groups, strict=True):
                saved_group.update({key: value for key, value in group.items() if key != "params"})
            checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in schedulers]


def replay_schedules(
    schedulers: Sequence[_ParamScheduler], iterations: int, epochs: int, epoch_length: int | None = None
) -> None:
    """Step new schedules as often as they are stepped in a given number of training iterations and epochs.

    Args:
        schedulers: Schedules that have made no step. The learning rate and other settings of their optimizer change.
        iterations: Number of iterations.
        epochs: Number of complete epochs within these iterations; 0 in training by iterations.
        epoch_length: Number of iterations per epoch. None means ``iterations / epochs``, which is correct only if the
            last epoch is complete.

    Example:
        >>> import torch
        >>> from mmengine.optim import MultiStepLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> replay_schedules([MultiStepLR(optimizer, milestones=[2])], iterations=30, epochs=3)
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # schedules warn here, because the optimizer has made no step
        iteration = 0
        for epoch in range(epochs + 1):
            end = _end_of_epoch(epoch, iterations, epochs, epoch_length)
            for _ in range(iteration, end):
                _step(schedulers, by_epoch=False)
            iteration = end
            if epoch < epochs:
                _step(schedulers, by_epoch=True)


def _end_of_epoch(epoch: int, iterations: int, epochs: int, epoch_length: int | None) -> int:
    """Return the number of iterations at the end of an epoch, counted from 0. Epoch ``epochs`` may be incomplete."""
    if epoch == epochs:
        return iterations
    if epoch_length is None:
        return iterations * (epoch + 1) // epochs
    return epoch_length * (epoch + 1)


def _step(schedulers: Sequence[_ParamScheduler], by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


def _list_saved_groups(optimizer_state: Mapping[str, Any]) -> list[dict]:
    """Return the parameter groups of a saved optimizer, and MMEngine's extra group.

    If an optimizer has several groups, MMEngine adds an extra group with a dummy weight and the optimizer's base
    settings.
    """
    extra_group = optimizer_state.get("base_param_settings")
    extra_groups = [extra_group] if extra_group else []
    return [*optimizer_state["param_groups"], *extra_groups]


def _check_same_optimizer(groups: Sequence[Mapping], saved_groups: Sequence[Mapping], path: str) -> None:
    """Raise an error if the parameter groups of checkpoint and config differ in number, size or settings."""
    hint = "resume with the optimizer of the checkpoint, or start a new run with --init-from"
    num_groups, num_saved_groups = len(groups), len(saved_groups)
    if num_groups != num_saved_groups:
        saved_text = count_of(num_saved_groups, "parameter group")
        what = f"the optimizer has {saved_text} in the checkpoint and {num_groups} in the config"
        raise UserError(what, where=path, hint=hint)
    for group, saved_group in zip(groups, saved_groups, strict=True):
        num_weights, num_saved = len(group["params"]), len(saved_group["params"])
        if num_weights != num_saved:
            saved_text = count_of(num_saved, "weight")
            what = f"a parameter group has {saved_text} in the checkpoint and {num_weights} in the config"
            raise UserError(what, where=path, hint=hint)
        names = {key for key in group if not key.startswith(SCHEDULED_PREFIXES)}
        saved_names = {key for key in saved_group if not key.startswith(SCHEDULED_PREFIXES)}
        # If only one side has additional settings, the cause can be another version of PyTorch, so this is accepted. If
        # both sides have additional settings, the optimizers are different.
        if names - saved_names and saved_names - names:
            only_saved, only_config = ", ".join(sorted(saved_names - names)), ", ".join(sorted(names - saved_names))
            what = f"only the checkpoint's optimizer has {only_saved}, and only the config's has {only_config}"
            raise UserError(what, where=path, hint=hint)


def _schedule_differences(schedulers: Sequence[_ParamScheduler], states: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per setting of the config's schedules that differs from the checkpoint."""
    if len(schedulers) != len(states):
        return [_describe_difference("the number of schedules", len(states), len(schedulers))]
    lines = []
    for number, (scheduler, state) in enumerate(zip(schedulers, states, strict=True)):
        settings, saved = _constant_settings(scheduler.state_dict()), _constant_settings(state)
        names = [name for name in sorted({*settings, *saved}) if settings.get(name) != saved.get(name)]
        # Most private values are derived from public values, so they are reported only if no public value differs.
        names = [name for name in names if not name.startswith("_")] or names
        lines += [
            _describe_difference(f"param_scheduler[{number}].{name.lstrip('_')}", saved.get(name), settings.get(name))
            for name in names
        ]
    return lines


def _constant_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a schedule that do not change when it is stepped."""
    return {name: value for name, value in state.items() if name not in SCHEDULE_STATE and not callable(value)}


def _group_differences(groups: Sequence[Mapping], saved_groups: Sequence[Mapping]) -> list[str]:
    """Return one line per optimizer setting that differs. If a setting differs in several groups, the first counts."""
    lines: dict[str, str] = {}
    for group, saved_group in zip(groups, saved_groups, strict=True):
        for name in group:
            if name == "params" or name not in saved_group or name.startswith(SCHEDULED_PREFIXES):
                continue
            # A schedule that changes a setting keeps the start value under the key "initial_<setting>".
            saved = saved_group.get(f"initial_{name}", saved_group[name])
            configured = group.get(f"initial_{name}", group[name])
            # Settings such as the betas of Adam can be a tuple on one side and a list on the other.
            both_are_sequences = isinstance(configured, Sequence) and isinstance(saved, Sequence)
            if saved != configured and not (both_are_sequences and list(configured) == list(saved)):
                label = "the base learning rate" if name == "lr" else f"the optimizer's {name}"
                lines.setdefault(name, _describe_difference(label, saved, configured))
    return list(lines.values())


def _describe_difference(name: str, saved: Any, configured: Any) -> str:
    return f"{name} is {_format_value(saved)} in the checkpoint and {_format_value(configured)} in the config"


def _format_value(value: Any) -> str:
    if isinstance(value, Counter):  # the milestones of MultiStepLR
        return str(sorted(value.elements()))
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r:.80}"

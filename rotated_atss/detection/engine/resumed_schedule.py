"""Hook that applies changes of schedules and optimizer settings in the config to a training that resumes."""

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
from rotated_atss.errors import UserError

# Keys of a schedule's state that are not compared: they change with each step, do not affect the learning rate or, like
# base_values, are compared as settings of the parameter groups.
SCHEDULE_STATE = ("last_step", "_global_step", "_last_value", "base_values", "verbose")
SCHEDULED_PREFIXES = ("initial_", "max_", "min_")  # keys that schedules add to a parameter group


class ResumedScheduleHook(Hook):
    """Apply the config's schedules and optimizer settings to a training that resumes.

    MMEngine restores schedules and settings from the checkpoint, so changes in the config would have no effect. If
    config and checkpoint differ, this hook logs the differences and steps the config's schedules from the start to the
    checkpoint's iteration. The learning rate is then that of an uninterrupted training with this config.

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
            return  # with several optimizers, the state of the checkpoint applies
        groups = list(runner.optim_wrapper.param_groups)  # with the empty group that MMEngine adds, see _saved_groups
        saved_groups = _saved_groups(checkpoint["optimizer"])
        _check_same_optimizer(groups, saved_groups, self.path)
        differences = [*_schedule_differences(schedulers, states), *_group_differences(groups, saved_groups)]
        if not differences:
            return
        # A schedule that reads validation metrics (ReduceOnPlateau) cannot be stepped again from the start.
        is_replayable = not any(getattr(scheduler, "need_val_args", False) for scheduler in schedulers)
        source = "config" if is_replayable else "checkpoint"
        for difference in differences:
            runner.logger.warning(f"{self.path}: {difference}; the {source}'s applies")
        if is_replayable:
            meta = checkpoint["meta"]
            replay_schedules(schedulers, meta["iter"], meta["epoch"], meta.get(EPOCH_LENGTH))
            # groups now have the learning rate at the checkpoint's iteration. It is copied into the dictionaries of the
            # checkpoint (saved_groups), which MMEngine loads into the optimizer after this hook.
            for group, saved_group in zip(groups, saved_groups, strict=True):
                saved_group.update({key: value for key, value in group.items() if key != "params"})
            checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in schedulers]


def replay_schedules(
    schedulers: Sequence[_ParamScheduler], iterations: int, epochs: int, epoch_length: int | None = None
) -> None:
    """Step new schedules as often as the training of a checkpoint has stepped them.

    Args:
        schedulers: Schedules that have made no step. The learning rate and other settings of their optimizer change.
        iterations: Number of iterations.
        epochs: Number of complete epochs within these iterations; 0 in training by iterations.
        epoch_length: Iterations per epoch. None if the last epoch is complete, so that it follows from the other two
            numbers.

    Example:
        >>> import torch
        >>> from mmengine.optim import MultiStepLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> replay_schedules([MultiStepLR(optimizer, milestones=[2])], iterations=30, epochs=3)
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a schedule warns that the optimizer has made no step
        iteration = 0
        for epoch in range(epochs + 1):
            end = _end_of_epoch(epoch, iterations, epochs, epoch_length)
            for _ in range(iteration, end):
                _step(schedulers, by_epoch=False)
            iteration = end
            if epoch < epochs:
                _step(schedulers, by_epoch=True)


def _end_of_epoch(epoch: int, iterations: int, epochs: int, epoch_length: int | None) -> int:
    """Return the number of iterations at the end of an epoch; the last epoch may be incomplete."""
    if epoch == epochs:
        return iterations
    return iterations * (epoch + 1) // epochs if epoch_length is None else epoch_length * (epoch + 1)


def _step(schedulers: Sequence[_ParamScheduler], by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


def _saved_groups(optimizer_state: Mapping[str, Any]) -> list[dict]:
    """Return the parameter groups of a saved optimizer, and MMEngine's extra group.

    If an optimizer has several groups, MMEngine adds one with a dummy weight and the base settings of the optimizer.
    """
    extra_group = optimizer_state.get("base_param_settings")
    return [*optimizer_state["param_groups"], *([extra_group] if extra_group else [])]


def _check_same_optimizer(groups: Sequence[Mapping], saved_groups: Sequence[Mapping], path: str) -> None:
    """Raise an error if the saved parameter groups differ from the config's in number, size or settings."""
    hint = "resume with the optimizer of that training, or start a new one with --init-from"
    if len(groups) != len(saved_groups):
        what = f"the optimizer has {len(saved_groups)} parameter groups; the config's has {len(groups)}"
        raise UserError(what, where=path, hint=hint)
    for group, saved_group in zip(groups, saved_groups, strict=True):
        num_weights, num_saved = len(group["params"]), len(saved_group["params"])
        if num_weights != num_saved:
            what = f"the optimizer has {num_saved} weights in a group; the config's has {num_weights}"
            raise UserError(what, where=path, hint=hint)
        names, saved_names = (
            {key for key in settings if not key.startswith(SCHEDULED_PREFIXES)} for settings in (group, saved_group)
        )
        # Another version of PyTorch may add settings or lack some, but not both. Additional settings on only one side
        # are therefore accepted.
        if names - saved_names and saved_names - names:
            what = f"the optimizer has the settings {', '.join(sorted(saved_names - names))}"
            raise UserError(f"{what}; the config's has {', '.join(sorted(names - saved_names))}", where=path, hint=hint)


def _schedule_differences(schedulers: Sequence[_ParamScheduler], states: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per setting of the config's schedules that differs from the checkpoint."""
    if len(schedulers) != len(states):
        return [_describe_difference("the number of schedules", len(states), len(schedulers))]
    lines = []
    for number, (scheduler, state) in enumerate(zip(schedulers, states, strict=True)):
        settings, saved = _constant_settings(scheduler.state_dict()), _constant_settings(state)
        names = [name for name in sorted({*settings, *saved}) if settings.get(name) != saved.get(name)]
        # Most private values follow from public ones, so they are reported only if no public value differs.
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
    """Return one line per optimizer setting that differs, with its values in the first group where it differs."""
    lines: dict[str, str] = {}
    for group, saved_group in zip(groups, saved_groups, strict=True):
        for name in group:
            if name == "params" or name not in saved_group or name.startswith(SCHEDULED_PREFIXES):
                continue
            # A schedule changes the value and keeps its start value under "initial_...".
            before, now = (settings.get(f"initial_{name}", settings[name]) for settings in (saved_group, group))
            # Settings such as the betas of Adam can be a tuple on one side and a list on the other.
            both_are_sequences = isinstance(now, Sequence) and isinstance(before, Sequence)
            if before != now and not (both_are_sequences and list(now) == list(before)):
                label = "the base learning rate" if name == "lr" else f"the optimizer's {name}"
                lines.setdefault(name, _describe_difference(label, before, now))
    return list(lines.values())


def _describe_difference(name: str, before: Any, now: Any) -> str:
    return f"{name} is {_format_value(before)} in the checkpoint and {_format_value(now)} in the config"


def _format_value(value: Any) -> str:
    if isinstance(value, Counter):  # the milestones of MultiStepLR
        return str(sorted(value.elements()))
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r:.80}"

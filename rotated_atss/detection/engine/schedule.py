"""Set the length of a training run, and adapt the learning-rate schedules to this length."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mmengine.config import Config

from rotated_atss.errors import UserError, count_of

MAX_WARM_UP_SHARE = 1 / 3  # a warm-up that takes a larger share of the training run is shortened
SHORTENED_WARM_UP_SHARE = 1 / 10  # share of the training run that a shortened warm-up takes
LR_KEY = "optim_wrapper.optimizer.lr"
_LENGTH_KEYS = ("total_steps", "T_max")  # arguments of schedules that contain their length, counted from begin


def set_epochs(cfg: Config, epochs: int) -> None:
    """Set the number of epochs of a config, in place; milestones keep their relative position in the training run.

    A config whose length is given in iterations is changed so that its length is given in epochs. With the changed
    config, a checkpoint is saved after each epoch; validation, if the config has any, also runs after each epoch.

    Args:
        cfg: A config.
        epochs: Number of epochs, at least 1.

    Raises:
        UserError: ``epochs`` is out of range.

    Example:
        >>> schedule = dict(type="MultiStepLR", begin=0, end=12, by_epoch=True, milestones=[8, 11])
        >>> cfg = Config(dict(train_cfg=dict(max_epochs=12), param_scheduler=[schedule]))
        >>> set_epochs(cfg, 36)
        >>> cfg.train_cfg.max_epochs, cfg.param_scheduler[0].milestones, cfg.param_scheduler[0].end
        (36, [24, 33], 36)
    """
    if epochs < 1:
        raise UserError(f"the number of epochs must be at least 1, got {epochs}", where="--epochs")
    old_length = cfg.train_cfg.get("max_epochs")
    if old_length is None:  # the length is given in iterations, and so are the milestones
        old_length = _convert_to_epochs(cfg)
    cfg.train_cfg.max_epochs = epochs
    for scheduler in _schedulers(cfg):
        if not scheduler.get("by_epoch", True):
            continue
        if scheduler.get("milestones"):
            rounded = [round(milestone * epochs / old_length) for milestone in scheduler.milestones]
            # The learning rate drops after the first epoch at the earliest, and before the last epoch at the latest.
            limited = {min(max(milestone, 1), epochs - 1) for milestone in rounded}
            scheduler["milestones"] = sorted(limited - {0})  # 0 occurs for a single epoch, which has no milestone
        if scheduler.get("end") == old_length:
            scheduler["end"] = epochs
        begin = scheduler.get("begin", 0)
        for key in _LENGTH_KEYS:
            if scheduler.get(key) == old_length - begin and epochs > begin:
                scheduler[key] = epochs - begin


def _convert_to_epochs(cfg: Config) -> int:
    """Give the length of a config in epochs instead of iterations, in place; return the number of iterations."""
    length: int = cfg.train_cfg.max_iters
    cfg.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)  # set_epochs then sets max_epochs
    sampler = cfg.train_dataloader.get("sampler")
    if sampler and sampler.get("type") == "InfiniteSampler":
        sampler["type"] = "DefaultSampler"
    for scheduler in _schedulers(cfg):
        has_full_length = length in [scheduler.get(key) for key in ("end", *_LENGTH_KEYS)]
        if scheduler.get("milestones"):
            scheduler.update(by_epoch=True)
        elif has_full_length:  # the schedule changes the rate at each iteration, but its length is given in epochs
            scheduler.update(by_epoch=True, convert_to_iter_based=True)
    cfg.merge_from_dict({
        "default_hooks.checkpoint.by_epoch": True,
        "default_hooks.checkpoint.interval": 1,
        "log_processor.by_epoch": True,
    })  # fmt: skip
    return length


def shorten_warm_up(schedulers: Sequence[dict[str, Any]], iterations: int) -> list[str]:
    """Shorten learning-rate warm-ups that would take more than a third of the training run, in place.

    Args:
        schedulers: The schedules of a config.
        iterations: Length of the training run.

    Returns:
        One line per shortened warm-up.

    Example:
        >>> schedulers = [dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500)]
        >>> shorten_warm_up(schedulers, 60)
        ['LinearLR: warm-up of 6 iterations instead of 500, because the training run has only 60']
        >>> shorten_warm_up(schedulers, 90_000)
        []
    """
    lines = []
    for scheduler in schedulers:
        end = scheduler.get("end")
        has_warm_up_type = scheduler.get("type") in ("LinearLR", "ConstantLR")
        counts_iterations = not scheduler.get("by_epoch", True)
        is_warm_up = has_warm_up_type and counts_iterations and scheduler.get("begin", 0) == 0
        if not is_warm_up or end is None or end <= iterations * MAX_WARM_UP_SHARE:
            continue
        scheduler["end"] = max(1, round(iterations * SHORTENED_WARM_UP_SHARE))
        change = f"warm-up of {count_of(scheduler['end'], 'iteration')} instead of {end}"
        lines.append(f"{scheduler['type']}: {change}, because the training run has only {iterations}")
    return lines


def limit_iterations(cfg: Config, iterations: int) -> None:
    """Change a config, in place, to train for a few iterations.

    Each iteration is logged, validation is skipped, and one checkpoint is saved at the end. The schedules keep their
    length, so that the learning rates are the same as in the first iterations of a full training run. Only a one-cycle
    schedule that is shorter than the run is lengthened.

    Raises:
        UserError: ``iterations`` is less than 1.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> cfg = load_config("rotated_atss_obb_r50_fpn_1x_dota_le90")
        >>> limit_iterations(cfg, 20)
        >>> cfg.train_cfg
        {'type': 'IterBasedTrainLoop', 'max_iters': 20}
    """
    if iterations < 1:
        raise UserError(f"--iterations must be at least 1, got {iterations}")
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    cfg.merge_from_dict({
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": iterations,
        "log_processor.by_epoch": False,
        "log_processor.window_size": 1,
    })  # fmt: skip
    for scheduler in _schedulers(cfg):
        # a one-cycle schedule would raise an error after its last step
        if scheduler.get("total_steps", iterations) < iterations:
            scheduler["total_steps"] = iterations


def fit_schedules(cfg: Config, user_keys: Collection[str]) -> None:
    """Adapt one-cycle and cosine schedules, in place, to the length of the training run.

    This is needed if ``--cfg-options`` has changed the length of the run, but not the length of the schedules.

    Args:
        cfg: A config.
        user_keys: Dotted keys of the config values that the user has set.

    Raises:
        UserError: The user has changed the schedules, and one of them ends before the training run.

    Example:
        >>> schedule = dict(type="CosineAnnealingLR", T_max=12, by_epoch=True)
        >>> cfg = Config(dict(train_cfg=dict(max_epochs=24), param_scheduler=[schedule]))
        >>> fit_schedules(cfg, ())
        >>> cfg.param_scheduler[0].T_max
        24
    """
    has_user_schedule = any(key.split(".")[0] == "param_scheduler" for key in user_keys)
    for scheduler in _schedulers(cfg):
        by_epoch = scheduler.get("by_epoch", True)
        length_key = "max_epochs" if by_epoch else "max_iters"
        begin = scheduler.get("begin", 0)
        length = (cfg.train_cfg.get(length_key) or 0) - begin  # from the start of the schedule to the end of the run
        if length <= 0:
            continue
        for key in _LENGTH_KEYS:
            if scheduler.get(key, length) == length:
                continue
            if not has_user_schedule:
                scheduler[key] = length
                if "end" in scheduler:
                    scheduler["end"] = begin + length
            elif scheduler[key] < length:
                what = f"{scheduler['type']} ends after {scheduler[key]} of {length} steps"
                raise UserError(what, where="param_scheduler", hint=f"set {key}={length}, or train_cfg.{length_key}")


def describe_unreached_milestones(cfg: Config) -> list[str]:
    """Return one line per schedule that has milestones, but none before the end of the training run.

    Example:
        >>> schedule = dict(type="MultiStepLR", milestones=[8, 11])
        >>> describe_unreached_milestones(Config(dict(train_cfg=dict(max_epochs=2), param_scheduler=[schedule])))
        ['MultiStepLR: no milestone of [8, 11] is before max_epochs=2, so the learning rate does not decay']
    """
    lines = []
    for scheduler in _schedulers(cfg):
        key = "max_epochs" if scheduler.get("by_epoch", True) else "max_iters"
        length, milestones = cfg.train_cfg.get(key), list(scheduler.get("milestones") or ())
        if length and milestones and min(milestones) >= length:
            reason = f"no milestone of {milestones} is before {key}={length}"
            lines.append(f"{scheduler['type']}: {reason}, so the learning rate does not decay")
    return lines


def describe_overridden_lr(cfg: Config, user_keys: Collection[str]) -> list[str]:
    """Return one line per one-cycle schedule that makes the learning rate set by the user ineffective.

    Args:
        cfg: A config.
        user_keys: Dotted keys of the config values that the user has set.

    Example:
        >>> cfg = Config(dict(optim_wrapper=dict(optimizer=dict(lr=0.01))))
        >>> cfg.param_scheduler = [dict(type="OneCycleLR", eta_max=0.002)]
        >>> describe_overridden_lr(cfg, ["optim_wrapper.optimizer.lr"])
        ['OneCycleLR: the learning rate follows eta_max=0.002, so optim_wrapper.optimizer.lr=0.01 has no effect']
    """
    if LR_KEY not in user_keys:
        return []
    consequence = f"so {LR_KEY}={cfg.optim_wrapper.optimizer.lr} has no effect"
    return [
        f"OneCycleLR: the learning rate follows eta_max={scheduler['eta_max']}, {consequence}"
        for scheduler in _schedulers(cfg)
        if scheduler["type"] == "OneCycleLR"
    ]


def _schedulers(cfg: Config) -> Sequence[Any]:
    schedulers: Any = cfg.get("param_scheduler") or []
    return [schedulers] if isinstance(schedulers, dict) else schedulers

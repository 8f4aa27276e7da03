"""What training adds to MMEngine: mixed precision on every device, a stop at the first loss that is not finite, whole
checkpoints.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from rotated_atss.errors import UserError


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16 on CPU and CUDA. It has float32's range, so there is no loss to scale."""

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lay the network's weights out channels last: faster convolutions on CPU and on GPUs with tensor cores."""

    def before_train(self, runner: Runner) -> None:
        runner.model.to(memory_format=torch.channels_last)

    before_test = before_train


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop training at a loss that is NaN or infinite and say which images and boxes were in the batch.

    Args:
        interval: Look at every so many iterations.
    """

    priority = "VERY_HIGH"

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        if not outputs or not self.every_n_train_iters(runner, self.interval):
            return
        # one transfer for all losses
        losses = {
            name: torch.as_tensor(value).detach().float().mean() for name, value in outputs.items() if "loss" in name
        }
        if not losses or bool(torch.stack(list(losses.values())).isfinite().all()):
            return
        broken = ", ".join(name for name, value in losses.items() if not value.isfinite())
        raise UserError(
            f"{broken} is not finite at iteration {runner.iter + 1}; the batch was {describe_batch(data_batch)}",
            hint="look at these labels, or lower the learning rate (--cfg-options optim_wrapper.optimizer.lr=...)",
        )


class PlainCheckpointHook(Hook):
    """Keep functions out of checkpoints: the one-cycle schedule holds its own, and a file with one in it cannot be
    read safely. Resuming takes them from the config anyway.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        states = checkpoint.get("param_schedulers")
        if isinstance(states, list):  # several optimizers have a dict of lists
            checkpoint["param_schedulers"] = [_without_functions(state) for state in states]


def _without_functions(state: dict) -> dict:
    return {name: value for name, value in state.items() if not callable(value)}


class ClassCountHook(Hook):
    """Refuse a dataset whose classes are not as many as the model's: an index past them would train as background."""

    def before_train(self, runner: Runner) -> None:
        self._check(runner, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        self._check(runner, runner.test_dataloader.dataset)

    @staticmethod
    def _check(runner: Runner, dataset: Dataset) -> None:
        model = runner.model
        while hasattr(model, "module"):  # wrapped for several processes, for test-time augmentation, or for both
            model = model.module
        number = getattr(getattr(model, "bbox_head", model), "num_classes", None)
        names = getattr(dataset, "metainfo", {}).get("classes")
        if number is not None and names is not None and len(names) != number:
            raise UserError(
                f"the model has {number} classes, the dataset {len(names)} ({', '.join(names)})",
                hint="set model.bbox_head.num_classes and the classes of every dataset alike",
            )


def compile_network(model: torch.nn.Module, backend: str = "inductor") -> None:
    """Let torch.compile make faster code of backbone and neck, in place: names of weights stay. The first steps take
    minutes. The head stays as it is, for its shapes change with the objects.

    Raises:
        UserError: torch.compile does not work on this machine.
    """
    try:
        torch.compile(lambda x: x.relu() + 1, backend=backend)(torch.ones(8))
    except Exception as error:  # a missing compiler, an unsupported platform: many classes
        hint = "install a C++ compiler, or go on without --compile"
        raise UserError(f"torch.compile does not work here: {one_line(error)}", hint=hint) from error
    for part in (model.backbone, getattr(model, "neck", None)):
        if part is not None:
            part.compile(backend=backend)


def describe_batch(data_batch: dict | None, most: int = 5) -> str:
    """Image ids of a batch with the boxes of each: those without area or with odd numbers first, ``most`` at most."""
    described = []
    for sample in (data_batch or {}).get("data_samples", []):
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, "tensor", boxes).detach().cpu()
        odd = (
            ~(boxes.isfinite().all(1) & (boxes[:, 2:4] > 0).all(1)) if len(boxes) else torch.zeros(0, dtype=torch.bool)
        )
        order = odd.int().argsort(descending=True, stable=True)[:most]
        shown = "; ".join(" ".join(f"{value:.6g}" for value in box) for box in boxes[order].tolist())
        rest = f"; and {len(boxes) - most} more" if len(boxes) > most else ""
        described.append(f"{sample.img_id} with {len(boxes)} boxes [{shown}{rest}]")
    return ", ".join(described) or "unknown"


class AtomicCheckpointRunner(Runner):
    """MMEngine's runner, except that a checkpoint gets its name only when it is wholly on disk, and that parts of the
    config that do not fit are told in one line.
    """

    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        partial, final = Path(out_dir) / f"{filename}.partial", Path(out_dir) / filename
        try:
            super().save_checkpoint(out_dir, partial.name, *args, **kwargs)
            if self.rank == 0:
                os.replace(partial, final)
        except OSError as error:
            what = f"cannot write the checkpoint: {error.strerror or error}"
            raise UserError(what, where=final, hint="free some space, then --resume") from error
        finally:
            if self.rank == 0:
                partial.unlink(missing_ok=True)

    def scale_lr(self, *args, **kwargs) -> None:
        """MMEngine's, without its own line: beside ours, in other words, it reads as a second scaling."""
        self.logger.addFilter(_not_of_scaling)
        try:
            super().scale_lr(*args, **kwargs)
        finally:
            self.logger.removeFilter(_not_of_scaling)

    def build_model(self, model: Any) -> torch.nn.Module:
        return built_model(super().build_model, model, self.cfg.filename)

    def build_train_loop(self, loop: Any) -> Any:
        return _built(super().build_train_loop, loop, "train_cfg or train_dataloader")

    def build_val_loop(self, loop: Any) -> Any:
        return _built(super().build_val_loop, loop, "val_cfg, val_dataloader or val_evaluator")

    def build_test_loop(self, loop: Any) -> Any:
        return _built(super().build_test_loop, loop, "test_cfg, test_dataloader or test_evaluator")

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        return _built(super().build_optim_wrapper, optim_wrapper, "optim_wrapper")

    def build_param_scheduler(self, scheduler: Any) -> Any:
        return _built(super().build_param_scheduler, scheduler, "param_scheduler")


def _not_of_scaling(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("LR is set based on batch size")


def built_model(build: Callable[[Any], torch.nn.Module], config: Any, where: str | None) -> torch.nn.Module:
    """What ``build`` makes of a model's config; a part that does not fit is told in one line.

    Args:
        where: File of the config.
    """
    try:
        return build(config)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise UserError(f"cannot build this model: {one_line(error)}", where=where) from error


def _built(build: Callable[[Any], Any], config: Any, what: str) -> Any:
    try:
        return build(config)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise UserError(f"cannot build {what} of this config: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """What an exception says, without a KeyError's quotes and past its first line."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return text.splitlines()[0] if text else type(error).__name__

"""Hook for losses and gradients that are not finite: record the batch, then skip the batch or stop the training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from rotated_atss.checkpoints.batch_record import BatchRecord, write_batch_record
from rotated_atss.checkpoints.config_text import format_config_text
from rotated_atss.detection.engine.batch_samples import batch_to_images, describe_batch
from rotated_atss.detection.engine.distributed import in_any_process
from rotated_atss.detection.engine.network import unwrap_model
from rotated_atss.detection.engine.random_numbers import step_seed
from rotated_atss.errors import UserError, count_of

ACTIONS = ("stop", "skip")
# The maximum number of record files per run. It is small because each file contains the weights.
MAX_RECORDS = 5
# The maximum number of batches skipped in succession. If so many are not finite, the cause is probably in the weights
# and not in the data, so skipping does not help.
MAX_SKIPPED = 10
_HINT = "check these labels, or lower the learning rate (--cfg-options optim_wrapper.optimizer.lr=...)"


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Handle a NaN or infinite loss, gradient or weight.

    If a loss or gradient of a checked step is not finite, the step does not change the weights. The batch of the step
    is written to ``nonfinite_iter_N.pth`` in the work folder (:mod:`rotated_atss.checkpoints.batch_record`), and
    ``rotated-atss replay`` can repeat the step from this file. A checkpoint is not written if a weight is not finite.

    Args:
        interval: Number of iterations from one check to the next.
        action: ``stop`` to stop the training run, or ``skip`` to skip the batch. Only the first :data:`MAX_RECORDS`
            skipped batches are written to files. If :data:`MAX_SKIPPED` batches in succession are not finite, the run
            stops in any case.
    """

    # This hook must run before the hooks that log losses, because it removes the losses of a skipped batch.
    priority = "HIGHEST"

    def __init__(self, interval: int = 1, action: str = "stop") -> None:
        if action not in ACTIONS:
            raise UserError(f"action of NonFiniteLossHook must be one of {', '.join(ACTIONS)}, got {action!r}")
        self.interval, self.action = interval, action
        self._runner: Runner | None = None
        self._losses: Tensor | None = None  # losses of the latest forward pass in this process
        self._nonfinite_gradients: list[str] = []  # names of weights whose gradient is not finite
        self._is_step_nonfinite = False  # whether a loss or gradient is not finite in any process, in this iteration
        self._is_step_checked = False  # whether _is_step_nonfinite has been determined for this iteration
        self._buffers: dict[str, Tensor] = {}  # buffers of the model before this iteration
        self._num_skipped = 0  # number of skipped batches
        self._num_skipped_in_succession = 0  # number of batches skipped since the last finite one

    def before_train(self, runner: Runner) -> None:
        """Register the checks of losses and gradients before every step of the optimizers."""
        self._runner = runner
        unwrap_model(runner.model).register_forward_hook(self._store_losses)
        optim_wrapper = runner.optim_wrapper
        wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
        for wrapper in wrappers:
            # With loss scaling, no check is needed here, because the scaler itself skips steps with infinite gradients.
            if getattr(wrapper, "loss_scaler", None) is None:
                wrapper.optimizer.register_step_pre_hook(self._check_step)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Reset the checks. Copy the model's buffers, so that batch norm statistics can be restored after a skip."""
        self._losses, self._nonfinite_gradients = None, []
        self._is_step_nonfinite = self._is_step_checked = False
        if self.action == "skip":
            self._buffers = {name: value.clone() for name, value in runner.model.named_buffers()}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Record a batch that is not finite, then stop or skip it.

        Raises:
            UserError: A loss or a gradient is not finite.
        """
        if not outputs or not self.every_n_train_iters(runner, self.interval):
            return
        if not self._is_step_checked:
            # _check_step was not called in this iteration. Either gradients are accumulated, so the optimizer makes no
            # step now, or the loss is scaled.
            self._check_in_all_processes()
        if self._is_step_nonfinite:
            self._handle_nonfinite_step(runner, data_batch, outputs)
        else:
            self._num_skipped_in_succession = 0

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights before they are written.

        Raises:
            UserError: A weight is not finite.
        """
        nonfinite = [name for name, value in checkpoint["state_dict"].items() if not bool(value.isfinite().all())]
        if nonfinite:
            weight_count = count_of(len(nonfinite), "weight")
            what = f"no checkpoint is written, because of NaN or infinity in {weight_count} (first: {nonfinite[0]})"
            raise UserError(what, hint="resume from the last checkpoint with a lower learning rate")

    def after_train(self, runner: Runner) -> None:
        """Log how many batches were skipped."""
        if self._num_skipped:
            batch_count = count_of(self._num_skipped, "batch")
            runner.logger.warning(f"skipped {batch_count} with a loss or gradient that is not finite")

    def _store_losses(self, model: nn.Module, inputs: Any, outputs: Any) -> None:
        if isinstance(outputs, Mapping):  # losses by name; only a forward pass in training returns a mapping
            self._losses = _stack_losses(outputs)

    def _check_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Delete the gradients before an optimizer step if any process has a loss or gradient that is not finite."""
        if self._runner is None or not self.every_n_train_iters(self._runner, self.interval):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        values = [] if self._losses is None else [self._losses]
        if parameters:
            # If a gradient has a value that is not finite, the norm of the gradient is not finite either. One call
            # computes all norms, which is fast on a GPU. The gradients are checked one by one only if a norm or a loss
            # is not finite.
            values.append(torch.stack(torch._foreach_norm([parameter.grad for parameter in parameters])))
        if values and not _is_finite(torch.cat(values)):
            named_parameters = unwrap_model(self._runner.model).named_parameters()
            names = {id(parameter): name for name, parameter in named_parameters}
            self._nonfinite_gradients += [names.get(id(p), "a weight") for p in parameters if not _is_finite(p.grad)]
        self._check_in_all_processes()
        if self._is_step_nonfinite:
            for parameter in parameters:
                # Without gradients, the optimizer does not change the weights. after_train_iter then skips or stops.
                parameter.grad = None

    def _check_in_all_processes(self) -> None:
        """Set ``_is_step_nonfinite`` to whether any process has a loss or gradient that is not finite."""
        is_loss_nonfinite = self._losses is not None and not _is_finite(self._losses)
        is_step_nonfinite = is_loss_nonfinite or bool(self._nonfinite_gradients)
        is_any_loss_nonfinite, self._is_step_nonfinite = in_any_process(is_loss_nonfinite, is_step_nonfinite)
        if is_any_loss_nonfinite and not is_loss_nonfinite:
            # The losses of this process are finite, but a loss of another process is not. Gradients are averaged over
            # the processes, so the other process is the cause even if gradients are not finite here. The names are
            # removed so that _handle_nonfinite_step does not record the batch of this process.
            self._nonfinite_gradients = []
        self._is_step_checked = True

    def _handle_nonfinite_step(self, runner: Runner, data_batch: dict | None, outputs: dict) -> None:
        """Write the record of the batch. Then raise an error, or undo what the iteration changed."""
        nonfinite_losses = [name for name, value in _named_losses(outputs) if not _is_finite(value)]
        if nonfinite_losses:
            what = f"{', '.join(nonfinite_losses)} is not finite"
        elif self._nonfinite_gradients:
            weight_count = count_of(len(self._nonfinite_gradients), "weight")
            what = f"the gradient of {weight_count} (first: {self._nonfinite_gradients[0]}) is not finite"
        else:
            what = "a loss of another process is not finite"
        what += f" at iteration {runner.iter + 1}; the batch was {describe_batch(data_batch)}"
        is_cause_in_this_process = bool(nonfinite_losses or self._nonfinite_gradients)
        if is_cause_in_this_process and self._num_skipped < MAX_RECORDS:
            path = _record_path(runner)
            write_batch_record(path, describe_step(runner, data_batch, outputs, self._nonfinite_gradients))
            what += f"; repeat the step with: rotated-atss replay {path}"
        # When one process ends with an error, the launcher ends all others. Wait until all have written their records.
        barrier()
        if self.action == "stop" or self._num_skipped_in_succession + 1 >= MAX_SKIPPED:
            raise UserError(what, hint=_HINT)
        runner.logger.warning(f"skipped: {what}")
        self._num_skipped += 1
        self._num_skipped_in_succession += 1
        for name, value in runner.model.named_buffers():
            value.copy_(self._buffers[name])
        outputs.clear()  # otherwise, the logged mean losses would include these losses


def describe_step(
    runner: Runner, data_batch: Mapping[str, Any] | None, outputs: Mapping[str, Any], nonfinite_gradients: list[str]
) -> BatchRecord:
    """Create the record of the current training step.

    The record contains the current weights, so it must be created before the step changes them.

    Args:
        runner: The runner.
        data_batch: The batch of the step.
        outputs: Losses by name.
        nonfinite_gradients: Names of the weights with a gradient that is not finite.
    """
    cfg = runner.cfg
    try:
        config = format_config_text(cfg.to_dict())
    except UserError:  # the config has a value, such as a class, that cannot be written as text
        config = ""
    return BatchRecord(
        iteration=runner.iter + 1,
        losses={name: float(value) for name, value in _named_losses(outputs)},
        gradients=list(nonfinite_gradients),
        images=batch_to_images(data_batch),
        weights={name: value.detach().cpu() for name, value in unwrap_model(runner.model).state_dict().items()},
        seed=step_seed(runner.seed, runner.iter),
        config_name=str(cfg.get("config_name") or Path(cfg.filename or "").stem),
        config=config,
    )


def _record_path(runner: Runner) -> Path:
    rank = f"_rank{get_rank()}" if get_world_size() > 1 else ""
    return Path(runner.work_dir, f"nonfinite_iter_{runner.iter + 1}{rank}.pth")


def _named_losses(outputs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield name and value of each loss. For a loss with one tensor per level, the tensors' means are added up."""
    for name, value in outputs.items():
        if "loss" in name:
            levels = value if isinstance(value, (list, tuple)) else [value]
            level_means = [torch.as_tensor(level).detach().float().mean() for level in levels]
            yield name, torch.stack(level_means).sum()


def _stack_losses(outputs: Mapping[str, Any]) -> Tensor:
    """Return the losses as one tensor (L,), so that a check needs a single transfer from the GPU.

    Without losses, the result is a zero, which is finite and therefore not reported.
    """
    losses = [value for _, value in _named_losses(outputs)]
    return torch.stack(losses) if losses else torch.zeros(1)


def _is_finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())

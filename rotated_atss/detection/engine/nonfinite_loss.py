"""Hook for losses and gradients that are not finite: record the batch, then stop or skip it."""

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
MAX_RECORDS = 5  # files per run; each contains the weights and is as large as a checkpoint without optimizer
MAX_SKIPPED = 10  # batches in succession; after so many, the cause is probably the weights, not the data
_HINT = "check these labels, or lower the learning rate (--cfg-options optim_wrapper.optimizer.lr=...)"


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Handle a NaN or infinite loss, gradient or weight.

    A step whose loss or gradient is not finite does not change the weights. Its batch is written to
    ``nonfinite_iter_N.pth`` in the work folder (:mod:`rotated_atss.checkpoints.batch_record`), from which
    ``rotated-atss replay`` repeats the step. No checkpoint with weights that are not finite is written.

    Args:
        interval: Iterations between two checks.
        action: ``stop`` the training, or ``skip`` the batch. The first :data:`MAX_RECORDS` skipped batches are written
            to files; :data:`MAX_SKIPPED` skipped batches in succession stop the training.
    """

    priority = "HIGHEST"  # before the losses are logged

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
        wrappers = runner.optim_wrapper
        for wrapper in wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]:
            # With loss scaling, no check is needed here: the scaler itself skips steps with infinite gradients.
            if getattr(wrapper, "loss_scaler", None) is None:
                wrapper.optimizer.register_step_pre_hook(self._check_step)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Reset the checks, and copy the statistics of batch norm, which are restored if the batch is skipped."""
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
        if not self._is_step_checked:  # _check_step was not called: gradient accumulation, or loss scaling
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
            num_weights = count_of(len(nonfinite), "weight")
            what = f"{nonfinite[0]} (one of {num_weights}) is not finite; no checkpoint is written"
            raise UserError(what, hint="resume from the last checkpoint with a lower learning rate")

    def after_train(self, runner: Runner) -> None:
        """Log how many batches were skipped."""
        if self._num_skipped:
            runner.logger.warning(f"skipped {count_of(self._num_skipped, 'batch')} with a loss that is not finite")

    def _store_losses(self, model: nn.Module, inputs: Any, outputs: Any) -> None:
        if isinstance(outputs, Mapping):  # a forward pass in training returns losses
            self._losses = _stack_losses(outputs)

    def _check_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Remove the gradients before an optimizer step if a loss or gradient is not finite in any process."""
        if self._runner is None or not self.every_n_train_iters(self._runner, self.interval):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        values = [] if self._losses is None else [self._losses]
        if parameters:
            # If a value of a gradient is not finite, neither is its norm. One call for all norms is fast on a GPU; the
            # values of each gradient are checked only if a norm or a loss is not finite.
            values.append(torch.stack(torch._foreach_norm([parameter.grad for parameter in parameters])))
        if values and not _is_finite(torch.cat(values)):
            named_parameters = unwrap_model(self._runner.model).named_parameters()
            names = {id(parameter): name for name, parameter in named_parameters}
            self._nonfinite_gradients += [names.get(id(p), "a weight") for p in parameters if not _is_finite(p.grad)]
        self._check_in_all_processes()
        if self._is_step_nonfinite:
            for parameter in parameters:
                parameter.grad = None  # a step without gradients changes nothing; after_train_iter raises or skips

    def _check_in_all_processes(self) -> None:
        """Set ``_is_step_nonfinite`` in all processes: True if a loss or gradient is not finite in any process."""
        is_loss_nonfinite = self._losses is not None and not _is_finite(self._losses)
        is_step_nonfinite = is_loss_nonfinite or bool(self._nonfinite_gradients)
        is_any_loss_nonfinite, self._is_step_nonfinite = in_any_process(is_loss_nonfinite, is_step_nonfinite)
        if is_any_loss_nonfinite and not is_loss_nonfinite:
            # Gradients are averaged over the processes, so a loss of another process made them NaN or infinite. Without
            # names, _handle_nonfinite_step does not record the batch of this process.
            self._nonfinite_gradients = []
        self._is_step_checked = True

    def _handle_nonfinite_step(self, runner: Runner, data_batch: dict | None, outputs: dict) -> None:
        """Write the record of the batch, then raise an error or undo what the iteration changed."""
        nonfinite_losses = [name for name, value in _named_losses(outputs) if not _is_finite(value)]
        if nonfinite_losses:
            what = f"{', '.join(nonfinite_losses)} is not finite"
        elif self._nonfinite_gradients:
            num_weights = count_of(len(self._nonfinite_gradients), "weight")
            what = f"the gradient of {self._nonfinite_gradients[0]} (one of {num_weights}) is not finite"
        else:
            what = "a loss of another process is not finite"
        what += f" at iteration {runner.iter + 1}; the batch was {describe_batch(data_batch)}"
        is_cause_in_this_process = bool(nonfinite_losses or self._nonfinite_gradients)
        path = _record_path(runner) if is_cause_in_this_process and self._num_skipped < MAX_RECORDS else None
        if path is not None:
            write_batch_record(path, describe_step(runner, data_batch, outputs, self._nonfinite_gradients))
            what += f"; repeat the step with: rotated-atss replay {path}"
        barrier()  # when one process ends, the launcher ends the others, even one that is still writing
        if self.action == "stop" or self._num_skipped_in_succession + 1 >= MAX_SKIPPED:
            raise UserError(what, hint=_HINT)
        runner.logger.warning(f"skipped: {what}")
        self._num_skipped += 1
        self._num_skipped_in_succession += 1
        for name, value in runner.model.named_buffers():
            value.copy_(self._buffers[name])
        outputs.clear()  # otherwise, these losses would enter the means that are logged


def describe_step(
    runner: Runner, data_batch: Mapping[str, Any] | None, outputs: Mapping[str, Any], nonfinite_gradients: list[str]
) -> BatchRecord:
    """Create the record of the current training step, before the step has changed the weights.

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
    """Yield name and value of each loss. A loss with one tensor per level is the sum of the means of its tensors."""
    for name, value in outputs.items():
        if "loss" in name:
            levels = value if isinstance(value, (list, tuple)) else [value]
            yield name, torch.stack([torch.as_tensor(level).detach().float().mean() for level in levels]).sum()


def _stack_losses(outputs: Mapping[str, Any]) -> Tensor:
    """Return the losses as one tensor (L,), so that a check needs a single transfer from the GPU."""
    losses = [value for _, value in _named_losses(outputs)]
    return torch.stack(losses) if losses else torch.zeros(1)  # zero is finite: nothing to report


def _is_finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())

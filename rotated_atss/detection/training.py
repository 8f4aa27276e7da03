"""What training adds to MMEngine: mixed precision on every device, a stop at the first loss that is not finite, whole
checkpoints."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import Runner

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
    read safely. Resuming takes them from the config anyway."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        states = checkpoint.get("param_schedulers", [])
        plain = [{name: value for name, value in state.items() if not callable(value)} for state in states]
        if plain:
            checkpoint["param_schedulers"] = plain


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


class WholeCheckpointRunner(Runner):
    """MMEngine's runner, except that a checkpoint gets its name only when it is wholly on disk."""

    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        partial = f"{filename}.partial"
        try:
            super().save_checkpoint(out_dir, partial, *args, **kwargs)
            if self.rank == 0:
                os.replace(Path(out_dir) / partial, Path(out_dir) / filename)
        except OSError as error:
            (Path(out_dir) / partial).unlink(missing_ok=True)
            raise UserError(
                f"cannot write the checkpoint: {error.strerror or error}",
                where=Path(out_dir) / filename,
                hint="free some space, then --resume",
            ) from error

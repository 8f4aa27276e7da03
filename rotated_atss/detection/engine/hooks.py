"""Training hooks: memory layout, non-finite losses, checkpoints without functions, number of classes."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from rotated_atss.detection.engine.network import num_classes, store_channels_last
from rotated_atss.errors import UserError, count_of


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the network's weights channels last, for faster convolutions on CPUs and on GPUs with tensor cores."""

    def before_train(self, runner: Runner) -> None:
        """Convert the weights before training and testing."""
        store_channels_last(runner.model)

    before_test = before_train


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop training at a NaN or infinite loss, gradient or weight, and report the images and boxes of the batch.

    The optimizer makes no step with such a gradient, and no checkpoint with such weights is written.

    Args:
        interval: Iterations between two checks.
    """

    priority = "VERY_HIGH"

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval
        self._runner: Runner | None = None
        self._broken_gradients: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Check gradients before every step of the optimizers."""
        self._runner = runner
        wrappers = runner.optim_wrapper
        for wrapper in wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]:
            # with loss scaling, the scaler looks for infinite gradients and skips their step
            if getattr(wrapper, "loss_scaler", None) is None:
                wrapper.optimizer.register_step_pre_hook(self._check_gradients)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Check the losses of an iteration.

        Raises:
            UserError: A loss or a gradient is not finite.
        """
        if not outputs or not self.every_n_train_iters(runner, self.interval):
            return
        losses = {
            name: torch.as_tensor(value).detach().float().mean() for name, value in outputs.items() if "loss" in name
        }
        # stacked, so that all losses need a single transfer from the GPU
        if losses and not bool(torch.stack(list(losses.values())).isfinite().all()):
            self._stop(", ".join(name for name, value in losses.items() if not value.isfinite()), runner, data_batch)
        if self._broken_gradients:
            first, number = self._broken_gradients[0], len(self._broken_gradients)
            self._stop(f"the gradient of {first} (one of {number} weights)", runner, data_batch)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights before they are written.

        Raises:
            UserError: A weight is not finite.
        """
        broken = [name for name, value in checkpoint["state_dict"].items() if not bool(value.isfinite().all())]
        if broken:
            what = f"{broken[0]} (one of {len(broken)} weights) is not finite; no checkpoint is written"
            raise UserError(what, hint="resume from the last checkpoint with a lower learning rate")

    def _check_gradients(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if self._runner is None or not self.every_n_train_iters(self._runner, self.interval):
            return
        named = {id(parameter): name for name, parameter in self._runner.model.named_parameters()}
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        if not gradients or bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all()):
            return
        broken = [named.get(id(p), "a weight") for p in parameters if not bool(p.grad.isfinite().all())]
        if broken:  # else only the norm overflows
            self._broken_gradients = broken
            for parameter in parameters:
                parameter.grad = None  # the step changes nothing; after the iteration the losses are known

    def _stop(self, what: str, runner: Runner, data_batch: dict | None) -> None:
        raise UserError(
            f"{what} is not finite at iteration {runner.iter + 1}; the batch was {describe_batch(data_batch)}",
            hint="check these labels, or lower the learning rate (--cfg-options optim_wrapper.optimizer.lr=...)",
        )


class StripCallablesHook(Hook):
    """Remove functions from the scheduler states of a checkpoint.

    The state of a one-cycle schedule has functions, and a file with functions is not loaded, for safety. A resumed
    training creates them from the config.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remove the functions before the checkpoint is written."""
        states = checkpoint.get("param_schedulers")
        if isinstance(states, list):  # with several optimizers it is a dict of lists
            checkpoint["param_schedulers"] = [
                {name: value for name, value in state.items() if not callable(value)} for state in states
            ]


class ClassCountHook(Hook):
    """Check that datasets have as many classes as the model.

    Without this check a label index beyond the model's classes would train as background.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training dataset."""
        self._check(runner, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Check the validation dataset."""
        self._check(runner, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test dataset."""
        self._check(runner, runner.test_dataloader.dataset)

    @staticmethod
    def _check(runner: Runner, dataset: Dataset) -> None:
        number, names = num_classes(runner.model), getattr(dataset, "metainfo", {}).get("classes")
        if number is not None and names is not None and len(names) != number:
            raise UserError(
                f"the model has {count_of(number, 'class')}, the dataset {len(names)} ({', '.join(names)})",
                hint="set model.bbox_head.num_classes and the classes of every dataset to the same number",
            )


def describe_batch(data_batch: dict | None, max_boxes: int = 5) -> str:
    """Return the image ids of a batch and the boxes of each image.

    Args:
        data_batch: A batch of MMDetection, with ``data_samples``; None gives "unknown".
        max_boxes: Maximum number of boxes per image. Boxes that are not finite or have no area come first.

    Example:
        >>> describe_batch(None)
        'unknown'
    """
    described = []
    for sample in (data_batch or {}).get("data_samples", []):
        boxes = sample.gt_instances.bboxes
        boxes = getattr(boxes, "tensor", boxes).detach().cpu()
        invalid = ~(boxes.isfinite().all(1) & (boxes[:, 2:4] > 0).all(1))
        order = invalid.int().argsort(descending=True, stable=True)[:max_boxes]
        shown = "; ".join(" ".join(f"{value:.6g}" for value in box) for box in boxes[order].tolist())
        rest = f"; and {len(boxes) - max_boxes} more" if len(boxes) > max_boxes else ""
        described.append(f"{sample.img_id} with {count_of(len(boxes), 'box')} [{shown}{rest}]")
    return ", ".join(described) or "unknown"

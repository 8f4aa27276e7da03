"""Repeat a recorded training step, first with the whole batch, then with each image of the batch alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from rotated_atss.checkpoints.batch_record import BatchRecord, ImageRecord, read_batch_record
from rotated_atss.detection.engine.batch_samples import images_to_batch, invalid_boxes
from rotated_atss.detection.engine.build_errors import report_build_errors
from rotated_atss.detection.engine.checkpoint_io import load_weights
from rotated_atss.detection.engine.config import build_model, config_from_values, load_config, require_keys
from rotated_atss.detection.engine.device import resolve_device, use_device
from rotated_atss.detection.engine.network import store_channels_last
from rotated_atss.detection.engine.random_numbers import seed_generators
from rotated_atss.errors import UserError

# The relative and absolute tolerance when losses are compared. Rounding depends on the device and on the number of
# threads.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class StepResult:
    """Result of a forward and a backward pass.

    Attributes:
        losses: Losses by name. A loss with one tensor per level is reduced to one value.
        nonfinite_gradients: Names of the weights with a gradient that is not finite.
    """

    losses: dict[str, float]
    nonfinite_gradients: list[str]

    @property
    def is_finite(self) -> bool:
        """Whether all losses and gradients are finite."""
        return all(map(math.isfinite, self.losses.values())) and not self.nonfinite_gradients


@dataclass(frozen=True)
class ImageResult:
    """Result of repeating the step with a batch that contains only one image.

    The losses of the single images do not add up to the losses of the whole batch, because losses are averaged over the
    positives of a batch, and batch norm in training mode depends on the batch.

    Attributes:
        name: ``img_id`` of the image.
        num_boxes: Number of ground-truth boxes of the image.
        num_invalid_boxes: Number of boxes that are not finite or have no area.
        step: Losses and gradients of the step.
    """

    name: str
    num_boxes: int
    num_invalid_boxes: int
    step: StepResult

    @property
    def is_valid(self) -> bool:
        """Whether boxes, losses and gradients are finite, and all boxes have an area."""
        return self.step.is_finite and not self.num_invalid_boxes


@dataclass(frozen=True)
class Replay:
    """A repeated training step.

    Attributes:
        record: The recorded step.
        batch: Result for the whole batch.
        images: Result for each image alone.
    """

    record: BatchRecord
    batch: StepResult
    images: list[ImageResult]

    @property
    def is_reproduced(self) -> bool:
        """Whether the repeated step has the same losses as the record and, like the record, NaN or infinite gradients.

        If the record has no such gradients, only the losses are compared.
        """
        recorded, repeated = self.record.losses, self.batch.losses
        if recorded.keys() != repeated.keys():
            return False
        if not all(_are_losses_equal(recorded[name], repeated[name]) for name in recorded):
            return False
        return bool(self.batch.nonfinite_gradients) or not self.record.gradients


def replay(path: str | Path, config: str | Path | None = None, device: str | None = None) -> Replay:
    """Repeat a training step that ``train`` recorded because a loss or gradient was not finite.

    Args:
        path: The record, ``nonfinite_iter_N.pth``. Reading the file never executes code from it.
        config: Path or name of the config; None for the config in the record.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; None for CUDA if a GPU is available, otherwise the CPU.

    Raises:
        UserError: The file is not a record of a training step, it has no config and none is given, the weights do not
            fit the config, or the device does not exist.

    Example::

        replay("work_dirs/demo/nonfinite_iter_12.pth").batch.losses
    """
    record = read_batch_record(path)
    cfg = _load_step_config(record, path, config)
    with use_device(device):
        model = build_model(cfg).to(resolve_device(device))
        load_weights(model, record.weights, path)
        if any(hook.get("type") == "ChannelsLastHook" for hook in cfg.get("custom_hooks") or ()):
            store_channels_last(model)  # the step is repeated in the same memory layout, because rounding depends on it
        with report_build_errors("optim_wrapper of this config", where=path):
            optim_wrapper: Any = build_optim_wrapper(model, cfg.optim_wrapper)
        model.train()
        batch = _run_step(model, optim_wrapper, record, record.images)
        images = [_run_image(model, optim_wrapper, record, image) for image in record.images]
    return Replay(record, batch, images)


def _load_step_config(record: BatchRecord, path: str | Path, config: str | Path | None) -> Config:
    """Load the given config, or the config in the record if ``config`` is None."""
    if config is not None:
        cfg = load_config(config)
    else:
        values = record.config_values()
        if values is None:
            raise UserError("the record has no config", where=path, hint="give the config with --config CONFIG")
        cfg = config_from_values(values, record.config_name or "replay", path)
    require_keys(cfg, "model", "optim_wrapper")
    return cfg


def _run_image(model: nn.Module, optim_wrapper: Any, record: BatchRecord, image: ImageRecord) -> ImageResult:
    boxes = image.gt_instances.get("bboxes")
    num_boxes = num_invalid_boxes = 0
    if boxes is not None and len(boxes):
        num_boxes, num_invalid_boxes = len(boxes), int(invalid_boxes(boxes).sum())
    step = _run_step(model, optim_wrapper, record, [image])
    return ImageResult(image.name, num_boxes, num_invalid_boxes, step)


def _run_step(model: Any, optim_wrapper: Any, record: BatchRecord, images: Sequence[ImageRecord]) -> StepResult:
    """Run the forward and the backward pass of a training step, as the model's ``train_step`` does."""
    seed_generators(record.seed)
    model.zero_grad()
    with optim_wrapper.optim_context(model):
        data = model.data_preprocessor(images_to_batch(images), training=True)
        losses = model(**data, mode="loss")
    total, log_vars = model.parse_losses(losses)
    total.backward()
    return StepResult(_losses_by_name(log_vars), _find_nonfinite_gradients(model))


def _losses_by_name(log_vars: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in log_vars.items() if "loss" in name}


def _find_nonfinite_gradients(model: nn.Module) -> list[str]:
    """Return the names of the weights with a gradient that is not finite."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all())
    ]


def _are_losses_equal(recorded: float, repeated: float) -> bool:
    """Return whether two losses are equal within the tolerance. Unlike in comparisons of floats, NaN equals NaN."""
    if math.isnan(recorded) or math.isnan(repeated):
        return math.isnan(recorded) and math.isnan(repeated)
    return math.isclose(recorded, repeated, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)

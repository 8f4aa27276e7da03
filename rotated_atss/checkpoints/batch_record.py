"""Record of a training step whose loss or gradient is not finite: its batch, its weights, and how to repeat it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rotated_atss.checkpoints.config_text import parse_config_text
from rotated_atss.checkpoints.restricted_load import load_restricted
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes

_FORMAT = 1
_HINT = "give a nonfinite_iter_N.pth that train has written"


@dataclass(frozen=True)
class ImageRecord:
    """One image of a batch, as the model receives it.

    Attributes:
        inputs: (C, H, W) pixels after augmentation.
        metainfo: Plain values by name, such as ``img_id``, ``img_path`` and ``img_shape``.
        gt_instances: Values of the N ground-truth objects by name, such as ``bboxes`` (N, 5) and ``labels`` (N,).
        ignored_instances: Values of the ignored objects by name.
        box_type: Name of the class of ``bboxes``, ``obb`` or ``hbox``; None for plain tensors.
    """

    inputs: Tensor
    metainfo: dict[str, Any] = field(default_factory=dict)
    gt_instances: dict[str, Tensor] = field(default_factory=dict)
    ignored_instances: dict[str, Tensor] = field(default_factory=dict)
    box_type: str | None = None

    @property
    def name(self) -> str:
        """``img_id`` of the image, or its path."""
        return str(self.metainfo.get("img_id", self.metainfo.get("img_path", "unknown")))


@dataclass(frozen=True)
class BatchRecord:
    """A training step that can be repeated.

    Attributes:
        iteration: Number of the iteration, from 1.
        losses: Mean of each loss of the batch.
        gradients: Names of the weights with a gradient that is not finite.
        images: Images of the batch.
        weights: Weights of the detector before the step, and its buffers, by name. The running statistics of batch norm
            already include the batch, which does not affect its losses.
        seed: Seed of all random number generators at the start of the step.
        config_name: Name of the config.
        config: The config as :func:`rotated_atss.checkpoints.config_text.format_config_text` writes it; empty if the
            config holds values that are not plain data.
    """

    iteration: int
    losses: dict[str, float]
    gradients: list[str]
    images: list[ImageRecord]
    weights: dict[str, Tensor]
    seed: int
    config_name: str = ""
    config: str = ""

    def config_values(self) -> dict[str, Any] | None:
        """Return the config as plain values, without running code; None if it is not recorded.

        Raises:
            UserError: The text is more than assignments of plain values.
        """
        return parse_config_text(self.config) if self.config else None


def write_batch_record(path: str | Path, record: BatchRecord) -> None:
    """Write a record atomically. The file holds tensors and plain values only.

    Args:
        path: File to write, ``.pth``.
        record: The record.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> record = BatchRecord(3, {"loss": float("nan")}, [], [ImageRecord(torch.zeros(3, 8, 8))], {}, seed=7)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_batch_record(f"{folder}/a.pth", record)
        ...     read_batch_record(f"{folder}/a.pth").losses
        {'loss': nan}
    """
    images = [{item.name: getattr(image, item.name) for item in fields(image)} for image in record.images]
    content = {item.name: getattr(record, item.name) for item in fields(record)}
    buffer = io.BytesIO()
    torch.save({"batch_record": _FORMAT, **content, "images": images}, buffer)
    atomic_write(path, buffer.getvalue())


def read_batch_record(path: str | Path) -> BatchRecord:
    """Read a record without running code from the file.

    Args:
        path: File written by :func:`write_batch_record`.

    Raises:
        UserError: The file is missing, damaged, not the record of a batch, or holds more than tensors and plain values.
    """
    try:
        content = load_restricted(io.BytesIO(read_bytes(path)))
    except UserError as error:
        raise UserError(error.what, where=path, hint=error.hint) from error
    except Exception as error:  # a damaged file can raise anything
        raise UserError("not a readable record of a batch, or damaged", where=path, hint=_HINT) from error
    if not isinstance(content, dict) or content.get("batch_record") != _FORMAT:
        raise UserError("not the record of a batch", where=path, hint=_HINT)
    try:
        return _record_from(content)
    except (KeyError, TypeError) as error:
        raise UserError(f"a part of the record is missing or wrong: {error}", where=path, hint=_HINT) from error


def _record_from(content: Mapping[str, Any]) -> BatchRecord:
    """Build the record, and raise KeyError or TypeError for a part that is missing or of another type."""
    images = [
        ImageRecord(
            inputs=_typed(image, "inputs", Tensor),
            metainfo=_typed(image, "metainfo", dict),
            gt_instances=_typed_values(image, "gt_instances", Tensor),
            ignored_instances=_typed_values(image, "ignored_instances", Tensor),
            box_type=image["box_type"] if image["box_type"] is None else _typed(image, "box_type", str),
        )
        for image in _typed(content, "images", list)
    ]
    return BatchRecord(
        iteration=_typed(content, "iteration", int),
        losses=_typed_values(content, "losses", float),
        gradients=[str(name) for name in _typed(content, "gradients", list)],
        images=images,
        weights=_typed_values(content, "weights", Tensor),
        seed=_typed(content, "seed", int),
        config_name=_typed(content, "config_name", str),
        config=_typed(content, "config", str),
    )


def _typed(content: Mapping[str, Any], name: str, kind: type) -> Any:
    value = content[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    return value


def _typed_values(content: Mapping[str, Any], name: str, kind: type) -> dict[str, Any]:
    values = _typed(content, name, dict)
    return {str(key): _typed(values, key, kind) for key in values}

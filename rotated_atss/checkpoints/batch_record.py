"""Save a training step whose loss or gradient is not finite, so that the step can be repeated and debugged."""

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

_FORMAT = 1  # version of the format, stored under the key "batch_record", which also identifies such a file
_HINT = "give a nonfinite_iter_N.pth that train has written"


@dataclass(frozen=True)
class ImageRecord:
    """One image of a batch, as the model receives it.

    Attributes:
        inputs: (C, H, W) pixels after augmentation.
        metainfo: Plain values by name, such as ``img_id``, ``img_path`` and ``img_shape``.
        gt_instances: Values of the N ground-truth objects by name, such as ``bboxes`` (N, 5) and ``labels`` (N,).
        ignored_instances: Values of the ignored objects by name.
        box_type: Name under which the class of ``bboxes`` is registered: ``obb`` (oriented boxes of this package) or
            ``hbox`` (horizontal boxes of MMDetection); None for plain tensors.
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
    """Everything that is needed to repeat a training step.

    Attributes:
        iteration: Number of the iteration, from 1.
        losses: Mean over the batch of each loss, by name.
        gradients: Names of the parameters whose gradient is not finite.
        images: Images of the batch.
        weights: Parameters and buffers of the detector before the step, by name, except that the running statistics of
            batch norm already include the batch. They do not affect the losses, because training does not read them.
        seed: Seed that all random number generators are set to at the start of the step.
        config_name: Name of the config.
        config: The config as :func:`rotated_atss.checkpoints.config_text.format_config_text` writes it; empty if the
            config has values that cannot be written as literals.
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
            UserError: The text is more than assignments of literals.
        """
        return parse_config_text(self.config) if self.config else None


def write_batch_record(path: str | Path, record: BatchRecord) -> None:
    """Write a batch record atomically, as a file of tensors and plain values only.

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
    # dataclasses.asdict would copy the tensors
    images = [{item.name: getattr(image, item.name) for item in fields(image)} for image in record.images]
    content = {item.name: getattr(record, item.name) for item in fields(record)}
    buffer = io.BytesIO()
    torch.save({"batch_record": _FORMAT, **content, "images": images}, buffer)
    atomic_write(path, buffer.getvalue())


def read_batch_record(path: str | Path) -> BatchRecord:
    """Read a batch record without running code from the file.

    Args:
        path: File written by :func:`write_batch_record`.

    Raises:
        UserError: The file is missing, damaged or not a batch record, or contains other objects than tensors and plain
            values.
    """
    try:
        content = load_restricted(io.BytesIO(read_bytes(path)))
    except UserError as error:
        raise UserError(error.what, where=path, hint=error.hint) from error
    except Exception as error:  # a damaged file can raise anything
        raise UserError("not a batch record, or damaged", where=path, hint=_HINT) from error
    if not isinstance(content, dict) or content.get("batch_record") != _FORMAT:
        raise UserError("not a batch record", where=path, hint=_HINT)
    try:
        return _parse_record(content)
    except (KeyError, TypeError) as error:
        raise UserError(f"a field is missing or has a wrong type: {error}", where=path, hint=_HINT) from error


def _parse_record(content: Mapping[str, Any]) -> BatchRecord:
    """Build the record; raise KeyError for a missing field and TypeError for a value of a wrong type."""
    images = [
        ImageRecord(
            inputs=_get_typed(image, "inputs", Tensor),
            metainfo=_get_typed(image, "metainfo", dict),
            gt_instances=_get_typed_dict(image, "gt_instances", Tensor),
            ignored_instances=_get_typed_dict(image, "ignored_instances", Tensor),
            box_type=image["box_type"] if image["box_type"] is None else _get_typed(image, "box_type", str),
        )
        for image in _get_typed(content, "images", list)
    ]
    return BatchRecord(
        iteration=_get_typed(content, "iteration", int),
        losses=_get_typed_dict(content, "losses", float),
        gradients=[str(name) for name in _get_typed(content, "gradients", list)],
        images=images,
        weights=_get_typed_dict(content, "weights", Tensor),
        seed=_get_typed(content, "seed", int),
        config_name=_get_typed(content, "config_name", str),
        config=_get_typed(content, "config", str),
    )


def _get_typed(content: Mapping[str, Any], name: str, value_type: type) -> Any:
    value = content[name]
    if not isinstance(value, value_type):
        raise TypeError(f"{name} must be a {value_type.__name__}, got {type(value).__name__}")
    return value


def _get_typed_dict(content: Mapping[str, Any], name: str, value_type: type) -> dict[str, Any]:
    """Return a dictionary whose values are all of one type."""
    values = _get_typed(content, name, dict)
    return {str(key): _get_typed(values, key, value_type) for key in values}

"""Save and read batch records: the data of a training step with a non-finite loss or gradient.

The step can then be repeated and debugged.
"""

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

# Version of the format. It is stored under the key "batch_record", and this key also identifies a batch record.
_FORMAT = 1
_HINT = "give a nonfinite_iter_N.pth that train has written"


@dataclass(frozen=True)
class ImageRecord:
    """One image of a batch, as the model receives it.

    Attributes:
        inputs: (C, H, W) pixels after augmentation.
        metainfo: Plain values by name, such as ``img_id``, ``img_path`` and ``img_shape``.
        gt_instances: Tensors of the N ground-truth objects by name, such as ``bboxes`` (N, 5) and ``labels`` (N,).
        ignored_instances: The same for the ignored objects.
        box_type: MMDetection's registered name for the type of ``bboxes``: ``obb`` (oriented boxes of this package) or
            ``hbox`` (horizontal boxes of MMDetection). None if ``bboxes`` is a plain tensor.
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
        losses: Mean of each loss over the batch, by name.
        gradients: Names of the parameters whose gradient is not finite.
        images: Images of the batch.
        weights: Parameters and buffers of the detector before the step, by name. There is one exception: the running
            statistics of batch norm already include the batch. These statistics do not affect the losses, because
            training does not read them.
        seed: Seed of all random number generators at the start of the step.
        config_name: Name of the config.
        config: The config as :func:`rotated_atss.checkpoints.config_text.format_config_text` writes it. Empty if the
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
        """Return the config as plain values, or None if ``config`` is empty. No code from the config is run.

        Raises:
            UserError: The config contains anything other than assignments of literals.
        """
        return parse_config_text(self.config) if self.config else None


def write_batch_record(path: str | Path, record: BatchRecord) -> None:
    """Write a batch record atomically to a file that contains only tensors and plain values.

    Args:
        path: ``.pth`` file to write.
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
    # dataclasses.asdict is not used here, because it would copy the tensors.
    images = [{item.name: getattr(image, item.name) for item in fields(image)} for image in record.images]
    content = {item.name: getattr(record, item.name) for item in fields(record)}
    buffer = io.BytesIO()
    content["images"] = images  # replaces the ImageRecord objects, which read_batch_record would refuse
    torch.save({"batch_record": _FORMAT, **content}, buffer)
    atomic_write(path, buffer.getvalue())


def read_batch_record(path: str | Path) -> BatchRecord:
    """Read a batch record without running code from the file.

    Args:
        path: File written by :func:`write_batch_record`.

    Raises:
        UserError: The file is missing, damaged or not a batch record, or contains objects other than tensors and plain
            values.
    """
    try:
        content = load_restricted(io.BytesIO(read_bytes(path)))
    except UserError as error:  # load_restricted gets only bytes, so its error does not name the file
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
    """Build a record from the content of a file.

    Raises:
        KeyError: A field is missing.
        TypeError: A value has a wrong type.
    """
    images = [
        ImageRecord(
            inputs=_get_typed(image, "inputs", Tensor),
            metainfo=_get_typed(image, "metainfo", dict),
            gt_instances=_get_typed_dict(image, "gt_instances", Tensor),
            ignored_instances=_get_typed_dict(image, "ignored_instances", Tensor),
            box_type=None if image["box_type"] is None else _get_typed(image, "box_type", str),
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
    """Return the dictionary under a key, after checking that all its values have the given type."""
    values = _get_typed(content, name, dict)
    return {str(key): _get_typed(values, key, value_type) for key in values}

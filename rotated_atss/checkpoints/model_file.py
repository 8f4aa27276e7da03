"""Read the model metadata (:class:`ModelInfo`) of a ``.pth``, ``.safetensors`` or ``.onnx`` file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotated_atss.checkpoints.model_info import ModelInfo, read_info
from rotated_atss.errors import UserError
from rotated_atss.io.onnx_metadata import read_onnx_metadata

SUFFIXES = (".pth", ".safetensors", ".onnx")


def read_model_info(path: str | Path) -> ModelInfo | None:
    """Read the model metadata of a file.

    Args:
        path: A ``.pth``, ``.safetensors`` or ``.onnx`` file; another suffix is read as ``.pth``.

    Returns:
        The model metadata; None if the file has none.

    Raises:
        UserError: The file is missing, or the file or its model metadata is damaged.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {}, "meta": {"epoch": 12}}, f"{folder}/a.pth")
        ...     read_model_info(f"{folder}/a.pth") is None
        True
    """
    return read_info(read_metadata(path), path)


def read_metadata(path: str | Path) -> Mapping[str, Any]:
    """Read all metadata of a model file.

    A ``.pth`` file is read completely, including its weights. From the other formats, only the metadata is read.

    Args:
        path: A ``.pth``, ``.safetensors`` or ``.onnx`` file; another suffix is read as ``.pth``.

    Returns:
        Values by key: the model metadata, if any, under ``rotated_atss``, and all other metadata of the file. In a
        ``.safetensors`` file of this package, every value is a JSON string.

    Raises:
        UserError: The file is missing or damaged.

    Example:
        >>> import tempfile
        >>> from rotated_atss.checkpoints.weight_files import save_weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _, path = save_weights(Path(folder, "model"), {}, {"config": "demo"})
        ...     read_metadata(path)["config"]
        '"demo"'
    """
    if not Path(path).is_file():
        raise UserError("no such model file", where=path)
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return read_onnx_metadata(path)
    if suffix == ".safetensors":
        return _read_safetensors_header(path)
    from rotated_atss.checkpoints.read_file import read_content  # imports torch, which the other formats do not need

    meta = read_content(path).get("meta")
    return meta if isinstance(meta, Mapping) else {}


def _read_safetensors_header(path: str | Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("not a readable model file", where=path, hint="check that the file is complete") from error

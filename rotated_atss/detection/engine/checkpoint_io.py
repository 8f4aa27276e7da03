"""Load checkpoints without running code from the file, and check that their weights fit a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import Tensor, nn

from rotated_atss.checkpoints.compatibility import CLASS_COUNT_HINT, check_state_dict_fits, tensor_shapes
from rotated_atss.checkpoints.read_file import read_content
from rotated_atss.checkpoints.restricted_load import LogHistory
from rotated_atss.errors import UserError


def restrict_checkpoint_loading() -> None:
    """Make MMEngine load checkpoints without running code from the file.

    MMEngine falls back to unrestricted unpickling if a restricted load fails, and always unpickles downloaded files
    without restriction. This function replaces the two functions of :mod:`mmengine.runner.checkpoint` that read local
    and downloaded files. All schemes of its ``CheckpointLoader`` (local, http, torchvision, open-mmlab, ...) use them,
    so ``load_from``, ``resume`` and ``init_cfg`` are restricted. This package reads all other weights with
    :func:`read_checkpoint`, which is always restricted.

    :func:`~rotated_atss.detection.engine.config.load_config`, ``build_model`` and ``build_runner`` call this function
    before anything is loaded. Calling it again has no effect.

    Example:
        >>> restrict_checkpoint_loading()
        >>> mmengine_checkpoint._safe_torch_load is _load_restricted
        True
    """
    if mmengine_checkpoint._safe_torch_load is not _load_restricted:
        mmengine_checkpoint._safe_torch_load = _load_restricted
        mmengine_checkpoint.load_url = partial(mmengine_checkpoint.load_url, weights_only=True)


def _load_restricted(file: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
    """Load a ``.pth`` file of tensors and plain values, or a ``.safetensors`` file.

    ``weights_only``, a parameter of MMEngine's loader, is ignored: loading is always restricted.
    """
    return read_content(file, map_location, _history_buffer)


def _history_buffer(history: LogHistory) -> HistoryBuffer:
    """Create MMEngine's buffer of logged values, which resuming needs, from the values read by the restricted load."""
    return HistoryBuffer(history.log_history, history.count_history, history.max_length)


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint without running code from the file.

    Args:
        path: A ``.pth`` file of MMEngine, MMDetection 2.x or mmrotate, a bare state dict, or a ``.safetensors`` file.

    Raises:
        UserError: The file is missing or damaged, or contains more than tensors and plain values.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {}, "meta": {"epoch": 12}}, f"{folder}/a.pth")
        ...     read_checkpoint(f"{folder}/a.pth")["meta"]
        {'epoch': 12}
    """
    if not Path(path).is_file():
        raise UserError("no such checkpoint", where=path)
    return _load_restricted(path)


def check_weights_fit(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path, class_hint: str = CLASS_COUNT_HINT
) -> None:
    """Raise an error unless the weights have the names and shapes of the model's weights.

    See :func:`load_weights` for the arguments.

    Raises:
        UserError: A weight is missing, is not in the model, or has the wrong shape
            (:func:`rotated_atss.checkpoints.compatibility.check_state_dict_fits`).

    Example:
        >>> model = nn.Linear(3, 2)
        >>> check_weights_fit(model, model.state_dict(), "a.pth")
    """
    check_state_dict_fits(tensor_shapes(state), tensor_shapes(model.state_dict()), where=path, class_hint=class_hint)


def load_weights(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path, class_hint: str = CLASS_COUNT_HINT
) -> None:
    """Load weights into a model after checking that they fit.

    Args:
        model: The detector without a wrapper such as ``DistributedDataParallel``, which adds a prefix to the names.
        state: Weights by name; the counters of batch norm (``num_batches_tracked``) can be missing.
        path: Path of the checkpoint, which the error names.
        class_hint: Hint of the error if only the number of classes differs.

    Raises:
        UserError: The weights do not fit (:func:`check_weights_fit`).

    Example:
        >>> import torch
        >>> model = nn.Linear(3, 2)
        >>> load_weights(model, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "a.pth")
        >>> model.bias.tolist()
        [0.0, 0.0]
    """
    check_weights_fit(model, state, path, class_hint)
    model.load_state_dict(state, strict=False)  # not strict, as the counters of batch norm can be missing

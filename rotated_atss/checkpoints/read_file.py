"""Read and check checkpoint files, ``.pth`` and ``.safetensors``, without running code from them."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from rotated_atss.checkpoints.restricted_load import LogHistory, load_restricted
from rotated_atss.checkpoints.weight_files import read_safetensors
from rotated_atss.errors import UserError, count_of, printable


def read_content(
    file: str | Path | IO[bytes],
    map_location: Any = "cpu",
    convert_history: Callable[[LogHistory], Any] = lambda history: history,
) -> dict:
    """Read and check the content of a checkpoint.

    Args:
        file: Path of a ``.pth`` or ``.safetensors`` file, or an open ``.pth`` file. A ``.pth`` file is a checkpoint of
            MMEngine, MMDetection 2.x or mmrotate, or a bare state dict.
        map_location: As for :func:`torch.load`.
        convert_history: Function that is called on each log history in a ``.pth`` file; its result replaces the log
            history. A log history is MMEngine's ``HistoryBuffer``, which holds the logged values of a loss.

    Returns:
        The content, such as a dictionary of ``state_dict`` and ``meta``.

    Raises:
        UserError: The file is damaged, or contains objects other than tensors and plain values.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {}, "meta": {"epoch": 12}}, f"{folder}/a.pth")
        ...     read_content(f"{folder}/a.pth")["meta"]
        {'epoch': 12}
    """
    if isinstance(file, (str, os.PathLike)) and str(file).lower().endswith(".safetensors"):
        content = read_safetensors(file)
    else:
        try:
            content = load_restricted(file, map_location, convert_history)
        except UserError:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise _load_error(error, file) from error
    if not isinstance(content, dict):
        raise UserError(f"contains a {type(content).__name__} instead of weights", where=file)
    check_content(content, file)
    return content


def check_content(content: Mapping[str, Any], path: Any) -> None:
    """Check those parts of a checkpoint that this package uses.

    Args:
        content: A checkpoint with ``state_dict``, or a bare state dict.
        path: Path of the checkpoint, for the error.

    Raises:
        UserError: A part has a wrong type or value, or a weight is complex, NaN, or infinite in float32.

    Example:
        >>> import torch
        >>> check_content({"state_dict": {"bias": torch.zeros(1)}, "meta": {"epoch": 12}}, "a.pth")
    """
    meta = {} if content.get("meta") is None else content["meta"]
    dataset_meta = (meta.get("dataset_meta") if isinstance(meta, Mapping) else None) or {}
    parts = {"state_dict": content.get("state_dict", {}), "meta": meta, "meta.dataset_meta": dataset_meta}
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            raise UserError(f"{name} must be a dictionary, got {type(part).__name__}", where=path)
    for name in content.get("state_dict", content):
        if not isinstance(name, str) or not name.isprintable():
            raise UserError(f"names of weights must be printable text, got {name!r:.80}", where=path)
    _check_class_names({"meta": meta, "meta.dataset_meta": dataset_meta}, path)
    _check_counts_and_seed(meta, path)
    _check_weights(content, path)


def _check_class_names(metas: Mapping[str, Mapping], path: Any) -> None:
    """Check that recorded class names are a printable string or a sequence of printable strings.

    ``metas`` maps names of parts of the checkpoint, for errors, to these parts: dictionaries that can record class
    names.
    """
    for name, meta in metas.items():
        for key in ("classes", "CLASSES"):
            recorded = meta.get(key)
            if recorded is None:
                continue
            classes = [recorded] if isinstance(recorded, str) else recorded
            if not isinstance(classes, (list, tuple)) or not all(
                isinstance(class_name, str) and class_name.isprintable() for class_name in classes
            ):
                got = printable(repr(recorded), 80)
                raise UserError(f"{name}.{key} must be a list of class names, got {got}", where=path)


def _check_counts_and_seed(meta: Mapping[str, Any], path: Any) -> None:
    """Check that the numbers of epochs and iterations are counts, and that the seed is an unsigned 32-bit integer."""
    for key in ("epoch", "iter"):
        count = meta.get(key, 0)
        if type(count) is not int or count < 0:
            raise UserError(f"meta.{key} must be a count, got {printable(repr(count), 80)}", where=path)
    seed = meta.get("seed")
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
        raise UserError(
            f"meta.seed must be an integer from 0 to 2**32 - 1, got {printable(repr(seed), 80)}", where=path
        )


def _check_weights(content: Mapping[str, Any], path: Any) -> None:
    """Check that the weights have unique names without the prefix ``module.``, and check their values.

    The values must be real, finite in float32 (the type of the model's weights) and, for variances, not negative.
    """
    stored = content.get("state_dict", content)
    for name in stored:
        plain_name = name.removeprefix("module.")
        if plain_name != name and plain_name in stored:
            raise UserError(f"contains both {name} and {plain_name}, names of the same weight", where=path)
    state, ema_state = state_dict_of(content), content.get("ema_state_dict")
    if isinstance(ema_state, Mapping):
        state.update({f"ema_state_dict.{name}": value for name, value in ema_state.items()})
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    complex_names = [name for name, value in tensors.items() if value.is_complex()]
    if complex_names:
        what = f"contains {count_of(len(complex_names), 'complex weight')} (first: {complex_names[0]})"
        raise UserError(what, where=path)
    negative_variances = [
        name for name, value in tensors.items() if name.endswith("running_var") and bool((value < 0).any())
    ]
    if negative_variances:  # training cannot produce them, so the file is damaged
        what = f"a variance is negative (first: {negative_variances[0]})"
        raise UserError(what, where=path, hint="copy the file again")
    nonfinite_names = [name for name, value in tensors.items() if not is_finite(value)]
    if nonfinite_names:
        count = count_of(len(nonfinite_names), "weight")
        what = f"contains {count} with NaN or infinite values (first: {nonfinite_names[0]})"
        raise UserError(what, where=path, hint="the training run diverged; use an earlier checkpoint")


def is_finite(value: Tensor) -> bool:
    """Return whether all values of a tensor are finite after conversion to float32.

    Example:
        >>> import torch
        >>> is_finite(torch.tensor([1e30])), is_finite(torch.tensor([1e300], dtype=torch.float64))
        (True, False)
    """
    return not value.is_floating_point() or bool(value.float().isfinite().all())


def state_dict_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, without the ``module.`` prefix of DataParallel.

    Args:
        content: A checkpoint with ``state_dict``, or a bare state dict.

    Example:
        >>> import torch
        >>> state_dict_of({"state_dict": {"module.bias": torch.zeros(1)}, "meta": {}})
        {'bias': tensor([0.])}
    """
    state = content.get("state_dict", content)
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def _load_error(error: Exception, path: Any) -> UserError:
    """Convert an exception of ``torch.load`` to a one-line error."""
    reason = str(error).strip() or type(error).__name__
    refused_global = re.search(r"GLOBAL ([\w.]+)\s", reason)  # how torch names a class or function that it refuses
    if refused_global:
        what = f"not loaded, for safety: it contains {refused_global[1]}, which can run code"
        return UserError(what, where=path, hint="only tensors and plain values are read")
    details, hint = _describe_unreadable(path)
    return UserError(f"not a readable checkpoint{details}", where=path, hint=hint)


def _describe_unreadable(path: Any) -> tuple[str, str]:
    """Describe a file that torch cannot read.

    Return details, which start with a colon or are empty if nothing is known, and a hint.
    The details replace torch's message, which names a pickle opcode or fills a page.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(256)
    except (OSError, TypeError):  # unreadable, or an open file
        return "", "cut short, or another kind of file"
    if not start:
        return ": the file is empty", "copy or download it again"
    if start.startswith(b"PK"):
        details = "a zip of something else, or damaged" if _has_zip_directory(path) else "cut short"
        return f": {details}", "copy or download it again"
    has_control_characters = any(byte < 32 and byte not in b"\t\n\r\f" for byte in start) or 127 in start
    if not has_control_characters:
        return ": it is text", "give a file of weights, .pth or .safetensors"
    return "", "cut short, or another kind of file"


def _has_zip_directory(path: Any) -> bool:
    """Return whether a zip file has its central directory. A truncated file lacks it because it is at the end."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # there is a directory, but of a zip archive that is split into several files
        return True

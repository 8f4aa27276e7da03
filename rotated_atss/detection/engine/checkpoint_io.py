"""Checkpoints: read with pickles restricted, checked against the model before anything runs.

Importing this also keeps MMEngine's own readers from running a file's code.
"""

from __future__ import annotations

import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import Tensor, nn

from rotated_atss.checkpoints.weight_files import read_safetensors
from rotated_atss.errors import UserError

# what MMEngine's own runner leaves in a checkpoint of a one-cycle schedule
torch.serialization.add_safe_globals([OneCycleParamScheduler])


def read_checkpoint(path: str | Path) -> dict:
    """The content of a checkpoint, unpickled without running any code of the file.

    Args:
        path: A ``.pth`` of MMEngine, of an older MMDetection or mmrotate, or a bare state dict; or ``.safetensors``.

    Raises:
        UserError: Missing, truncated, or holding more than tensors and plain numbers.
    """
    if not Path(path).is_file():
        raise UserError("no such checkpoint", where=path)
    content = _load_plain(path)
    if not isinstance(content, dict):
        raise UserError(f"holds a {type(content).__name__} instead of weights", where=path)
    return content


def _load_plain(file: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
    """``torch.load`` of tensors and plain values, whatever ``weights_only`` asks for; or a ``.safetensors`` file."""
    if str(file).endswith(".safetensors"):
        return read_safetensors(file)
    try:
        # MMEngine's own list: the running means of its log and the numpy types inside them
        with torch.serialization.safe_globals(get_torch_safe_globals()):
            return torch.load(file, map_location=map_location, weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(error, file) from error


# MMEngine reads a file unsafely where that fails, and a downloaded one in any case. Every scheme of its loader
# (local, http, torchvision, ...) ends in one of these two.
mmengine_checkpoint._safe_torch_load = _load_plain
mmengine_checkpoint.load_url = partial(mmengine_checkpoint.load_url, weights_only=True)


def _unreadable(error: Exception, path: Any) -> UserError:
    """Why a checkpoint was not read: torch names a class or function that is no plain value ``GLOBAL module.name``."""
    reason = str(error).strip() or type(error).__name__
    refused = re.search(r"GLOBAL ([\w.]+)\s", reason)
    if refused:
        what = f"not loaded, for safety: it holds {refused[1]}, which may run code"
        return UserError(what, where=path, hint="only tensors and plain values are read")
    what, hint = _look_at(path)
    return UserError(f"not a readable checkpoint{what}", where=path, hint=hint)


def _look_at(path: Any) -> tuple[str, str]:
    """What a file that torch cannot read seems to be, and what to do. torch's own words are an opcode, or a page."""
    try:
        with open(path, "rb") as opened:
            start = opened.read(256)
    except (OSError, TypeError):  # not a file, or not ours to read
        return "", "cut short, or another kind of file"
    if not start:
        return ": the file is empty", "copy or download it again"
    if start.startswith(b"PK"):
        what = "a zip of something else, or damaged" if zipfile.is_zipfile(path) else "cut short"
        return f": {what}", "copy or download it again"
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in start) and 127 not in start:
        return ": it is text", "give a file of weights, .pth or .safetensors"
    return "", "cut short, or another kind of file"


def state_dict_of(content: dict) -> dict[str, Tensor]:
    """The weights of a checkpoint: under ``state_dict``, or the content itself; a data-parallel prefix goes."""
    state = content.get("state_dict", content)
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def check_resumable(model: nn.Module, path: str | Path) -> None:
    """Refuse what training cannot go on from.

    Raises:
        UserError: As :func:`read_checkpoint` and :func:`check_fits`, or weights without the state of their training.
    """
    content = read_checkpoint(path)
    check_fits(model, state_dict_of(content), path)
    missing = [part for part in ("meta", "message_hub", "optimizer", "param_schedulers") if part not in content]
    if missing:
        raise UserError(
            f"holds weights but no state of a training to resume (no {', '.join(missing)})",
            where=path,
            hint="start from these weights with --cfg-options load_from=PATH",
        )


def check_fits(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Refuse weights of another model.

    Raises:
        UserError: Names missing or left over, or shapes that differ: how many, and the first of each.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    extra = [name for name in given if name not in wanted]
    differing = [name for name in wanted if name in given and wanted[name] != given[name]]
    faults = [
        f"{len(names)} {kind} (first: {names[0]})"
        for kind, names in (("missing", missing), ("left over", extra))
        if names
    ]
    if differing:
        first = differing[0]
        faults.append(f"{len(differing)} of another shape (first: {first}, {given[first]} instead of {wanted[first]})")
    if faults:
        raise UserError(
            f"these are weights of another model: {'; '.join(faults)}",
            where=path,
            hint="give the config they were trained with",
        )


def latest_checkpoint(work_dir: Path) -> Path | None:
    """Return the latest checkpoint of a work folder, also if the folder was moved since training; None without one.

    Raises:
        UserError: ``last_checkpoint`` names a file that does not exist.
    """
    pointer = work_dir / "last_checkpoint"
    if not pointer.is_file():
        return None
    name = pointer.read_text().strip()
    for path in (Path(name), work_dir / Path(name).name):
        if path.is_file():
            return path
    what = f"names a checkpoint that does not exist, '{name}'"
    raise UserError(what, where=pointer, hint="give one: --resume CHECKPOINT")

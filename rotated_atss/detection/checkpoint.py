"""Checkpoints: read with pickles restricted, checked against the model before anything runs."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import Tensor, nn

from rotated_atss.errors import UserError

# MMEngine saves this schedule with a reference to its own class; known for MMEngine's resuming too, which would
# otherwise fall back to loading without any restriction
torch.serialization.add_safe_globals([OneCycleParamScheduler])


def read_checkpoint(path: str | Path) -> dict:
    """The content of a checkpoint, unpickled without running any code of the file.

    Args:
        path: A ``.pth`` of MMEngine, of an older MMDetection or mmrotate, or a bare state dict.

    Raises:
        UserError: Missing, truncated, or holding more than tensors and plain numbers.
    """
    if not Path(path).is_file():
        raise UserError("no such checkpoint", where=path)
    try:
        # MMEngine's own list: the running means of its log and the numpy types inside them
        with torch.serialization.safe_globals(get_torch_safe_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _unreadable(error, path) from error
    if not isinstance(content, dict):
        raise UserError(f"holds a {type(content).__name__} instead of weights", where=path)
    return content


def _unreadable(error: Exception, path: str | Path) -> UserError:
    """Why a checkpoint was not read: torch names a class or function that is no plain value ``GLOBAL module.name``."""
    reason = str(error).strip() or type(error).__name__
    refused = re.search(r"GLOBAL (\S+) was not an allowed global", reason)
    if refused:
        what = f"not loaded, for safety: it holds {refused[1]}, which may run code"
        return UserError(what, where=path, hint="only tensors and plain values are read")
    # torch's advice for a file that is no pickle at all speaks of safety and fills a page
    detail = "" if "Weights only" in reason else f": {reason.splitlines()[0]}"
    return UserError(f"not a readable checkpoint{detail}", where=path, hint="cut short, or another kind of file")


def state_dict_of(content: dict) -> dict[str, Tensor]:
    """The weights of a checkpoint: under ``state_dict``, or the content itself; a data-parallel prefix goes."""
    state = content.get("state_dict", content)
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


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

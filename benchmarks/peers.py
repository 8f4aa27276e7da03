"""The installed peers, where they can run; where not, a line that says why. Nothing of ours depends on them."""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch


def mmcv_ops(device: str) -> tuple[ModuleType | None, str]:
    """``mmcv.ops`` if its rotated kernels run on the device, else None and the reason."""
    try:
        import mmcv.ops
    except ImportError as error:
        return None, f"mmcv's ops cannot be imported: {first_line(error)}"
    box = torch.tensor([[0.0, 0, 1, 1, 0]], device=device)
    try:
        mmcv.ops.box_iou_rotated(box, box)
    except (RuntimeError, NotImplementedError) as error:
        return None, f"mmcv has no rotated ops for {device}: {first_line(error)}"
    return mmcv.ops, ""


def mmrotate() -> tuple[ModuleType | None, str]:
    """``mmrotate`` with its models registered, else None and the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mmrotate
            import mmrotate.models
    except ImportError as error:
        return None, f"mmrotate cannot be imported: {first_line(error)}"
    return mmrotate, ""


def optional(package: str, needs: Sequence[str] = ()) -> tuple[ModuleType | None, str]:
    """A peer that no extra of ours installs, else None and the reason, which may be a package that it lacks itself.

    Args:
        needs: ``module:name`` of what will be called; another version may have it elsewhere.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    if package == "ultralytics":  # it writes its settings, installs what it lacks and looks for a network, unless told
        os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        os.environ.setdefault("YOLO_OFFLINE", "true")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importlib.import_module(package)
            for module, _, name in (each.partition(":") for each in needs):
                getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError, RuntimeError) as error:  # absent, too old, at odds with another
        return None, f"{package} cannot be used: {first_line(error)}"
    finally:
        if threads is None:  # ultralytics sets it to 1, too late for torch: the record would tell what was not so
            os.environ.pop("OMP_NUM_THREADS", None)
    return found, ""


def atss_assigner(topk: int = 9) -> Any:
    """Mmrotate's dense assigner, as its own config builds it."""
    from mmrotate.registry import TASK_UTILS

    iou = dict(type="RBboxOverlaps2D")
    return TASK_UTILS.build(dict(type="RotatedATSSAssigner", topk=topk, iou_calculator=iou))


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__

"""Baselines of other packages: import checks that give a reason on failure, and their ops and assigners.

No code of rotated_atss depends on any of them.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rotated_atss.mmcv_ext import has_compiled_mmcv_ops

NMS = Callable[[Tensor, Tensor, Tensor, float], Tensor]
NO_OPS = "mmcv has no compiled ops (make setup-baselines)"

Assign = Callable[[Tensor], Tensor]


def mmcv_ops(device: str) -> tuple[ModuleType | None, str]:
    """Return ``mmcv.ops`` if its rotated kernels run on the device, else None and the reason."""
    if not has_compiled_mmcv_ops():
        return None, NO_OPS
    try:
        import mmcv.ops
    except ImportError as error:
        return None, f"mmcv.ops cannot be imported: {first_line(error)}"
    box = torch.tensor([[0.0, 0, 1, 1, 0]], device=device)
    try:
        mmcv.ops.box_iou_rotated(box, box)
    except (RuntimeError, NotImplementedError) as error:
        return None, f"mmcv has no rotated ops for {device}: {first_line(error)}"
    return mmcv.ops, ""


def missing_mmrotate() -> str:
    """Register the models of mmrotate; return why that is not possible, or an empty text."""
    # its assigners compute IoU with mmcv's ops
    return optional("mmrotate.models") if has_compiled_mmcv_ops() else NO_OPS


def optional(package: str) -> str:
    """Import a package that rotated-atss does not need; return why that is not possible, or an empty text."""
    threads = os.environ.get("OMP_NUM_THREADS")
    if package == "ultralytics":  # by default it writes settings, installs missing packages and probes the network
        os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        os.environ.setdefault("YOLO_OFFLINE", "true")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(package)
            return ""
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        return f"{package} cannot be used: {first_line(error)}"
    finally:
        if threads is None:  # ultralytics sets it to 1, too late for torch, and the record would be wrong
            os.environ.pop("OMP_NUM_THREADS", None)


def batched_nms(mmcv: Any) -> NMS:
    """Return class-wise rotated NMS as mmrotate's heads call it."""

    def run(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
        return mmcv.batched_nms(boxes, scores, labels, dict(type="nms_rotated", iou_threshold=threshold))[1]

    return run


def atss_assigner(priors: Tensor, level_sizes: list[int]) -> Assign:
    """Return mmrotate's dense ATSS assigner; gives the (A,) ground-truth index of each prior, -1 for background."""
    assign = _assigner(dict(type="RotatedATSSAssigner", topk=9), priors, level_sizes)
    return lambda gt_boxes: assign(gt_boxes) - 1


def max_iou_assigner(priors: Tensor) -> Assign:
    """Return MMDetection's assigner as mmrotate's RetinaNet configs use it; -1 is background, -2 ignored."""
    thresholds = dict(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1)
    assign = _assigner(dict(type="mmdet.MaxIoUAssigner", **thresholds), priors)

    def run(gt_boxes: Tensor) -> Tensor:
        found = assign(gt_boxes)
        return torch.where(found > 0, found - 1, torch.where(found == 0, -1, -2))

    return run


def first_line(error: BaseException) -> str:
    """Return the first line of an error message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _assigner(cfg: dict[str, Any], priors: Tensor, *level_sizes: list[int]) -> Assign:
    """Build an assigner of MMDetection's interface; gives 1 + ground-truth index, 0 for background, -1 for ignored."""
    from mmengine.structures import InstanceData
    from mmrotate.registry import TASK_UTILS
    from mmrotate.structures.bbox import RotatedBoxes

    assigner = TASK_UTILS.build({**cfg, "iou_calculator": dict(type="mmrotate.RBboxOverlaps2D")})
    boxes = RotatedBoxes(priors)

    def run(gt_boxes: Tensor) -> Tensor:
        labels = torch.zeros(len(gt_boxes), dtype=torch.int64, device=gt_boxes.device)
        instances = InstanceData(bboxes=RotatedBoxes(gt_boxes), labels=labels)
        return assigner.assign(InstanceData(priors=boxes), *level_sizes, instances).gt_inds

    return run

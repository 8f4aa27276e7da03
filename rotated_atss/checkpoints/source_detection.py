"""Detect which project, in which version, wrote a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from rotated_atss.checkpoints.keys import SOURCES
from rotated_atss.errors import UserError

# The last layer of the box branch in RetinaNet and R3Det, in ATSS, and in the official ATSS repository.
_REGRESSION_WEIGHTS = ("retina_reg.weight", "atss_reg.weight", "rpn.head.bbox_pred.weight")
# Parameter names that only one source has.
_DISTINCTIVE_NAMES = (
    (r"rpn\.head\.cls_tower\.", "atss-official"),
    (r"refine_head\.\d+\.", "mmrotate-0.x"),
    (r"feat_refine_module\.\d+\.", "mmrotate-0.x"),
    (r"bbox_head_init\.", "mmrotate-1.x"),
)
# For each key that a checkpoint's meta can contain, whether it shows that MMEngine wrote the checkpoint (True: mmrotate
# 1.x or MMDetection 3.x) or mmcv did (False: mmrotate 0.x or MMDetection 2.x). If a meta contains several of the keys,
# the first in this order decides.
_MMENGINE_BY_META_KEY = {
    "mmengine_version": True,
    "mmrotate_version": False,
    "mmdet_version": False,
    "mmcv_version": False,
    "cfg": True,
    "config": False,
}


def detect_source(state: dict[str, Tensor], meta: dict, content: dict, path: str | Path) -> tuple[str, str]:
    """Detect the source by parameter names, the number of parameters per box, metadata and file name, in this order.

    Args:
        state: Weights without the ``module.`` prefix of DataParallel.
        meta: The ``meta`` of the checkpoint; empty if it has none.
        content: The whole checkpoint.
        path: The file.

    Returns:
        One of :data:`SOURCES`, and a description of the evidence.

    Raises:
        UserError: The weights are not those of a supported detector, or the source is ambiguous.

    Example:
        >>> import torch
        >>> state = {"bbox_head.atss_reg.weight": torch.zeros(4, 256, 3, 3)}
        >>> detect_source(state, {"mmdet_version": "2.28.0"}, {}, "atss.pth")
        ('mmdet-2.x', '4 box parameters, mmdet_version 2.28.0 in meta')
    """
    for pattern, source in _DISTINCTIVE_NAMES:
        name = next((name for name in state if re.match(pattern, name)), None)
        if name:
            return source, f"parameter {name}"
    box_dim = _count_box_parameters(state, path)
    # atss_reg is the box branch of heads with centerness; mmrotate 0.x has no such head
    if box_dim == 5 and any(name.endswith("atss_reg.weight") for name in state):
        return "mmrotate-1.x", "5 box parameters and a centerness branch"
    is_mmengine, evidence = _detect_mmengine(meta, content, Path(path).name)
    if box_dim == 5 and is_mmengine is None:
        hint = f"give --from {' or '.join(name for name in SOURCES if name.startswith('mmrotate'))}"
        raise UserError("cannot determine whether the weights are from mmrotate 0.x or 1.x", where=path, hint=hint)
    if box_dim == 5:
        return ("mmrotate-1.x" if is_mmengine else "mmrotate-0.x"), f"5 box parameters, {evidence}"
    # If the version is unknown (None), 3.x is returned. Weights of 2.x and 3.x are converted in the same way.
    evidence = evidence or "parameter names shared by 2.x and 3.x"
    return ("mmdet-2.x" if is_mmengine is False else "mmdet-3.x"), f"4 box parameters, {evidence}"


def check_source(source: str, state: dict[str, Tensor], path: str | Path) -> None:
    """Check that the weights can be those of a given source.

    Raises:
        UserError: The weights belong to another project, or to an unsupported detector.

    Example:
        >>> import torch
        >>> check_source("mmdet-3.x", {"bbox_head.atss_reg.weight": torch.zeros(4, 256, 3, 3)}, "atss.pth")
    """
    if any(name.startswith("rpn.head.") for name in state):
        family, evidence = "atss-official", "parameters named rpn.head"
    else:
        box_dim = _count_box_parameters(state, path)
        family, evidence = ("mmrotate" if box_dim == 5 else "mmdet"), f"{box_dim} box parameters"
    if not source.startswith(family):
        hint = "omit --from to detect the source"
        raise UserError(f"not a checkpoint of {source}: it has {evidence}", where=path, hint=hint)


def _count_box_parameters(state: dict[str, Tensor], path: str | Path) -> int:
    """Return the number of parameters per box: 5 for oriented boxes, 4 for horizontal boxes.

    Raises:
        UserError: The weights contain no box branch.
    """
    out_channels = [len(value) for name, value in state.items() if name.endswith(_REGRESSION_WEIGHTS)]
    if not out_channels:
        names = f"{', '.join(_REGRESSION_WEIGHTS[:-1])} or {_REGRESSION_WEIGHTS[-1]}"
        hint = f"expected a parameter {names}, got {next(iter(state))}, ..."
        raise UserError("not a supported detector", where=path, hint=hint)
    # The channels are box parameters times priors per location. Supported detectors have 1 or 9 priors per location, so
    # only 5 box parameters give a multiple of 5.
    return 5 if out_channels[0] % 5 == 0 else 4


def _detect_mmengine(meta: dict, content: dict, file_name: str) -> tuple[bool | None, str]:
    """Return whether MMEngine wrote the checkpoint (None if unknown) and the evidence."""
    for key, is_mmengine in _MMENGINE_BY_META_KEY.items():
        if key in meta:
            version = f" {meta[key]}" if key.endswith("version") else ""
            return is_mmengine, f"{key}{version} in meta"
    if "message_hub" in content:
        return True, "message_hub in the checkpoint"
    # mmrotate 1.x publishes files with names such as rotated-retinanet-rbox-le90_r50_fpn_1x_dota.
    if re.search(r"-[rh]box-", file_name):
        return True, "file name"
    # mmrotate 0.x publishes files with names such as rotated_retinanet_obb_r50_fpn_1x_dota_le90.
    if re.match(r"(rotated_(atss|retinanet)|r3det)_.*(oc|le90|le135)", file_name):
        return False, "file name"
    return None, ""

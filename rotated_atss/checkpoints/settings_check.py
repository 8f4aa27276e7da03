"""Check that the settings recorded in a checkpoint agree with the target model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rotated_atss.checkpoints.origin import Origin
from rotated_atss.checkpoints.target import Target
from rotated_atss.errors import UserError

OFFICIAL_ANCHOR_SCALE = 8  # side of a prior of the official ATSS, in strides


def check_settings(origin: Origin, target: Target, path: object) -> None:
    """Check that priors, angle version and classes recorded in a checkpoint agree with the target model.

    Args:
        origin: Source of the weights.
        target: Model of a config.
        path: The checkpoint, for error messages.

    Raises:
        UserError: A recorded setting differs. Settings that the checkpoint does not record are not checked.

    Example:
        >>> from rotated_atss.checkpoints.deltas import BoxEncoding
        >>> origin = Origin("mmrotate-0.x", "as given", {}, {}, "oc", (), "weights")
        >>> target = Target("rotated_atss", {}, box_encoding=BoxEncoding((), "le90"))
        >>> check_settings(origin, target, "a.pth")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: a.pth: the angle versions differ: oc in the checkpoint, le90 in rotated_atss ...
    """
    _check_priors(origin, target, path)
    _check_angle_version(origin, target, path)
    for name, cell_anchors in origin.state.items():
        # the buffers in which the official ATSS repository stores the priors of each level
        if name.startswith("rpn.anchor_generator.cell_anchors."):
            _check_official_priors(cell_anchors, target, name, path)
    _check_classes(origin, target, path)


def _check_priors(origin: Origin, target: Target, path: object) -> None:
    # R3Det's first head is bbox_head in mmrotate 0.x, but bbox_head_init in this package.
    head = origin.model.get(target.head) or origin.model.get("bbox_head") or {}
    recorded_settings = head.get("anchor_generator") if isinstance(head, dict) else None
    for setting, expected in target.anchor_settings.items():
        recorded = recorded_settings.get(setting) if isinstance(recorded_settings, dict) else None
        if recorded is not None and tuples_to_lists(recorded) != tuples_to_lists(expected):
            message = f"the priors differ: {setting}={recorded} in the checkpoint, {expected} in {target.config}"
            raise UserError(message, where=path, hint="give the matching config with --config")


def _check_angle_version(origin: Origin, target: Target, path: object) -> None:
    encoding = target.box_encoding
    if encoding and origin.angle_version and origin.angle_version != encoding.angle_version:
        versions = f"{origin.angle_version} in the checkpoint, {encoding.angle_version} in {target.config}"
        hint = "give another --config, or --angle-version if the file name is misleading"
        raise UserError(f"the angle versions differ: {versions}", where=path, hint=hint)


def _check_official_priors(cell_anchors: Tensor, target: Target, name: str, path: object) -> None:
    """Check that a level of the official ATSS has one prior per location, a square with its center at ``stride / 2``.

    ``name`` is the name of ``cell_anchors`` in the checkpoint. It ends with the index of the level. The official code
    stores a prior by its first and its last pixel, so x2 - x1 is its side minus 1.
    """
    strides = target.anchor_settings.get("strides") or []
    level = int(name.rpartition(".")[2])
    # If the target lacks this level, its stride is set to 0. Then no prior passes the check below.
    stride = strides[level] if level < len(strides) else 0
    side = OFFICIAL_ANCHOR_SCALE * stride
    low, high = (stride - (side - 1)) / 2, (stride + (side - 1)) / 2
    if cell_anchors.flatten().tolist() != [low, low, high, high]:
        message = f"{name} must be one square of {side} x {side} pixels, got {cell_anchors.tolist()}"
        raise UserError(message, where=path, hint="only models with the priors of the paper are supported")


def _check_classes(origin: Origin, target: Target, path: object) -> None:
    if origin.classes and target.classes and origin.classes != target.classes:
        recorded, expected = ", ".join(origin.classes), ", ".join(target.classes)
        hint = f"--cfg-options test_dataloader.dataset.classes=... model.{target.head}.num_classes=..."
        message = f"the classes differ: {recorded} in the checkpoint, {expected} in {target.config}"
        raise UserError(message, where=path, hint=hint)


def tuples_to_lists(value: Any) -> Any:
    """Convert tuples to lists, at every depth of nested lists and tuples.

    Example:
        >>> tuples_to_lists([(1, 2), 3])
        [[1, 2], 3]
    """
    return [tuples_to_lists(item) for item in value] if isinstance(value, (list, tuple)) else value

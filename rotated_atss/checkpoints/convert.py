"""A checkpoint of another project made into one of ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from rotated_atss.checkpoints.deltas import (
    BoxEncoding,
    is_same,
    rewrite_regression,
    with_mmrotate_1x_priors,
    with_upright_priors,
)
from rotated_atss.checkpoints.keys import rename_keys
from rotated_atss.checkpoints.origin import Origin
from rotated_atss.errors import UserError

CELL = 8  # side of an official prior, in strides


@dataclass(frozen=True)
class Target:
    """The model that weights are converted for.

    Attributes:
        config: Its config's name.
        shapes: Shape of every parameter and buffer by name.
        head: ``bbox_head``, or ``bbox_head_init`` where others refine its boxes.
        box_encoding: How that head writes boxes; None for horizontal ones.
        anchors: The settings of its priors that a config names (``scales_per_octave``, ``ratios``, ...).
        classes: The class names, or none.
    """

    config: str
    shapes: dict[str, tuple[int, ...]]
    head: str = "bbox_head"
    box_encoding: BoxEncoding | None = None
    anchors: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversion:
    """What became of a checkpoint.

    Attributes:
        state: The weights, complete, in the order of the model.
        mapped: Names of ours that the checkpoint gave.
        dropped: Names of the checkpoint that no model needs.
        filled: Names of ours that were filled in, with what.
        notes: What was changed beyond names.
    """

    state: dict[str, Tensor]
    mapped: list[str]
    dropped: list[str]
    filled: dict[str, str]
    notes: list[str]


def convert_checkpoint(origin: Origin, target: Target, path: object) -> Conversion:
    """Weights of ``target`` from those of ``origin``.

    Args:
        origin: See :func:`rotated_atss.checkpoints.find_origin`.
        target: The model of a config.
        path: The checkpoint, for what is said of it.

    Raises:
        UserError: They are weights of another model: names missing or left over, other shapes, other priors, another
            angle version.
    """
    state, left = rename_keys(origin.state, origin.source)
    _check_priors(origin, target, path)
    _check_classes(origin, target, path)
    state = {name: _shaped(value, target.shapes.get(name)) for name, value in state.items()}
    made = _fill(state, target, origin.source)
    _check_fit(state, target, path)
    notes = _recode(state, origin, target, path)
    ordered = {name: state[name] for name in target.shapes}
    return Conversion(ordered, [name for name in ordered if name not in made], left, made, notes)


def count_by_prefix(names: list[str], depth: int = 1) -> str:
    """``backbone 265, neck 16, bbox_head 20``: how many names each part of a model has."""
    counts = Counter(".".join(name.split(".")[:depth]) for name in names)
    return ", ".join(f"{prefix} {number}" for prefix, number in counts.items())


def _shaped(value: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """A single number (the official scale of a level is a list of one) in the shape the model has for it."""
    return value.reshape(()) if shape == () and value.numel() == 1 else value


def _fill(state: dict[str, Tensor], target: Target, source: str) -> dict[str, str]:
    """Add what no checkpoint of that source holds: counters of batches; how R3Det's features were read."""
    made = {}
    for name in target.shapes:
        if name in state:
            continue
        if name.endswith("num_batches_tracked"):
            state[name], made[name] = torch.tensor(0), "0"
        elif name.endswith("feat_refine_module.transposed") and source.startswith("mmrotate"):
            # mmcv's kernel reads a box's x as the row; every model of mmrotate was trained with it
            state[name], made[name] = torch.tensor(1.0), "1: x and y exchanged, as mmcv's kernel reads"
    return made


def _check_fit(state: dict[str, Tensor], target: Target, path: object) -> None:
    missing = [name for name in target.shapes if name not in state]
    extra = [name for name in state if name not in target.shapes]
    other = [name for name, shape in target.shapes.items() if name in state and tuple(state[name].shape) != shape]
    faults = [
        f"{len(names)} {kind} ({count_by_prefix(names)}; first: {names[0]})"
        for kind, names in (("missing", missing), ("left over", extra))
        if names
    ]
    if other:
        shapes = f"{tuple(state[other[0]].shape)} instead of {target.shapes[other[0]]}"
        faults.append(f"{len(other)} of another shape ({count_by_prefix(other)}; first: {other[0]}, {shapes})")
    if faults:
        raise UserError(f"not weights of {target.config}: {'; '.join(faults)}", where=path, hint=_advice(state, other))


def _advice(state: dict[str, Tensor], other: list[str]) -> str:
    if other and all(name.rpartition(".")[0].endswith("_cls") for name in other):
        return (
            "another number of classes: --cfg-options model.bbox_head.num_classes=N test_dataloader.dataset.classes=..."
        )
    return "name the config they belong to: --config"


def _check_priors(origin: Origin, target: Target, path: object) -> None:
    """Refuse weights whose own config, or own buffers, name other priors or another angle version than the target's."""
    head = origin.model.get(target.head) or origin.model.get("bbox_head") or {}
    theirs = head.get("anchor_generator") if isinstance(head, dict) else None
    for name, ours in target.anchors.items():
        given = theirs.get(name) if isinstance(theirs, dict) else None
        if given is not None and _plain(given) != _plain(ours):
            what = f"its priors have {name}={given}, those of {target.config} {ours}"
            raise UserError(what, where=path, hint="name the config they belong to: --config")
    if target.box_encoding and origin.angle_version and origin.angle_version != target.box_encoding.angle_version:
        what = f"its boxes are {origin.angle_version}, those of {target.config} {target.box_encoding.angle_version}"
        raise UserError(what, where=path, hint="another --config, or --angle-version if the file's name misleads")
    for name, value in origin.state.items():
        if name.startswith("rpn.anchor_generator.cell_anchors."):
            _check_cell(value, target, name, path)


def _check_classes(origin: Origin, target: Target, path: object) -> None:
    if origin.classes and target.classes and origin.classes != target.classes:
        ours, theirs = ", ".join(target.classes), ", ".join(origin.classes)
        hint = f"--cfg-options test_dataloader.dataset.classes=... model.{target.head}.num_classes=..."
        raise UserError(f"its classes are {theirs}; those of {target.config} are {ours}", where=path, hint=hint)


def _check_cell(cell: Tensor, target: Target, name: str, path: object) -> None:
    """The official priors of one level, corners of pixels: one square of 8 strides around stride / 2."""
    strides = target.anchors.get("strides") or []
    level = int(name.rpartition(".")[2])
    stride = strides[level] if level < len(strides) else 0
    low, high = stride / 2 - (CELL * stride - 1) / 2, stride / 2 + (CELL * stride - 1) / 2
    if cell.flatten().tolist() != [low, low, high, high]:
        what = f"{name} is {cell.tolist()}, not one square of {CELL} x {stride} pixels"
        raise UserError(what, where=path, hint="only models of the paper's priors are known")


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _recode(state: dict[str, Tensor], origin: Origin, target: Target, path: object) -> list[str]:
    """Rewrite the box branch in place where the source writes boxes otherwise; say so."""
    if target.box_encoding is None:
        return []
    refined = target.head == "bbox_head_init"
    source = source_code(origin, target.box_encoding)
    if refined:
        _check_refining(source, target.box_encoding, path)
    if is_same(source, target.box_encoding, keep_sides=refined):
        return []
    branch = f"{target.head}.{'atss' if f'{target.head}.atss_reg.weight' in state else 'retina'}_reg"
    weight, bias = f"{branch}.weight", f"{branch}.bias"
    state[weight], state[bias] = rewrite_regression(
        state[weight], state[bias], source, target.box_encoding, keep_sides=refined
    )
    return [f"{branch} rewritten: {_told(source)} becomes {_told(target.box_encoding)}; the boxes stay the same"]


def source_code(origin: Origin, ours: BoxEncoding) -> BoxEncoding:
    """How a source writes boxes: as its own config says, or else as its published configs do, which are ours but for
    the angles of the priors.
    """
    head = origin.model.get("bbox_head_init") or origin.model.get("bbox_head") or {}
    coder, anchors = (head.get(name) or {} for name in ("bbox_coder", "anchor_generator"))
    told = {name: coder[name] for name in ("proj_xy", "norm_factor") if name in coder}
    code = with_upright_priors(replace(ours, **told))
    # a 1.x config that names no angle_version was made for weights of 0.x: it leaves the priors at angle 0
    upright = bool(anchors) and anchors.get("angle_version") in (None, "None")
    return with_mmrotate_1x_priors(code) if origin.source == "mmrotate-1.x" and not upright else code


def _check_refining(source: BoxEncoding, ours: BoxEncoding, path: object) -> None:
    """A head whose priors are boxes cannot be rewritten."""
    if (source.proj_xy, source.norm_factor) != (ours.proj_xy, ours.norm_factor):
        what = f"its boxes are written with proj_xy={source.proj_xy}, norm_factor={source.norm_factor}"
        hint = f"only proj_xy={ours.proj_xy}, norm_factor={ours.norm_factor} can be converted for heads that refine"
        raise UserError(what, where=path, hint=hint)


def _told(code: BoxEncoding) -> str:
    angles = sorted({round(angle, 4) + 0.0 for _, _, angle in code.priors})
    return f"{code.angle_version}, priors at {' and '.join(f'{angle:g}' for angle in angles)} rad"

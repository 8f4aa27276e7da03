"""Convert checkpoints of other projects to weights for the models of this package."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rotated_atss.checkpoints.compatibility import check_state_dict_fits, tensor_shapes
from rotated_atss.checkpoints.deltas import (
    BoxEncoding,
    is_equivalent,
    rewrite_regression,
    with_mmrotate_1x_priors,
    with_upright_priors,
)
from rotated_atss.checkpoints.keys import rename_keys
from rotated_atss.checkpoints.origin import Origin
from rotated_atss.checkpoints.settings_check import check_settings
from rotated_atss.checkpoints.target import Target
from rotated_atss.errors import UserError


@dataclass(frozen=True)
class Conversion:
    """Converted weights and a report of the conversion.

    Attributes:
        state: All weights of the target model by name, in the order of the model.
        mapped: Names of target weights that come from the checkpoint.
        dropped: Names of source weights that no model needs.
        filled: Target weights that the source does not have: a description of the value that was filled in, by the name
            of the weight.
        notes: Descriptions of weights whose values were rewritten.
    """

    state: dict[str, Tensor]
    mapped: list[str]
    dropped: list[str]
    filled: dict[str, str]
    notes: list[str]


def convert_checkpoint(origin: Origin, target: Target, path: object) -> Conversion:
    """Convert the weights of a checkpoint to weights of a target model.

    Args:
        origin: The weights and the project that they come from, as
            :func:`rotated_atss.checkpoints.origin.find_origin` returns them.
        target: The model of a config.
        path: Path of the checkpoint, for error messages.

    Raises:
        UserError: The weights belong to another model, because parameter names, shapes, priors, angle version or
            classes differ.

    Example:
        >>> state = {"bbox_head.atss_reg.weight": torch.zeros(4, 8, 3, 3)}
        >>> origin = Origin("mmdet-3.x", "as given", state, {}, None, (), "weights")
        >>> target = Target("atss", {"bbox_head.atss_reg.weight": (4, 8, 3, 3)})
        >>> convert_checkpoint(origin, target, "weights.pth").mapped
        ['bbox_head.atss_reg.weight']
    """
    state, dropped = rename_keys(origin.state, origin.source)
    check_settings(origin, target, path)
    state = {name: _squeeze_scalar(value, target.shapes.get(name)) for name, value in state.items()}
    filled = _fill_missing(state, target, origin.source)
    hint = "choose the config of these weights with --config"
    check_state_dict_fits(tensor_shapes(state), target.shapes, where=path, model=target.config, hint=hint)
    notes = _convert_box_encoding(state, origin, target, path)
    ordered = {name: state[name] for name in target.shapes}
    return Conversion(ordered, [name for name in ordered if name not in filled], dropped, filled, notes)


def _squeeze_scalar(value: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """Reshape a tensor of one element to () if the model has a scalar of this name.

    In checkpoints of the official ATSS, for example, the scale of each level has shape (1,).
    """
    return value.reshape(()) if shape == () and value.numel() == 1 else value


def _fill_missing(state: dict[str, Tensor], target: Target, source: str) -> dict[str, str]:
    """Add weights to ``state`` that the model needs and the source never has.

    Returns:
        Descriptions of the values of the added weights, by name.
    """
    filled = {}
    for name in target.shapes:
        if name in state:
            continue
        if name.endswith("num_batches_tracked"):
            state[name], filled[name] = torch.tensor(0), "0"
        elif name.endswith("feat_refine_module.transposed") and source.startswith("mmrotate"):
            # mmcv's kernel uses the x coordinate of a box as the row of the feature map. mmrotate's models were trained
            # with this kernel, so the converted model must sample in the same way.
            state[name], filled[name] = torch.tensor(1.0), "1 (x/y-swapped sampling of mmcv's kernel)"
    return filled


def _convert_box_encoding(state: dict[str, Tensor], origin: Origin, target: Target, path: object) -> list[str]:
    """Rewrite the box branch in ``state`` if the source and the target encode boxes differently.

    Returns:
        Notes for the report.
    """
    if target.box_encoding is None:
        return []
    # A refinement stage takes the boxes of the first head as priors. For these boxes, the rewritten head must give the
    # same five numbers and not only the same rectangle, because deltas depend on the numbers.
    has_refinement = target.head == "bbox_head_init"
    source = _source_encoding(origin, target.box_encoding)
    if has_refinement:
        _check_coder_settings(source, target.box_encoding, path)
    if is_equivalent(source, target.box_encoding, keep_sides=has_refinement):
        return []
    # Heads with centerness name their box branch atss_reg, and all other heads name it retina_reg.
    atss_branch, retina_branch = f"{target.head}.atss_reg", f"{target.head}.retina_reg"
    branch = atss_branch if f"{atss_branch}.weight" in state else retina_branch
    weight, bias = f"{branch}.weight", f"{branch}.bias"
    state[weight], state[bias] = rewrite_regression(
        state[weight], state[bias], source, target.box_encoding, keep_sides=has_refinement
    )
    encodings = f"from {_describe_encoding(source)} to {_describe_encoding(target.box_encoding)}"
    return [f"{branch} rewritten {encodings}; the decoded boxes are unchanged"]


def _source_encoding(origin: Origin, target_encoding: BoxEncoding) -> BoxEncoding:
    """Determine the box encoding of the source.

    All priors have angle 0, except for the priors of most mmrotate 1.x configs. All settings that the checkpoint does
    not record are taken from the target, because the published configs of the source project have the same values.
    """
    head = origin.model.get("bbox_head_init") or origin.model.get("bbox_head") or {}
    coder = head.get("bbox_coder") or {}
    recorded = {name: coder[name] for name in ("proj_xy", "norm_factor") if name in coder}
    encoding = with_upright_priors(replace(target_encoding, **recorded))
    if origin.source != "mmrotate-1.x":
        return encoding
    anchors = head.get("anchor_generator") or {}
    # The priors of mmrotate 0.x have angle 0. mmrotate 1.x generates the same priors, for example to load weights of
    # 0.x, if the config gives no angle_version to the anchor_generator.
    has_upright_priors = bool(anchors) and anchors.get("angle_version") in (None, "None")
    return encoding if has_upright_priors else with_mmrotate_1x_priors(encoding)


def _check_coder_settings(source: BoxEncoding, target: BoxEncoding, path: object) -> None:
    """Raise an error if the coder settings of the source differ from the settings of a target with refinement stages.

    The head of a refinement stage cannot be rewritten for other settings. Its priors are the boxes of the previous
    stage, and a rewrite is possible only for a fixed set of prior shapes.
    """
    if (source.proj_xy, source.norm_factor) != (target.proj_xy, target.norm_factor):
        message = f"the checkpoint has proj_xy={source.proj_xy}, norm_factor={source.norm_factor}"
        hint = f"refinement heads need proj_xy={target.proj_xy}, norm_factor={target.norm_factor}"
        raise UserError(message, where=path, hint=hint)


def _describe_encoding(encoding: BoxEncoding) -> str:
    angles = sorted({round(angle, 4) + 0.0 for _, _, angle in encoding.priors})  # + 0.0 turns -0.0 into 0.0
    angles_text = " and ".join(f"{angle:g}" for angle in angles)
    return f"{encoding.angle_version} (priors at {angles_text} rad)"

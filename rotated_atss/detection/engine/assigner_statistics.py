"""Positives that the assigners of a config select in a dataset, without network and without images."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.analysis.positive_counts import POSITIVE_FRACTION, BoxShapes, PositiveCounts
from rotated_atss.assign import BACKGROUND, IGNORE, count_candidates_above_threshold, nearest_priors
from rotated_atss.assign.box_formats import centers
from rotated_atss.detection.engine.build_errors import one_line
from rotated_atss.detection.engine.dataset_records import AssignmentInput
from rotated_atss.detection.task_modules.selection_assigner import STRATEGIES, SelectionAssigner
from rotated_atss.detection.task_modules.tensor_assigner import TensorAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb

HBB_SUFFIX = "-hbb"  # appended to the name of a strategy: assign by circumscribed horizontal boxes


def dense_head_parts(cfg: Config) -> tuple[ConfigDict, ConfigDict]:
    """Return the configs of the prior generator and the assigner of a config's first dense head.

    Raises:
        UserError: The config has no such head.

    Example:
        >>> model = dict(bbox_head=dict(anchor_generator=dict(strides=[8])), train_cfg=dict(assigner=dict(topk=9)))
        >>> dense_head_parts(Config(dict(model=model)))[1].topk
        9
    """
    model = cfg.get("model") or {}
    train_cfg = model.get("train_cfg") or {}
    for head, settings in (("bbox_head", train_cfg), ("bbox_head_init", train_cfg.get("init") or {})):
        generator = (model.get(head) or {}).get("anchor_generator")
        if generator is not None and settings.get("assigner") is not None:
            return generator, settings["assigner"]
    raise UserError("this config has no dense head with anchors and an assigner", where=cfg.filename)


def build_assigner(name: str, assigner_cfg: ConfigDict, oriented: bool) -> Any:
    """Build an assigner by name.

    Args:
        name: ``config``; ``obb`` or ``hbb``, the config's assigner by oriented or circumscribed boxes; or a strategy
            such as ``ssc`` or ``ssc-hbb``, with the config's k and treatment of ignored boxes.
        assigner_cfg: Config of the assigner.
        oriented: Whether the config's boxes are oriented.

    Raises:
        UserError: The name is unknown or does not fit the config.

    Example:
        >>> from mmengine.config import ConfigDict
        >>> build_assigner("ssc", ConfigDict(type="RotatedATSSAssigner", topk=5), oriented=True).strategy
        'ssc'
    """
    strategy = name.removesuffix(HBB_SUFFIX)
    if name not in ("config", "obb", "hbb") and strategy not in STRATEGIES:
        raise UserError(
            f"no assigner '{name}'", hint=f"choose config, obb, hbb, {', '.join(STRATEGIES)}, or {STRATEGIES[0]}-hbb"
        )
    if not oriented and (name in ("obb", "hbb") or name != strategy):
        raise UserError(f"assigner '{name}' needs oriented boxes, and those of this config are horizontal")
    try:
        configured = TASK_UTILS.build(dict(assigner_cfg))
        if name == "config":
            return configured
        if name in ("obb", "hbb"):
            return TASK_UTILS.build({**assigner_cfg, "assign_by_circumhbbox": name == "hbb"})
        return SelectionAssigner(
            strategy,
            topk=getattr(configured, "topk", 9),
            assign_by_circumhbbox=name != strategy or getattr(configured, "by_hbb", False),
            ignore_iof_threshold=getattr(configured, "ignore_iof_threshold", -1),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"cannot build assigner '{name}': {one_line(error)}") from error


def _expected_positives(assigner: Any, num_levels: int, priors: Tensor) -> float | None:
    """Return the positives per ground-truth box that the ATSS paper expects for ATSS: 0.2 k L (section 3.3)."""
    if getattr(assigner, "topk", None) is None or getattr(assigner, "strategy", "atss") != "atss":
        return None
    return POSITIVE_FRACTION * _num_candidates(assigner, priors) * num_levels


def _num_candidates(assigner: Any, priors: Tensor) -> int:
    """Return the candidates per level of an ATSS assigner of this package or of MMDetection."""
    return assigner.topk * (assigner.num_priors_per_location(priors) if isinstance(assigner, TensorAssigner) else 1)


def assign_priors(assigner: Any, priors: Tensor, level_sizes: list[int], inputs: AssignmentInput) -> Tensor:
    """Assign the ground truth of an image with an assigner of this package or of MMDetection.

    Args:
        assigner: An assigner.
        priors: (A, 5) or (A, 4), level after level.
        level_sizes: Number of priors per level.
        inputs: Ground truth of the image.

    Returns:
        ``gt_index`` (A,) as :func:`rotated_atss.assign.atss_assign`.

    Example:
        >>> from rotated_atss.detection.engine.dataset_records import AssignmentInput
        >>> from rotated_atss.detection.task_modules.assigners import RotatedMaxIoUAssigner
        >>> image = AssignmentInput((32, 32), torch.tensor([[8.0, 8, 16, 16, 0]]), torch.zeros(0, 5))
        >>> priors = torch.tensor([[8.0, 8, 16, 14, 0], [24, 8, 16, 16, 0]])
        >>> assign_priors(RotatedMaxIoUAssigner(), priors, [2], image)
        tensor([ 0, -1])
    """
    if isinstance(assigner, TensorAssigner):
        return assigner.assign_image(priors, level_sizes, inputs.gt_boxes, inputs.gt_boxes_ignore)[0]
    gt_labels = torch.zeros(len(inputs.gt_boxes), dtype=torch.int64)
    gt_instances = InstanceData(bboxes=inputs.gt_boxes, labels=gt_labels)
    gt_instances_ignore = InstanceData(bboxes=inputs.gt_boxes_ignore)
    levels = [level_sizes] if "num_level_priors" in inspect.signature(assigner.assign).parameters else []
    gt_inds = assigner.assign(InstanceData(priors=priors), *levels, gt_instances, gt_instances_ignore).gt_inds
    return torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))


def _count_above_threshold(assigner: Any, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor) -> Tensor:
    """Count the candidates of each ground-truth box that reach its threshold, for an ATSS assigner; (G,)."""
    if not len(gt_boxes):
        return torch.zeros(0, dtype=torch.int64)
    if getattr(assigner, "by_hbb", False):
        priors, gt_boxes = obb_to_hbb(priors), obb_to_hbb(gt_boxes)
    num_candidates = _num_candidates(assigner, priors)
    candidates = nearest_priors(centers(priors), level_sizes, centers(gt_boxes), num_candidates)
    return count_candidates_above_threshold(priors, gt_boxes, candidates)


def count_positives(
    cfg: Config, names: Sequence[str], inputs: Iterable[AssignmentInput]
) -> tuple[BoxShapes, dict[str, PositiveCounts]]:
    """Count the positives of several assigners.

    Args:
        cfg: Config with the prior generator and the assigner.
        names: Names for :func:`build_assigner`; if empty, ``obb`` and ``hbb``, or ``config`` for horizontal boxes.
        inputs: Sizes and ground truth of images.

    Returns:
        Shapes of the ground-truth boxes, and the counts of each assigner.

    Raises:
        UserError: The config has no assigner, or a name does not fit it.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> image = AssignmentInput((64, 64), torch.tensor([[32.0, 32, 30, 20, 0.1]]), torch.zeros(0, 5))
        >>> _, counts = count_positives(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90"), ["obb"], [image])
        >>> len(counts["obb"].positives)
        1
    """
    generator_cfg, assigner_cfg = dense_head_parts(cfg)
    generator = TASK_UTILS.build(generator_cfg)
    strides = [int(stride[0]) for stride in generator.strides]
    location_priors = generator.grid_priors([(1, 1)] * len(strides), device="cpu")[0]
    oriented = location_priors.shape[1] == 5
    assigners = {
        name: build_assigner(name, assigner_cfg, oriented)
        for name in names or (("obb", "hbb") if oriented else ("config",))
    }
    counts = {
        name: PositiveCounts(strides, _expected_positives(assigner, len(strides), location_priors))
        for name, assigner in assigners.items()
    }
    cached_priors = functools.lru_cache(maxsize=4)(functools.partial(grid_priors, generator, strides))
    shapes = BoxShapes(oriented)
    for image in inputs:
        priors, level_sizes = cached_priors(*padded_wh(cfg, image.image_wh))
        for name, assigner in assigners.items():
            gt_index = assign_priors(assigner, priors, level_sizes, image)
            above_threshold = None
            if counts[name].expected is not None:
                above_threshold = _count_above_threshold(assigner, priors, level_sizes, image.gt_boxes)
            counts[name].add(gt_index, level_sizes, len(image.gt_boxes), above_threshold)
        shapes.add(image.gt_boxes)
    return shapes, counts


def padded_wh(cfg: Config, image_wh: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of an image after the padding by a config's data preprocessor.

    Example:
        >>> padded_wh(Config(dict(model=dict(data_preprocessor=dict(pad_size_divisor=32)))), (100, 64))
        (128, 64)
    """
    divisor = (cfg.model.get("data_preprocessor") or {}).get("pad_size_divisor", 1)
    width, height = (-(-side // divisor) * divisor for side in image_wh)
    return width, height


def grid_priors(generator: Any, strides: list[int], width: int, height: int) -> tuple[Tensor, list[int]]:
    """Generate the priors of a padded image.

    Args:
        generator: A prior generator.
        strides: Stride of each level in pixels.
        width: Width of the padded image in pixels.
        height: Its height.

    Returns:
        (A, 5) or (A, 4) priors, level after level, and the number of priors per level.

    Example:
        >>> from mmdet.models.task_modules import AnchorGenerator
        >>> grid_priors(AnchorGenerator(strides=[8], ratios=[1.0], scales=[4]), [8], 24, 16)[1]
        [6]
    """
    levels = generator.grid_priors([(-(-height // s), -(-width // s)) for s in strides], device="cpu")
    return torch.cat(levels), [len(level) for level in levels]

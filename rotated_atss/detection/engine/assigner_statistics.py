"""Count the positives that assigners select in a dataset, without the network and the images."""

from __future__ import annotations

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
from rotated_atss.detection.engine.config_priors import ConfigPriors
from rotated_atss.detection.engine.dataset_records import AssignmentInput
from rotated_atss.detection.task_modules.selection_assigner import STRATEGIES, SelectionAssigner
from rotated_atss.detection.task_modules.tensor_assigner import TensorAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb

HBB_SUFFIX = "-hbb"  # a strategy with this suffix compares circumscribed horizontal boxes, as in "ssc-hbb"


def build_assigner(name: str, assigner_cfg: ConfigDict, oriented: bool) -> Any:
    """Build an assigner by name.

    Args:
        name: ``config`` for the config's assigner. ``obb`` for the same assigner with a comparison of oriented boxes,
            ``hbb`` with a comparison of their circumscribed horizontal boxes. Otherwise a strategy, such as ``ssc``,
            or ``ssc-hbb`` to compare circumscribed boxes; ``topk`` and the treatment of ignored boxes are then taken
            from the config.
        assigner_cfg: Config of the assigner.
        oriented: Whether the config's boxes are oriented.

    Raises:
        UserError: The name is unknown or does not fit the config.

    Example:
        >>> from mmengine.config import ConfigDict
        >>> build_assigner("ssc", ConfigDict(type="RotatedATSSAssigner", topk=5), oriented=True).strategy
        'ssc'
    """
    has_hbb_suffix = name.endswith(HBB_SUFFIX)
    strategy = name.removesuffix(HBB_SUFFIX)
    if name not in ("config", "obb", "hbb") and strategy not in STRATEGIES:
        raise UserError(
            f"no assigner '{name}'", hint=f"choose config, obb, hbb, {', '.join(STRATEGIES)}, or {STRATEGIES[0]}-hbb"
        )
    if not oriented and (name in ("obb", "hbb") or has_hbb_suffix):
        raise UserError(f"assigner '{name}' needs oriented boxes, but this config has horizontal boxes")
    try:
        config_assigner = TASK_UTILS.build(dict(assigner_cfg))
        if name == "config":
            return config_assigner
        if name in ("obb", "hbb"):
            return TASK_UTILS.build({**assigner_cfg, "assign_by_circumhbbox": name == "hbb"})
        return SelectionAssigner(
            strategy,
            topk=getattr(config_assigner, "topk", 9),  # 9: default of the ATSS paper
            assign_by_circumhbbox=has_hbb_suffix or getattr(config_assigner, "assigns_by_hbb", False),
            # -1: ignored boxes have no effect
            ignore_iof_threshold=getattr(config_assigner, "ignore_iof_threshold", -1),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"cannot build assigner '{name}': {one_line(error)}") from error


def _expected_positives(assigner: Any, num_levels: int, priors: Tensor) -> float | None:
    """Return the number of positives per ground-truth box that the ATSS paper expects.

    The paper expects 0.2 k L positives for k candidates per level and L levels. The result is None if the assigner is
    not an ATSS assigner.
    """
    # SelectionAssigner has a strategy; any other assigner with topk is an ATSS assigner.
    has_topk = getattr(assigner, "topk", None) is not None
    if not has_topk or getattr(assigner, "strategy", "atss") != "atss":
        return None
    return POSITIVE_FRACTION * _num_candidates(assigner, priors) * num_levels


def _num_candidates(assigner: Any, priors: Tensor) -> int:
    """Return the number of candidates per level of an ATSS assigner of this package or of MMDetection.

    ``priors`` are the priors of one location or of a whole image. The number of priors per location is derived from
    their centers.
    """
    if not isinstance(assigner, TensorAssigner):
        return assigner.topk  # MMDetection's topk is a number of priors
    return assigner.topk * assigner.num_priors_per_location(priors)  # this package's topk is a number of locations


def assign_priors(assigner: Any, priors: Tensor, level_sizes: list[int], image: AssignmentInput) -> Tensor:
    """Assign the ground truth of an image with an assigner of this package or of MMDetection.

    Args:
        assigner: An assigner.
        priors: (A, 5) or (A, 4), level after level.
        level_sizes: Number of priors per level.
        image: Size and ground truth of the image.

    Returns:
        ``gt_index`` (A,), as :func:`rotated_atss.assign.atss_assign` returns it.

    Example:
        >>> from rotated_atss.detection.engine.dataset_records import AssignmentInput
        >>> from rotated_atss.detection.task_modules.assigners import RotatedMaxIoUAssigner
        >>> image = AssignmentInput((32, 32), torch.tensor([[8.0, 8, 16, 16, 0]]), torch.zeros(0, 5))
        >>> priors = torch.tensor([[8.0, 8, 16, 14, 0], [24, 8, 16, 16, 0]])
        >>> assign_priors(RotatedMaxIoUAssigner(), priors, [2], image)
        tensor([ 0, -1])
    """
    if isinstance(assigner, TensorAssigner):
        gt_index, _ = assigner.assign_image(priors, level_sizes, image.gt_boxes, image.gt_boxes_ignore)
        return gt_index
    gt_labels = torch.zeros(len(image.gt_boxes), dtype=torch.int64)
    gt_instances = InstanceData(bboxes=image.gt_boxes, labels=gt_labels)
    gt_instances_ignore = InstanceData(bboxes=image.gt_boxes_ignore)
    # MMDetection's ATSSAssigner takes the level sizes, but its MaxIoUAssigner does not.
    takes_level_sizes = "num_level_priors" in inspect.signature(assigner.assign).parameters
    level_args = [level_sizes] if takes_level_sizes else []
    gt_inds = assigner.assign(InstanceData(priors=priors), *level_args, gt_instances, gt_instances_ignore).gt_inds
    # MMDetection's gt_inds: 0 for background, -1 for ignored, else the index of the box + 1
    return torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))


def _count_above_threshold(assigner: Any, priors: Tensor, level_sizes: list[int], gt_boxes: Tensor) -> Tensor:
    """Return, per ground-truth box (G,), the number of candidates whose IoU reaches the ATSS threshold of the box."""
    if not len(gt_boxes):
        return torch.zeros(0, dtype=torch.int64)
    if getattr(assigner, "assigns_by_hbb", False):
        priors, gt_boxes = obb_to_hbb(priors), obb_to_hbb(gt_boxes)
    num_candidates = _num_candidates(assigner, priors)
    candidates = nearest_priors(centers(priors), level_sizes, centers(gt_boxes), num_candidates)
    return count_candidates_above_threshold(priors, gt_boxes, candidates)


def count_positives(
    cfg: Config, names: Sequence[str], images: Iterable[AssignmentInput]
) -> tuple[BoxShapes, dict[str, PositiveCounts]]:
    """Count the positives of several assigners.

    Args:
        cfg: Config with the prior generator and the assigner.
        names: Names for :func:`build_assigner`. If it is empty, the names are ``obb`` and ``hbb`` for a config with
            oriented boxes, and ``config`` for a config with horizontal boxes.
        images: Sizes and ground truth of the images.

    Returns:
        Shapes of the ground-truth boxes, and the counts of each assigner, keyed by the name of the assigner.

    Raises:
        UserError: The config has no assigner, or a name does not fit the config.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> image = AssignmentInput((64, 64), torch.tensor([[32.0, 32, 30, 20, 0.1]]), torch.zeros(0, 5))
        >>> _, counts = count_positives(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90"), ["obb"], [image])
        >>> len(counts["obb"].positives)
        1
    """
    config_priors = ConfigPriors(cfg)
    default_names = ("obb", "hbb") if config_priors.oriented else ("config",)
    assigners = {
        name: build_assigner(name, config_priors.assigner_cfg, config_priors.oriented)
        for name in names or default_names
    }
    counts = {
        name: PositiveCounts(
            config_priors.strides,
            _expected_positives(assigner, len(config_priors.strides), config_priors.priors_of_location),
        )
        for name, assigner in assigners.items()
    }
    shapes = BoxShapes(config_priors.oriented)
    for image in images:
        priors, level_sizes = config_priors.generate(image.image_wh)
        for name, assigner in assigners.items():
            gt_index = assign_priors(assigner, priors, level_sizes, image)
            above_threshold = None
            if counts[name].expected is not None:  # only ATSS has a threshold per box
                above_threshold = _count_above_threshold(assigner, priors, level_sizes, image.gt_boxes)
            counts[name].add(gt_index, level_sizes, len(image.gt_boxes), above_threshold)
        shapes.add(image.gt_boxes)
    return shapes, counts

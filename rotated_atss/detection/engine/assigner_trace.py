"""Assign one image with a config's assigner and, for ATSS, trace the values of each step of the assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict
from torch import Tensor

from rotated_atss.analysis.assignment_trace import AssignmentTrace, trace_atss
from rotated_atss.assign import CENTER_MARGIN_PX
from rotated_atss.detection.engine.assigner_statistics import assign_priors, build_assigner
from rotated_atss.detection.engine.config import find_test_dataset
from rotated_atss.detection.engine.config_priors import ConfigPriors
from rotated_atss.detection.engine.dataset_records import AssignmentInput, build_assignment_input
from rotated_atss.detection.task_modules.assigners import RotatedATSSAssigner
from rotated_atss.detection.task_modules.selection_assigner import SelectionAssigner
from rotated_atss.ops.boxes import obb_to_hbb


@dataclass(frozen=True)
class ImageAssignment:
    """Ground truth of one image at the network's input size, with the priors and the assigner of a config.

    Attributes:
        inputs: Size and ground truth, in pixels of the network's input.
        strides: Stride of each level in pixels.
        priors: (A, 5) or (A, 4) priors, level after level.
        level_sizes: Number of priors per level.
        assigner: The config's assigner.
        assigner_cfg: Config of the assigner.
    """

    inputs: AssignmentInput
    strides: list[int]
    priors: Tensor
    level_sizes: list[int]
    assigner: Any
    assigner_cfg: ConfigDict

    @property
    def oriented(self) -> bool:
        """Whether boxes are (N, 5)."""
        return self.priors.shape[1] == 5

    @property
    def variant(self) -> str:
        """Name under which :func:`build_assigner` builds the config's assigner.

        The name is ``obb`` or ``hbb``, the kind of boxes that the assigner compares. If the priors are horizontal, no
        kind can be chosen, and the name is ``config``.
        """
        if not self.oriented:
            return "config"
        return "hbb" if getattr(self.assigner, "assigns_by_hbb", False) else "obb"

    @property
    def is_atss(self) -> bool:
        """Whether the assigner is an ATSS assigner of this package, so that :meth:`trace` works."""
        if isinstance(self.assigner, SelectionAssigner):
            return self.assigner.strategy == "atss"
        return isinstance(self.assigner, RotatedATSSAssigner)

    def assign(self) -> Tensor:
        """Return the ``gt_index`` (A,) that the config's assigner assigns to the priors."""
        return assign_priors(self.assigner, self.priors, self.level_sizes, self.inputs)

    def trace(self, variant: str, box_index: int) -> AssignmentTrace:
        """Trace the steps of an ATSS assigner for one ground-truth box.

        Args:
            variant: ``obb`` or ``hbb`` to compare oriented or circumscribed boxes; ``config`` to follow the config.
            box_index: Index of the box in ``inputs.gt_boxes``.

        Returns:
            The trace. It repeats each step of the assigner, so it marks the same priors as positives.
        """
        assigner = build_assigner(variant, self.assigner_cfg, self.oriented)
        boxes = [self.priors, self.inputs.gt_boxes, self.inputs.gt_boxes_ignore]
        if assigner.assigns_by_hbb and self.oriented:
            boxes = [obb_to_hbb(obbs) for obbs in boxes]
        priors, gt_boxes, gt_boxes_ignore = boxes
        return trace_atss(
            priors, self.level_sizes, gt_boxes, box_index, topk=assigner.topk,
            priors_per_location=assigner.num_priors_per_location(priors), gt_boxes_ignore=gt_boxes_ignore,
            ignore_iof_threshold=assigner.ignore_iof_threshold,
            center_margin=getattr(assigner, "center_margin", CENTER_MARGIN_PX),
        )  # fmt: skip


def prepare_assignment(
    cfg: Config, image_wh: tuple[int, int], boxes: Sequence[Sequence[float]], ignored: Sequence[bool]
) -> ImageAssignment:
    """Scale the ground truth of an image as the config's test pipeline scales the image, and generate the priors.

    Args:
        cfg: Config with the prior generator and the assigner.
        image_wh: Width and height of the image in pixels.
        boxes: Boxes of the image in pixels: ``cx, cy, w, h, angle`` if the config has oriented boxes, else
            ``x1, y1, x2, y2``.
        ignored: Per box, whether it is ignored.

    Raises:
        UserError: The config has no dense head with an assigner.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> cfg = load_config("rotated_atss_obb_r50_fpn_1x_dota_le90")
        >>> assignment = prepare_assignment(cfg, (512, 256), [[100, 100, 60, 20, 0.5]], [False])
        >>> assignment.inputs.image_wh, assignment.inputs.gt_boxes[0, :4].tolist()  # scaled by 2
        ((1024, 512), [200.0, 200.0, 120.0, 40.0])
        >>> assignment.level_sizes
        [8192, 2048, 512, 128, 32]
        >>> num_positives = int((assignment.assign() >= 0).sum())
        >>> num_positives == int(assignment.trace("obb", 0).is_positive.sum())
        True
    """
    config_priors = ConfigPriors(cfg)
    instances = [{"bbox": list(box), "ignore_flag": int(flag)} for box, flag in zip(boxes, ignored)]
    record = {"width": image_wh[0], "height": image_wh[1], "instances": instances}
    inputs = build_assignment_input(record, find_test_dataset(cfg).get("pipeline") or [])
    priors, level_sizes = config_priors.generate(inputs.image_wh)
    if not instances:  # an empty list of boxes does not show whether they have 4 or 5 columns
        inputs = AssignmentInput(inputs.image_wh, priors[:0], priors[:0])
    assigner_cfg = config_priors.assigner_cfg
    assigner = build_assigner("config", assigner_cfg, config_priors.oriented)
    return ImageAssignment(inputs, config_priors.strides, priors, level_sizes, assigner, assigner_cfg)


def has_oriented_boxes(cfg: Config) -> bool:
    """Return whether the priors of a config's first dense head are oriented.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> has_oriented_boxes(load_config("atss_r50_fpn_1x_coco"))
        False
    """
    return ConfigPriors(cfg).oriented

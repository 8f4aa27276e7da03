"""Average precision of oriented boxes as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rotated_atss.dota.ap_result import ClassResult, EvaluationResult
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.task1_evaluation import DIFFICULT_RULES, IOU_THRESHOLDS, METRICS, evaluate_detections
from rotated_atss.errors import UserError
from rotated_atss.io.requirements import require
from rotated_atss.ops.boxes import obb_to_poly

require("torchmetrics")

from torchmetrics import Metric  # noqa: E402
from torchmetrics.utilities.data import dim_zero_cat  # noqa: E402

# Value of each state before images are added. pred_counts and gt_counts have one row per image: the number of its
# detections or ground-truth boxes. All other states have one row per detection or ground-truth box, in the order of the
# images. A state with the image index of each row would not work, because every process would count its images from 0,
# and the same index would mean several images when the states of the processes are concatenated.
_EMPTY_STATES = {
    "pred_polygons": torch.zeros(0, 8, dtype=torch.float64),
    "pred_scores": torch.zeros(0, dtype=torch.float64),
    "pred_labels": torch.zeros(0, dtype=torch.int64),
    "pred_counts": torch.zeros(0, dtype=torch.int64),
    "gt_polygons": torch.zeros(0, 8, dtype=torch.float64),
    "gt_labels": torch.zeros(0, dtype=torch.int64),
    "gt_difficult": torch.zeros(0, dtype=torch.int64),
    "gt_counts": torch.zeros(0, dtype=torch.int64),
}


class OrientedAveragePrecision(Metric):
    """Average precision of oriented boxes, with the rules of ``rotated-atss evaluate``.

    In a distributed run, the states of all processes are concatenated, so the result equals that of one process on all
    images.

    Args:
        class_names: Class names in the order of the class indices.
        metric: ``voc07`` (11 recall levels, as DOTA), ``area`` (area under the precision envelope) or ``coco`` (COCO's
            matching and 101 recall levels).
        iou_thresholds: IoU thresholds. AP50 is returned if they include 0.5, and AP75 if they include 0.75.
        difficult: ``ignore`` difficult objects, as DOTA-v1.0 does, or ``count`` them.
        per_class: Also return the values of each class.
        kwargs: Arguments of ``torchmetrics.Metric``.

    Raises:
        UserError: A setting is unknown or out of range.

    Example:
        >>> box = torch.tensor([[10.0, 10, 8, 4, 0.3]])
        >>> ap = OrientedAveragePrecision(["plane", "ship"], metric="area")
        >>> ap.update(
        ...     [dict(boxes=box, scores=torch.tensor([0.9]), labels=torch.tensor([1]))],
        ...     [dict(boxes=torch.cat((box, box + 40)), labels=torch.tensor([1, 1]))],
        ... )
        >>> ap.compute()["AP50"].item()
        0.5
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        metric: str = "voc07",
        iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
        difficult: str = "ignore",
        per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(class_names, str) or not class_names or len(set(class_names)) < len(class_names):
            raise UserError(f"class_names must be a sequence of distinct names, got {class_names!r}")
        for name, value, choices in (("metric", metric, METRICS), ("difficult", difficult, DIFFICULT_RULES)):
            if value not in choices:
                raise UserError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if not iou_thresholds or not all(0 < threshold < 1 for threshold in iou_thresholds):
            raise UserError(f"iou_thresholds must lie between 0 and 1, got {list(iou_thresholds)}")
        self.class_names, self.metric, self.difficult = tuple(class_names), metric, difficult
        self.iou_thresholds, self.per_class = tuple(iou_thresholds), per_class
        for name in _EMPTY_STATES:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, preds: Sequence[Mapping[str, Any]], target: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch of full images. Detections on tiles must be merged beforehand.

        Args:
            preds: Per image: ``boxes`` (K, 5) ``cx, cy, w, h, angle`` in pixels and radians, or polygons (K, 8),
                ``scores`` (K,) and ``labels`` (K,) class indices.
            target: Per image: ``boxes`` (G, 5) or (G, 8), ``labels`` (G,) and optionally ``difficult`` (G,), flags
                that are not 0 for difficult objects. Without flags, no object is difficult. Other keys are not used.

        Raises:
            ValueError: The numbers of images or of objects differ, a key is missing, a shape is wrong, or a label is
                not the index of a class.
        """
        if len(preds) != len(target):
            raise ValueError(f"preds and target must have one entry per image, got {len(preds)} and {len(target)}")
        states: dict[str, list[Tensor]] = {name: [] for name in _EMPTY_STATES}
        for index, (pred, gt) in enumerate(zip(preds, target)):
            for name, values in self._parse_entry(pred, "pred", "scores", f"preds[{index}]").items():
                states[name].append(values)
            for name, values in self._parse_entry(gt, "gt", "difficult", f"target[{index}]").items():
                states[name].append(values)
        for name, tensors in states.items():  # after all checks, so that an error leaves the states unchanged
            if tensors:
                getattr(self, name).append(torch.cat(tensors))

    def compute(self) -> dict[str, Tensor]:
        """Return the average precision over all images.

        Returns:
            ``AP50_95``, the mean over all thresholds, and ``AP50`` and ``AP75`` if their thresholds are evaluated. With
            ``per_class``, also ``AP50/<class>`` and so on. Values are NaN if there is no ground truth. Detections with
            equal scores are ranked in the order of the updates.
        """
        result = self.evaluate()
        values = self._metric_values(result)
        if self.per_class:
            for class_name in self.class_names:
                class_result = None if result is None else result.per_class[class_name]
                values |= {f"{name}/{class_name}": value for name, value in self._metric_values(class_result).items()}
        return values

    def evaluate(self) -> EvaluationResult | None:
        """Evaluate the images in the states; return None without images.

        If ``compute`` calls this method, the images are those of all processes, because torchmetrics has concatenated
        the states. In a direct call, they are the images of this process only.

        :func:`rotated_atss.dota.ap_result.format_table` formats the result as a table.
        """
        states = {name: self._concatenate_state(name).cpu().numpy() for name in _EMPTY_STATES}
        num_images = len(states["gt_counts"])
        if not num_images:
            return None
        image_ids = tuple(map(str, range(num_images)))
        image_index = np.repeat(np.arange(num_images), states["pred_counts"])  # (K,)
        detections_by_class = {}
        for label, class_name in enumerate(self.class_names):
            rows = np.flatnonzero(states["pred_labels"] == label)
            detections_by_class[class_name] = Detections(
                image_ids, image_index[rows], states["pred_scores"][rows], states["pred_polygons"][rows]
            )
        row_stops = np.cumsum(states["gt_counts"])
        gt_by_image = {
            image_id: self._ground_truth_of(states, slice(stop - count, stop))
            for image_id, stop, count in zip(image_ids, row_stops, states["gt_counts"])
        }
        return evaluate_detections(
            detections_by_class, gt_by_image, metric=self.metric, difficult=self.difficult,
            iou_thresholds=self.iou_thresholds, classes=self.class_names,
        )  # fmt: skip

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Concatenate the states of all processes; the arguments are those of ``torchmetrics.Metric.sync``."""
        # a process without images has empty lists, but all processes must send tensors of the same type
        for name in _EMPTY_STATES:
            if isinstance(getattr(self, name), list):
                setattr(self, name, [self._concatenate_state(name)])
        super().sync(*args, **kwargs)

    def _parse_entry(self, entry: Mapping[str, Any], prefix: str, extra_key: str, where: str) -> dict[str, Tensor]:
        """Check the predictions or the ground truth of one image, and return the tensors to append, by state name.

        Args:
            entry: An element of ``preds`` or ``target``.
            prefix: ``pred`` or ``gt``, the first word of the names of the states.
            extra_key: ``scores``, which is required, or ``difficult``, 0 by default.
            where: Name of the entry in error messages.
        """
        required = ("boxes", "labels", "scores") if extra_key == "scores" else ("boxes", "labels")
        if not set(required) <= set(entry):
            raise ValueError(f"{where} must have {', '.join(required)}, got {', '.join(entry) or 'no keys'}")
        boxes = torch.as_tensor(entry["boxes"], device=self.device).detach().double()
        if boxes.ndim != 2 or boxes.shape[1] not in (5, 8):
            raise ValueError(f"{where}: boxes must be (N, 5) or (N, 8), got {tuple(boxes.shape)}")
        values_by_state = {}
        for key in ("labels", extra_key):
            dtype = _EMPTY_STATES[f"{prefix}_{key}"].dtype
            values = torch.as_tensor(entry.get(key, [0] * len(boxes)), device=self.device).detach().to(dtype)
            if values.shape != boxes.shape[:1]:
                requirement = f"{key} must have shape ({len(boxes)},), one value per box"
                raise ValueError(f"{where}: {requirement}, got {tuple(values.shape)}")
            values_by_state[f"{prefix}_{key}"] = values
        labels = values_by_state[f"{prefix}_labels"]
        invalid_labels = labels[(labels < 0) | (labels >= len(self.class_names))]
        if len(invalid_labels):
            max_label = len(self.class_names) - 1
            raise ValueError(f"{where}: labels must lie between 0 and {max_label}, got {int(invalid_labels[0])}")
        values_by_state[f"{prefix}_polygons"] = obb_to_poly(boxes) if boxes.shape[1] == 5 else boxes
        values_by_state[f"{prefix}_counts"] = torch.tensor([len(boxes)], device=self.device)
        return values_by_state

    def _concatenate_state(self, name: str) -> Tensor:
        state = getattr(self, name)  # a list of tensors, or one tensor after sync
        return dim_zero_cat(state) if len(state) else _EMPTY_STATES[name].to(self.device)

    def _ground_truth_of(self, states: Mapping[str, np.ndarray], rows: slice) -> Labels:
        """Return the ground truth of one image, which is in ``rows`` of the states."""
        names = tuple(self.class_names[label] for label in states["gt_labels"][rows])
        difficult = states["gt_difficult"][rows]
        line_numbers = np.zeros(len(names), dtype=np.int64)  # the objects were not read from a file
        return Labels(states["gt_polygons"][rows], names, difficult, line_numbers)

    def _metric_values(self, result: EvaluationResult | ClassResult | None) -> dict[str, Tensor]:
        """Return AP50, AP75 (if they are evaluated) and AP50_95 of a result; NaN without a result."""
        names = [name for name, iou in (("AP50", 0.5), ("AP75", 0.75)) if iou in self.iou_thresholds]
        return {
            name: torch.tensor(float("nan") if result is None else getattr(result, name.lower()), device=self.device)
            for name in (*names, "AP50_95")
        }

"""Hook that logs pictures, AP by class and precision-recall curves of a validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.structures.bbox import get_box_tensor
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import (
    BaseVisBackend,
    LocalVisBackend,
    MLflowVisBackend,
    TensorboardVisBackend,
)

from rotated_atss.detection.engine.assignment_points import AssignmentPoints
from rotated_atss.detection.engine.dataset_records import build_assignment_input
from rotated_atss.detection.engine.dataset_wrappers import innermost_datasets
from rotated_atss.detection.engine.validation_images import TruthOfImage, choose_images
from rotated_atss.detection.evaluation.detections import UNREADABLE
from rotated_atss.dota.precision_recall import NUM_THRESHOLDS, ScoreCounts
from rotated_atss.errors import UserError
from rotated_atss.io.images import read_image
from rotated_atss.ops.box_polygons import box_polygons
from rotated_atss.visualization.compare import draw_points, draw_truth_and_detections
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.level_style import level_color
from rotated_atss.visualization.palettes import Color, class_styles

NUM_IMAGES = 4  # images of the validation set of which pictures are logged
MAX_VALIDATIONS = 20  # validations with pictures, spread over the training, to limit disk usage


class ValidationLogHook(Hook):
    """Log pictures, AP50 by class and precision-recall curves of each validation to the backends of the visualizer.

    A picture shows an image twice, with its ground truth and with the detections. The first time, pictures of the
    positives of the assigner are logged, too. At most :data:`MAX_VALIDATIONS` validations log pictures, always
    including the last one. The work folder has no pictures, only the scalars.

    Args:
        num_images: Number of images, spread over the validation set.
    """

    priority = "VERY_LOW"

    def __init__(self, num_images: int = NUM_IMAGES) -> None:
        self.num_images = num_images
        self.truths: dict[str, TruthOfImage] | None = None  # by path of the image
        self._is_due = False  # whether this validation logs pictures
        self._stride = 0  # one in this number of validations logs pictures; 0 before the first validation

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the images, and ask the metric for its curves."""
        self._is_due = bool(_backends(runner)) and is_main_process() and self._is_due_at(_validations_left(runner))
        if self._is_due and self.truths is None:
            dataset = runner.val_dataloader.dataset
            has_boxes = hasattr(dataset, "get_data_info") and (getattr(dataset, "metainfo", None) or {}).get("classes")
            self.truths = choose_images(dataset, self.num_images, get_world_size()) if has_boxes else {}
            self._log_assignment(runner)
        has_tensorboard = any(isinstance(backend, TensorboardVisBackend) for backend in _backends(runner))
        for metric in runner.val_loop.evaluator.metrics:
            if hasattr(metric, "keeps_curves"):
                metric.keeps_curves = has_tensorboard

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw the detections of the chosen images."""
        if not self._is_due or not self.truths:
            return
        classes = runner.val_dataloader.dataset.metainfo["classes"]
        for sample in outputs or ():
            truth = self.truths.get(sample.metainfo.get("img_path"))
            if truth is not None and not sample.metainfo.get(UNREADABLE):
                picture = _draw(sample, truth, classes)
                _add_image(runner, f"validation/{Path(truth.path).stem}", picture, _step(runner))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log AP50 by class and the curves."""
        if not is_main_process():
            return
        for metric in runner.val_loop.evaluator.metrics:
            values = {name: ap for name, ap in getattr(metric, "class_ap50", {}).items() if math.isfinite(ap)}
            if values:
                prefix = metric.prefix or "val"
                scalars = {f"{prefix}/AP50/{name}": ap for name, ap in values.items()}
                runner.visualizer.add_scalars(scalars, step=_step(runner))
            for backend in _backends(runner):
                if isinstance(backend, TensorboardVisBackend):
                    _add_curves(backend, getattr(metric, "curves", {}), _step(runner))

    def _is_due_at(self, left: int | None) -> bool:
        """Return whether a validation logs pictures.

        Args:
            left: Number of validations that follow it; None if unknown.
        """
        if left is None:
            return True
        self._stride = self._stride or math.ceil((left + 1) / MAX_VALIDATIONS)
        return left % self._stride == 0

    def _log_assignment(self, runner: Runner) -> None:
        try:
            points = AssignmentPoints(runner.cfg)
        except UserError:  # a head without priors, or a head of another project
            return
        for truth in (self.truths or {}).values():
            try:
                picture = _draw_positives(runner, points, truth)
            except UserError:  # an image that cannot be read, which the validation reports
                continue
            _add_image(runner, f"assignment/{Path(truth.path).stem}", picture, 0)


def _backends(runner: Runner) -> list[BaseVisBackend]:
    """Return the visualization backends other than that of the work folder."""
    backends = runner.visualizer._vis_backends.values()
    return [backend for backend in backends if not isinstance(backend, LocalVisBackend)]


def _validations_left(runner: Runner) -> int | None:
    """Return the number of validations after this one; None if it is unknown."""
    loop: Any = runner.train_loop
    done, length = (loop.epoch, loop.max_epochs) if hasattr(loop, "run_epoch") else (loop.iter, loop.max_iters)
    interval = getattr(loop, "val_interval", None)
    return None if not interval else math.ceil(max(length - done, 0) / interval)


def _step(runner: Runner) -> int:
    """Return the step at which MMEngine logs the scalars of a validation."""
    return runner.epoch if hasattr(runner.train_loop, "run_epoch") else runner.iter


def _add_image(runner: Runner, name: str, picture_bgr: Any, step: int) -> None:
    picture = np.ascontiguousarray(picture_bgr[..., ::-1])  # the backends take RGB
    for backend in _backends(runner):
        # MLflow stores files, whose names end with the step and a suffix
        file_name = f"{name}_{step}.png" if isinstance(backend, MLflowVisBackend) else name
        backend.add_image(file_name, picture, step=step)


def _draw(sample: Any, truth: TruthOfImage, classes: Sequence[str]) -> Any:
    detections = sample.pred_instances
    polygons = box_polygons(get_box_tensor(detections.bboxes).detach().float().cpu())
    names = [classes[label] for label in detections.labels.tolist()]
    scores = detections.scores.detach().float().cpu().numpy()
    return draw_truth_and_detections(
        read_image(truth.path), (truth.polygons, truth.names), (polygons, names, scores), class_styles(classes)
    )


def _draw_positives(runner: Runner, points: AssignmentPoints, truth: TruthOfImage) -> Any:
    """Draw the boxes in white, and the centers of the positives as points in the color of their level."""
    image = read_image(truth.path)
    height, width = image.shape[:2]
    record = {"width": width, "height": height, "instances": truth.instances}
    dataset = next(innermost_datasets(runner.cfg.val_dataloader.dataset))
    inputs = build_assignment_input(record, dataset.get("pipeline") or [])
    centers, levels = points.find(inputs)
    centers = centers * (width / inputs.image_wh[0], height / inputs.image_wh[1])
    white = [(255, 255, 255)] * len(truth.polygons)
    boxes = draw_boxes(image, truth.polygons, colors=white)
    return draw_points(boxes, centers, [_rgb(level_color(level)) for level in levels.tolist()])


def _rgb(color: str) -> Color:
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red, green, blue


def _add_curves(backend: TensorboardVisBackend, curves: dict[str, ScoreCounts], step: int) -> None:
    for name, counts in curves.items():
        backend.experiment.add_pr_curve_raw(
            f"precision-recall/{name}",
            true_positive_counts=counts.true_positives,
            false_positive_counts=counts.false_positives,
            true_negative_counts=np.zeros_like(counts.true_positives),  # they do not exist in detection
            false_negative_counts=counts.num_gt - counts.true_positives,
            precision=counts.precision,
            recall=counts.recall,
            global_step=step,
            num_thresholds=NUM_THRESHOLDS,
        )

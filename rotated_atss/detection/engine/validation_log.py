"""Hook that logs pictures, AP50 per class and precision-recall curves of each validation."""

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

from rotated_atss.detection.engine.dataset_records import build_assignment_input
from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.detection.engine.positive_centers import PositiveCenters
from rotated_atss.detection.engine.validation_images import ImageGroundTruth, choose_images
from rotated_atss.detection.evaluation.detections import UNREADABLE
from rotated_atss.dota.precision_recall import NUM_THRESHOLDS, ScoreCounts
from rotated_atss.errors import UserError
from rotated_atss.io.images import read_image
from rotated_atss.ops.box_polygons import box_polygons
from rotated_atss.visualization.compare import draw_points, draw_truth_and_detections
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.level_style import level_color
from rotated_atss.visualization.palettes import Color, class_styles

NUM_IMAGES = 4  # number of validation images to draw
MAX_VALIDATIONS = 20  # maximum number of validations that log pictures; limits disk usage


class ValidationLogHook(Hook):
    """Log pictures, AP50 per class and precision-recall curves of each validation to the backends of the visualizer.

    Each picture shows an image twice: with its ground truth, and with the detections. The first validation that logs
    pictures also logs pictures of the assigner's positives. To log at most :data:`MAX_VALIDATIONS` times, only every
    N-th validation logs pictures. The last validation always does. In the work folder, only scalars are logged.

    Args:
        num_images: Number of images to draw, spread over the validation set.
    """

    priority = "VERY_LOW"

    def __init__(self, num_images: int = NUM_IMAGES) -> None:
        self.num_images = num_images
        self.ground_truths: dict[str, ImageGroundTruth] | None = None  # by path of the image
        self._logs_pictures = False  # whether this validation logs pictures
        self._picture_interval = 0  # every N-th validation logs pictures; the first validation sets N

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the images to draw. Make the metrics keep curves only if TensorBoard is used, which logs them."""
        can_log_pictures = bool(_backends(runner)) and is_main_process()
        self._logs_pictures = can_log_pictures and self._is_picture_due(_count_later_validations(runner))
        if self._logs_pictures and self.ground_truths is None:
            dataset = runner.val_dataloader.dataset
            has_classes = bool((getattr(dataset, "metainfo", None) or {}).get("classes"))
            can_read_ground_truth = has_classes and hasattr(dataset, "get_data_info")
            self.ground_truths = (
                choose_images(dataset, self.num_images, get_world_size()) if can_read_ground_truth else {}
            )
            self._log_assignment(runner)
        has_tensorboard = any(isinstance(backend, TensorboardVisBackend) for backend in _backends(runner))
        for metric in runner.val_loop.evaluator.metrics:
            if hasattr(metric, "keeps_curves"):
                metric.keeps_curves = has_tensorboard

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw the detections of the chosen images."""
        if not self._logs_pictures or not self.ground_truths:
            return
        classes = runner.val_dataloader.dataset.metainfo["classes"]
        for sample in outputs or ():
            ground_truth = self.ground_truths.get(sample.metainfo.get("img_path"))
            if ground_truth is not None and not sample.metainfo.get(UNREADABLE):
                picture = _draw_comparison(sample, ground_truth, classes)
                _add_image(runner, f"validation/{Path(ground_truth.path).stem}", picture, _step(runner))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log AP50 per class and the curves."""
        if not is_main_process():
            return
        for metric in runner.val_loop.evaluator.metrics:
            class_ap50 = {name: ap for name, ap in getattr(metric, "class_ap50", {}).items() if math.isfinite(ap)}
            if class_ap50:
                prefix = metric.prefix or "val"
                scalars = {f"{prefix}/AP50/{name}": ap for name, ap in class_ap50.items()}
                runner.visualizer.add_scalars(scalars, step=_step(runner))
            for backend in _backends(runner):
                if isinstance(backend, TensorboardVisBackend):
                    _add_curves(backend, getattr(metric, "curves", {}), _step(runner))

    def _is_picture_due(self, later_validations: int | None) -> bool:
        """Return whether the current validation logs pictures.

        Args:
            later_validations: Number of validations after the current one; None if unknown.
        """
        if later_validations is None:
            return True
        if not self._picture_interval:
            self._picture_interval = math.ceil((later_validations + 1) / MAX_VALIDATIONS)
        # Validations are counted from the end, so that the last one logs pictures.
        return later_validations % self._picture_interval == 0

    def _log_assignment(self, runner: Runner) -> None:
        """Log pictures of the positives in the chosen images, if the config has a head with priors."""
        try:
            positive_centers = PositiveCenters(runner.cfg)
        except UserError:  # the head has no priors, or it is not a head of this package
            return
        for ground_truth in (self.ground_truths or {}).values():
            try:
                picture = _draw_positives(runner, positive_centers, ground_truth)
            except UserError:  # the image cannot be read; the validation reports it
                continue
            _add_image(runner, f"assignment/{Path(ground_truth.path).stem}", picture, 0)


def _backends(runner: Runner) -> list[BaseVisBackend]:
    """Return the visualization backends, without the backend that writes to the work folder."""
    backends = runner.visualizer._vis_backends.values()
    return [backend for backend in backends if not isinstance(backend, LocalVisBackend)]


def _count_later_validations(runner: Runner) -> int | None:
    """Return the number of validations after the current one; None if it is unknown."""
    # train_loop increases its counter before it starts a validation, so the counter includes the finished epoch or
    # iteration.
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
        # MLflow stores pictures as files, so the file names contain the step to differ between validations.
        file_name = f"{name}_{step}.png" if isinstance(backend, MLflowVisBackend) else name
        backend.add_image(file_name, picture, step=step)


def _draw_comparison(sample: Any, ground_truth: ImageGroundTruth, classes: Sequence[str]) -> Any:
    """Draw an image with its ground truth next to the same image with its detections."""
    detections = sample.pred_instances
    polygons = box_polygons(get_box_tensor(detections.bboxes).detach().float().cpu())
    names = [classes[label] for label in detections.labels.tolist()]
    scores = detections.scores.detach().float().cpu().numpy()
    return draw_truth_and_detections(
        read_image(ground_truth.path),
        (ground_truth.polygons, ground_truth.names),
        (polygons, names, scores),
        class_styles(classes),
    )


def _draw_positives(runner: Runner, positive_centers: PositiveCenters, ground_truth: ImageGroundTruth) -> Any:
    """Draw the ground-truth boxes in white, and the center of each positive prior in the color of its level."""
    image = read_image(ground_truth.path)
    height, width = image.shape[:2]
    record = {"width": width, "height": height, "instances": ground_truth.instances}
    dataset = next(innermost_dataset_cfgs(runner.cfg.val_dataloader.dataset))
    inputs = build_assignment_input(record, dataset.get("pipeline") or [])
    input_centers, levels = positive_centers.find(inputs)  # in pixels of the network's input
    input_w, input_h = inputs.image_wh
    centers = input_centers * (width / input_w, height / input_h)  # in pixels of the image file
    white = [(255, 255, 255)] * len(ground_truth.polygons)
    picture = draw_boxes(image, ground_truth.polygons, colors=white)
    return draw_points(picture, centers, [_rgb(level_color(level)) for level in levels.tolist()])


def _rgb(color: str) -> Color:
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red, green, blue


def _add_curves(backend: TensorboardVisBackend, curves: dict[str, ScoreCounts], step: int) -> None:
    for name, counts in curves.items():
        backend.experiment.add_pr_curve_raw(
            f"precision-recall/{name}",
            true_positive_counts=counts.true_positives,
            false_positive_counts=counts.false_positives,
            true_negative_counts=np.zeros_like(counts.true_positives),  # detection has no true negatives
            false_negative_counts=counts.num_gt - counts.true_positives,
            precision=counts.precision,
            recall=counts.recall,
            global_step=step,
            num_thresholds=NUM_THRESHOLDS,
        )

"""Test results of tiles: merged into full images, written as Task1 files, evaluated where labels are known, zipped
for the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmdet.registry import METRICS
from mmdet.structures.bbox import get_box_tensor
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import task1_path, write_detections
from rotated_atss.dota.evaluation_result import format_table, result_to_json
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.submission import write_submission
from rotated_atss.dota.task1_evaluation import DIFFICULT_RULES, evaluate_detections
from rotated_atss.dota.task1_evaluation import METRICS as METRICS_OF_EVALUATION
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes, to_task1


@METRICS.register_module()
class DOTAMetric(BaseMetric):
    """Average precision on merged full images, as DOTA's server counts it.

    Args:
        version: DOTA version, which says whether difficult objects are ignored (v1.0) or counted (v1.5, v2.0).
        iou_threshold: NMS IoU when merging.
        labels: Label folders of the full images. None: those that the manifest of the split names. Where there are
            none, nothing is evaluated.
        metric: ``voc07`` (11 points) or ``area``.
        difficult: ``ignore`` or ``count`` instead of the version's way.
        out_dir: Folder for the merged ``Task1_<class>.txt`` and ``ap.json``; None writes none.
        submission: Zip to write for the server.
    """

    default_prefix = "dota"

    def __init__(
        self,
        *,
        version: str = "v1.0",
        iou_threshold: float = 0.1,
        labels: Sequence[str] | None = None,
        metric: str = "voc07",
        difficult: str | None = None,
        out_dir: str | None = None,
        submission: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        _check_settings(version, iou_threshold, metric, difficult)
        self.version, self.iou_threshold, self.metric, self.difficult = version, iou_threshold, metric, difficult
        self.labels = [labels] if isinstance(labels, str) else labels
        for folder in self.labels or ():
            if not Path(folder).is_dir():
                raise UserError("no such folder of labels", where=folder)
        self.out_dir, self.submission = out_dir, submission

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            pred = sample["pred_instances"]
            boxes = get_box_tensor(pred["bboxes"]).cpu()
            self.results.append((sample["img_id"], boxes, pred["scores"].cpu(), pred["labels"].cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        logger = MMLogger.get_current_instance()
        classes = self.dataset_meta["classes"]
        images = merge_boxes((BoxDetections(*result) for result in results), self.iou_threshold)
        detections = to_task1(images, classes)
        found = sum(len(each) for each in detections.values())
        logger.info(
            f"merged {sum(len(result[2]) for result in results)} detections of {len(results)} tiles "
            f"into {found} of {len(images)} images"
        )
        if self.out_dir is not None:
            for name, each in detections.items():
                write_detections(task1_path(self.out_dir, name), each)
            logger.info(f"wrote Task1_*.txt to {self.out_dir}")
        if self.submission is not None:
            write_submission(self.submission, detections, classes)
            logger.info(f"wrote {self.submission}")
        return self._evaluate(detections, [image.name for image in images])

    def _evaluate(self, detections: dict, image_ids: list[str]) -> dict[str, float]:
        logger = MMLogger.get_current_instance()
        folders = self.labels if self.labels is not None else self.dataset_meta.get("source_labels", [])
        if not folders:
            logger.info("no labels of the full images are known: nothing is evaluated (give them with --labels)")
            return {}
        labels = labels_of_images(folders, image_ids, self.dataset_meta["classes"])
        result = evaluate_detections(
            detections, labels, metric=self.metric, difficult=self.difficult, version=self.version
        )
        logger.info("on merged full images\n" + format_table(result))
        if self.out_dir is not None:
            atomic_write(Path(self.out_dir) / "ap.json", (json.dumps(result_to_json(result), indent=1) + "\n").encode())
        return {"AP50": result.ap50, "AP75": result.ap75, "AP50_95": result.ap50_95}


def _check_settings(version: str, iou_threshold: float, metric: str, difficult: str | None) -> None:
    """Before hours of testing, not after."""
    for what, value, choices in (
        ("version", version, CLASSES),
        ("metric", metric, METRICS_OF_EVALUATION),
        ("rule for difficult objects", difficult, (None, *DIFFICULT_RULES)),
    ):
        if value not in choices:
            raise UserError(
                f"unknown {what} '{value}' in DOTAMetric", hint=f"choose from {', '.join(filter(None, choices))}"
            )
    if not 0 <= iou_threshold <= 1:
        raise UserError(f"the IoU threshold of DOTAMetric lies between 0 and 1, not at {iou_threshold}")


def labels_of_images(folders: Sequence[str], image_ids: Sequence[str], classes: Sequence[str]) -> dict:
    """Labels of the given images from several folders.

    Raises:
        UserError: An image has no label file in any of them.
    """
    labels = {}
    for image in image_ids:
        paths = [path for path in (Path(folder) / f"{image}.txt" for folder in folders) if path.is_file()]
        if not paths:
            raise UserError(
                f"no label file for the image {image}",
                where=", ".join(map(str, folders)),
                hint="name its folder with --labels",
            )
        labels[image] = read_labels(paths[0], classes=classes)
    return labels

"""MMEngine metric: COCO's evaluation of horizontal boxes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from mmdet.registry import METRICS
from mmdet.structures.bbox import get_box_tensor
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from rotated_atss.coco.bbox_evaluation import MAX_DETS, check_max_dets, evaluate_boxes
from rotated_atss.coco.coco_result import UNDEFINED, CocoResult, format_table, result_to_json
from rotated_atss.coco.instances import Instances, read_instances
from rotated_atss.coco.results_file import to_coco_results
from rotated_atss.detection.evaluation.detections import detections_of
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.files import write_json


@METRICS.register_module()
class CocoBoxMetric(BaseMetric):
    """COCO's twelve metrics of horizontal boxes, computed by faster-coco-eval.

    Args:
        ann_file: Instances JSON with the ground truth; by default the JSON of the tested ``CocoInstancesDataset``.
        per_class: Whether to print the AP of each class.
        max_dets: Three increasing limits of detections per image and class. AP is computed with the largest one.
        out_dir: Folder for ``results.json`` (COCO's results format) and ``ap.json``. If None, neither is written.
        report_dir: Folder for the report of the evaluation. If None, no report is written.
        collect_device: See MMEngine's ``BaseMetric``.
        prefix: See MMEngine's ``BaseMetric``.

    Attributes:
        class_ap50: AP50 by class of the latest evaluation; NaN for a class without objects.

    Raises:
        UserError: ``ann_file`` does not exist, or ``max_dets`` are not three increasing numbers.

    Example:
        >>> CocoBoxMetric(per_class=True).max_dets
        (1, 10, 100)
    """

    default_prefix = "coco"

    def __init__(
        self,
        *,
        ann_file: str | None = None,
        per_class: bool = False,
        max_dets: Sequence[int] = MAX_DETS,
        out_dir: str | None = None,
        report_dir: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if ann_file is not None and not Path(ann_file).is_file():
            raise UserError("no such file", where=ann_file)
        self.ann_file, self.per_class, self.out_dir = ann_file, per_class, out_dir
        self.report_dir = report_dir
        self.max_dets = check_max_dets(max_dets)
        self.class_ap50: dict[str, float] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Collect the detections of a batch."""
        for sample in data_samples:
            detections = detections_of(sample)
            boxes = get_box_tensor(detections["bboxes"]).detach().cpu().double()
            scores, labels = detections["scores"].cpu().float(), detections["labels"].cpu()
            self.results.append((sample["img_id"], boxes, scores, labels))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the detections and evaluate them on the tested images.

        Args:
            results: Image id, boxes, scores and labels of each image, from :meth:`process`.

        Returns:
            The twelve metrics by name; empty if the JSON has no annotations, as for COCO's test sets.
        """
        logger = MMLogger.get_current_instance()
        cat_ids = self.dataset_meta["cat_ids"]
        detections = [
            row
            for image_id, boxes, scores, labels in results
            for row in to_coco_results(image_id, boxes.numpy(), scores.numpy(), labels.numpy(), cat_ids)
        ]
        if self.out_dir is not None:
            write_json(Path(self.out_dir) / "results.json", detections, indent=None)
            logger.info(f"wrote {count_of(len(detections), 'detection')} to {Path(self.out_dir) / 'results.json'}")
        ground_truth = read_instances(self.ann_file or self.dataset_meta["ann_file"])
        if ground_truth.annotations is None:
            logger.info(f"{ground_truth.path} has no annotations: nothing is evaluated")
            return {}
        image_ids = [image_id for image_id, *_ in results]
        result = evaluate_boxes(
            ground_truth, detections, image_ids=image_ids, categories=cat_ids, max_dets=self.max_dets
        )
        self.class_ap50 = {
            name: math.nan if ap50 == UNDEFINED else ap50 for name, (_ap, ap50) in result.per_class.items()
        }
        logger.info("COCO box evaluation\n" + format_table(result, self.per_class))
        if self.out_dir is not None:
            write_json(Path(self.out_dir) / "ap.json", result_to_json(result))
        if self.report_dir is not None:
            self._write_report(self.report_dir, result, ground_truth, detections, image_ids)
        return result.values()

    def _write_report(
        self, report_dir: str, result: CocoResult, ground_truth: Instances, detections: list[dict], image_ids: list
    ) -> None:
        from rotated_atss.report.evaluation import ReportOptions, report_coco

        options = ReportOptions(
            out=report_dir,
            detections=Path(self.out_dir) / "results.json" if self.out_dir else "",
            labels=[ground_truth.path],
            images=[folder for folder in self.dataset_meta.get("source_image_folders", ()) if os.path.isdir(folder)],
        )
        report_coco(
            result, ground_truth, detections, options, image_ids=image_ids, categories=self.dataset_meta["cat_ids"],
            max_dets=self.max_dets[-1], log=MMLogger.get_current_instance().info,
        )  # fmt: skip

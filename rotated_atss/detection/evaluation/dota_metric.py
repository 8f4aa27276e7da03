"""MMEngine metric: evaluation on merged full images by the rules of DOTA or of another dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import METRICS
from mmdet.structures.bbox import get_box_tensor
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from rotated_atss.detection.evaluation.detections import detections_of
from rotated_atss.dota.ap_result import EvaluationResult
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.precision_recall import ScoreCounts, count_by_score
from rotated_atss.errors import UserError
from rotated_atss.interop.arrays import as_array
from rotated_atss.tiling.merge_boxes import BoxDetections
from rotated_atss.tiling.tile_results import ResultOptions, finish_test


@METRICS.register_module()
class DOTAMetric(BaseMetric):
    """Average precision on merged full images by the rules of the DOTA evaluation server or of another dataset.

    The detections of all tiles are merged. If requested, they are written as Task1 files and as a submission. If labels
    of the full images are available, the detections are evaluated.

    Args:
        dataset: The dataset whose rules apply: a DOTA version or another key of
            :data:`rotated_atss.dota.datasets.DATASETS`. DOTA v1.0 ignores difficult objects; all other datasets count
            them.
        iou_threshold: IoU threshold of NMS when merging tiles.
        labels: Label folders of the full images; by default, the folders recorded in the manifest of the split. Without
            labels, nothing is evaluated.
        metric: ``voc07`` (11-point interpolation), ``area`` (area under the precision-recall curve) or ``coco``
            (COCO's matching and 101 points, also by object size), instead of the metric of the dataset.
        difficult: ``ignore`` or ``count`` difficult objects, instead of the rule of the dataset.
        out_dir: Folder for the merged ``Task1_<class>.txt`` and ``ap.json``. If None, neither is written.
        submission: Path of the zip file for the evaluation server. If None, no zip file is written.
        report_dir: Folder for the report of the evaluation. If None, no report is written.
        collect_device: See MMEngine's ``BaseMetric``.
        prefix: See MMEngine's ``BaseMetric``.

    Attributes:
        class_ap50: AP50 by class of the latest evaluation; NaN for a class without objects.
        keeps_curves: Whether to compute ``curves``; False unless the caller sets it.
        curves: Precision and recall by class of the latest evaluation; empty unless ``keeps_curves``.

    Raises:
        UserError: The value of ``dataset``, ``metric`` or ``difficult`` is unknown, ``iou_threshold`` is out of range,
            or a label folder does not exist.

    Example:
        >>> DOTAMetric(dataset="v1.5", metric="area").options.iou_threshold
        0.1
    """

    default_prefix = "dota"

    def __init__(
        self,
        *,
        dataset: str = "v1.0",
        iou_threshold: float = 0.1,
        labels: Sequence[str] | None = None,
        metric: str | None = None,
        difficult: str | None = None,
        out_dir: str | None = None,
        submission: str | None = None,
        report_dir: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.options = ResultOptions(
            dataset=dataset, iou_threshold=iou_threshold, metric=metric, difficult=difficult, out_dir=out_dir,
            submission=submission, report_dir=report_dir,
        )  # fmt: skip
        self.label_folders = [labels] if isinstance(labels, str) else labels
        self.keeps_curves = False
        self.class_ap50: dict[str, float] = {}
        self.curves: dict[str, ScoreCounts] = {}
        for folder in self.label_folders or ():
            if not Path(folder).is_dir():
                raise UserError("the label folder does not exist", where=folder)

    @property
    def dataset_meta(self) -> Any:
        """Meta information of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        if self.label_folders is not None:
            return
        # The runner sets dataset_meta before the first batch, so this warning comes before hours of inference.
        for folder in dataset_meta.get("missing_label_folders", []):
            MMLogger.get_current_instance().warning(
                f"{folder}: the label folder in the manifest of the tiles does not exist (set it with --labels)"
            )

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Collect the detections of a batch of tiles."""
        for sample in data_samples:
            detections = detections_of(sample)
            columns = (get_box_tensor(detections["bboxes"]), detections["scores"], detections["labels"])
            self.results.append((sample["img_id"], *map(as_array, columns)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Merge the detections of tiles, write the requested files and evaluate.

        Args:
            results: Tile name, boxes, scores and labels of each tile, from :meth:`process`.

        Returns:
            ``AP50``, ``AP75`` and ``AP50_95``. The metric ``coco`` adds ``AP50_95`` by object size. The dict is empty
            if no labels are available.
        """
        label_folders = self.label_folders
        if label_folders is None:
            label_folders = self.dataset_meta.get("source_label_folders", [])
        return finish_test(
            [BoxDetections(*result) for result in results],
            self.dataset_meta["classes"],
            self.options,
            label_folders=label_folders,
            image_folders=self.dataset_meta.get("source_image_folders", []),
            notes=self.dataset_meta.get("notes", []),
            log=MMLogger.get_current_instance().info,
            observer=self._store_class_results,
        )

    def _store_class_results(
        self,
        detections_by_class: Mapping[str, Detections],
        labels_by_image: Mapping[str, Labels],
        result: EvaluationResult,
    ) -> None:
        """Set ``class_ap50`` and, if ``keeps_curves``, ``curves`` from the merged detections and their evaluation."""
        self.class_ap50 = {name: class_result.ap50 for name, class_result in result.per_class.items()}
        if self.keeps_curves:
            self.curves = count_by_score(
                detections_by_class, labels_by_image, ignore_difficult=result.difficult == "ignore"
            )

"""Evaluation on merged full images, by the rules of DOTA or of another dataset, as a metric of MMEngine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import METRICS
from mmdet.structures.bbox import get_box_tensor
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from rotated_atss.dota.ap_result import format_table, result_to_json
from rotated_atss.dota.datasets import DATASETS
from rotated_atss.dota.detections import write_task1_folder
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.dota.submission import write_submission
from rotated_atss.dota.task1_evaluation import DIFFICULT_RULES, evaluate_detections
from rotated_atss.dota.task1_evaluation import METRICS as METRICS_OF_EVALUATION
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.files import write_json
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes, to_task1


@METRICS.register_module()
class DOTAMetric(BaseMetric):
    """Average precision on merged full images, computed as the DOTA evaluation server or another dataset does.

    The detections of all tiles are merged, written as Task1 files and as a submission if requested, and evaluated if
    labels of the full images are available.

    Args:
        version: DOTA version or another key of :data:`rotated_atss.dota.datasets.DATASETS`, whose rules apply. DOTA
            v1.0 ignores difficult objects, the others count them.
        iou_threshold: IoU threshold of NMS when merging tiles.
        labels: Label folders of the full images; by default those recorded in the manifest of the split. Without
            labels nothing is evaluated.
        metric: ``voc07`` (11-point interpolation), ``area`` (area under the precision-recall curve) or ``coco``
            (COCO's matching and 101 points, also by object size), instead of that of the version.
        difficult: ``ignore`` or ``count``, instead of the rule of the version.
        out_dir: Folder for the merged ``Task1_<class>.txt`` and ``ap.json``; None writes neither.
        submission: Path of the zip file for the evaluation server.
        collect_device: As MMEngine's ``BaseMetric``.
        prefix: As MMEngine's ``BaseMetric``.

    Raises:
        UserError: The version, metric or rule is unknown, the threshold is out of range, or a label folder is missing.

    Example:
        >>> DOTAMetric(version="v1.5", metric="area").iou_threshold
        0.1
    """

    default_prefix = "dota"

    def __init__(
        self,
        *,
        version: str = "v1.0",
        iou_threshold: float = 0.1,
        labels: Sequence[str] | None = None,
        metric: str | None = None,
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

    @property
    def dataset_meta(self) -> Any:
        """Meta information of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        # The runner sets it before the first batch, so a wrong path is known before hours of inference.
        self._dataset_meta = dataset_meta
        for folder in dataset_meta.get("missing_labels", []) if self.labels is None else ():
            MMLogger.get_current_instance().warning(
                f"{folder}: no such folder of labels, recorded in the manifest of the tiles (set it with --labels)"
            )

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Collect the detections of a batch of tiles."""
        for sample in data_samples:
            pred = sample["pred_instances"]
            boxes = get_box_tensor(pred["bboxes"]).cpu()
            self.results.append((sample["img_id"], boxes, pred["scores"].cpu(), pred["labels"].cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Merge the detections of tiles, write the requested files and evaluate.

        Args:
            results: Tile name, boxes, scores and labels of each tile, from :meth:`process`.

        Returns:
            ``AP50``, ``AP75`` and ``AP50_95``, for ``coco`` also ``AP50_95`` by size; empty if no labels are available.
        """
        logger = MMLogger.get_current_instance()
        classes = self.dataset_meta["classes"]
        images = merge_boxes((BoxDetections(*result) for result in results), self.iou_threshold)
        detections = to_task1(images, classes)
        num_tile_detections = sum(len(scores) for _, _, scores, _ in results)
        num_detections = sum(len(of_class) for of_class in detections.values())
        logger.info(
            f"merged {count_of(num_tile_detections, 'detection')} on {count_of(len(results), 'tile')} "
            f"into {count_of(num_detections, 'detection')} on {count_of(len(images), 'image')}"
        )
        if self.out_dir is not None:
            write_task1_folder(self.out_dir, detections)
            logger.info(f"wrote Task1_*.txt to {self.out_dir}")
        if self.submission is not None:
            write_submission(self.submission, detections, classes)
            logger.info(f"wrote {self.submission}")
        return self._evaluate(detections, [image.name for image in images])

    def _evaluate(self, detections: dict, image_ids: list[str]) -> dict[str, float]:
        logger = MMLogger.get_current_instance()
        folders = self.labels if self.labels is not None else self.dataset_meta.get("source_labels", [])
        if not folders:
            logger.info("no labels of the full images are available: nothing is evaluated (set them with --labels)")
            return {}
        logger.info(f"labels of the full images: {', '.join(str(Path(folder).resolve()) for folder in folders)}")
        labels = read_labels_of_images(folders, image_ids, self.dataset_meta["classes"])
        result = evaluate_detections(
            detections, labels, metric=self.metric, difficult=self.difficult, version=self.version
        )
        notes = list(self.dataset_meta.get("notes", []))
        logger.info("\n".join(["on merged full images", format_table(result), *notes]))
        if self.out_dir is not None:
            content = {**result_to_json(result), **({"notes": notes} if notes else {})}
            write_json(Path(self.out_dir) / "ap.json", content)
        by_size = {f"AP50_95 {name}": value for name, value in list(result.by_size.items())[1:]}
        return {**result.values(), **by_size}


def _check_settings(version: str, iou_threshold: float, metric: str | None, difficult: str | None) -> None:
    """Reject unknown settings when the metric is built, before the test starts."""
    for name, value, choices in (
        ("version", version, DATASETS),
        ("metric", metric, (None, *METRICS_OF_EVALUATION)),
        ("difficult", difficult, (None, *DIFFICULT_RULES)),
    ):
        if value not in choices:
            known = ", ".join(filter(None, choices))
            raise UserError(f"{name} of DOTAMetric must be one of {known}, got {value!r}")
    if not 0 <= iou_threshold <= 1:
        raise UserError(f"iou_threshold of DOTAMetric must be between 0 and 1, got {iou_threshold}")


def read_labels_of_images(
    folders: Sequence[str], image_ids: Sequence[str], classes: Sequence[str]
) -> dict[str, Labels]:
    """Read the label files of images from several folders.

    Args:
        folders: Label folders; the first that contains ``<image id>.txt`` is used.
        image_ids: Names of the images without suffix.
        classes: Class names.

    Returns:
        Labels by image id.

    Raises:
        UserError: No folder has a label file of an image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
        ...     read_labels_of_images([folder], ["P1"], DATASETS["v1.0"].classes)["P1"].names
        ('ship',)
    """
    labels = {}
    for image_id in image_ids:
        paths = [path for path in (Path(folder) / f"{image_id}.txt" for folder in folders) if path.is_file()]
        if not paths:
            raise UserError(
                f"no label file for the image {image_id}",
                where=", ".join(map(str, folders)),
                hint="add its folder with --labels",
            )
        labels[image_id] = read_labels(paths[0], classes=classes)
    return labels

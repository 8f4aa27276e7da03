"""Horizontal boxes of a COCO instances JSON as MMEngine's dataset, and their evaluation as its metric."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS, METRICS, TRANSFORMS
from mmdet.structures.bbox import get_box_tensor
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from rotated_atss.coco.bbox_evaluation import MAX_DETS, check_max_dets, evaluate_boxes
from rotated_atss.coco.evaluation_result import format_table, result_to_json
from rotated_atss.coco.instances import CocoImage, Instances, category_ids, read_instances, reject_missing_images
from rotated_atss.detection.datasets.dota import LoadTile
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write


@DATASETS.register_module()
class CocoInstancesDataset(CocoDataset):
    """Images and boxes of an instances JSON, checked before anything runs.

    Crowd boxes are marked as ignored. Boxes without area are dropped, those that reach out of the image clipped, both
    with a line that counts them.

    Args:
        ann_file: The JSON below ``data_root``. Without annotations (a test set) it serves testing only.
        data_prefix: ``img``, the folder below ``data_root`` that the JSON's file names start from.
        metainfo: ``classes``, a sequence of category names; default COCO's 80.
        filter_cfg: In training, ``filter_empty_gt=True`` leaves out images without boxes, ``min_size`` those with a
            shorter side in pixels.
        kwargs: As MMDetection's ``CocoDataset``.
    """

    def load_data_list(self) -> list[dict]:
        instances = read_instances(self.ann_file)
        self.cat_ids = category_ids(instances, self.metainfo["classes"])
        self.cat2label = {number: index for index, number in enumerate(self.cat_ids)}
        self._metainfo.update(cat_ids=self.cat_ids, ann_file=str(self.ann_file))
        if instances.annotations is None and not self.test_mode:
            raise UserError("has no annotations to train on", where=self.ann_file)
        reject_missing_images(instances, self.data_prefix.get("img") or ".")
        _tell_odd_boxes(instances)
        self._tell_left_out(instances)
        return [self._record(image, instances) for image in instances.images]

    def _record(self, image: CocoImage, instances: Instances) -> dict:
        return {
            "img_path": str(Path(self.data_prefix.get("img") or ".") / image.file_name),
            "img_id": image.id,
            "width": image.width,
            "height": image.height,
            "instances": [
                {"bbox": list(each.box), "bbox_label": self.cat2label[each.category_id],
                 "ignore_flag": int(each.iscrowd)}
                for each in instances.objects.get(image.id, ())
                if each.category_id in self.cat2label
            ],
        }  # fmt: skip

    def _tell_left_out(self, instances: Instances) -> None:
        left = [name for number, name in instances.categories.items() if number not in self.cat2label]
        if left:
            told = f"{self.ann_file}: {len(left)} categories are none of the config's classes and left out: {left[0]}"
            print_log(told + (", ..." if len(left) > 1 else ""), logger="current", level=logging.WARNING)

    def filter_data(self) -> list[dict]:
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        least, empty_too = self.filter_cfg.get("min_size", 0), not self.filter_cfg.get("filter_empty_gt", False)
        kept = [
            record
            for record in self.data_list
            if min(record["width"], record["height"]) >= least and (empty_too or record["instances"])
        ]
        if not kept:
            raise UserError("no image is left to train on", where=self.ann_file, hint=f"filter_cfg={self.filter_cfg}")
        return kept


def _tell_odd_boxes(instances: Instances) -> None:
    for done, boxes in (
        ("dropped {} boxes without area inside their image", instances.dropped),
        ("clipped {} boxes that reach out of their image", instances.clipped),
    ):
        if boxes:
            told = f"{instances.path}: {done.format(len(boxes))}, the first is {boxes[0]}"
            print_log(told, logger="current", level=logging.WARNING)


@TRANSFORMS.register_module()
class LoadCocoImage(LoadTile):
    """MMCV's loader with one line for an image that cannot be read or is not of the size that the JSON gives."""

    def transform(self, results: dict) -> dict:
        wanted = results.get("height"), results.get("width")
        try:
            results = super().transform(results)
        except UserError as error:
            raise UserError(error.what, where=error.where, hint="mend the image, or remove it from the JSON") from error
        height, width = results["ori_shape"]
        if wanted != (None, None) and wanted != (height, width):
            raise UserError(
                f"is {width} x {height} pixels, but {wanted[1]} x {wanted[0]} in the JSON", where=results["img_path"]
            )
        return results


@METRICS.register_module()
class CocoBoxMetric(BaseMetric):
    """COCO's twelve numbers of horizontal boxes, by faster-coco-eval.

    Args:
        ann_file: Instances JSON of the ground truth; default the tested dataset's own.
        per_class: Also print AP of each class.
        max_dets: Most detections an image and class: three rising numbers, AP takes the last.
        out_dir: Folder for ``results.json`` (COCO's results format) and ``ap.json``; None writes none.
    """

    default_prefix = "coco"

    def __init__(
        self,
        *,
        ann_file: str | None = None,
        per_class: bool = False,
        max_dets: Sequence[int] = MAX_DETS,
        out_dir: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if ann_file is not None and not Path(ann_file).is_file():
            raise UserError("no such file", where=ann_file)
        self.ann_file, self.per_class, self.out_dir = ann_file, per_class, out_dir
        self.max_dets = check_max_dets(max_dets)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            pred = sample["pred_instances"]
            boxes = get_box_tensor(pred["bboxes"]).detach().cpu().double()
            self.results.append((sample["img_id"], boxes, pred["scores"].cpu(), pred["labels"].cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        logger = MMLogger.get_current_instance()
        rows = [row for result in results for row in results_rows(*result, self.dataset_meta["cat_ids"])]
        if self.out_dir is not None:
            _write_json(Path(self.out_dir) / "results.json", rows)
            logger.info(f"wrote {len(rows)} detections to {Path(self.out_dir) / 'results.json'}")
        truth = read_instances(self.ann_file or self.dataset_meta["ann_file"])
        if truth.annotations is None:
            logger.info(f"{truth.path} has no annotations: nothing is evaluated")
            return {}
        images = [result[0] for result in results]
        result = evaluate_boxes(
            truth, rows, image_ids=images, categories=self.dataset_meta["cat_ids"], max_dets=self.max_dets
        )
        logger.info("COCO box evaluation\n" + format_table(result, self.per_class))
        if self.out_dir is not None:
            _write_json(Path(self.out_dir) / "ap.json", result_to_json(result))
        return result.values()


def results_rows(
    image_id: int, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, cat_ids: Sequence[int]
) -> list[dict]:
    """Boxes (N, 4) ``x1, y1, x2, y2``, scores (N,) and labels (N,) of one image in COCO's results format: boxes to a
    thousandth of a pixel, scores to the nine digits that tell all of float32 apart.
    """
    xywh = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).double().round(decimals=3).tolist()
    return [
        {"image_id": image_id, "category_id": cat_ids[label], "bbox": box, "score": float(f"{score:.9g}")}
        for box, score, label in zip(xywh, scores.tolist(), labels.tolist())
    ]


def _write_json(path: Path, content: object) -> None:
    atomic_write(path, (json.dumps(content) + "\n").encode())

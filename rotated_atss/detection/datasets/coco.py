"""MMEngine dataset of the horizontal boxes in a COCO instances JSON."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from rotated_atss.coco.classes import COCO_CLASSES
from rotated_atss.coco.instances import CocoImage, Instances, category_ids, read_instances, reject_missing_images
from rotated_atss.detection.datasets.log import warn
from rotated_atss.errors import UserError, count_of


@DATASETS.register_module()
class CocoInstancesDataset(BaseDataset):
    """Dataset of the images and boxes of an instances JSON, which is validated when it is loaded.

    Crowd boxes have ``ignore_flag=1``. Boxes without area inside the image are dropped; boxes that extend beyond the
    image are clipped. One warning reports the number of dropped boxes, another the number of clipped boxes.

    Args:
        ann_file: JSON file below ``data_root``. A file without annotations (a test set) cannot be used for training.
        data_prefix: Dict with ``img``, the folder below ``data_root`` that contains the images of the JSON.
        metainfo: Dict with ``classes``, a sequence of category names; by default the 80 categories of COCO.
        filter_cfg: Filters of the training images: ``filter_empty_gt=True`` drops images without boxes, and
            ``min_size`` drops images whose shorter side is below this number of pixels.
        kwargs: Arguments of MMEngine's ``BaseDataset``.

    Raises:
        UserError: A file or image is missing, the JSON is malformed, a class is not a category of the JSON, or no image
            is left to train on.
    """

    METAINFO = {"classes": COCO_CLASSES}  # noqa: RUF012  (as MMEngine declares it)

    def load_data_list(self) -> list[dict]:
        """Read and validate the JSON."""
        instances = read_instances(self.ann_file)
        self.cat_ids = category_ids(instances, self.metainfo["classes"])
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        self._metainfo.update(  # CocoBoxMetric reads these keys
            cat_ids=self.cat_ids, ann_file=str(self.ann_file), source_image_folders=[self._image_folder]
        )
        if instances.annotations is None and not self.test_mode:
            raise UserError("has no annotations to train on", where=self.ann_file)
        reject_missing_images(instances, self._image_folder)
        _warn_dropped_and_clipped(instances)
        self._warn_unused_categories(instances)
        return [self._build_data_info(image, instances) for image in instances.images]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class index of each object of an image, for dataset wrappers that balance classes.

        MMDetection prescribes the name of the method, but the result does not contain the category ids of the JSON
        (``cat_ids``).
        """
        return [instance["bbox_label"] for instance in self.get_data_info(idx)["instances"]]

    @property
    def _image_folder(self) -> str:
        return self.data_prefix.get("img") or "."

    def _build_data_info(self, image: CocoImage, instances: Instances) -> dict:
        return {
            "img_path": str(Path(self._image_folder) / image.file_name),
            "img_id": image.id,
            "width": image.width,
            "height": image.height,
            "instances": [
                {"bbox": list(obj.box), "bbox_label": self.cat2label[obj.category_id],
                 "ignore_flag": int(obj.iscrowd)}
                for obj in instances.objects.get(image.id, ())
                if obj.category_id in self.cat2label
            ],
        }  # fmt: skip

    def _warn_unused_categories(self, instances: Instances) -> None:
        unused = [name for cat_id, name in instances.categories.items() if cat_id not in self.cat2label]
        if unused:
            more = ", ..." if len(unused) > 1 else ""
            categories = count_of(len(unused), "category")
            warn(f"{self.ann_file}: {categories} not among the classes of the config: {unused[0]}{more}")

    def filter_data(self) -> list[dict]:
        """Drop training images as ``filter_cfg`` specifies."""
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        min_size = self.filter_cfg.get("min_size", 0)
        keep_empty = not self.filter_cfg.get("filter_empty_gt", False)
        filtered = [
            info
            for info in self.data_list
            if min(info["width"], info["height"]) >= min_size and (keep_empty or info["instances"])
        ]
        if not filtered:
            hint = f"check filter_cfg={self.filter_cfg}"
            raise UserError("no image is left to train on", where=self.ann_file, hint=hint)
        return filtered


def _warn_dropped_and_clipped(instances: Instances) -> None:
    for action, boxes, reason in (
        ("dropped", instances.dropped, "without area inside the image"),
        ("clipped", instances.clipped, "beyond the image"),
    ):
        if boxes:
            warn(f"{instances.path}: {action} {count_of(len(boxes), 'box')} {reason}, the first is {boxes[0]}")

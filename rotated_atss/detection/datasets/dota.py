"""MMEngine dataset of DOTA tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from rotated_atss.detection.datasets.log import warn
from rotated_atss.dota.classes import PALETTE, resolve_classes
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError, count_of
from rotated_atss.ops.boxes import RECT_CHOICES
from rotated_atss.tiling.manifest import check_tiles, find_manifest, source_label_folders
from rotated_atss.tiling.tile_dataset import to_tile_objects

DIFFICULT_CHOICES = ("keep", "ignore", "drop")


@DATASETS.register_module()
class DOTADataset(BaseDataset):
    """Dataset of DOTA tiles: a folder of images and a folder of label files with the same names.

    The tiles are sorted by name.

    Args:
        classes: DOTA version (``v1.0``, ``v1.5``, ``v2.0``), sequence of names, or file of names.
        ann_file: Folder of label files below ``data_root``; empty for a test set.
        data_prefix: Dict with ``img_path``, the folder of images below ``data_root``.
        difficult: Use of difficult objects: ``keep`` them as ground truth, ``ignore`` the priors inside them, or
            ``drop`` them.
        difficult_from: Lowest value of the flag that counts as difficult: 1, or 2 to count only objects truncated by
            splitting.
        rect: Which rectangle represents a polygon if several enclosing rectangles have the minimum area. ``edge``
            selects the rectangle with a side along the polygon's earliest edge. ``cv2`` selects the rectangle that
            ``cv2.minAreaRect`` returns, as in mmrotate (:func:`rotated_atss.ops.boxes.poly_to_obb`).
        allow_missing_tiles: Whether to accept that tiles in the manifest of the split are missing in the folder.
        metainfo: Dict with ``classes``, which overrides the argument ``classes``, and ``palette``; both are optional.
        args, kwargs: Arguments of MMEngine's ``BaseDataset``. With ``filter_cfg=dict(filter_empty_gt=True)``, training
            skips tiles without objects; by default, these tiles are used as background.

    Raises:
        UserError: A folder or label file is missing, a label is malformed, a class or setting is unknown, or the
            tiles differ from the manifest of their split.
    """

    def __init__(
        self,
        *args: Any,
        classes: str | Sequence[str] = "v1.0",
        ann_file: str = "labelTxt",
        data_prefix: dict | None = None,
        difficult: str = "keep",
        difficult_from: int = 1,
        rect: str = "edge",
        allow_missing_tiles: bool = False,
        metainfo: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if difficult not in DIFFICULT_CHOICES:
            raise UserError(f"difficult must be one of {', '.join(DIFFICULT_CHOICES)}, got {difficult!r}")
        if rect not in RECT_CHOICES:
            raise UserError(f"rect must be one of {', '.join(RECT_CHOICES)}, got {rect!r}")
        self.difficult, self.difficult_from, self.rect = difficult, difficult_from, rect
        self.allow_missing_tiles = allow_missing_tiles
        metainfo = dict(metainfo or {})
        class_names = resolve_classes(metainfo.get("classes", classes))
        palette = [PALETTE[i % len(PALETTE)] for i in range(len(class_names))]
        metainfo = {"palette": palette, **metainfo, "classes": class_names}
        super().__init__(
            *args, ann_file=ann_file, data_prefix=data_prefix or {"img_path": "images"}, metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Compare the tiles with the manifest of their split and read the label files.

        Two things are added to ``metainfo`` for the metric: the folders of the source images and labels, and ``notes``,
        the reasons why the AP on these tiles differs from the AP on the whole dataset.
        """
        manifest = find_manifest(self.data_root)
        self._metainfo["source_image_folders"] = list(manifest.image_folders)
        self._metainfo["source_label_folders"] = source_label_folders(self.data_root)  # only those that exist
        self._metainfo["missing_label_folders"] = [
            folder for folder in manifest.label_folders if not os.path.isdir(folder)
        ]
        pairs = pair_images_and_labels(self.data_prefix["img_path"], self.ann_file or None)
        notes = check_tiles(
            manifest, {image.stem for image, _ in pairs}, self.data_prefix["img_path"],
            allow_missing=self.allow_missing_tiles,
        )  # fmt: skip
        self._metainfo["notes"] = notes
        if self.test_mode:  # the notes concern AP, which training does not compute
            for note in notes:
                warn(note)
        first_image = pairs[0][0]
        # After a split with --whole-images, full images are intended.
        if not is_tile_name(first_image.stem) and not manifest.whole_images:
            warn(f"{first_image}: not the name of a tile. Run rotated-atss split if the images are large.")
        zero_area_objects: list[str] = []  # "path:line" of each object
        data_list = []
        for image, label_file in pairs:
            instances: list[dict] = []
            if label_file is not None:
                instances, zero_area_in_file = self._read_instances(label_file)
                zero_area_objects += zero_area_in_file
            data_list.append({"img_path": str(image), "img_id": image.stem, "instances": instances})
        if zero_area_objects:
            dropped = count_of(len(zero_area_objects), "object")
            warn(f"dropped {dropped} without area, the first at {zero_area_objects[0]}")
        return data_list

    def _read_instances(self, label_file: Path) -> tuple[list[dict], list[str]]:
        """Read the objects of a label file; also return ``path:line`` of each object dropped because it has no area."""
        class_names = self.metainfo["classes"]
        labels = read_labels(label_file, classes=class_names)
        if not len(labels):
            return [], []
        objects = to_tile_objects(labels, class_names, rect=self.rect)
        are_difficult = (objects.difficult >= self.difficult_from).tolist()
        instances = [
            {"bbox": box, "bbox_label": class_index, "ignore_flag": int(is_difficult and self.difficult == "ignore")}
            for box, class_index, is_difficult in zip(objects.boxes.tolist(), objects.labels.tolist(), are_difficult)
            if not (is_difficult and self.difficult == "drop")
        ]
        return instances, [f"{label_file}:{line}" for line in objects.without_area]

    def filter_data(self) -> list[dict]:
        """Drop tiles without objects from a training set if ``filter_empty_gt`` is set."""
        if self.test_mode or not (self.filter_cfg or {}).get("filter_empty_gt", False):
            return self.data_list
        filtered = [info for info in self.data_list if info["instances"]]
        if not filtered:
            raise UserError("no tile has an object", where=self.ann_file, hint="set filter_empty_gt=False")
        return filtered

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class index of each object of a tile, for dataset wrappers that balance classes."""
        return [instance["bbox_label"] for instance in self.get_data_info(idx)["instances"]]

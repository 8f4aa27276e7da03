"""Tiles of a split DOTA folder as MMEngine's dataset."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from rotated_atss.dota.classes import PALETTE, resolve_classes
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.tiles import is_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.png import decode_png
from rotated_atss.ops.boxes import poly_to_obb
from rotated_atss.ops.polygon_iou import polygon_areas

DIFFICULT_CHOICES = ("keep", "ignore", "drop")


@DATASETS.register_module()
class DOTADataset(BaseDataset):
    """A folder of tiles and, for training, a folder of label files of the same names; sorted by name.

    Args:
        classes: Version (``v1.0``, ``v1.5``, ``v2.0``), sequence of names, or file of names.
        ann_file: Folder of label files below ``data_root``; empty for a test set.
        data_prefix: ``img_path``, the folder of images below ``data_root``.
        difficult: What becomes of objects whose difficult flag is at least ``difficult_from``: ``keep`` them,
            ``ignore`` the priors in them, or ``drop`` them.
        difficult_from: 1 for all difficult ones, 2 for those that splitting truncated.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out tiles without objects in training; without it they train
            as background.
        kwargs: As MMEngine's ``BaseDataset``.
    """

    def __init__(
        self,
        *args,
        classes: str | Sequence[str] = "v1.0",
        ann_file: str = "labelTxt",
        data_prefix: dict | None = None,
        difficult: str = "keep",
        difficult_from: int = 1,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if difficult not in DIFFICULT_CHOICES:
            raise UserError(
                f"unknown treatment {difficult!r} of difficult objects", hint=f"choose {', '.join(DIFFICULT_CHOICES)}"
            )
        self.difficult, self.difficult_from = difficult, difficult_from
        metainfo = dict(metainfo or {})
        names = resolve_classes(metainfo.get("classes", classes))
        palette = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
        metainfo = {"palette": palette, **metainfo, "classes": names}
        super().__init__(
            *args, ann_file=ann_file, data_prefix=data_prefix or {"img_path": "images"}, metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        self._metainfo["source_labels"] = source_labels(self.data_root)
        pairs = pair_images_and_labels(self.data_prefix["img_path"], self.ann_file or None)
        if not is_tile_name(pairs[0][0].stem):
            told = f"{pairs[0][0]}: not named as a tile, so images are taken whole (raw ones want rotated-atss split)"
            print_log(told, logger="current", level=logging.WARNING)
        dropped: list[str] = []
        records = []
        for image, label in pairs:
            instances, flat = ([], []) if label is None else self._instances(label)
            dropped += flat
            records.append({"img_path": str(image), "img_id": image.stem, "instances": instances})
        if dropped:
            told = f"dropped {len(dropped)} objects without area, the first at {dropped[0]}"
            print_log(told, logger="current", level=logging.WARNING)
        return records

    def _instances(self, label: Path) -> tuple[list[dict], list[str]]:
        """The objects of one label file, and ``path:line`` of those that were dropped for having no area."""
        names = self.metainfo["classes"]
        labels = read_labels(label, classes=names)
        if not len(labels):
            return [], []
        sized = polygon_areas(labels.polygons) > 0
        hard = labels.difficult >= self.difficult_from
        wanted = sized & ~hard if self.difficult == "drop" else sized
        boxes = poly_to_obb(torch.from_numpy(labels.polygons[wanted])).numpy().astype(np.float32)
        ignored = hard[wanted] & (self.difficult == "ignore")
        classes = [names.index(name) for name, keep in zip(labels.names, wanted) if keep]
        instances = [
            {"bbox": box, "bbox_label": index, "ignore_flag": int(flag)}
            for box, index, flag in zip(boxes.tolist(), classes, ignored)
        ]
        return instances, [f"{label}:{number}" for number in labels.line_numbers[~sized].tolist()]

    def filter_data(self) -> list[dict]:
        if self.test_mode or not (self.filter_cfg or {}).get("filter_empty_gt", False):
            return self.data_list
        kept = [record for record in self.data_list if record["instances"]]
        if not kept:
            hint = "filter_empty_gt leaves out tiles without objects"
            raise UserError("no tile has an object, so none is left", where=self.ann_file, hint=hint)
        return kept

    def get_cat_ids(self, idx: int) -> list[int]:
        return [instance["bbox_label"] for instance in self.get_data_info(idx)["instances"]]


def source_labels(data_root: str | None) -> list[str]:
    """Label folders of the full images that the tiles below ``data_root`` were cut from, as the split's manifest
    records them.
    """
    manifest = Path(data_root or "") / "manifest.json"
    if not data_root or not manifest.is_file():
        return []
    try:
        folders = json.loads(manifest.read_text(encoding="utf-8")).get("folders", [])
        labels = [folder["labels"] for folder in folders if folder.get("labels")]
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise UserError(f"not a manifest of a split: {error}", where=manifest, hint="split again") from error
    return [folder for folder in labels if Path(folder).is_dir()]


@TRANSFORMS.register_module()
class LoadTile(LoadImageFromFile):
    """MMCV's loader, with one line for an image that cannot be read, and faster for plain colour PNGs."""

    def transform(self, results: dict) -> dict:
        hint = "split again or remove the tile"
        try:
            image = self._plain_png(results["img_path"])
            if image is not None:
                return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}
            with silent_opencv():
                return super().transform(results)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=results["img_path"], hint=hint) from error
        except (AssertionError, ValueError, cv2.error) as error:
            raise UserError("not a readable image, or cut short", where=results["img_path"], hint=hint) from error

    def _plain_png(self, path: str) -> np.ndarray | None:
        """The pixels as OpenCV reads them; None of another kind of file, or where another result is asked for."""
        if (self.color_type, self.imdecode_backend, self.file_client_args) != ("color", "cv2", None):
            return None
        image = decode_png(fileio.get(path, backend_args=self.backend_args))
        return image.astype(np.float32) if image is not None and self.to_float32 else image

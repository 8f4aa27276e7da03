"""Load image sizes and boxes of a dataset, scaled to the network's input size, without decoding the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmcv.image.geometric import rescale_size
from mmengine.config import Config
from torch import Tensor

from rotated_atss.coco.instances import category_ids, read_instances
from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.detection.registry import DATASETS
from rotated_atss.errors import UserError
from rotated_atss.io.image_header import read_header
from rotated_atss.ops.box_transforms import scale_obb


@dataclass(frozen=True)
class AssignmentInput:
    """Size and ground truth of an image in pixels of the network's input."""

    image_wh: tuple[int, int]  # after the pipeline's resizing
    gt_boxes: Tensor  # (G, 5) or (G, 4)
    gt_boxes_ignore: Tensor  # (I, 5) or (I, 4)


def load_records(cfg: Config, data: str | None) -> tuple[list[dict], list[dict]]:
    """Load one record per image of a config's training set, and return the records with the training pipeline.

    Args:
        cfg: A config with ``train_dataloader``.
        data: Data that replaces all datasets of the config. It is either a folder with the same layout as the
            ``data_root`` of the config's first dataset, or a COCO instances JSON. The images of a COCO JSON need not
            exist. If None, the datasets of the config are read.

    Returns:
        The records, and the configs of the pipeline's transforms. A record has either ``width`` and ``height`` in
        pixels or ``img_path``. It also has ``instances``, a list of dicts with ``bbox`` in pixels of the image and
        ``ignore_flag`` (0 or 1). If the config has several datasets, the records come from all of them, but the
        pipeline comes from the first dataset.

    Raises:
        UserError: The config has no training set, or the dataset cannot be read.

    Example:
        >>> import json, tempfile
        >>> image = {"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}
        >>> coco = {"images": [image], "categories": [{"id": 1, "name": "ship"}], "annotations": []}
        >>> dataset = dict(type="CocoInstancesDataset", metainfo=dict(classes=["ship"]))
        >>> cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     json_path = Path(folder, "a.json")
        ...     _ = json_path.write_text(json.dumps(coco))
        ...     records, pipeline = load_records(cfg, str(json_path))
        >>> records
        [{'width': 8, 'height': 6, 'instances': []}]
    """
    datasets = list(innermost_dataset_cfgs((cfg.get("train_dataloader") or {}).get("dataset")))
    if not datasets:
        raise UserError("this config has no train_dataloader", where=cfg.filename)
    first_dataset = datasets[0]
    pipeline = first_dataset.get("pipeline") or []
    if data is not None and Path(data).suffix == ".json":
        return _load_json_records(data, first_dataset), pipeline
    if data is not None:
        datasets = [{**first_dataset, "data_root": str(data)}]
    records = []
    for dataset in datasets:
        built = DATASETS.build({**dataset, "pipeline": []})
        records += [built.get_data_info(index) for index in range(len(built))]
    return records, pipeline


def _load_json_records(path: str, dataset: dict) -> list[dict]:
    coco = read_instances(path)
    metainfo = dataset.get("metainfo") or {}
    # a dataset config without classes uses the classes of its dataset type
    classes = metainfo.get("classes") or DATASETS.get(dataset["type"]).METAINFO["classes"]
    class_category_ids = set(category_ids(coco, classes))
    return [
        {
            "width": image.width,
            "height": image.height,
            "instances": [
                {"bbox": obj.box, "ignore_flag": int(obj.iscrowd)}
                for obj in coco.objects.get(image.id, ())
                if obj.category_id in class_category_ids
            ],
        }
        for image in coco.images
    ]


def build_assignment_input(record: dict, pipeline: Sequence[dict]) -> AssignmentInput:
    """Scale the boxes of an image by the factors by which the pipeline resizes the image; other transforms are skipped.

    Args:
        record: A record of :func:`load_records`.
        pipeline: The configs of the pipeline's transforms.

    Returns:
        The size and boxes of the resized image. If the record has no instances, the empty box tensors have 5 columns,
        even if the config uses horizontal boxes.

    Raises:
        UserError: The record has no size and the image cannot be read.

    Example:
        >>> record = dict(width=400, height=300, instances=[dict(bbox=[10, 20, 30, 40])])
        >>> build_assignment_input(record, [dict(type="Resize", scale=(800, 600), keep_ratio=True)]).gt_boxes
        tensor([[20., 40., 60., 80.]])
    """
    if "width" in record:
        width, height = record["width"], record["height"]
    else:
        width, height = _read_image_wh(record["img_path"])
    input_w, input_h = resized_wh((width, height), pipeline)
    ignored = torch.tensor([bool(instance.get("ignore_flag", 0)) for instance in record["instances"]], dtype=torch.bool)
    bboxes = [list(instance["bbox"]) for instance in record["instances"]]
    boxes = torch.tensor(bboxes, dtype=torch.float32) if bboxes else torch.zeros(0, 5)
    scale_x, scale_y = input_w / width, input_h / height
    if boxes.shape[1] == 5:
        boxes = scale_obb(boxes, (scale_x, scale_y))
    else:
        boxes = boxes * boxes.new_tensor((scale_x, scale_y, scale_x, scale_y))
    return AssignmentInput((input_w, input_h), boxes[~ignored], boxes[ignored])


def resized_wh(image_wh: tuple[int, int], pipeline: Sequence[dict]) -> tuple[int, int]:
    """Compute the size that an image has after the pipeline has resized it.

    Only the first transform that resizes is considered. If this transform chooses its scale at random, a scale in the
    middle of the possible scales is used.

    Args:
        image_wh: Width and height in pixels before the resizing.
        pipeline: The configs of the pipeline's transforms.

    Returns:
        Width and height in pixels after the resizing.

    Example:
        >>> resized_wh((400, 300), [dict(type="Resize", scale=(1024, 1024), keep_ratio=True)])
        (1024, 768)
    """
    for transform in pipeline:
        if transform["type"] not in ("ResizeImage", "Resize", "RandomResize", "RandomChoiceResize"):
            continue
        if transform.get("scale_factor"):
            return rescale_size(image_wh, float(transform["scale_factor"]))
        scale = _middle_scale(transform.get("scales") or transform["scale"])
        return rescale_size(image_wh, scale) if transform.get("keep_ratio") else scale
    return image_wh


def _middle_scale(scales: Sequence) -> tuple[int, int]:
    """Return a single (w, h) scale unchanged, the mean of two scales, or the median of three or more scales.

    Two scales can be the ends of the range of ``RandomResize``, so neither of them is typical.
    """
    if not isinstance(scales[0], (list, tuple)):
        return tuple(scales)
    ordered = sorted(tuple(scale) for scale in scales)
    if len(ordered) == 2:
        (low_w, low_h), (high_w, high_h) = ordered
        return (low_w + high_w) // 2, (low_h + high_h) // 2
    return ordered[len(ordered) // 2]


def _read_image_wh(path: str) -> tuple[int, int]:
    """Read the width and height of an image in pixels from the header of its file."""
    header = read_header(path)
    if header is None or not (header.width and header.height):
        raise UserError(
            "cannot read the image's size: the file is not an image, or it is damaged",
            where=path,
            hint="replace the image",
        )
    return header.width, header.height

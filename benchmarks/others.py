"""How supervision, sahi and ultralytics are asked to do a job of ours, and what they do that is another job.

Every adapter makes a package's input and returns what is to be timed, so that no conversion counts. None of them is
installed with rotated-atss; the caller has made sure that the package can be imported.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import read_labels
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb, obb_to_poly

SIZE, GAP = 1024, 200
CLASS_OFFSET = 7680  # ultralytics' own: what it shifts each class by

Job = Callable[[], Tensor]

# package -> module:name of what is called
NEEDS = {
    "supervision": ("supervision:oriented_box_iou_batch", "supervision:Detections"),
    "sahi": ("sahi.slicing:slice_image", "sahi.prediction:ObjectPrediction", "sahi.postprocess.combine:NMSPostprocess"),
    "ultralytics": (
        "ultralytics.utils.metrics:batch_probiou",
        "ultralytics.utils.nms:non_max_suppression",
        "ultralytics.utils.nms:TorchNMS",
        "ultralytics.data.split_dota:split_images_and_labels",
    ),
}
# package, job, why it is not measured
OTHER_JOBS = [
    ("sahi", "merging", "its postprocess compares upright boxes, those around an oriented model's boxes too"),
    ("sahi", "labels of tiles", "slice_coco cuts polygons at the tile's border; ours keeps or leaves whole objects"),
    ("ultralytics", "merging", "part of its validator, by the Fast NMS over probIoU measured here"),
    ("ultralytics", "evaluation", "matches by probIoU"),
    ("supervision", "splitting", "InferenceSlicer cuts in memory while it predicts and writes no files"),
    ("supervision", "merging", "InferenceSlicer calls the NMS measured here, in memory; it reads and writes no files"),
    ("supervision", "evaluation", "COCO's average precision at 101 recalls, not DOTA's"),
]


# -- IoU of all pairs: (N, 5) and (M, 5) boxes -> (N, M) ---------------------------------------------------------------


def supervision_iou(first: Tensor, second: Tensor) -> Job:
    """The exact intersection of polygons in OpenCV, a pair at a time; corners in float64, as precise as it takes."""
    iou = import_module("supervision").oriented_box_iou_batch
    polygons = [obb_to_corners(boxes.double()).numpy() for boxes in (first, second)]
    return lambda: torch.from_numpy(iou(*polygons))


def ultralytics_iou(first: Tensor, second: Tensor) -> Job:
    """probIoU: the likeness of two Gaussians, which is no ratio of areas."""
    iou = import_module("ultralytics.utils.metrics").batch_probiou
    return lambda: iou(first, second)


# -- NMS within each class: (N, 5) boxes, (N,) scores, (N,) labels -> indices of the kept ------------------------------


def supervision_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Job:
    detections = import_module("supervision").Detections(
        xyxy=obb_to_hbb(boxes).numpy(), confidence=scores.numpy(), class_id=labels.numpy(),
        data={"xyxyxyxy": obb_to_corners(boxes.double()).numpy(), "index": torch.arange(len(boxes)).numpy()},
    )  # fmt: skip
    return lambda: torch.from_numpy(detections.with_nms(threshold).data["index"])


def ultralytics_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Job:
    """What its oriented models call: probIoU, and Fast NMS, in which a suppressed box still suppresses others."""
    suppress = import_module("ultralytics.utils.nms").non_max_suppression
    number, classes = len(boxes), int(labels.max()) + 1
    by_class = torch.zeros(number, classes).scatter_(1, labels[:, None], scores[:, None])
    prediction = torch.cat((boxes[:, :4], by_class, boxes[:, 4:]), 1).T[None].contiguous()
    told = dict(conf_thres=0.0, iou_thres=threshold, nc=classes, rotated=True, max_det=number, max_nms=number)
    told["max_time_img"] = 600.0  # seconds after which it would warn
    return lambda: suppress(prediction, **told, return_idxs=True)[1][0]


def fast_nms_of_areas(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Ultralytics' Fast NMS given the IoU of areas in float64: its mistakes are the rule's alone."""
    fast_nms = import_module("ultralytics.utils.nms").TorchNMS.fast_nms
    apart = boxes.double()
    apart[:, :2] += labels[:, None] * CLASS_OFFSET
    return fast_nms(apart, scores, threshold, iou_func=rotated_iou)


def sahi_keeps_of_two_ships() -> dict[str, int]:
    """Two ships side by side at 45 degrees, IoU 0: how many sahi's NMS and ours keep of them."""
    boxes = torch.tensor([[100.0, 100, 80, 20, math.pi / 4], [120.0, 80, 80, 20, math.pi / 4]])
    scores = torch.tensor([0.9, 0.8])
    prediction, combine = import_module("sahi.prediction"), import_module("sahi.postprocess.combine")
    hulls, polygons = obb_to_hbb(boxes).tolist(), obb_to_poly(boxes).tolist()
    told = dict(category_id=0, full_shape=[256, 256])
    ships = [
        prediction.ObjectPrediction(bbox=hull, segmentation=[polygon], score=score, **told)
        for hull, polygon, score in zip(hulls, polygons, scores.tolist())
    ]
    kept = combine.NMSPostprocess(match_threshold=0.1, match_metric="IOU")(ships)
    return {"ours": len(rotated_nms(boxes, scores, torch.zeros(2, dtype=torch.int64), 0.1)), "sahi": len(kept)}


# -- splitting files at 1024/200: what is to be timed ------------------------------------------------------------------


def ultralytics_split(data: Path, out: Path) -> Callable[[], None]:
    """One process: it has no setting for more. ``data`` is in :func:`yolo_layout`."""
    split = import_module("ultralytics.data.split_dota").split_images_and_labels

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            split(str(data), str(out), "train", (SIZE,), (GAP,))

    return run


def sahi_split(images: Path, out: Path, threads: int) -> Callable[[], None]:
    """Images alone; ``threads`` write tiles while one reads (by default two a core)."""
    slicing = import_module("sahi.slicing")
    slicing.MAX_WORKERS = threads
    windows: dict[str, Any] = dict(slice_height=SIZE, slice_width=SIZE, out_ext=".png")
    windows |= dict(overlap_height_ratio=GAP / SIZE, overlap_width_ratio=GAP / SIZE)

    def run() -> None:
        for path in list_images(images):
            slicing.slice_image(image=str(path), output_file_name=path.stem, output_dir=str(out), **windows)

    return run


def yolo_layout(data: Path, folder: Path, classes: tuple[str, ...]) -> Path:
    """``images/`` and ``labelTxt/`` of ``data`` as ultralytics reads them: ``images/train``, and ``labels/train`` with
    the number of the class and corners as shares of the image's sides.
    """
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    for path in list_images(data / "images"):
        (folder / "images/train" / path.name).symlink_to(path.resolve())
        height, width = cv2.imread(str(path)).shape[:2]
        labels = read_labels(data / "labelTxt" / f"{path.stem}.txt")
        shares = labels.polygons.reshape(-1, 4, 2) / (width, height)
        lines = [
            " ".join(map(str, [classes.index(name), *share]))
            for name, share in zip(labels.names, shares.reshape(-1, 8).tolist())
        ]
        (folder / "labels/train" / f"{path.stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder

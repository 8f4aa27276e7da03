"""Adapters to supervision, sahi and ultralytics: IoU, NMS and splitting, and the tasks that are not comparable.

Every adapter prepares a package's input and returns the call to time, so that no conversion is timed. None of the
packages is installed with rotated-atss; the caller has checked that the package can be imported.
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
CLASS_OFFSET = 7680  # in pixels per class, as in ultralytics

Call = Callable[[], Tensor]

# package -> module:name of the functions in use
REQUIRED = {
    "supervision": ("supervision:oriented_box_iou_batch", "supervision:Detections"),
    "sahi": ("sahi.slicing:slice_image", "sahi.prediction:ObjectPrediction", "sahi.postprocess.combine:NMSPostprocess"),
    "ultralytics": (
        "ultralytics.utils.metrics:batch_probiou",
        "ultralytics.utils.nms:non_max_suppression",
        "ultralytics.utils.nms:TorchNMS",
        "ultralytics.data.split_dota:split_images_and_labels",
    ),
}
# package, task, reason
NOT_COMPARABLE = [
    ("sahi", "merging", "postprocessing compares axis-aligned boxes, also for an oriented model"),
    ("sahi", "labels of tiles",
     "slice_coco clips polygons at the tile border; rotated-atss keeps or drops whole objects"),
    ("ultralytics", "merging", "part of the validator, with the Fast NMS over probIoU measured above"),
    ("ultralytics", "evaluation", "matches by probIoU"),
    ("supervision", "splitting", "InferenceSlicer crops in memory during prediction and writes no files"),
    ("supervision", "merging",
     "InferenceSlicer calls the NMS measured above in memory; it reads and writes no files"),
    ("supervision", "evaluation", "COCO's average precision at 101 recalls, not DOTA's metric"),
]  # fmt: skip


def supervision_iou(first: Tensor, second: Tensor) -> Call:
    """Return the (N, M) IoU of all pairs by OpenCV's polygon intersection, with corners in float64."""
    iou = import_module("supervision").oriented_box_iou_batch
    polygons = [obb_to_corners(boxes.double()).numpy() for boxes in (first, second)]
    return lambda: torch.from_numpy(iou(*polygons))


def ultralytics_iou(first: Tensor, second: Tensor) -> Call:
    """Return the (N, M) probIoU of all pairs, a similarity of Gaussians instead of a ratio of areas."""
    iou = import_module("ultralytics.utils.metrics").batch_probiou
    return lambda: iou(first, second)


def supervision_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Call:
    """Return the kept indices of class-wise NMS."""
    detections = import_module("supervision").Detections(
        xyxy=obb_to_hbb(boxes).numpy(), confidence=scores.numpy(), class_id=labels.numpy(),
        data={"xyxyxyxy": obb_to_corners(boxes.double()).numpy(), "index": torch.arange(len(boxes)).numpy()},
    )  # fmt: skip
    return lambda: torch.from_numpy(detections.with_nms(threshold).data["index"])


def ultralytics_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Call:
    """Return the kept indices of Fast NMS over probIoU, as oriented models call it."""
    suppress = import_module("ultralytics.utils.nms").non_max_suppression
    settings = dict(conf_thres=0.0, iou_thres=threshold, nc=int(labels.max()) + 1, rotated=True)
    settings |= dict(max_det=len(boxes), max_nms=len(boxes), max_time_img=600.0)  # seconds before a warning
    prediction = ultralytics_prediction(boxes, scores, labels)
    return lambda: suppress(prediction, **settings, return_idxs=True)[1][0]


def ultralytics_prediction(boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Arrange detections as ultralytics' head does: (1, 4 + classes + 1, N), centers and sides, scores, angles."""
    by_class = torch.zeros(len(boxes), int(labels.max()) + 1).scatter_(1, labels[:, None], scores[:, None])
    return torch.cat((boxes[:, :4], by_class, boxes[:, 4:]), 1).T[None].contiguous()


def fast_nms_of_areas(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Return the kept indices of ultralytics' Fast NMS with the IoU of areas, to isolate the effect of its rule."""
    fast_nms = import_module("ultralytics.utils.nms").TorchNMS.fast_nms
    offset = boxes.double()
    offset[:, :2] += labels[:, None] * CLASS_OFFSET
    return fast_nms(offset, scores, threshold, iou_func=rotated_iou)


def kept_of_two_ships() -> dict[str, int]:
    """Count the detections that both keep of two ships side by side at 45 degrees with IoU 0."""
    boxes = torch.tensor([[100.0, 100, 80, 20, math.pi / 4], [120.0, 80, 80, 20, math.pi / 4]])
    scores = torch.tensor([0.9, 0.8])
    prediction, combine = import_module("sahi.prediction"), import_module("sahi.postprocess.combine")
    ships = [
        prediction.ObjectPrediction(bbox=hbb, segmentation=[poly], score=score, category_id=0, full_shape=[256, 256])
        for hbb, poly, score in zip(obb_to_hbb(boxes).tolist(), obb_to_poly(boxes).tolist(), scores.tolist())
    ]
    kept = combine.NMSPostprocess(match_threshold=0.1, match_metric="IOU")(ships)
    own = rotated_nms(boxes, scores, torch.zeros(2, dtype=torch.int64), 0.1)
    return {"rotated_atss": len(own), "sahi": len(kept)}


def ultralytics_split(data: Path, out: Path) -> Callable[[], None]:
    """Return the split of ``data`` in :func:`yolo_layout`, which runs in one process."""
    split = import_module("ultralytics.data.split_dota").split_images_and_labels

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            split(str(data), str(out), "train", (SIZE,), (GAP,))

    return run


def sahi_split(images: Path, out: Path, threads: int) -> Callable[[], None]:
    """Return the split of images without labels; ``threads`` write tiles while one reads."""
    slicing = import_module("sahi.slicing")
    slicing.MAX_WORKERS = threads
    windows: dict[str, Any] = dict(slice_height=SIZE, slice_width=SIZE, out_ext=".png")
    windows |= dict(overlap_height_ratio=GAP / SIZE, overlap_width_ratio=GAP / SIZE)

    def run() -> None:
        for path in list_images(images):
            slicing.slice_image(image=str(path), output_file_name=path.stem, output_dir=str(out), **windows)

    return run


def yolo_layout(data: Path, folder: Path, classes: tuple[str, ...]) -> Path:
    """Convert ``images`` and ``labelTxt`` to ``images/train`` and ``labels/train`` as ultralytics reads them.

    A label line holds the class index and the corners as fractions of the image's sides.
    """
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    for path in list_images(data / "images"):
        (folder / "images/train" / path.name).symlink_to(path.resolve())
        height, width = cv2.imread(str(path)).shape[:2]
        labels = read_labels(data / "labelTxt" / f"{path.stem}.txt")
        corners = (labels.polygons.reshape(-1, 4, 2) / (width, height)).reshape(-1, 8).tolist()
        lines = [" ".join(map(str, [classes.index(name), *row])) for name, row in zip(labels.names, corners)]
        (folder / "labels/train" / f"{path.stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder

"""Adapters to supervision, sahi and ultralytics: IoU, NMS and splitting.

Every adapter prepares a package's input and returns the call to time, so that no conversion is timed. None of the
packages is installed with rotated-atss; the caller has checked that the package can be imported.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.bench_split import GAP, SIZE
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.folders import list_images
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb

PACKAGES = ("supervision", "sahi", "ultralytics")

Call = Callable[[], Tensor]


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
    overlap = dict(overlap_height_ratio=GAP / SIZE, overlap_width_ratio=GAP / SIZE)
    settings = dict(slice_height=SIZE, slice_width=SIZE, output_dir=str(out), out_ext=".png", **overlap)

    def run() -> None:
        for path in list_images(images):
            slicing.slice_image(image=str(path), output_file_name=path.stem, **settings)

    return run


def yolo_layout(data: Path, folder: Path) -> Path:
    """Convert ``images`` and ``labelTxt`` to ``images/train`` and ``labels/train`` as ultralytics reads them."""
    labels = folder / "labels"
    convert_labels(data / "labelTxt", labels, "yolo-obb", images=data / "images", classes=CLASSES["v2.0"])
    (labels / "labels").rename(labels / "train")
    (folder / "images").mkdir()
    (folder / "images/train").symlink_to((data / "images").resolve())
    return folder

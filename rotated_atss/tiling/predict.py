"""Detections on images of any size: a detector on batches of windows, its boxes moved back to the image and merged.

The windows are those of ``rotated-atss split`` and the merging is that of ``rotated-atss test``, so that a prediction
is what splitting, testing and merging give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from rotated_atss.errors import UserError
from rotated_atss.io.images import read_image
from rotated_atss.io.png import Image
from rotated_atss.io.progress import progress_bar
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_hbb
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes
from rotated_atss.tiling.split_image import crop_window
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

WHOLE_IMAGE = 0  # as a window's size: the image is given to the detector in one piece
_ID = "image"  # inside, so that an image that is itself named as a tile is not moved

# Category ids that COCO's 80 classes leave out of 1 to 90.
_COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
_COCO_EDGES = ("person", "toothbrush")


class Detector(Protocol):
    """What :func:`predict_image` calls."""

    def __call__(self, tiles: list[Image], /) -> Sequence[tuple[Tensor, Tensor, Tensor]]:
        """Tiles (H, W, 3), uint8, BGR, to the boxes, scores (K,) and class indices (K,) of each.

        Boxes are in pixels of the tile: (K, 5) ``cx, cy, w, h, angle``, or (K, 4) ``x1, y1, x2, y2``.
        """


@dataclass(frozen=True)
class Tiling:
    """How an image is cut for a detector, and how the pieces' detections are merged.

    Raises:
        UserError: A value out of its range.
    """

    size: int = 1024  # side of the windows, pixels, or WHOLE
    gap: int = 200  # overlap of neighbouring windows, pixels
    batch_size: int = 4  # windows at a time
    iou_threshold: float = 0.1  # a box goes when it overlaps a better one of its class by more

    def __post_init__(self) -> None:
        if self.size != WHOLE_IMAGE:
            self.settings()
        if self.batch_size < 1:
            raise UserError(f"at least 1 window at a time, not {self.batch_size}", hint="--batch")
        if not 0 <= self.iou_threshold <= 1:
            raise UserError(f"the IoU threshold lies between 0 and 1, not at {self.iou_threshold}")

    def settings(self) -> SplitSettings:
        """The same as a split's."""
        return SplitSettings(sizes=(self.size,), gaps=(self.gap,))


def predict_image(
    detector: Detector,
    image: Image | str | Path,
    *,
    size: int | None = None,
    gap: int = 200,
    batch_size: int = 4,
    iou_threshold: float | None = None,
    name: str | None = None,
    progress: bool | None = False,
) -> BoxDetections:
    """Detect on one image of any size that fits in memory.

    Beside the image only the windows of one batch are held.

    Args:
        detector: A detector of :func:`rotated_atss.detection.engine.inference.load_detector`, or any callable like
            :class:`Detector`.
        image: A file, or (H, W, 3), uint8, BGR.
        size: Side of the windows, pixels; 0 gives the detector the whole image. None: what the detector prefers
            (its attribute ``size``), else 1024. Windows past the image's border are filled as ``split`` fills them.
        gap: Overlap of neighbouring windows, pixels.
        batch_size: Windows at a time.
        iou_threshold: For merging, a class at a time, what several windows saw. None: the detector's
            (``iou_threshold``), else 0.1.
        name: The image's id; None takes the file's name without suffix.
        progress: Show a bar of the windows; None shows it on a terminal.

    Returns:
        Boxes (K, 5) float64 in pixels of the image, scores and class indices, best first, on the CPU. Horizontal boxes
        have the angle 0, ``w`` along x.

    Raises:
        UserError: An image that cannot be read, or a setting out of its range.
    """
    tiling = resolve_tiling(detector, size, gap, batch_size, iou_threshold)
    if isinstance(image, (str, Path)):
        pixels, name = read_image(image), Path(image).stem if name is None else name
    else:
        pixels, name = _checked(image), _ID if name is None else name
    if tiling.size == WHOLE_IMAGE:
        (found,) = _detect(detector, [pixels], [_ID])
        best = found.scores.argsort(descending=True, stable=True)
        return BoxDetections(name, found.boxes[best], found.scores[best], found.labels[best])
    tiles = merge_boxes(_on_windows(detector, pixels, tiling, progress), tiling.iou_threshold)
    return replace(tiles[0], name=name)


def resolve_tiling(
    detector: Detector, size: int | None = None, gap: int = 200, batch_size: int = 4, iou_threshold: float | None = None
) -> Tiling:
    """The tiling asked for, what is None as the detector prefers it."""
    size = getattr(detector, "size", Tiling.size) if size is None else size
    if iou_threshold is None:
        iou_threshold = getattr(detector, "iou_threshold", Tiling.iou_threshold)
    return Tiling(size, gap, batch_size, iou_threshold)


def to_coco_results(images: Iterable[BoxDetections], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Detections in COCO's results format; of oriented boxes the circumscribed horizontal ones.

    An image's id is its name, as a number where it is one (000000000139 is 139). Category ids are COCO's for its 80
    classes, else 1, 2, ... in the order of the classes.
    """
    ids = _category_ids(classes)
    results = []
    for image in images:
        number = int(image.name) if image.name.isascii() and image.name.isdigit() else image.name
        scores = image.scores.numpy().astype(np.str_).tolist()  # the fewest digits that still mean the same float
        for box, score, label in zip(obb_to_hbb(image.boxes).tolist(), scores, image.labels.tolist()):
            bbox = [round(value, 2) for value in (box[0], box[1], box[2] - box[0], box[3] - box[1])]
            results.append({"image_id": number, "category_id": ids[label], "bbox": bbox, "score": float(score)})
    return results


def _category_ids(classes: Sequence[str]) -> list[int]:
    if len(classes) == 80 and (classes[0], classes[-1]) == _COCO_EDGES:
        return [number for number in range(1, 91) if number not in _COCO_GAPS]
    return list(range(1, len(classes) + 1))


def _on_windows(detector: Detector, image: Image, tiling: Tiling, progress: bool | None) -> Iterator[BoxDetections]:
    """Detections of every window under its tile's name, in the order of the names, as a data set reads them."""
    settings = tiling.settings()
    windows = sliding_windows(image.shape[1], image.shape[0], settings.grids(), settings.image_ratio).tolist()
    named = sorted((settings.tile_name(_ID, 1, window), window) for window in windows)
    with progress_bar(total=len(named), desc="windows", unit="window", leave=False, show=progress) as bar:
        for start in range(0, len(named), tiling.batch_size):
            names, areas = zip(*named[start : start + tiling.batch_size])
            yield from _detect(detector, [crop_window(image, area, settings.padding) for area in areas], names)
            bar.update(len(names))


def _detect(detector: Detector, tiles: list[Image], names: Sequence[str]) -> list[BoxDetections]:
    """One call of the detector, its results named, on the CPU and oriented."""
    results = detector(tiles)
    if len(results) != len(tiles):
        raise ValueError(f"the detector gave {len(results)} results for {len(tiles)} tiles")
    found = []
    for name, (boxes, scores, labels) in zip(names, results):
        boxes = boxes.detach().cpu().double()
        boxes = hbb_to_obb(boxes) if boxes.shape[-1] == 4 else boxes
        found.append(BoxDetections(name, boxes, scores.detach().cpu(), labels.detach().cpu()))
    return found


def _checked(image: Image) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        given = f"{image.shape} of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image is (H, W, 3) of uint8, BGR, not {given}")
    if 0 in image.shape:
        raise UserError(f"an image without pixels: {image.shape}")
    return image

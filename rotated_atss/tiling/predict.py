"""Detect objects in images of any size: run a detector on sliding windows and merge its boxes on the image.

The windows are chosen as in ``rotated-atss split``, and the boxes are merged as in ``rotated-atss test``. A prediction
therefore gives the same detections as these commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.interop.arrays import as_array
from rotated_atss.io.image_reader import ArrayReader, ImageReader, PixelOptions, open_image
from rotated_atss.io.png import Image
from rotated_atss.io.progress import progress_bar
from rotated_atss.io.resampled_reader import ResampledReader
from rotated_atss.ops.box_arrays import as_obbs, scale_obbs
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD
from rotated_atss.tiling.row_bands import iter_row_bands
from rotated_atss.tiling.split_image import crop_window
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

WHOLE_IMAGE = 0
"""Window size with which the detector gets the whole image."""
# The tile names of the windows contain this image id. A name given by the caller could itself be a tile name.
_IMAGE_ID = "image"


class Detector(Protocol):
    """Interface of a detector for :func:`predict_image`."""

    def __call__(self, tiles: list[Image], /) -> Sequence[tuple[Any, Any, Any]]:
        """Detect objects on tiles.

        Args:
            tiles: Images (H, W, 3), uint8, BGR.

        Returns:
            Boxes, scores (K,) and class indices (K,) per tile, as NumPy arrays or as tensors of torch on any device.
            Boxes are in pixels of the tile: (K, 5) ``cx, cy, w, h, angle``, or (K, 4) ``x1, y1, x2, y2``.
        """


@dataclass(frozen=True)
class Tiling:
    """Settings for predicting on sliding windows and merging the detections.

    Attributes:
        size: Side of the windows, pixels, or ``WHOLE_IMAGE``.
        gap: Overlap of neighboring windows, pixels; None for ``size * 200 / 1024``.
        batch_size: Windows per call of the detector.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box of their class exceeds this value are suppressed.

    Raises:
        UserError: A value is out of range.

    Example:
        >>> Tiling(size=512, gap=100).split_settings().grids()
        [(512, 100)]
    """

    size: int = 1024
    gap: int | None = None
    batch_size: int = 4
    iou_threshold: float = IOU_THRESHOLD

    def __post_init__(self) -> None:
        if self.size != WHOLE_IMAGE:
            self.split_settings()
        if self.batch_size < 1:
            raise UserError(f"the batch size must be at least 1, got {self.batch_size}", hint="change --batch")
        if not 0 <= self.iou_threshold <= 1:
            raise UserError(f"the IoU threshold must be in [0, 1], got {self.iou_threshold}")

    def split_settings(self) -> SplitSettings:
        """Return the settings of a split with the same windows."""
        return SplitSettings(sizes=(self.size,), gaps=() if self.gap is None else (self.gap,))


def predict_image(
    detector: Detector,
    image: Image | str | Path | ImageReader,
    *,
    size: int | None = None,
    gap: int | None = None,
    batch_size: int = 4,
    iou_threshold: float | None = None,
    name: str | None = None,
    rate: float = 1.0,
    progress: bool | None = False,
) -> BoxDetections:
    """Detect objects in one image of any size.

    The rows of a large image are read from top to bottom, each once. Only the pixels of one row of windows, the windows
    of one batch, and all detections are in memory.

    Args:
        detector: A detector that :func:`rotated_atss.detection.engine.inference.load_detector` returned, or any other
            callable with the interface of :class:`Detector`.
        image: A file, an open reader, or (H, W, 3), uint8, BGR. Files that are not 8-bit are converted as the
            detector's attribute ``pixels`` specifies (:class:`rotated_atss.io.pixel_options.PixelOptions`).
        size: Side of the windows, pixels; 0 passes the whole image to the detector. None uses the detector's attribute
            ``size``, or 1024. Windows beyond the border are padded as by ``rotated-atss split``.
        gap: Overlap of neighboring windows, pixels. None uses the detector's attribute ``gap``, limited to half the
            size. If the detector does not have this attribute, None uses ``size * 200 / 1024``.
        batch_size: Windows per call of the detector.
        iou_threshold: IoU threshold of the class-wise NMS over the detections of all windows. None uses the detector's
            attribute ``iou_threshold``, or 0.1.
        name: Image id; None uses the file name without its suffix, or ``image`` for an array.
        rate: Resample the image by this factor before it is divided into windows, for example to the ground resolution
            of the training images. The boxes are in pixels of the given image.
        progress: Show a progress bar over the windows; None shows it on a terminal.

    Returns:
        Boxes (K, 5) float64 in pixels of the image, scores (K,) and class indices (K,) as NumPy arrays, in descending
        order of score. Horizontal boxes have angle 0, with ``w`` along x.

    Raises:
        UserError: The image is unreadable, or a setting is out of range.

    Example:
        >>> import numpy as np
        >>> box = np.array([[30.0, 20, 12, 6, 0]])
        >>> def detector(tiles):
        ...     return [(box, np.array([0.5]), np.array([0])) for _ in tiles]
        >>> predict_image(detector, np.zeros((64, 64, 3), np.uint8), size=64, gap=0).boxes.tolist()
        [[30.0, 20.0, 12.0, 6.0, 0.0]]
    """
    tiling = resolve_tiling(detector, size, gap, batch_size, iou_threshold)
    if isinstance(image, (str, Path)):
        with open_image(image, getattr(detector, "pixels", PixelOptions())) as reader:
            return _predict_at_rate(detector, reader, tiling, name, rate, progress)
    reader = image if isinstance(image, ImageReader) else ArrayReader(_check_image(image))
    return _predict_at_rate(detector, reader, tiling, name, rate, progress)


def resolve_tiling(
    detector: Detector,
    size: int | None = None,
    gap: int | None = None,
    batch_size: int = 4,
    iou_threshold: float | None = None,
) -> Tiling:
    """Replace unset settings of a prediction with the attributes of the detector, or with defaults if it has none.

    Args:
        detector: The detector; its attributes ``size``, ``gap`` and ``iou_threshold`` can be missing.
        size: As for :func:`predict_image`.
        gap: As for :func:`predict_image`.
        batch_size: As for :func:`predict_image`.
        iou_threshold: As for :func:`predict_image`.

    Raises:
        UserError: A setting is out of range.

    Example:
        >>> resolve_tiling(lambda tiles: [], size=512).size
        512
    """
    size = getattr(detector, "size", Tiling.size) if size is None else size
    detector_gap = getattr(detector, "gap", None)
    if gap is None and detector_gap is not None:
        # The gap depends on the size of the objects, so it is not scaled with the size of the windows. It is limited to
        # half a window, because a larger gap would multiply the number of windows.
        gap = min(detector_gap, size // 2)
    if iou_threshold is None:
        iou_threshold = getattr(detector, "iou_threshold", Tiling.iou_threshold)
    return Tiling(size, gap, batch_size, iou_threshold)


def _predict_at_rate(
    detector: Detector, image: ImageReader, tiling: Tiling, name: str | None, rate: float, progress: bool | None
) -> BoxDetections:
    """Detect objects in the image resampled by ``rate``, and return boxes in pixels of the given image."""
    if rate == 1:
        return _predict(detector, image, tiling, name, progress)
    detections = _predict(detector, ResampledReader(image, rate), tiling, name, progress)
    return replace(detections, boxes=scale_obbs(detections.boxes, (1 / rate, 1 / rate)))


def _predict(
    detector: Detector, image: ImageReader, tiling: Tiling, name: str | None, progress: bool | None
) -> BoxDetections:
    if tiling.size == WHOLE_IMAGE:  # no merge is needed, but the order must be that of merge_boxes: by descending score
        (unsorted,) = detect_on_tiles(detector, [image.read()], [_IMAGE_ID])
        detections = unsorted.take(np.argsort(-unsorted.scores, kind="stable"))
    else:
        # merge_boxes returns detections on one image, because all tile names contain the same image id
        (detections,) = merge_boxes(_detect_on_windows(detector, image, tiling, progress), tiling.iou_threshold)
    return replace(detections, name=image.path.stem if name is None else name)


def _detect_on_windows(
    detector: Detector, image: ImageReader, tiling: Tiling, progress: bool | None
) -> Iterator[BoxDetections]:
    """Yield the detections on each window, from top to bottom, with the tile name of the window."""
    settings = tiling.split_settings()
    windows = sliding_windows(image.width, image.height, settings.grids(), settings.image_ratio, where=image.path)
    windows = windows[np.lexsort((windows[:, 0], windows[:, 1]))]  # by top edge, then by left edge
    tiles = _iter_tiles(image, windows, settings)
    with progress_bar(total=len(windows), desc="windows", unit="window", leave=False, show=progress) as bar:
        while batch := dict(islice(tiles, tiling.batch_size)):  # tile name -> pixels
            yield from detect_on_tiles(detector, list(batch.values()), list(batch))
            bar.update(len(batch))


def _iter_tiles(image: ImageReader, windows: NDArray[np.int64], settings: SplitSettings) -> Iterator[tuple[str, Image]]:
    """Yield the tile name and the pixels of every window ``x_start, y_start, x_stop, y_stop``."""
    for indices, band in iter_row_bands(image, windows):
        for window in windows[indices].tolist():
            x_start, y_start, x_stop, y_stop = window
            # the band returns only the part of the window inside the image; crop_window pads it to the full size
            pixels = crop_window(band.crop(window), [0, 0, x_stop - x_start, y_stop - y_start], settings.padding)
            yield settings.tile_name(_IMAGE_ID, rate=1, window=window), pixels


def detect_on_tiles(detector: Detector, tiles: list[Image], names: Sequence[str]) -> list[BoxDetections]:
    """Call a detector and return named detections, with oriented boxes in float64.

    Args:
        detector: The detector.
        tiles: Images (H, W, 3), uint8, BGR.
        names: Names of the tiles.

    Raises:
        ValueError: The number of results of the detector differs from the number of tiles.

    Example:
        >>> hbb = np.array([[7.0, 18.0, 13.0, 22.0]])
        >>> def detector(tiles):
        ...     return [(hbb, np.array([0.5]), np.array([0])) for _ in tiles]
        >>> detect_on_tiles(detector, [np.zeros((64, 64, 3), np.uint8)], ["a"])[0].boxes.tolist()
        [[10.0, 20.0, 6.0, 4.0, 0.0]]
    """
    results = detector(tiles)
    if len(results) != len(tiles):
        raise ValueError(
            f"a detector must return one result per tile, got {len(results)} results for {len(tiles)} tiles"
        )
    detections = []
    for name, (boxes, scores, labels) in zip(names, results):
        obbs = as_obbs(as_array(boxes).astype(np.float64))
        detections.append(BoxDetections(name, obbs, as_array(scores), as_array(labels).astype(np.int64)))
    return detections


def _check_image(image: Image) -> Image:
    if not isinstance(image, np.ndarray):
        raise UserError(f"the image must be uint8 of shape (H, W, 3), got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"the image must be uint8 of shape (H, W, 3), got {image.dtype} of {image.shape}")
    if 0 in image.shape:
        raise UserError(f"the image must have at least one pixel, got shape {image.shape}")
    return image

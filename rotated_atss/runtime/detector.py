"""Detectors from exported graphs, for :func:`rotated_atss.tiling.predict.predict_image`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from rotated_atss.checkpoints.graph_info import BOXES, CLASS_SCORES, SCORES, GraphInfo, read_graph_info
from rotated_atss.checkpoints.model_info import ModelInfo, Preprocessing, read_info
from rotated_atss.errors import UserError
from rotated_atss.io.onnx_metadata import read_onnx_metadata
from rotated_atss.io.png import Image
from rotated_atss.ops.box_transforms import clamp_centers, rescale_inclusive_boxes, scale_obb
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_hbb
from rotated_atss.ops.candidates import Candidates, best_candidates, image_slices, suppress_candidates
from rotated_atss.runtime.session import RUNTIME_NAMES, RUNTIMES, Array, Session, open_fastest_session, open_session

FASTEST = "fastest"
_TIMED_SIDE = 512  # pixels, of models without windows

Rescale = Callable[[Tensor, tuple[float, float]], Tensor]


class GraphDetector:
    """A detector on tiles (H, W, 3), uint8, BGR: a :class:`rotated_atss.tiling.predict.Detector`.

    Its detections are those of the model in torch up to rounding.

    Args:
        session: The loaded graph.
        info: The record of the model.
        graph: The record of the graph.

    Attributes:
        classes: Class names in the order of the class indices.
        size: Default window side of ``predict_image``, pixels.
        gap: Default overlap of windows, pixels.
        iou_threshold: Default IoU threshold for merging windows.
        pixels: Conversion of the pixels of images to 8-bit color.
    """

    def __init__(self, session: Session, info: ModelInfo, graph: GraphInfo) -> None:
        self.session, self.info, self.graph = session, info, graph
        self.classes, self.size, self.gap = info.classes, info.window.size, info.window.gap
        self.iou_threshold, self.pixels = info.thresholds.merge_iou, info.preprocessing.pixels

    @property
    def description(self) -> str:
        """Runtime and precision, as in ``ONNX Runtime, float32``."""
        return f"{RUNTIME_NAMES[self.session.runtime]}, {self.graph.precision}"

    def __call__(self, tiles: list[Image]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Detect on a batch of tiles.

        Args:
            tiles: Images (H, W, 3), uint8, BGR.

        Returns:
            Per tile: boxes (K, 5) or (K, 4) in pixels of the tile, scores (K,) and class indices (K,).

        Raises:
            UserError: There is too little memory, or the graph has a fixed input of another size.
        """
        images, sizes = prepare_batch(tiles, self.info.preprocessing)
        outputs = {name: torch.from_numpy(array) for name, array in self.session.run(images).items()}
        scales = [(w / tile.shape[1], h / tile.shape[0]) for (h, w), tile in zip(sizes, tiles)]
        return self._select(outputs, images.shape[2:], sizes, scales)

    def _select(
        self,
        outputs: dict[str, Tensor],
        input_hw: Sequence[int],
        sizes: list[tuple[int, int]],
        scales: list[tuple[float, float]],
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Select detections from the outputs for all priors."""
        scores, thresholds = outputs[SCORES].float(), self.info.thresholds
        class_scores = outputs.get(CLASS_SCORES, scores).float()
        level_sizes = self.graph.level_sizes(*input_hw)
        if sum(level_sizes) != scores.shape[1]:
            what = f"the graph has {scores.shape[1]} priors, its record {sum(level_sizes)}"
            raise UserError(what, hint="export the model again")
        ranking = scores if self.graph.rank_by == "final" else None
        candidates = best_candidates(class_scores, level_sizes, thresholds.score, thresholds.nms_pre, ranking)
        if ranking is None and CLASS_SCORES in outputs:
            candidates = replace(
                candidates, scores=candidates.gather(scores).gather(1, candidates.labels[:, None])[:, 0]
            )
        boxes = candidates.gather(outputs[BOXES].float())
        if self.info.box_type == "hbb":
            return self._horizontal(obb_to_hbb(boxes), candidates, sizes, scales)
        if self.graph.clamp == "centers":
            boxes = clamp_centers(boxes, boxes.new_tensor(sizes)[candidates.image_index])
        boxes = _per_image(boxes, candidates, scales, _scale_obb_back)
        kept = self._suppress(boxes, candidates)
        return _split(boxes[kept], candidates.take(kept), len(sizes))

    def _horizontal(
        self,
        boxes: Tensor,
        candidates: Candidates,
        sizes: list[tuple[int, int]],
        scales: list[tuple[float, float]],
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Select horizontal detections; boxes are (N, 4)."""
        if self.graph.clamp == "border":
            limits = boxes.new_tensor([(w, h, w, h) for h, w in sizes])[candidates.image_index]
            boxes = torch.minimum(boxes.clamp(min=0), limits)
        if not self.graph.inclusive_pixels:
            boxes = _per_image(boxes, candidates, scales, _scale_hbb_back)
        kept = self._suppress(hbb_to_obb(boxes), candidates)
        boxes, candidates = boxes[kept], candidates.take(kept)
        if self.graph.inclusive_pixels:
            boxes = _per_image(boxes, candidates, scales, rescale_inclusive_boxes)
        return _split(boxes, candidates, len(sizes))

    def _suppress(self, boxes: Tensor, candidates: Candidates) -> Tensor:
        """Return the rows of the candidates that are large enough and that NMS keeps."""
        thresholds = self.info.thresholds
        min_size = thresholds.min_box_size
        if min_size == 0 and self.info.box_type == "obb":  # the oriented heads keep boxes without area
            min_size = -1.0
        large = torch.nonzero((boxes[:, 2:4] > min_size).all(1)).squeeze(1)
        kept = suppress_candidates(
            boxes[large], candidates.take(large), len(self.classes), thresholds.nms_iou, thresholds.max_per_image
        )
        return large[kept]


def load_detector(
    path: str | Path, *, runtime: str = "onnxruntime", device: str | None = None, threads: int | None = None
) -> GraphDetector:
    """Load an ONNX file that ``rotated-atss export`` wrote.

    Args:
        path: The file.
        runtime: ``onnxruntime``, ``openvino``, or ``fastest`` for the fastest installed one, by measurement.
        device: ``cpu``, ``cuda`` or ``cuda:<index>``; None for the GPU if this ONNX Runtime has one, else the CPU.
        threads: Threads on the CPU; None for all cores of this process.

    Raises:
        ModuleNotFoundError: The runtime is not installed.
        UserError: The file is no ONNX file, was not exported by this package, or cannot be loaded.

    Example::

        detector = load_detector("model.onnx")
        detections = predict_image(detector, "P0001.png")
    """
    metadata = read_onnx_metadata(path)
    graph, info = read_graph_info(metadata, path), read_info(metadata, path)
    if info is None:
        raise UserError("the file has no record of its model", where=path, hint="export the model again")
    if runtime == FASTEST and device in (None, "cpu"):
        side = info.window.size or _TIMED_SIDE
        images, _ = prepare_batch([np.zeros((side, side, 3), np.uint8)], info.preprocessing)
        return GraphDetector(open_fastest_session(path, images, threads=threads), info, graph)
    session = open_session(path, RUNTIMES[0] if runtime == FASTEST else runtime, device=device, threads=threads)
    return GraphDetector(session, info, graph)


def prepare_batch(tiles: Sequence[Image], preprocessing: Preprocessing) -> tuple[Array, list[tuple[int, int]]]:
    """Resize and pad tiles to the input of a graph.

    Padding has the value that normalization turns into 0.

    Args:
        tiles: (H, W, 3), uint8, BGR each.
        preprocessing: The model's record. Normalization is part of the graph.

    Returns:
        Input (B, 3, H, W) float32, RGB, 0 to 255, and (height, width) of each resized tile.

    Example:
        >>> preprocessing = Preprocessing(mean=(1, 2, 3), std=(1, 1, 1), channel_order="RGB", pad_divisor=32)
        >>> images, sizes = prepare_batch([np.zeros((40, 64, 3), np.uint8)], preprocessing)
        >>> images.shape, sizes, images[0, :, 63, 0].tolist()
        ((1, 3, 64, 64), [(40, 64)], [1.0, 2.0, 3.0])
    """
    if preprocessing.resize is not None:
        tiles = [_resize(tile, preprocessing.resize) for tile in tiles]
    sizes = [(int(tile.shape[0]), int(tile.shape[1])) for tile in tiles]
    divisor = preprocessing.pad_divisor
    height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes))
    mean = preprocessing.mean if preprocessing.channel_order == "RGB" else preprocessing.mean[::-1]
    images = np.empty((len(tiles), 3, height, width), np.float32)
    for image, tile, (h, w) in zip(images, tiles, sizes):
        image[:, :h, :w] = tile[..., ::-1].transpose(2, 0, 1)
        for channel, value in zip(image, mean):
            channel[h:], channel[:h, w:] = value, value
    return images, sizes


def _scale_obb_back(boxes: Tensor, scale_xy: tuple[float, float]) -> Tensor:
    """Scale oriented boxes (N, 5) of a resized tile to the tile."""
    return scale_obb(boxes, (1 / scale_xy[0], 1 / scale_xy[1]))


def _scale_hbb_back(boxes: Tensor, scale_xy: tuple[float, float]) -> Tensor:
    """Scale horizontal boxes (N, 4) of a resized tile to the tile."""
    return boxes * boxes.new_tensor([1 / scale_xy[0], 1 / scale_xy[1]] * 2)


def _resize(tile: Image, bounds: tuple[int, int]) -> Image:
    """Scale a tile to fit (longer side, shorter side), as MMDetection's ``Resize`` with ``keep_ratio``."""
    height, width = tile.shape[:2]
    factor = min(bounds[0] / max(height, width), bounds[1] / min(height, width))
    size = int(width * factor + 0.5), int(height * factor + 0.5)
    resized: Image = cv2.resize(tile, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return resized


def _per_image(boxes: Tensor, candidates: Candidates, scales: list[tuple[float, float]], scale_back: Rescale) -> Tensor:
    """Scale the boxes of each image by the scale of its tile."""
    if len(set(scales)) == 1:
        return scale_back(boxes, scales[0])
    rows = image_slices(candidates.image_index, len(scales))
    return torch.cat([scale_back(boxes[image], scale) for image, scale in zip(rows, scales)])


def _split(boxes: Tensor, candidates: Candidates, num_images: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    rows = image_slices(candidates.image_index, num_images)
    return [(boxes[image], candidates.scores[image], candidates.labels[image]) for image in rows]

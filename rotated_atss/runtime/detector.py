"""Load exported graphs as detectors for :func:`rotated_atss.tiling.predict.predict_image`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.checkpoints.graph_info import BOXES, CLASS_SCORES, SCORES, GraphInfo, read_graph_info
from rotated_atss.checkpoints.model_info import ModelInfo, Preprocessing, read_info
from rotated_atss.errors import UserError, quote
from rotated_atss.io.onnx_metadata import read_onnx_metadata
from rotated_atss.io.png import Image
from rotated_atss.ops.box_arrays import hbbs_to_obbs, obbs_to_hbbs, scale_obbs
from rotated_atss.runtime.selection import best_candidates, suppress_candidates
from rotated_atss.runtime.session import RUNTIME_NAMES, RUNTIMES, Array, Session, open_fastest_session, open_session

FASTEST = "fastest"
# Side (pixels) of the image on which the runtimes are timed if the model uses no windows.
_TIMING_SIDE = 512

TileDetections = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (K, 5) or (K, 4), scores (K,), labels (K,)


class GraphDetector:
    """Detect objects on tiles with an exported graph, as a :class:`rotated_atss.tiling.predict.Detector`.

    The detections equal those of the PyTorch model up to rounding.

    Args:
        session: The loaded graph.
        info: The model metadata.
        graph: The graph metadata: how the outputs of the graph become detections.

    Attributes:
        classes: Class names in the order of the class indices.
        size: Default window side of ``predict_image``, pixels; 0 for whole images.
        gap: Default overlap of neighboring windows, pixels.
        iou_threshold: Default IoU threshold for merging the detections on windows.
        pixels: Conversion of the pixels of images to 8-bit color.
    """

    def __init__(self, session: Session, info: ModelInfo, graph: GraphInfo) -> None:
        self.session, self.info, self.graph = session, info, graph
        self.classes, self.size, self.gap = info.classes, info.window.size, info.window.gap
        self.iou_threshold, self.pixels = info.thresholds.merge_iou, info.preprocessing.pixels

    @property
    def description(self) -> str:
        """Runtime and precision, for example ``ONNX Runtime, float32``."""
        runtime = self.session.runtime
        return f"{RUNTIME_NAMES.get(runtime, runtime)}, {self.graph.precision}"

    def __call__(self, tiles: list[Image]) -> list[TileDetections]:
        """Detect objects on a batch of tiles.

        Args:
            tiles: Images (H, W, 3), uint8, BGR.

        Returns:
            Per tile: boxes (K, 5) or (K, 4) float64 in pixels of the tile, scores (K,) float32 and class indices (K,)
            int64.

        Raises:
            UserError: There is too little memory, the fixed input size of the graph differs from the size of the batch,
                or the outputs of the graph do not match the graph metadata.
        """
        images, sizes_hw = prepare_batch(tiles, self.info.preprocessing)
        outputs = self.session.run(images)
        level_sizes = self.graph.level_sizes(*images.shape[2:])
        if sum(level_sizes) != outputs[SCORES].shape[1]:
            num_priors = outputs[SCORES].shape[1]
            problem = f"the graph must have {sum(level_sizes)} priors as in its metadata, got {num_priors}"
            raise UserError(problem, hint="export the model again")
        detections = []
        for index, (tile, (height, width)) in enumerate(zip(tiles, sizes_hw)):
            outputs_of_tile = {name: values[index] for name, values in outputs.items()}
            scale_xy = width / tile.shape[1], height / tile.shape[0]
            detections.append(self._select(outputs_of_tile, level_sizes, (width, height), scale_xy))
        return detections

    def _select(
        self,
        outputs: Mapping[str, Array],
        level_sizes: Sequence[int],
        resized_wh: tuple[int, int],
        scale_xy: tuple[float, float],
    ) -> TileDetections:
        """Select the detections on one tile from the outputs of the graph.

        Args:
            outputs: Outputs by name, for A priors and C classes: scores (A, C) and boxes (A, 5). If the scores include
                the centerness, there is a third output: the class scores (A, C) without the centerness.
            level_sizes: Number of priors per level.
            resized_wh: Width and height of the resized tile, without padding.
            scale_xy: Factors (x, y) by which the tile was resized.
        """
        final_scores, thresholds = outputs[SCORES], self.info.thresholds
        class_scores = outputs.get(CLASS_SCORES, final_scores)
        ranking = final_scores if self.graph.rank_by == "final" else class_scores
        prior_index, labels = best_candidates(class_scores, level_sizes, thresholds.score, thresholds.nms_pre, ranking)
        boxes, scores = outputs[BOXES][prior_index].astype(np.float64), final_scores[prior_index, labels]
        if self.info.box_type == "hbb":  # the graph outputs horizontal boxes as oriented boxes of angle 0
            return self._select_horizontal(obbs_to_hbbs(boxes), scores, labels, resized_wh, scale_xy)
        if self.graph.clamp == "centers":
            # As in mmrotate, the limit of a center is the index of the last pixel, not the border of the image.
            boxes[:, :2] = boxes[:, :2].clip(0, np.array(resized_wh) - 1)
        boxes = scale_obbs(boxes, (1 / scale_xy[0], 1 / scale_xy[1]))
        keep = self._suppress(boxes, scores, labels)
        return boxes[keep], scores[keep], labels[keep]

    def _select_horizontal(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        resized_wh: tuple[int, int],
        scale_xy: tuple[float, float],
    ) -> TileDetections:
        """Select the horizontal detections (K, 4) on one tile from candidates (N, 4) in pixels of the resized tile."""
        if self.graph.clamp == "border":
            boxes = boxes.clip(0, (*resized_wh, *resized_wh))
        scale_xyxy = (*scale_xy, *scale_xy)
        # Boxes are scaled before NMS, as in MMDetection. If boxes include their last pixel, they are scaled after NMS,
        # as in the official ATSS code.
        if not self.graph.inclusive_pixels:
            boxes = boxes / scale_xyxy
        keep = self._suppress(hbbs_to_obbs(boxes), scores, labels)
        boxes = boxes[keep]
        if self.graph.inclusive_pixels:
            # The official code scales the indices of the first and the last pixel. Here, x2 and y2 are the indices of
            # the last pixel plus 1.
            last_pixel_offset = np.array([0.0, 0.0, 1.0, 1.0])
            boxes = (boxes - last_pixel_offset) / scale_xyxy + last_pixel_offset
        return boxes, scores[keep], labels[keep]

    def _suppress(self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the indices of the boxes (N, 5) that are larger than the minimum size and that NMS keeps."""
        min_size = self.info.thresholds.min_box_size
        if min_size == 0 and self.info.box_type == "obb":
            min_size = -1.0  # keep boxes with a side of 0, as the oriented heads do
        valid = np.flatnonzero((boxes[:, 2:4] > min_size).all(axis=1))
        return valid[suppress_candidates(boxes[valid], scores[valid], labels[valid], self.info.thresholds)]


def load_detector(
    path: str | Path, *, runtime: str = "onnxruntime", device: str | None = None, threads: int | None = None
) -> GraphDetector:
    """Load an ONNX file that ``rotated-atss export`` wrote.

    Args:
        path: The file.
        runtime: ``onnxruntime``, ``openvino``, or ``fastest`` to time the installed runtimes on the CPU and use the
            fastest. Only ``onnxruntime`` runs on CUDA.
        device: ``cpu``, ``cuda`` or ``cuda:<index>``. None selects the CPU for ``openvino`` and ``fastest``. For
            ``onnxruntime``, it selects the GPU if the installed ONNX Runtime supports it, and otherwise the CPU.
        threads: Threads on the CPU; None for all cores of this process.

    Raises:
        ModuleNotFoundError: The runtime is not installed.
        UserError: The file is not an ONNX file, was not exported by this package, or cannot be loaded.

    Example::

        detector = load_detector("model.onnx")
        detections = predict_image(detector, "P0001.png")
    """
    if runtime not in (*RUNTIMES, FASTEST):
        raise UserError(f"the runtime must be one of {', '.join((*RUNTIMES, FASTEST))}, got {quote(runtime)}")
    metadata = read_onnx_metadata(path)
    graph, info = read_graph_info(metadata, path), read_info(metadata, path)
    if info is None:
        raise UserError("the file has no model metadata", where=path, hint="export the model again")
    if runtime == FASTEST and device in (None, "cpu"):
        side = info.window.size or _TIMING_SIDE
        images, _ = prepare_batch([np.zeros((side, side, 3), np.uint8)], info.preprocessing)
        return GraphDetector(open_fastest_session(path, images, threads=threads), info, graph)
    if runtime == FASTEST:
        runtime = "onnxruntime"  # the device is not the CPU here, and no other runtime supports CUDA
    session = open_session(path, runtime, device=device, threads=threads)
    return GraphDetector(session, info, graph)


def prepare_batch(tiles: Sequence[Image], preprocessing: Preprocessing) -> tuple[Array, list[tuple[int, int]]]:
    """Resize and pad tiles to the input of a graph.

    The padding has the mean color of the model metadata, so that the padding is 0 after normalization.

    Args:
        tiles: Images (H, W, 3), uint8, BGR.
        preprocessing: Preprocessing of the model metadata. The graph contains the normalization, so this function
            does not normalize.

    Returns:
        The input of the graph, (B, 3, H, W) float32, RGB, 0 to 255, and the (height, width) of each resized tile
        without padding.

    Example:
        >>> preprocessing = Preprocessing(mean=(1, 2, 3), std=(1, 1, 1), channel_order="RGB", pad_divisor=32)
        >>> images, sizes = prepare_batch([np.zeros((40, 64, 3), np.uint8)], preprocessing)
        >>> images.shape, sizes
        ((1, 3, 64, 64), [(40, 64)])
        >>> last_row = images[0, :, 63]  # padding
        >>> last_row[:, 0].tolist()
        [1.0, 2.0, 3.0]
    """
    if preprocessing.resize is not None:
        tiles = [_resize(tile, preprocessing.resize) for tile in tiles]
    sizes_hw = [(int(tile.shape[0]), int(tile.shape[1])) for tile in tiles]
    divisor = preprocessing.pad_divisor
    # The input has the largest height and width of the tiles, each rounded up to a multiple of the divisor.
    height, width = (math.ceil(max(sides) / divisor) * divisor for sides in zip(*sizes_hw))
    mean_rgb = preprocessing.mean if preprocessing.channel_order == "RGB" else preprocessing.mean[::-1]
    images = np.empty((len(tiles), 3, height, width), np.float32)
    for image, tile, (h, w) in zip(images, tiles, sizes_hw):
        image[:, :h, :w] = tile[..., ::-1].transpose(2, 0, 1)
        for channel, mean_value in zip(image, mean_rgb):
            channel[h:] = mean_value
            channel[:h, w:] = mean_value
    return images, sizes_hw


def _resize(tile: Image, max_sides: tuple[int, int]) -> Image:
    """Scale a tile as MMDetection's ``Resize`` with ``keep_ratio``.

    Args:
        tile: (H, W, 3).
        max_sides: Maximum length of the longer and of the shorter side, pixels.
    """
    height, width = tile.shape[:2]
    max_long, max_short = max_sides
    factor = min(max_long / max(height, width), max_short / min(height, width))
    size_wh = int(width * factor + 0.5), int(height * factor + 0.5)
    resized: Image = cv2.resize(tile, size_wh, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return resized

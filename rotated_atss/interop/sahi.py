"""A SAHI detection model whose predictions represent oriented boxes as segmentation polygons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.interop.arrays import as_array
from rotated_atss.io.requirements import require
from rotated_atss.label_formats.geometry import polygons_to_boxes, quadrilateral
from rotated_atss.label_formats.records import ReadOptions
from rotated_atss.ops.box_arrays import as_obbs, obbs_to_hbbs
from rotated_atss.ops.box_polygons import obb_polygons

require("sahi")

from sahi.models.base import DetectionModel  # noqa: E402
from sahi.prediction import ObjectPrediction  # noqa: E402


class OrientedDetectionModel(DetectionModel):
    """A detector of this package for ``get_prediction`` and ``get_sliced_prediction`` of SAHI.

    The mask of a prediction is one polygon with the corners of the oriented box. The horizontal box of a prediction
    circumscribes the part of the polygon inside the image. Pass ``postprocess_type="NMS"``, because SAHI's methods NMM
    and GREEDYNMM join the polygons of several predictions. SAHI merges the predictions of slices by their horizontal
    boxes, and clips corners that lie beyond the right or the lower border of the image. In contrast,
    :func:`rotated_atss.tiling.predict.predict_image` merges by oriented boxes and does not clip corners.

    Args:
        model: A detector returned by :func:`rotated_atss.detection.engine.inference.load_detector`, or any callable
            with the signature of :class:`rotated_atss.tiling.predict.Detector`.
        category_mapping: Class names by class index as a string, such as ``{"0": "ship"}``; None uses the detector's
            attribute ``classes``.
        kwargs: Arguments of SAHI's ``DetectionModel``, such as ``confidence_threshold``.

    Raises:
        UserError: ``model`` is missing, or it has no class names and ``category_mapping`` is missing.

    Example::

        model = OrientedDetectionModel(load_detector(config, checkpoint), confidence_threshold=0.3)
        result = get_sliced_prediction("P0001.png", model, 1024, 1024, postprocess_type="NMS")
        boxes, scores, labels = from_sahi(result.object_prediction_list)
    """

    category_mapping: dict[str, str] | None

    def __init__(self, model: Any = None, *, category_mapping: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(model=model, category_mapping=category_mapping, **kwargs)

    def load_model(self) -> None:
        """Raise an error. SAHI calls this method if no model object is given, but this class does not load files."""
        raise UserError("a detector is needed, got none. Pass model=load_detector(CONFIG, CHECKPOINT)")

    def set_model(self, model: Any, **kwargs: Any) -> None:
        """Set the detector, and ``category_mapping`` to its class names unless the caller has passed a mapping."""
        self.model = model
        if not self.category_mapping:
            names = getattr(model, "classes", None)
            if not names:
                raise UserError("class names are needed, got a detector without classes. Pass category_mapping")
            self.category_mapping = {str(index): name for index, name in enumerate(names)}

    @property
    def category_names(self) -> list[str]:
        """Class names in the order of their indices."""
        return list((self.category_mapping or {}).values())

    @property
    def num_categories(self) -> int:
        """Number of classes."""
        return len(self.category_names)

    @property
    def has_mask(self) -> bool:
        """True, because every prediction has a mask: the polygon of the oriented box."""
        return True

    def perform_inference(self, image: np.ndarray) -> None:
        """Detect on one image.

        Args:
            image: (H, W, 3), uint8, RGB.
        """
        self.perform_batch_inference([image])

    def perform_batch_inference(self, images: list[np.ndarray]) -> None:
        """Detect on a batch of images with one call of the detector.

        Args:
            images: Images (H, W, 3), uint8, RGB.
        """
        # SAHI's base class defines _original_shapes and _original_predictions. They store the results of inference
        # until SAHI calls the method that converts them.
        self._original_shapes = [image.shape for image in images]
        images_bgr = [np.ascontiguousarray(image[..., ::-1]) for image in images]  # SAHI passes RGB images
        self._original_predictions = self.model(images_bgr)

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        """Convert the detections of the last batch to lists of ``ObjectPrediction``.

        SAHI calls this method after :meth:`perform_inference` or :meth:`perform_batch_inference`.

        Args:
            shift_amount_list: Offset (x, y) in pixels of each slice in its image; None for no offset.
            full_shape_list: (height, width) in pixels of each full image; None if the slices are full images.
        """
        predictions, shapes = self._original_predictions, self._original_shapes or []
        shifts = _expand_per_image(shift_amount_list, [0, 0], len(predictions))
        full_shapes = _expand_per_image(full_shape_list, None, len(predictions))
        self._object_prediction_list_per_image = [
            self._to_object_predictions(boxes, scores, labels, shift, shape[:2] if full_shape is None else full_shape)
            for (boxes, scores, labels), shape, shift, full_shape in zip(
                predictions, shapes, shifts, full_shapes, strict=True
            )
        ]

    def _to_object_predictions(
        self, boxes: Any, scores: Any, labels: Any, shift: Sequence[float], full_shape: Sequence[float]
    ) -> list[ObjectPrediction]:
        """Convert the detections on one slice to SAHI's predictions.

        Args:
            boxes: (N, 5) ``cx, cy, w, h, angle`` or (N, 4) ``x1, y1, x2, y2``, in pixels of the slice.
            scores: (N,).
            labels: (N,) class indices.
            shift: Offset (x, y) of the slice in the full image, pixels.
            full_shape: (height, width) of the full image, pixels.
        """
        boxes, scores, labels = as_obbs(as_array(boxes).astype(np.float64)), as_array(scores), as_array(labels)
        hbbs = obbs_to_hbbs(boxes) + np.tile(shift, 2)  # (N, 4) in pixels of the full image
        # Boxes outside the image are removed, because SAHI raises an error for them.
        overlaps_image = (hbbs[:, 2:] > 0).all(axis=1) & (hbbs[:, :2] < (full_shape[1], full_shape[0])).all(axis=1)
        keep = (scores >= self.confidence_threshold) & overlaps_image
        detections = zip(obb_polygons(boxes[keep]).tolist(), scores[keep].tolist(), labels[keep].tolist())
        return [
            ObjectPrediction(
                category_id=int(label),
                category_name=(self.category_mapping or {})[str(int(label))],
                segmentation=[polygon],
                score=score,
                shift_amount=[int(offset) for offset in shift],
                full_shape=[int(side) for side in full_shape],
            )
            for polygon, score, label in detections
        ]


def from_sahi(predictions: Iterable[ObjectPrediction]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert predictions of SAHI on one image to oriented boxes.

    Args:
        predictions: The ``object_prediction_list`` of a result.

    Returns:
        boxes (K, 5) float64 ``cx, cy, w, h, angle`` in pixels of the image and radians, scores (K,) and labels (K,).
        Polygons without exactly four corners, which SAHI creates when it merges predictions, are replaced with their
        minimum-area rectangles. Predictions without a polygon are converted from their horizontal boxes.

    Example:
        >>> from sahi.prediction import ObjectPrediction
        >>> ship = ObjectPrediction(
        ...     segmentation=[[7, 18, 13, 18, 13, 22, 7, 22]], category_id=0, score=0.5, full_shape=[40, 30]
        ... )
        >>> boxes, scores, labels = from_sahi([ship])
        >>> boxes.tolist(), scores.tolist(), labels.tolist()
        ([[10.0, 20.0, 6.0, 4.0, 0.0]], [0.5], [0])
    """
    polygons, scores, labels = [], [], []
    for prediction in predictions:
        mask = prediction.mask
        if mask is not None and mask.segmentation:
            coordinates = [coordinate for polygon in mask.segmentation for coordinate in polygon]
            points = list(zip(coordinates[0::2], coordinates[1::2]))
        else:
            x1, y1, x2, y2 = prediction.bbox.to_xyxy()
            points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        polygons.append(quadrilateral(points, ReadOptions(fit_polygons=True), "SAHI's prediction"))
        scores.append(float(prediction.score.value))
        labels.append(int(prediction.category.id))
    boxes = polygons_to_boxes(np.array(polygons, dtype=np.float64)).boxes
    return boxes, np.array(scores, dtype=np.float32), np.array(labels, dtype=np.int64)


def _expand_per_image(values: Any, default: Any, count: int) -> list[Any]:
    """Expand an argument of SAHI (None or empty, one value, or a list of values) to one value per image."""
    if values is None or len(values) == 0:
        return [default] * count
    return list(values) if isinstance(values[0], (list, tuple)) else [values] * count

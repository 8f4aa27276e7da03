"""Convert oriented boxes to ``Detections`` of the package supervision, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rotated_atss.interop.detections import ImageDetections, look_up_class_names
from rotated_atss.io.requirements import require
from rotated_atss.label_formats.geometry import polygons_to_boxes
from rotated_atss.ops.box_arrays import hbbs_to_obbs
from rotated_atss.ops.box_polygons import box_polygons

if TYPE_CHECKING:
    import supervision

# supervision's own readers use these keys in Detections.data.
_CORNERS_KEY, _CLASS_NAMES_KEY = "xyxyxyxy", "class_name"


def to_supervision(detections: ImageDetections, class_names: Sequence[str] | None = None) -> supervision.Detections:
    """Convert detections on one image to ``supervision.Detections``.

    Args:
        detections: Detections on one image.
        class_names: Class names in the order of the class indices; None omits ``data["class_name"]``.

    Returns:
        Detections with the corners (K, 4, 2) float64, clockwise on the image, in ``data["xyxyxyxy"]``, the
        circumscribed horizontal boxes in ``xyxy`` and the class names in ``data["class_name"]``.

    Raises:
        UserError: The package is not installed, or a label has no name.

    Example:
        >>> from rotated_atss.tiling.merge_boxes import BoxDetections
        >>> ship = BoxDetections("P1", np.array([[10.0, 20, 6, 4, 0]]), np.array([0.5]), np.array([0]))
        >>> detections = to_supervision(ship, ["ship"])
        >>> detections.xyxy.tolist(), detections.data["class_name"].tolist()
        ([[7.0, 18.0, 13.0, 22.0]], ['ship'])
        >>> detections.data["xyxyxyxy"].tolist()
        [[[7.0, 18.0], [13.0, 18.0], [13.0, 22.0], [7.0, 22.0]]]
    """
    package = require("supervision")
    corners = box_polygons(detections.boxes).reshape(-1, 4, 2)
    data = {_CORNERS_KEY: corners}
    if class_names is not None:
        data[_CLASS_NAMES_KEY] = np.array(look_up_class_names(detections.labels, class_names), dtype=np.str_)
    return package.Detections(
        xyxy=np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1),
        confidence=detections.scores,
        class_id=detections.labels.astype(np.int64),
        data=data,
    )


def from_supervision(detections: supervision.Detections) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert ``supervision.Detections`` to oriented boxes.

    Args:
        detections: Detections with corners (K, 4, 2) in ``data["xyxyxyxy"]``, or with horizontal boxes only.

    Returns:
        boxes (K, 5) float64 ``cx, cy, w, h, angle`` in pixels and radians, scores (K,) and labels (K,). The width of a
        box is its side from the first to the second corner; its angle lies in (-pi, pi]. Corners that do not form a
        rectangle are replaced with their minimum-area rectangle. Horizontal boxes have angle 0.

    Raises:
        ValueError: The detections have no scores or no class ids.

    Example:
        >>> import supervision
        >>> detections = supervision.Detections(
        ...     np.array([[7.0, 18, 13, 22]]), confidence=np.array([0.5]), class_id=np.array([0])
        ... )
        >>> boxes, scores, labels = from_supervision(detections)
        >>> boxes.tolist(), scores.tolist(), labels.tolist()
        ([[10.0, 20.0, 6.0, 4.0, 0.0]], [0.5], [0])
    """
    for name in ("confidence", "class_id"):
        if getattr(detections, name) is None:
            raise ValueError(f"detections must have {name}, got None. Set detections.{name}")
    corners = detections.data.get(_CORNERS_KEY)
    if corners is None:
        boxes = hbbs_to_obbs(np.asarray(detections.xyxy, dtype=np.float64).reshape(-1, 4))
    else:
        boxes = polygons_to_boxes(np.asarray(corners)).boxes
    return boxes, np.array(detections.confidence), np.array(detections.class_id, dtype=np.int64)

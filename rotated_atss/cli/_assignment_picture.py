"""Pictures and titles of ``show-assignment``.

A trace records the steps of ATSS for one object. The variant of a trace is the kind of boxes that ATSS compares:

- ``obb``: oriented boxes
- ``hbb``: circumscribed horizontal boxes of oriented boxes
- ``config``: horizontal boxes, if the config has no oriented boxes

The argument ``object_names`` contains the class name of each ground-truth box. The argument ``traces`` contains the
traces of one object by variant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rotated_atss.errors import count_of

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config
    from torch import Tensor

    from rotated_atss.analysis.assignment_trace import AssignmentTrace
    from rotated_atss.detection.engine.assigner_trace import ImageAssignment
    from rotated_atss.io.png import Image

_VARIANT_TITLES = {
    "hbb": "hbb: IoU of circumscribed horizontal boxes",
    "obb": "obb: IoU of oriented boxes",
    "config": "IoU of horizontal boxes",
}


def picture_title(cfg: Config, image: Path, assignment: ImageAssignment, object_names: list[str]) -> str:
    """Return the title of a picture: config, image, input size, and the numbers of objects and positives."""
    width, height = assignment.inputs.image_wh
    objects = count_of(len(object_names), "object")
    num_ignored = len(assignment.inputs.gt_boxes_ignore)
    if num_ignored:
        objects += f" and {count_of(num_ignored, 'ignored object')}"
    gt_index = assignment.assign()  # negative (BACKGROUND or IGNORE) for priors that are not positives
    positives = count_of(int((gt_index >= 0).sum()), "positive")
    return f"{cfg.config_name}, {image.stem} at {width} x {height} px: {objects}, {positives}"


def variant_title(assignment: ImageAssignment, variant: str) -> str:
    """Return the title of a trace. For oriented boxes, it marks which of the two variants the config uses."""
    is_marked = assignment.oriented and variant == assignment.variant
    return _VARIANT_TITLES[variant] + (" (this config)" if is_marked else "")


def count_positives(assignment: ImageAssignment, num_objects: int) -> Tensor:
    """Count the positives per ground-truth box and level, shape (G, L)."""
    from rotated_atss.analysis.assignment_text import positives_per_level

    return positives_per_level(assignment.assign(), assignment.level_sizes, num_objects)


def read_input_image(path: Path, input_wh: tuple[int, int]) -> Image:
    """Read an image at the input size of the network. A large image is reduced band by band while it is read.

    Args:
        path: The image file.
        input_wh: Width and height in pixels.
    """
    import cv2
    import numpy as np

    from rotated_atss.io.image_reader import open_image

    with open_image(path) as image:
        # Reduce by the largest integer factor that keeps the image at least as large as input_wh. cv2.resize does the
        # rest.
        factor = max(1, min(image.width // input_wh[0], image.height // input_wh[1]))
        pixels = image.read_reduced(factor)
    if pixels.shape[1::-1] == tuple(input_wh):
        return pixels
    return np.asarray(cv2.resize(pixels, input_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_overview(cfg: Config, image: Path, assignment: ImageAssignment, object_names: list[str]) -> bytes:
    """Draw the positives of all objects, and return the bytes of a PNG file."""
    from rotated_atss.assign.box_formats import centers
    from rotated_atss.visualization.assignment import plot_assignment

    centers_by_level = centers(assignment.priors).split(assignment.level_sizes)
    gt_index_by_level = assignment.assign().split(assignment.level_sizes)
    return plot_assignment(
        read_input_image(image, assignment.inputs.image_wh),
        corners_of(assignment.inputs.gt_boxes),
        [xy[gt_index >= 0].double().numpy() for xy, gt_index in zip(centers_by_level, gt_index_by_level)],
        count_positives(assignment, len(object_names)).sum(1).tolist(),
        assignment.strides,
        ignored=corners_of(assignment.inputs.gt_boxes_ignore),
        title=picture_title(cfg, image, assignment, object_names),
    )


def draw_object(
    cfg: Config, image: Path, assignment: ImageAssignment, object_names: list[str], traces: dict[str, AssignmentTrace]
) -> bytes:
    """Draw the traces of one object, one panel per variant, and return the bytes of a PNG file."""
    import numpy as np

    from rotated_atss.visualization.assignment_object import TracePanel, plot_object

    object_index = next(iter(traces.values())).gt_index  # the same in all traces
    corners = corners_of(assignment.inputs.gt_boxes)  # (G, 4, 2)
    polygon = corners[object_index]
    panels = []
    for variant, trace in traces.items():
        # ATSS computes the IoU of this box with the priors.
        compared_polygon = polygon
        if variant == "hbb":
            compared_polygon = corners_of(_to_hbb(assignment.inputs.gt_boxes[object_index : object_index + 1]))[0]
        best_prior_corners = None  # of the candidate with the highest IoU
        if len(trace.iou):
            best_index = trace.prior_index[trace.iou.argmax()]
            best_prior_corners = corners_of(assignment.priors[best_index : best_index + 1])[0]
        panel_title = variant_title(assignment, variant)
        panels.append(TracePanel(panel_title, trace, compared_polygon, polygon, best_prior_corners))
    title = f"{cfg.config_name}, {image.stem}: object {object_index}, {object_names[object_index]}"
    return plot_object(
        read_input_image(image, assignment.inputs.image_wh), panels, assignment.strides,
        others=np.delete(corners, object_index, 0), title=title,
    )  # fmt: skip


def corners_of(boxes: Tensor) -> np.ndarray:
    """Return the corners (N, 4, 2), in pixels, of oriented (N, 5) or horizontal (N, 4) boxes."""
    from rotated_atss.ops.box_polygons import box_polygons

    return box_polygons(boxes).reshape(-1, 4, 2)


def _to_hbb(boxes: Tensor) -> Tensor:
    from rotated_atss.ops.boxes import obb_to_hbb

    return obb_to_hbb(boxes)

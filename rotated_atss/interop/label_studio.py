"""Export detections as Label Studio predictions, for correction by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rotated_atss.interop.detections import ImageDetections, ImageSource, to_records
from rotated_atss.io.files import write_json
from rotated_atss.label_formats.labelstudio import labeling_tasks


def write_label_studio(
    path: str | Path,
    detections: Iterable[ImageDetections],
    class_names: Sequence[str],
    images: ImageSource,
    *,
    url_prefix: str = "",
) -> None:
    """Write a JSON file of tasks with predictions for Label Studio's import.

    The project needs the labeling configuration of :func:`rotated_atss.label_formats.labelstudio.labeling_config`.

    Args:
        path: File to write or replace.
        detections: Detections on full images.
        class_names: Class names in the order of the class indices.
        images: A folder of images, or (width, height) in pixels by file name.
        url_prefix: Prefix that makes the file names URLs, such as ``/data/local-files/?d=images/``.

    Raises:
        UserError: An image is missing, a label has no name, or the file cannot be written.

    Example:
        >>> import json, tempfile
        >>> import numpy as np
        >>> from rotated_atss.tiling.merge_boxes import BoxDetections
        >>> ship = BoxDetections("P1", np.array([[10.0, 15, 8, 6, 0]]), np.array([0.5]), np.array([0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_label_studio(f"{folder}/tasks.json", [ship], ["ship"], {"P1.png": (20, 30)})
        ...     (task,) = json.loads(Path(folder, "tasks.json").read_text())
        >>> value = task["predictions"][0]["result"][0]["value"]
        >>> # upper-left corner and size in percent of the image, which is 20 px wide and 30 px high
        >>> task["data"], value["x"], value["y"], value["width"], value["height"], value["rotation"]
        ({'image': 'P1.png'}, 30.0, 40.0, 40.0, 20.0, 0.0)
    """
    write_json(path, labeling_tasks(to_records(detections, class_names, images), url_prefix), indent=None)

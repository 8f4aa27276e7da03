"""Write the result files of ``predict``, image by image, from the prediction records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rotated_atss.coco.results_file import to_coco_results
from rotated_atss.dota.detections import format_detections, task1_path
from rotated_atss.ops.box_arrays import obbs_to_hbbs
from rotated_atss.tiling.merge_boxes import BoxDetections, to_task1
from rotated_atss.tiling.prediction_record import ImageInfo, read_record

_CHUNK_ROWS = 20_000  # detections are formatted in chunks of this number, because their text needs much memory


class ResultWriter(Protocol):
    """Interface for writing the results of all images in one format, to one file or several."""

    def add(self, detections: BoxDetections, info: ImageInfo, /) -> None:
        """Add the detections on one image. Called once per image, in the order of the images."""

    def close(self) -> None:
        """Complete the files."""


def write_results(records: Iterable[Path], writers: Sequence[ResultWriter], score_thr: float = 0.0) -> tuple[int, int]:
    """Write the result files of all images.

    Only the detections on one image at a time are in memory, unless a writer collects them.

    Args:
        records: Files of :func:`rotated_atss.tiling.prediction_record.write_record`, in the order of the images.
        writers: One writer per format.
        score_thr: Score threshold for the second returned number only. Detections below it are written, too.

    Returns:
        Number of detections, and number of detections with a score of at least ``score_thr``.

    Raises:
        OSError: A record cannot be read, or a file cannot be written.
        UserError: A map format cannot be written.

    Example:
        >>> write_results([], [])
        (0, 0)
    """
    num_detections = num_above_threshold = 0
    for path in records:
        detections, info = read_record(path)
        for writer in writers:
            writer.add(detections, info)
        num_detections += len(detections.scores)
        num_above_threshold += int((detections.scores >= score_thr).sum())
    for writer in writers:
        writer.close()
    return num_detections, num_above_threshold


class Task1Writer:
    r"""Write DOTA's ``Task1_<class>.txt``, one file per class.

    Args:
        folder: Existing output folder. It must not contain Task1 files of an earlier run, because lines are appended.
        model_classes: Class names in the order of the class indices, spelled as in the file names.
        classes: Classes that get a file even if they have no detections.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> detections = BoxDetections("P1", np.array([[10.0, 10, 8, 4, 0]]), np.array([0.5]), np.array([1]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = Task1Writer(folder, ["plane", "ship"], ["ship"])
        ...     writer.add(detections, ImageInfo(40, 30))
        ...     Path(folder, "Task1_ship.txt").read_text()
        'P1 0.5 6.0 8.0 14.0 8.0 14.0 12.0 6.0 12.0\n'
    """

    def __init__(self, folder: str | Path, model_classes: Sequence[str], classes: Sequence[str]) -> None:
        self.folder, self.model_classes = Path(folder), list(model_classes)
        for name in classes:
            task1_path(self.folder, name).write_bytes(b"")

    def add(self, detections: BoxDetections, info: ImageInfo) -> None:
        """Append the detections on one image."""
        for chunk in _iter_chunks(detections):
            for name, class_detections in to_task1([chunk], self.model_classes).items():
                if len(class_detections):
                    with open(task1_path(self.folder, name), "ab") as file:
                        file.write(format_detections(class_detections))

    def close(self) -> None:
        """Do nothing, because the files are complete after each image."""


class CocoWriter:
    r"""Write the horizontal boxes around the oriented boxes in COCO's results format.

    Args:
        path: The JSON file.
        image_ids: COCO image id by image name.
        category_ids: COCO category id of each class, in the order of the class indices.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     CocoWriter(Path(folder, "a.json"), {}, []).close()
        ...     Path(folder, "a.json").read_text()
        '[]\n'
    """

    def __init__(self, path: Path, image_ids: dict[str, int], category_ids: Sequence[int]) -> None:
        self.path, self.image_ids, self.category_ids = path, image_ids, category_ids
        self._separator = ""  # text before the next entry of the list; empty before the first entry
        path.write_bytes(b"[")

    def add(self, detections: BoxDetections, info: ImageInfo) -> None:
        """Append the detections on one image."""
        image_id = self.image_ids[detections.name]
        for chunk in _iter_chunks(detections):
            results = to_coco_results(
                image_id, obbs_to_hbbs(chunk.boxes), chunk.scores, chunk.labels, self.category_ids
            )
            self._append(self._separator + ", ".join(map(json.dumps, results)))
            self._separator = ", "

    def close(self) -> None:
        """End the list."""
        self._append("]\n")

    def _append(self, text: str) -> None:
        with open(self.path, "ab") as file:
            file.write(text.encode())


def _iter_chunks(detections: BoxDetections) -> Iterator[BoxDetections]:
    """Yield the detections in chunks of at most ``_CHUNK_ROWS``."""
    for start in range(0, len(detections.scores), _CHUNK_ROWS):
        yield detections.take(slice(start, start + _CHUNK_ROWS))

"""Export labels and detections to a FiftyOne dataset, with boxes as closed polylines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.files import reject_overlapping_output, write_json
from rotated_atss.io.output_folders import staged_folder
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.records import ImageLabels

# FiftyOne uses these field names itself.
_RESERVED_FIELDS = {"id", "filepath", "tags", "metadata", "media_type", "created_at", "last_modified_at"}


def write_fiftyone(
    out: str | Path, images: str | Path, fields: Mapping[str, Sequence[ImageLabels]], *, classes: Sequence[str] = ()
) -> None:
    """Write a folder that FiftyOne imports as ``fiftyone.types.FiftyOneDataset``. FiftyOne need not be installed.

    Args:
        out: A new or empty folder.
        images: Folder of the images. They are not copied: the dataset refers to their absolute paths.
        fields: Records by the name of the sample field that stores them, such as ``ground_truth`` for the records of
            :func:`rotated_atss.label_formats.reading.read_label_set` and ``predictions`` for the records of
            :func:`rotated_atss.interop.detections.to_records`. Every image with a record becomes a sample.
        classes: Class names, stored in the info of the dataset.

    Raises:
        UserError: An image is missing, a field name is not an identifier or is one that FiftyOne uses itself, or
            ``out`` is not empty.

    Example:
        >>> import json, tempfile
        >>> import cv2
        >>> from rotated_atss.label_formats.records import ObjectList
        >>> objects = ObjectList()
        >>> objects.add([2, 1, 12, 1, 12, 6, 2, 6], "ship", where="P1.txt")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "images").mkdir()
        ...     _ = cv2.imwrite(f"{folder}/images/P1.png", np.zeros((10, 20, 3), np.uint8))
        ...     labels = [objects.build("P1.png", Path("P1.txt"))]
        ...     write_fiftyone(f"{folder}/out", f"{folder}/images", {"ground_truth": labels})
        ...     (sample,) = json.loads(Path(folder, "out/samples.json").read_text())["samples"]
        >>> sample["ground_truth"]["polylines"][0]["points"]
        [[[0.1, 0.1], [0.6, 0.1], [0.6, 0.6], [0.1, 0.6]]]
    """
    reject_overlapping_output(Path(out), [Path(images)])
    files = ImageFiles(images)
    samples: dict[str, dict[str, Any]] = {}
    for field, records in fields.items():
        if not field.isidentifier() or field.startswith("_") or field in _RESERVED_FIELDS:
            what = f"a field name must be an identifier that FiftyOne does not use itself, got {field!r}"
            raise UserError(f"{what}. Use another name")
        for record in records:
            path = files.path(record.image_id, record.source)
            size = files.size(record.image_id)
            assert size is not None  # files.path raises an error if there is no image file
            metadata = {"_cls": "ImageMetadata", "width": size[0], "height": size[1]}
            new_sample = {"filepath": str(path.resolve()), "tags": [], "metadata": metadata}
            sample = samples.setdefault(record.image_id, new_sample)
            sample[field] = {"_cls": "Polylines", "polylines": _to_polylines(record, size)}
    with staged_folder(out) as folder:
        # without the key "version", FiftyOne reads samples.json through its public classes, not as database entries
        write_json(folder / "metadata.json", {"media_type": "image", "info": {"classes": list(classes)}})
        sorted_samples = [samples[image_id] for image_id in sorted(samples)]
        write_json(folder / "samples.json", {"samples": sorted_samples}, indent=None)


def _to_polylines(record: ImageLabels, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Convert the objects of an image of ``size`` (width, height) to FiftyOne polylines, with relative coordinates."""
    corners = (record.polygons.reshape(-1, 4, 2) / np.array(size, dtype=np.float64)).tolist()
    polylines = []
    for row, name in enumerate(record.classes):
        polyline: dict[str, Any] = {
            "_cls": "Polyline", "label": name, "points": [corners[row]], "closed": True, "filled": True,
        }  # fmt: skip
        if record.scores is not None:
            polyline["confidence"] = float(record.scores[row])
        elif record.difficult[row]:  # a label, because detections are not difficult: 1, or 2 if splitting truncated it
            polyline["difficult"] = int(record.difficult[row])
        polylines.append(polyline)
    return polylines

"""Write the viewer of a report: one page per image, with boxes drawn over an image of any size."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, reject_overlapping_output
from rotated_atss.io.image_reader import open_image
from rotated_atss.report.html import render
from rotated_atss.report.page_names import PageNames
from rotated_atss.report.pyramid import TILE_PX, Pyramid, write_pyramid
from rotated_atss.report.viewer_data import ViewerImage, as_script, image_columns

STATIC_FILES = (
    "openseadragon.min.js",
    "OPENSEADRAGON_LICENSE.txt",
    "NOTICE.txt",
    "viewer.css",
    "viewer_boxes.js",
    "viewer_view.js",
    "viewer_draw.js",
    "viewer_panel.js",
    "viewer_errors.js",
    "viewer_image.js",
    "viewer_keys.js",
    "viewer.js",
)
"""Files of the viewer in ``rotated_atss/report/static``."""

logger = logging.getLogger(__name__)


def write_viewer(images: Iterable[ViewerImage], out: Path, *, classes: Sequence[str]) -> dict[str, str]:
    """Write the viewer pages of a report, which browsers can open without a server.

    The page of an image is ``OUT/viewer/<name>.html``. The boxes of the image are written to ``OUT/viewer/data`` and
    its pixels to ``OUT/viewer/pixels``. Scripts and style sheets are in ``OUT/static``. One image is read at a time,
    and a large image is read in parts. An image that cannot be read gets no page, and a warning names the image.

    Args:
        images: The images in the order in which the pages link to the previous and the next image.
        out: Folder of the report. Existing files of the viewer are replaced.
        classes: Class names in the order in which the pages list them.

    Returns:
        URLs of the pages by image id, relative to ``out``. Append ``#o3`` to link to the object with index 3 in
        ``ViewerImage.objects``, or ``#d12`` to link to the detection with index 12 in ``ViewerImage.detections``.

    Raises:
        UserError: An image lies in the folder of the pages, a box is invalid, or a file cannot be written.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((20, 30, 3), np.uint8))
        ...     write_viewer([ViewerImage("P1", Path(folder, "P1.png"))], Path(folder, "report"), classes=["ship"])
        {'P1': 'viewer/P1.html'}
    """
    _copy_static_files(out / "static")
    pages_folder, page_names = out / "viewer", PageNames()
    # The entries are written to images.js. The pages read this file to link to each other.
    entries: list[dict[str, Any]] = []
    for image in images:
        hint = "move the images, or choose another folder for the report"
        reject_overlapping_output(pages_folder, [image.path], hint=hint)
        columns = image_columns(image, classes)
        name = page_names.add(image.image_id)
        try:
            with open_image(image.path) as reader:
                pyramid = write_pyramid(reader, pages_folder / "pixels" / name)
        except UserError as error:
            # If the error is not about the image file, a file of the pyramid could not be written.
            if str(error.where) != str(image.path):
                raise
            logger.warning("%s; the image has no page in the viewer", error)
            continue
        data = {**columns, "page": f"{name}.html", "pixels": _pixel_source(name, pyramid)}
        atomic_write(pages_folder / "data" / f"{name}.js", as_script("rotatedAtssImage", data))
        atomic_write(pages_folder / f"{name}.html", _page(image.image_id, name))
        entries.append({"image": image.image_id, "page": f"{name}.html", **_count_matches(image)})
    atomic_write(pages_folder / "images.js", as_script("rotatedAtssImages", entries))
    return {entry["image"]: f"viewer/{entry['page']}" for entry in entries}


def _copy_static_files(folder: Path) -> None:
    for name in STATIC_FILES:
        atomic_write(folder / name, _static_file(name))


def _static_file(name: str) -> bytes:
    return (resources.files(__package__) / "static" / name).read_bytes()


def _pixel_source(name: str, pyramid: Pyramid) -> dict[str, Any]:
    """Return the values that the script of a page needs to load the pixels: size, folder, levels and tile side."""
    size = {"width": pyramid.width, "height": pyramid.height}
    return {**size, "folder": f"pixels/{name}", "levels": pyramid.levels, "tile": TILE_PX}


def _count_matches(image: ViewerImage) -> dict[str, int]:
    """Count the true positives, false positives and false negatives of an image."""
    detection_states = [box.state for box in image.detections]
    object_states = [box.state for box in image.objects]
    return {
        "tp": detection_states.count("tp"),
        "fp": detection_states.count("fp"),
        "fn": object_states.count("missed"),
    }


def _page(image_id: str, name: str) -> bytes:
    """Return the HTML of the page of an image; ``name`` is the name of the page file without ``.html``."""
    template = Template(_static_file("viewer.html").decode())
    return template.substitute(image=render(image_id), name=name).encode(errors="xmlcharrefreplace")

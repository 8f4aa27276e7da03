"""Viewer of the report: one page per image, with the boxes over an image of any size."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, check_output_apart
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
    """Write the viewer pages of a report, which open from disk without a network.

    Writes ``OUT/viewer/<name>.html`` per image with its data and pixels in ``OUT/viewer/data`` and
    ``OUT/viewer/pixels``, and ``OUT/static``. Images are read one after the other, large ones by rows. An image that
    cannot be read gets no page; a warning names it.

    Args:
        images: The images in the order of their links to the previous and the next one.
        out: Folder of the report; files of an earlier report are replaced.
        classes: Class names in the order of the filter.

    Returns:
        Address of the page per image id, relative to ``out``. A link to an object adds ``#o3``, to a detection
        ``#d12``, with the index in the lists of the image.

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
    pages, names, entries = out / "viewer", PageNames(), list[dict[str, Any]]()
    for image in images:
        check_output_apart(pages, [image.path], hint="move the images, or choose another folder for the report")
        columns, name = image_columns(image, classes), names.add(image.image)
        try:
            with open_image(image.path) as reader:
                pyramid = write_pyramid(reader, pages / "pixels" / name)
        except UserError as error:
            if str(error.where) != str(image.path):
                raise
            logger.warning("%s; the image has no page in the viewer", error)
            continue
        data = {**columns, "page": f"{name}.html", "pixels": _pixels(name, pyramid)}
        atomic_write(pages / "data" / f"{name}.js", as_script("rotatedAtssImage", data))
        atomic_write(pages / f"{name}.html", _page(image.image, name))
        entries.append({"image": image.image, "page": f"{name}.html", **_counts(image)})
    atomic_write(pages / "images.js", as_script("rotatedAtssImages", entries))
    return {entry["image"]: f"viewer/{entry['page']}" for entry in entries}


def _copy_static_files(folder: Path) -> None:
    for name in STATIC_FILES:
        atomic_write(folder / name, _static_file(name))


def _static_file(name: str) -> bytes:
    return (resources.files(__package__) / "static" / name).read_bytes()


def _pixels(name: str, pyramid: Pyramid) -> dict[str, Any]:
    """Describe the files of an image for the script of the page."""
    size = {"width": pyramid.width, "height": pyramid.height}
    return {**size, "folder": f"pixels/{name}", "levels": pyramid.levels, "tile": TILE_PX}


def _counts(image: ViewerImage) -> dict[str, int]:
    """Count true positives, false positives and false negatives."""
    states: list[str] = [each.state for each in image.detections] + [each.state for each in image.objects]
    return {key: states.count(state) for key, state in (("tp", "tp"), ("fp", "fp"), ("fn", "missed"))}


def _page(image: str, name: str) -> bytes:
    template = Template(_static_file("viewer.html").decode())
    return template.substitute(image=render(image), name=name).encode(errors="xmlcharrefreplace")

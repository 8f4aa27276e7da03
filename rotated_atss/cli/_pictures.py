"""Pictures with drawn boxes, written by ``predict`` and ``draw``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rotated_atss.io.image_reader import ImageReader
    from rotated_atss.io.png import Image
    from rotated_atss.visualization.palettes import ClassStyle

MAX_PICTURE_PIXELS = 50_000_000  # an image with more pixels is reduced, because it may not fit in memory
REDUCED_PIXELS = 16_000_000  # approximate maximum number of pixels of a reduced image
MAX_CAPTIONED_BOXES = 50_000  # the captions of more boxes would hide each other and the image
_CHUNK_BOXES = 50_000  # maximum number of boxes without captions that are drawn at once, to limit memory


@dataclass(frozen=True)
class Layer:
    """Boxes from one source, such as a label file, that are drawn on an image.

    Attributes:
        polygons: (N, 8) array of corners in pixels.
        names: Class name of each box.
        scores: Score of each box; None for labels.
        plain: Whether to draw white outlines without captions.
        styles: Colors and line styles by class name.
    """

    polygons: NDArray
    names: Sequence[str]
    scores: NDArray | Sequence[float] | None = None
    plain: bool = False
    styles: Mapping[str, ClassStyle] = field(default_factory=dict)


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that control how boxes are drawn."""
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument(
        "--score", type=float, default=0.3, metavar="SCORE",
        help="draw only detections with at least this score (default: 0.3)",
    )  # fmt: skip
    pictures.add_argument("--box-only", action="store_true", help="draw only boxes, without captions and legend")
    pictures.add_argument("--line-width", type=int, default=1, metavar="PX", help="line width of boxes (default: 1)")
    pictures.add_argument(
        "--palette", choices=("safe", "dota"), default="safe",
        help="class colors. safe (default): nine colors that color-blind readers can distinguish, and dashed lines "
        "for further classes; dota: 18 colors",
    )  # fmt: skip
    pictures.add_argument(
        "--side-by-side", action="store_true", help="put the original image to the left of the picture"
    )


def check_picture_arguments(args: argparse.Namespace) -> None:
    """Check the values of the options added by :func:`add_picture_arguments`.

    Raises:
        UserError: A value is out of range.
    """
    if not 0 <= args.score <= 1:
        raise UserError(f"the score must lie between 0 and 1, got {args.score}", where="--score")
    if not 1 <= args.line_width <= 255:
        raise UserError(f"the line width must be 1 to 255 pixels, got {args.line_width}", where="--line-width")


def picture_path(folder: str | Path, image: Path) -> Path:
    """Return the path of an image's picture.

    Args:
        folder: Folder of the pictures.
        image: Path of the input image.

    Example:
        >>> picture_path("out", Path("images/P0001.tif")).as_posix()
        'out/P0001.png'
    """
    return Path(folder) / f"{image.stem}.png"


def reduction_factor(width: int, height: int) -> int:
    """Return the integer by which width and height of an image are divided.

    The factor is 1 for an image of at most ``MAX_PICTURE_PIXELS`` pixels. A larger image is reduced to at most about
    ``REDUCED_PIXELS`` pixels.

    Example:
        >>> reduction_factor(7000, 7000), reduction_factor(30_000, 30_000)
        (1, 8)
    """
    if width * height <= MAX_PICTURE_PIXELS:
        return 1
    return math.ceil(math.sqrt(width * height / REDUCED_PIXELS))


def write_picture(
    path: Path,
    image: ImageReader,
    layers: Iterable[Layer],
    args: argparse.Namespace,
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Draw layers on an image and write it as PNG.

    If the whole image is drawn and has more than ``MAX_PICTURE_PIXELS`` pixels, the picture is reduced and a note is
    printed.

    Args:
        path: File to write.
        image: The image.
        layers: Layers of boxes, the bottom layer first. Corners are in pixels relative to the upper-left corner of the
            image, or to the upper-left corner of ``window`` if it is given.
        args: Values of the options added by :func:`add_picture_arguments`.
        window: Region to draw, x_start, y_start, x_stop, y_stop in pixels; None draws the whole image.

    Raises:
        UserError: The file exists and is not a picture of this package, or cannot be written.

    Example::

        write_picture(Path("out/P0001.png"), image, [Layer(polygons, names, scores)], args)
    """
    from rotated_atss.io.progress import print_above_bar
    from rotated_atss.visualization.contact_sheet import side_by_side
    from rotated_atss.visualization.png_output import write_png

    factor = reduction_factor(image.width, image.height) if window is None else 1
    pixels = image.read_reduced(factor) if window is None else image.read(window)
    if factor > 1:
        size, reduced_size = f"{image.width} x {image.height}", f"{pixels.shape[1]} x {pixels.shape[0]}"
        print_above_bar(f"{image.path}: the picture is reduced from {size} px to {reduced_size} px (factor {factor})")
        layers = [replace(layer, polygons=layer.polygons / factor) for layer in layers]
    picture = pixels
    for layer in layers:
        picture = _draw_layer(picture, layer, args)
    write_png(path, side_by_side(pixels, picture) if args.side_by_side else picture, protect_foreign=True)


def _draw_layer(picture: Image, layer: Layer, args: argparse.Namespace) -> Image:
    from rotated_atss.visualization.drawing import draw_boxes

    mark_front = getattr(args, "mark_front", False)  # only the command draw has this option
    options: dict[str, Any] = dict(thickness=args.line_width, mark_front=mark_front)
    if layer.plain:
        white = [(255, 255, 255)] * len(layer.names)  # one color per box
        return draw_boxes(picture, layer.polygons, colors=white, box_only=True, **options)
    options["colors"] = {name: style.color for name, style in layer.styles.items()}  # one color per class
    options["dashed"] = {name for name, style in layer.styles.items() if style.dashed}
    box_only = args.box_only or len(layer.names) > MAX_CAPTIONED_BOXES
    # Captions are placed so that they do not hide boxes or each other. This needs all boxes at once, so boxes with
    # captions are not drawn in chunks.
    for chunk in _split_into_chunks(layer) if box_only else [layer]:
        picture = draw_boxes(
            picture, chunk.polygons, chunk.names, chunk.scores, score_threshold=args.score, box_only=box_only,
            legend=not box_only, **options,
        )  # fmt: skip
    return picture


def _split_into_chunks(layer: Layer) -> Iterator[Layer]:
    """Split a layer into chunks in ascending order of score, so that boxes with higher scores are drawn on top."""
    import numpy as np

    order = np.arange(len(layer.names)) if layer.scores is None else np.argsort(layer.scores, kind="stable")
    for rows in np.array_split(order, max(1, math.ceil(len(order) / _CHUNK_BOXES))):
        names = [layer.names[row] for row in rows.tolist()]
        scores = None if layer.scores is None else np.asarray(layer.scores)[rows]
        yield replace(layer, polygons=layer.polygons[rows], names=names, scores=scores)

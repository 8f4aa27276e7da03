"""Boxes on pictures: for looking at labels and detections at full size."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.dota.classes import CLASSES, PALETTE
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write
from rotated_atss.io.png import Image

Colour = tuple[int, int, int]

_SHIFT = 4  # bits of OpenCV's fixed-point coordinates
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HEAD = (255, 255, 255)
_ROOMY = 10_000  # a box of more square pixels may hold another one's caption
_TEXT = b"tEXtSoftware\0rotated-atss"
_SIGNATURE = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))  # a chunk of a PNG
_AFTER_HEADER = 33  # where it stands: behind the magic number and the header chunk


def draw_boxes(
    image_bgr: Image,
    polygons: NDArray[Any],
    labels: Sequence[str] | None = None,
    scores: NDArray[Any] | Sequence[float] | None = None,
    colors: Mapping[str, Colour] | Sequence[Colour] | None = None,
    *,
    thickness: int = 1,
    box_only: bool = False,
    score_threshold: float = 0.0,
    head: bool = False,
    legend: bool = False,
    every_caption: bool = False,
    text_scale: float = 0.36,
) -> Image:
    """A copy of the image with the outlines of polygons and, unless ``box_only``, their class and score.

    Where boxes crowd, a caption shrinks to the score and then goes, so that it hides neither a small box, nor a large
    one's outline, nor another caption; the colour still tells the class.

    Args:
        image_bgr: (H, W, 3), uint8, BGR; grey (H, W) is taken too. It is not modified.
        polygons: (N, 8) or (N, 4, 2), pixels, the upper left corner of the image's first pixel at (0, 0).
        labels: Class of each polygon.
        scores: Score of each polygon; the lowest is drawn first, so that the best lies on top.
        colors: RGB a class name, or one RGB a polygon; by default a class has its colour of ``PALETTE``.
        thickness: Of the outlines, pixels.
        box_only: Outlines without text.
        score_threshold: Polygons with a lower score are left out.
        head: Marks the first edge, at the object's head in DOTA's order, in white.
        legend: Writes the classes that occur, with their colours and counts, into the lower left corner.
        every_caption: Writes all captions, over boxes and other captions too.
        text_scale: Size of the text; 0.36 is about 8 pixels high.

    Raises:
        UserError: An image of another kind, or labels, scores or colours that are not as many as the polygons.
    """
    canvas = _copy_as_colour(image_bgr)
    marks = _marks(polygons, labels, scores, colors)
    kept = [mark for mark in marks if mark.score is None or mark.score >= score_threshold]
    kept.sort(key=lambda mark: -1.0 if mark.score is None else mark.score)
    for mark in kept:
        _outline(canvas, mark, thickness, head)
    lines = _legend_lines(kept, canvas.shape[0], text_scale) if legend else []
    if not box_only:
        _write_captions(canvas, kept, text_scale, every_caption, lines)
    for line in lines:
        _write_text(canvas, line.text, line.columns.start, line.rows.start, text_scale, line.color)
    return canvas


def contact_sheet(
    images: Sequence[Image],
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell_wh: tuple[int, int] = (480, 400),
    gap: int = 6,
) -> Image:
    """Images side by side, each shrunk or grown to fit a cell without changing its shape, with its title above.

    Args:
        images: (H, W, 3), uint8, BGR, of any sizes; at least one.
        titles: One a image.
        columns: Cells a row; None makes the sheet about as wide as high.

    Raises:
        UserError: No image, or titles that are not as many as the images.
    """
    if not images:
        raise UserError("a contact sheet needs at least one image")
    _check_count("titles", titles, len(images), "images")
    across = columns or int(np.ceil(np.sqrt(len(images))))
    strip = 18 if titles else 0
    (width, height), rows = cell_wh, -(-len(images) // across)
    sheet = np.full((gap + rows * (height + strip + gap), gap + across * (width + gap), 3), 24, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        x, y = gap + column * (width + gap), gap + row * (height + strip + gap)
        if titles:
            cv2.putText(sheet, titles[number], (x + 2, y + 13), _FONT, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
        _fit_into(sheet[y + strip : y + strip + height, x : x + width], _copy_as_colour(image))
    return sheet


def beside(left: Image, right: Image, gap: int = 6) -> Image:
    """Two images (H, W, 3) of one size, side by side, a dark strip of ``gap`` pixels between them."""
    first, second = _copy_as_colour(left), _copy_as_colour(right)
    if first.shape != second.shape:
        raise UserError(f"images side by side have one size, not {first.shape} and {second.shape}")
    strip = np.full((first.shape[0], gap, 3), 24, np.uint8)
    return np.concatenate([first, strip, second], axis=1)


def write_png(
    path: str | Path, image: Image, *, inputs: Iterable[str | Path] = (), protect_foreign: bool = False
) -> Path:
    """Writes an image (H, W, 3), uint8, BGR, as PNG: whole or not at all, and never among the inputs.

    Args:
        path: The file; its name ends in ``.png``.
        inputs: Files and folders that were read: nothing is written over such a file, or into such a folder.
        protect_foreign: Replace no file but one that this function wrote.

    Raises:
        UserError: Another suffix, a path among the inputs, a file of someone else's, a folder that cannot be written, a
            full disk.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UserError("pictures are written as .png", where=target)
    for given in map(Path, inputs):
        if _lies_in(target, given):
            raise UserError(f"would write into the input {given}", where=target, hint="choose another folder")
    if protect_foreign:
        check_overwritable(target)
    _, encoded = cv2.imencode(".png", image)
    data = encoded.tobytes()
    atomic_write(target, data[:_AFTER_HEADER] + _SIGNATURE + data[_AFTER_HEADER:])
    return target


def check_overwritable(path: str | Path) -> None:
    """Refuse a path at which there is something that :func:`write_png` did not write."""
    if Path(path).is_dir():
        raise UserError("is a folder", where=path, hint="choose another one to write into")
    try:
        with open(path, "rb") as file:
            own = file.read(_AFTER_HEADER + len(_SIGNATURE)).endswith(_SIGNATURE)
    except FileNotFoundError:
        return
    if not own:
        raise UserError("would replace a picture that is not ours", where=path, hint="choose another folder")


def class_color(name: str) -> Colour:
    """The RGB colour of a class: that of ``PALETTE`` for DOTA's, one that depends on the name alone for others."""
    known = CLASSES["v2.0"]
    number = known.index(name) if name in known else sum(ord(letter) * 31**i for i, letter in enumerate(name))
    return PALETTE[number % len(PALETTE)]


@dataclass(frozen=True)
class _Mark:
    polygon: NDArray[np.float64]  # (4, 2)
    color: Colour  # BGR
    name: str | None
    score: float | None

    @property
    def texts(self) -> list[str]:
        """What the caption may say, the longest first."""
        score = [] if self.score is None else [f"{self.score:.2f}"]
        name = [] if self.name is None else [self.name]
        return [" ".join(name + score)] + (score if name else []) if name + score else []


@dataclass(frozen=True)
class _Text:
    text: str
    rows: slice
    columns: slice
    color: Colour  # BGR


def _marks(
    polygons: NDArray[Any],
    labels: Sequence[str] | None,
    scores: NDArray[Any] | Sequence[float] | None,
    colors: Mapping[str, Colour] | Sequence[Colour] | None,
) -> list[_Mark]:
    quads = np.asarray(polygons, np.float64).reshape(-1, 4, 2)
    for what, given in (("labels", labels), ("scores", scores)):
        _check_count(what, given, len(quads))
    names = [None] * len(quads) if labels is None else [str(name) for name in labels]
    numbers = [None] * len(quads) if scores is None else [float(score) for score in scores]
    paints = _colors(names, colors)
    return [
        _Mark(quad, (rgb[2], rgb[1], rgb[0]), name, score)
        for quad, rgb, name, score in zip(quads, paints, names, numbers)
    ]


def _colors(names: Sequence[str | None], colors: Mapping[str, Colour] | Sequence[Colour] | None) -> list[Colour]:
    if colors is not None and not isinstance(colors, Mapping):
        _check_count("colours", colors, len(names))
        return [(int(red), int(green), int(blue)) for red, green, blue in colors]
    chosen = colors or {}
    return [chosen.get(name) or class_color(name) if name is not None else PALETTE[0] for name in names]


def _outline(canvas: Image, mark: _Mark, thickness: int, head: bool) -> None:
    # OpenCV's integer coordinates are pixel centres, ours are corners.
    corners = np.round((mark.polygon - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [corners], True, mark.color, thickness, cv2.LINE_AA, _SHIFT)
    if head:
        cv2.line(canvas, corners[0].tolist(), corners[1].tolist(), _HEAD, thickness, cv2.LINE_AA, _SHIFT)


def _write_captions(canvas: Image, marks: Sequence[_Mark], scale: float, every: bool, avoid: Sequence[_Text]) -> None:
    """Captions in falling order of score, each at the first place that is free."""
    taken = np.zeros(canvas.shape[:2], np.uint8)
    for mark in marks:  # one by one: where polygons of one call overlap, OpenCV leaves a hole
        corners = np.floor(mark.polygon).astype(np.int32)
        if cv2.contourArea(corners) < _ROOMY:
            cv2.fillPoly(taken, [corners], 1)
        else:
            cv2.polylines(taken, [corners], True, 1)
    for line in avoid:
        taken[line.rows, line.columns] = 1
    for mark in reversed(marks):
        places = [place for text in mark.texts for place in _places(mark, text, canvas, scale)]
        free = [place for place in places if not taken[place.rows, place.columns].any()]
        for place in (free or places if every else free)[:1]:
            taken[place.rows, place.columns] = 1
            _write_text(canvas, place.text, place.columns.start, place.rows.start, scale, mark.color)


def _places(mark: _Mark, text: str, canvas: Image, scale: float) -> list[_Text]:
    """A text just above and just below a polygon, moved into the picture where it would not fit."""
    width, height = _text_wh(text, scale)
    x = int(np.clip(mark.polygon[:, 0].mean() - width / 2, 0, max(0, canvas.shape[1] - width)))
    tops = (int(np.floor(mark.polygon[:, 1].min())) - height - 1, int(np.ceil(mark.polygon[:, 1].max())) + 2)
    inside = [int(np.clip(y, 0, max(0, canvas.shape[0] - height))) for y in tops]
    return [_Text(text, slice(y, y + height), slice(x, x + width), mark.color) for y in inside]


def _legend_lines(marks: Sequence[_Mark], image_height: int, scale: float) -> list[_Text]:
    """The classes that occur, with their counts, stacked in the lower left corner."""
    named = Counter((mark.name, mark.color) for mark in marks if mark.name is not None)
    step = _text_wh("", scale)[1] + 2
    lines = []
    for number, ((name, color), count) in enumerate(sorted(named.items())):
        text, y = f"{name} {count}", max(0, image_height - step * (len(named) - number))
        lines.append(_Text(text, slice(y, y + step), slice(3, 3 + _text_wh(text, scale)[0]), color))
    return lines


def _text_wh(text: str, scale: float) -> tuple[int, int]:
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    return width + 4, height + base + 1


def _write_text(canvas: Image, text: str, x: int, y: int, scale: float, ground: Colour) -> None:
    """Text on a ground of its colour, its upper left corner at (x, y)."""
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    cv2.rectangle(canvas, (x, y), (x + width + 3, y + height + base), ground, cv2.FILLED)
    cv2.putText(canvas, text, (x + 2, y + height + 1), _FONT, scale, _ink(ground), 1, cv2.LINE_AA)


def _ink(ground_bgr: Colour) -> Colour:
    """Black on light grounds, white on dark ones."""
    blue, green, red = ground_bgr
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else (255, 255, 255)


def _fit_into(cell: Image, image: Image) -> None:
    scale = min(cell.shape[0] / image.shape[0], cell.shape[1] / image.shape[1])
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    top, left = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    cell[top : top + height, left : left + width] = small


def _copy_as_colour(image: Image) -> Image:
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise UserError(f"an image is (H, W, 3) of uint8, not {pixels.shape} of {pixels.dtype}")
    return np.ascontiguousarray(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy())


def _check_count(what: str, given: Any, count: int, owners: str = "polygons") -> None:
    if given is not None and len(given) != count:
        raise UserError(f"{len(given)} {what} for {count} {owners}")


def _lies_in(target: Path, given: Path) -> bool:
    """Whether ``target`` is the file ``given``, or lies in the folder ``given``."""
    inside, outer = target.resolve(), given.resolve()
    return inside == outer or outer in inside.parents

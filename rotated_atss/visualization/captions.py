"""Captions of boxes and the class legend, placed so that they hide neither boxes nor each other."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png import Image

Color = tuple[int, int, int]

_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LARGE_AREA = 10_000  # px^2: captions can lie inside boxes above this area


@dataclass(frozen=True)
class Annotation:
    """A box to draw: its polygon (4, 2), BGR color, class and score."""

    polygon: NDArray[np.float64]
    color: Color
    name: str | None
    score: float | None

    @property
    def captions(self) -> list[str]:
        """Candidate captions, the longest first: class and score, then the score alone."""
        score = [] if self.score is None else [f"{self.score:.2f}"]
        name = [] if self.name is None else [ascii_text(self.name)]
        return [" ".join(name + score)] + (score if name else []) if name + score else []


@dataclass(frozen=True)
class TextBox:
    """A text, the pixels that it covers, and its background color, BGR."""

    text: str
    rows: slice
    columns: slice
    color: Color


def ascii_text(text: str) -> str:
    r"""Return a text in the characters of OpenCV's font: letters without accents, others as their code points.

    Example:
        >>> ascii_text("Großer Kühlturm"), ascii_text("漁船")
        ('Grosser Kuhlturm', '\\u6f01\\u8239')
    """
    return "".join(map(_ascii_letter, unicodedata.normalize("NFC", text).translate(_LETTERS)))


def _ascii_letter(letter: str) -> str:
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if base.isascii() and base else letter.encode("ascii", "backslashreplace").decode()


def place_captions(
    annotations: Sequence[Annotation], image_hw: tuple[int, int], scale: float, reserved: Sequence[TextBox]
) -> list[TextBox]:
    """Choose the captions that fit, in descending order of score.

    Args:
        annotations: In ascending order of score.
        image_hw: Height and width of the image.
        scale: OpenCV's font scale.
        reserved: Text that captions must not overlap.

    Returns:
        At most one caption per annotation, at the first free position.

    Example:
        >>> square = np.array([[20.0, 40], [60, 40], [60, 60], [20, 60]])
        >>> annotations = [Annotation(square, (255, 0, 0), "ship", 0.9)]
        >>> [text_box.text for text_box in place_captions(annotations, (100, 200), 0.36, [])]
        ['ship 0.90']
    """
    occupied = _occupied(annotations, image_hw)
    for text_box in reserved:
        occupied[text_box.rows, text_box.columns] = 1
    placed = []
    for annotation in reversed(annotations):
        for text_box in _candidates(annotation, image_hw, scale):
            if not occupied[text_box.rows, text_box.columns].any():
                occupied[text_box.rows, text_box.columns] = 1
                placed.append(text_box)
                break
    return placed


def place_legend(annotations: Sequence[Annotation], image_height: int, scale: float) -> list[TextBox]:
    """Stack the classes that occur, with their counts, in the lower left corner.

    Example:
        >>> annotations = [Annotation(np.zeros((4, 2)), (255, 0, 0), "ship", None)] * 2
        >>> [text_box.text for text_box in place_legend(annotations, image_height=100, scale=0.36)]
        ['ship 2']
    """
    counts = Counter((annotation.name, annotation.color) for annotation in annotations if annotation.name is not None)
    step = _text_wh("", scale)[1] + 2
    lines = []
    for index, ((name, color), count) in enumerate(sorted(counts.items())):
        text, y = f"{ascii_text(name)} {count}", max(0, image_height - step * (len(counts) - index))
        lines.append(TextBox(text, slice(y, y + step), slice(3, 3 + _text_wh(text, scale)[0]), color))
    return lines


def write_text(canvas: Image, text_box: TextBox, scale: float) -> None:
    """Write a text on a background of its color, in place.

    Example:
        >>> canvas = np.zeros((20, 40, 3), np.uint8)
        >>> write_text(canvas, TextBox("ship", slice(0, 12), slice(0, 30), (255, 0, 0)), scale=0.36)
        >>> canvas[0, 0].tolist()
        [255, 0, 0]
    """
    x, y = text_box.columns.start, text_box.rows.start
    (width, height), baseline = cv2.getTextSize(text_box.text, _FONT, scale, 1)
    cv2.rectangle(canvas, (x, y), (x + width + 3, y + height + baseline), text_box.color, cv2.FILLED)
    origin, color = (x + 2, y + height + 1), _text_color(text_box.color)
    cv2.putText(canvas, text_box.text, origin, _FONT, scale, color, 1, cv2.LINE_AA)


def _occupied(annotations: Sequence[Annotation], image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask (H, W) of small boxes and of the outlines of large ones."""
    occupied = np.zeros(image_hw, np.uint8)
    for annotation in annotations:  # one call per polygon: fillPoly leaves overlaps of one call empty
        corners = np.floor(annotation.polygon).astype(np.int32)
        if cv2.contourArea(corners) < _LARGE_AREA:
            cv2.fillPoly(occupied, [corners], 1)
        else:
            cv2.polylines(occupied, [corners], True, 1)
    return occupied


def _candidates(annotation: Annotation, image_hw: tuple[int, int], scale: float) -> list[TextBox]:
    """Place every caption just above and just below the polygon, moved into the image."""
    polygon, candidates = annotation.polygon, []
    for text in annotation.captions:
        width, height = _text_wh(text, scale)
        x = int(np.clip(polygon[:, 0].mean() - width / 2, 0, max(0, image_hw[1] - width)))
        tops = (int(np.floor(polygon[:, 1].min())) - height - 1, int(np.ceil(polygon[:, 1].max())) + 2)
        for y in (int(np.clip(top, 0, max(0, image_hw[0] - height))) for top in tops):
            candidates.append(TextBox(text, slice(y, y + height), slice(x, x + width), annotation.color))
    return candidates


def _text_wh(text: str, scale: float) -> tuple[int, int]:
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    return width + 4, height + baseline + 1


def _text_color(background_bgr: Color) -> Color:
    """Return black for light backgrounds, white for dark ones."""
    blue, green, red = background_bgr
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 130 else (255, 255, 255)

"""Write text on images: convert it to the characters of OpenCV's font, measure it and draw it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png import Image

Color = tuple[int, int, int]  # BGR in this module
Point = tuple[int, int]
Leader = tuple[Point, Point]  # line from a caption to its box

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Unicode normalization does not decompose these letters into ASCII letters and accents.
_REPLACEMENTS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
)


@dataclass(frozen=True)
class Annotation:
    """A box to draw.

    Attributes:
        polygon: (4, 2) corners in pixels.
        color: BGR.
        name: Class name, or None.
        score: Score, or None.
        dashed: Whether the outline is dashed.
    """

    polygon: NDArray[np.float64]
    color: Color
    name: str | None
    score: float | None
    dashed: bool = False

    @property
    def captions(self) -> list[str]:
        """Alternative captions, the longest first: class with score, then the score. Unknown parts are left out."""
        score = None if self.score is None else f"{self.score:.2f}"
        if self.name is None:
            return [] if score is None else [score]
        name = ascii_text(self.name)
        return [name] if score is None else [f"{name} {score}", score]


@dataclass(frozen=True)
class TextBox:
    """Text at a position of an image.

    Attributes:
        text: The text.
        rows: Rows of the image that the text covers.
        columns: Columns of the image that the text covers.
        color: Color of the background, BGR.
        leader: Line from a caption to its box; None if the text needs no line.
    """

    text: str
    rows: slice
    columns: slice
    color: Color
    leader: Leader | None = None


def ascii_text(text: str) -> str:
    r"""Convert text to ASCII, the characters of OpenCV's font.

    Accents are dropped. Letters without an ASCII form are written as code points.

    Example:
        >>> ascii_text("Großer Kühlturm"), ascii_text("漁船")
        ('Grosser Kuhlturm', '\\u6f01\\u8239')
    """
    return "".join(map(_ascii_letter, unicodedata.normalize("NFC", text).translate(_REPLACEMENTS)))


def _ascii_letter(letter: str) -> str:
    # NFKD separates a letter from its accents, which are combining characters and can then be dropped.
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    has_ascii_form = bool(base) and base.isascii()  # ``base`` is empty for an accent without a letter
    return base if has_ascii_form else letter.encode("ascii", "backslashreplace").decode()


def draw_leader(canvas: Image, text_box: TextBox) -> None:
    """Draw the leader of a caption, the line to its box, in place. A caption without a leader draws nothing.

    Example:
        >>> canvas = np.zeros((20, 40, 3), np.uint8)
        >>> caption = TextBox("a", slice(0, 9), slice(0, 9), color=(255, 0, 0), leader=((9, 4), (30, 4)))
        >>> draw_leader(canvas, caption)
        >>> canvas[4, 20].tolist()  # on the leader, which is anti-aliased
        [232, 0, 0]
        >>> canvas[9, 20].tolist()  # below the leader
        [0, 0, 0]
    """
    if text_box.leader is not None:
        cv2.line(canvas, *text_box.leader, text_box.color, 1, cv2.LINE_AA)


def write_text(canvas: Image, text_box: TextBox, scale: float) -> None:
    """Write text on a rectangle of its background color, in place.

    Example:
        >>> canvas = np.zeros((20, 40, 3), np.uint8)
        >>> caption = TextBox("ship", slice(0, 12), slice(0, 30), color=(255, 0, 0))
        >>> write_text(canvas, caption, scale=0.36)
        >>> canvas[0, 0].tolist()
        [255, 0, 0]
    """
    x, y = text_box.columns.start, text_box.rows.start
    (width, height), baseline = cv2.getTextSize(text_box.text, _FONT, scale, 1)
    cv2.rectangle(canvas, (x, y), (x + width + 3, y + height + baseline), text_box.color, cv2.FILLED)
    baseline_start = (x + 2, y + height + 1)
    text_color = _text_color(text_box.color)
    cv2.putText(canvas, text_box.text, baseline_start, _FONT, scale, text_color, 1, cv2.LINE_AA)


def text_wh(text: str, scale: float) -> tuple[int, int]:
    """Return width and height of text with its background, in pixels.

    Example:
        >>> text_wh("ship", 0.36)
        (28, 14)
    """
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    return width + 4, height + baseline + 1  # write_text draws a background that is larger than the text by this much


def _text_color(background_bgr: Color) -> Color:
    """Return black for a light background and white for a dark one, according to its luma (ITU-R BT.601)."""
    blue, green, red = background_bgr
    luma = 0.114 * blue + 0.587 * green + 0.299 * red  # 0 to 255
    return (0, 0, 0) if luma > 130 else (255, 255, 255)

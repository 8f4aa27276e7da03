"""Choose the colors and line styles of classes, from a palette that color-blind readers can distinguish.

The palette ``safe`` is the default. Its nine colors differ by at least 33 in CIE Lab (1976) for normal vision,
protanopia and deuteranopia, and by at least 18 for tritanopia; a difference of 2.3 is just noticeable (Mahy et al.,
Color Research and Application 19, 1994). Nine further classes get the same colors with dashed lines. The DOTA classes
with large or rare objects have dashed lines.

The older palette ``dota`` has more colors, but the colors of two of the 15 classes of DOTA-v1.0 differ by only 2 for
deuteranopia.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.classes import PALETTE as DOTA_COLORS
from rotated_atss.errors import UserError

Color = tuple[int, int, int]  # RGB in this module

PALETTE_NAMES = ("safe", "dota")  # their colors are SAFE_COLORS and DOTA_COLORS

SAFE_COLORS: tuple[Color, ...] = (
    (255, 240, 45),  # yellow
    (30, 240, 180),  # turquoise
    (180, 255, 135),  # light green
    (165, 60, 255),  # violet
    (195, 135, 0),  # ochre
    (210, 210, 255),  # lavender
    (150, 135, 225),  # periwinkle
    (150, 120, 75),  # brown
    (0, 135, 135),  # teal
)
"""RGB colors of ``safe``.

The candidates were RGB values in steps of 15, with a lightness of 50 to 94 and a distance of at least 20 from white.
The nine colors maximize the smallest distance between any two of them.
"""

_SOLID_CLASSES = (
    "plane", "ship", "small-vehicle", "large-vehicle", "storage-tank", "harbor", "tennis-court", "helicopter",
    "swimming-pool",
)  # fmt: skip
_DASHED_CLASSES = (
    "baseball-diamond", "bridge", "basketball-court", "ground-track-field", "soccer-ball-field", "roundabout",
    "helipad", "container-crane", "airport",
)  # fmt: skip


class ClassStyle(NamedTuple):
    """RGB color of a class, and whether its outlines are dashed."""

    color: Color
    dashed: bool = False


# All solid styles come before the dashed ones.
_STYLES = tuple(ClassStyle(color, dashed) for dashed, color in product((False, True), SAFE_COLORS))
_DOTA_STYLES = dict(zip(_SOLID_CLASSES + _DASHED_CLASSES, _STYLES))


def class_styles(names: Iterable[str], palette: str = "safe") -> dict[str, ClassStyle]:
    """Return a style for each class. With the palette ``safe``, up to 18 classes have different styles.

    A DOTA class has the same style in every picture. The other classes get the remaining styles in alphabetical order
    of their names; solid styles are used first.

    Args:
        names: Class names, in any order.
        palette: ``safe``, or ``dota`` for solid lines in the colors of :data:`rotated_atss.dota.classes.PALETTE`.

    Raises:
        UserError: The palette is unknown.

    Example:
        >>> class_styles(["ship", "truck"])["ship"]
        ClassStyle(color=(30, 240, 180), dashed=False)
        >>> styles = class_styles(["truck", "tree"])
        >>> styles["tree"].color == styles["truck"].color
        False
    """
    if palette not in PALETTE_NAMES:
        raise UserError(f"the palette must be one of {', '.join(PALETTE_NAMES)}, got '{palette}'")
    if palette == "dota":
        return {name: ClassStyle(color) for name, color in class_colors(names).items()}
    unique_names = set(names)
    dota_styles = {name: _DOTA_STYLES[name] for name in sorted(unique_names) if name in _DOTA_STYLES}
    others = sorted(unique_names - dota_styles.keys())
    available = [style for style in _STYLES if style not in dota_styles.values()]
    if not available:  # the DOTA classes among the names use all styles, so the other classes have to share them
        available = list(_STYLES)
    return dota_styles | {name: available[index % len(available)] for index, name in enumerate(others)}


def class_color(name: str) -> Color:
    """Return the RGB color of a class in the palette ``dota``.

    A DOTA class has its own color in this palette. Any other class gets a color that depends only on its name.

    Example:
        >>> class_color("plane") == class_color("plane")
        True
    """
    dota_classes = CLASSES["v2.0"]
    if name in dota_classes:
        index = dota_classes.index(name)
    else:  # this hash is the same in every process, unlike Python's hash of a string
        index = sum(ord(letter) * 31**position for position, letter in enumerate(name))
    return DOTA_COLORS[index % len(DOTA_COLORS)]


def class_colors(names: Iterable[str]) -> dict[str, Color]:
    """Return an RGB color of the palette ``dota`` for each class; the order of the names has no influence.

    A DOTA class has its own color in this palette. Any other class has its :func:`class_color`, or the next free color
    if another non-DOTA class already has this color. Non-DOTA classes therefore have different colors until the palette
    is used up, but a non-DOTA class can have the color of a DOTA class.

    Example:
        >>> colors = class_colors(["truck", "tree", "pier"])
        >>> len(set(colors.values()))
        3
    """
    colors: dict[str, Color] = {}
    used_by_non_dota: set[Color] = set()
    for name in sorted(set(names)):
        preferred = class_color(name)
        if name in CLASSES["v2.0"]:
            colors[name] = preferred
            continue
        start = DOTA_COLORS.index(preferred)
        unused = [color for color in DOTA_COLORS[start:] + DOTA_COLORS[:start] if color not in used_by_non_dota]
        colors[name] = unused[0] if unused else preferred
        used_by_non_dota.add(colors[name])
    return colors

"""Colors and line styles of classes: a palette for color-blind readers, and the older one.

``safe`` is the default. Its nine colors differ by at least 33 in CIE Lab (1976) for normal vision, protanopia and
deuteranopia, and by at least 18 for tritanopia; 2.3 is just noticeable (Mahy et al., Color Research and Application 19,
1994). In ``dota`` two of the 15 classes of DOTA-v1.0 differ by 2 for deuteranopia. With dashed lines the nine colors of
``safe`` serve nine further classes; of DOTA's classes, those with large or rare objects are dashed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from rotated_atss.dota.classes import CLASSES, PALETTE
from rotated_atss.errors import UserError

Color = tuple[int, int, int]

PALETTES = ("safe", "dota")

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
"""RGB colors of ``safe``, found by a search over RGB values in steps of 15: the nine colors whose smallest distance is
largest, with a lightness of 50 to 94 and a distance of at least 20 from white."""

_SOLID = (
    *("plane", "ship", "small-vehicle", "large-vehicle", "storage-tank", "harbor", "tennis-court"),
    *("helicopter", "swimming-pool"),
)
_DASHED = (
    *("baseball-diamond", "bridge", "basketball-court", "ground-track-field", "soccer-ball-field", "roundabout"),
    *("helipad", "container-crane", "airport"),
)


class ClassStyle(NamedTuple):
    """RGB color of a class, and whether its outlines are dashed."""

    color: Color
    dashed: bool = False


_STYLES = tuple(ClassStyle(color, dashed) for dashed, color in product((False, True), SAFE_COLORS))
_DOTA_STYLES = dict(zip(_SOLID + _DASHED, _STYLES))


def class_styles(names: Iterable[str], palette: str = "safe") -> dict[str, ClassStyle]:
    """Return a style for each class; 18 classes are all different in ``safe``.

    A class of DOTA has the same style in every picture. The other classes, in alphabetical order, get the styles that
    no class of DOTA in ``names`` has, solid ones first.

    Args:
        names: Class names, in any order.
        palette: ``safe``; or ``dota``, the colors of :data:`rotated_atss.dota.classes.PALETTE`, always solid.

    Raises:
        UserError: The palette is unknown.

    Example:
        >>> class_styles(["ship", "truck"])["ship"]
        ClassStyle(color=(30, 240, 180), dashed=False)
        >>> class_styles(["truck", "tree"])["tree"].color != class_styles(["truck", "tree"])["truck"].color
        True
    """
    if palette not in PALETTES:
        raise UserError(f"the palette must be one of {', '.join(PALETTES)}, got '{palette}'")
    if palette == "dota":
        return {name: ClassStyle(color) for name, color in class_colors(names).items()}
    given = set(names)
    known = {name: _DOTA_STYLES[name] for name in sorted(given) if name in _DOTA_STYLES}
    others = sorted(given - known.keys())
    free = [style for style in _STYLES if style not in known.values()] or list(_STYLES)
    return known | {name: free[index % len(free)] for index, name in enumerate(others)}


def class_color(name: str) -> Color:
    """Return the RGB color of a class in ``dota``: its entry of ``PALETTE``, or one derived from the name.

    Example:
        >>> class_color("plane") == class_color("plane")
        True
    """
    known = CLASSES["v2.0"]
    index = known.index(name) if name in known else sum(ord(letter) * 31**i for i, letter in enumerate(name))
    return PALETTE[index % len(PALETTE)]


def class_colors(names: Iterable[str]) -> dict[str, Color]:
    """Return an RGB color for each class: that of :func:`class_color`, or the next one of ``PALETTE`` if it is taken.

    Classes of DOTA always have their color of ``PALETTE``. The colors of other classes differ from each other, unless
    there are more classes than colors. The order of the names has no influence.

    Example:
        >>> colors = class_colors(["truck", "tree", "pier"])
        >>> len(set(colors.values()))
        3
    """
    colors, used = {}, set[Color]()
    for name in sorted(set(names)):
        color = class_color(name)
        if name not in CLASSES["v2.0"]:
            start = PALETTE.index(color)
            free = [other for other in PALETTE[start:] + PALETTE[:start] if other not in used]
            color = free[0] if free else color
            used.add(color)
        colors[name] = color
    return colors

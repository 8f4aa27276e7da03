"""Create the sprites of boats, ships and piers.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic.shapes import Points, ellipse, mirrored, rect, rounded_rect
from rotated_atss.synthetic.sprite import Sprite, pick, rgb, shade

HULL_PAINT = [  # white three times, as most boats are white
    rgb(240, 241, 242),
    rgb(240, 241, 242),
    rgb(240, 241, 242),
    rgb(222, 224, 222),
    rgb(40, 56, 92),
    rgb(150, 46, 44),
]
DECK = [rgb(228, 222, 206), rgb(200, 172, 134), rgb(236, 236, 234)]
COVER_FABRIC = [rgb(40, 70, 136), rgb(36, 38, 44), rgb(150, 40, 44), rgb(228, 228, 224)]
CONTAINERS = [rgb(176, 66, 52), rgb(46, 92, 150), rgb(214, 214, 210), rgb(64, 118, 84), rgb(210, 150, 56)]
PLANKS = [rgb(168, 148, 122), rgb(150, 112, 86), rgb(182, 178, 170)]

# Outlines as fractions of length and width: x to the front, y to the right; the left half is the mirror image.
_HULL = mirrored(
    np.array(
        [
            [0.5, 0.0],
            [0.46, 0.10],
            [0.38, 0.24],
            [0.26, 0.38],
            [0.10, 0.48],
            [-0.10, 0.5],
            [-0.44, 0.44],
            [-0.5, 0.38],
            [-0.5, 0],
        ]
    )
)
_FREIGHTER_HULL = mirrored(
    np.array(
        [[0.5, 0.0], [0.48, 0.16], [0.43, 0.36], [0.36, 0.5], [-0.42, 0.5], [-0.49, 0.40], [-0.5, 0.30], [-0.5, 0.0]]
    )
)


def boat(rng: np.random.Generator, scale: float, length: float | None = None) -> Sprite:
    """Create a motorboat or a sailing boat.

    The boat is at most 10% longer or shorter than ``length`` pixels, by default ``38 * scale``.

    Example:
        >>> boat(np.random.default_rng(0), scale=1.0).name
        'ship'
    """
    length = (length or 38.0 * scale) * rng.uniform(0.9, 1.1)
    width = length * rng.uniform(0.30, 0.36)
    paint, hull = pick(rng, HULL_PAINT, jitter=4), _HULL * (length, width)
    sprite = Sprite.from_outline(hull, "ship", height=5.0 * scale)
    deck = _HULL * (length * 0.93, width * 0.82)
    sprite.fill(hull, shade(paint, 0.9))
    sprite.fill(deck, pick(rng, DECK, jitter=5))
    sprite.line(hull, shade(paint, 0.66), 0.5, closed=True)
    add_top = _add_motor_top if rng.random() < 0.6 else _add_sail_top
    add_top(sprite, length, width, rng)
    return sprite


def _add_motor_top(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    foredeck = _HULL * (length * 0.40, width * 0.55) + (length * 0.20, 0)
    windows = rounded_rect(length * 0.34, width * 0.62, 1.5, -length * 0.06)
    roof = rounded_rect(length * 0.26, width * 0.52, 1.5, -length * 0.08)
    cockpit_cover = rect(length * 0.16, width * 0.54, -length * 0.36)
    sprite.fill(foredeck, rgb(240, 240, 240))
    sprite.fill(windows, rgb(44, 54, 66))  # the roof is painted over their middle, so that a rim of windows remains
    sprite.fill(roof, rgb(246, 246, 246))
    sprite.fill(cockpit_cover, pick(rng, COVER_FABRIC, jitter=6))


def _add_sail_top(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    cabin = ellipse(length * 0.46, width * 0.42, length * 0.02, sides=18)
    cockpit = rect(length * 0.18, width * 0.44, -length * 0.34)
    furled_sail = rect(length * 0.46, max(1.2, width * 0.11), -length * 0.20)
    mast = ellipse(1.6, 1.6, length * 0.04, sides=8)
    sprite.fill(cabin, rgb(238, 238, 236))
    sprite.fill(cockpit, rgb(120, 104, 84))
    sprite.fill(furled_sail, pick(rng, COVER_FABRIC, jitter=6))
    sprite.fill(mast, rgb(60, 60, 64))


def freighter(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a cargo ship with rows of containers, about 105 x 22 pixels at scale 1.

    Example:
        >>> freighter(np.random.default_rng(0), scale=1.0).name
        'ship'
    """
    length = 104.0 * scale * rng.uniform(0.86, 1.1)
    width = length * rng.uniform(0.20, 0.23)
    hull = _FREIGHTER_HULL * (length, width)
    paint = pick(rng, [rgb(60, 66, 84), rgb(140, 50, 44), rgb(52, 84, 80)], jitter=8)
    sprite = Sprite.from_outline(hull, "ship", height=8.0 * scale)
    deck = _FREIGHTER_HULL * (length * 0.95, width * 0.84)
    sprite.fill(hull, paint)
    sprite.fill(deck, rgb(150, 92, 76))
    for x_share in np.linspace(-0.24, 0.32, 8):
        for y_share in (-0.27, 0.0, 0.27):
            container = rect(length * 0.066, width * 0.25, length * x_share, width * y_share)
            sprite.fill(container, pick(rng, CONTAINERS, jitter=8))
    bridge = rect(length * 0.10, width * 0.86, -length * 0.37)
    bridge_windows = rect(length * 0.03, width * 0.70, -length * 0.335)
    funnel = ellipse(length * 0.035, length * 0.035, -length * 0.44, sides=12)
    sprite.fill(bridge, rgb(240, 240, 238))
    sprite.fill(bridge_windows, rgb(50, 60, 70))
    sprite.fill(funnel, rgb(190, 90, 50))
    return sprite


def wake(length: float, width: float, reach: float) -> list[tuple[Points, float]]:
    """Return the foam behind a moving vessel: polygons in the frame of the vessel, each with its opacity.

    The foam ends about ``reach`` pixels behind the vessel. Shorter polygons overlap longer ones, so that the foam fades
    with the distance from the vessel.

    Example:
        >>> len(wake(length=38.0, width=13.0, reach=50.0))
        18
    """
    foam = []
    for share in np.linspace(1.0, 0.2, 6):
        x0, x1 = -0.40 * length, -0.42 * length - share * reach
        inner, outer = width * (0.34 + 0.9 * share), width * (0.40 + 1.05 * share)
        for side in (-1.0, 1.0):
            wake_arm = np.array([(x0, width * 0.30), (x1, inner), (x1, outer), (x0, width * 0.46)])
            foam.append((wake_arm * (1, side), 0.09))
        end_half_width = width * 0.30 * (1 - 0.6 * share)
        trail = [(x0, -0.3 * width), (x1, -end_half_width), (x1, end_half_width), (x0, 0.3 * width)]
        foam.append((np.array(trail), 0.10))
    return foam


def pier(rng: np.random.Generator, length: float, width: float) -> Sprite:
    """Create a pier on piles; its front points away from the shore.

    Example:
        >>> pier(np.random.default_rng(0), length=100.0, width=14.0).extent
        (-50.0, -7.0, 50.0, 7.0)
    """
    paint = pick(rng, PLANKS, jitter=6)
    deck = rect(length, width)
    sprite = Sprite.from_outline(deck, "harbor", height=5.0)
    sprite.fill(deck, paint, grain=5.0)
    for x in np.arange(-length / 2 + 3, length / 2 - 1, 3.2):
        sprite.line([(x, -width / 2 + 0.6), (x, width / 2 - 0.6)], shade(paint, rng.uniform(0.82, 0.95)), 0.6)
    sprite.line(rect(length - 1, width - 1), shade(paint, 0.66), 0.9, closed=True)
    for x in np.arange(-length / 2 + 6, length / 2 - 3, 15.0):
        for side in (-1, 1):
            bollard = ellipse(2.2, 2.2, x, side * (width / 2 - 1.8), sides=8)
            sprite.fill(bollard, rgb(232, 230, 224))
    return sprite

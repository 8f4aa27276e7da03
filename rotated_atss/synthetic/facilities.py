"""Create the sprites of courts, baseball diamonds, pools and storage tanks.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic.shapes import Points, arc, ellipse, mirrored, quad_of, rect, rounded_rect
from rotated_atss.synthetic.sprite import Color, Sprite, pick, rgb, shade

WHITE = rgb(238, 240, 238)
TENNIS_COURT = [rgb(62, 110, 160), rgb(84, 134, 96), rgb(178, 104, 74)]
TENNIS_SURROUND = [rgb(84, 128, 92), rgb(60, 96, 78), rgb(150, 84, 66)]
HARDWOOD = [rgb(196, 122, 74), rgb(150, 70, 66), rgb(206, 150, 90)]
KEY_PAINT = [rgb(40, 74, 140), rgb(60, 64, 120), rgb(30, 104, 110)]
# White occurs twice, so it is picked twice as often as the other colors.
TANK_PAINT = [rgb(234, 235, 232), rgb(234, 235, 232), rgb(214, 210, 196), rgb(190, 194, 196)]


def tennis_court(rng: np.random.Generator, scale: float, colors: tuple[Color, Color] | None = None) -> Sprite:
    """Create a tennis court of 84 x 38.8 pixels at scale 1.

    The box of the court includes the outer lines, but not the surround.

    Args:
        rng: Random generator.
        scale: Size relative to the default.
        colors: Colors of the court and its surround; None for random ones.

    Example:
        >>> tennis_court(np.random.default_rng(0), scale=1.0).extent
        (-42.0, -19.4, 42.0, 19.4)
    """
    length, width = 84.0 * scale, 38.8 * scale
    court_color, surround_color = colors or random_tennis_colors(rng)
    sprite = Sprite.from_outline(rect(length, width), "tennis-court")
    sprite.fill(rect(length * 1.22, width * 1.34), surround_color, grain=3.5)
    sprite.fill(rect(length, width), court_color, grain=3.0)
    sprite.line(rect(length - 1, width - 1), WHITE, 1.0, closed=True)
    singles_y = width * 0.375  # distance of the singles sidelines from the center
    service_x = length * 0.27  # distance of the service lines from the center
    for side in (-1, 1):
        sprite.line([(-length / 2, singles_y * side), (length / 2, singles_y * side)], WHITE, 0.8)
        sprite.line([(service_x * side, -singles_y), (service_x * side, singles_y)], WHITE, 0.8)
    center_line = [(-service_x, 0), (service_x, 0)]
    sprite.line(center_line, WHITE, 0.8)
    net_shadow = [(1.0, -width * 0.54), (1.0, width * 0.54)]
    sprite.line(net_shadow, rgb(40, 48, 46), 1.2, alpha=0.6)
    net = [(0, -width * 0.54), (0, width * 0.54)]
    sprite.line(net, rgb(226, 228, 226), 0.8)
    return sprite


def random_tennis_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    """Choose the colors of a tennis court and its surround at random.

    Example:
        >>> len(random_tennis_colors(np.random.default_rng(0)))
        2
    """
    index = int(rng.integers(len(TENNIS_COURT)))
    return pick(rng, [TENNIS_COURT[index]], jitter=6), pick(rng, [TENNIS_SURROUND[index]], jitter=6)


def basketball_court(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a basketball court of 62 x 33 pixels at scale 1.

    The box of the court includes the outer lines, but not the surround.

    Example:
        >>> basketball_court(np.random.default_rng(0), scale=1.0).extent
        (-31.0, -16.5, 31.0, 16.5)
    """
    length, width = 62.0 * scale, 33.0 * scale
    floor_color = pick(rng, HARDWOOD, jitter=6)
    key_color = pick(rng, KEY_PAINT, jitter=6)  # the keys are the painted areas in front of the baskets
    sprite = Sprite.from_outline(rect(length, width), "basketball-court")
    sprite.fill(rect(length + 7, width + 7), shade(floor_color, 0.62), grain=3.0)
    sprite.fill(rect(length, width), floor_color, grain=3.0)
    center_circle = ellipse(width * 0.34, width * 0.34)
    sprite.fill(center_circle, key_color)
    for side in (-1, 1):
        baseline_x = side * length / 2
        key_area = rect(length * 0.2, width * 0.36, baseline_x - side * length * 0.1)
        # On the right side, the arc is mirrored, so that both arcs bulge towards the center of the court.
        three_point_arc = arc(width * 0.40, -np.pi / 2, np.pi / 2) * (-side, 1)
        three_point_line = three_point_arc + np.array([baseline_x - side * length * 0.055, 0])
        sprite.fill(key_area, key_color)
        sprite.line(three_point_line, WHITE, 0.8)
        sprite.line(key_area, WHITE, 0.7, closed=True)
    sprite.line([(0, -width / 2), (0, width / 2)], WHITE, 0.8)
    sprite.line(center_circle, WHITE, 0.8, closed=True)
    sprite.line(rect(length - 1, width - 1), WHITE, 1.0, closed=True)
    return sprite


def baseball_diamond(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a baseball infield of about 84 pixels per side at scale 1.

    The infield is a quarter of a circle, and its two straight edges are the foul lines. They meet next to home plate,
    in the corner (-side / 2, -side / 2).

    Example:
        >>> baseball_diamond(np.random.default_rng(0), scale=1.0).name
        'baseball-diamond'
    """
    side = 84.0 * scale * rng.uniform(0.9, 1.08)
    dirt = pick(rng, [rgb(186, 140, 100), rgb(172, 118, 82), rgb(196, 156, 112)], jitter=6)
    grass = pick(rng, [rgb(96, 132, 70), rgb(110, 140, 80)], jitter=6)
    corner = -side / 2
    fan = np.concatenate([[[corner, corner]], arc(side, 0.0, np.pi / 2, corner, corner, sides=28)])
    sprite = Sprite.from_outline(fan, "baseball-diamond")
    sprite.fill(fan, dirt, grain=4.0)
    # Home plate and the bases are the corners of a square, which extends from low to high along both axes.
    low = corner + side * 0.10
    high = low + side * 0.58
    sprite.fill(quad_of((low + 3, low + 3, high - 3, high - 3)), grass, grain=4.0)
    _add_bases(sprite, low, high, dirt)
    line_end = side / 2 - 2
    for end_x, end_y in ((line_end, corner), (corner, line_end)):
        foul_line = np.array([(corner, corner), (end_x, end_y)])
        sprite.line(foul_line + 1.0, WHITE, 0.8, alpha=0.8)
    return sprite


def _add_bases(sprite: Sprite, low: float, high: float, dirt: Color) -> None:
    """Add home plate, the bases, and the pitcher's mound in the middle."""
    middle, mound_diameter = (low + high) / 2, (high - low) * 0.17
    for x, y in ((low, low), (high, low), (high, high), (low, high)):
        sprite.fill(ellipse(mound_diameter * 1.7, mound_diameter * 1.7, x, y, sides=24), dirt)
    sprite.fill(ellipse(mound_diameter, mound_diameter, middle, middle, sides=20), shade(dirt, 1.05))
    for x, y in ((low, low), (high, low), (high, high), (low, high), (middle, middle)):
        sprite.fill(rect(2.0, 2.0, x, y), WHITE)


def swimming_pool(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a rectangular, oval or kidney-shaped pool, about 36 x 20 pixels at scale 1, including its coping.

    Example:
        >>> swimming_pool(np.random.default_rng(0), scale=1.0).name
        'swimming-pool'
    """
    length = 34.0 * scale * rng.uniform(0.85, 1.25)
    width = length * rng.uniform(0.48, 0.62)
    water = pick(rng, [rgb(86, 190, 206), rgb(70, 168, 200), rgb(110, 204, 208)], jitter=7)
    outline = _pool_outline(rng, length, width)
    center = outline.mean(axis=0)
    basin = (outline - center) * ((length - 4) / length, (width - 4) / width) + center
    deep_end = basin * 0.72 + (length * 0.05, 0)
    sprite = Sprite.from_outline(outline, "swimming-pool")
    sprite.fill(outline, pick(rng, [rgb(222, 214, 198), rgb(236, 234, 228)], jitter=5))
    sprite.fill(basin, water, grain=4.0)
    sprite.fill(deep_end, shade(water, 0.90), alpha=0.6)
    sprite.line(basin, shade(water, 0.72), 0.7, closed=True)
    steps = rect(length * 0.05, width * 0.26, -length * 0.40)
    sprite.fill(steps, rgb(228, 240, 240), alpha=0.8)
    return sprite


def _pool_outline(rng: np.random.Generator, length: float, width: float) -> Points:
    kind = rng.choice(["rectangle", "oval", "kidney"], p=[0.55, 0.2, 0.25])
    if kind == "rectangle":
        return rounded_rect(length, width, 2.5)
    if kind == "oval":
        return ellipse(length, width)
    angles = np.arange(48) * (2 * np.pi / 48)
    # A kidney is an oval with a dent in the middle of one long side, at the angle pi / 2.
    dent_factor = 1 - 0.30 * np.exp(-((angles - np.pi / 2) ** 2) / 0.25)
    return np.stack([length / 2 * np.cos(angles), width / 2 * np.sin(angles) * dent_factor], axis=1)


def storage_tank(rng: np.random.Generator, scale: float, radius: float | None = None) -> Sprite:
    """Create a storage tank with a cone roof or a floating roof.

    Without ``radius``, the diameter of the tank is about 46 pixels at scale 1.

    Example:
        >>> storage_tank(np.random.default_rng(0), scale=1.0, radius=20.0).name
        'storage-tank'
    """
    radius = radius or 23.0 * scale * rng.uniform(0.75, 1.25)
    paint = pick(rng, TANK_PAINT, jitter=5)
    wall = ellipse(2 * radius, 2 * radius, sides=64)
    sprite = Sprite.from_outline(wall, "storage-tank", height=radius * 0.75)
    sprite.fill(wall, shade(paint, 0.74))
    add_roof = _add_cone_roof if rng.random() < 0.65 else _add_floating_roof
    add_roof(sprite, radius, paint)
    stairs_start = rng.uniform(0, 6.28)
    sprite.line(arc(radius - 0.8, stairs_start, stairs_start + 0.9), shade(paint, 0.5), 1.1)
    return sprite


def _add_cone_roof(sprite: Sprite, radius: float, paint: Color) -> None:
    for start in np.arange(16) * (np.pi / 8):
        rim = arc(radius - 1.4, start, start + np.pi / 8, sides=5)
        sector = np.concatenate([[[0.0, 0.0]], rim])
        middle = start + np.pi / 16
        sprite.fill(sector, paint, normal_xy=(np.cos(middle) * 0.7, np.sin(middle) * 0.7))
    sprite.fill(ellipse(radius * 0.2, radius * 0.2, sides=14), shade(paint, 0.8))


def _add_floating_roof(sprite: Sprite, radius: float, paint: Color) -> None:
    inner = ellipse(2 * radius - 4, 2 * radius - 4, sides=48)
    rim = ellipse(2 * radius - 1.5, 2 * radius - 1.5, sides=48)
    sprite.line(rim, shade(paint, 1.06), 1.3, closed=True)
    sprite.fill(inner, shade(paint, 0.86))
    # Both halves of the roof, right (x >= 0) and left, slope down towards the center.
    right_half = mirrored(arc(radius - 2, 0.0, np.pi / 2, sides=14))
    for side in (1.0, -1.0):
        sprite.fill(right_half * (side, 1), shade(paint, 0.84), normal_xy=(-0.5 * side, 0.0))
    ladder = [(-radius * 0.9, 0.0), (radius * 0.5, 0.0)]  # reaches from the rim across the center of the roof
    sprite.line(ladder, shade(paint, 0.6), 1.1)
    drain = ellipse(radius * 0.16, radius * 0.16, radius * 0.4, sides=12)
    sprite.fill(drain, shade(paint, 0.66))

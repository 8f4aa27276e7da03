"""Create the sprites of unlabeled objects, whose ``name`` is None: trees, bushes, buildings, sheds and crates.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic.shapes import Points, ellipse, rect
from rotated_atss.synthetic.sprite import Color, Sprite, pick, rgb, shade

ROOF_TILES = [rgb(166, 92, 70), rgb(140, 84, 70), rgb(120, 112, 108), rgb(96, 90, 92), rgb(176, 140, 108)]
FLAT_ROOF = [rgb(176, 174, 168), rgb(198, 196, 190), rgb(146, 146, 146), rgb(110, 116, 122), rgb(186, 170, 150)]
SHED_ROOF = [rgb(186, 190, 194), rgb(120, 138, 150), rgb(150, 110, 96), rgb(206, 206, 200)]


def tree(rng: np.random.Generator, leaves: list[Color], diameter: float) -> Sprite:
    """Create a tree with an irregular crown. The clumps of leaves on the side of the sun are lighter.

    Example:
        >>> tree(np.random.default_rng(0), [(60, 90, 50)], diameter=12.0).name is None
        True
    """
    angles = np.arange(18) * (2 * np.pi / 18)
    radii = diameter / 2 * rng.uniform(0.82, 1.06, 18)
    crown = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    paint = pick(rng, leaves, jitter=7)
    sprite = Sprite.from_outline(crown, height=diameter * 0.8)
    sprite.fill(crown, shade(paint, 0.72))
    for _ in range(max(5, int(diameter / 2))):
        angle, radius = rng.uniform(0, 2 * np.pi), diameter * 0.32 * np.sqrt(rng.random())
        direction = (float(np.cos(angle)), float(np.sin(angle)))
        size = diameter * rng.uniform(0.18, 0.36)
        clump = ellipse(size, size * rng.uniform(0.7, 1.0), radius * direction[0], radius * direction[1], sides=9)
        sprite.fill(clump, shade(paint, rng.uniform(0.85, 1.15)), normal_xy=direction)
    return sprite


def dwelling(rng: np.random.Generator, length: float, width: float) -> Sprite:
    """Create a dwelling with a hipped roof.

    Example:
        >>> dwelling(np.random.default_rng(0), length=34.0, width=24.0).extent
        (-17.0, -12.0, 17.0, 12.0)
    """
    paint = pick(rng, ROOF_TILES, jitter=8)
    sprite = Sprite.from_outline(rect(length, width), height=11.0)
    half_l, half_w = length / 2, width / 2
    half_ridge = max(0.0, (length - width) / 2) + 0.8  # half the length of the ridge, the top line of the roof
    for side in (-1.0, 1.0):
        long_slope = np.array([[half_l, side * half_w], [-half_l, side * half_w], [-half_ridge, 0], [half_ridge, 0]])
        sprite.fill(long_slope, paint, normal_xy=(0.0, side))
        end_slope = np.array([[side * half_l, -half_w], [side * half_l, half_w], [side * half_ridge, 0]])
        sprite.fill(end_slope, paint, normal_xy=(side, 0.0))
    sprite.line([(-half_ridge, 0), (half_ridge, 0)], shade(paint, 0.75), 0.7)
    chimney_x, chimney_y = rng.uniform(-0.25, 0.25, 2) * (length, width)
    sprite.fill(rect(3.0, 3.0, chimney_x, chimney_y), shade(paint, 0.55))
    return sprite


def flat_building(rng: np.random.Generator, length: float, width: float) -> Sprite:
    """Create a building with a flat roof, a parapet, and technical units (such as air conditioners) on the roof.

    Example:
        >>> flat_building(np.random.default_rng(0), length=50.0, width=40.0).extent
        (-25.0, -20.0, 25.0, 20.0)
    """
    paint = pick(rng, FLAT_ROOF, jitter=7)
    outline = rect(length, width)
    sprite = Sprite.from_outline(outline, height=20.0)
    sprite.fill(outline, shade(paint, 1.1))
    sprite.fill(rect(length - 3.5, width - 3.5), paint, grain=5.0)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(-0.36, 0.36, 2) * (length, width)
        unit = rect(rng.uniform(4, 9), rng.uniform(4, 7), x, y)
        shadow = unit + 1.2  # the offset is fixed, because the sprite does not know where the sun is
        sprite.fill(shadow, shade(paint, 0.62)).fill(unit, shade(paint, rng.uniform(0.9, 1.25)))
    return sprite


def shed(rng: np.random.Generator, length: float, width: float) -> Sprite:
    """Create a warehouse or hangar with a pitched roof of ribbed sheets.

    Example:
        >>> shed(np.random.default_rng(0), length=60.0, width=30.0).extent
        (-30.0, -15.0, 30.0, 15.0)
    """
    paint = pick(rng, SHED_ROOF, jitter=6)
    outline = rect(length, width)
    sprite = Sprite.from_outline(outline, height=16.0)
    for side in (-1.0, 1.0):
        slope = rect(length, width / 2, 0.0, side * width / 4)
        # The normal is shorter than 1, because the roof is less steep than the roof of a dwelling.
        sprite.fill(slope, paint, normal_xy=(0.0, side * 0.8))
    for x in np.arange(-length / 2 + 5, length / 2, 5.0):
        sprite.line([(x, -width / 2), (x, width / 2)], shade(paint, 0.9), 0.5, alpha=0.7)
    for x in np.arange(-length / 2 + 12, length / 2 - 6, 24.0):
        skylight = rect(6.0, width * 0.18, x, width * 0.22)
        sprite.fill(skylight, rgb(206, 218, 224), alpha=0.8)
    sprite.line(outline, shade(paint, 0.72), 0.8, closed=True)
    return sprite


def bush(rng: np.random.Generator, leaves: list[Color], diameter: float) -> Sprite:
    """Create a bush.

    Example:
        >>> bush(np.random.default_rng(0), [(60, 90, 50)], diameter=8.0).name is None
        True
    """
    paint = shade(pick(rng, leaves, jitter=8), rng.uniform(0.8, 1.1))
    sprite = Sprite.from_outline(ellipse(diameter, diameter * rng.uniform(0.7, 1.0), sides=11), height=diameter * 0.3)
    sprite.fill(ellipse(diameter, diameter * 0.85, sides=11), shade(paint, 0.8))
    sprite.fill(ellipse(diameter * 0.6, diameter * 0.5, sides=9), paint)
    return sprite


def crate(rng: np.random.Generator) -> Sprite:
    """Create a crate, which is nearly square and shorter than a vehicle.

    Example:
        >>> crate(np.random.default_rng(0)).height
        4.0
    """
    side = rng.uniform(5.0, 8.0)
    outline: Points = rect(side, side * rng.uniform(0.7, 1.0))
    sprite = Sprite.from_outline(outline, height=4.0)
    paint = pick(rng, [rgb(110, 92, 72), rgb(84, 96, 84), rgb(150, 146, 140)], jitter=10)
    return sprite.fill(outline, paint).line(outline, shade(paint, 0.65), 0.6, closed=True)

"""Create the sprites of cars, vans, trucks and buses.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic.shapes import ellipse, mirrored, rect, rounded_rect
from rotated_atss.synthetic.sprite import Color, Sprite, blend, pick, rgb, shade

# A color that is listed twice is chosen twice as often.
CAR_PAINT = [
    rgb(236, 236, 234),
    rgb(236, 236, 234),
    rgb(196, 200, 204),
    rgb(196, 200, 204),
    rgb(52, 54, 60),
    rgb(30, 31, 35),
    rgb(168, 40, 38),
    rgb(44, 78, 140),
    rgb(120, 26, 34),
    rgb(196, 184, 150),
    rgb(58, 96, 84),
]
TRUCK_BOX_PAINT = [
    rgb(232, 232, 228),
    rgb(232, 232, 228),
    rgb(214, 216, 220),
    rgb(60, 104, 170),
    rgb(176, 58, 48),
    rgb(226, 176, 56),
]
TRUCK_CAB_PAINT = [rgb(236, 236, 236), rgb(180, 40, 36), rgb(40, 84, 160), rgb(60, 62, 68), rgb(232, 178, 50)]
BUS_PAINT = [rgb(236, 180, 40), rgb(232, 232, 230), rgb(70, 130, 190)]
GLASS = rgb(36, 44, 54)


def car(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a car, van or pickup, about 20 x 9 pixels at scale 1.

    Example:
        >>> car(np.random.default_rng(0), scale=1.0).name
        'small-vehicle'
    """
    length, width = 20.0 * scale * rng.uniform(0.94, 1.06), 9.0 * scale * rng.uniform(0.95, 1.05)
    paint = pick(rng, CAR_PAINT, jitter=6)
    body = rounded_rect(length, width, width * 0.32)
    sprite = Sprite.from_outline(body, "small-vehicle", height=6.0 * scale)
    sprite.fill(body, paint)
    sprite.line(body, shade(paint, 0.72), 0.5, closed=True)
    kind = rng.choice(["car", "van", "pickup"], p=[0.72, 0.16, 0.12])
    add_top = {"car": _add_car_top, "van": _add_van_top, "pickup": _add_pickup_top}[kind]
    add_top(sprite, length, width, paint)
    return sprite


def _add_windshield(sprite: Sprite, x: float, depth: float, width: float) -> None:
    """Add a windshield from ``x`` to ``x + depth`` that is narrower at the front; ``width`` is that of the vehicle."""
    corners = np.array([[x + depth, 0.30], [x, 0.40], [x, -0.40], [x + depth, -0.30]]) * (1, width)
    sprite.fill(corners, GLASS)


def _add_car_top(sprite: Sprite, length: float, width: float, paint: Color) -> None:
    cabin = rounded_rect(length * 0.52, width * 0.82, width * 0.2, -length * 0.06)
    roof = rect(length * 0.26, width * 0.70, -length * 0.09)
    hood_edge = rect(length * 0.05, width * 0.66, length * 0.42)
    sprite.fill(cabin, GLASS)
    sprite.fill(roof, shade(paint, 1.12))
    sprite.fill(hood_edge, shade(paint, 0.86))


def _add_van_top(sprite: Sprite, length: float, width: float, paint: Color) -> None:
    _add_windshield(sprite, length * 0.24, length * 0.12, width)
    roof = rounded_rect(length * 0.66, width * 0.78, 1.0, -length * 0.13)
    sprite.fill(roof, shade(paint, 1.10))


def _add_pickup_top(sprite: Sprite, length: float, width: float, paint: Color) -> None:
    _add_windshield(sprite, length * 0.14, length * 0.12, width)
    roof = rect(length * 0.16, width * 0.72, length * 0.04)
    bed = rect(length * 0.40, width * 0.74, -length * 0.26)
    sprite.fill(roof, shade(paint, 1.10))
    sprite.fill(bed, blend(shade(paint, 0.5), rgb(70, 70, 70), 0.5))


def large_vehicle(rng: np.random.Generator, scale: float, kind: str | None = None) -> Sprite:
    """Create a large vehicle, about 52 x 13 pixels at scale 1; ``kind`` is "truck", "tanker", "bus" or None for any.

    Example:
        >>> large_vehicle(np.random.default_rng(0), scale=1.0).name
        'large-vehicle'
    """
    length, width = 52.0 * scale * rng.uniform(0.88, 1.1), 13.0 * scale * rng.uniform(0.95, 1.06)
    kind = kind or str(rng.choice(["truck", "tanker", "bus"], p=[0.6, 0.15, 0.25]))
    sprite = Sprite.from_outline(rect(length, width), "large-vehicle", height=13.0 * scale)
    add_parts = {"truck": _add_truck, "tanker": _add_tanker, "bus": _add_bus}[kind]
    add_parts(sprite, length, width, rng)
    return sprite


def _add_tractor(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    """Add the cab and the chassis of a truck or tanker with this total length."""
    paint = pick(rng, TRUCK_CAB_PAINT, jitter=6)
    cab_length = length * 0.16
    front_x = length / 2
    chassis = rect(length * 0.30, width * 0.5, length * 0.32)
    cab = rounded_rect(cab_length, width * 0.94, 1.4, front_x - cab_length / 2)
    windshield = rect(cab_length * 0.22, width * 0.8, front_x - cab_length * 0.26)
    roof = rect(cab_length * 0.3, width * 0.6, front_x - cab_length * 0.66)
    sprite.fill(chassis, rgb(46, 46, 50))
    sprite.fill(cab, paint)
    sprite.fill(windshield, GLASS)
    sprite.fill(roof, shade(paint, 1.14))


def _add_truck(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    _add_tractor(sprite, length, width, rng)
    paint, box_length = pick(rng, TRUCK_BOX_PAINT, jitter=5), length * 0.79
    box_x = -length / 2 + box_length / 2
    sprite.fill(rect(box_length, width, box_x), paint)
    for share in np.linspace(0.12, 0.88, 6):
        rib_x = box_x - box_length / 2 + box_length * share
        sprite.line([(rib_x, -width * 0.46), (rib_x, width * 0.46)], shade(paint, 0.90), 0.6)
    sprite.line(rect(box_length - 1, width - 1, box_x), shade(paint, 0.78), 0.6, closed=True)


def _add_tanker(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    _add_tractor(sprite, length, width, rng)
    tank_length = length * 0.78
    tank_x = -length / 2 + tank_length / 2
    steel = rgb(186, 190, 196)
    tank = rounded_rect(tank_length, width, width * 0.4, tank_x)
    tank_top = rounded_rect(tank_length * 0.97, width * 0.6, width * 0.3, tank_x)
    highlight = rect(tank_length * 0.9, width * 0.18, tank_x)
    sprite.fill(tank, shade(steel, 0.78))
    sprite.fill(tank_top, steel)
    sprite.fill(highlight, rgb(238, 240, 242))
    for share in (-0.28, 0.0, 0.28):
        hatch = ellipse(width * 0.28, width * 0.28, tank_x + tank_length * share, sides=12)
        sprite.fill(hatch, rgb(96, 98, 104))


def _add_bus(sprite: Sprite, length: float, width: float, rng: np.random.Generator) -> None:
    paint = pick(rng, BUS_PAINT, jitter=6)
    unit_body = mirrored(np.array([[0.5, 0.0], [0.5, 0.34], [0.47, 0.5], [-0.49, 0.5], [-0.5, 0.44], [-0.5, 0.0]]))
    roof = rect(length * 0.84, width * 0.72, -length * 0.03)
    windshield = rect(length * 0.035, width * 0.84, length * 0.45)
    sprite.fill(unit_body * (length, width), paint)
    sprite.fill(roof, shade(blend(paint, rgb(244, 244, 240), 0.55), 1.03))
    sprite.fill(windshield, GLASS)
    for share in (-0.3, 0.05, 0.28):
        hatch = rect(length * 0.06, width * 0.3, length * share)
        sprite.fill(hatch, rgb(150, 154, 158))

"""Create the sprites of airplanes and helicopters.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic.shapes import Points, ellipse, mirrored, rect, rotate_points
from rotated_atss.synthetic.sprite import Color, Sprite, pick, rgb, shade

# Colors, from which one is picked at random. The first color of LIVERY occurs twice, so it is picked twice as often.
LIVERY = [rgb(240, 241, 242), rgb(240, 241, 242), rgb(226, 229, 233), rgb(206, 210, 214)]
ACCENT = [rgb(190, 40, 44), rgb(34, 70, 150), rgb(236, 160, 40), rgb(30, 110, 90), rgb(90, 92, 98)]
CAMOUFLAGE = [rgb(120, 126, 130), rgb(106, 112, 104), rgb(136, 132, 116)]
HELICOPTER_PAINT = [rgb(196, 44, 40), rgb(226, 178, 46), rgb(60, 76, 60), rgb(50, 70, 120), rgb(234, 234, 232)]

# Outlines of the parts of an airplane. The points describe the right half, and ``mirrored`` adds the left half. The x
# axis points to the front, the y axis to the right. For wings, x is a fraction of the length of the airplane and y a
# fraction of its span. For the fuselage and the tail, x and y are fractions of the length.
_FUSELAGE = mirrored(
    np.array(
        [
            [0.5, 0.0],
            [0.485, 0.022],
            [0.455, 0.040],
            [0.40, 0.05],
            [-0.22, 0.05],
            [-0.38, 0.03],
            [-0.5, 0.008],
            [-0.5, 0],
        ]
    )
)
_SWEPT_WING = mirrored(
    np.array(
        [
            [0.16, 0.0],
            [0.13, 0.05],
            [-0.06, 0.36],
            [-0.125, 0.5],
            [-0.165, 0.5],
            [-0.13, 0.30],
            [-0.09, 0.05],
            [-0.09, 0.0],
        ]
    )
)
_STRAIGHT_WING = mirrored(
    np.array([[0.13, 0.0], [0.13, 0.06], [0.075, 0.5], [0.0, 0.5], [-0.045, 0.06], [-0.045, 0.0]])
)
_DELTA_WING = mirrored(
    np.array([[0.22, 0.0], [0.18, 0.05], [-0.02, 0.18], [-0.28, 0.5], [-0.34, 0.5], [-0.36, 0.05], [-0.36, 0.0]])
)
_TAIL = mirrored(np.array([[-0.36, 0.0], [-0.37, 0.02], [-0.455, 0.17], [-0.495, 0.17], [-0.47, 0.02], [-0.47, 0.0]]))


def plane(rng: np.random.Generator, scale: float, kind: str | None = None) -> Sprite:
    """Create an airplane, which is about 70 pixels long at scale 1.

    Args:
        rng: Random number generator.
        scale: Factor of all lengths.
        kind: "jet", "propeller" or "fighter"; None for a random kind.

    Example:
        >>> plane(np.random.default_rng(0), scale=1.0).name
        'plane'
    """
    kind = kind or str(rng.choice(["jet", "propeller", "fighter"], p=[0.6, 0.25, 0.15]))
    length = {"jet": 76.0, "propeller": 58.0, "fighter": 58.0}[kind] * scale * rng.uniform(0.9, 1.1)
    span = {"jet": 0.92, "propeller": 1.12, "fighter": 0.68}[kind] * length * rng.uniform(0.95, 1.05)
    wing = {"jet": _SWEPT_WING, "propeller": _STRAIGHT_WING, "fighter": _DELTA_WING}[kind] * (length, span)
    paint = pick(rng, CAMOUFLAGE if kind == "fighter" else LIVERY, jitter=5)
    fuselage = _FUSELAGE * (length, length * 1.05)  # 5% wider than _FUSELAGE, which looks too slim
    tail = _TAIL * length
    sprite = Sprite.from_outline(
        np.concatenate([fuselage, wing, tail]), "plane", height=15.0 * scale, detached_shadow=True
    )
    # The concatenated points serve only to compute the box. They do not form a polygon, so the shadow is cast by the
    # parts.
    sprite.shadow_casters = [fuselage, wing, tail]
    _add_airframe(sprite, wing, fuselage, tail, paint)
    add_details = {"jet": _add_jet_details, "propeller": _add_propeller_details, "fighter": _add_fighter_details}[kind]
    add_details(sprite, length, span, rng)
    return sprite


def _add_airframe(sprite: Sprite, wing: Points, fuselage: Points, tail: Points, paint: Color) -> None:
    for surface in (wing, tail):
        sprite.fill(surface, shade(paint, 0.88))
        sprite.line(surface, shade(paint, 0.62), 0.5, closed=True)
    sprite.fill(fuselage, shade(paint, 0.84))
    for side in (-1.0, 1.0):
        half = fuselage[fuselage[:, 1] * side >= 0]
        sprite.fill(half, paint, normal_xy=(0.0, side))
    highlight = fuselage * (0.96, 0.35)
    sprite.fill(highlight, shade(paint, 1.06))


def _add_cockpit(sprite: Sprite, length: float, x: float = 0.43) -> None:
    windshield = mirrored(np.array([[x + 0.025, 0.0], [x + 0.012, 0.022], [x, 0.026], [x, 0.0]])) * length
    sprite.fill(windshield, rgb(34, 40, 48))


def _add_jet_details(sprite: Sprite, length: float, span: float, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        x, y = 0.075 * length, 0.17 * span * side
        engine = ellipse(length * 0.10, length * 0.045, x, y, sides=16)
        intake = ellipse(length * 0.02, length * 0.04, x + length * 0.045, y, sides=10)
        sprite.fill(engine, rgb(150, 154, 160))
        sprite.fill(intake, rgb(60, 62, 68))
    _add_fin(sprite, length, pick(rng, ACCENT, jitter=8))
    _add_cockpit(sprite, length)


def _add_propeller_details(sprite: Sprite, length: float, span: float, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        x, y = 0.13 * length, 0.18 * span * side
        engine = ellipse(length * 0.16, length * 0.05, x - 0.02 * length, y, sides=16)
        propeller = rect(length * 0.012, length * 0.17, x + 0.065 * length, y)
        sprite.fill(engine, rgb(170, 172, 176))
        sprite.fill(propeller, rgb(70, 70, 74), alpha=0.7)
    _add_fin(sprite, length, pick(rng, ACCENT, jitter=8))
    _add_cockpit(sprite, length, 0.40)


def _add_fighter_details(sprite: Sprite, length: float, span: float, rng: np.random.Generator) -> None:
    canopy = ellipse(length * 0.16, length * 0.05, 0.24 * length, sides=18)
    sprite.fill(canopy, rgb(52, 60, 66))
    for side in (-1, 1):
        fin = rect(length * 0.16, length * 0.014, -0.40 * length, 0.06 * length * side)
        nozzle = ellipse(length * 0.05, length * 0.045, -0.48 * length, 0.025 * length * side)
        sprite.fill(fin, rgb(70, 74, 78))
        sprite.fill(nozzle, rgb(44, 44, 48))


def _add_fin(sprite: Sprite, length: float, accent: Color) -> None:
    fin = mirrored(np.array([[-0.33, 0.0], [-0.42, 0.012], [-0.5, 0.014], [-0.5, 0.0]])) * length
    sprite.fill(fin, accent)


def helicopter(rng: np.random.Generator, scale: float) -> Sprite:
    """Create a helicopter, about 52 x 42 pixels at scale 1; its box includes the rotor disc.

    Example:
        >>> helicopter(np.random.default_rng(0), scale=1.0).name
        'helicopter'
    """
    length = 50.0 * scale * rng.uniform(0.92, 1.1)
    rotor_radius, hub_x = 0.41 * length, 0.13 * length
    paint = pick(rng, HELICOPTER_PAINT, jitter=8)
    rotor_disc = ellipse(2 * rotor_radius, 2 * rotor_radius, hub_x)
    boom = rect(0.5 * length, 0.06 * length, -0.27 * length)
    body = ellipse(0.42 * length, 0.20 * length, 0.17 * length)
    sprite = Sprite.from_outline(
        np.concatenate([rotor_disc, boom, body]), "helicopter", height=11.0 * scale, detached_shadow=True
    )
    blades = _blade_outlines(rotor_radius, hub_x, length, rng)
    sprite.shadow_casters = [body, boom, *blades]  # the rotor disc is nearly transparent, so it casts no shadow
    _add_helicopter_body(sprite, body, boom, length, paint)
    sprite.fill(rotor_disc, rgb(210, 212, 214), alpha=0.16)
    for blade in blades:
        sprite.fill(blade, rgb(46, 47, 50))
    hub = ellipse(0.07 * length, 0.07 * length, hub_x, sides=14)
    sprite.fill(hub, rgb(84, 86, 92))
    return sprite


def _add_helicopter_body(sprite: Sprite, body: Points, boom: Points, length: float, paint: Color) -> None:
    stabilizer = rect(0.04 * length, 0.20 * length, -0.40 * length)
    tail_rotor = rect(0.07 * length, 0.03 * length, -0.485 * length, 0.02 * length)
    highlight = body * (0.9, 0.4)
    cockpit = ellipse(0.11 * length, 0.15 * length, 0.31 * length, sides=18)
    sprite.fill(boom, shade(paint, 0.82))
    sprite.fill(stabilizer, shade(paint, 0.8))
    sprite.fill(tail_rotor, rgb(40, 40, 44))
    sprite.fill(body, paint)
    sprite.fill(highlight, shade(paint, 1.12))
    sprite.fill(cockpit, rgb(44, 58, 70))


def _blade_outlines(rotor_radius: float, hub_x: float, length: float, rng: np.random.Generator) -> list[Points]:
    num_blades = int(rng.integers(4, 6))
    first_angle = rng.uniform(0, np.pi)
    blade = rect(rotor_radius, 0.028 * length, rotor_radius / 2)
    angles = first_angle + np.arange(num_blades) * (2 * np.pi / num_blades)
    return [rotate_points(blade, angle) + np.array([hub_x, 0.0]) for angle in angles]

"""Paint the ground of a scene in the colors of a climate: land, water, roads and surfaces.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from rotated_atss.synthetic.canvas import SUPERSAMPLE, Canvas
from rotated_atss.synthetic.noise import FloatArray, fractal_noise
from rotated_atss.synthetic.shapes import Points
from rotated_atss.synthetic.sprite import Color, Pose, pick, rgb, shade
from rotated_atss.synthetic.town_plan import MIN_AVENUE_WIDTH, MIN_STREET_WIDTH, SIDEWALK_WIDTH, Road

LANE_WHITE, LANE_YELLOW = rgb(216, 216, 210), rgb(206, 176, 76)


@dataclass(frozen=True)
class Climate:
    """Colors of the ground, vegetation, surfaces and water of a region.

    Land and water are painted in mixtures of the two colors of ``ground`` and ``water``. Each tree has one of the
    colors of ``leaves``, and each field one of the colors of ``crop``.
    """

    name: str
    ground: tuple[Color, Color]
    grass: Color
    leaves: list[Color]
    asphalt: Color
    concrete: Color
    water: tuple[Color, Color]
    crop: list[Color]


CLIMATES: tuple[Climate, ...] = (
    Climate(
        name="temperate",
        ground=(rgb(92, 110, 68), rgb(122, 124, 88)),
        grass=rgb(98, 122, 70),
        leaves=[rgb(58, 88, 48), rgb(72, 100, 52), rgb(50, 76, 50)],
        asphalt=rgb(112, 113, 116),
        concrete=rgb(178, 175, 168),
        water=(rgb(36, 66, 76), rgb(54, 92, 94)),
        crop=[rgb(132, 138, 78), rgb(98, 122, 62), rgb(160, 146, 98)],
    ),
    Climate(
        name="dry",
        ground=(rgb(178, 156, 122), rgb(150, 128, 98)),
        grass=rgb(132, 134, 86),
        leaves=[rgb(92, 102, 62), rgb(108, 110, 70), rgb(84, 92, 64)],
        asphalt=rgb(128, 124, 120),
        concrete=rgb(192, 184, 170),
        water=(rgb(30, 82, 98), rgb(58, 122, 128)),
        crop=[rgb(186, 162, 116), rgb(142, 140, 84), rgb(166, 134, 98)],
    ),
    Climate(
        name="tropical",
        ground=(rgb(88, 116, 62), rgb(134, 124, 86)),
        grass=rgb(92, 130, 66),
        leaves=[rgb(44, 92, 50), rgb(60, 108, 52), rgb(84, 118, 58)],
        asphalt=rgb(104, 104, 108),
        concrete=rgb(186, 182, 172),
        water=(rgb(22, 84, 104), rgb(48, 128, 136)),
        crop=[rgb(112, 134, 62), rgb(150, 142, 84), rgb(84, 118, 66)],
    ),
    Climate(
        name="autumn",
        ground=(rgb(118, 108, 74), rgb(138, 122, 90)),
        grass=rgb(120, 122, 78),
        leaves=[rgb(140, 96, 48), rgb(112, 100, 54), rgb(84, 90, 52), rgb(152, 78, 44)],
        asphalt=rgb(106, 106, 110),
        concrete=rgb(172, 168, 160),
        water=(rgb(40, 58, 66), rgb(62, 82, 84)),
        crop=[rgb(150, 128, 84), rgb(122, 112, 74), rgb(168, 148, 108)],
    ),
)


def choose_climate(rng: np.random.Generator) -> Climate:
    """Choose a climate at random and vary its colors.

    Example:
        >>> choose_climate(np.random.default_rng(0)).name in {climate.name for climate in CLIMATES}
        True
    """
    base = CLIMATES[rng.integers(len(CLIMATES))]
    return replace(
        base,
        ground=(pick(rng, [base.ground[0]], jitter=6), pick(rng, [base.ground[1]], jitter=6)),
        grass=pick(rng, [base.grass], jitter=7),
        asphalt=shade(base.asphalt, rng.uniform(0.9, 1.1)),
        concrete=shade(base.concrete, rng.uniform(0.92, 1.06)),
        water=(pick(rng, [base.water[0]], jitter=5), pick(rng, [base.water[1]], jitter=5)),
    )


def lay_ground(canvas: Canvas, climate: Climate, rng: np.random.Generator) -> None:
    """Paint open land on the whole canvas.

    Example:
        >>> canvas = Canvas((60, 40), np.random.default_rng(0))
        >>> lay_ground(canvas, CLIMATES[0], np.random.default_rng(0))
        >>> bool(canvas.image().all())
        True
    """
    patches = fractal_noise(rng, canvas.fine_wh, 110 * SUPERSAMPLE, octaves=5)
    canvas.pixels[:] = cv2.convertScaleAbs(_mix(climate.ground, patches, canvas.grain * np.float32(7.0)))


def lay_water(canvas: Canvas, outline: Points, climate: Climate, rng: np.random.Generator) -> None:
    """Paint water with varying depth, ripples and glitter inside a polygon.

    Example:
        >>> canvas = Canvas((60, 40), np.random.default_rng(0))
        >>> lower_half = np.array([[0.0, 20.0], [60.0, 20.0], [60.0, 40.0], [0.0, 40.0]])
        >>> lay_water(canvas, lower_half, CLIMATES[0], np.random.default_rng(0))
        >>> bool(canvas.image()[10].any()), bool(canvas.image()[30].all())
        (False, True)
    """
    window_and_coverage = canvas.rasterize(outline)
    if window_and_coverage is None:  # the polygon lies outside the canvas
        return
    rows, columns, coverage = window_and_coverage
    size_wh = (coverage.shape[1], coverage.shape[0])
    depth = fractal_noise(rng, size_wh, 150 * SUPERSAMPLE, octaves=3)
    ripples = fractal_noise(rng, size_wh, 5 * SUPERSAMPLE, octaves=2, stretch=rng.uniform(1.5, 3.0))
    glitter = 26.0 * np.clip(ripples - 2.3, 0, None)  # only the highest ripples glitter
    lift = (3.2 * ripples + glitter).astype(np.float32)
    water = _mix(climate.water, depth * np.float32(0.8), lift)
    canvas.blend(rows, columns, water, coverage)


def lay_roads(canvas: Canvas, roads: Sequence[Road], climate: Climate) -> None:
    """Paint roads with sidewalks and lane marks.

    All sidewalks are painted before the asphalt, and all asphalt before the marks, so that no sidewalk crosses a road.

    Example:
        >>> canvas = Canvas((60, 40), np.random.default_rng(0))
        >>> lay_roads(canvas, [Road(np.array([0.0, 20.0]), np.array([60.0, 20.0]), width=18)], CLIMATES[0])
        >>> bool(canvas.image()[20].all()), bool(canvas.image()[0].any())
        (True, False)
    """
    for road in roads:
        canvas.fill(road.band(2 * SIDEWALK_WIDTH, extension=SIDEWALK_WIDTH), shade(climate.concrete, 0.92), grain=4.0)
    for road in roads:
        canvas.fill(road.band(extension=SIDEWALK_WIDTH + 3), climate.asphalt, grain=5.0)
    for road in roads:
        _paint_lane_marks(canvas, road)


def _paint_crossing(canvas: Canvas, road: Road, distance: float) -> None:
    """Paint the white bars of a pedestrian crossing, ``distance`` pixels from the start of the road."""
    for offset in np.arange(-road.width / 2 + 2.5, road.width / 2 - 1.5, 3.6):
        poses = [road.pose(distance + shift, offset) for shift in (-3.5, 3.5)]
        bar = np.array([[pose.x, pose.y] for pose in poses])
        canvas.line(bar, LANE_WHITE, 1.6, alpha=0.85)


def _paint_lane_marks(canvas: Canvas, road: Road) -> None:
    """Paint edge lines, a center line (dashed on narrow roads), lane lines (on avenues), and a crossing at each end."""
    edge = road.width / 2 - 1.5
    for offset in (-edge, edge):
        canvas.line(road.parallel(offset), LANE_WHITE, 0.6, alpha=0.55)
    if road.width >= MIN_STREET_WIDTH:
        canvas.line(road.parallel(0.0), LANE_YELLOW, 0.8, alpha=0.8)
    dashed_line_shares: list[float] = []  # offset of each dashed line from the center line, divided by the road width
    if road.width >= MIN_AVENUE_WIDTH:
        dashed_line_shares = [-0.25, 0.25]
    elif road.width < MIN_STREET_WIDTH:
        dashed_line_shares = [0.0]
    for share in dashed_line_shares:
        start = road.parallel(road.width * share)[0]
        for distance in np.arange(16.0, road.length - 22, 18.0):
            dash = np.array([start + road.axis * distance, start + road.axis * (distance + 8)])
            canvas.line(dash, LANE_WHITE, 0.9, alpha=0.85)
    for distance in (6.0, road.length - 6.0):
        _paint_crossing(canvas, road, distance)


def lay_slabs(canvas: Canvas, pose: Pose, size_wh: tuple[float, float], color: Color, pitch: float) -> None:
    """Paint the joints between slabs of ``pitch`` pixels per side, on a surface of ``size_wh`` around ``pose``.

    Example:
        >>> canvas = Canvas((60, 40), np.random.default_rng(0))
        >>> lay_slabs(canvas, Pose(30, 20), (40, 20), color=(200, 200, 200), pitch=10.0)
        >>> bool(canvas.image()[20].any()), bool(canvas.image()[0].any())
        (True, False)
    """
    half_w, half_h = size_wh[0] / 2, size_wh[1] / 2
    for x in np.arange(-half_w + pitch, half_w, pitch):
        canvas.line(pose.apply(np.array([[x, -half_h], [x, half_h]])), shade(color, 0.86), 0.5, alpha=0.6)
    for y in np.arange(-half_h + pitch, half_h, pitch):
        canvas.line(pose.apply(np.array([[-half_w, y], [half_w, y]])), shade(color, 0.86), 0.5, alpha=0.6)


def lay_furrows(canvas: Canvas, pose: Pose, size_wh: tuple[float, float], color: Color, pitch: float) -> None:
    """Paint a field of ``size_wh`` around ``pose`` with stripes (furrows, mown grass), ``pitch`` pixels wide.

    The stripes are parallel to the x-axis of the pose.

    Example:
        >>> canvas = Canvas((60, 40), np.random.default_rng(0))
        >>> lay_furrows(canvas, Pose(30, 20), (40, 20), color=(60, 120, 90), pitch=5.0)
        >>> bool(canvas.image()[20, 30].all()), bool(canvas.image()[0].any())
        (True, False)
    """
    half_w, half_h = size_wh[0] / 2, size_wh[1] / 2
    for number, y in enumerate(np.arange(-half_h, half_h - pitch / 2, pitch)):
        stripe = np.array([[-half_w, y], [half_w, y], [half_w, y + pitch], [-half_w, y + pitch]])
        canvas.fill(pose.apply(stripe), shade(color, 1.05 if number % 2 else 0.95), grain=5.0)


def _mix(colors: tuple[Color, Color], noise: FloatArray, lift: FloatArray) -> FloatArray:
    """Interpolate between two colors by a noise field, and add ``lift`` gray levels.

    Args:
        colors: First and second color.
        noise: (H, W); values below about -1.4 give the first color, values above 1.4 the second one.
        lift: (H, W) gray levels.

    Returns:
        (H, W, 3).
    """
    first, second = (np.asarray(color, np.float32) for color in colors)
    weight = np.clip(0.5 + 0.35 * noise, 0, 1)
    # per channel: weight * (second - first) + lift + first
    transform = np.stack([second - first, np.ones(3, np.float32), first], axis=1)
    return np.asarray(cv2.transform(cv2.merge([weight, lift]), transform), np.float32)

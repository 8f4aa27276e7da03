"""Paint the sea, and place piers, boats and ships.

Positions on a shore are relative to ``shore.pose``. The edge of the land is the line y = 0, and the sea extends from
there to y = ``shore.reach``. Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic import vessels
from rotated_atss.synthetic.shapes import quad_of
from rotated_atss.synthetic.site import Site
from rotated_atss.synthetic.sprite import Pose, Sprite, rgb, shade
from rotated_atss.synthetic.terrain import lay_water
from rotated_atss.synthetic.town_plan import QUAY_WIDTH, Shore

FOAM = rgb(214, 226, 228)


def lay_shore(site: Site, shore: Shore) -> None:
    """Paint the water and the quay along the edge of the land.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> lay_shore(site, Shore(Pose(150, 120), half_length=150, reach=100))
        >>> painted_rows = site.canvas.image().any(axis=(1, 2))
        >>> bool(painted_rows[200]), bool(painted_rows[20])  # on the sea, on the land
        (True, False)
    """
    half_span = shore.half_length + 400.0  # 400 pixels more, because the water and the quay continue beyond the image
    sea = shore.pose.apply(quad_of((-half_span, 0.0, half_span, shore.reach + 60)))
    lay_water(site.canvas, sea, site.climate, site.rng)
    quay = shore.pose.apply(quad_of((-half_span, -QUAY_WIDTH, half_span, 0.0)))
    site.canvas.fill(quay, site.climate.concrete, grain=5.0)
    edge = shore.pose.apply(np.array([[-half_span, 0.0], [half_span, 0.0]]))
    site.canvas.line(edge, shade(site.climate.concrete, 0.6), 2.0)


def place_marina(site: Site, shore: Shore) -> float:
    """Place piers with boats moored on both sides.

    Returns:
        Length of the piers in pixels.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> length = place_marina(site, Shore(Pose(150, 80), half_length=150, reach=160))
        >>> length > 56, sorted({obj.name for obj in site.objects})
        (True, ['harbor', 'ship'])
    """
    scale, rng = site.scale, site.rng
    berth_length = 38.0 * scale * rng.uniform(0.85, 1.1)
    max_pier_length = max(56.0, shore.reach - 30)
    pier_length = float(min(rng.uniform(98, 122) * scale, max_pier_length))
    pier_width = rng.uniform(13.0, 17.0) * scale
    pitch = 2 * berth_length + pier_width + rng.uniform(16, 26) * scale  # distance between the axes of two piers
    for x in np.arange(-shore.half_length + rng.uniform(0.3, 0.7) * pitch, shore.half_length, pitch):
        pier_pose = shore.pose.moved(float(x), pier_length / 2 + 1, np.pi / 2)
        if site.place(vessels.pier(rng, pier_length, pier_width), pier_pose):
            for side in (-1, 1):
                _moor_boats(site, pier_pose, pier_length, pier_width, berth_length, side)
    return pier_length


def _moor_boats(
    site: Site, pier_pose: Pose, pier_length: float, pier_width: float, berth_length: float, side: int
) -> None:
    """Place a dense row of boats along one side of a pier. Most of the boats have the same heading.

    Args:
        site: The site.
        pier_pose: Pose of the pier.
        pier_length: Length of the pier, pixels.
        pier_width: Width of the pier, pixels.
        berth_length: Length of the longest boats, pixels.
        side: 1 for the right side of the pier, -1 for the left side.
    """
    rng = site.rng
    majority_is_bow_in = rng.random() < 0.5
    x = -pier_length / 2 + 8.0  # position along the pier, whose first 8 pixels at the quay remain free
    while True:
        boat = vessels.boat(rng, site.scale, berth_length * rng.uniform(1 - site.difficulty.size_jitter, 1.0))
        boat_width, boat_length = boat.extent[3] - boat.extent[1], boat.extent[2] - boat.extent[0]
        if x + boat_width > pier_length / 2 + 2:  # a boat may extend beyond the end of the pier by 2 pixels
            return
        if rng.random() < site.difficulty.fill:
            is_bow_in = majority_is_bow_in if rng.random() < 0.85 else not majority_is_bow_in
            direction = -side if is_bow_in else side
            turn = direction * np.pi / 2 + site.random_heading_offset()
            y = side * (pier_width / 2 + boat_length / 2 + 2.0)
            site.place(boat, pier_pose.moved(x + boat_width / 2, y, turn), gap=0.0)
        x += boat_width + rng.uniform(1.5, 3.5)


def place_ships(site: Site, shore: Shore, start: float) -> None:
    """Place ships with their wakes on the open water.

    Args:
        site: The site.
        shore: The shore.
        start: Distance from the shore at which the open water starts, pixels.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> place_ships(site, Shore(Pose(150, 80), half_length=150, reach=160), start=20)
        >>> {obj.name for obj in site.objects}
        {'ship'}
    """
    rng = site.rng
    # Try to place 2 freighters and then 5 boats. A ship without space is left out.
    for number in range(7):
        is_freighter = number < 2
        if is_freighter:
            sprite = vessels.freighter(rng, site.scale)
        else:
            sprite = vessels.boat(rng, site.scale * rng.uniform(1.0, 1.4))
        ship_width = sprite.extent[3] - sprite.extent[1]
        y = start + 8 + ship_width / 2 + rng.uniform(0, max(1.0, shore.reach - start - ship_width))
        turn = rng.choice([0.0, np.pi]) + rng.normal(0, 0.10 if is_freighter else 0.6)
        pose = shore.pose.moved(rng.uniform(-1, 1) * shore.half_length, y, turn)
        if site.place(sprite, pose, gap=5.0):
            _paint_wake(site, sprite, pose)


def _paint_wake(site: Site, sprite: Sprite, pose: Pose) -> None:
    """Paint the foam behind a ship. A random speed determines the length and the opacity of the foam."""
    x0, y0, x1, y1 = sprite.extent
    speed = float(site.rng.uniform(0.2, 1.0))  # relative to the fastest ships
    for outline, alpha in vessels.wake(x1 - x0, y1 - y0, 90.0 * speed):
        site.canvas.fill(pose.apply(outline), FOAM, alpha=alpha * (0.5 + 0.5 * speed), grain=10.0)

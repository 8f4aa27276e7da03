"""The sea, its marina and its ships."""

import numpy as np

from rotated_atss.synthetic import vessels
from rotated_atss.synthetic.shapes import quad_of
from rotated_atss.synthetic.site import Site
from rotated_atss.synthetic.sprite import Pose, Sprite, rgb, shade
from rotated_atss.synthetic.terrain import lay_water
from rotated_atss.synthetic.town_plan import QUAY, Shore

FOAM = rgb(214, 226, 228)


def lay_shore(site: Site, shore: Shore) -> None:
    """Paint the water and the quay along the edge of the land.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> lay_shore(site, Shore(Pose(150, 120), half_length=150, reach=100))
        >>> bool(site.canvas.image()[200].any()), bool(site.canvas.image()[20].any())
        (True, False)
    """
    far = shore.half_length + 400.0
    lay_water(site.canvas, shore.pose.apply(quad_of((-far, 0.0, far, shore.reach + 60))), site.climate, site.rng)
    quay = shore.pose.apply(quad_of((-far, -QUAY, far, 0.0)))
    site.canvas.fill(quay, site.climate.concrete, grain=5.0)
    edge = shore.pose.apply(np.array([[-far, 0.0], [far, 0.0]]))
    site.canvas.line(edge, shade(site.climate.concrete, 0.6), 2.0)


def marina(site: Site, shore: Shore) -> float:
    """Place piers with boats moored on both sides; return the length of the piers.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> length = marina(site, Shore(Pose(150, 80), half_length=150, reach=160))
        >>> length > 56, sorted({obj.name for obj in site.objects})
        (True, ['harbor', 'ship'])
    """
    s, rng = site.scale, site.rng
    berth = 38.0 * s * rng.uniform(0.85, 1.1)
    length = float(min(rng.uniform(98, 122) * s, max(56.0, shore.reach - 30)))
    width = rng.uniform(13.0, 17.0) * s
    pitch = 2 * berth + width + rng.uniform(16, 26) * s
    for u in np.arange(-shore.half_length + rng.uniform(0.3, 0.7) * pitch, shore.half_length, pitch):
        pose = shore.pose.moved(float(u), length / 2 + 1, np.pi / 2)
        if site.place(vessels.pier(rng, length, width), pose):
            for side in (-1, 1):
                _moor(site, pose, length, width, berth, side)
    return length


def _moor(site: Site, pier: Pose, length: float, width: float, berth: float, side: int) -> None:
    """Place a dense row of boats along one side of a pier."""
    rng = site.rng
    bow_in = rng.random() < 0.5
    x = -length / 2 + 8.0
    while True:
        boat = vessels.boat(rng, site.scale, berth * rng.uniform(1 - site.difficulty.size_jitter, 1.0))
        beam, hull = boat.extent[3] - boat.extent[1], boat.extent[2] - boat.extent[0]
        if x + beam > length / 2 + 2:
            return
        if rng.random() < site.difficulty.fill:
            heading = -side if bow_in == (rng.random() < 0.85) else side
            turn = heading * np.pi / 2 + site.heading_jitter()
            site.place(boat, pier.moved(x + beam / 2, side * (width / 2 + hull / 2 + 2.0), turn), gap=0.0)
        x += beam + rng.uniform(1.5, 3.5)


def traffic_at_sea(site: Site, shore: Shore, start: float) -> None:
    """Place ships with their wakes in the open water, from ``start`` pixels off the shore.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> traffic_at_sea(site, Shore(Pose(150, 80), half_length=150, reach=160), start=20)
        >>> {obj.name for obj in site.objects}
        {'ship'}
    """
    rng = site.rng
    for number in range(7):
        sprite = (
            vessels.freighter(rng, site.scale) if number < 2 else vessels.boat(rng, site.scale * rng.uniform(1.0, 1.4))
        )
        beam = sprite.extent[3] - sprite.extent[1]
        y = start + 8 + beam / 2 + rng.uniform(0, max(1.0, shore.reach - start - beam))
        turn = rng.choice([0.0, np.pi]) + rng.normal(0, 0.10 if number < 2 else 0.6)
        pose = shore.pose.moved(rng.uniform(-1, 1) * shore.half_length, y, turn)
        if site.place(sprite, pose, gap=5.0):
            _foam(site, sprite, pose)


def _foam(site: Site, sprite: Sprite, pose: Pose) -> None:
    x0, y0, x1, y1 = sprite.extent
    speed = float(site.rng.uniform(0.2, 1.0))
    for outline, alpha in vessels.wake(x1 - x0, y1 - y0, 90.0 * speed):
        site.canvas.fill(pose.apply(outline), FOAM, alpha=alpha * (0.5 + 0.5 * speed), grain=10.0)

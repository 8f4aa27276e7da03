"""Place vehicles on the roads, and trees along the roads.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

import numpy as np

from rotated_atss.synthetic import clutter, vehicles
from rotated_atss.synthetic.site import Site
from rotated_atss.synthetic.sprite import Pose
from rotated_atss.synthetic.town_plan import MIN_AVENUE_WIDTH, MIN_STREET_WIDTH, Road


def place_traffic(site: Site, roads: list[Road]) -> None:
    """Place vehicles on the right-hand lanes of the roads, and mark the roads as occupied.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> place_traffic(site, [Road(np.array([0.0, 120.0]), np.array([300.0, 120.0]), width=28)])
        >>> {obj.name for obj in site.objects} <= {'small-vehicle', 'large-vehicle'}
        True
    """
    for road in roads:
        for offset in _lane_offsets(road):
            _fill_lane(site, road, offset)
    for road in roads:  # after all vehicles, since none could be placed on an occupied road
        site.reserve(road.band())


def place_roadside_trees(site: Site, roads: list[Road]) -> None:
    """Place trees along the sidewalks.

    Example:
        >>> site = Site.create((300, 240), "normal", np.random.default_rng(0))
        >>> place_roadside_trees(site, [Road(np.array([0.0, 120.0]), np.array([300.0, 120.0]), width=28)])
        >>> {sprite.name for sprite, _ in site.tall}
        {None}
    """
    for road in roads:
        for side in (-1, 1):
            for distance in np.arange(10.0, road.length - 8, 26.0):
                if site.rng.random() < 0.55 * site.difficulty.clutter:
                    crown = clutter.tree(site.rng, site.climate.leaves, site.rng.uniform(8, 13))
                    may_overlap = site.rng.random() < site.difficulty.overhang
                    pose = road.pose(distance + site.rng.uniform(-6, 6), side * (road.width / 2 + 3.0))
                    site.place(crown, pose, layer="tall", gap=-4.0 if may_overlap else 0.0)


def place_overhanging_trees(site: Site) -> None:
    """Place trees that partly cover vehicles and pools; a larger ``site.difficulty.overhang`` means more trees.

    Example:
        >>> site = Site.create((300, 240), "hard", np.random.default_rng(0))
        >>> _ = site.place(vehicles.car(site.rng, 1.0), Pose(150, 120))
        >>> place_overhanging_trees(site)
        >>> len(site.tall) > 0
        True
    """
    targets = [obj for obj in site.objects if obj.name in ("small-vehicle", "swimming-pool")]
    if not targets:
        return
    for _ in range(int(site.rng.poisson(25 * site.difficulty.overhang))):
        x, y = targets[site.rng.integers(len(targets))].polygon.mean(axis=0)
        crown = clutter.tree(site.rng, site.climate.leaves, site.rng.uniform(14, 22))
        target_pose = Pose(float(x), float(y), site.rng.uniform(0, 2 * np.pi))
        radius = crown.extent[2]  # x1 of the extent: the crown is centered at 0
        distance = radius * site.rng.uniform(0.4, 1.5)
        site.place(crown, target_pose.moved(distance, 0), layer="tall")  # no gap: trees may cover anything


def _lane_offsets(road: Road) -> list[float]:
    """Return the offsets of the lanes from the center line, in pixels; positive ones are on the right."""
    shares = [0.13, 0.37] if road.width >= MIN_AVENUE_WIDTH else [0.25]  # one or two lanes per direction
    return [sign * share * road.width for share in shares for sign in (-1, 1)]


def _fill_lane(site: Site, road: Road, offset: float) -> None:
    """Place vehicles on the lane ``offset`` pixels to the right of the center line of a road."""
    rng = site.rng
    distance = rng.uniform(10, 90)  # pixels from the start of the road
    while distance < road.length - 30:
        is_large = road.width >= MIN_STREET_WIDTH and rng.random() < 0.12
        build = vehicles.large_vehicle if is_large else vehicles.car
        sprite = build(rng, site.random_scale())
        site.place(sprite, road.pose(distance, offset + rng.normal(0, 0.4), ahead=offset > 0), gap=2.0)
        length_with_margin = 62 if is_large else 32
        distance += rng.exponential(90) + length_with_margin  # the first term is the free road between two vehicles

"""Zones: functions that fill one block of a synthetic scene, such as an airport apron or a parking lot.

The zones in ``LABELED_ZONES`` contain labeled objects and are assigned to blocks first. The remaining blocks get zones
of ``FILLER_ZONES``, with or without labeled objects.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from rotated_atss.synthetic import aircraft, clutter, facilities, vehicles
from rotated_atss.synthetic._block_filling import (
    best_grid_cells,
    grid_cells,
    paint_lawn,
    paint_stains,
    paint_surface,
    place_tree,
    random_pose,
    scatter,
    scatter_crates,
    scatter_trees,
)
from rotated_atss.synthetic.shapes import rect
from rotated_atss.synthetic.site import Site
from rotated_atss.synthetic.sprite import Pose, Sprite, pick, rgb, shade
from rotated_atss.synthetic.terrain import LANE_WHITE, LANE_YELLOW, lay_furrows, lay_slabs
from rotated_atss.synthetic.town_plan import Block

Zone = Callable[[Site, Block], None]

# Lengths in pixels at scale 1, angles in radians. Layouts use `site.scale`, which is fixed per scene; the size of each
# object is sampled around it with `site.random_scale()`.
BAY_WIDTH, BAY_DEPTH, AISLE_WIDTH = 11.8, 24.0, 21.0
TRUCK_PITCH, TRUCK_ROW_DEPTH, TRUCK_AISLE_WIDTH = 19.0, 60.0, 24.0  # the pitch is the distance of trucks in a row
TANK_RADIUS = 27.0  # the largest tank of a tank farm has about this radius
TENNIS_CELL_WH, BASKETBALL_CELL_WH = (110.0, 56.0), (74.0, 45.0)
LOT_WH = (64.0, 70.0)  # smallest size of a residential lot
TENNIS_SHARE = 0.62  # share of the width of a block for tennis courts; the remaining width is for basketball courts
# Largest deviation from the common heading of a block, in radians. Helicopters can have almost any heading.
AIRPLANE_HEADING_SPREAD, HELICOPTER_HEADING_SPREAD, DIAMOND_HEADING_SPREAD = 0.35, 3.1, 0.12
AREA_PER_TREE = 160.0  # visible area (px^2) per tree of woods, at a clutter of 1


def _apron(site: Site, block: Block) -> None:
    """Fill a block with an airport apron: airplanes, and helicopters in the remaining space."""
    color = shade(site.climate.concrete, 0.95)
    paint_surface(site, block, color)
    lay_slabs(site.canvas, block.pose, (block.width, block.height), color, 22.0)
    taxi_line = np.array([[-block.width / 2, -block.height * 0.02], [block.width / 2, block.height * 0.06]])
    site.canvas.line(block.pose.apply(taxi_line), LANE_YELLOW, 1.4, alpha=0.8)
    paint_stains(site, block, 6)
    base_heading = site.rng.choice([0.0, 0.5, 1.0, 1.5]) * np.pi

    def build_plane() -> Sprite:
        return aircraft.plane(site.rng, site.random_scale())

    def build_helicopter() -> Sprite:
        return aircraft.helicopter(site.rng, site.random_scale())

    # Small groups of airplanes and helicopters alternate, so that a small apron has both.
    for num_planes, num_helicopters in ((3, 2), (2, 1), (2, 0)):
        scatter(site, block, build_plane, num_planes, base_heading, heading_spread=AIRPLANE_HEADING_SPREAD, gap=4.0)
        scatter(
            site,
            block,
            build_helicopter,
            num_helicopters,
            base_heading,
            heading_spread=HELICOPTER_HEADING_SPREAD,
            gap=3.0,
        )
    scatter_crates(site, block, 6, gap=5.0)


def _parking(site: Site, block: Block) -> None:
    """Fill a block with a parking lot: rows of bays with cars, and trees at the ends of the rows."""
    block = block.in_landscape_orientation()
    paint_surface(site, block, site.climate.asphalt)
    bay_width, bay_depth = BAY_WIDTH * site.scale, BAY_DEPTH * site.scale
    aisle_width = AISLE_WIDTH * site.scale
    # rows with even index are followed by an aisle, rows with odd index by a narrow gap
    row_ys, y = [], -block.height / 2 + 7 + bay_depth / 2  # centers of the rows, in the frame of the block
    while y + bay_depth / 2 < block.height / 2 - 5:
        row_ys.append(y)
        y += bay_depth + (aisle_width if len(row_ys) % 2 else 2.0)
    for index, y in enumerate(row_ys):
        _fill_bay_row(site, block, y, bay_width, bay_depth, aisle_side=-1 if index % 2 else 1)
    for y in row_ys:
        for end in (-1, 1):
            place_tree(site, block.pose.moved(end * (block.width / 2 - 5), y), 16.0)


def _fill_bay_row(site: Site, block: Block, y: float, bay_width: float, bay_depth: float, aisle_side: int) -> None:
    """Place cars in a row of parking bays; ``aisle_side`` is +1 or -1, the sign of y towards the aisle."""
    half_length = block.width / 2 - 14
    occupancy = site.difficulty.fill * site.rng.uniform(0.75, 1.2)  # varies from row to row
    for x in np.arange(-half_length, half_length, bay_width):
        mark = block.pose.apply(np.array([[x, y - bay_depth / 2], [x, y + bay_depth / 2]]))
        site.canvas.line(mark, LANE_WHITE, 0.7, alpha=0.8)
        if site.rng.random() < occupancy and x + bay_width <= half_length:  # no bay begins at the last mark
            direction = aisle_side if site.rng.random() < 0.75 else -aisle_side
            y_offset = site.rng.normal(0, 1.0)
            heading = direction * np.pi / 2 + site.random_heading_offset()
            pose = block.pose.moved(x + bay_width / 2, y + y_offset, heading)
            site.place(vehicles.car(site.rng, site.random_scale()), pose, gap=0.0)


def _depot(site: Site, block: Block) -> None:
    """Fill a block with a depot: rows of trucks or buses, and a shed."""
    block = block.in_landscape_orientation()
    ground = shade(site.climate.concrete, site.rng.uniform(0.72, 0.85))
    paint_surface(site, block, ground)
    paint_stains(site, block, 8)
    kind = str(site.rng.choice(["truck", "bus", "mixed"], p=[0.5, 0.25, 0.25]))
    row_depth, y = TRUCK_ROW_DEPTH * site.scale, -block.height / 2 + 6
    shed_depth = min(46.0, block.height - row_depth - 36)  # the rest of the height is enough for one row of trucks
    if shed_depth > 24:  # smaller blocks have no shed
        shed = clutter.shed(site.rng, block.width - 24, shed_depth)
        site.place(shed, block.pose.moved(0, y + shed_depth / 2), layer="tall")
        y += shed_depth + 18
    while y + row_depth < block.height / 2:
        _fill_truck_row(site, block, y + row_depth / 2, None if kind == "mixed" else kind)
        y += row_depth + TRUCK_AISLE_WIDTH * site.scale
    scatter_crates(site, block, 10, gap=4.0)


def _fill_truck_row(site: Site, block: Block, y: float, kind: str | None) -> None:
    """Place a row of large vehicles; :func:`vehicles.large_vehicle` describes ``kind``."""
    pitch, half_length = TRUCK_PITCH * site.scale, block.width / 2 - 10
    heading = float(site.rng.choice([-1, 1])) * np.pi / 2
    for x in np.arange(-half_length + pitch / 2, half_length - pitch / 2, pitch):
        if site.rng.random() < site.difficulty.fill * 0.85:
            pose = block.pose.moved(x, y + site.rng.normal(0, 1.5), heading + site.random_heading_offset())
            site.place(vehicles.large_vehicle(site.rng, site.random_scale(), kind), pose, gap=0.5)


def _tank_farm(site: Site, block: Block) -> None:
    """Fill a block with a grid of storage tanks, with low walls and pipes."""
    gravel = pick(site.rng, [rgb(168, 158, 142), rgb(150, 148, 140)], jitter=6)
    paint_surface(site, block, gravel)
    max_radius = TANK_RADIUS * site.scale * site.rng.uniform(0.85, 1.1)
    cell_side = 2 * max_radius + 16
    for x, y in grid_cells(block.width - 12, block.height - 12, cell_side, cell_side):
        center = block.pose.moved(x, y)
        basin = center.apply(rect(cell_side - 5, cell_side - 5))
        site.canvas.fill(basin, shade(gravel, 0.94), grain=4.0)
        site.canvas.line(basin, shade(gravel, 1.18), 1.6, closed=True)  # low wall around the basin
        pipe = block.pose.apply(np.array([[x, y], [x, y + cell_side / 2]]))
        site.canvas.line(pipe, rgb(206, 204, 198), 1.4)
        radius = max_radius * site.rng.uniform(0.6, 0.98)
        tank = facilities.storage_tank(site.rng, site.scale, radius)
        # the box of a circle is axis-aligned, as in DOTA's annotations
        site.place(tank, Pose(center.x, center.y, 0.0), layer="tall", gap=0.0)
    scatter_crates(site, block, 8, gap=4.0)


def _courts(site: Site, block: Block) -> None:
    """Fill a block with tennis courts, basketball courts and trees."""
    block = block.in_landscape_orientation()
    paint_lawn(site, block)
    tennis_colors = facilities.random_tennis_colors(site.rng)
    # tennis courts in the left part of the block, basketball courts in the right part
    left_width, right_width = block.width * TENNIS_SHARE - 8, block.width * (1 - TENNIS_SHARE) - 8
    tennis = partial(facilities.tennis_court, site.rng, site.scale, tennis_colors)
    basketball = partial(facilities.basketball_court, site.rng, site.scale)
    for build, center_x, width, cell_wh in (
        (tennis, -block.width / 2 + 8 + left_width / 2, left_width, TENNIS_CELL_WH),
        (basketball, block.width / 2 - 8 - right_width / 2, right_width, BASKETBALL_CELL_WH),
    ):
        cells, rotation = best_grid_cells(width, block.height - 10, cell_wh[0] * site.scale, cell_wh[1] * site.scale)
        for x, y in cells:
            site.place(build(), block.pose.moved(center_x + x, y, rotation), layer="ground", gap=0.0)
    scatter_trees(site, block, 22)


def _ball_park(site: Site, block: Block) -> None:
    """Fill a block with baseball diamonds on mown grass."""
    paint_lawn(site, block)
    if site.rng.random() < 0.5:
        lawn_wh = (block.width - 4, block.height - 4)
        lay_furrows(site.canvas, block.pose, lawn_wh, site.climate.grass, site.rng.uniform(9, 15))
    base_heading = site.rng.integers(4) * np.pi / 2
    build = partial(facilities.baseball_diamond, site.rng, site.scale)
    spread = DIAMOND_HEADING_SPREAD
    scatter(site, block, build, 4, base_heading, heading_spread=spread, gap=7.0, layer="ground")
    scatter_trees(site, block, 24)


def _residential(site: Site, block: Block) -> None:
    """Fill a block with lots, each with a dwelling, some with a pool or a car."""
    paint_lawn(site, block)
    width, height = block.width - 4, block.height - 4
    lot_centers = grid_cells(width, height, LOT_WH[0] * site.scale, LOT_WH[1] * site.scale)
    if not lot_centers:
        return
    num_columns, num_rows = len({x for x, _ in lot_centers}), len({y for _, y in lot_centers})
    lot_w, lot_h = width / num_columns, height / num_rows
    for x, y in lot_centers:
        # Roads are assumed along the edges at the smallest and largest y of the block. `_fill_lot` places the dwelling
        # at negative y; lots at positive y are rotated, so that their dwelling is at the nearer road.
        rotation = 0.0 if y < 0 else np.pi
        _fill_lot(site, block.pose.moved(x, y, rotation), lot_w, lot_h)


def _fill_lot(site: Site, pose: Pose, width: float, height: float) -> None:
    """Fill a lot around ``pose``: lawn, drive, trees, a dwelling at negative y, and at random a pool and a car."""
    rng, scale = site.rng, site.scale
    fence = pose.apply(rect(width - 1, height - 1))
    site.canvas.fill(fence, pick(rng, [site.climate.grass], jitter=10), grain=9.0)
    site.canvas.line(fence, shade(site.climate.grass, 0.7), 1.2, closed=True)
    drive = pose.moved(21 * scale, -height / 2 + 16 * scale, np.pi / 2)
    site.canvas.fill(drive.apply(rect(31 * scale, 12 * scale)), shade(site.climate.concrete, 0.98), grain=3.0)
    dwelling = clutter.dwelling(rng, rng.uniform(32, 38) * scale, rng.uniform(22, 26) * scale)
    site.place(dwelling, pose.moved(-8 * scale, -height / 2 + rng.uniform(17, 20) * scale), layer="tall")
    if rng.random() < 0.6:
        terrace = pose.moved(rng.uniform(-4, 4), 16 * scale, rng.choice([0, np.pi]) + rng.normal(0, 0.12))
        site.canvas.fill(terrace.apply(rect(48 * scale, 29 * scale)), shade(site.climate.concrete, 1.02), grain=3.0)
        site.place(facilities.swimming_pool(rng, site.random_scale()), terrace, layer="ground", gap=1.0)
    if rng.random() < 0.4:
        site.place(vehicles.car(rng, site.random_scale()), drive.moved(0, 0, rng.choice([0, np.pi])), gap=0.0)
    for _ in range(int(8 * site.difficulty.clutter)):
        x, y = rng.uniform(-0.46, 0.46) * width, rng.uniform(0.0, 0.46) * height
        place_tree(site, pose.moved(x, y), rng.uniform(5, 15))


def _woods(site: Site, block: Block) -> None:
    """Fill a block with trees."""
    paint_surface(site, block, shade(site.climate.grass, 0.85), grain=10.0)
    for _ in range(int(block.visible_area / AREA_PER_TREE * site.difficulty.clutter)):
        crown = clutter.tree(site.rng, site.climate.leaves, site.rng.uniform(9, 24))
        radius = crown.extent[2]  # x1 of the extent: the crown is centered at 0
        # the negative gap lets crowns overlap
        site.place(crown, random_pose(site, block, 6), layer="tall", gap=-0.4 * radius)


def _farmland(site: Site, block: Block) -> None:
    """Fill a block with two fields and a hedge."""
    for side in (-1, 1):  # one field in the left half of the block, one in the right half
        color = pick(site.rng, site.climate.crop, jitter=6)
        field_wh = (block.width / 2 - 4, block.height - 4)
        field_pose = block.pose.moved(side * block.width / 4, 0)
        lay_furrows(site.canvas, field_pose, field_wh, color, site.rng.uniform(3, 6))
    # the hedge between the fields
    for y in np.arange(-block.height / 2 + 6, block.height / 2 - 4, 9.0):
        if site.rng.random() < site.difficulty.clutter:
            shrub = clutter.bush(site.rng, site.climate.leaves, site.rng.uniform(7, 12))
            site.place(shrub, block.pose.moved(site.rng.normal(0, 2), y), layer="tall", gap=0.0)


def _offices(site: Site, block: Block) -> None:
    """Fill a block with flat-roofed buildings and trees."""
    paint_surface(site, block, shade(site.climate.concrete, 0.9))
    for x, y in grid_cells(block.width - 10, block.height - 10, 84.0, 70.0):
        size = site.rng.uniform(48, 70), site.rng.uniform(34, 54)
        site.place(clutter.flat_building(site.rng, *size), block.pose.moved(x, y), layer="tall", gap=0.0)
    scatter_trees(site, block, 26)


LABELED_ZONES: tuple[Zone, ...] = (_apron, _ball_park, _courts, _tank_farm, _depot, _parking, _residential)
"""Zones with labeled objects. The first ones need the most space and get the largest blocks."""

FILLER_ZONES: tuple[Zone, ...] = (_residential, _parking, _apron, _courts, _woods, _farmland, _offices)
"""Zones of the remaining blocks, with or without labeled objects."""

"""Zones of a scene, functions that fill a block of land: ``LABELED`` with labeled objects, and ``FILLERS``."""

from collections.abc import Callable
from functools import partial

import numpy as np

from rotated_atss.synthetic import aircraft, clutter, grounds, vehicles
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


def _apron(site: Site, block: Block) -> None:
    """Fill a block with an airport apron: airplanes, and helicopters in the remaining space."""
    color = shade(site.climate.concrete, 0.95)
    paint_surface(site, block, color)
    lay_slabs(site.canvas, block.pose, (block.width, block.height), color, 22.0)
    line = np.array([[-block.width / 2, -block.height * 0.02], [block.width / 2, block.height * 0.06]])
    site.canvas.line(block.pose.apply(line), LANE_YELLOW, 1.4, alpha=0.8)
    paint_stains(site, block, 6)
    base = site.rng.choice([0.0, 0.5, 1.0, 1.5]) * np.pi

    def plane() -> Sprite:
        return aircraft.plane(site.rng, site.random_scale())

    def helicopter() -> Sprite:
        return aircraft.helicopter(site.rng, site.random_scale())

    # Alternating, so that a small apron has airplanes and helicopters.
    for planes, helicopters in ((3, 2), (2, 1), (2, 0)):
        scatter(site, block, plane, planes, base, spread=0.35, gap=4.0)
        scatter(site, block, helicopter, helicopters, base, spread=3.1, gap=3.0)
    scatter_crates(site, block, 6, gap=5.0)


def _parking(site: Site, block: Block) -> None:
    """Fill a block with a parking lot: rows of bays with cars, and trees at their ends."""
    block = block.landscape()
    paint_surface(site, block, site.climate.asphalt)
    bay, depth = 11.8 * site.scale, 24.0 * site.scale
    aisle = 21.0 * site.scale
    rows, y = [], -block.height / 2 + 7 + depth / 2
    while y + depth / 2 < block.height / 2 - 5:
        rows.append(y)
        y += depth + (aisle if len(rows) % 2 else 2.0)
    for number, y in enumerate(rows):
        _bay_row(site, block, y, bay, depth, inward=-1 if number % 2 else 1)
    for y in rows:
        for end in (-1, 1):
            place_tree(site, block.pose.moved(end * (block.width / 2 - 5), y), 16.0)


def _bay_row(site: Site, block: Block, y: float, bay: float, depth: float, inward: int) -> None:
    half = block.width / 2 - 14
    occupied = site.difficulty.fill * site.rng.uniform(0.75, 1.2)
    for x in np.arange(-half, half, bay):
        mark = block.pose.apply(np.array([[x, y - depth / 2], [x, y + depth / 2]]))
        site.canvas.line(mark, LANE_WHITE, 0.7, alpha=0.8)
        if site.rng.random() < occupied and x + bay <= half:
            nose = inward if site.rng.random() < 0.75 else -inward
            pose = block.pose.moved(x + bay / 2, y + site.rng.normal(0, 1.0), nose * np.pi / 2 + site.heading_jitter())
            site.place(vehicles.car(site.rng, site.random_scale()), pose, gap=0.0)


def _depot(site: Site, block: Block) -> None:
    """Fill a block with a depot: rows of trucks or buses, and a shed."""
    block = block.landscape()
    ground = shade(site.climate.concrete, site.rng.uniform(0.72, 0.85))
    paint_surface(site, block, ground)
    paint_stains(site, block, 8)
    kind = str(site.rng.choice(["truck", "bus", "mixed"], p=[0.5, 0.25, 0.25]))
    row, y = 60.0 * site.scale, -block.height / 2 + 6
    deep = min(46.0, block.height - row - 36)
    if deep > 24:  # otherwise a shed would leave no space for a row
        hall = clutter.shed(site.rng, block.width - 24, deep)
        site.place(hall, block.pose.moved(0, y + deep / 2), layer="tall")
        y += deep + 18
    while y + row < block.height / 2:
        _truck_row(site, block, y + row / 2, None if kind == "mixed" else kind)
        y += row + 24 * site.scale
    scatter_crates(site, block, 10, gap=4.0)


def _truck_row(site: Site, block: Block, y: float, kind: str | None) -> None:
    pitch, half = 19.0 * site.scale, block.width / 2 - 10
    nose = float(site.rng.choice([-1, 1])) * np.pi / 2
    for x in np.arange(-half + pitch / 2, half - pitch / 2, pitch):
        if site.rng.random() < site.difficulty.fill * 0.85:
            pose = block.pose.moved(x, y + site.rng.normal(0, 1.5), nose + site.heading_jitter())
            site.place(vehicles.large_vehicle(site.rng, site.random_scale(), kind), pose, gap=0.5)


def _tank_farm(site: Site, block: Block) -> None:
    """Fill a block with storage tanks in a grid, with low walls and pipes."""
    gravel = pick(site.rng, [rgb(168, 158, 142), rgb(150, 148, 140)], 6)
    paint_surface(site, block, gravel)
    largest = 27.0 * site.scale * site.rng.uniform(0.85, 1.1)
    cell = 2 * largest + 16
    for x, y in grid_cells(block.width - 12, block.height - 12, cell, cell):
        wall = block.pose.moved(x, y).apply(rect(cell - 5, cell - 5))
        site.canvas.fill(wall, shade(gravel, 0.94), grain=4.0)
        site.canvas.line(wall, shade(gravel, 1.18), 1.6, closed=True)
        pipe = block.pose.apply(np.array([[x, y], [x, y + cell / 2]]))
        site.canvas.line(pipe, rgb(206, 204, 198), 1.4)
        radius = largest * site.rng.uniform(0.6, 0.98)
        # A circle has no heading: its box is axis-aligned, as in DOTA's annotations.
        at = block.pose.moved(x, y)
        tank = grounds.storage_tank(site.rng, site.scale, radius)
        site.place(tank, Pose(at.x, at.y, 0.0), layer="tall", gap=0.0)
    scatter_crates(site, block, 8, gap=4.0)


def _courts(site: Site, block: Block) -> None:
    """Fill a block with tennis courts, basketball courts and trees."""
    block = block.landscape()
    paint_lawn(site, block)
    share = 0.62
    paints = grounds.tennis_paints(site.rng)
    left, right = block.width * share - 8, block.width * (1 - share) - 8
    tennis = partial(grounds.tennis_court, site.rng, site.scale, paints)
    basketball = partial(grounds.basketball_court, site.rng, site.scale)
    for build, middle, width, cell_wh in (
        (tennis, -block.width / 2 + 8 + left / 2, left, (110.0, 56.0)),
        (basketball, block.width / 2 - 8 - right / 2, right, (74.0, 45.0)),
    ):
        cells, turn = best_grid_cells(width, block.height - 10, cell_wh[0] * site.scale, cell_wh[1] * site.scale)
        for x, y in cells:
            site.place(build(), block.pose.moved(middle + x, y, turn), layer="ground", gap=0.0)
    scatter_trees(site, block, 22)


def _ball_park(site: Site, block: Block) -> None:
    """Fill a block with baseball diamonds on mown grass."""
    paint_lawn(site, block)
    if site.rng.random() < 0.5:
        stripes = (block.width - 4, block.height - 4)
        lay_furrows(site.canvas, block.pose, stripes, site.climate.grass, site.rng.uniform(9, 15))
    quarter = site.rng.integers(4) * np.pi / 2
    build = partial(grounds.baseball_diamond, site.rng, site.scale)
    scatter(site, block, build, 4, quarter, spread=0.12, gap=7.0, layer="ground")
    scatter_trees(site, block, 24)


def _residential(site: Site, block: Block) -> None:
    """Fill a block with dwellings on lots, some with a pool and a car."""
    paint_lawn(site, block)
    width, height = block.width - 4, block.height - 4
    cells = grid_cells(width, height, 64 * site.scale, 70 * site.scale)
    if not cells:
        return
    lot_w = width / len({x for x, _ in cells})
    lot_h = height / len({y for _, y in cells})
    for x, y in cells:
        flip = 0.0 if y < 0 else np.pi
        _lot(site, block.pose.moved(x, y, flip), lot_w, lot_h)


def _lot(site: Site, pose: Pose, width: float, height: float) -> None:
    rng, s = site.rng, site.scale
    fence = pose.apply(rect(width - 1, height - 1))
    site.canvas.fill(fence, pick(rng, [site.climate.grass], 10), grain=9.0)
    site.canvas.line(fence, shade(site.climate.grass, 0.7), 1.2, closed=True)
    drive = pose.moved(21 * s, -height / 2 + 16 * s, np.pi / 2)
    site.canvas.fill(drive.apply(rect(31 * s, 12 * s)), shade(site.climate.concrete, 0.98), grain=3.0)
    dwelling = clutter.dwelling(rng, rng.uniform(32, 38) * s, rng.uniform(22, 26) * s)
    site.place(dwelling, pose.moved(-8 * s, -height / 2 + rng.uniform(17, 20) * s), layer="tall")
    if rng.random() < 0.6:
        terrace = pose.moved(rng.uniform(-4, 4), 16 * s, rng.choice([0, np.pi]) + rng.normal(0, 0.12))
        site.canvas.fill(terrace.apply(rect(48 * s, 29 * s)), shade(site.climate.concrete, 1.02), grain=3.0)
        site.place(grounds.swimming_pool(rng, site.random_scale()), terrace, layer="ground", gap=1.0)
    if rng.random() < 0.4:
        site.place(vehicles.car(rng, site.random_scale()), drive.moved(0, 0, rng.choice([0, np.pi])), gap=0.0)
    for _ in range(int(8 * site.difficulty.clutter)):
        x, y = rng.uniform(-0.46, 0.46) * width, rng.uniform(0.0, 0.46) * height
        place_tree(site, pose.moved(x, y), rng.uniform(5, 15))


def _woods(site: Site, block: Block) -> None:
    """Fill a block with trees."""
    paint_surface(site, block, shade(site.climate.grass, 0.85), grain=10.0)
    for _ in range(int(block.visible_area / 160 * site.difficulty.clutter)):
        crown = clutter.tree(site.rng, site.climate.leaves, site.rng.uniform(9, 24))
        site.place(crown, random_pose(site, block, 6), layer="tall", gap=-0.4 * crown.extent[2])


def _farmland(site: Site, block: Block) -> None:
    """Fill a block with two fields and a hedge."""
    for part in (-1, 1):
        color = pick(site.rng, site.climate.crop, 6)
        size = (block.width / 2 - 4, block.height - 4)
        lay_furrows(site.canvas, block.pose.moved(part * block.width / 4, 0), size, color, site.rng.uniform(3, 6))
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


LABELED: tuple[Zone, ...] = (_apron, _ball_park, _courts, _tank_farm, _depot, _parking, _residential)
"""Zones with labeled objects, in descending order of the space that they need."""

FILLERS: tuple[Zone, ...] = (_residential, _parking, _apron, _courts, _woods, _farmland, _offices)
"""Zones of the remaining blocks."""

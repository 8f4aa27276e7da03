"""What a block of land holds: one function a kind, each fills the block it is given."""

from collections.abc import Callable

import numpy as np

from rotated_atss.synthetic import aircraft, clutter, grounds, vehicles
from rotated_atss.synthetic.layout import Block
from rotated_atss.synthetic.shapes import rect
from rotated_atss.synthetic.site import Site
from rotated_atss.synthetic.sprite import Colour, Pose, pick, rgb, shade
from rotated_atss.synthetic.terrain import LANE_WHITE, LANE_YELLOW, lay_furrows, lay_slabs

Zone = Callable[[Site, Block], None]


def apron(site: Site, block: Block) -> None:
    """An airport apron: aeroplanes, and helicopters in what room they leave."""
    colour = shade(site.climate.concrete, 0.95)
    _surface(site, block, colour)
    lay_slabs(site.canvas, block.pose, (block.width, block.height), colour, 22.0)
    line = np.array([[-block.width / 2, -block.height * 0.02], [block.width / 2, block.height * 0.06]])
    site.canvas.line(block.pose.apply(line), LANE_YELLOW, 1.4, alpha=0.8)
    _stains(site, block, 6)
    base = site.rng.choice([0.0, 0.5, 1.0, 1.5]) * np.pi
    # In turns, so that a small apron holds some of both.
    for planes, helicopters in ((3, 2), (2, 1), (2, 0)):
        _scatter(site, block, lambda: aircraft.plane(site.rng, _size(site)), planes, base, spread=0.35, gap=4.0)
        _scatter(
            site, block, lambda: aircraft.helicopter(site.rng, _size(site)), helicopters, base, spread=3.1, gap=3.0
        )
    for _ in range(int(6 * site.difficulty.clutter)):
        site.place(clutter.crate(site.rng), _anywhere(site, block, 8), gap=5.0)


def parking(site: Site, block: Block) -> None:
    """A car park: rows of bays, cars nose in or out, islands with trees."""
    block = block if block.width >= block.height else block.turned()
    _surface(site, block, site.climate.asphalt)
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
            _tree_beside(site, block.pose.moved(end * (block.width / 2 - 5), y), 16.0)


def _bay_row(site: Site, block: Block, y: float, bay: float, depth: float, inward: int) -> None:
    half = block.width / 2 - 14
    taken = site.difficulty.fill * site.rng.uniform(0.75, 1.2)
    for x in np.arange(-half, half, bay):
        mark = block.pose.apply(np.array([[x, y - depth / 2], [x, y + depth / 2]]))
        site.canvas.line(mark, LANE_WHITE, 0.7, alpha=0.8)
        if site.rng.random() < taken and x + bay <= half:
            nose = inward if site.rng.random() < 0.75 else -inward
            pose = block.pose.moved(x + bay / 2, y + site.rng.normal(0, 1.0), nose * np.pi / 2 + _wobble(site))
            site.place(vehicles.car(site.rng, _size(site)), pose, gap=0.0)


def depot(site: Site, block: Block) -> None:
    """A yard of lorries or buses side by side, and the shed they serve."""
    block = block if block.width >= block.height else block.turned()
    ground = shade(site.climate.concrete, site.rng.uniform(0.72, 0.85))
    _surface(site, block, ground)
    _stains(site, block, 8)
    kind = str(site.rng.choice(["lorry", "bus", "mixed"], p=[0.5, 0.25, 0.25]))
    row, y = 60.0 * site.scale, -block.height / 2 + 6
    deep = min(46.0, block.height - row - 36)
    if deep > 24:  # no hall where it would leave no room for a row
        hall = clutter.shed(site.rng, block.width - 24, deep)
        site.place(hall, block.pose.moved(0, y + deep / 2), layer="tall")
        y += deep + 18
    while y + row < block.height / 2:
        _lorry_row(site, block, y + row / 2, None if kind == "mixed" else kind)
        y += row + 24 * site.scale
    for _ in range(int(10 * site.difficulty.clutter)):
        site.place(clutter.crate(site.rng), _anywhere(site, block, 8), gap=4.0)


def _lorry_row(site: Site, block: Block, y: float, kind: str | None) -> None:
    pitch, half = 19.0 * site.scale, block.width / 2 - 10
    nose = float(site.rng.choice([-1, 1])) * np.pi / 2
    for x in np.arange(-half + pitch / 2, half - pitch / 2, pitch):
        if site.rng.random() < site.difficulty.fill * 0.85:
            pose = block.pose.moved(x, y + site.rng.normal(0, 1.5), nose + _wobble(site))
            site.place(vehicles.large_vehicle(site.rng, _size(site), kind), pose, gap=0.5)


def tank_farm(site: Site, block: Block) -> None:
    """Tanks in a grid behind low walls, with pipes between them."""
    gravel = pick(site.rng, [rgb(168, 158, 142), rgb(150, 148, 140)], 6)
    _surface(site, block, gravel)
    largest = 27.0 * site.scale * site.rng.uniform(0.85, 1.1)
    cell = 2 * largest + 16
    for x, y in _grid(block.width - 12, block.height - 12, cell, cell):
        wall = block.pose.moved(x, y).apply(rect(cell - 5, cell - 5))
        site.canvas.fill(wall, shade(gravel, 0.94), grain=4.0)
        site.canvas.line(wall, shade(gravel, 1.18), 1.6, closed=True)
        pipe = block.pose.apply(np.array([[x, y], [x, y + cell / 2]]))
        site.canvas.line(pipe, rgb(206, 204, 198), 1.4)
        radius = largest * site.rng.uniform(0.6, 0.98)
        # A circle has no heading: its box lies along the image, as people draw it.
        at = block.pose.moved(x, y)
        tank = grounds.storage_tank(site.rng, site.scale, radius)
        site.place(tank, Pose(at.x, at.y, 0.0), layer="tall", gap=0.0)
    for _ in range(int(8 * site.difficulty.clutter)):
        site.place(clutter.crate(site.rng), _anywhere(site, block, 8), gap=4.0)


def courts(site: Site, block: Block) -> None:
    """Tennis courts in one part, basketball courts in the other, trees about them."""
    block = block if block.width >= block.height else block.turned()
    _lawn(site, block)
    share = 0.62
    paints = grounds.tennis_paints(site.rng)
    left, right = block.width * share - 8, block.width * (1 - share) - 8
    for part, width, cell_wh in ((0, left, (110.0, 56.0)), (1, right, (74.0, 45.0))):
        middle = (-block.width / 2 + 8 + left / 2) if part == 0 else (block.width / 2 - 8 - right / 2)
        cells, turn = _best_grid(width, block.height - 10, cell_wh[0] * site.scale, cell_wh[1] * site.scale)
        for x, y in cells:
            court = (
                grounds.tennis_court(site.rng, site.scale, paints)
                if part == 0
                else grounds.basketball_court(site.rng, site.scale)
            )
            site.place(court, block.pose.moved(middle + x, y, turn), layer="ground", gap=0.0)
    _trees(site, block, 22)


def ball_park(site: Site, block: Block) -> None:
    """Ball fields on mown grass."""
    _lawn(site, block)
    if site.rng.random() < 0.5:
        stripes = (block.width - 4, block.height - 4)
        lay_furrows(site.canvas, block.pose, stripes, site.climate.grass, site.rng.uniform(9, 15))
    quarter = site.rng.integers(4) * np.pi / 2
    build = lambda: grounds.baseball_diamond(site.rng, site.scale)  # noqa: E731
    _scatter(site, block, build, 4, quarter, spread=0.12, gap=7.0, layer="ground")
    _trees(site, block, 24)


def housing(site: Site, block: Block) -> None:
    """Houses on their lots, some with a pool behind and a car in front."""
    _lawn(site, block)
    width, height = block.width - 4, block.height - 4
    cells = _grid(width, height, 64 * site.scale, 70 * site.scale)
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
    house = clutter.house(rng, rng.uniform(32, 38) * s, rng.uniform(22, 26) * s)
    site.place(house, pose.moved(-8 * s, -height / 2 + rng.uniform(17, 20) * s), layer="tall")
    if rng.random() < 0.6:
        terrace = pose.moved(rng.uniform(-4, 4), 16 * s, rng.choice([0, np.pi]) + rng.normal(0, 0.12))
        site.canvas.fill(terrace.apply(rect(48 * s, 29 * s)), shade(site.climate.concrete, 1.02), grain=3.0)
        site.place(grounds.swimming_pool(rng, _size(site)), terrace, layer="ground", gap=1.0)
    if rng.random() < 0.4:
        site.place(vehicles.car(rng, _size(site)), drive.moved(0, 0, rng.choice([0, np.pi])), gap=0.0)
    for _ in range(int(8 * site.difficulty.clutter)):
        x, y = rng.uniform(-0.46, 0.46) * width, rng.uniform(0.0, 0.46) * height
        _tree_beside(site, pose.moved(x, y), rng.uniform(5, 15))


def woods(site: Site, block: Block) -> None:
    """A wood with glades."""
    _surface(site, block, shade(site.climate.grass, 0.85), grain=10.0)
    for _ in range(int(block.visible_area / 160 * site.difficulty.clutter)):
        crown = clutter.tree(site.rng, site.climate.leaves, site.rng.uniform(9, 24))
        site.place(crown, _anywhere(site, block, 6), layer="tall", gap=-0.4 * crown.extent[2])


def farmland(site: Site, block: Block) -> None:
    """Two fields and a hedge."""
    for part in (-1, 1):
        colour = pick(site.rng, site.climate.crop, 6)
        size = (block.width / 2 - 4, block.height - 4)
        lay_furrows(site.canvas, block.pose.moved(part * block.width / 4, 0), size, colour, site.rng.uniform(3, 6))
    for y in np.arange(-block.height / 2 + 6, block.height / 2 - 4, 9.0):
        if site.rng.random() < site.difficulty.clutter:
            shrub = clutter.bush(site.rng, site.climate.leaves, site.rng.uniform(7, 12))
            site.place(shrub, block.pose.moved(site.rng.normal(0, 2), y), layer="tall", gap=0.0)


def offices(site: Site, block: Block) -> None:
    """Flat-roofed buildings and trees."""
    _surface(site, block, shade(site.climate.concrete, 0.9))
    for x, y in _grid(block.width - 10, block.height - 10, 84.0, 70.0):
        size = site.rng.uniform(48, 70), site.rng.uniform(34, 54)
        site.place(clutter.flat_building(site.rng, *size), block.pose.moved(x, y), layer="tall", gap=0.0)
    _trees(site, block, 26)


def _surface(site: Site, block: Block, colour: Colour, grain: float = 6.0) -> None:
    site.canvas.fill(block.outline(-1.0), shade(colour, 0.78))
    site.canvas.fill(block.outline(0.5), colour, grain=grain)


def _lawn(site: Site, block: Block) -> None:
    """Grass with worn and lush patches, and a path across."""
    _surface(site, block, site.climate.grass, grain=9.0)
    for _ in range(14):
        blot = clutter.ellipse(*site.rng.uniform(20, 70, 2))
        colour = site.climate.ground[int(site.rng.integers(2))]
        site.canvas.fill(_anywhere(site, block, 8).apply(blot), colour, alpha=float(site.rng.uniform(0.08, 0.3)))


def _stains(site: Site, block: Block, count: int) -> None:
    for _ in range(count):
        pose = _anywhere(site, block, 5)
        size = site.rng.uniform(10, 45, 2)
        blot = clutter.ellipse(size[0], size[1] * 0.5)
        site.canvas.fill(pose.apply(blot), shade(site.climate.asphalt, 0.7), alpha=float(site.rng.uniform(0.06, 0.2)))


def _scatter(
    site: Site,
    block: Block,
    build: Callable[[], "clutter.Sprite"],
    count: int,
    heading: float,
    *,
    spread: float,
    gap: float,
    layer: str = "low",
) -> None:
    """Tries hard to place ``count`` sprites of about one heading in a block."""
    placed = 0
    for _ in range(count * 6):
        sprite = build()
        reach = 0.85 * float(np.abs(sprite.box).max())
        poses = (_anywhere(site, block, reach, heading + site.rng.uniform(-spread, spread)) for _ in range(12))
        placed += any(site.place(sprite, pose, layer=layer, gap=gap) for pose in poses)
        if placed == count:
            return


def _trees(site: Site, block: Block, count: int) -> None:
    for _ in range(int(count * site.difficulty.clutter)):
        diameter = site.rng.uniform(9, 22)
        _tree_beside(site, _anywhere(site, block, 4), diameter)


def _tree_beside(site: Site, pose: Pose, diameter: float) -> None:
    """A tree whose crown keeps off the labelled things, or hangs over them where the difficulty has it so."""
    hangs = site.rng.random() < site.difficulty.overhang
    crown = clutter.tree(site.rng, site.climate.leaves, diameter)
    site.place(crown, pose, layer="tall", gap=-0.3 * diameter if hangs else 1.0)


def _anywhere(site: Site, block: Block, reach: float, heading: float = 0.0) -> Pose:
    """A random place in the block, ``reach`` pixels from its border where that leaves room."""
    w, h = max(1.0, block.width / 2 - reach), max(1.0, block.height / 2 - reach)
    return block.pose.moved(site.rng.uniform(-w, w), site.rng.uniform(-h, h), heading)


def _grid(width: float, height: float, cell_w: float, cell_h: float) -> list[tuple[float, float]]:
    """Centres of as many cells as fit into a rectangle about (0, 0), spread evenly."""
    columns, rows = int(width // cell_w), int(height // cell_h)
    xs = (np.arange(columns) + 0.5) * (width / max(columns, 1)) - width / 2
    ys = (np.arange(rows) + 0.5) * (height / max(rows, 1)) - height / 2
    return [(float(x), float(y)) for y in ys for x in xs]


def _best_grid(width: float, height: float, cell_w: float, cell_h: float) -> tuple[list[tuple[float, float]], float]:
    """The fuller of the two grids of a cell and the cell turned by a quarter, and that turn."""
    along, across = _grid(width, height, cell_w, cell_h), _grid(width, height, cell_h, cell_w)
    return (along, 0.0) if len(along) >= len(across) else (across, np.pi / 2)


def _wobble(site: Site) -> float:
    return float(np.radians(site.rng.normal(0, site.difficulty.heading_jitter)))


def _size(site: Site) -> float:
    spread = site.difficulty.size_jitter
    return site.scale * float(site.rng.uniform(1 - spread, 1 + spread))


LABELLED: tuple[Zone, ...] = (apron, ball_park, courts, tank_farm, depot, parking, housing)
"""Zones with labelled objects, those that need most room first."""

FILLERS: tuple[Zone, ...] = (housing, parking, apron, courts, woods, farmland, offices)
"""Zones for the blocks that are left."""

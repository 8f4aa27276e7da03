"""Paint the surface of a block (a rectangle between the streets) and place objects in it; used by ``zones.py``.

Lengths (pixels), proportions and colors are chosen by eye to resemble aerial images.
"""

from collections.abc import Callable

import numpy as np

from rotated_atss.synthetic import clutter
from rotated_atss.synthetic.shapes import ellipse
from rotated_atss.synthetic.site import Layer, Site
from rotated_atss.synthetic.sprite import Color, Pose, Sprite, shade
from rotated_atss.synthetic.town_plan import Block


def paint_surface(site: Site, block: Block, color: Color, grain: float = 6.0) -> None:
    """Paint the block in one color, with a darker border and a noise of ``grain`` gray levels."""
    # The border reaches from one pixel outside the outline of the block to half a pixel inside.
    site.canvas.fill(block.outline(-1.0), shade(color, 0.78))
    site.canvas.fill(block.outline(0.5), color, grain=grain)


def paint_lawn(site: Site, block: Block) -> None:
    """Paint grass with patches of other colors."""
    paint_surface(site, block, site.climate.grass, grain=9.0)
    for _ in range(14):
        patch = ellipse(*site.rng.uniform(20, 70, 2))
        color = site.climate.ground[int(site.rng.integers(2))]  # the ground of a climate has two colors
        site.canvas.fill(random_pose(site, block, 8).apply(patch), color, alpha=float(site.rng.uniform(0.08, 0.3)))


def paint_stains(site: Site, block: Block, count: int) -> None:
    """Paint dark translucent stains at random positions."""
    for _ in range(count):
        pose = random_pose(site, block, 5)
        size = site.rng.uniform(10, 45, 2)
        stain = ellipse(size[0], size[1] * 0.5)
        site.canvas.fill(pose.apply(stain), shade(site.climate.asphalt, 0.7), alpha=float(site.rng.uniform(0.06, 0.2)))


def scatter(
    site: Site,
    block: Block,
    build: Callable[[], Sprite],
    count: int,
    heading: float,
    *,
    heading_spread: float,
    gap: float,
    layer: Layer = "low",
) -> None:
    """Place up to ``count`` sprites at random positions.

    Args:
        site: The site.
        block: The block to fill.
        build: Function that creates a sprite.
        count: Number of sprites; fewer are placed if there is no space.
        heading: Mean heading relative to the block, radians.
        heading_spread: Maximum deviation from ``heading``, radians.
        gap: Free pixels around each sprite.
        layer: As in :meth:`Site.place`.
    """
    num_placed = 0
    # Each sprite is tried at up to 12 random positions. If none has enough space, the sprite is dropped, and another
    # sprite is built.
    for _ in range(6 * count):
        sprite = build()
        half_length = float(np.abs(sprite.box).max())  # the corners in sprite.box are relative to the sprite's center
        border = 0.85 * half_length  # keeps most of the sprite inside the outline of the block
        for _ in range(12):
            turn = heading + site.rng.uniform(-heading_spread, heading_spread)
            if site.place(sprite, random_pose(site, block, border, turn), layer=layer, gap=gap):
                num_placed += 1
                break
        if num_placed == count:
            return


def scatter_crates(site: Site, block: Block, count: int, *, gap: float) -> None:
    """Place crates at random positions: at most ``count`` times the density of clutter (0 to 1) of the scene."""
    for _ in range(int(count * site.difficulty.clutter)):
        site.place(clutter.crate(site.rng), random_pose(site, block, 8), gap=gap)


def scatter_trees(site: Site, block: Block, count: int) -> None:
    """Place trees at random positions: at most ``count`` times the density of clutter (0 to 1) of the scene."""
    for _ in range(int(count * site.difficulty.clutter)):
        diameter = site.rng.uniform(9, 22)
        place_tree(site, random_pose(site, block, 4), diameter)


def place_tree(site: Site, pose: Pose, diameter: float) -> None:
    """Place a tree at a pose if there is space.

    With the probability ``overhang`` of the scene, the tree may cover parts of other objects.
    """
    may_overlap = site.rng.random() < site.difficulty.overhang
    crown = clutter.tree(site.rng, site.climate.leaves, diameter)
    gap = -0.3 * diameter if may_overlap else 1.0  # a negative gap allows an overlap with other sprites
    site.place(crown, pose, layer="tall", gap=gap)


def random_pose(site: Site, block: Block, border: float, heading: float = 0.0) -> Pose:
    """Sample a pose in the block, at least ``border`` pixels inside its outline if the block is large enough."""
    half_w, half_h = max(1.0, block.width / 2 - border), max(1.0, block.height / 2 - border)
    return block.pose.moved(site.rng.uniform(-half_w, half_w), site.rng.uniform(-half_h, half_h), heading)


def grid_cells(width: float, height: float, cell_w: float, cell_h: float) -> list[tuple[float, float]]:
    """Return the evenly spaced centers of as many grid cells as fit into a rectangle around (0, 0).

    Example:
        >>> grid_cells(40, 20, 20, 20)
        [(-10.0, 0.0), (10.0, 0.0)]
    """
    columns, rows = int(width // cell_w), int(height // cell_h)
    xs = (np.arange(columns) + 0.5) * (width / max(columns, 1)) - width / 2
    ys = (np.arange(rows) + 0.5) * (height / max(rows, 1)) - height / 2
    return [(float(x), float(y)) for y in ys for x in xs]


def best_grid_cells(
    width: float, height: float, cell_w: float, cell_h: float
) -> tuple[list[tuple[float, float]], float]:
    """Fit a grid of cells into a rectangle. If more cells fit after a rotation by 90 degrees, the cells are rotated.

    Returns:
        cells: Centers of the cells, relative to the center of the rectangle.
        rotation: 0, or pi / 2 if the cells are rotated.

    Example:
        >>> cells, rotation = best_grid_cells(40, 30, 20, 30)
        >>> len(cells), rotation
        (2, 0.0)
    """
    upright, rotated = grid_cells(width, height, cell_w, cell_h), grid_cells(width, height, cell_h, cell_w)
    return (upright, 0.0) if len(upright) >= len(rotated) else (rotated, np.pi / 2)

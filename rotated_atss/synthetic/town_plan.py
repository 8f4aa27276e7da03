"""Plan a town: the sea along one side, roads, and blocks of land between the roads.

The plan is made in a frame that is rotated relative to the image by a random angle. Its coordinates (u, v) are in
pixels, with (0, 0) at the center of the image; the sea is at large v.
"""

from dataclasses import dataclass, field

import numpy as np

from rotated_atss.synthetic.shapes import Points, rotate_points
from rotated_atss.synthetic.sprite import Pose

SAMPLE_STEP = 8  # pixels between the sample points of the visible area
ROAD_WIDTHS = (44.0, 28.0, 18.0)  # avenue, street, alley; pixels, like all lengths below
MIN_AVENUE_WIDTH = 40.0  # roads of at least this width are painted as avenues
MIN_STREET_WIDTH = 24.0  # narrower roads are painted as alleys
SIDEWALK_WIDTH = 4.0  # sidewalks lie between a road and the adjacent blocks
QUAY_WIDTH = 16.0  # the quay lies between the coast and the blocks
BLOCK_AREA = 48_000.0  # px^2, enough for a few of the largest objects
MIN_BLOCK_SIDE = 95.0  # land is divided only where two blocks with this side and a road fit next to each other


@dataclass(frozen=True)
class Block:
    """A rectangle of land between roads.

    Attributes:
        pose: Center of the block and direction of its width.
        width: Side along the direction of the pose, pixels.
        height: Other side, pixels.
        visible_area: Area of the part that is inside the image, px^2.
    """

    pose: Pose
    width: float
    height: float
    visible_area: float

    def in_landscape_orientation(self) -> "Block":
        """Return the same rectangle with a pose along its longer side, so that ``width`` >= ``height``."""
        if self.width >= self.height:
            return self
        pose = Pose(self.pose.x, self.pose.y, self.pose.angle + np.pi / 2)
        return Block(pose, self.height, self.width, self.visible_area)

    def outline(self, inset: float = 0.0) -> Points:
        """Return the corners (4, 2) on the image, with all sides moved inwards by ``inset`` pixels."""
        half_w, half_h = self.width / 2 - inset, self.height / 2 - inset
        corners = np.array([[-half_w, -half_h], [half_w, -half_h], [half_w, half_h], [-half_w, half_h]])
        return self.pose.apply(corners)


@dataclass(frozen=True)
class Road:
    """A straight road on the image from ``start`` to ``stop``, (2,) each, pixels."""

    start: Points
    stop: Points
    width: float

    @property
    def length(self) -> float:
        """Length in pixels."""
        return float(np.linalg.norm(self.stop - self.start))

    @property
    def axis(self) -> Points:
        """Unit vector from start to stop, (2,)."""
        return (self.stop - self.start) / self.length

    def pose(self, distance: float, offset: float, *, ahead: bool = True) -> Pose:
        """Return a pose ``distance`` pixels from the start and ``offset`` pixels to the right of the center line.

        The pose points in the direction of the road if ``ahead`` is True, otherwise in the opposite direction.
        """
        angle = float(np.arctan2(self.axis[1], self.axis[0]))
        x, y = self.start + self.axis * distance + self._right * offset
        return Pose(float(x), float(y), angle if ahead else angle + np.pi)

    def parallel(self, offset: float, extension: float = 0.0) -> Points:
        """Return the line (2, 2) ``offset`` pixels right of the center line, longer by ``extension`` at each end."""
        shift, ends = self._right * offset, self.axis * extension
        return np.array([self.start - ends + shift, self.stop + ends + shift])

    def band(self, extra_width: float = 0.0, extension: float = 0.0) -> Points:
        """Return the outline (4, 2), wider by ``extra_width`` in total and longer by ``extension`` at each end."""
        half = (self.width + extra_width) / 2
        return np.concatenate([self.parallel(-half, extension), self.parallel(half, extension)[::-1]])

    @property
    def _right(self) -> Points:
        return np.array([-self.axis[1], self.axis[0]])


@dataclass(frozen=True)
class Shore:
    """The straight edge of the land.

    Attributes:
        pose: Middle of the visible part of the edge; the y axis points to the sea.
        half_length: Half the length of the visible part, pixels.
        reach: Distance from the edge to the farthest visible point of the sea, pixels.
    """

    pose: Pose
    half_length: float
    reach: float


@dataclass
class TownPlan:
    """Shore, blocks and roads of a scene.

    ``frame`` is the pose of the frame of the plan on the image. All other positions are on the image.
    """

    frame: Pose
    shore: Shore
    blocks: list[Block] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)


@dataclass
class _Area:
    """A rectangle of land in the frame of the plan, before or after its division by roads."""

    bounds: tuple[float, float, float, float]  # u0, v0, u1, v1
    points: Points  # (N, 2) sample points of the image inside the bounds
    depth: int  # number of divisions from the whole land to this area


def make_town_plan(size_wh: tuple[int, int], rng: np.random.Generator) -> TownPlan:
    """Plan the sea along one side of an image, and divide the land by roads into blocks of about ``BLOCK_AREA``.

    Example:
        >>> len(make_town_plan((880, 720), np.random.default_rng(4)).blocks) > 5
        True
    """
    frame = Pose(size_wh[0] / 2, size_wh[1] / 2, rng.uniform(0, 2 * np.pi))
    points = _sample_points(size_wh, frame)
    coast_v = float(np.quantile(points[:, 1], rng.uniform(0.70, 0.76)))  # the sea is 24 to 30% of the image
    land_points = points[points[:, 1] < coast_v - QUAY_WIDTH]
    plan = TownPlan(frame, _make_shore(frame, points, coast_v))
    u0, v0 = points.min(axis=0) - 40  # extend the land on all sides but the coast, so that roads leave the image
    u1 = float(points[:, 0].max()) + 40
    land = _Area((float(u0), float(v0), u1, coast_v - QUAY_WIDTH), land_points, 0)
    num_blocks = max(1, round(len(land_points) * SAMPLE_STEP**2 / BLOCK_AREA))
    plan.blocks = [_make_block(area, frame) for area in _divide(land, num_blocks, plan, rng)]
    return plan


def _sample_points(size_wh: tuple[int, int], frame: Pose) -> Points:
    """Return points (N, 2) on a grid over the image, in coordinates of the frame."""
    x, y = np.meshgrid(*(np.arange(SAMPLE_STEP / 2, size, SAMPLE_STEP) for size in size_wh))
    offsets = np.stack([x.ravel() - frame.x, y.ravel() - frame.y], axis=1)
    return rotate_points(offsets, -frame.angle)


def _make_shore(frame: Pose, points: Points, coast_v: float) -> Shore:
    sea_points = points[points[:, 1] >= coast_v]
    u0, u1 = float(sea_points[:, 0].min()), float(sea_points[:, 0].max())
    return Shore(frame.moved((u0 + u1) / 2, coast_v), (u1 - u0) / 2, float(sea_points[:, 1].max()) - coast_v)


def _divide(land: _Area, num_blocks: int, plan: TownPlan, rng: np.random.Generator) -> list[_Area]:
    """Divide land into at most ``num_blocks`` areas, and add the roads between them to the plan.

    Each step divides the area with the most visible points.
    """
    indivisible: list[_Area] = []
    divisible = [land]
    while divisible and len(divisible) + len(indivisible) < num_blocks:
        divisible.sort(key=lambda area: len(area.points))
        largest = divisible.pop()
        halves = _halve(largest, plan, rng)
        divisible.extend(halves)
        if not halves:
            indivisible.append(largest)
    return indivisible + divisible


def _halve(area: _Area, plan: TownPlan, rng: np.random.Generator) -> list[_Area]:
    """Divide an area by a road across the longer side of its visible part, and add the road to the plan.

    Returns:
        Two areas of about the same visible size; an empty list if the area is too small.
    """
    sides = np.ptp(area.points, axis=0) if len(area.points) else np.zeros(2)
    axis = int(np.argmax(sides))
    # the road through the whole land is an avenue, the roads through its two halves are streets, all others alleys
    road_width = ROAD_WIDTHS[min(area.depth, len(ROAD_WIDTHS) - 1)]
    if sides[axis] < 2 * MIN_BLOCK_SIDE + road_width:
        return []
    cut = float(np.quantile(area.points[:, axis], rng.uniform(0.44, 0.56)))
    plan.roads.append(_make_road(area.bounds, axis, cut, road_width, plan.frame))
    margin = road_width / 2 + SIDEWALK_WIDTH
    return [_crop_area(area, axis, cut - margin, upper=False), _crop_area(area, axis, cut + margin, upper=True)]


def _crop_area(area: _Area, axis: int, edge: float, *, upper: bool) -> _Area:
    """Return the part of an area above or below the coordinate ``edge`` on an axis (0: u, 1: v)."""
    bounds = list(area.bounds)
    bounds[axis if upper else axis + 2] = edge
    inside = area.points[:, axis] > edge if upper else area.points[:, axis] < edge
    return _Area((bounds[0], bounds[1], bounds[2], bounds[3]), area.points[inside], area.depth + 1)


def _make_road(bounds: tuple[float, float, float, float], axis: int, cut: float, width: float, frame: Pose) -> Road:
    """Return a road through an area at the coordinate ``cut`` on an axis (0: u, 1: v)."""
    other_axis = 1 - axis
    ends = np.empty((2, 2))
    ends[:, axis] = cut
    ends[:, other_axis] = bounds[other_axis], bounds[other_axis + 2]
    start, stop = frame.apply(ends)
    return Road(start, stop, width)


def _make_block(area: _Area, frame: Pose) -> Block:
    """Convert an area to a block, cropped to its visible part; the area must have visible points."""
    low = np.maximum(area.bounds[:2], area.points.min(axis=0) - SAMPLE_STEP)
    high = np.minimum(area.bounds[2:], area.points.max(axis=0) + SAMPLE_STEP)
    middle, size = (low + high) / 2, high - low
    pose = frame.moved(float(middle[0]), float(middle[1]))
    return Block(pose, float(size[0]), float(size[1]), len(area.points) * SAMPLE_STEP**2)

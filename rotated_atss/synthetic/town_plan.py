"""A town plan: the sea along one side, roads, and blocks between them.

The plan is made in a frame that is rotated against the image by a random angle. Frame coordinates (u, v) are pixels
relative to the center of the image; the sea is at large v.
"""

from dataclasses import dataclass, field

import numpy as np

from rotated_atss.synthetic.shapes import Points, rotate_points
from rotated_atss.synthetic.sprite import Pose

SAMPLE_STEP = 8  # pixels between the sample points of the visible area
ROAD_WIDTHS = (44.0, 28.0, 18.0)  # avenue, street, lane
SIDEWALK = 4.0
QUAY = 16.0
BLOCK_AREA = 48_000.0  # px^2, enough for a few of the largest objects
MIN_SIDE = 95.0


@dataclass(frozen=True)
class Block:
    """Rectangle of land between roads.

    Attributes:
        pose: Center and heading.
        width: Side along the heading, pixels.
        height: Side across the heading, pixels.
        visible_area: Area inside the image, px^2.
    """

    pose: Pose
    width: float
    height: float
    visible_area: float

    def landscape(self) -> "Block":
        """Return the same block with its longer side as width."""
        if self.width >= self.height:
            return self
        pose = Pose(self.pose.x, self.pose.y, self.pose.angle + np.pi / 2)
        return Block(pose, self.height, self.width, self.visible_area)

    def outline(self, inset: float = 0.0) -> Points:
        """Return the corners on the image, (4, 2), ``inset`` pixels inside the border."""
        w, h = self.width / 2 - inset, self.height / 2 - inset
        return self.pose.apply(np.array([[-w, -h], [w, -h], [w, h], [-w, h]]))


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

    def pose(self, along: float, offset: float, *, ahead: bool = True) -> Pose:
        """Return the pose ``along`` pixels from the start and ``offset`` to the right, heading ahead or back."""
        angle = float(np.arctan2(self.axis[1], self.axis[0]))
        x, y = self.start + self.axis * along + self._right * offset
        return Pose(float(x), float(y), angle if ahead else angle + np.pi)

    def parallel(self, offset: float, reach: float = 0.0) -> Points:
        """Return the line ``offset`` pixels right of the center line, extended by ``reach`` at both ends: (2, 2)."""
        shift, ends = self._right * offset, self.axis * reach
        return np.array([self.start - ends + shift, self.stop + ends + shift])

    def band(self, wider: float = 0.0, reach: float = 0.0) -> Points:
        """Return the outline (4, 2), widened by ``wider`` and extended by ``reach`` pixels at both ends."""
        half = (self.width + wider) / 2
        return np.concatenate([self.parallel(-half, reach), self.parallel(half, reach)[::-1]])

    @property
    def _right(self) -> Points:
        return np.array([-self.axis[1], self.axis[0]])


@dataclass(frozen=True)
class Shore:
    """The straight edge of the land.

    Attributes:
        pose: Middle of its visible part; the y axis points to the sea.
        half_length: Half the length of the visible part, pixels.
        reach: Largest visible distance from the shore out to sea, pixels.
    """

    pose: Pose
    half_length: float
    reach: float


@dataclass
class TownPlan:
    """Frame, shore, blocks and roads of a scene."""

    frame: Pose
    shore: Shore
    blocks: list[Block] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)


@dataclass
class _Node:
    bounds: tuple[float, float, float, float]  # u0, v0, u1, v1
    points: Points  # visible sample points inside, (N, 2)
    depth: int


def make_town_plan(size_wh: tuple[int, int], rng: np.random.Generator) -> TownPlan:
    """Plan an image: sea along one side, the rest divided into blocks of about ``BLOCK_AREA``.

    Example:
        >>> len(make_town_plan((880, 720), np.random.default_rng(4)).blocks) > 5
        True
    """
    frame = Pose(size_wh[0] / 2, size_wh[1] / 2, rng.uniform(0, 2 * np.pi))
    points = _sample_points(size_wh, frame)
    coast = float(np.quantile(points[:, 1], rng.uniform(0.70, 0.76)))
    land = points[points[:, 1] < coast - QUAY]
    plan = TownPlan(frame, _shore(frame, points, coast))
    low = points.min(axis=0) - 40
    high = float(points[:, 0].max()) + 40
    root = _Node((float(low[0]), float(low[1]), high, coast - QUAY), land, 0)
    num_blocks = max(1, round(len(land) * SAMPLE_STEP**2 / BLOCK_AREA))
    plan.blocks = [_block(node, frame) for node in _split_until(root, num_blocks, plan, rng)]
    return plan


def _sample_points(size_wh: tuple[int, int], frame: Pose) -> Points:
    x, y = np.meshgrid(*(np.arange(SAMPLE_STEP / 2, size, SAMPLE_STEP) for size in size_wh))
    offsets = np.stack([x.ravel() - frame.x, y.ravel() - frame.y], axis=1)
    return rotate_points(offsets, -frame.angle)


def _shore(frame: Pose, points: Points, coast: float) -> Shore:
    sea = points[points[:, 1] >= coast]
    low, high = float(sea[:, 0].min()), float(sea[:, 0].max())
    return Shore(frame.moved((low + high) / 2, coast), (high - low) / 2, float(sea[:, 1].max()) - coast)


def _split_until(root: _Node, num_blocks: int, plan: TownPlan, rng: np.random.Generator) -> list[_Node]:
    done: list[_Node] = []
    open_nodes = [root]
    while open_nodes and len(open_nodes) + len(done) < num_blocks:
        open_nodes.sort(key=lambda node: len(node.points))
        node = open_nodes.pop()
        parts = _split(node, plan, rng)
        open_nodes.extend(parts)
        if not parts:
            done.append(node)
    return done + open_nodes


def _split(node: _Node, plan: TownPlan, rng: np.random.Generator) -> list[_Node]:
    """Divide a node across its longer visible side by a road; return no parts if it is too small."""
    sides = np.ptp(node.points, axis=0) if len(node.points) else np.zeros(2)
    axis = int(np.argmax(sides))
    width = ROAD_WIDTHS[min(node.depth, len(ROAD_WIDTHS) - 1)]
    if sides[axis] < 2 * MIN_SIDE + width:
        return []
    cut = float(np.quantile(node.points[:, axis], rng.uniform(0.44, 0.56)))
    plan.roads.append(_road(node.bounds, axis, cut, width, plan.frame))
    margin = width / 2 + SIDEWALK
    return [_half(node, axis, cut - margin, upper=False), _half(node, axis, cut + margin, upper=True)]


def _half(node: _Node, axis: int, edge: float, *, upper: bool) -> _Node:
    bounds = list(node.bounds)
    bounds[axis if upper else axis + 2] = edge
    inside = node.points[:, axis] > edge if upper else node.points[:, axis] < edge
    return _Node((bounds[0], bounds[1], bounds[2], bounds[3]), node.points[inside], node.depth + 1)


def _road(bounds: tuple[float, float, float, float], axis: int, cut: float, width: float, frame: Pose) -> Road:
    along = 1 - axis
    ends = np.empty((2, 2))
    ends[:, axis] = cut
    ends[:, along] = bounds[along], bounds[along + 2]
    start, stop = frame.apply(ends)
    return Road(start, stop, width)


def _block(node: _Node, frame: Pose) -> Block:
    """Return the block of a leaf, cropped to its visible part."""
    pad = SAMPLE_STEP
    low = np.maximum(node.bounds[:2], node.points.min(axis=0) - pad)
    high = np.minimum(node.bounds[2:], node.points.max(axis=0) + pad)
    middle, size = (low + high) / 2, high - low
    pose = frame.moved(float(middle[0]), float(middle[1]))
    return Block(pose, float(size[0]), float(size[1]), len(node.points) * SAMPLE_STEP**2)

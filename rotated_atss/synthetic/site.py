"""The site of a scene: the canvas, the placed sprites, the occupied area and the labeled objects."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.synthetic.canvas import Canvas
from rotated_atss.synthetic.difficulty import Difficulty, resolve_difficulty
from rotated_atss.synthetic.shapes import Points
from rotated_atss.synthetic.sprite import Pose, Sprite
from rotated_atss.synthetic.terrain import Climate, choose_climate

MIN_VISIBLE = 0.7  # minimum fraction of a labeled object inside the image; others are not placed
HIDDEN = 0.75  # an object has no label if trees cover at least this fraction of it
OCCLUDED = 0.35  # an object is difficult if trees cover more than this fraction of it
TINY = 6.0  # px: objects with a shorter side are difficult


@dataclass(frozen=True)
class SceneObject:
    """A labeled object: polygon (4, 2) in pixels, clockwise on the image from the front left corner."""

    polygon: Points
    name: str
    difficult: int = 0


@dataclass(frozen=True)
class Sun:
    """The light: ``to_sun`` is a unit vector, (2,), ``slope`` the length of a shadow per unit of height."""

    to_sun: Points
    slope: float


@dataclass
class Site:
    """Sprites placed on a canvas, painted in layers so that shadows fall on lower layers.

    Attributes:
        canvas: The image.
        climate: Colors of the ground.
        sun: Direction of the light.
        difficulty: Difficulty of the scene.
        scale: Size of the objects relative to the default.
        rng: Random generator.
        objects: Labeled objects placed so far.
        low: Sprites of the lower layer, such as vehicles.
        tall: Sprites of the upper layer, such as trees.
    """

    canvas: Canvas
    climate: Climate
    sun: Sun
    difficulty: Difficulty
    scale: float
    rng: np.random.Generator
    objects: list[SceneObject] = field(default_factory=list)
    low: list[tuple[Sprite, Pose]] = field(default_factory=list)
    tall: list[tuple[Sprite, Pose]] = field(default_factory=list)

    def __post_init__(self) -> None:
        width, height = self.canvas.size_wh
        self.occupied: NDArray[np.uint8] = np.zeros((height, width), np.uint8)

    @classmethod
    def create(cls, size_wh: tuple[int, int], difficulty: str | Difficulty, rng: np.random.Generator) -> "Site":
        """Create an empty site with random noise, climate, light and scale.

        Example:
            >>> Site.create((60, 40), "easy", np.random.default_rng(0)).occupied.shape
            (40, 60)
        """
        difficulty = resolve_difficulty(difficulty)
        heading = rng.uniform(0, 2 * np.pi)
        sun = Sun(np.array([np.cos(heading), np.sin(heading)]), float(rng.uniform(0.4, 1.0)))
        canvas, climate = Canvas(size_wh, rng), choose_climate(rng)
        scale = float(rng.uniform(1 - difficulty.size_jitter, 1 + difficulty.size_jitter))
        return cls(canvas, climate, sun, difficulty, scale, rng)

    def random_scale(self) -> float:
        """Draw the scale of one object."""
        spread = self.difficulty.size_jitter
        return self.scale * float(self.rng.uniform(1 - spread, 1 + spread))

    def heading_jitter(self) -> float:
        """Draw a deviation of the heading, radians."""
        return float(np.radians(self.rng.normal(0, self.difficulty.heading_jitter)))

    def place(self, sprite: Sprite, pose: Pose, *, layer: str = "low", gap: float | None = None) -> bool:
        """Place a sprite if there is space.

        Args:
            sprite: The sprite.
            pose: Its position and heading on the image.
            layer: "ground" is painted immediately; "low" and "tall" are painted by :meth:`paint_layers`.
            gap: Free pixels required around the sprite; None skips the check.

        Returns:
            Whether the sprite was placed.
        """
        quad = pose.apply(sprite.box)
        if sprite.name is not None and visible_share(quad, self.canvas.size_wh) < MIN_VISIBLE:
            return False
        if gap is not None and not self.is_free(pose.apply(_expand(sprite.box, gap))):
            return False
        self.reserve(quad)
        if sprite.name is not None:
            self.objects.append(SceneObject(quad, sprite.name))
        if layer == "ground":
            self.canvas.paint(sprite.parts, pose, self.sun.to_sun)
        else:
            (self.low if layer == "low" else self.tall).append((sprite, pose))
        return True

    def is_free(self, outline: Points) -> bool:
        """Return whether a polygon contains no occupied pixel."""
        corners, window = _window(self.occupied, outline)
        if window.size == 0:
            return True
        mask = cv2.fillPoly(np.zeros_like(window), [corners], 1)
        return cv2.countNonZero(np.bitwise_and(mask, window)) == 0

    def reserve(self, outline: Points) -> None:
        """Mark a polygon as occupied."""
        cv2.fillPoly(self.occupied, [np.round(outline - 0.5).astype(np.int32)], 1)

    def paint_layers(self) -> None:
        """Paint the lower layer with its shadows, then the upper layer, whose shadows fall on the lower one."""
        for layer in (self.low, self.tall):
            shadows = [shadow for sprite, pose in layer for shadow in self._shadows(sprite, pose)]
            self.canvas.darken(shadows, self.difficulty.shadow)
            for sprite, pose in layer:
                self.canvas.paint(sprite.parts, pose, self.sun.to_sun)

    def labels(self) -> list[SceneObject]:
        """Return the objects with their difficult flag, without those hidden by trees."""
        cover = self._tree_cover()
        labels = []
        for obj in self.objects:
            share = _covered_share(cover, obj.polygon)
            tiny = min(np.linalg.norm(np.diff(obj.polygon[:3], axis=0), axis=1)) < TINY
            if share < HIDDEN:
                labels.append(SceneObject(obj.polygon, obj.name, int(share > OCCLUDED or tiny)))
        return labels

    def _shadows(self, sprite: Sprite, pose: Pose) -> list[Points]:
        offset = -self.sun.to_sun * self.sun.slope * sprite.height
        outlines = [pose.apply(caster) for caster in sprite.casters]
        if sprite.floating:
            return [outline + offset for outline in outlines]
        return [_sweep(outline, offset) for outline in outlines]

    def _tree_cover(self) -> NDArray[np.uint8]:
        cover = np.zeros_like(self.occupied)
        for sprite, pose in self.tall:
            if sprite.name is None:
                for outline in sprite.casters:
                    cv2.fillPoly(cover, [np.round(pose.apply(outline) - 0.5).astype(np.int32)], 1)
        return cover


def visible_share(quad: Points, size_wh: tuple[int, int]) -> float:
    """Compute the fraction of a rectangle (4, 2) inside the image, to about 1 %.

    Example:
        >>> visible_share(np.array([[10.0, 0], [10, 10], [-10, 10], [-10, 0]]), (100, 100))
        0.5
    """
    steps = (np.arange(12) + 0.5) / 12
    s, t = (grid.reshape(-1, 1) for grid in np.meshgrid(steps, steps))
    inner = quad[0] + s * (quad[1] - quad[0]) + t * (quad[3] - quad[0])
    return float(((inner >= 0) & (inner < size_wh)).all(axis=1).mean())


def _covered_share(cover: NDArray[np.uint8], quad: Points) -> float:
    corners, window = _window(cover, quad)
    mask = cv2.fillPoly(np.zeros_like(window), [corners], 1)
    inside = cv2.countNonZero(mask)
    return cv2.countNonZero(np.bitwise_and(mask, window)) / inside if inside else 0.0


def _window(grid: NDArray[np.uint8], outline: Points) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the corners of a polygon relative to the window of a grid around it, and that window."""
    corners = np.round(outline - 0.5).astype(np.int32)
    (x0, y0), (x1, y1) = np.maximum(corners.min(axis=0), 0), np.maximum(corners.max(axis=0) + 1, 0)
    return corners - np.array([x0, y0], np.int32), grid[y0:y1, x0:x1]


def _expand(box: Points, gap: float) -> Points:
    return box + np.sign(box - box.mean(axis=0)) * gap


def _sweep(outline: Points, offset: Points) -> Points:
    both = np.concatenate([outline, outline + offset]).astype(np.float32)
    return cv2.convexHull(both)[:, 0].astype(np.float64)

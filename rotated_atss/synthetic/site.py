"""The site of a scene while it is built: what is painted, what still waits, what is taken and what is labelled."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.synthetic.canvas import Canvas
from rotated_atss.synthetic.difficulty import Difficulty
from rotated_atss.synthetic.shapes import Points
from rotated_atss.synthetic.sprite import Pose, Sprite
from rotated_atss.synthetic.terrain import Climate

MIN_VISIBLE = 0.7  # share of a labelled object that lies inside the image; less of it is not built at all
HIDDEN = 0.75  # share of an object under trees from which it gets no label
OCCLUDED = 0.35  # share from which it is difficult
TINY = 6.0  # pixels of the shorter side below which an object is difficult


@dataclass(frozen=True)
class SceneObject:
    """A labelled object: polygon (4, 2) in pixels, head first, front left corner first, clockwise on the image."""

    polygon: Points
    name: str
    difficult: int = 0


@dataclass(frozen=True)
class Sun:
    """Where the light comes from: ``to_sun`` a unit vector, (2,); ``slope`` the shadow's length per unit of height."""

    to_sun: Points
    slope: float


@dataclass
class Site:
    """Collects sprites and paints them in layers, so that shadows fall on what lies below, not on what throws them."""

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
        self.taken: NDArray[np.uint8] = np.zeros((height, width), np.uint8)

    def place(self, sprite: Sprite, pose: Pose, *, layer: str = "low", gap: float | None = None) -> bool:
        """Puts a sprite on the site and says whether it was.

        Args:
            layer: "ground" is painted at once; "low" and "tall" wait for ``paint_layers``.
            gap: Pixels that have to be free around it; None does not ask.
        """
        quad = pose.apply(sprite.box)
        if sprite.name is not None and visible_share(quad, self.canvas.size_wh) < MIN_VISIBLE:
            return False
        if gap is not None and not self.is_free(pose.apply(_grown(sprite.box, gap))):
            return False
        self.take(quad)
        if sprite.name is not None:
            self.objects.append(SceneObject(quad, sprite.name))
        if layer == "ground":
            self.canvas.paint(sprite.parts, pose, self.sun.to_sun)
        else:
            (self.low if layer == "low" else self.tall).append((sprite, pose))
        return True

    def is_free(self, outline: Points) -> bool:
        """Whether nothing was built inside a polygon."""
        corners, window = _window(self.taken, outline)
        if window.size == 0:
            return True
        mask = cv2.fillPoly(np.zeros_like(window), [corners], 1)
        return cv2.countNonZero(np.bitwise_and(mask, window)) == 0

    def take(self, outline: Points) -> None:
        """Reserves a polygon."""
        cv2.fillPoly(self.taken, [np.round(outline - 0.5).astype(np.int32)], 1)

    def paint_layers(self) -> None:
        """Paints all that waits: low things and their shadows, then tall ones, whose shadows fall over the low."""
        for layer in (self.low, self.tall):
            shadows = [shadow for sprite, pose in layer for shadow in self._shadows(sprite, pose)]
            self.canvas.darken(shadows, self.difficulty.shadow)
            for sprite, pose in layer:
                self.canvas.paint(sprite.parts, pose, self.sun.to_sun)

    def labels(self) -> list[SceneObject]:
        """The objects with their difficult flag, without those that trees hide."""
        cover = self._overgrown()
        marked = []
        for thing in self.objects:
            share = _covered_share(cover, thing.polygon)
            tiny = min(np.linalg.norm(np.diff(thing.polygon[:3], axis=0), axis=1)) < TINY
            if share < HIDDEN:
                marked.append(SceneObject(thing.polygon, thing.name, int(share > OCCLUDED or tiny)))
        return marked

    def _shadows(self, sprite: Sprite, pose: Pose) -> list[Points]:
        offset = -self.sun.to_sun * self.sun.slope * sprite.height
        outlines = [pose.apply(caster) for caster in sprite.casters]
        if sprite.floating:
            return [outline + offset for outline in outlines]
        return [_swept(outline, offset) for outline in outlines]

    def _overgrown(self) -> NDArray[np.uint8]:
        cover = np.zeros_like(self.taken)
        for sprite, pose in self.tall:
            if sprite.name is None:
                for outline in sprite.casters:
                    cv2.fillPoly(cover, [np.round(pose.apply(outline) - 0.5).astype(np.int32)], 1)
        return cover


def visible_share(quad: Points, size_wh: tuple[int, int]) -> float:
    """Share of a rectangle (4, 2) that lies inside the image, to about 1 %."""
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
    """The part of a pixel grid about a polygon, and the polygon's corners in it, as pixel centres."""
    corners = np.round(outline - 0.5).astype(np.int32)
    (x0, y0), (x1, y1) = np.maximum(corners.min(axis=0), 0), np.maximum(corners.max(axis=0) + 1, 0)
    return corners - np.array([x0, y0], np.int32), grid[y0:y1, x0:x1]


def _grown(box: Points, gap: float) -> Points:
    return box + np.sign(box - box.mean(axis=0)) * gap


def _swept(outline: Points, offset: Points) -> Points:
    both = np.concatenate([outline, outline + offset]).astype(np.float32)
    return cv2.convexHull(both)[:, 0].astype(np.float64)

"""The site of a scene: the canvas, the placed sprites, the occupied area and the labeled objects."""

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.synthetic.canvas import Canvas
from rotated_atss.synthetic.difficulty import Difficulty, resolve_difficulty
from rotated_atss.synthetic.shapes import Points
from rotated_atss.synthetic.sprite import Pose, Sprite
from rotated_atss.synthetic.terrain import Climate, choose_climate

MIN_VISIBLE_SHARE = 0.7  # a labeled object is placed only if at least this share of it is inside the image
HIDDEN_SHARE = 0.75  # an object gets no label if trees and buildings cover at least this share of it
OCCLUDED_SHARE = 0.35  # an object is difficult if trees and buildings cover more than this share of it
TINY_PX = 6.0  # an object is difficult if its shorter side is below this length

Layer = Literal["ground", "low", "tall"]


@dataclass(frozen=True)
class SceneObject:
    """A labeled object.

    Attributes:
        polygon: Corners (4, 2) in pixels, in clockwise order on the image. The first one is the front left corner.
        name: DOTA class.
        difficult: DOTA's difficult flag, which :meth:`Site.labels` sets: 1 if the object is tiny or partly covered,
            otherwise 0.
    """

    polygon: Points
    name: str
    difficult: int = 0


@dataclass(frozen=True)
class Sun:
    """Direction and elevation of the sun.

    Attributes:
        to_sun: Unit vector (2,) on the image towards the sun.
        shadow_length: Length of the shadow of an object, divided by its height.
    """

    to_sun: Points
    shadow_length: float


@dataclass
class Site:
    """A canvas with the sprites placed on it.

    Sprites are painted in layers, from the ground up. The shadows of a layer are painted before its sprites, so they
    fall only on the layers below.

    Attributes:
        canvas: The image.
        climate: Colors of the ground.
        sun: Direction and elevation of the sun.
        difficulty: Difficulty of the scene.
        scale: Size of the objects relative to the default size, fixed per scene.
        rng: Random generator.
        objects: Labeled objects that have been placed.
        low: Sprites of the lower layer, such as vehicles, and their poses.
        tall: Sprites of the upper layer, such as trees and buildings, and their poses.
        occupied: (H, W) mask, 1 in pixels that a sprite or a reserved area occupies.
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
        """Create an empty site with a random climate, sun and scale.

        Example:
            >>> Site.create((60, 40), "easy", np.random.default_rng(0)).occupied.shape
            (40, 60)
        """
        difficulty = resolve_difficulty(difficulty)
        sun_angle = rng.uniform(0, 2 * np.pi)
        to_sun = np.array([np.cos(sun_angle), np.sin(sun_angle)])
        sun = Sun(to_sun, shadow_length=float(rng.uniform(0.4, 1.0)))
        canvas, climate = Canvas(size_wh, rng), choose_climate(rng)
        scale = float(rng.uniform(1 - difficulty.size_jitter, 1 + difficulty.size_jitter))
        return cls(canvas, climate, sun, difficulty, scale, rng)

    def random_scale(self) -> float:
        """Sample the size of one object, relative to the default size."""
        spread = self.difficulty.size_jitter
        return self.scale * float(self.rng.uniform(1 - spread, 1 + spread))

    def random_heading_offset(self) -> float:
        """Sample the deviation of an object from the heading of its row, in radians."""
        return float(np.radians(self.rng.normal(0, self.difficulty.heading_jitter)))

    def place(self, sprite: Sprite, pose: Pose, *, layer: Layer = "low", gap: float | None = None) -> bool:
        """Place a sprite if there is space for it.

        At least ``MIN_VISIBLE_SHARE`` of a labeled sprite must also be inside the image.

        Args:
            sprite: The sprite.
            pose: Position and heading of the sprite on the image.
            layer: Layer of the sprite. Sprites of the layer "ground" are painted immediately, sprites of the layers
                "low" and "tall" by :meth:`paint_layers`.
            gap: Width of the border around the sprite that must be free, pixels. If it is negative, the sprite may
                overlap other sprites by this width. If it is None, the overlap has no limit.

        Returns:
            Whether the sprite was placed.
        """
        quad = pose.apply(sprite.box)
        if sprite.name is not None and visible_share(quad, self.canvas.size_wh) < MIN_VISIBLE_SHARE:
            return False
        if gap is not None and not self.is_free(pose.apply(_expand(sprite.box, gap))):
            return False
        self.reserve(quad)
        if sprite.name is not None:
            self.objects.append(SceneObject(quad, sprite.name))
        if layer == "ground":
            self.canvas.paint(sprite.parts, pose, self.sun.to_sun)
        elif layer == "low":
            self.low.append((sprite, pose))
        else:
            self.tall.append((sprite, pose))
        return True

    def is_free(self, outline: Points) -> bool:
        """Return whether a polygon contains no occupied pixel."""
        corners, crop = _crop_to_polygon(self.occupied, outline)
        if crop.size == 0:
            return True
        mask = cv2.fillPoly(np.zeros_like(crop), [corners], 1)
        return cv2.countNonZero(np.bitwise_and(mask, crop)) == 0

    def reserve(self, outline: Points) -> None:
        """Mark a polygon as occupied."""
        cv2.fillPoly(self.occupied, [_pixel_indices(outline)], 1)

    def paint_layers(self) -> None:
        """Paint the lower layer and then the upper layer. The shadows of a layer are painted before its sprites."""
        for layer in (self.low, self.tall):
            shadows = [shadow for sprite, pose in layer for shadow in self._shadows(sprite, pose)]
            self.canvas.darken(shadows, self.difficulty.shadow)
            for sprite, pose in layer:
                self.canvas.paint(sprite.parts, pose, self.sun.to_sun)

    def labels(self) -> list[SceneObject]:
        """Return the labeled objects that trees and buildings do not hide, with their difficult flags."""
        occlusion = self._occlusion_mask()
        labels = []
        for obj in self.objects:
            covered_share = _covered_share(occlusion, obj.polygon)
            if covered_share >= HIDDEN_SHARE:
                continue
            length_and_width = np.linalg.norm(np.diff(obj.polygon[:3], axis=0), axis=1)
            is_difficult = covered_share > OCCLUDED_SHARE or min(length_and_width) < TINY_PX
            labels.append(SceneObject(obj.polygon, obj.name, int(is_difficult)))
        return labels

    def _shadows(self, sprite: Sprite, pose: Pose) -> list[Points]:
        """Return the outlines of the shadows of a sprite on the image."""
        offset = -self.sun.to_sun * self.sun.shadow_length * sprite.height
        outlines = [pose.apply(caster) for caster in sprite.shadow_casters]
        if sprite.detached_shadow:  # the object is above the ground and does not touch its shadow
            return [outline + offset for outline in outlines]
        return [_sweep_hull(outline, offset) for outline in outlines]

    def _occlusion_mask(self) -> NDArray[np.uint8]:
        """Return the mask (H, W) of pixels covered by unlabeled sprites of the upper layer (trees, buildings)."""
        mask = np.zeros_like(self.occupied)
        for sprite, pose in self.tall:
            if sprite.name is None:
                # The parts that cast shadows are above the ground, so they also hide what is below them.
                for outline in sprite.shadow_casters:
                    cv2.fillPoly(mask, [_pixel_indices(pose.apply(outline))], 1)
        return mask


def visible_share(quad: Points, size_wh: tuple[int, int]) -> float:
    """Estimate the share of a rectangle (4, 2) that is inside the image, from 12 x 12 sample points.

    For each image border that crosses the rectangle, the error is at most about 0.04, which is half the spacing of the
    points.

    Example:
        >>> visible_share(np.array([[10.0, 0], [10, 10], [-10, 10], [-10, 0]]), (100, 100))
        0.5
    """
    fractions = (np.arange(12) + 0.5) / 12
    # Positions of the samples along the first and along the last side of the rectangle, 0 to 1, (144, 1) each.
    u, v = (grid.reshape(-1, 1) for grid in np.meshgrid(fractions, fractions))
    samples = quad[0] + u * (quad[1] - quad[0]) + v * (quad[3] - quad[0])
    is_inside = ((samples >= 0) & (samples < size_wh)).all(axis=1)
    return float(is_inside.mean())


def _covered_share(occlusion: NDArray[np.uint8], quad: Points) -> float:
    """Return the share of a rectangle (4, 2) that a mask (H, W) covers, without the part outside the image."""
    corners, crop = _crop_to_polygon(occlusion, quad)
    mask = cv2.fillPoly(np.zeros_like(crop), [corners], 1)
    num_visible = cv2.countNonZero(mask)
    return cv2.countNonZero(np.bitwise_and(mask, crop)) / num_visible if num_visible else 0.0


def _crop_to_polygon(mask: NDArray[np.uint8], outline: Points) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Crop a mask (H, W) to the bounding box of a polygon.

    Returns:
        corners: (N, 2) corners of the polygon in coordinates of the crop.
        crop: The crop.
    """
    corners = _pixel_indices(outline)
    x0, y0 = np.maximum(corners.min(axis=0), 0)
    x1, y1 = np.maximum(corners.max(axis=0) + 1, 0)
    return corners - np.array([x0, y0], np.int32), mask[y0:y1, x0:x1]


def _pixel_indices(points: Points) -> NDArray[np.int32]:
    """Return the column and row of the pixel whose center is nearest to each point.

    The center of the pixel in column 0 and row 0 is (0.5, 0.5).
    """
    return np.round(points - 0.5).astype(np.int32)


def _expand(box: Points, gap: float) -> Points:
    """Move the sides of an axis-aligned box (4, 2) outwards by ``gap``."""
    return box + np.sign(box - box.mean(axis=0)) * gap


def _sweep_hull(outline: Points, offset: Points) -> Points:
    """Return the convex hull of an outline and of the outline moved by ``offset``."""
    points = np.concatenate([outline, outline + offset]).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)

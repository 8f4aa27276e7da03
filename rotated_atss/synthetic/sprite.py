"""Define sprites: objects seen from above, with painted parts, a box, and the outlines that cast a shadow."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rotated_atss.synthetic.shapes import Points, extent_of, quad_of, rotate_points

Color = tuple[float, float, float]
"""Blue, green and red, 0 to 255."""


def rgb(red: float, green: float, blue: float) -> Color:
    """Return the :data:`Color` of red, green and blue values.

    Example:
        >>> rgb(255, 128, 0)
        (0, 128, 255)
    """
    return blue, green, red


def shade(color: Color, factor: float) -> Color:
    """Make a color lighter (factor > 1) or darker.

    Example:
        >>> shade((100.0, 100.0, 200.0), 1.5)
        (150.0, 150.0, 255.0)
    """
    return tuple(min(255.0, c * factor) for c in color)  # type: ignore[return-value]


def blend(first: Color, second: Color, share: float) -> Color:
    """Interpolate between two colors; ``share`` is the weight of the second one.

    Example:
        >>> blend((0.0, 0.0, 0.0), (100.0, 100.0, 100.0), 0.25)
        (25.0, 25.0, 25.0)
    """
    return tuple(a + (b - a) * share for a, b in zip(first, second))  # type: ignore[return-value]


def pick(rng: np.random.Generator, colors: Sequence[Color], *, jitter: float = 8.0) -> Color:
    """Choose one of the colors at random, and vary its brightness and, less strongly, its hue.

    Args:
        rng: Random generator.
        colors: Colors to choose from.
        jitter: Standard deviation of the brightness, gray levels.

    Example:
        >>> len(pick(np.random.default_rng(0), [rgb(200, 100, 50)]))
        3
    """
    base = colors[int(rng.integers(len(colors)))]
    offsets = rng.normal(0, jitter) + rng.normal(0, jitter / 4, 3)
    return tuple(float(np.clip(c + d, 0, 255)) for c, d in zip(base, offsets))  # type: ignore[return-value]


@dataclass(frozen=True)
class Pose:
    """Position on the image (pixels) and direction of the front (radians, clockwise on the image).

    Example:
        >>> Pose(10.0, 20.0).apply(np.array([[5.0, 0.0]])).tolist()
        [[15.0, 20.0]]
    """

    x: float
    y: float
    angle: float = 0.0

    def apply(self, points: Points) -> Points:
        """Map points (N, 2) from the frame of the object to the image."""
        return rotate_points(points, self.angle) + np.array([self.x, self.y])

    def moved(self, dx: float, dy: float, turn: float = 0.0) -> "Pose":
        """Return this pose moved by (dx, dy) in its own frame and then rotated by ``turn`` radians."""
        x, y = self.apply(np.array([[dx, dy]]))[0]
        return Pose(float(x), float(y), self.angle + turn)


@dataclass(frozen=True)
class Part:
    """A painted polygon or line of a sprite.

    Attributes:
        points: (N, 2) points in the frame of the object.
        color: The color.
        width: Width of the line in pixels; 0 for a filled polygon.
        alpha: Opacity, 0 to 1.
        normal_xy: Normal of a slope, projected onto the ground, in the frame of the object; None for a level surface.
            Slopes that face the sun are lighter. The length of the vector, at most 1, scales this effect.
        grain: Amplitude of the surface noise, in gray levels.
        closed: Whether a line returns to its first point.
    """

    points: Points
    color: Color
    width: float = 0.0
    alpha: float = 1.0
    normal_xy: tuple[float, float] | None = None
    grain: float = 0.0
    closed: bool = False


@dataclass
class Sprite:
    """An object seen from above.

    Attributes:
        extent: Box (x0, y0, x1, y1) in the frame of the object; the front is at x1.
        name: Name of the DOTA class, or None for an unlabeled object.
        height: Height in pixels.
        parts: Painted parts, in the order in which they are painted.
        shadow_casters: Outlines that cast a shadow, (N, 2) each.
        detached_shadow: Whether the object is above the ground, like a wing, so that its shadow is detached from it.
    """

    extent: tuple[float, float, float, float]
    name: str | None = None
    height: float = 0.0
    parts: list[Part] = field(default_factory=list)
    shadow_casters: list[Points] = field(default_factory=list)
    detached_shadow: bool = False

    @classmethod
    def from_outline(
        cls, outline: Points, name: str | None = None, *, height: float = 0.0, detached_shadow: bool = False
    ) -> "Sprite":
        """Create a sprite without parts. Its box encloses the outline, which casts a shadow only if ``height`` > 0."""
        shadow_casters = [outline] if height > 0 else []
        return cls(extent_of(outline), name, height, [], shadow_casters, detached_shadow)

    @property
    def box(self) -> Points:
        """Corners of the box in the frame of the object, (4, 2): front left first, then clockwise on the image."""
        return quad_of(self.extent)

    def fill(
        self,
        points: Points,
        color: Color,
        *,
        alpha: float = 1.0,
        normal_xy: tuple[float, float] | None = None,
        grain: float = 0.0,
    ) -> "Sprite":
        """Add a filled polygon; return the sprite."""
        self.parts.append(Part(points, color, 0.0, alpha, normal_xy, grain))
        return self

    def line(
        self,
        points: Points | Sequence[tuple[float, float]],
        color: Color,
        width: float = 1.0,
        *,
        alpha: float = 1.0,
        closed: bool = False,
    ) -> "Sprite":
        """Add a line through the points; return the sprite."""
        self.parts.append(Part(np.asarray(points, float), color, width, alpha, closed=closed))
        return self

"""What a thing looks like from above: painted parts in its own frame, its shadow and its box."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rotated_atss.synthetic.shapes import Points, extent_of, quad_of, turned

Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""


def rgb(red: float, green: float, blue: float) -> Colour:
    """A colour in the order in which people say it."""
    return blue, green, red


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made lighter (factor > 1) or darker."""
    return tuple(min(255.0, c * factor) for c in colour)  # type: ignore[return-value]


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """``share`` of b in a."""
    return tuple(p + (q - p) * share for p, q in zip(a, b))  # type: ignore[return-value]


def pick(rng: np.random.Generator, colours: Sequence[Colour], jitter: float = 8.0) -> Colour:
    """One of the colours, a little lighter or darker, and a very little off in hue."""
    base = colours[int(rng.integers(len(colours)))]
    off = rng.normal(0, jitter) + rng.normal(0, jitter / 4, 3)
    return tuple(float(np.clip(c + d, 0, 255)) for c, d in zip(base, off))  # type: ignore[return-value]


@dataclass(frozen=True)
class Pose:
    """Where a thing stands on the image (pixels) and where its head points (radians, clockwise on the image)."""

    x: float
    y: float
    angle: float = 0.0

    def apply(self, points: Points) -> Points:
        """Points (N, 2) from the thing's frame to the image."""
        return turned(points, self.angle) + (self.x, self.y)

    def moved(self, dx: float, dy: float, turn: float = 0.0) -> "Pose":
        """The pose that lies (dx, dy) off in this pose's frame, turned by ``turn``."""
        x, y = self.apply(np.array([[dx, dy]]))[0]
        return Pose(float(x), float(y), self.angle + turn)


@dataclass(frozen=True)
class Part:
    """One painted polygon, or a line where ``width`` is above 0.

    Attributes:
        facing: Direction in the thing's frame to which a slope faces; slopes to the sun are painted lighter.
        grain: Mottling, in grey levels.
    """

    points: Points
    colour: Colour
    width: float = 0.0
    alpha: float = 1.0
    facing: tuple[float, float] | None = None
    grain: float = 0.0
    closed: bool = False


@dataclass
class Sprite:
    """A thing seen from above.

    Attributes:
        extent: (x0, y0, x1, y1) of its box in its own frame; the head is at x1.
        name: DOTA class, or None for what is not labelled.
        height: How far its shadow reaches per unit of the sun's slope, in pixels.
        casters: Outlines that cast a shadow, (N, 2) each.
        floating: The shadow lies apart, as under a wing, and is not swept from the foot of the thing.
    """

    extent: tuple[float, float, float, float]
    name: str | None = None
    height: float = 0.0
    parts: list[Part] = field(default_factory=list)
    casters: list[Points] = field(default_factory=list)
    floating: bool = False

    @classmethod
    def of(cls, outline: Points, name: str | None = None, *, height: float = 0.0, floating: bool = False) -> "Sprite":
        """A sprite whose box is the extent of ``outline``, which also casts its shadow."""
        casters = [outline] if height > 0 else []
        return cls(extent_of(outline), name, height, [], casters, floating)

    @property
    def box(self) -> Points:
        """The box in the sprite's frame, (4, 2), front left first, clockwise on the image."""
        return quad_of(self.extent)

    def fill(
        self,
        points: Points,
        colour: Colour,
        *,
        alpha: float = 1.0,
        facing: tuple[float, float] | None = None,
        grain: float = 0.0,
    ) -> "Sprite":
        """Adds a filled polygon."""
        self.parts.append(Part(points, colour, 0.0, alpha, facing, grain))
        return self

    def line(
        self,
        points: Points | Sequence[tuple[float, float]],
        colour: Colour,
        width: float = 1.0,
        *,
        alpha: float = 1.0,
        closed: bool = False,
    ) -> "Sprite":
        """Adds a line through the points."""
        self.parts.append(Part(np.asarray(points, float), colour, width, alpha, closed=closed))
        return self

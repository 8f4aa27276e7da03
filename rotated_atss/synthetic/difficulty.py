"""Difficulty of synthetic scenes for a detector: named levels and their parameters."""

from dataclasses import dataclass

from rotated_atss.errors import UserError


@dataclass(frozen=True)
class Difficulty:
    """Parameters that determine how difficult a scene is for a detector.

    Attributes:
        noise: Standard deviation of the sensor noise, in gray levels.
        blur: Sigma of the optical blur, in pixels.
        color_jitter: Spread of brightness, contrast and white balance between scenes, as a fraction.
        shadow: Darkness of shadows, from 0 (none) to 1 (black).
        clutter: Density of trees, bushes and other unlabeled objects, 0 to 1.
        overhang: Probability that a tree may cover parts of labeled objects.
        fill: Share of parking bays and berths that are occupied.
        heading_jitter: Standard deviation of the headings of parked objects in a row, in degrees.
        size_jitter: Spread of the sizes within a class, as a fraction.
    """

    noise: float
    blur: float
    color_jitter: float
    shadow: float
    clutter: float
    overhang: float
    fill: float
    heading_jitter: float
    size_jitter: float


DIFFICULTIES: dict[str, Difficulty] = {
    "easy": Difficulty(
        noise=2.0,
        blur=0.45,
        color_jitter=0.03,
        shadow=0.40,
        clutter=0.5,
        overhang=0.0,
        fill=0.6,
        heading_jitter=0.8,
        size_jitter=0.05,
    ),
    "normal": Difficulty(
        noise=3.5,
        blur=0.55,
        color_jitter=0.07,
        shadow=0.48,
        clutter=0.8,
        overhang=0.15,
        fill=0.7,
        heading_jitter=1.5,
        size_jitter=0.10,
    ),
    "hard": Difficulty(
        noise=7.0,
        blur=0.85,
        color_jitter=0.16,
        shadow=0.62,
        clutter=1.0,
        overhang=0.5,
        fill=0.85,
        heading_jitter=4.0,
        size_jitter=0.18,
    ),
}


def resolve_difficulty(spec: str | Difficulty) -> Difficulty:
    """Look up a difficulty by its name in ``DIFFICULTIES``; a :class:`Difficulty` is returned unchanged.

    Raises:
        UserError: The name is unknown.

    Example:
        >>> resolve_difficulty("easy").noise
        2.0
    """
    if isinstance(spec, Difficulty):
        return spec
    if spec not in DIFFICULTIES:
        raise UserError(f"unknown difficulty '{spec}'", hint=f"choose from {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[spec]

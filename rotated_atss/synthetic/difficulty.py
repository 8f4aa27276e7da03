"""How hard a scene is to read, in one place."""

from dataclasses import dataclass

from rotated_atss.errors import UserError


@dataclass(frozen=True)
class Difficulty:
    """Knobs of a scene.

    Attributes:
        noise: Standard deviation of the sensor noise, in grey levels.
        blur: Sigma of the optical blur, in pixels.
        colour_jitter: Spread of brightness, contrast and white balance between scenes, as a fraction.
        shadow: Darkness of shadows, 0 none to 1 black.
        clutter: Share of the trees, bushes and small things that a place could hold.
        overhang: Chance that a tree stands beside a row of vehicles or a pool, so that it may hide some of it.
        fill: Share of the parking bays and moorings that are taken.
        heading_jitter: Spread of the headings within a row, in degrees.
        size_jitter: Spread of the sizes of one kind of object, as a fraction.
    """

    noise: float
    blur: float
    colour_jitter: float
    shadow: float
    clutter: float
    overhang: float
    fill: float
    heading_jitter: float
    size_jitter: float


DIFFICULTIES: dict[str, Difficulty] = {
    "easy": Difficulty(2.0, 0.45, 0.03, 0.40, 0.5, 0.0, 0.6, 0.8, 0.05),
    "normal": Difficulty(3.5, 0.55, 0.07, 0.48, 0.8, 0.15, 0.7, 1.5, 0.10),
    "hard": Difficulty(7.0, 0.85, 0.16, 0.62, 1.0, 0.5, 0.85, 4.0, 0.18),
}


def resolve_difficulty(spec: str | Difficulty) -> Difficulty:
    """The difficulty that ``spec`` names, or ``spec`` itself.

    Raises:
        UserError: A name that is none of ``DIFFICULTIES``.
    """
    if isinstance(spec, Difficulty):
        return spec
    if spec not in DIFFICULTIES:
        raise UserError(f"unknown difficulty '{spec}'", hint=f"choose from {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[spec]

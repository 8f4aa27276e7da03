"""Class tables of DOTA and the one way to say which classes a run uses."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from rotated_atss.errors import UserError

_V10 = (
    "plane",
    "baseball-diamond",
    "bridge",
    "ground-track-field",
    "small-vehicle",
    "large-vehicle",
    "ship",
    "tennis-court",
    "basketball-court",
    "storage-tank",
    "soccer-ball-field",
    "roundabout",
    "harbor",
    "swimming-pool",
    "helicopter",
)
_V15 = (*_V10, "container-crane")
_V20 = (*_V15, "airport", "helipad")

CLASSES: dict[str, tuple[str, ...]] = {"v1.0": _V10, "v1.5": _V15, "v2.0": _V20}
"""Class names by DOTA version, in label-index order: a later version only appends."""

DOTA_VERSIONS = tuple(CLASSES)

PALETTE: tuple[tuple[int, int, int], ...] = (
    (230, 57, 70),
    (29, 161, 242),
    (255, 200, 0),
    (46, 196, 110),
    (255, 127, 17),
    (155, 93, 229),
    (0, 187, 201),
    (241, 91, 181),
    (181, 228, 40),
    (120, 86, 60),
    (255, 166, 158),
    (10, 110, 80),
    (70, 80, 220),
    (140, 230, 220),
    (170, 20, 90),
    (250, 240, 130),
    (130, 140, 150),
    (200, 150, 90),
)
"""One RGB colour a class, in the order of ``CLASSES["v2.0"]``."""


def resolve_classes(spec: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The class names that ``spec`` means.

    Args:
        spec: A version (``"v1.0"``, ``"1.5"``), names separated by commas, the path of a text file with one name
            a line, or a sequence of names.

    Raises:
        UserError: Nothing of the above, an empty list, a name twice, or a name that cannot stand in a label line.
    """
    if isinstance(spec, Path):
        return _checked(_read_names(spec), spec)
    if isinstance(spec, str):
        return _resolve_text(spec)
    return _checked(spec, None)


def nearest_class(name: str, classes: Iterable[str]) -> str | None:
    """The class whose spelling is nearest to ``name``, or None where nothing comes near."""
    folded = {known.lower().replace("_", "-"): known for known in classes}
    close = difflib.get_close_matches(name.lower().replace("_", "-"), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None


def unknown_class_hint(name: str, classes: Sequence[str]) -> str:
    """What a user who wrote the class ``name`` probably wants, given that ``classes`` does not hold it."""
    for version, known in CLASSES.items():
        if name in known and set(classes) <= set(known):
            return f"it is a class of DOTA {version}: choose that version"
    nearest = nearest_class(name, classes)
    return f"nearest known class: '{nearest}'" if nearest else f"known classes: {', '.join(classes)}"


def _resolve_text(spec: str) -> tuple[str, ...]:
    version = spec.strip().lower()
    version = version if version.startswith("v") else f"v{version}"
    if version in CLASSES:
        return CLASSES[version]
    if "," in spec:
        return _checked([name.strip() for name in spec.split(",") if name.strip()], None)
    if Path(spec).is_file():
        return _checked(_read_names(Path(spec)), spec)
    raise UserError(
        f"'{spec}' is neither a DOTA version ({', '.join(CLASSES)}) nor a file of class names",
        hint=f"a single class is written as a tuple, ('{spec}',), or with a comma, '{spec},'",
    )


def _read_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the class names: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise UserError("the class names are not UTF-8 text", where=path) from error
    return [line.strip() for line in lines if line.strip()]


def _checked(names: Sequence[str], where: object) -> tuple[str, ...]:
    if not names:
        raise UserError("the class list is empty", where=where, hint="give at least one class name")
    for name in names:
        if not isinstance(name, str) or len(name.split()) != 1 or "/" in name or "\\" in name:
            raise UserError(f"{name!r} is no class name", where=where, hint="one word without spaces or slashes")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise UserError(f"the class '{repeated[0]}' is listed twice", where=where, hint="name each class once")
    return tuple(names)

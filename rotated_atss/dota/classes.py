"""Class names and colors of DOTA, and parsing of class lists."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from rotated_atss.dota.datasets import DATASETS, DOTA_VERSIONS
from rotated_atss.errors import UserError, quote

CLASSES: dict[str, tuple[str, ...]] = {version: DATASETS[version].classes for version in DOTA_VERSIONS}
"""Class names by DOTA version, in order of label index. Each version appends classes to the previous one."""

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
"""RGB color per class, in the order of ``CLASSES["v2.0"]``."""


def resolve_classes(spec: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Resolve a class specification to class names.

    Args:
        spec: One of the following: a DOTA version (``"v1.0"``, ``"1.5"``) or another key of
            :data:`rotated_atss.dota.datasets.DATASETS`; a string of names separated by commas; the path of a text file
            with one name per line; or a sequence of names.

    Returns:
        The names, in order of label index. Spaces within a name become hyphens, as the text formats require.

    Raises:
        UserError: ``spec`` has none of these forms, is empty, or contains a name twice or a name with a slash or a
            control character.

    Example:
        >>> resolve_classes("plane,Small Car")
        ('plane', 'Small-Car')
        >>> len(resolve_classes("v1.5")), resolve_classes("ucas-aod")
        (16, ('car', 'airplane'))
    """
    if isinstance(spec, Path):
        return _check_and_hyphenate(_read_names(spec), spec)
    if isinstance(spec, str):
        return _resolve_string(spec)
    return _check_and_hyphenate(spec, None)


def hyphenate(name: str) -> str:
    """Replace spaces and slashes in a class name by hyphens, for DOTA's text files.

    These files separate fields by spaces, and the names of Task1 files contain the class name.

    Example:
        >>> hyphenate("traffic light")
        'traffic-light'
    """
    return "-".join(name.replace("/", " ").split())


def _nearest_class(name: str, classes: Iterable[str]) -> str | None:
    """Return the class with the most similar spelling, or None if no class is similar."""
    normalized = {known.lower().replace("_", "-"): known for known in classes}
    # cutoff is a similarity in [0, 1]; names below it have too little in common for a suggestion
    similar = difflib.get_close_matches(name.lower().replace("_", "-"), normalized, n=1, cutoff=0.5)
    return normalized[similar[0]] if similar else None


def unknown_class_hint(name: str, classes: Sequence[str]) -> str:
    """Return a hint for an error message about a class that ``classes`` does not contain.

    Example:
        >>> unknown_class_hint("helipad", CLASSES["v1.0"])
        'it is a class of DOTA v2.0: choose that version'
        >>> unknown_class_hint("shp", CLASSES["v1.0"])
        "nearest known class: 'ship'"
        >>> unknown_class_hint("harbor", ["plane", "ship"])
        'known classes: plane, ship'
    """
    # Another DOTA version is suggested only if ``classes`` is a DOTA version, not if it is the list of another dataset.
    if set(classes) in map(set, CLASSES.values()):
        for version, version_classes in CLASSES.items():
            is_later_version = set(classes) <= set(version_classes)
            if name in version_classes and is_later_version:
                return f"it is a class of DOTA {version}: choose that version"
    nearest = _nearest_class(name, classes)
    return f"nearest known class: '{nearest}'" if nearest else f"known classes: {', '.join(classes)}"


def unknown_class_error(name: str, classes: Sequence[str], where: object) -> UserError:
    """Create the error for a class that ``classes`` does not contain; ``where`` is the file, or ``path:line``.

    Example:
        >>> str(unknown_class_error("shp", ("ship",), "P0001.txt:3"))
        "P0001.txt:3: unknown class 'shp' (nearest known class: 'ship')"
    """
    return UserError(f"unknown class '{name}'", where=where, hint=unknown_class_hint(name, classes))


def _resolve_string(spec: str) -> tuple[str, ...]:
    dataset_name = spec.strip().lower()
    for key in (dataset_name, f"v{dataset_name}"):  # "1.0" means "v1.0"
        if key in DATASETS:
            return DATASETS[key].classes
    if "," in spec:
        return _check_and_hyphenate([name.strip() for name in spec.split(",") if name.strip()], None)
    if Path(spec).is_file():
        return _check_and_hyphenate(_read_names(Path(spec)), spec)
    raise UserError(
        f"'{spec}' is neither a DOTA version nor a dataset ({', '.join(DATASETS)}) nor a file of class names",
        hint=f"for one class, write '{spec},' with the comma",  # the comma makes it a list of names
    )


def _read_names(path: Path) -> list[str]:
    """Read one name per line, without blank lines."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the class names: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise UserError("the class names are not UTF-8 text", where=path) from error
    return [line.strip() for line in lines if line.strip()]


def _check_and_hyphenate(names: Sequence[str], where: object) -> tuple[str, ...]:
    """Check class names and replace their spaces by hyphens; ``where`` is the file of the names, or None."""
    if not names:
        raise UserError("the class list is empty", where=where, hint="give at least one class name")
    for name in names:
        if not isinstance(name, str) or not name.strip() or "/" in name or "\\" in name or not name.isprintable():
            raise UserError(f"{quote(name)} is not a class name", where=where, hint="use words without slashes")
    hyphenated = tuple(map(hyphenate, names))
    duplicates = sorted({name for name in hyphenated if hyphenated.count(name) > 1})
    if duplicates:
        raise UserError(f"the class '{duplicates[0]}' is listed twice", where=where, hint="list each class once")
    return hyphenated

"""Find misspelled class names: names that are almost the same as a name in a class list or in the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from rotated_atss.dota.datasets import DATASETS

RARE_FRACTION = 0.01
"""Of two class names that are almost the same, the rarer name counts as misspelled if it has at most this many times as
many objects as the other name."""

_NAMES_OF_DATASETS = frozenset(name for dataset in DATASETS.values() for name in dataset.classes)
_LONG_NAME_LENGTH = 6  # names of at least this many letters can have two misspelled letters, shorter names only one


def find_misspelled(name: str, classes: Sequence[str]) -> str | None:
    """Return the class that a name misspells.

    Names that differ only in case, hyphens, underscores, spaces or slashes mean the same class. Otherwise one letter
    can differ, or two in names of at least six letters. The first letter and all digits must be equal. A class of a
    known dataset, such as DOTA, is not taken as a misspelling of another class.

    Args:
        name: A name that is not in ``classes``.
        classes: The class names.

    Returns:
        The most similar class; None if no class is similar, or if two are equally similar.

    Example:
        >>> find_misspelled("Small_Vehicle", ["ship", "small-vehicle"]), find_misspelled("shp", ["ship"])
        ('small-vehicle', 'ship')
        >>> find_misspelled("A310", ["A320", "A330"]) is None
        True
    """
    distances = {}
    for class_name in classes:
        distance = _distance(name, class_name)
        if distance == 0 or (distance is not None and name not in _NAMES_OF_DATASETS):
            distances[class_name] = distance
    nearest = [class_name for class_name, distance in distances.items() if distance == min(distances.values())]
    return nearest[0] if len(nearest) == 1 else None


def find_similar(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield pairs of class names of a dataset that seem to mean the same class, the rarer name first.

    Names are similar by the rules of :func:`find_misspelled`, without its exception for classes of known datasets. If
    the names differ in more than case and separators, the rarer name must have at most ``RARE_FRACTION`` times as many
    objects as the other name.

    Args:
        counts: Number of objects by class name.

    Example:
        >>> list(find_similar({"ship": 900, "Ship": 3, "shp": 1, "car": 1, "cart": 1}))
        [('Ship', 'ship'), ('shp', 'ship')]
    """
    by_frequency = sorted(counts, key=lambda name: (-counts[name], name))
    for frequent, rare in combinations(by_frequency, 2):
        distance = _distance(rare, frequent)
        if distance == 0 or (distance is not None and counts[rare] <= RARE_FRACTION * counts[frequent]):
            yield rare, frequent


def _distance(name: str, other_name: str) -> int | None:
    """Return the number of letters in which two names differ; None if they are too different for a misspelling."""
    first, second = _fold(name), _fold(other_name)
    # Names with different digits (A320, A330) or first letters (bicycle, tricycle) are different classes.
    if _digits(first) != _digits(second) or first[:1] != second[:1]:
        return None
    limit = 2 if len(first) >= _LONG_NAME_LENGTH else 1
    distance = _edit_distance(first, second, limit)
    return distance if distance <= limit else None


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _fold(name: str) -> str:
    """Return the name without case and without characters that separate words."""
    return "".join(character for character in name.casefold() if character not in "-_ /")


def _edit_distance(first: str, second: str, limit: int) -> int:
    """Return the Levenshtein distance of two strings, or any number above ``limit`` if it exceeds ``limit``."""
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    row = list(range(len(second) + 1))  # distances of the first i letters of ``first`` to all prefixes of ``second``
    for i, letter in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, other_letter in enumerate(second, start=1):
            # Delete a letter of ``first``, insert a letter of ``second``, or replace the one by the other.
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other_letter))
    return row[-1]

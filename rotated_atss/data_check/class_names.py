"""Class names that are almost those of a class list, or almost each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from rotated_atss.dota.datasets import DATASETS

RARE_FRACTION = 0.01
"""A name that differs in a letter is suspicious only if it has at most this fraction of the other's objects."""

_KNOWN = frozenset(name for dataset in DATASETS.values() for name in dataset.classes)
_LONG_NAME = 6  # two letters can differ from this length on, one below it


def find_misspelled(name: str, classes: Sequence[str]) -> str | None:
    """Return the class that a name is meant to be.

    Case, hyphens, underscores, spaces and slashes are ignored first. Else one letter can differ, two in names of at
    least six letters, but not the first one and no digit. A class of a known dataset is no misspelling of another.

    Returns:
        The class; None if there is none, or if two classes are equally similar.

    Example:
        >>> find_misspelled("Small_Vehicle", ["ship", "small-vehicle"]), find_misspelled("shp", ["ship"])
        ('small-vehicle', 'ship')
        >>> find_misspelled("A310", ["A320", "A330"]) is None
        True
    """
    distances = {known: _distance(name, known) for known in classes}
    near = {
        known: distance
        for known, distance in distances.items()
        if distance is not None and (distance == 0 or name not in _KNOWN)
    }
    nearest = [known for known, distance in near.items() if distance == min(near.values())]
    return nearest[0] if len(nearest) == 1 else None


def find_similar(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield pairs of class names of a dataset that seem to mean one class, the rarer one first.

    Args:
        counts: Number of objects by class name.

    Example:
        >>> list(find_similar({"ship": 900, "Ship": 3, "shp": 1, "car": 1, "cart": 1}))
        [('Ship', 'ship'), ('shp', 'ship')]
    """
    for first, second in combinations(sorted(counts, key=lambda name: (-counts[name], name)), 2):
        distance = _distance(second, first)
        if distance == 0 or (distance is not None and counts[second] <= RARE_FRACTION * counts[first]):
            yield second, first


def _distance(name: str, known: str) -> int | None:
    """Return the number of letters in which two names differ; None if they are not similar."""
    first, second = _fold(name), _fold(known)
    if _digits(first) != _digits(second) or first[:1] != second[:1]:  # A320 and A330, bicycle and tricycle
        return None
    limit = 2 if len(first) >= _LONG_NAME else 1
    distance = _edit_distance(first, second, limit)
    return distance if distance <= limit else None


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _fold(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "-_ /")


def _edit_distance(first: str, second: str, limit: int) -> int:
    """Return the Levenshtein distance of two texts, or a larger number if it exceeds a limit."""
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other))
    return row[-1]

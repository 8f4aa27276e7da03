"""Validation of values of JSON label formats: scores, image sizes and points."""

from typing import Any

from rotated_atss.coco.json_file import is_finite_number
from rotated_atss.errors import UserError, quote


def check_score(value: Any, where: object) -> float | None:
    """Check the score of an object, and return it; None for an object without a score.

    Args:
        value: The score, or None.
        where: Location of the object, for the error.

    Raises:
        UserError: The score is not a finite number.

    Example:
        >>> check_score(0.5, "a.json: shapes[0]"), check_score(None, "a.json: shapes[1]")
        (0.5, None)
    """
    if value is not None and not is_finite_number(value):
        raise UserError(f"score must be a number, got {quote(value)}", where=where)
    return value


def parse_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return the width and height of an image in pixels; None unless both are positive integers.

    Example:
        >>> parse_size(640, 480), parse_size(640, None), parse_size(0, 480), parse_size(640, 10**400)
        ((640, 480), None, None, None)
    """
    # isinstance would accept true and false; is_finite_number rejects integers that do not fit into int64
    if all(type(side) is int and is_finite_number(side) and side > 0 for side in (width, height)):
        return width, height
    return None


def parse_points(value: Any, where: object) -> list[list[float]]:
    """Check that a value is a list of points ``[x, y]``, and return it.

    Args:
        value: The value of a JSON key.
        where: Location of the object, for the error.

    Raises:
        UserError: The value is not a list of pairs of finite numbers.

    Example:
        >>> parse_points([[0, 0], [2.5, 1]], "a.json: shapes[0]")
        [[0, 0], [2.5, 1]]
    """
    is_list_of_points = isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 2 and all(map(is_finite_number, point)) for point in value
    )
    if not is_list_of_points:
        raise UserError(f"points must be a list of [x, y], got {quote(value)}", where=where)
    points: list[list[float]] = value
    return points

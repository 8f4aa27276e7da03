"""Problems of a dataset, and the report that lists them by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rotated_atss.data_check.kinds import ERROR, KINDS, Kind
from rotated_atss.errors import UserError, count_of, printable

_PATH_AND_LINE = re.compile(r"(.*):(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """A problem of a dataset.

    Attributes:
        kind: A key of :data:`rotated_atss.data_check.kinds.KINDS`.
        where: ``path``, ``path:line``, or the path and an entry, such as ``path: images[3]`` or ``path: object 3``.
        message: What is wrong, with the wrong value.
    """

    kind: str
    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.message}")

    @classmethod
    def from_error(cls, kind: str, error: UserError) -> Problem:
        """Return the problem that the error of a reader describes, with its hint in the message."""
        hint = f" ({error.hint})" if error.hint else ""
        return cls(kind, str(error.where), f"{error.what}{hint}")

    def to_json(self) -> dict[str, Any]:
        """Return the problem as a JSON object, in which a ``where`` such as ``path:line`` is split into two fields.

        Any other ``where`` becomes ``path``, and ``line`` is None.

        Example:
            >>> Problem("zero-area", "P1.txt:3", "the object has no area").to_json()["line"]
            3
        """
        match = _PATH_AND_LINE.fullmatch(self.where)
        path = match[1] if match else self.where
        line = int(match[2]) if match else None
        return {
            "kind": self.kind, "severity": KINDS[self.kind].severity, "path": path, "line": line,
            "message": self.message,
        }  # fmt: skip


def group_problems(problems: Iterable[Problem]) -> dict[Kind, list[Problem]]:
    """Group problems by kind: errors before warnings, and each of the two in the order of :data:`KINDS`.

    Example:
        >>> groups = group_problems([Problem("zero-area", "a", ""), Problem("malformed-line", "b", "")])
        >>> [kind.name for kind in groups]
        ['malformed-line', 'zero-area']
    """
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.kind, []).append(problem)
    kinds = sorted((kind for kind in KINDS.values() if kind.name in groups), key=lambda kind: kind.severity != ERROR)
    return {kind: groups[kind.name] for kind in kinds}


def format_report(problems: Sequence[Problem], examples: int | None = 5) -> list[str]:
    """Format problems as lines: per kind the count, what to do, and examples.

    Args:
        problems: The problems.
        examples: Maximum number of problems to list per kind; None means all problems.

    Example:
        >>> for line in format_report([Problem("zero-area", "P1.txt:3", "the object has no area")]):
        ...     print(line)
        warning: zero-area: 1 problem
          Redraw the polygon in the labeling tool, or delete it. Splitting omits it.
          P1.txt:3: the object has no area
    """
    lines = []
    for kind, kind_problems in group_problems(problems).items():
        lines += [f"{kind.severity}: {kind.name}: {count_of(len(kind_problems), 'problem')}", f"  {kind.advice}"]
        listed = kind_problems[:examples]
        lines += [f"  {problem}" for problem in listed]
        if len(listed) < len(kind_problems):
            lines.append(f"  ... and {len(kind_problems) - len(listed)} more (--all lists them)")
    return lines


def count_severities(problems: Iterable[Problem]) -> tuple[int, int]:
    """Return the number of errors and the number of warnings.

    Example:
        >>> count_severities([Problem("zero-area", "a", ""), Problem("malformed-line", "b", "")])
        (1, 1)
    """
    is_error = [KINDS[problem.kind].severity == ERROR for problem in problems]
    return sum(is_error), len(is_error) - sum(is_error)

"""The option ``--classes``, and the selection of classes for ``predict`` and ``draw``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota.classes import hyphenate
from rotated_atss.dota.datasets import DATASET_NAMES
from rotated_atss.errors import UserError


def add_classes_argument(parser: argparse._ActionsContainer, meaning: str, default: str, note: str = "") -> None:
    """Add ``--classes`` to a parser or an argument group.

    Args:
        parser: The parser or group.
        meaning: Start of the help text: what the classes mean for the command, such as "classes to draw".
        default: Default shown at the end of the help text, such as "all".
        note: Sentence shown before the default, such as "Other classes are an error".
    """
    forms = f"comma-separated names, a file with one name per line, or the classes of {', '.join(DATASET_NAMES)}"
    sentence = f". {note}" if note else ""
    parser.add_argument("--classes", metavar="CLASSES", help=f"{meaning}: {forms}{sentence} (default: {default})")


def select_classes(spec: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Select the classes that ``--classes`` names.

    Args:
        spec: The name of a dataset, such as a DOTA version; comma-separated class names, in which hyphens can replace
            spaces; or a file with one class name per line. None selects all.
        known: Class names to select from.

    Returns:
        Selected names without repetitions, in the order of ``spec`` and as spelled in ``known``. If ``spec`` is a
        dataset, its classes that are not in ``known`` are left out.

    Raises:
        UserError: A name in a list or file is not in ``known``, or no name is given.

    Example:
        >>> select_classes("traffic-light,car", ["car", "bus", "traffic light"])
        ('traffic light', 'car')
        >>> select_classes("ucas-aod", ["airplane", "ship"])
        ('airplane',)
    """
    from rotated_atss.dota.classes import resolve_classes, unknown_class_hint
    from rotated_atss.dota.datasets import DATASETS

    if spec is None:
        return tuple(known)
    # maps both spellings of a class, with spaces and with hyphens, to its name in `known`
    by_spelling = {spelling: name for name in known for spelling in (name, hyphenate(name))}
    if spec in DATASETS:
        return tuple(by_spelling[name] for name in DATASETS[spec].classes if name in by_spelling)
    # a known class takes precedence over a file of the same name
    is_file = spec not in by_spelling and "," not in spec and Path(spec).is_file()
    listed_names = tuple(name.strip() for name in spec.split(",") if name.strip())
    names = resolve_classes(Path(spec)) if is_file else listed_names
    for name in names:
        if name not in by_spelling:
            raise UserError(f"unknown class '{name}'", where="--classes", hint=unknown_class_hint(name, known))
    if not names:
        raise UserError(f"--classes contains no class name, got '{spec}'", hint="give comma-separated names")
    return tuple(dict.fromkeys(by_spelling[name] for name in names))

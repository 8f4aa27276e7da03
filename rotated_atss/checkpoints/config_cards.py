"""Load and select config cards.

A config card describes a config: its dataset, its number of parameters, and its published and measured accuracy. ``make
models-table`` writes the cards to ``config_cards.json``, and the same facts to docs/models.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError

CARDS = Path(__file__).with_name("config_cards.json")


@dataclass(frozen=True, kw_only=True)
class ConfigCard:
    """Description of a config.

    Attributes:
        name: Name on the command line.
        dataset: Dataset of the config.
        boxes: Kind of boxes, such as ``horizontal``. For oriented boxes, it includes the angle version.
        head: Name of the Python class of the detection head.
        positives: Strategy of label assignment, such as ``ATSS``.
        schedule: Length of the training run, such as ``12 epochs``.
        parameters: Number of parameters, None if not counted yet.
        published: Accuracies that others report for this model, as dictionaries with the keys ``metric``, ``value``
            (percent) and ``source``.
        measured: Accuracies that this project measured, as dictionaries with the keys ``metric``, ``value`` (percent)
            and ``data``.
    """

    name: str
    dataset: str
    boxes: str
    head: str
    positives: str
    schedule: str
    parameters: int | None
    published: Sequence[dict[str, Any]] = ()
    measured: Sequence[dict[str, Any]] = ()


def load_cards() -> list[ConfigCard]:
    """Load the cards of all configs, sorted by name.

    Example:
        >>> next(card for card in load_cards() if card.name == "rotated_atss_obb_r50_fpn_1x_dota_le90").dataset
        'DOTA-v1.0'
    """
    return [ConfigCard(**values) for values in json.loads(CARDS.read_text(encoding="utf-8"))]


def select_cards(cards: Sequence[ConfigCard], patterns: Sequence[str]) -> list[ConfigCard]:
    """Select the cards whose name or dataset matches at least one pattern. Without patterns, select all cards.

    Args:
        cards: The cards.
        patterns: Patterns for the name and the dataset. A pattern with ``*``, ``?`` or ``[...]`` is a glob pattern and
            must match the whole text. Any other pattern only has to occur in the text. Case is ignored.

    Raises:
        UserError: A pattern matches no card. The hint lists similar names.

    Example:
        >>> [card.name for card in select_cards(load_cards(), ["rotated_atss_hbb_*_oc"])]
        ['rotated_atss_hbb_r50_fpn_1x_dota_oc']
    """
    for pattern in patterns:
        if not any(_matches(card, pattern) for card in cards):
            similar_names = get_close_matches(pattern, [card.name for card in cards], n=3, cutoff=0.4)
            hint = f"nearest: {', '.join(similar_names)}" if similar_names else "all names: rotated-atss list"
            raise UserError(f"no config matches '{pattern}'", hint=hint)
    return [card for card in cards if not patterns or any(_matches(card, pattern) for pattern in patterns)]


def _matches(card: ConfigCard, pattern: str) -> bool:
    pattern = pattern.casefold()
    if not any(character in pattern for character in "*?["):
        pattern = f"*{pattern}*"
    return any(fnmatchcase(text.casefold(), pattern) for text in (card.name, card.dataset))

"""``rotated-atss list``: list the configs with published and measured accuracy."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rotated_atss.io.status_line import terminal_width
from rotated_atss.io.text_table import fit_columns

if TYPE_CHECKING:
    from rotated_atss.checkpoints.config_cards import ConfigCard

HELP = "List the configs: dataset, published and measured accuracy in percent, parameters, and published weights."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "patterns", nargs="*", metavar="PATTERN",
        help="list only configs whose name or dataset matches, such as dota, 'rotated_atss_*' or dior-r (default: all)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with sources, head and schedule")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.checkpoints.config_cards import load_cards, select_cards
    from rotated_atss.checkpoints.registry import load_registry, look_up

    cards, registry = select_cards(load_cards(), args.patterns), load_registry()
    registry_entries = {card.name: look_up(card.name, registry) for card in cards}
    model_names = {config: entry.name for config, entry in registry_entries.items() if entry}
    if args.json:
        card_entries = [{**asdict(card), "weights": model_names.get(card.name)} for card in cards]
        print(json.dumps(card_entries, indent=1, ensure_ascii=False))
        return 0
    header = ("name", "dataset", "published", "measured", "M params", "weights")
    rows = [header, *_table_rows(cards, model_names)]
    print(*fit_columns(rows, terminal_width(sys.stdout), numeric=False), sep="\n")
    print("published: reported by others for this model; measured: by this project; sources: --json or docs/models.md")
    print("weights: rotated-atss models download NAME")
    return 0


def _table_rows(cards: Sequence[ConfigCard], model_names: dict[str, str]) -> list[tuple[str, ...]]:
    """Format the cards as table rows. ``model_names`` has the names of the published models by config."""
    rows: list[tuple[str, ...]] = []
    for card in cards:
        num_parameters = "" if card.parameters is None else f"{card.parameters / 1e6:.1f}"
        weights_text = "yes" if card.name in model_names else ""
        published, measured = _format_accuracies(card.published), _format_accuracies(card.measured)
        rows.append((card.name, card.dataset, published, measured, num_parameters, weights_text))
    return rows


def _format_accuracies(accuracies: Sequence[dict[str, Any]]) -> str:
    """Format accuracies without datasets and sources: each metric once, followed by its values, as in ``mAP 70.64``.

    Args:
        accuracies: Published or measured accuracies of a :class:`rotated_atss.checkpoints.config_cards.ConfigCard`.
    """
    values_by_metric: dict[str, list[str]] = {}
    for accuracy in accuracies:
        metric = accuracy["metric"].partition(",")[0]  # "bbox AP, COCO minival" -> "bbox AP"
        values_by_metric.setdefault(metric, []).append(f"{accuracy['value']:g}")
    return "; ".join(f"{metric} {', '.join(values)}" for metric, values in values_by_metric.items())

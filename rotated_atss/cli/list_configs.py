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
        help="configs whose name or dataset fits, such as dota, 'rotated_atss_*' or dior-r (default: all)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with sources, head and schedule")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.checkpoints.config_cards import load_cards, select_cards
    from rotated_atss.checkpoints.registry import load_registry

    cards = select_cards(load_cards(), args.patterns)
    weights = {entry.config: entry.name for entry in load_registry().values() if entry.config}
    if args.json:
        entries = [{**asdict(card), "weights": weights.get(card.name)} for card in cards]
        print(json.dumps(entries, indent=1, ensure_ascii=False))
        return 0
    header = ("name", "dataset", "published", "measured", "M params", "weights")
    rows = [header, *_rows(cards, weights)]
    print(*fit_columns(rows, terminal_width(sys.stdout), numeric=False), sep="\n")
    print("published: reported by others for this model; measured: by this project; sources: --json or docs/models.md")
    print("weights: rotated-atss models download NAME")
    return 0


def _rows(cards: Sequence[ConfigCard], weights: dict[str, str]) -> list[tuple[str, ...]]:
    return [
        (card.name, card.dataset, _figures(card.published), _figures(card.measured),
         "" if card.parameters is None else f"{card.parameters / 1e6:.1f}", "yes" if card.name in weights else "")
        for card in cards
    ]  # fmt: skip


def _figures(figures: Sequence[dict[str, Any]]) -> str:
    """Return each metric once with its values, such as ``mAP 70.64``, without dataset and source.

    Args:
        figures: Accuracies of a :class:`rotated_atss.checkpoints.config_cards.ConfigCard`.
    """
    by_metric: dict[str, list[str]] = {}
    for figure in figures:
        metric = figure["metric"].partition(",")[0]  # "bbox AP" of "bbox AP, COCO minival"
        by_metric.setdefault(metric, []).append(f"{figure['value']:g}")
    return "; ".join(f"{metric} {', '.join(values)}" for metric, values in by_metric.items())

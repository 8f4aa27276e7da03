"""The option ``--shard``, by which several runs share the work of one command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.io.shards import Shard


def add_shard_argument(
    parser: argparse._ActionsContainer, command: str, unit: str = "image", completed: str = "completes --out"
) -> None:
    """Add ``--shard``.

    Args:
        parser: Parser or group of options.
        command: Name of the command, as a verb.
        unit: What is divided among the shards, a noun in the singular.
        completed: What the last shard does at its end.
    """
    parser.add_argument(
        "--shard", metavar="I/N",
        help=f"{command} every N-th {unit} only, from the I-th, for job arrays: N runs with the same options; the last "
        f"one to end {completed}",
    )  # fmt: skip


def parse_shard(args: argparse.Namespace) -> Shard | None:
    """Return the shard of ``args.shard``; None without it.

    Raises:
        UserError: It is malformed, or combined with ``args.overwrite``.

    Example:
        >>> parse_shard(argparse.Namespace(shard="2/8", overwrite=False))
        Shard(index=2, count=8)
    """
    from rotated_atss.io.shards import Shard

    if args.shard is None:
        return None
    if getattr(args, "overwrite", False):
        raise UserError("--overwrite cannot be combined with --shard", hint="remove the earlier result first")
    return Shard.parse(args.shard)

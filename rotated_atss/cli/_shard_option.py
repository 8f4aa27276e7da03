"""The option ``--shard``, by which several runs share the work of one command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError, is_or_are

if TYPE_CHECKING:
    from rotated_atss.io.shards import Shard


def add_shard_argument(
    parser: argparse._ActionsContainer, verb: str, unit: str = "image", completed: str = "completes --out"
) -> None:
    """Add ``--shard``.

    Args:
        parser: Parser or group of options.
        verb: What the command does with a unit, such as "split".
        unit: What is divided among the shards, a noun in the singular.
        completed: What the last shard does at its end, in the third person.
    """
    parser.add_argument(
        "--shard", metavar="I/N",
        help=f"for job arrays of N runs with the same options: {verb} only every N-th {unit}, starting with the I-th. "
        f"The last run to end {completed}",
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


def format_unfinished(shards: Sequence[Shard], seconds: float, last_step: str) -> str:
    """Describe the end of a shard that is not the last one.

    Args:
        shards: Shards that are not finished.
        seconds: Duration of this shard.
        last_step: What the last shard does at its end, in the third person.

    Example:
        >>> from rotated_atss.io.shards import Shard
        >>> format_unfinished([Shard(2, 3)], 1.5, "writes merged")
        '1.5 s; shard 2/3 is not finished; the last shard to end writes merged'
    """
    from rotated_atss.io.shared_run import format_shards

    names = f"{format_shards(shards)} {is_or_are(len(shards))} not finished"
    return f"{seconds:.1f} s; {names}; the last shard to end {last_step}"

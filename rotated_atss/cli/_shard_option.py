"""The option ``--shard``, which divides the work of one command among several runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rotated_atss.errors import UserError, is_or_are

if TYPE_CHECKING:
    from rotated_atss.io.shards import Shard


def add_shard_argument(
    parser: argparse._ActionsContainer, verb: str, unit: str = "image", last_step: str = "completes --out"
) -> None:
    """Add ``--shard``.

    Args:
        parser: Parser or group of options.
        verb: What the command does with a unit, such as "split".
        unit: Singular noun for what is divided among the shards.
        last_step: What only the shard that ends last does: a verb in the third person with its object.
    """
    parser.add_argument(
        "--shard", metavar="I/N",
        help=f"for job arrays of N runs with the same options: {verb} only every N-th {unit}, starting with the I-th. "
        f"The run that ends last {last_step}",
    )  # fmt: skip


def parse_shard(args: argparse.Namespace) -> Shard | None:
    """Parse ``--shard``; return None if it is not given.

    Raises:
        UserError: The value is malformed, or ``--overwrite`` is also given.

    Example:
        >>> parse_shard(argparse.Namespace(shard="2/8", overwrite=False))
        Shard(index=2, count=8)
    """
    from rotated_atss.io.shards import Shard

    if args.shard is None:
        return None
    if getattr(args, "overwrite", False):  # each run would discard what the others have written
        raise UserError("--overwrite cannot be combined with --shard", hint="remove the earlier result first")
    return Shard.parse(args.shard)


def format_unfinished(shards: Sequence[Shard], seconds: float, last_step: str) -> str:
    """Describe the result of a shard that ends before other shards.

    Args:
        shards: Shards that are not finished.
        seconds: Run time of this shard.
        last_step: What only the shard that ends last does: a verb in the third person with its object.

    Example:
        >>> from rotated_atss.io.shards import Shard
        >>> format_unfinished([Shard(2, 3)], 1.5, "writes merged")
        '1.5 s; shard 2/3 is not finished; the last shard to end writes merged'
    """
    from rotated_atss.io.shared_run import format_shards

    names = f"{format_shards(shards)} {is_or_are(len(shards))} not finished"
    return f"{seconds:.1f} s; {names}; the last shard to end {last_step}"

"""The ``--scheduler`` option: run the jobs of a command on a Dask cluster."""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any


def add_scheduler_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--scheduler`` to a parser or an argument group."""
    parser.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="run on the workers of this Dask scheduler, such as tcp://host:8786 or a scheduler file, instead of local "
        "processes; inputs and output must be on a file system that the workers share",
    )  # fmt: skip


def make_cluster_paths_absolute(
    scheduler: str | None, options: MutableMapping[str, Any], inputs: Sequence[str], outputs: Sequence[str] = ()
) -> None:
    """Make the paths of a command absolute and check that all workers of a cluster see them.

    Args:
        scheduler: The value of ``--scheduler``. With None, nothing is changed or checked.
        options: Options by name, changed in place, such as ``vars(args)``.
        inputs: Names of the options whose values are input paths: None, a path or a sequence of paths.
        outputs: Names of the options whose values are output paths. Workers must see the nearest existing folder.

    Raises:
        UserError: No scheduler or worker answers, or a worker does not see a path.

    Example:
        >>> options = {"out": "tiles"}
        >>> make_cluster_paths_absolute(None, options, [], ["out"])
        >>> options
        {'out': 'tiles'}
    """
    if scheduler is None:
        return
    from rotated_atss.io.cluster import check_cluster

    visible: list[Path] = []
    for name in (*inputs, *outputs):
        value = options[name]
        if value is None:
            continue
        paths = [Path(path).absolute() for path in ([value] if isinstance(value, (str, Path)) else value)]
        options[name] = paths[0] if isinstance(value, (str, Path)) else paths
        # a missing input is reported by the command itself
        visible += [path for path in paths if path.exists()] if name in inputs else map(_nearest_existing, paths)
    check_cluster(scheduler, visible)


def _nearest_existing(path: Path) -> Path:
    """Return a path if it exists, otherwise the nearest of its parents that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())

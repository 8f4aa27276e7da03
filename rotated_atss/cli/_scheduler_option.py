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
        help="run on the workers of a Dask cluster instead of in local processes: address of the scheduler, such as "
        "tcp://host:8786, or scheduler file. Inputs and output must be on a file system that the workers share",
    )  # fmt: skip


def make_cluster_paths_absolute(
    scheduler: str | None, options: MutableMapping[str, Any], inputs: Sequence[str], outputs: Sequence[str] = ()
) -> None:
    """Make the paths of a command absolute and check that all workers of a cluster see them.

    Args:
        scheduler: The value of ``--scheduler``; if None, nothing is changed or checked.
        options: Options by name, changed in place, such as ``vars(args)``.
        inputs: Names of the options whose values are input paths: None, a path or a sequence of paths.
        outputs: Names of the options whose values are output paths. If an output path does not exist yet, the workers
            must see its nearest existing parent folder.

    Raises:
        UserError: The scheduler or a worker does not answer, or a worker does not see a path.

    Example:
        >>> options = {"out": "tiles"}
        >>> make_cluster_paths_absolute(None, options, [], ["out"])
        >>> options
        {'out': 'tiles'}
    """
    if scheduler is None:
        return
    from rotated_atss.io.cluster import check_cluster

    paths_to_check: list[Path] = []
    for name in (*inputs, *outputs):
        value = options[name]
        if value is None:
            continue
        is_single_path = isinstance(value, (str, Path))
        paths = [Path(path).absolute() for path in ([value] if is_single_path else value)]
        options[name] = paths[0] if is_single_path else paths
        if name in inputs:  # a missing input is reported later, by the command itself
            paths_to_check += [path for path in paths if path.exists()]
        else:
            paths_to_check += map(_nearest_existing_path, paths)
    check_cluster(scheduler, paths_to_check)


def _nearest_existing_path(path: Path) -> Path:
    """Return the path if it exists, otherwise its nearest parent that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())

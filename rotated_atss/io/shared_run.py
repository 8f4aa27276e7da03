"""Record the finished jobs of a run in a folder, so that the run can be continued, or divided among shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from rotated_atss.errors import UserError
from rotated_atss.io.files import append_line, atomic_write
from rotated_atss.io.run_state import first_difference, read_state
from rotated_atss.io.shards import Shard

Result = TypeVar("Result")

RUN_FILE = "run.json"  # This file contains the description of the run.
_NUM_SHARDS_KEY = "number of shards"  # A key in RUN_FILE. It is a phrase because messages contain it.
_MAX_LISTED = 5  # A message lists at most this number of shards.


def records_name(shard: Shard | None) -> str:
    """Return the name of the file in which a run records its finished jobs.

    Example:
        >>> records_name(None)
        'finished.jsonl'
        >>> records_name(Shard(1, 8))
        'finished-1-of-8.jsonl'
    """
    return "finished.jsonl" if shard is None else f"finished-{shard.file_label}.jsonl"


def append_record(path: Path, key: str, result: Mapping[str, Any]) -> None:
    """Append the result of a finished job to a file of records.

    Args:
        path: The file, created if missing.
        key: The key that identifies the job.
        result: The result, with values that JSON can represent.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     append_record(Path(folder, records_name(None)), "job 1", {"tiles": 9})
        ...     dict(iter_records(Path(folder), lambda result: result["tiles"]))
        {'job 1': 9}
    """
    append_line(path, json.dumps({"key": key, **result}, separators=(",", ":")).encode())


def iter_records(folder: Path, parse: Callable[[dict[str, Any]], Result]) -> Iterator[tuple[str, Result]]:
    """Yield the keys and results of all records in a folder, whichever shard has written them.

    Two kinds of lines are skipped, so that their jobs run again: incomplete lines that a killed run left behind (after
    these, :func:`append_line` begins a new line), and lines whose result ``parse`` rejects.

    Args:
        folder: The folder that contains the files of records (:func:`records_name`).
        parse: Function that rebuilds a result from its JSON object. It rejects an object by raising ``ValueError``,
            ``TypeError``, ``LookupError`` or ``AttributeError``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "finished.jsonl").write_text('{"key": "job 1", "til')
        ...     list(iter_records(Path(folder), dict))
        []
    """
    for path in sorted(folder.glob("finished*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                try:
                    values = json.loads(line)
                    key = values.pop("key")
                    result = parse(values)
                except (ValueError, TypeError, LookupError, AttributeError):
                    continue
                yield key, result


class SharedRun(Generic[Result]):
    """A run whose shards record the results of their jobs in one folder.

    The caller must hold two locks of :mod:`rotated_atss.io.shards`:

    - ``shard_lock`` during the whole run. It prevents another run of the same jobs.
    - ``common_lock`` during :meth:`prepare` and :meth:`remove`. It prevents changes by other shards.

    Each job is identified by a key. The key must depend on the job's input, so that the job runs again if its input
    file has changed.

    Args:
        folder: The folder of the records.
        description: Settings and input files, which must be the same for all shards: a mapping from names to strings
            (settings), or to mappings that describe input files (:func:`rotated_atss.io.run_state.describe_files`).
        shard: The shard; None for a run of all jobs, which also uses the records of shards.
        parse: Function that rebuilds a result from its JSON object (:func:`iter_records`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     run = SharedRun(Path(parent, "merge.partial"), {"--size": "1024"}, Shard(2, 3), dict)
        ...     run.prepare()
        ...     keys = ["a", "b", "c"]  # one job per shard
        ...     for key in run.select(keys):
        ...         run.record(key, {"tiles": 1})
        ...     dict(run.results())
        ...     format_shards(run.unfinished_shards(keys))
        {'b': {'tiles': 1}}
        'shards 1/3 and 3/3'
    """

    def __init__(
        self,
        folder: Path,
        description: Mapping[str, Any],
        shard: Shard | None,
        parse: Callable[[dict[str, Any]], Result],
    ) -> None:
        self.folder, self.shard = folder, shard
        self._description, self._parse = dict(description), parse

    def prepare(self) -> None:
        """Create the folder, or check that the runs that used it had the same settings, inputs and number of shards.

        Raises:
            UserError: An earlier run had other settings, inputs or numbers of shards, or the folder cannot be written.
        """
        path = self.folder / RUN_FILE
        if self.shard is not None:
            self._description[_NUM_SHARDS_KEY] = str(self.shard.count)
        if not path.exists():
            atomic_write(path, json.dumps(self._description, indent=1).encode())
            return
        recorded = read_state(path)
        if recorded is not None and self.shard is None:
            recorded.pop(_NUM_SHARDS_KEY, None)  # A run of all jobs can continue shards, whatever their number.
        difference = "its settings are unknown" if recorded is None else first_difference(recorded, self._description)
        if difference is None:
            return
        only_files_differ = recorded is not None and _settings(recorded) == _settings(self._description)
        if only_files_differ:
            hint = "the input files have changed: remove this folder to start over"
        else:
            hint = "repeat the command with its earlier options, or remove the folder to start over"
        raise UserError(f"shards of another run are in this folder: {difference}", where=self.folder, hint=hint)

    def select(self, keys: Sequence[str]) -> list[str]:
        """Return the keys of the jobs that this run must do: the unfinished jobs of its shard.

        Args:
            keys: Keys of all jobs, in the order in which shards divide them.
        """
        finished = self.finished_keys()
        keys_of_shard = keys if self.shard is None else self.shard.select(keys)
        return [key for key in keys_of_shard if key not in finished]

    def record(self, key: str, result: Mapping[str, Any]) -> None:
        """Record the result of a finished job.

        Raises:
            UserError: The record cannot be written.
        """
        append_record(self.folder / records_name(self.shard), key, result)

    def results(self) -> Iterator[tuple[str, Result]]:
        """Yield the keys and results of the finished jobs of all shards."""
        return iter_records(self.folder, self._parse)

    def finished_keys(self) -> set[str]:
        """Return the keys of the finished jobs of all shards."""
        return {key for key, _ in self.results()}

    def unfinished_shards(self, keys: Sequence[str]) -> list[Shard]:
        """Return the shards that have unfinished jobs; an empty list for a run of all jobs.

        Args:
            keys: Keys of all jobs, in the order in which shards divide them.
        """
        if self.shard is None:
            return []
        finished = self.finished_keys()
        shards = [Shard(index, self.shard.count) for index in range(1, self.shard.count + 1)]
        return [shard for shard in shards if any(key not in finished for key in shard.select(keys))]

    def remove(self) -> None:
        """Remove the folder with all records."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _settings(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a description, without the mappings that describe input files."""
    return {name: value for name, value in description.items() if not isinstance(value, Mapping)}


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Create an output folder if it is missing. If it is still empty at the end of the block, remove it again.

    Raises:
        UserError: The path is not a folder, or the folder cannot be created.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with output_folder(Path(parent, "tiles")):
        ...         Path(parent, "tiles").is_dir()
        ...     Path(parent, "tiles").exists()
        True
        False
    """
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the output folder cannot be created: {error.strerror}", where=out) from error
    try:
        yield
    finally:
        if is_new and not any(out.iterdir()):
            out.rmdir()


def format_shards(shards: Sequence[Shard]) -> str:
    """Return a phrase that lists shards, for a message.

    Example:
        >>> format_shards([Shard(2, 3)])
        'shard 2/3'
        >>> format_shards([Shard(1, 3), Shard(3, 3)])
        'shards 1/3 and 3/3'
        >>> format_shards([Shard(index, 9) for index in range(1, 9)])
        'shards 1/9, 2/9, 3/9, 4/9, 5/9 and 3 more'
    """
    names = [str(shard) for shard in shards[:_MAX_LISTED]]
    if len(shards) > _MAX_LISTED:
        names.append(f"{len(shards) - _MAX_LISTED} more")
    if len(names) == 1:
        return f"shard {names[0]}"
    return f"shards {', '.join(names[:-1])} and {names[-1]}"

"""Runs that record every finished job in a folder, so that they can be continued and divided among shards."""

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

RUN_FILE = "run.json"  # description of the run
_NUM_SHARDS_KEY = "number of shards"  # key in RUN_FILE; messages show it
_MAX_LISTED = 5  # largest number of shards in a message


def records_name(shard: Shard | None) -> str:
    """Return the name of the file in which a run records its finished jobs.

    Example:
        >>> records_name(None), records_name(Shard(1, 8))
        ('finished.jsonl', 'finished-1-of-8.jsonl')
    """
    return "finished.jsonl" if shard is None else f"finished-{shard.file_label}.jsonl"


def append_record(path: Path, key: str, result: Mapping[str, Any]) -> None:
    """Append the result of a finished job to a file of records.

    Args:
        path: The file, created if missing.
        key: Identifies the job.
        result: The result, of values that JSON can represent.

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
    """Yield key and result of all records in a folder, written by any shard.

    Lines that a killed run left incomplete (:func:`append_line` begins a new line after them) and results rejected by
    ``parse`` are skipped: their jobs run again.

    Args:
        folder: The folder with the files of :func:`records_name`.
        parse: Rebuilds a result from its JSON object. Rejects it with ``ValueError``, ``TypeError``, ``LookupError`` or
            ``AttributeError``.

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
    """The folder in which shards of one command record the results of their jobs.

    The caller holds two locks of :mod:`rotated_atss.io.shards`: ``shard_lock`` during the whole run, which excludes
    another run of the same jobs, and ``common_lock`` during :meth:`prepare` and :meth:`remove`, which excludes all
    other shards. A job is identified by a key that changes with its input, so that a job runs again if its input file
    has changed.

    Args:
        folder: The folder.
        description: What all shards must have in common, by name. Strings are settings; mappings describe input files
            (:func:`rotated_atss.io.run_state.describe_files`).
        shard: The shard; None for a run of all jobs, which also uses the records of shards.
        parse: Rebuilds a result from its JSON object (:func:`iter_records`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     run = SharedRun(Path(parent, "merge.partial"), {"--size": "1024"}, Shard(2, 3), dict)
        ...     run.prepare()
        ...     jobs = ["a", "b", "c"]  # their keys
        ...     for key in run.select(jobs):
        ...         run.record(key, {"tiles": 1})
        ...     dict(run.results()), [str(shard) for shard in run.unfinished_shards(jobs)]
        ({'b': {'tiles': 1}}, ['1/3', '3/3'])
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
            UserError: An earlier run had different ones, or the folder cannot be written.
        """
        path = self.folder / RUN_FILE
        if self.shard is not None:
            self._description[_NUM_SHARDS_KEY] = str(self.shard.count)
        if not path.exists():
            atomic_write(path, json.dumps(self._description, indent=1).encode())
            return
        recorded = read_state(path)
        if recorded is not None and self.shard is None:
            recorded.pop(_NUM_SHARDS_KEY, None)  # a run of all jobs can continue any number of shards
        difference = "its settings are unknown" if recorded is None else first_difference(recorded, self._description)
        if difference is not None:
            hint = "repeat the command with its earlier options, or remove the folder to start over"
            if recorded is not None and _settings(recorded) == _settings(self._description):
                hint = "the input files have changed: remove this folder to start over"
            raise UserError(f"shards of another run are in this folder: {difference}", where=self.folder, hint=hint)

    def select(self, keys: Sequence[str]) -> list[str]:
        """Return the keys of the jobs that this run has to do: those of its shard that are not finished.

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
        """Yield key and result of the finished jobs of all shards."""
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
    """Return the entries of a description other than mappings of input files."""
    return {name: value for name, value in description.items() if not isinstance(value, Mapping)}


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Create an output folder; at the end of the block, remove it if it is new and still empty.

    Raises:
        UserError: It cannot be created, or is not a folder.

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
    """Name shards in a message.

    Example:
        >>> format_shards([Shard(2, 3)]), format_shards([Shard(1, 3), Shard(3, 3)])
        ('shard 2/3', 'shards 1/3 and 3/3')
        >>> format_shards([Shard(index, 9) for index in range(1, 9)])
        'shards 1/9, 2/9, 3/9, 4/9, 5/9 and 3 more'
    """
    names = [str(shard) for shard in shards[:_MAX_LISTED]]
    if len(shards) > _MAX_LISTED:
        names.append(f"{len(shards) - _MAX_LISTED} more")
    if len(names) == 1:
        return f"shard {names[0]}"
    return f"shards {', '.join(names[:-1])} and {names[-1]}"

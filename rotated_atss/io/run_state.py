"""Continue interrupted runs from two kinds of files: descriptions of the input, and journals of renames.

A result that consists of several files is first written under temporary names. When all files are written, a journal
records the renames that give them their final names. If a run is killed during the renames, a later run completes them
from the journal.

There are two kinds of journals:

- :func:`plan_moves` writes a journal that lists files to remove, and files to move between any folders.
  :func:`finish_moves` removes and moves these files.
- :func:`write_result` writes a journal that lists files to rename within one folder. :func:`complete_result` renames
  these files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError, printable, quote
from rotated_atss.io.files import atomic_write, write_bytes, write_error

JOURNAL = ".unfinished.json"
"""Name of the journal of :func:`write_result`. It is in the folder of the result until all files are renamed."""

_MAX_KEY_LENGTH = 80  # Longer names of options and files are shortened in messages to this number of characters.


def describe_files(paths: Iterable[str | Path]) -> dict[str, list[int]]:
    """Return the size in bytes and the modification time in nanoseconds of each file, by file name.

    Raises:
        UserError: A file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("plane")
        ...     describe_files([Path(folder, "a.txt")])["a.txt"][0]
        5
    """
    descriptions = {}
    for path in map(Path, paths):
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=path) from error
        descriptions[path.name] = [stat.st_size, stat.st_mtime_ns]
    return descriptions


def first_difference(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """Describe the first entry in which two descriptions of a run differ; None if they are equal.

    Args:
        recorded: Description of the interrupted run: a mapping from names to values. A string or number is the value of
            an option, a list describes a file (:func:`describe_files`), and a mapping is a group of such entries.
        current: Description of this run, in the same format.

    Example:
        >>> first_difference({"--size": 512}, {"--size": 1024})
        '--size is 1024, was 512'
        >>> recorded = {"images": {"a.png": [5, 1]}}  # [size, modification time]
        >>> current = {"images": {"a.png": [5, 2], "b.png": [5, 1]}}
        >>> first_difference(recorded, current)
        'images: a.png has changed'
    """
    for key in dict.fromkeys([*recorded, *current]):
        before, now = recorded.get(key), current.get(key)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            return f"{key}: {first_difference(before, now)}"
        if isinstance(before, list) or isinstance(now, list):
            if before is None:
                change = "is new"
            elif now is None:
                change = "is missing"
            else:
                change = "has changed"
            return f"{printable(key, _MAX_KEY_LENGTH)} {change}"
        return f"{printable(key, _MAX_KEY_LENGTH)} is {_format_option(now)}, was {_format_option(before)}"
    return None


def _format_option(value: Any) -> str:
    if value is None or value is False:
        return "not given"
    return quote(value) if isinstance(value, str) else str(value)


def read_state(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; return None if the file is missing or incomplete.

    Example:
        >>> read_state(Path("no/such/file.json")) is None
        True
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def plan_moves(
    path: Path, moves: Sequence[tuple[Path, Path]], remove: Iterable[Path] = (), **entries: Any
) -> dict[str, Any]:
    """Write a journal of the renames that complete a run.

    As soon as the journal exists, the run counts as finished, because :func:`finish_moves` can carry out the renames at
    any later time. If :func:`finish_moves` is interrupted, it can be called again.

    Args:
        path: The journal file to write.
        moves: Source and target of each rename. Existing targets are replaced.
        remove: Files of an earlier result to remove.
        entries: Further entries of the journal.

    Returns:
        The content of the journal.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, target = Path(folder, "a.part"), Path(folder, "a.txt")
        ...     source.touch()
        ...     finish_moves(plan_moves(Path(folder, "journal.json"), [(source, target)], images=1))
        ...     target.exists()
        True
    """
    pairs = [[os.path.abspath(source), os.path.abspath(target)] for source, target in moves]
    # finish_moves removes an old file at a target itself, before the rename. If "remove" listed the target, too, a
    # repeated finish_moves would remove the new file.
    targets = {target for _, target in pairs}
    content = {**entries, "moves": pairs, "remove": sorted({os.path.abspath(old) for old in remove} - targets)}
    atomic_write(path, json.dumps(content).encode())
    return content


def check_journal(journal: Mapping[str, Any], path: Path, folders: Sequence[Path]) -> None:
    """Raise an error if a journal names files outside the output folders.

    An output folder can come from an untrusted source. A journal in such a folder must not move or remove files outside
    the folder.

    Args:
        journal: Content of the file that :func:`plan_moves` wrote.
        path: The file, for the error.
        folders: Folders in which files may be moved and removed.

    Raises:
        UserError: The journal is damaged, or names a file outside ``folders``.

    Example:
        >>> check_journal({"moves": [], "remove": ["/etc/passwd"]}, Path("out/journal.json"), [Path("out")])
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: out/journal.json: the journal names a file outside the output folder: '/etc/p...
    """
    hint = f"remove {path.parent} to start over"
    listed_paths = _paths_in_journal(journal)
    if listed_paths is None:
        raise UserError("the record of an interrupted run is damaged", where=path, hint=hint)
    roots = [folder.resolve() for folder in folders]
    for listed in listed_paths:
        if not any(root in Path(listed).resolve().parents for root in roots):
            what = f"the journal names a file outside the output folder: {quote(listed)}"
            raise UserError(what, where=path, hint=hint)


def _paths_in_journal(journal: Mapping[str, Any]) -> list[str] | None:
    """Return the paths of all files in a journal, or None if it is not in the format of :func:`plan_moves`."""
    moves, remove = journal.get("moves"), journal.get("remove")
    if not isinstance(moves, list) or not isinstance(remove, list):
        return None
    if not all(isinstance(move, list) and len(move) == 2 for move in moves):
        return None
    paths: list[Any] = []
    for source_and_target in moves:
        paths += source_and_target
    paths += remove
    are_paths = all(isinstance(path, str) and "\0" not in path for path in paths)
    return paths if are_paths else None


def finish_moves(journal: Mapping[str, Any]) -> None:
    """Remove the files that a journal lists for removal, and carry out its remaining renames.

    The files of the earlier result, including those that the renames would replace, are removed before the first
    rename. Therefore, a folder never contains files of both results.

    Args:
        journal: Content of the file that :func:`plan_moves` wrote.

    Raises:
        OSError: A file cannot be moved or removed.

    Example:
        >>> finish_moves({"moves": [], "remove": []})
    """
    # If a source is missing, an earlier, interrupted call has already renamed it.
    moves = [(Path(source), Path(target)) for source, target in journal["moves"] if os.path.exists(source)]
    for path in (*map(Path, journal["remove"]), *(target for _, target in moves)):
        path.unlink(missing_ok=True)
    for source, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def write_result(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of one result into a folder, and replace the files of an earlier result that have the same names.

    All files are written under temporary names, then :data:`JOURNAL` records the renames. If the process is killed
    before the journal is written, the earlier result is unchanged. If it is killed afterwards, the folder contains the
    journal and some of the new files, and :func:`complete_result` renames the rest. The replaced files are removed
    before the first rename, so that the folder never contains a mix of new files and files to replace.

    Args:
        folder: The folder, created if missing.
        contents: Content by file name.

    Raises:
        UserError: A file cannot be written, for example because the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_result(Path(folder), {"a.txt": b"plane", "b.txt": b"ship"})
        ...     sorted(os.listdir(folder))
        ['a.txt', 'b.txt']
    """
    # If an earlier run was killed during its renames, complete them now, because its journal will be overwritten.
    complete_result(folder)
    temporary_names = {name: f".{name}.part" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_bytes(folder / temporary_names[name], data)
        atomic_write(folder / JOURNAL, json.dumps({"files": temporary_names}).encode())
    except BaseException as error:  # also on Ctrl-C
        for name in temporary_names.values():
            with suppress(OSError):
                (folder / name).unlink()
        if isinstance(error, OSError):
            raise write_error(folder, error) from error
        raise
    complete_result(folder)


def complete_result(folder: Path) -> None:
    """Carry out the renames that remain from a call of :func:`write_result` that was killed.

    Example:
        >>> complete_result(Path("no_such_folder"))
    """
    journal_path = folder / JOURNAL
    if not journal_path.exists():
        return
    files = (read_state(journal_path) or {}).get("files")
    temporary_names = files.items() if isinstance(files, dict) else ()
    # Only names without a folder are accepted, because a journal from an untrusted source must not move files out of
    # the folder.
    moves = [
        (folder / temporary, folder / name)
        for name, temporary in temporary_names
        if _is_file_name(temporary) and _is_file_name(name)
    ]
    try:
        finish_moves({"moves": moves, "remove": []})
        journal_path.unlink()
    except OSError as error:
        what = f"the result cannot be completed: {error.strerror}"
        raise UserError(what, where=folder, hint="check the folder") from error


def _is_file_name(value: object) -> bool:
    """Return whether a value is a file name without a folder."""
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\\0")

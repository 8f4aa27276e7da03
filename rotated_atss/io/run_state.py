"""State of an interrupted run that the same command continues: what it depends on, and its final renames."""

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
"""File in the folder of a result whose files have not all been renamed."""


def describe_files(paths: Iterable[str | Path]) -> dict[str, list[int]]:
    """Return size in bytes and time of the last change in nanoseconds of files, by name.

    Raises:
        UserError: A file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("plane")
        ...     describe_files([Path(folder, "a.txt")])["a.txt"][0]
        5
    """
    described = {}
    for path in map(Path, paths):
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=path) from error
        described[path.name] = [stat.st_size, stat.st_mtime_ns]
    return described


def first_difference(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """Describe the first entry in which two descriptions of a run differ; None if they are equal.

    Args:
        recorded: The description of the interrupted run: texts, numbers and mappings of these.
        current: That of this run.

    Example:
        >>> first_difference({"--size": 512}, {"--size": 1024})
        '--size is 1024, was 512'
        >>> first_difference({"images": {"a.png": [5, 1]}}, {"images": {"a.png": [5, 2], "b.png": [5, 1]}})
        'images: a.png has changed'
    """
    for key in dict.fromkeys([*recorded, *current]):
        before, now = recorded.get(key), current.get(key)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            return f"{key}: {first_difference(before, now)}"
        if isinstance(before, list) or isinstance(now, list):
            return f"{printable(key, 80)} {_change_of_file(before, now)}"
        return f"{printable(key, 80)} is {_text(now)}, was {_text(before)}"
    return None


def _change_of_file(before: Any, now: Any) -> str:
    return "is new" if before is None else "is missing" if now is None else "has changed"


def _text(value: Any) -> str:
    return quote(value) if isinstance(value, str) else "not given" if value is None or value is False else str(value)


def read_state(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if the file is missing or was not completely written.

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
    journal: Path, moves: Sequence[tuple[Path, Path]], remove: Iterable[Path] = (), **note: Any
) -> dict[str, Any]:
    """Record the renames that complete a run. The run is finished from here on: :func:`finish_moves` can be repeated.

    Args:
        journal: File to write.
        moves: Source and target of each file. Targets are replaced.
        remove: Files of an earlier result that no move replaces.
        note: More entries of the journal.

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
    pairs = [[os.path.abspath(path) for path in pair] for pair in moves]
    targets = {target for _, target in pairs}  # finish_moves removes these itself, unless they are new
    content = {**note, "moves": pairs, "remove": sorted({os.path.abspath(path) for path in remove} - targets)}
    atomic_write(journal, json.dumps(content).encode())
    return content


def check_journal(journal: Mapping[str, Any], path: Path, folders: Sequence[Path]) -> None:
    """Check a journal before its moves are carried out: an output folder can come from somebody else.

    Args:
        journal: The content of the file that :func:`plan_moves` wrote.
        path: The file, for the error.
        folders: Folders that the moves may change.

    Raises:
        UserError: The journal is damaged, or names a file outside of ``folders``.

    Example:
        >>> check_journal({"moves": [], "remove": ["/etc/passwd"]}, Path("out/journal.json"), [Path("out")])
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: out/journal.json: names a file outside of the output folder, '/etc/passwd' ...
    """
    hint = f"remove {path.parent} to start over"
    moves, remove = journal.get("moves"), journal.get("remove")
    pairs = moves if isinstance(moves, list) and all(isinstance(pair, list) for pair in moves) else [[None]]
    names = [*(name for pair in pairs for name in pair), *(remove if isinstance(remove, list) else [None])]
    if any(len(pair) != 2 for pair in pairs) or not all(isinstance(name, str) and "\0" not in name for name in names):
        raise UserError("the record of an interrupted run is damaged", where=path, hint=hint)
    roots = [folder.resolve() for folder in folders]
    for name in names:
        if not any(root in Path(name).resolve().parents for root in roots):
            raise UserError(f"names a file outside of the output folder, {quote(name)}", where=path, hint=hint)


def finish_moves(journal: Mapping[str, Any]) -> None:
    """Carry out the moves of a journal that are not done yet.

    Files of the earlier result are removed first, so that old and new files never lie side by side.

    Args:
        journal: The content of the file that :func:`plan_moves` wrote.

    Raises:
        OSError: A file cannot be moved.

    Example:
        >>> finish_moves({"moves": [], "remove": []})
    """
    left = [(Path(source), Path(target)) for source, target in journal["moves"] if os.path.exists(source)]
    for path in (*map(Path, journal["remove"]), *(target for _, target in left)):
        path.unlink(missing_ok=True)
    for source, target in left:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def write_result(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of one result into a folder, so that files of two results never lie side by side.

    All files are written under temporary names, then :data:`JOURNAL` records the renames. A process killed before keeps
    the earlier result; one killed after leaves some of the new files and the journal, from which
    :func:`complete_result` goes on.

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
    complete_result(folder)
    temporary = {name: f".{name}.part" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_bytes(folder / temporary[name], data)
        atomic_write(folder / JOURNAL, json.dumps({"files": temporary}).encode())
    except BaseException as error:
        for name in temporary.values():
            with suppress(OSError):
                (folder / name).unlink()
        if isinstance(error, OSError):
            raise write_error(folder, error) from error
        raise
    complete_result(folder)


def complete_result(folder: Path) -> None:
    """Carry out the renames that a killed :func:`write_result` has left.

    Example:
        >>> complete_result(Path("no_such_folder"))
    """
    journal = folder / JOURNAL
    if not journal.exists():
        return
    files = (read_state(journal) or {}).get("files")
    pairs = files.items() if isinstance(files, dict) else ()
    # Names alone: a journal from elsewhere must not reach files outside the folder.
    names = [(old, new) for new, old in pairs if _is_name(old) and _is_name(new)]
    try:
        finish_moves({"moves": [(folder / old, folder / new) for old, new in names], "remove": []})
        journal.unlink()
    except OSError as error:
        what = f"the result cannot be completed: {error.strerror}"
        raise UserError(what, where=folder, hint="check the folder") from error


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\\0")

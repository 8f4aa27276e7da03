"""Reading and atomic writing of files, and checks of output paths, with errors that name the file."""

import glob
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError


def read_bytes(path: str | Path, start: int = 0, length: int = -1) -> bytes:
    """Read a file, or a range of its bytes.

    Args:
        path: File to read.
        start: Offset of the first byte.
        length: Number of bytes; -1 reads up to the end.

    Raises:
        UserError: The file is missing, cannot be read, or is not a regular file (:func:`is_special_file`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write(Path(folder, "a.txt"), b"plane ship")
        ...     read_bytes(Path(folder, "a.txt"), start=6)
        b'ship'
    """
    try:
        if is_special_file(path):
            raise UserError("not a regular file", where=path, hint="give the path of a file")
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(length)
    except FileNotFoundError:
        raise UserError("no such file", where=path) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error


def is_special_file(path: str | Path) -> bool:
    """Return whether a path is a device, pipe or socket. Reading such a path may never end.

    Raises:
        OSError: The file is missing.

    Example:
        >>> is_special_file(__file__), is_special_file(os.devnull)
        (False, True)
    """
    mode = os.stat(path).st_mode
    # Folders do not count, because opening a folder raises an error anyway.
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file directly to its path, which is faster than :func:`atomic_write`.

    An interrupted call leaves an incomplete file. Use this function in a folder that gets its final name only when all
    of its files are written.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(Path(folder, "a.txt"), b"plane")
        ...     Path(folder, "a.txt").read_text()
        'plane'
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise write_error(path, error) from error


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file atomically, so that ``path`` never contains incomplete data.

    The data is written to a temporary file in the same folder, which is then renamed. A missing folder is created.

    Args:
        path: File to write or replace.
        data: Its content.

    Raises:
        UserError: The folder cannot be created or written, or the disk is full. The temporary file is removed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write(Path(folder, "new", "a.txt"), b"plane")
        ...     Path(folder, "new", "a.txt").read_text()
        'plane'
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_path(path: str | Path, suffix: str = ".part") -> Iterator[Path]:
    """Yield a temporary path to write to. If the block succeeds, the file is renamed to ``path``.

    Use this function with libraries that write files themselves. If the block fails, the temporary file is removed and
    ``path`` is unchanged.

    Args:
        path: File to write or replace. Its folder is created if missing.
        suffix: Suffix of the temporary file, for libraries that choose a file format by the suffix.

    Raises:
        UserError: The folder cannot be created or written, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("plane")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.txt']
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise UserError("not the name of a file", where=path, hint="add a file name")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, and leave nothing behind.

    Call this before the content is computed, so that a long run does not fail when it writes its result.

    Args:
        path: File to write or replace.

    Raises:
        UserError: ``path`` is a folder, or the folder of the file cannot be created or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_writable(Path(folder, "new", "a.json"))
        ...     check_writable(folder)
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...: not the name of a file (add a file name)
    """
    path = Path(path)
    if path.name in ("", "..") or path.is_dir():
        raise UserError("not the name of a file", where=path, hint="add a file name")
    _check_folder_of_new_files(path.absolute().parent, path)


def check_folder_writable(path: str | Path) -> None:
    """Check that files can be written to a folder, and leave nothing behind.

    Call this before the files are computed, so that a long run does not fail when it writes its result.

    Args:
        path: Folder, which does not need to exist.

    Raises:
        UserError: ``path`` is a file, or the folder cannot be created or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder_writable(Path(folder, "new"))
        ...     Path(folder, "a").touch()
        ...     check_folder_writable(Path(folder, "a"))
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...: cannot be written: ... is not a folder (choose another path)
    """
    _check_folder_of_new_files(Path(path).absolute(), path)


def _check_folder_of_new_files(folder: Path, output: str | Path) -> None:
    """Raise an error about ``output`` unless files can be written to ``folder`` (absolute)."""
    # Missing folders will be created in the nearest folder that exists. Check whether that is possible.
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        reason = f"no permission to write to {existing}" if existing.is_dir() else f"{existing} is not a folder"
        raise UserError(f"cannot be written: {reason}", where=output, hint="choose another path")
    try:
        # For root, os.access returns True for every folder, even where no file can be created, as in /sys or /proc.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = f"no file can be created in {existing}: {error.strerror or error}"
        raise UserError(f"cannot be written: {reason}", where=output, hint="choose another path") from error


def append_line(path: Path, line: bytes) -> None:
    r"""Append a line to a file in one write, so that lines of several processes do not mix.

    If an interrupted write has left the last line of the file incomplete, a newline is added to that line first.

    Args:
        path: The file, created if missing.
        line: Content of the line, without the newline at its end.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(Path(folder, "a.txt"), b"pla")
        ...     append_line(Path(folder, "a.txt"), b"ship")
        ...     read_bytes(Path(folder, "a.txt"))
        b'pla\nship\n'
    """
    try:
        with open(path, "a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            last_line_is_complete = file.read(1) in (b"", b"\n")
            data = line + b"\n" if last_line_is_complete else b"\n" + line + b"\n"
            written = 0
            while written < len(data):  # the operating system may write only a part, for example on a full disk
                written += file.write(data[written:])
    except OSError as error:
        raise write_error(path, error) from error


def write_json(path: str | Path, content: Any, *, indent: int | None = 1) -> None:
    """Write a JSON file atomically.

    Args:
        path: File to write or replace.
        content: Dictionaries, lists, strings, numbers, booleans and None.
        indent: Spaces per level; None writes a single line.

    Raises:
        UserError: The folder cannot be created or written, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, "a.json"), {"AP50": 0.75}, indent=None)
        ...     Path(folder, "a.json").read_text().strip()
        '{"AP50": 0.75}'
    """
    atomic_write(path, (json.dumps(content, indent=indent) + "\n").encode())


def atomic_write_all(contents: Mapping[Path, bytes]) -> None:
    """Write all files of a result under temporary names, then rename them.

    If the disk is full, or if the process is killed before the renames, the files of an earlier result are unchanged.
    Temporary files that a killed process left behind are removed.

    Args:
        contents: Content by path.

    Raises:
        UserError: A folder cannot be created or written, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write_all({Path(folder, "a.txt"): b"plane", Path(folder, "b.txt"): b"ship"})
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['a.txt', 'b.txt']
    """
    temporaries: dict[Path, Path] = {}  # final path -> temporary path
    path = Path()  # the file that is being written, for the error
    try:
        try:
            for path, data in contents.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                for stale in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
                    stale.unlink(missing_ok=True)
                temporaries[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
                temporaries[path].write_bytes(data)
            for path, temporary in temporaries.items():
                os.replace(temporary, path)
        finally:
            for temporary in temporaries.values():
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def check_outputs(folders: Iterable[str | Path], files: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Check that the outputs of a run can be written, and leave nothing behind. Call this before computing them.

    Args:
        folders: Folders to write to. They may contain inputs.
        files: Files to write or replace.
        inputs: Files and folders that are read.

    Raises:
        UserError: An output is an input or lies inside an input, or it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_outputs([f"{folder}/merged"], [f"{folder}/task1.zip"], ["data/images"])
    """
    folders, files, inputs = list(folders), list(files), list(inputs)
    for output in (*folders, *files):
        reject_overlapping_output(output, inputs, may_contain_inputs=True)
    for folder in folders:
        check_folder_writable(folder)
    for file in files:
        check_writable(file)


def reject_overlapping_output(
    out: str | Path,
    inputs: Iterable[str | Path],
    *,
    may_contain_inputs: bool = False,
    hint: str = "choose another output",
) -> None:
    """Reject an output path that equals, contains or lies inside an input, so that inputs are never overwritten.

    Args:
        out: File or folder to write; it need not exist.
        inputs: Files and folders that are read.
        may_contain_inputs: Accept an output folder that contains an input, at any depth.
        hint: Advice for the error message.

    Raises:
        UserError: ``out`` equals an input or lies inside an input, or contains an input without ``may_contain_inputs``.

    Example:
        >>> reject_overlapping_output("data/tiles", ["data/images"])
        >>> reject_overlapping_output("data/images/tiles", ["data/images"], hint="use data/tiles")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: data/images/tiles: the output overlaps the input data/images (use data/tiles)
    """
    target = Path(out).resolve()
    for input_path in inputs:
        source = Path(input_path).resolve()
        # samefile also recognizes hard links, and names that differ in case where the file system ignores case
        is_same = target == source or (target.exists() and source.exists() and target.samefile(source))
        is_inside = source in target.parents
        contains_input = target in source.parents
        if is_same or is_inside or (contains_input and not may_contain_inputs):
            raise UserError(f"the output overlaps the input {input_path}", where=out, hint=hint)


def write_error(path: str | Path, error: Exception) -> UserError:
    """Return the user error for a file or folder that cannot be written.

    Args:
        path: The file or folder.
        error: The error of the operating system, or of the library that writes the file.

    Example:
        >>> print(write_error("a.txt", OSError(28, "No space left on device")))
        a.txt: cannot be written: No space left on device (check the folder and the free space)
    """
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return UserError(f"cannot be written: {reason}", where=path, hint="check the folder and the free space")

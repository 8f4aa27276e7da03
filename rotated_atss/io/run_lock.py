"""Lock an output folder while a run writes into it, so that two runs never write into it at the same time."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_MAX_OWNER_BYTES = 200  # Only the first bytes of a lock file are read. Its content is "process PID on HOST".
_WORKERS_END_S = 10.0  # After a run was killed, its worker processes have this time to end.
_RETRY_S = 0.05  # seconds between two attempts to lock a file


@contextmanager
def run_lock(path: str | Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs.

    On POSIX, the file is locked with ``flock``. The lock ends when the process and its forked workers have ended. If a
    run was killed, its lock file remains, but does not block a new run for long: the new run waits until the workers of
    the killed run have ended, for at most 10 seconds, or ``wait_s`` if it is longer.

    Without ``flock`` (Windows, some network file systems), the lock is held as long as ``<path>.exclusive`` exists. If
    a run was killed, the user must remove this file.

    Args:
        path: The lock file, in an existing folder. It is removed at the end.
        wait_s: Seconds to wait for another run to release the lock.

    Raises:
        UserError: Another run holds the lock, or the file cannot be written. The message names the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with run_lock(Path(folder, ".split.lock")):
        ...         names = os.listdir(folder)
        ...     len(names), os.listdir(folder)
        (1, [])
    """
    path = Path(path)
    exclusive_path = path.with_name(f"{path.name}.exclusive")
    try:
        descriptor = _open_locked(path, wait_s)
        has_flock = descriptor is not None
        if descriptor is None:
            descriptor = _create_exclusive(exclusive_path, wait_s)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except OSError as error:
        hint = "choose another output folder"
        raise UserError(f"the lock cannot be written: {error.strerror}", where=path, hint=hint) from error
    try:
        yield
    finally:
        if has_flock:
            # Remove the file while it is still locked. Another run that has already opened the file then gets its lock
            # only after the removal, and detects with _is_current that the file was removed.
            path.unlink(missing_ok=True)
            os.close(descriptor)
        else:
            os.close(descriptor)  # Windows removes a file only after it has been closed.
            path.unlink(missing_ok=True)  # _open_locked creates this file even if flock fails afterwards.
            exclusive_path.unlink(missing_ok=True)


def _open_locked(path: Path, wait_s: float) -> int | None:
    """Open and lock the file; return its descriptor, or None if ``flock`` is not available."""
    started = time.monotonic()
    while fcntl is not None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            # If the owner was killed, only its workers still hold the lock, and they will end soon.
            limit_s = max(wait_s, _WORKERS_END_S) if _owner_was_killed(path) else wait_s
            if time.monotonic() - started >= limit_s:
                raise _locked_error(path, "wait until that run ends, or choose another output folder") from None
            time.sleep(_RETRY_S)
            continue
        except OSError:  # the file system has no flock
            os.close(descriptor)
            return None
        if _is_current(descriptor, path):
            return descriptor
        os.close(descriptor)
    return None


def _is_current(descriptor: int, path: Path) -> bool:
    """Return whether ``path`` still names the opened file. The run that held the lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _create_exclusive(path: Path, wait_s: float) -> int:
    """Create the file whose existence represents the lock, and return its descriptor."""
    started = time.monotonic()
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if time.monotonic() - started >= wait_s:
                hint = "wait until that run ends; if its process no longer exists, remove this file"
                raise _locked_error(path, hint) from None
            time.sleep(_RETRY_S)


def _owner_was_killed(path: Path) -> bool:
    """Return whether the process that wrote the lock file ran on this host and has ended.

    If this is the case and the file is still locked, some workers of that process are still running.
    """
    words = _read_owner(path).split()  # "process PID on HOST"
    if len(words) != 4 or words[3] != socket.gethostname() or not words[1].isdecimal():
        return False
    try:
        os.kill(int(words[1]), 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _read_owner(path: Path) -> str:
    """Return the text that the owner of the lock wrote into the lock file; empty if the file cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(_MAX_OWNER_BYTES).decode(errors="replace").strip()
    return ""


def _locked_error(path: Path, hint: str) -> UserError:
    owner = _read_owner(path)
    return UserError(f"another run writes into this folder: {owner or 'unknown process'}", where=path, hint=hint)

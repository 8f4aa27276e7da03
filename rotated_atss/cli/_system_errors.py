"""Describe errors of the operating system in one line, with a hint."""

from __future__ import annotations

import errno
import os

from rotated_atss.errors import notes_of, printable

_MAX_PATH_LENGTH = 200  # limit of the characters of a path in a message

# Hints for the errors that the user can resolve. All other errors are shown with their traceback.
_HINTS = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "check the permissions, or write elsewhere",
    errno.EPERM: "check the permissions, or write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "symbolic links on this path point to each other: remove one",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer --workers",
}


def describe_system_error(error: OSError | RuntimeError) -> str | None:
    """Describe an error that the user can resolve; return None for other errors.

    Example:
        >>> describe_system_error(OSError(errno.ENOSPC, "No space left on device", "a.png"))
        'a.png: No space left on device (free some space, or write elsewhere)'
    """
    if not isinstance(error, OSError):
        prefix = "Symlink loop from "  # pathlib before Python 3.13 raises this RuntimeError instead of an OSError
        if not str(error).startswith(prefix):
            return None
        path = str(error).removeprefix(prefix).strip("'")
        return describe_system_error(OSError(errno.ELOOP, os.strerror(errno.ELOOP), path))
    if error.errno not in _HINTS:
        return None
    where = f"{printable(str(error.filename), _MAX_PATH_LENGTH)}: " if error.filename else ""
    return f"{where}{error.strerror}{format_advice(error, _HINTS[error.errno])}"


def format_advice(error: BaseException, *hints: str) -> str:
    """Join hints and the notes of an exception in parentheses, after a space; return an empty string without any.

    Example:
        >>> format_advice(OSError(), "write elsewhere"), format_advice(OSError())
        (' (write elsewhere)', '')
    """
    advice = "; ".join((*hints, *notes_of(error)))
    return f" ({advice})" if advice else ""

"""Suppress or capture the output and the log messages of other packages."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

_STDERR = 2  # The file descriptor of stderr. C libraries write to it directly, even if sys.stderr is redirected.
_stderr_lock = threading.Lock()


@contextlib.contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence libraries that export models: no Python warnings, no log messages below ERROR, and no text on stdout.

    Example:
        >>> with quiet_exporters():
        ...     print("step 3 of 5")
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Capture the lines that C libraries, such as image decoders, write to stderr while the block runs.

    All threads of a process share stderr. Therefore, only one thread at a time runs such a block, and others wait.

    Yields:
        A list, to which the lines are added when the block ends.

    Example:
        >>> with captured_stderr() as lines:
        ...     _ = os.write(2, b"Corrupt JPEG data")
        >>> lines
        ['Corrupt JPEG data']
    """
    lines: list[str] = []
    with _stderr_lock, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        original_stderr = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(original_stderr, _STDERR)
            os.close(original_stderr)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()

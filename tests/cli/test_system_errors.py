"""Errors of the operating system that the user can resolve."""

from __future__ import annotations

import errno
import os

import pytest

from rotated_atss.cli._system_errors import describe_system_error

LOOP = f"/a/b: {os.strerror(errno.ELOOP)} (symbolic links on this path point to each other: remove one)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("Symlink loop from '/a/b'"), LOOP),  # of pathlib before Python 3.13
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/a/b"), LOOP),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system (write elsewhere)"),  # of no file
        (RuntimeError("CUDA error"), None),
        (OSError(errno.EIO, "Input/output error", "/a/b"), None),
    ],
)  # fmt: skip
def test_only_errors_with_a_hint_are_described(error: OSError | RuntimeError, line: str | None) -> None:
    assert describe_system_error(error) == line


def test_paths_are_short_and_without_control_characters() -> None:
    line = describe_system_error(OSError(errno.ENAMETOOLONG, "File name too long", "a\n\x1b[31m" + "b" * 999))
    assert line is not None
    assert line.isprintable()
    assert len(line) < 300

"""Fixtures of the command-line tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rotated_atss.cli import main


@pytest.fixture
def user_error(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails with a user error and return its only line on stderr."""

    def run(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith(f"rotated-atss {words[0]}: error: ")
        return line

    return run

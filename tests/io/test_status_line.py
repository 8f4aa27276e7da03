"""The line that is updated in place: what a terminal shows after each call."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from rotated_atss.io.status_line import StatusLine, emphasize


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines as they look: a carriage return lets later characters replace earlier ones."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("rotated_atss.io.status_line.sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    return stream


def test_a_shorter_line_leaves_nothing_of_a_longer_one(terminal):
    line = StatusLine()
    line.update("iteration 10/10", force=True)
    line.update("done", force=True)
    assert terminal.screen() == ["done"]
    line.clear()
    assert terminal.screen() == [""]
    line.clear()
    line.update("epoch 1", force=True)
    line.keep()
    line.update("epoch 2", force=True)
    assert terminal.screen() == ["epoch 1", "epoch 2"]


def test_a_long_line_is_cut_so_that_it_does_not_wrap(terminal):
    StatusLine().update("x" * 50, force=True)
    assert terminal.screen() == ["x" * 19]


def test_updates_in_quick_succession_are_left_out(terminal, monkeypatch):
    now = iter([10.0, 10.05, 10.2])
    monkeypatch.setattr("rotated_atss.io.status_line.time.monotonic", lambda: next(now))
    line = StatusLine()
    for text in ("a", "b", "c"):
        line.update(text)
    assert [part.strip() for part in terminal.getvalue().split("\r")] == ["", "a", "c"]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_nothing_is_written_unless_stderr_is_a_terminal(term, monkeypatch):
    stream = Terminal() if term == "dumb" else io.StringIO()
    monkeypatch.setattr("rotated_atss.io.status_line.sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("TERM", term)
    line = StatusLine()
    line.update("a", force=True)
    line.keep()
    assert stream.getvalue() == ""


def test_no_color_switches_colors_off(terminal, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert emphasize("warning:", terminal) == "\x1b[33mwarning:\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "")  # empty counts as not set
    assert "\x1b" in emphasize("warning:", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert emphasize("warning:", terminal) == "warning:"
    monkeypatch.delenv("NO_COLOR")
    assert emphasize("warning:", io.StringIO()) == "warning:"

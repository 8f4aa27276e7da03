"""Exit codes and error lines of the command line."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from rotated_atss import __version__, cli
from rotated_atss.doctor import install_command
from rotated_atss.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int | None]], int]:
    """Run ``rotated-atss split`` with a replaced body."""

    def run(body: Callable[[], int | None]) -> int:
        module = ModuleType("fake")
        module.HELP = "fake"
        module.add_arguments = lambda parser: None
        module.run = lambda args: body()
        monkeypatch.setattr(cli, "load_command", lambda name: module)
        return cli.main(["split"])

    return run


def raising(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


def test_exit_code_is_that_of_the_command(command) -> None:
    assert command(lambda: 0) == 0
    assert command(lambda: 3) == 3
    assert command(lambda: None) == 0


def test_user_error_is_one_line_and_exit_2(command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(raising(UserError("unknown class 'car'", where="a.txt:3", hint="add it to --classes"))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "rotated-atss split: error: a.txt:3: unknown class 'car' (add it to --classes)\n"


def test_process_with_an_open_process_group_ends_without_cleanup(repo_root) -> None:
    """Python's cleanup can abort in a thread of the group, so that the exit code would be 134."""
    program = """
import atexit, types
import torch.distributed
from rotated_atss import cli
from rotated_atss.errors import UserError

def run(args):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    print("start")
    raise UserError("the folder is in use")

atexit.register(print, "cleanup")
cli.load_command = lambda name: types.SimpleNamespace(HELP="", add_arguments=lambda parser: None, run=run)
cli.run_program(["train"])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=repo_root, capture_output=True, text=True)
    error = "rotated-atss train: error: the folder is in use\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "start\n", error)


def test_interrupt_is_one_line_and_exit_130(command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "rotated-atss split: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signal_is_one_line_and_exit_128_plus_n(command, capsys, monkeypatch, name) -> None:
    number = getattr(signal, name)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    cleaned = []

    def body() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            cleaned.append(True)

    before = signal.signal(number, signal.SIG_DFL)  # under nohup, SIGHUP is ignored
    try:
        assert command(body) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == f"rotated-atss split: terminated by {name}\n"
    assert cleaned


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("launched", [False, True])
@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, print])
def test_handlers_of_the_caller_and_of_a_launcher_are_kept(command, monkeypatch, handler, launched) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    if not launched:
        monkeypatch.delenv("LOCAL_RANK")
    found = []
    before = signal.signal(signal.SIGHUP, handler)
    try:
        command(lambda: found.append(signal.getsignal(signal.SIGHUP)))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (found == [handler]) == (launched or handler is not signal.SIG_DFL)


def test_missing_package_names_the_command_that_installs_it(command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(raising(ModuleNotFoundError("No module named 'mmdet.models'", name="mmdet.models"))) == 2
    expected = f"rotated-atss split: error: mmdet is not installed (run: {install_command('mmdet')})\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOSPC, "out/a.png: No space left on device (free some space, or write elsewhere)"),
        (errno.EACCES, "out/a.png: Permission denied (check the permissions, or write elsewhere)"),
    ],
)
def test_operating_system_error_is_one_line(command, capsys, number: int, line: str) -> None:
    assert command(raising(OSError(number, os.strerror(number), "out/a.png"))) == 2
    assert capsys.readouterr().err == f"rotated-atss split: error: {line}\n"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "broken"), ZeroDivisionError("bug"), ModuleNotFoundError("x", name="rotated_atss.nowhere")],
)
def test_unexpected_error_keeps_its_traceback(command, error: Exception) -> None:
    with pytest.raises(type(error)):
        command(raising(error))


def test_unknown_command_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["splitt"])
    assert stop.value.code == 2
    assert "splitt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, nearest",
    [("--score-thr", " (nearest: --score)"), ("--score-thr=0.3", " (nearest: --score)"), ("--augment", "")],
)
def test_an_unknown_option_names_the_nearest_one(option: str, nearest: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", "model.pth", "image.png", option])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: unrecognized arguments: {option}{nearest}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"rotated-atss {__version__}\n"


def test_empty_command_line_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_closed_pipe_is_no_error() -> None:
    code = (
        "import sys\nfrom types import ModuleType\nfrom rotated_atss import cli\n"
        "module = ModuleType('fake'); module.HELP = ''; module.add_arguments = lambda parser: None\n"
        "module.run = lambda args: [print('x' * 1000, flush=True) for _ in range(10000)] and 0\n"
        "cli.load_command = lambda name: module\nsys.exit(cli.main(['split']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    "words", [["split", "--x\x1b[2J"], ["split", "--workers", "a\x1b"], ["a\x1b"], ["train", "a\x1b"]]
)
def test_arguments_are_repeated_without_control_characters(words, capsys) -> None:
    with contextlib.suppress(SystemExit):
        assert cli.main(words) == 2
    assert "\x1b" not in "".join(capsys.readouterr())


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("split", "--images", LONG, "--out", "out"),
        ("split", "--images", "images", "--out", LONG),
        ("check-data", "--images", LONG),
        ("convert-labels", LONG, "out", "--to", "coco"),
        ("merge", LONG, "--out", "out"),
        ("evaluate", "--detections", LONG, "--labels", "labels"),
    ],
)
def test_a_path_that_is_too_long(tmp_path, monkeypatch, user_error, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    line = user_error(*words)
    assert "File name too long" in line
    assert len(line) < 400


@pytest.mark.parametrize("words", [("merge", "results", "--out", ""), ("split", "--images", "", "--out", "tiles")])
def test_an_empty_argument_is_not_the_working_directory(user_error, words):
    option = words[words.index("") - 1]
    assert f"{option}: an argument is empty (a shell variable may be unset)" in user_error(*words)


def test_an_empty_positional_argument(user_error):
    assert "error: an argument is empty" in user_error("draw", "a", "")


@pytest.mark.parametrize(
    "words", [("split", "--images", "a", "--out", "out"), ("merge", "images", "--out", "a/out"),
              ("convert-labels", "a", "out", "--to", "coco")],
)  # fmt: skip
def test_links_that_name_each_other(tmp_path, monkeypatch, user_error, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "Task1_ship.txt").touch()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    line = user_error(*words)
    assert "Too many levels of symbolic links" in line or "no such f" in line

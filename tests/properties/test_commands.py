"""Any combination of options ends with exit code 0, 1 or 2, without a traceback, and errors are one line."""

import argparse
import contextlib
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotated_atss import cli

SQUARE = "10 10 40 10 40 30 10 30"
NUMBERS = ["", "0", "-1", "1", "64", "0.5", "nan", "1e400", "9" * 25, "x", "0.1,0.9", "1/2"]
PLACES = ["", ".", "no/such", "\x1b[2J", "IN/images", "IN/labelTxt", "IN/merged", "IN/images/P1.png", "IN/coco.json",
          "IN/labelTxt/P1.txt", "OUT"]  # fmt: skip
WORDS = ["ship", "ship,plane", "v1.0", "auto", "coco", "dota", "a=b", "png", "devkit", "none"]
# The other commands import MMDetection, run for long or download: only what they check before that is tried.
LIGHT = ["split", "merge", "evaluate", "draw", "check-submission", "convert-labels"]
EARLY = ["train", "test", "predict", "export", "convert-checkpoint", "assignment-stats", "show-assignment"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with one image, its label and detections on it."""
    cv2 = pytest.importorskip("cv2")
    np = pytest.importorskip("numpy")
    folder = tmp_path_factory.mktemp("in")
    for name in ("images", "labelTxt", "merged"):
        (folder / name).mkdir()
    cv2.imwrite(str(folder / "images" / "P1.png"), np.zeros((50, 60, 3), np.uint8))
    (folder / "labelTxt" / "P1.txt").write_text(f"{SQUARE} ship 0\n")
    (folder / "merged" / "Task1_ship.txt").write_text(f"P1 0.9 {SQUARE}\n")
    (folder / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    return folder


def actions_of(command):
    """Return the options and positional arguments of a command."""
    kinds = (argparse._HelpAction, argparse._VersionAction)
    actions = cli.build_parser(command)._actions
    return [action for action in actions if not isinstance(action, kinds) and action.dest != "scheduler"]  # a network


@st.composite
def command_lines(draw, command):
    """Draw some of the options of a command, mostly with values that may fit."""
    actions = actions_of(command)
    chosen = draw(st.lists(st.sampled_from(actions), unique_by=id, max_size=5))
    chosen += [action for action in actions if action.required and action not in chosen]
    words = []
    for action in draw(st.permutations(chosen)):
        words += action.option_strings[-1:]
        if action.nargs == 0:
            continue
        if action.dest in ("workers", "num_workers"):  # processes take long to start
            pool = ["1", "0", "-1", "x"]
        else:
            pool = [*map(str, action.choices or ()), *NUMBERS, *PLACES, *WORDS]
        count = action.nargs if isinstance(action.nargs, int) else 1
        words += draw(st.lists(st.sampled_from(pool), min_size=count, max_size=count + (action.nargs == "+")))
    return words


numbers = itertools.count()


def run(command, words, folder):
    out = folder.parent / f"out{next(numbers)}"
    words = [word.replace("IN/", f"{folder}/").replace("OUT", str(out)) for word in words]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            code = cli.main([command, *words])
        except SystemExit as stop:
            code = stop.code
    assert code in (0, 1, 2)
    assert "\x1b" not in stdout.getvalue() + stderr.getvalue()
    errors = [line for line in stderr.getvalue().splitlines() if f"rotated-atss {command}: error: " in line]
    assert len(errors) == (code == 2)


@pytest.mark.parametrize("command", LIGHT)
@given(data=st.data())
def test_options_of_commands_without_a_model(command, data, inputs, monkeypatch_module):
    run(command, data.draw(command_lines(command)), inputs)


@pytest.mark.parametrize("command", EARLY)
@given(data=st.data())
def test_options_of_commands_with_a_model(command, data, inputs, monkeypatch_module):
    words = data.draw(command_lines(command))
    run(command, [word.replace("IN/", "no/such/") for word in words], inputs)


@pytest.fixture(scope="module")
def monkeypatch_module(tmp_path_factory):
    """Run in an empty folder, because relative paths are among the values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield

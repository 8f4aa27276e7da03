"""Documents name commands, options, make targets and files that exist; tracked files avoid banned words."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from rotated_atss.cli import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if path.exists())
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)

COMMAND_LINE = re.compile(
    r"(?:\.venv/bin/)?(?:rotated-atss (?P<command>[a-z-]+)"
    r"|python tools/(?P<tool>\w+)\.py"
    r"|tools/(?P<launcher>dist_train)\.sh)\b"
)

# Written backwards, so that a search of the repository for these words finds none.
REVERSED_WORDS = re.findall(r"\w+", "dlot dnem sdnem dednem regnarts sregnarts rood srood esuoh reep sreep srieht")
BANNED_WORDS = re.compile(rf"(?<![a-z])({'|'.join(word[::-1] for word in REVERSED_WORDS)})(?![a-z])", re.IGNORECASE)
A_FOR_PER = re.compile(
    r"\b(k|one|files|boxes|seconds|images|candidates|priors)\s+a\s+(level|class|image|tile|pair|location)\b",
    re.IGNORECASE,
)


def code_blocks(document: Path) -> list[str]:
    """Return the lines of fenced and indented code, without comments, with continued lines joined."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^(?: {4}|\t).*$", text, re.MULTILINE)
    code = "\n".join([*fenced, *indented]).replace("\\\n", " ")
    return [re.sub(r"\s#.*$", "", line).strip() for line in code.splitlines()]


def code_of(document: Path) -> str:
    """Return the code blocks and `code spans` of a Markdown file."""
    spans = re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8"))
    return "\n".join([*code_blocks(document), *spans])


def command_lines(document: Path) -> list[tuple[str, list[str]]]:
    """Return (command, arguments) of every line of code that runs this package's command line."""
    lines = []
    for line in code_blocks(document):
        match = COMMAND_LINE.match(line)
        if match:
            arguments = shlex.split(line[match.end() :])
            if match["launcher"]:
                del arguments[1]  # the number of processes
            lines.append((match["command"] or match["tool"] or "train", arguments))
    return lines


@each_document
def test_documented_command_lines_are_accepted_by_their_parsers(document: Path) -> None:
    for command, arguments in command_lines(document):
        assert command in COMMANDS
        build_parser(command).parse_args(arguments)  # exits on an unknown option


def test_readme_shows_the_main_commands() -> None:
    shown = {command for command, _ in command_lines(ROOT / "README.md")}
    assert {"split", "train", "test", "merge", "evaluate", "predict", "draw", "check-submission"} <= shown


@each_document
def test_documented_commands_exist(document: Path) -> None:
    named = set(re.findall(r"\brotated-atss ([a-z][a-z-]+)", code_of(document)))
    assert named <= set(COMMANDS)


@each_document
def test_documented_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^\s*make ([a-z][a-z-]+)", code_of(document), re.MULTILINE))
    assert named <= targets


@each_document
def test_documented_files_exist(document: Path) -> None:
    pattern = r"(?:^|[\s`])((?:tools|configs|scripts|benchmarks|data_prep)/[\w/.-]+\.(?:py|sh))\b"
    missing = {name for name in re.findall(pattern, code_of(document)) if not (ROOT / name).exists()}
    assert not missing


def is_prose(path: Path) -> bool:
    """Return whether a tracked file is neither an image, a JSON record, a list of pins, the license nor this file."""
    pins = path.parent.name == "requirements" and path.suffix == ".txt"
    return not (pins or path.suffix in (".json", ".png", ".jpg") or path.name in ("LICENSE", Path(__file__).name))


@pytest.fixture(scope="module")
def tracked_files() -> list[Path]:
    """The tracked text files, relative to the root; skips outside a git checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and is_prose(Path(name)) and (ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [BANNED_WORDS, A_FOR_PER], ids=["banned words", "a in the sense of per"])
def test_tracked_files_avoid_banned_wording(tracked_files: list[Path], pattern: re.Pattern[str]) -> None:
    assert len(tracked_files) > 100
    hits = []
    for path in tracked_files:
        text = (ROOT / path).read_text(encoding="utf-8")
        hits += [f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}" for match in pattern.finditer(text)]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize("word", [word[::-1] for word in REVERSED_WORDS])
def test_banned_words_match_whole_words_only(word: str) -> None:
    for text in (f"def test_is_{word}_once():", f"Open {word.capitalize()}."):
        assert BANNED_WORDS.search(text)
    assert not BANNED_WORDS.search(f"store{word}way")

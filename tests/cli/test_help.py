"""Every command answers --help, and every command that the documents name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rotated_atss.cli import COMMANDS, load, main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if path.exists())


def code_of(document: Path) -> str:
    """Code blocks and `spans` of a Markdown file."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}.*$", text, re.MULTILINE)
    return "\n".join([*blocks, *indented, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: rotated-atss {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_module_has_its_three_parts(name: str) -> None:
    module = load(name)
    assert module.HELP.strip()
    assert "\n" not in module.HELP
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_every_module_is_in_the_list() -> None:
    files = {path.stem for path in (ROOT / "rotated_atss" / "cli").glob("*.py") if not path.stem.startswith("_")}
    commands = {name.replace("-", "_") for name in COMMANDS}
    modules = {stem for stem in files if "def add_arguments" in (ROOT / "rotated_atss/cli" / f"{stem}.py").read_text()}
    assert commands <= modules
    assert modules <= commands


def test_overview_lists_all_commands_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\S", shown, re.MULTILINE) for name in COMMANDS)


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "rotated_atss", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: rotated-atss ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_commands_that_exist(document: Path) -> None:
    code = code_of(document)
    wrong = {name for name in re.findall(r"\brotated-atss ([a-z][a-z-]+)", code) if name not in COMMANDS}
    assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_make_targets_that_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = {
        name for name in re.findall(r"^\s*make ([a-z][a-z-]+)", code_of(document), re.MULTILINE) if name not in targets
    }
    assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_files_that_exist(document: Path) -> None:
    named = re.findall(r"(?:^|[\s`])((?:tools|configs|scripts|benchmarks)/[\w/.-]+\.(?:py|sh))\b", code_of(document))
    missing = {name for name in named if not (ROOT / name).exists()}
    assert not missing


def test_makefile_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == set(re.findall(r"^  make (\S+)", shown, re.MULTILINE))

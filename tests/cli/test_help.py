"""``--help`` of every command and the overview of commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rotated_atss.cli import COMMANDS, MODULES, build_parser, load_command, main
from rotated_atss.dota.datasets import DATASET_NAMES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: rotated-atss {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_module_has_its_three_parts(name: str) -> None:
    module = load_command(name)
    assert module.HELP.strip()
    assert "\n" not in module.HELP
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_overview_lists_exactly_the_command_modules() -> None:
    files = {path.stem for path in (ROOT / "rotated_atss" / "cli").glob("*.py") if not path.stem.startswith("_")}
    commands = {MODULES.get(name, name.replace("-", "_")) for name in COMMANDS}
    modules = {stem for stem in files if "def add_arguments" in (ROOT / "rotated_atss/cli" / f"{stem}.py").read_text()}
    assert commands <= modules
    assert modules <= commands


def test_overview_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\S", out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version_of_dota_is_called_dota_version(name: str) -> None:
    options = build_parser(name)._option_string_actions
    assert ("--dataset" in options) == (name in {"test", "evaluate", "report"})  # datasets include the versions of DOTA
    versions = [option for option in options if option.endswith("version") and option != "--angle-version"]
    assert versions == (["--dota-version"] if name in {"test", "evaluate", "report", "check-submission"} else [])


@pytest.mark.parametrize("line", COMMANDS.values())
def test_overview_line_is_one_sentence(line: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", line)
    assert len(line) <= 80


def test_python_dash_m_runs_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "rotated_atss", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: rotated-atss ")


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda path: path.name)
def test_script_of_tools_runs_the_command_of_its_name(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert path.stem in COMMANDS
    assert f'run_program(["{path.stem}", *sys.argv[1:]])' in source


def test_makefile_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    out = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == set(re.findall(r"^  make (\S+)", out, re.MULTILINE))


@pytest.mark.parametrize("name", COMMANDS)
def test_classes_are_given_in_one_way(name: str) -> None:
    option = build_parser(name)._option_string_actions.get("--classes")
    if option is not None:
        assert option.metavar == "CLASSES"
        forms = f": comma-separated names, a file with one name per line, or the classes of {', '.join(DATASET_NAMES)}"
        _, found_forms, after_forms = str(option.help).partition(forms)
        assert found_forms
        assert after_forms.startswith((" (default: ", ". "))
        assert " (default: " in after_forms

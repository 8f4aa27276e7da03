"""Completion scripts, run by the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from rotated_atss.cli import COMMANDS, build_parser, main
from rotated_atss.cli._completion_candidates import read_completions
from rotated_atss.cli._completion_scripts import SCRIPTS
from rotated_atss.configs import config_names


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Path of the script of each shell."""
    folder, completions = tmp_path_factory.mktemp("scripts"), read_completions()
    for shell, script in SCRIPTS.items():
        (folder / shell).write_text(script(completions))
    return folder


def run(shell, *words, cwd=None):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, *words], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def complete(scripts, tmp_path):
    """``complete(*words)``: what bash offers for the last word, in a folder with one folder and one file."""
    (tmp_path / "tiles of P1").mkdir()
    (tmp_path / "tiny.pth").touch()

    def call(*words):
        line = " ".join(map(shlex.quote, words))
        script = (
            f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _rotated_atss; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        source = f"source {shlex.quote(str(scripts / 'bash'))}"
        return [each for each in run("bash", "--norc", "-c", f"{source}; {script}", cwd=tmp_path).split("\n") if each]

    return call


def test_commands_and_options_are_those_of_the_parsers(complete):
    assert complete("rotated-atss", "") == [*COMMANDS, "--help", "--version"]
    assert complete("rotated-atss", "check-") == ["check-data", "check-submission"]
    hidden = {"--local-rank", "--local_rank"}
    for command in ("train", "evaluate"):
        options = build_parser(command)._option_string_actions
        assert complete("rotated-atss", command, "-") == [option for option in options if option not in hidden]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--launcher", ""], ["none", "pytorch"]),
        (["train", "--launcher", "="], ["none", "pytorch"]),  # bash splits --launcher=p at the equals sign
        (["train", "--launcher", "=", "p"], ["pytorch"]),
        (["test", "--dota-version", "v"], ["v1.0", "v1.5", "v2.0"]),
        (["train", "rotated_atss_hbb"], ["rotated_atss_hbb_r50_fpn_1x_dota_oc"]),
        (["train", "--work-dir", "ti"], ["tiles of P1"]),
        (["train", "--resume", "ti"], ["tiles of P1", "tiny.pth"]),
        (["test", "tin"], ["tiny.pth"]),
        (["stats", "--data", "ti"], ["tiles of P1"]),
        (["report", "--baseline", "ti"], ["tiles of P1", "tiny.pth"]),
        (["train", "--seed", ""], []),
        (["models", ""], ["list", "download", "info", "publish"]),
        (["models", "download", "resnet3"], ["resnet34"]),
        (["models", "list", "--j"], ["--json"]),
        (["completion", "z"], ["zsh"]),
        (["unknown", ""], []),
    ],
)
def test_bash_offers(words, expected, complete):
    assert sorted(complete("rotated-atss", *words)) == sorted(expected)


def test_all_configs_are_offered(complete):
    assert set(config_names()) <= set(complete("rotated-atss", "train", ""))


def test_the_command_prints_the_script(scripts, capsys):
    for shell in SCRIPTS:
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == (scripts / shell).read_text()


def test_fish_offers_words_with_their_help(scripts):
    def offered(line):
        command = f"source {shlex.quote(str(scripts / 'fish'))}; complete -C {shlex.quote(line)}"
        return run("fish", "--no-config", "-c", command).splitlines()

    assert offered("rotated-atss trai") == ["train\tTrain a config on tiles"]
    assert offered("rotated-atss train rotated_atss_hbb") == ["rotated_atss_hbb_r50_fpn_1x_dota_oc"]
    assert [line.partition("\t")[0] for line in offered("rotated-atss train --launcher ")] == ["none", "pytorch"]
    assert [line.partition("\t")[0] for line in offered("rotated-atss models ")] == [
        "download", "info", "list", "publish",
    ]  # fmt: skip


def test_zsh_reads_the_script_and_has_a_function_per_command(scripts):
    path = shlex.quote(str(scripts / "zsh"))
    run("zsh", "-f", "-n", str(scripts / "zsh"))
    out = run("zsh", "-f", "-c", f"compdef() {{ print compdef $@ }}; source {path}; print -l ${{(k)functions}}")
    assert out.splitlines()[0] == "compdef _rotated_atss rotated-atss"
    assert {f"_rotated_atss_{name.replace('-', '_')}" for name in COMMANDS} <= set(out.splitlines())

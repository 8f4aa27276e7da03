"""``rotated-atss completion``: print a completion script for a shell."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")  # the keys of SCRIPTS, repeated so that its module need not be imported here
HELP = "Print a script with which a shell completes commands, options and their values, files, configs and models."
EPILOG = """\
setup:
  bash: add to ~/.bashrc                  source <(rotated-atss completion bash)
  zsh: add to ~/.zshrc, after compinit    source <(rotated-atss completion zsh)
  fish: run once                          rotated-atss completion fish > ~/.config/fish/completions/rotated-atss.fish
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("shell", choices=SHELLS, help="shell to print the script for")


def run(args: argparse.Namespace) -> int:
    from rotated_atss.cli._completion_candidates import read_completions
    from rotated_atss.cli._completion_scripts import SCRIPTS

    print(SCRIPTS[args.shell](read_completions()), end="")
    return 0

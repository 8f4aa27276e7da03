"""Read from the parsers what a shell can complete: options, actions and values of each command."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field

from rotated_atss.cli import COMMANDS, build_parser
from rotated_atss.configs import config_names

# Metavars of arguments whose values are folders or files.
_FOLDER_METAVARS = {"DIR", "FOLDER", "WORK_DIR", "TASK1_DIR", "TILES"}
_FILE_METAVARS = {
    *("FILE", "CONFIG", "CHECKPOINT", "MODEL", "IMAGE", "JSON", "PNG", "ZIP", "IN", "OUT", "CLASSES", "REPORT")
}


@dataclass(frozen=True)
class Candidates:
    """Completion candidates for the value of an option, or for positional arguments.

    Attributes:
        words: Fixed candidates, such as choices.
        files: Whether files and folders are candidates.
        folders: Whether folders are candidates.
    """

    words: tuple[str, ...] = ()
    files: bool = False
    folders: bool = False


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        names: Spellings, such as ``-h`` and ``--help``.
        help: Start of the help, without details.
        candidates: Candidates for the value; None for a flag.
    """

    names: tuple[str, ...]
    help: str
    candidates: Candidates | None


@dataclass(frozen=True)
class CommandCompletions:
    """Completions of a command, or of an action of a command, such as ``list`` of ``models``.

    Attributes:
        help: Start of the help, without details.
        options: The options.
        positionals: Candidates for the positional arguments, regardless of their order.
        actions: Completions of each action of the command.
    """

    help: str
    options: list[Option]
    positionals: Candidates
    actions: dict[str, CommandCompletions] = field(default_factory=dict)


def read_completions() -> dict[str, CommandCompletions]:
    """Return the completions of each command.

    Example:
        >>> list(read_completions()["models"].actions)
        ['list', 'download', 'info', 'publish']
    """
    return {name: _read_parser(build_parser(name), help_text) for name, help_text in COMMANDS.items()}


def _read_parser(parser: argparse.ArgumentParser, help_text: str) -> CommandCompletions:
    """Read the completions from the parser of a command or action.

    Args:
        parser: The parser.
        help_text: Help of the command or action.
    """
    options, positionals, actions = [], Candidates(), {}
    for argument in parser._actions:  # argparse calls the arguments of a parser "actions"
        if isinstance(argument, argparse._SubParsersAction):
            for name, subparser in argument.choices.items():
                actions[name] = _read_parser(subparser, subparser.description or "")
        elif argument.option_strings and argument.help != argparse.SUPPRESS:
            candidates = None if argument.nargs == 0 else _find_candidates(argument)
            options.append(Option(tuple(argument.option_strings), _shorten_help(argument.help or ""), candidates))
        elif not argument.option_strings:
            positionals = _union(positionals, _find_candidates(argument))
    return CommandCompletions(_shorten_help(help_text), options, positionals, actions)


def _find_candidates(argument: argparse.Action) -> Candidates:
    """Return the choices of an argument, or, if it has none, the candidates that its metavar implies.

    A metavar can consist of several words, such as ``CHECKPOINT|NAME``.
    """
    if argument.choices is not None:
        return Candidates(tuple(map(str, argument.choices)))
    metavars = set(re.split(r"[ |]", str(argument.metavar)))  # "MODEL IMAGE|DIR" -> MODEL, IMAGE and DIR
    words: tuple[str, ...] = ()
    if {"CONFIG", "MODEL"} & metavars:
        words += tuple(config_names())
    # A published model is given as NAME next to another metavar, as in FILE|NAME, or as the positional argument "name".
    if ("NAME" in metavars and len(metavars) > 1) or (argument.dest == "name" and not argument.option_strings):
        words += _model_names()
    return Candidates(words, files=bool(metavars & _FILE_METAVARS), folders=bool(metavars & _FOLDER_METAVARS))


def _model_names() -> tuple[str, ...]:
    from rotated_atss.checkpoints.registry import load_registry

    return tuple(load_registry())


def _union(first: Candidates, second: Candidates) -> Candidates:
    words = tuple(dict.fromkeys((*first.words, *second.words)))
    return Candidates(words, first.files or second.files, first.folders or second.folders)


def _shorten_help(text: str) -> str:
    """Return the part of a help text before its first semicolon, colon, parenthesis or full stop."""
    unescaped_text = text.replace("%%", "%")  # argparse requires a percent sign to be written twice
    one_line = " ".join(unescaped_text.split())
    return re.split(r"; | \(|\. |: ", one_line, maxsplit=1)[0].rstrip(".")

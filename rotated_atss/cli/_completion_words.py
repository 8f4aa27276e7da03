"""What each command accepts, read from the parsers, for the completion of a shell."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field

from rotated_atss.cli import COMMANDS, build_parser
from rotated_atss.configs import config_names

# metavars of options whose values are folders or files
_FOLDERS = {"DIR", "FOLDER", "WORK_DIR", "TASK1_DIR", "TILES"}
_FILES = {"FILE", "CHECKPOINT", "MODEL", "IMAGE", "JSON", "PNG", "ZIP", "IN", "OUT", "CLASSES", "REPORT"}


@dataclass(frozen=True)
class Values:
    """Values of an option or of positional arguments.

    Attributes:
        words: Words that are completed, such as choices.
        files: Whether names of files and folders are completed.
        folders: Whether names of folders are completed.
    """

    words: tuple[str, ...] = ()
    files: bool = False
    folders: bool = False


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        names: Its spellings, such as ``-h`` and ``--help``.
        help: The first sentence of its help.
        values: Its values; None for a flag.
    """

    names: tuple[str, ...]
    help: str
    values: Values | None


@dataclass(frozen=True)
class Words:
    """What a command, or an action such as ``list`` of the command ``models``, accepts.

    Attributes:
        help: The first sentence of the help.
        options: The options.
        positionals: Values of all positional arguments together.
        actions: What each action of the command accepts.
    """

    help: str
    options: list[Option]
    positionals: Values
    actions: dict[str, Words] = field(default_factory=dict)


def command_words() -> dict[str, Words]:
    """Return what each command accepts.

    Example:
        >>> list(command_words()["models"].actions)
        ['list', 'download', 'info', 'publish']
    """
    return {name: _words(build_parser(name), line) for name, line in COMMANDS.items()}


def _words(parser: argparse.ArgumentParser, line: str) -> Words:
    """Read what a parser accepts; ``line`` is the help of its command or action."""
    options, positionals, actions = [], Values(), {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers = action.choices.items()
            actions = {name: _words(subparser, subparser.description or "") for name, subparser in parsers}
        elif action.option_strings and action.help != argparse.SUPPRESS:
            values = None if action.nargs == 0 else _values(action)
            options.append(Option(tuple(action.option_strings), _first_sentence(action.help or ""), values))
        elif not action.option_strings:
            positionals = _union(positionals, _values(action))
    return Words(_first_sentence(line), options, positionals, actions)


def _values(action: argparse.Action) -> Values:
    """Derive the values of an argument from its choices, or else from its metavar, such as ``CHECKPOINT|NAME``."""
    if action.choices is not None:
        return Values(tuple(map(str, action.choices)))
    names = set(re.split(r"[ |]", str(action.metavar)))  # MODEL and IMAGE of "MODEL IMAGE|DIR"
    words: tuple[str, ...] = ()
    if {"CONFIG", "MODEL"} & names:
        words += tuple(config_names())
    # NAME with another word, such as FILE|NAME, and the positional argument name are published models
    if ("NAME" in names and len(names) > 1) or (action.dest == "name" and not action.option_strings):
        words += _model_names()
    return Values(words, files=bool(names & _FILES or "CONFIG" in names), folders=bool(names & _FOLDERS))


def _model_names() -> tuple[str, ...]:
    from rotated_atss.checkpoints.registry import load_registry

    return tuple(load_registry())


def _union(first: Values, second: Values) -> Values:
    words = tuple(dict.fromkeys((*first.words, *second.words)))
    return Values(words, first.files or second.files, first.folders or second.folders)


def _first_sentence(text: str) -> str:
    """Return the part of a help text before its first semicolon, colon, parenthesis or full stop."""
    return re.split(r"; | \(|\. |: ", " ".join(text.replace("%%", "%").split()), maxsplit=1)[0].rstrip(".")

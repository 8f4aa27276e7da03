"""Completion scripts for bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rotated_atss.cli import PROGRAM
from rotated_atss.cli._completion_words import Option, Values, Words

_HEAD = f"# Completion of {PROGRAM}, written by: {PROGRAM} completion"

# {option_value_cases}: one case per option with values, for a word that follows the option.
# {command_cases}: one case per command, for all other words: its options if the word at the cursor starts with "-",
# otherwise the values of its positional arguments.
# bash splits --option=value into three words, so the option is found before the "=".
_BASH = """\
{head} bash
_rotated_atss() {{
    local IFS=$' \\t\\n' cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words= paths=
    if [ "$cur" = "=" ]; then cur=; elif [ "$prev" = "=" ]; then prev=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    local command=${{COMP_WORDS[1]}}
    case $command in {commands_with_actions}) [ "$COMP_CWORD" -gt 2 ] && command="$command ${{COMP_WORDS[2]}}" ;; esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands} --help --version"
    else
        case "$command $prev" in
{option_value_cases}
            *)
                case $command in
{command_cases}
                esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    IFS=$'\\n'
    [ -z "$paths" ] || compopt -o filenames 2>/dev/null
    [ -z "$paths" ] || COMPREPLY+=($(compgen "$paths" -- "$cur"))
}}
complete -F _rotated_atss {program}
"""


def bash_script(commands: Mapping[str, Words]) -> str:
    """Return a completion script for bash, which needs no package of completions.

    Example:
        >>> print(bash_script({}).splitlines()[-1])
        complete -F _rotated_atss rotated-atss
    """
    option_value_cases, command_cases = [], []
    for name, words in _with_actions(commands):
        for option in words.options:
            if option.values is not None:
                pattern = "|".join(f'"{name} {spelling}"' for spelling in option.names)
                option_value_cases.append(f"            {pattern}) {_bash_values(option.values)} ;;")
        names = " ".join(spelling for option in words.options for spelling in option.names)
        pattern = f'"{name}"'
        positional = _bash_values(words.positionals, words.actions)
        command_cases.append(
            f'                    {pattern}) case $cur in -*) words="{names}" ;; *) {positional} ;; esac ;;'
        )
    return _BASH.format(
        head=_HEAD, program=PROGRAM, commands=" ".join(commands), option_value_cases="\n".join(option_value_cases),
        command_cases="\n".join(command_cases),
        # "-" matches no command: a case needs a pattern
        commands_with_actions="|".join(name for name, words in commands.items() if words.actions) or "-",
    )  # fmt: skip


def _bash_values(values: Values, actions: Mapping[str, Words] | None = None) -> str:
    paths = "-f" if values.files else "-d" if values.folders else ""
    return f'words="{" ".join([*values.words, *(actions or ())])}" paths={paths}'


def zsh_script(commands: Mapping[str, Words]) -> str:
    """Return a completion script for zsh, with the help of commands and options.

    Example:
        >>> print(zsh_script({}).splitlines()[0])
        #compdef rotated-atss
    """
    functions = [
        f"{_zsh_function(name)}() {{\n{body}\n}}\n"
        for name, words in _with_actions(commands)
        for body in [_zsh_actions(name, words.actions) if words.actions else _zsh_arguments(words)]
    ]
    top = _zsh_actions("", commands)
    return "\n".join(
        [f"#compdef {PROGRAM}", f"{_HEAD} zsh", "", *functions, f"_rotated_atss() {{\n{top}\n}}", "", _ZSH_END]
    )


# zsh runs a file of its fpath as the body of the completion function, so it must complete. A file that is sourced
# registers the function.
_ZSH_END = f"""\
if [ "$funcstack[1]" = "_{PROGRAM}" ]; then _rotated_atss "$@"; else compdef _rotated_atss {PROGRAM}; fi
"""


def _zsh_function(name: str) -> str:
    return f"_rotated_atss_{name}".replace("-", "_").replace(" ", "_")


def _zsh_actions(name: str, actions: Mapping[str, Words]) -> str:
    """Return zsh code that completes an action, such as ``list`` of ``models``, and calls the function for it."""
    described = " ".join(_zsh_quote(f"{action}:{words.help}") for action, words in actions.items())
    calls = "\n".join(f"        {action}) {_zsh_function(f'{name} {action}'.strip())} ;;" for action in actions)
    return (
        f"    local -a commands=({described})\n"
        "    if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
        "    local command=$words[2]\n"
        "    shift words; (( CURRENT-- ))\n"
        f"    case $command in\n{calls}\n    esac"
    )


def _zsh_arguments(words: Words) -> str:
    specs = [_zsh_quote(spec) for option in words.options for spec in _zsh_options(option)]
    specs.append(_zsh_quote(f"*:argument:{_zsh_values(words.positionals)}"))
    return "    _arguments " + " \\\n        ".join(specs)


def _zsh_options(option: Option) -> Iterator[str]:
    help_text = "".join(f"\\{character}" if character in "[]:" else character for character in option.help)
    value = "" if option.values is None else f":value:{_zsh_values(option.values)}"
    for name in option.names:
        yield f"*{name}[{help_text}]{value}"


def _zsh_values(values: Values) -> str:
    words = f"compadd -- {' '.join(values.words)}; " if values.words else ""
    paths = "_files" if values.files else "_files -/" if values.folders else ""
    return f"{{{words}{paths}}}" if words or paths else " "  # to _arguments, " " is a value without completions


def _zsh_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish_script(commands: Mapping[str, Words]) -> str:
    """Return a completion script for fish, with the help of commands and options.

    Example:
        >>> print(fish_script({}).splitlines()[1])
        complete -c rotated-atss -f
    """
    lines = [f"{_HEAD} fish", f"complete -c {PROGRAM} -f"]
    for name, words in commands.items():
        lines.append(_fish_line("__fish_use_subcommand", f"-a {name} -d {_fish_quote(words.help)}"))
        condition = f"__fish_seen_subcommand_from {name}"
        lines += _fish_words(condition, words, words.actions)
        for action, action_words in words.actions.items():
            lines += _fish_words(f"{condition}; and __fish_seen_subcommand_from {action}", action_words, {})
    return "\n".join(lines) + "\n"


def _fish_words(condition: str, words: Words, actions: Mapping[str, Words]) -> Iterator[str]:
    for option in words.options:
        spellings = " ".join(
            f"-l {spelling[2:]}" if spelling.startswith("--") else f"-s {spelling[1:]}" for spelling in option.names
        )
        values = "" if option.values is None else f" -x {_fish_values(option.values)}".rstrip()
        yield _fish_line(condition, f"{spellings}{values} -d {_fish_quote(option.help)}")
    if actions:
        no_action_yet = f"{condition}; and not __fish_seen_subcommand_from {' '.join(actions)}"
        for name, action_words in actions.items():
            yield _fish_line(no_action_yet, f"-a {name} -d {_fish_quote(action_words.help)}")
    elif words.positionals != Values():
        yield _fish_line(condition, _fish_values(words.positionals))


def _fish_values(values: Values) -> str:
    """Return the option ``-a`` with the candidates. For names of files, a candidate is a call of a fish function."""
    candidates: Sequence[str] = values.words
    if values.files or values.folders:
        function = "__fish_complete_path" if values.files else "__fish_complete_directories"
        candidates = [*candidates, f"({function} (commandline -ct))"]
    return f"-a {_fish_quote(' '.join(candidates))}" if candidates else ""


def _fish_line(condition: str, rest: str) -> str:
    return f"complete -c {PROGRAM} -n {_fish_quote(condition)} {rest}"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _with_actions(commands: Mapping[str, Words]) -> Iterator[tuple[str, Words]]:
    """Yield each command and each ``command action`` with its words."""
    for name, words in commands.items():
        yield name, words
        yield from ((f"{name} {action}", action_words) for action, action_words in words.actions.items())


SCRIPTS = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}

"""Completion scripts for bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rotated_atss.cli import PROGRAM
from rotated_atss.cli._completion_candidates import Candidates, CommandCompletions, Option

_HEAD = f"# Completion of {PROGRAM}, written by: {PROGRAM} completion"  # the scripts append the name of the shell

# These placeholders are filled in:
# - {commands_with_actions}: the commands with actions, such as `models`, whose second word can be `list`. For these
#   commands, the script appends the action to $command.
# - {option_value_cases}: one case per option that takes a value. The case completes the word after the option.
# - {command_cases}: one case per command or "command action". The case completes all other words: the options if the
#   word at the cursor starts with "-", otherwise the positional arguments.
# bash splits --option=value into three words, so the script looks for the option before the "=".
# IFS is set to a newline before paths are completed, because file names can contain spaces.
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


def bash_script(commands: Mapping[str, CommandCompletions]) -> str:
    """Return a completion script for bash. It works without the package bash-completion.

    Example:
        >>> print(bash_script({}).splitlines()[-1])
        complete -F _rotated_atss rotated-atss
    """
    option_value_cases, command_cases = [], []
    for name, completions in _iterate_with_actions(commands):
        for option in completions.options:
            if option.candidates is not None:
                pattern = "|".join(f'"{name} {spelling}"' for spelling in option.names)
                option_value_cases.append(f"            {pattern}) {_bash_candidates(option.candidates)} ;;")
        options = " ".join(spelling for option in completions.options for spelling in option.names)
        positionals = _bash_candidates(completions.positionals, completions.actions)
        command_cases.append(
            f'                    "{name}") case $cur in -*) words="{options}" ;; *) {positionals} ;; esac ;;'
        )
    return _BASH.format(
        head=_HEAD, program=PROGRAM, commands=" ".join(commands), option_value_cases="\n".join(option_value_cases),
        command_cases="\n".join(command_cases),
        # a case needs a pattern, and "-" matches no command
        commands_with_actions="|".join(name for name, completions in commands.items() if completions.actions) or "-",
    )  # fmt: skip


def _bash_candidates(candidates: Candidates, actions: Mapping[str, CommandCompletions] | None = None) -> str:
    """Return bash code that sets the variables ``words`` and ``paths``.

    ``paths`` is an option of compgen: -f to complete files and folders, -d to complete folders, or empty.
    """
    if candidates.files:
        paths = "-f"
    elif candidates.folders:
        paths = "-d"
    else:
        paths = ""
    words = " ".join([*candidates.words, *(actions or ())])
    return f'words="{words}" paths={paths}'


def zsh_script(commands: Mapping[str, CommandCompletions]) -> str:
    """Return a completion script for zsh that also shows the help of commands and options.

    Example:
        >>> print(zsh_script({}).splitlines()[0])
        #compdef rotated-atss
    """
    functions = []
    for name, completions in _iterate_with_actions(commands):
        body = _zsh_actions(name, completions.actions) if completions.actions else _zsh_arguments(completions)
        functions.append(f"{_zsh_function(name)}() {{\n{body}\n}}\n")
    top_level = _zsh_actions("", commands)
    return "\n".join(
        [f"#compdef {PROGRAM}", f"{_HEAD} zsh", "", *functions, f"_rotated_atss() {{\n{top_level}\n}}", "", _ZSH_END]
    )


# If zsh finds the script in fpath, it runs the script as the body of the completion function, so the script has to
# perform the completion itself. If the script is sourced, it only registers the function.
_ZSH_END = f"""\
if [ "$funcstack[1]" = "_{PROGRAM}" ]; then _rotated_atss "$@"; else compdef _rotated_atss {PROGRAM}; fi
"""


def _zsh_function(name: str) -> str:
    return f"_rotated_atss_{name}".replace("-", "_").replace(" ", "_")


def _zsh_actions(name: str, actions: Mapping[str, CommandCompletions]) -> str:
    """Return zsh code that completes the name of an action. If the name is complete, the code calls its function.

    Args:
        name: The command that has the actions; empty if the actions are the commands themselves.
        actions: Completions by name.
    """
    descriptions = " ".join(_zsh_quote(f"{action}:{completions.help}") for action, completions in actions.items())
    calls = "\n".join(f"        {action}) {_zsh_function(f'{name} {action}'.strip())} ;;" for action in actions)
    return (
        f"    local -a commands=({descriptions})\n"
        "    if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
        "    local command=$words[2]\n"
        "    shift words; (( CURRENT-- ))\n"
        f"    case $command in\n{calls}\n    esac"
    )


def _zsh_arguments(completions: CommandCompletions) -> str:
    specs = [_zsh_quote(spec) for option in completions.options for spec in _zsh_option_specs(option)]
    specs.append(_zsh_quote(f"*:argument:{_zsh_candidates(completions.positionals)}"))
    return "    _arguments " + " \\\n        ".join(specs)


def _zsh_option_specs(option: Option) -> Iterator[str]:
    help_text = "".join(f"\\{character}" if character in "[]:" else character for character in option.help)
    value = "" if option.candidates is None else f":value:{_zsh_candidates(option.candidates)}"
    for name in option.names:
        yield f"*{name}[{help_text}]{value}"  # with the star, an option can be given several times


def _zsh_candidates(candidates: Candidates) -> str:
    words = f"compadd -- {' '.join(candidates.words)}; " if candidates.words else ""
    if candidates.files:
        paths = "_files"
    elif candidates.folders:
        paths = "_files -/"
    else:
        paths = ""
    code = words + paths
    # _arguments runs code that is given in braces. A space stands for a value without candidates.
    return "{" + code + "}" if code else " "


def _zsh_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish_script(commands: Mapping[str, CommandCompletions]) -> str:
    """Return a completion script for fish that also shows the help of commands and options.

    Example:
        >>> print(fish_script({}).splitlines()[1])
        complete -c rotated-atss -f
    """
    # -f: files are candidates only where _fish_candidates lists them
    lines = [f"{_HEAD} fish", f"complete -c {PROGRAM} -f"]
    for name, completions in commands.items():
        lines.append(_fish_line("__fish_use_subcommand", f"-a {name} -d {_fish_quote(completions.help)}"))
        condition = f"__fish_seen_subcommand_from {name}"
        lines += _fish_command_lines(condition, completions)
        for action, action_completions in completions.actions.items():
            action_condition = f"{condition}; and __fish_seen_subcommand_from {action}"
            lines += _fish_command_lines(action_condition, action_completions)
    return "\n".join(lines) + "\n"


def _fish_command_lines(condition: str, completions: CommandCompletions) -> Iterator[str]:
    """Yield the lines for one command or action, which apply if the fish code ``condition`` is true."""
    for option in completions.options:
        spellings = " ".join(
            f"-l {spelling[2:]}" if spelling.startswith("--") else f"-s {spelling[1:]}" for spelling in option.names
        )
        # -x: the option takes a value
        values = "" if option.candidates is None else f" -x {_fish_candidates(option.candidates)}".rstrip()
        yield _fish_line(condition, f"{spellings}{values} -d {_fish_quote(option.help)}")
    if completions.actions:
        no_action_yet = f"{condition}; and not __fish_seen_subcommand_from {' '.join(completions.actions)}"
        for name, action_completions in completions.actions.items():
            yield _fish_line(no_action_yet, f"-a {name} -d {_fish_quote(action_completions.help)}")
    elif completions.positionals != Candidates():
        yield _fish_line(condition, _fish_candidates(completions.positionals))


def _fish_candidates(candidates: Candidates) -> str:
    """Return the option ``-a`` with the candidates. Files and folders are represented by a call of a fish function."""
    words = list(candidates.words)
    if candidates.files or candidates.folders:
        function = "__fish_complete_path" if candidates.files else "__fish_complete_directories"
        words.append(f"({function} (commandline -ct))")
    return f"-a {_fish_quote(' '.join(words))}" if words else ""


def _fish_line(condition: str, arguments: str) -> str:
    return f"complete -c {PROGRAM} -n {_fish_quote(condition)} {arguments}"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _iterate_with_actions(commands: Mapping[str, CommandCompletions]) -> Iterator[tuple[str, CommandCompletions]]:
    """Yield the name and completions of each command and of each ``command action``."""
    for name, completions in commands.items():
        yield name, completions
        for action, action_completions in completions.actions.items():
            yield f"{name} {action}", action_completions


SCRIPTS = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}

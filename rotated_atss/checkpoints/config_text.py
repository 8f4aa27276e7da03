"""Read and write the text of configs in checkpoints, as data that is never executed."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from rotated_atss.errors import UserError, quote

_UNKNOWN = object()  # value of an expression that cannot be evaluated without executing code
_LINE_LENGTH, _INDENT = 120, 4  # characters


def format_config_text(values: Mapping[str, Any]) -> str:
    """Format config values as Python assignments, a valid config file that :func:`parse_config_text` reads back.

    Args:
        values: Numbers, strings, None, lists, tuples and dictionaries by name.

    Raises:
        UserError: A value cannot be written as a literal, such as a class or a NaN.

    Example:
        >>> print(format_config_text({"classes": ("plane", "ship"), "model": {"depth": 18}}), end="")
        classes = ('plane', 'ship')
        model = {'depth': 18}
    """
    lines = []
    for name, value in values.items():
        text = _format_value(value, start=len(f"{name} = "))
        try:
            is_literal = name.isidentifier() and ast.literal_eval(text) == value
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            is_literal = False
        if not is_literal:
            raise UserError(f"the config's {quote(name)} must be plain data, got {quote(text)}")
        lines.append(f"{name} = {text}\n")
    return "".join(lines)


def _format_value(value: Any, start: int, indent: int = 0) -> str:
    """Format a value on one line if it fits, else with one item per line.

    Args:
        value: The value.
        start: Column of its first character.
        indent: Indentation of the line on which it starts.
    """
    text = repr(value)
    # "<" leaves one character for the comma after an item
    if start + len(text) < _LINE_LENGTH or not value or not isinstance(value, (dict, list, tuple)):
        return text
    inner = indent + _INDENT
    if isinstance(value, dict):
        brackets = "{}"
        keys = [f"{key!r}: " for key in value]
        items = [key + _format_value(item, inner + len(key), inner) for key, item in zip(keys, value.values())]
    else:
        brackets = "[]" if isinstance(value, list) else "()"
        items = [_format_value(item, inner, inner) for item in value]
    lines = "".join(f"{' ' * inner}{item},\n" for item in items)
    return f"{brackets[0]}\n{lines}{' ' * indent}{brackets[1]}"


def parse_config_text(text: str) -> dict[str, Any]:
    r"""Parse the assignments of :func:`format_config_text` without executing them.

    For configs of other projects, see :func:`read_config_text`, which skips what it cannot read.

    Args:
        text: Assignments of literals to names.

    Raises:
        UserError: The text has a statement that is not such an assignment.

    Example:
        >>> parse_config_text("classes = ('plane', 'ship')\nmodel = {'depth': 18}\n")
        {'classes': ('plane', 'ship'), 'model': {'depth': 18}}
        >>> parse_config_text("import os")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: the recorded config must be assignments of plain values, got 'import os'
    """
    values: dict[str, Any] = {}
    statement_text = text  # for the error; the whole text if it is not valid Python
    try:
        for statement in ast.parse(text).body:
            statement_text = ast.get_source_segment(text, statement) or text
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise ValueError
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        what = f"the recorded config must be assignments of plain values, got {quote(statement_text)}"
        raise UserError(what) from error
    return values


def read_config_text(text: object) -> dict[str, Any]:
    r"""Read an MMDetection config without executing it, as far as it consists of plain data.

    Numbers, strings, lists, dictionaries, ``dict(...)`` calls and previously assigned variables are read. Other
    expressions are skipped, with the list but not the dictionary that contains them; :func:`parse_config_text` raises
    an error instead.

    Args:
        text: Python source. Invalid source, or a value that is not text, gives an empty result.

    Returns:
        Values by variable name. Tuples become lists.

    Example:
        >>> read_config_text("angle = 'oc'\nmodel = dict(coder=dict(angle_version=angle), other=len('x'))")
        {'angle': 'oc', 'model': {'coder': {'angle_version': 'oc'}}}
    """
    try:
        statements = ast.parse(text).body if isinstance(text, str) else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    values: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = _evaluate(statement.value, values)
            if value is not _UNKNOWN:
                values[statement.targets[0].id] = value
    return values


def _evaluate(node: ast.expr, variables: dict[str, Any]) -> Any:
    """Return the value of an expression, or ``_UNKNOWN``; ``variables`` are the values assigned so far."""
    if isinstance(node, ast.Name):
        return variables.get(node.id, _UNKNOWN)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return _evaluate_dict([(keyword.arg, keyword.value) for keyword in node.keywords], variables)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        return _evaluate_dict(list(zip(keys, node.values)), variables)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_evaluate(element, variables) for element in node.elts]
        return _UNKNOWN if _UNKNOWN in items else items
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _UNKNOWN


def _evaluate_dict(items: list[tuple[Any, ast.expr]], variables: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the items of a dictionary; leave out items whose key is not a string or whose value is unknown."""
    values = {key: _evaluate(node, variables) for key, node in items if isinstance(key, str)}
    return {key: value for key, value in values.items() if value is not _UNKNOWN}

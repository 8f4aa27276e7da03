"""Write the text of configs for checkpoints, and read such text without executing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from rotated_atss.errors import UserError, quote

_UNKNOWN = object()  # value of an expression that cannot be evaluated without executing code
_LINE_LENGTH, _INDENT = 120, 4  # in characters


def format_config_text(values: Mapping[str, Any]) -> str:
    """Format config values as Python assignments.

    The text is a valid config file, and :func:`parse_config_text` reads it back.

    Args:
        values: Numbers, strings, None, lists, tuples and dictionaries by name.

    Raises:
        UserError: A value, such as a Python class or NaN, cannot be written as a literal.

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
        start: Column of the first character of the value.
        indent: Indentation of the line on which the value starts.
    """
    text = repr(value)
    # The comparison is "<", not "<=", because a comma can follow the value.
    if start + len(text) < _LINE_LENGTH or not value or not isinstance(value, (dict, list, tuple)):
        return text
    item_indent = indent + _INDENT
    if isinstance(value, dict):
        brackets = "{}"
        items = []
        for key, item in value.items():
            key_text = f"{key!r}: "
            items.append(key_text + _format_value(item, item_indent + len(key_text), item_indent))
    else:
        brackets = "[]" if isinstance(value, list) else "()"
        items = [_format_value(item, item_indent, item_indent) for item in value]
    lines = "".join(f"{' ' * item_indent}{item},\n" for item in items)
    return f"{brackets[0]}\n{lines}{' ' * indent}{brackets[1]}"


def parse_config_text(text: str) -> dict[str, Any]:
    r"""Parse the text that :func:`format_config_text` writes, without executing it.

    For configs of other projects, use :func:`read_config_text`, which skips expressions that it cannot read.

    Args:
        text: Assignments of literals to names.

    Raises:
        UserError: The text has a statement that is not the assignment of a literal to a name.

    Example:
        >>> parse_config_text("classes = ('plane', 'ship')\nmodel = {'depth': 18}\n")
        {'classes': ('plane', 'ship'), 'model': {'depth': 18}}
        >>> parse_config_text("import os")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: the recorded config must be assignments of plain values, got 'import os'
    """
    values: dict[str, Any] = {}
    statement_text = text  # the error quotes the statement, or the whole text if the text is not valid Python
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
    r"""Read the plain data of an MMDetection config without executing the config.

    Numbers, strings, lists, dictionaries, ``dict(...)`` calls and previously assigned variables are read. Any other
    expression is skipped. A list that contains such an expression is skipped as a whole, but a dictionary only loses
    the item with the expression. In contrast, :func:`parse_config_text` raises an error.

    Args:
        text: Python source. If it is not valid Python, or not a string, the result is empty.

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
    """Return the value of an expression, or ``_UNKNOWN``.

    ``variables`` has the values that previous statements assigned, by variable name.
    """
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
    """Evaluate the items of a dictionary, except items whose key is not a string or whose value is unknown."""
    values = {key: _evaluate(node, variables) for key, node in items if isinstance(key, str)}
    return {key: value for key, value in values.items() if value is not _UNKNOWN}

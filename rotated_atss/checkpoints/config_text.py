"""The settings that a checkpoint brings along: its config as text, read as data and never run."""

from __future__ import annotations

import ast
from typing import Any

UNKNOWN = object()


def read_config_text(text: object) -> dict[str, Any]:
    """The assignments of a config of MMDetection as it is written down in a checkpoint: numbers, strings, lists,
    ``dict(...)``. What is neither (a call, a sum of names) is left out; text that is no Python gives nothing.
    """
    try:
        statements = ast.parse(text).body if isinstance(text, str) else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = _value(statement.value, found)
            if value is not UNKNOWN:
                found[statement.targets[0].id] = value
    return found


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id, UNKNOWN)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return _pairs([(each.arg, each.value) for each in node.keywords], known)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        return _pairs(list(zip(keys, node.values)), known)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(each, known) for each in node.elts]
        return UNKNOWN if UNKNOWN in items else items
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return UNKNOWN


def _pairs(pairs: list[tuple[Any, ast.expr]], known: dict[str, Any]) -> dict[str, Any]:
    values = {key: _value(node, known) for key, node in pairs if isinstance(key, str)}
    return {key: value for key, value in values.items() if value is not UNKNOWN}

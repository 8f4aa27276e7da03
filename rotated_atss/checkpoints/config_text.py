"""Parsing of the config text in a checkpoint as data, without executing it."""

from __future__ import annotations

import ast
from typing import Any

_UNKNOWN = object()


def read_config_text(text: object) -> dict[str, Any]:
    r"""Parse the assignments of an MMDetection config text.

    Numbers, strings, lists, dictionaries, ``dict(...)`` calls and names assigned before are supported. Other
    expressions are skipped.

    Args:
        text: Python source; any other value, or invalid source, gives an empty result.

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


def _evaluate(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id, _UNKNOWN)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return _evaluate_dict([(keyword.arg, keyword.value) for keyword in node.keywords], names)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        return _evaluate_dict(list(zip(keys, node.values)), names)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_evaluate(element, names) for element in node.elts]
        return _UNKNOWN if _UNKNOWN in items else items
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _UNKNOWN


def _evaluate_dict(items: list[tuple[Any, ast.expr]], names: dict[str, Any]) -> dict[str, Any]:
    values = {key: _evaluate(node, names) for key, node in items if isinstance(key, str)}
    return {key: value for key, value in values.items() if value is not _UNKNOWN}

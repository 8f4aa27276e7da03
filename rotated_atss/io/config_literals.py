"""Evaluate a config that consists of plain data only, without executing Python code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError, quote

SAFE_CONFIG_HINT = (
    "--safe-config reads only literals, names that the config assigns earlier, and _base_; "
    "omit --safe-config if you trust the config"
)

# Without limits on the size of a value, a short config could fill the memory: in the lines ``b = [a, a]``,
# ``c = [b, b]`` and so on, each line doubles the size.
_MAX_ITEMS = 2**20  # the items of a value are all values nested in it and all characters of its strings
_MAX_BITS = 2**14  # bits of an integer
_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class LiteralEvaluator:
    r"""Evaluate assignments of literals, of names that have been assigned earlier, and of simple arithmetic.

    Args:
        path: The config, for errors.
        lines: Lines of the config, for errors.
        inherited: Values of the inherited configs, which ``_base_.NAME`` reads.

    Example:
        >>> source = "depth = 18\nbackbone = dict(depth=depth + 16)"
        >>> LiteralEvaluator(Path("a.py"), source.split("\n"), {}).run(ast.parse(source).body)
        {'depth': 18, 'backbone': {'depth': 34}}
    """

    def __init__(self, path: Path, lines: list[str], inherited: dict[str, Any]) -> None:
        self._path, self._lines = path, lines
        self._values: dict[str, Any] = {"_base_": inherited}  # by name
        # (container, number of its items) by id(container). Without this cache, counting the items takes exponential
        # time if nested containers contain the same container several times. The containers are kept because Python can
        # reuse the id of a deleted object.
        self._sizes: dict[int, tuple[Any, int]] = {}

    def run(self, statements: list[ast.stmt]) -> dict[str, Any]:
        """Evaluate all statements and return the assigned values by name, without names that start with ``__``.

        Raises:
            UserError: A statement is not an assignment of plain data, or a value is too large.
        """
        for statement in statements:
            is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if isinstance(statement, ast.Assign):
                self._assign(statement)
            elif not is_docstring:
                raise self._not_literal_error(statement)
        return {name: value for name, value in self._values.items() if name != "_base_" and not name.startswith("__")}

    def _assign(self, statement: ast.Assign) -> None:
        if assigns_base(statement):  # the inherited configs have been read already
            return
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        # A target such as a[0] has no name. The config must not redefine dict, because _evaluate_unchecked evaluates
        # every call of dict as a call of the built-in type.
        if len(names) < len(statement.targets) or {"_base_", "dict"}.intersection(names):
            raise self._not_literal_error(statement)
        self._values.update(dict.fromkeys(names, self.evaluate(statement.value)))

    def evaluate(self, node: ast.expr) -> Any:
        """Return the value of an expression.

        Raises:
            UserError: The expression is not plain data, or its value is too large.
        """
        try:
            value = self._evaluate_unchecked(node)
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
            what = f"cannot evaluate {self._quote_line(node)}: {type(error).__name__}"
            raise UserError(what, where=f"{self._path}:{node.lineno}") from error
        if self._count_items(value) > _MAX_ITEMS or (isinstance(value, int) and value.bit_length() > _MAX_BITS):
            raise UserError("the value is too large", where=f"{self._path}:{node.lineno}")
        return value

    def _evaluate_unchecked(self, node: ast.expr) -> Any:
        """Return the value of an expression without checking its size. The sizes of its subexpressions are checked."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.Name(id=name) if name in self._values:
                return self._values[name]
            case ast.List():
                return self._evaluate_items(node.elts)
            case ast.Tuple():
                return tuple(self._evaluate_items(node.elts))
            case ast.Dict():
                return self._evaluate_dict(zip(node.keys, node.values))
            case ast.Call(func=ast.Name(id="dict"), args=[] | [_]):  # dict(a=1), dict(other, a=1), dict(**other)
                pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, argument) for argument in node.args]
                for keyword in node.keywords:
                    key = None if keyword.arg is None else ast.Constant(keyword.arg)  # None for "**other"
                    pairs.append((key, keyword.value))
                return self._evaluate_dict(pairs)
            case ast.Attribute() if ast.unparse(node).startswith("_base_."):
                return self.evaluate(node.value)[node.attr]
            case ast.Subscript():
                return self.evaluate(node.value)[self.evaluate(node.slice)]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return _SIGNS[type(node.op)](self.evaluate(node.operand))
            case ast.BinOp() if type(node.op) in _OPERATIONS:
                return self._calculate(type(node.op), self.evaluate(node.left), self.evaluate(node.right))
        raise self._not_literal_error(node)

    def _evaluate_items(self, nodes: list[ast.expr]) -> list[Any]:
        """Return the values in a list or tuple; ``*name`` is replaced by the values in ``name``."""
        items: list[Any] = []
        for node in nodes:
            items.extend(self.evaluate(node.value) if isinstance(node, ast.Starred) else [self.evaluate(node)])
        return items

    def _evaluate_dict(self, pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        """Return a dictionary from pairs of key and value. Without a key, the value is a dictionary to be merged in."""
        values: dict[Any, Any] = {}
        for key, node in pairs:
            if key is None:  # "**node" in a dictionary, or the argument of "dict(node)"
                values.update(self.evaluate(node))
            else:
                values[self.evaluate(key)] = self.evaluate(node)
        return values

    def _calculate(self, operation: type, left: Any, right: Any) -> Any:
        if operation is not ast.Add and not (_is_number(left) and _is_number(right)):
            # "*" with a string or list could make a value of any size, before its size is checked
            raise TypeError("only numbers can be subtracted, multiplied and divided")
        return _OPERATIONS[operation](left, right)

    def _count_items(self, value: Any) -> int:
        """Count the values and characters in a value, including those in nested containers."""
        if not isinstance(value, (list, tuple, dict)):
            return 1 + (len(value) if isinstance(value, str) else 0)
        if id(value) not in self._sizes:
            items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            self._sizes[id(value)] = value, 1 + sum(map(self._count_items, items))
        return self._sizes[id(value)][1]

    def _not_literal_error(self, node: ast.expr | ast.stmt) -> UserError:
        where = f"{self._path}:{node.lineno}"
        return UserError(f"not a literal, got {self._quote_line(node)}", where=where, hint=SAFE_CONFIG_HINT)

    def _quote_line(self, node: ast.expr | ast.stmt) -> str:
        return quote(self._lines[node.lineno - 1].strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def assigns_base(statement: ast.Assign) -> bool:
    """Return whether an assignment has the form ``_base_ = ...``.

    Example:
        >>> assigns_base(ast.parse("_base_ = 'a.py'").body[0])
        True
    """
    target = statement.targets[0]
    return len(statement.targets) == 1 and isinstance(target, ast.Name) and target.id == "_base_"

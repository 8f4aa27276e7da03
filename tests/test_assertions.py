"""Every test can fail: it asserts, expects an error or a warning, or calls a helper that does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PYTEST_CHECKS = {"raises", "warns", "deprecated_call", "fail"}
# These return a truth value, which is lost when the call is a statement of its own.
PREDICATES = {"allclose", "equal", "isclose", "array_equal", "all", "any", "approx"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def dotted_name(node: ast.expr) -> str:
    """Return ``a.b.c`` of a chain of attributes; empty if it does not start at a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def module_functions(path: Path) -> dict[str, Function]:
    return {node.name: node for node in parse(path).body if isinstance(node, Function)}


@cache
def imported_functions(path: Path) -> dict[str, Path]:
    """Map names imported from modules of the tests to the files of these modules."""
    found = {}
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests":
            file = ROOT / f"{node.module.replace('.', '/')}.py"
            found.update({alias.name: file for alias in node.names if file.is_file()})
    return found


def find_helper(name: str, path: Path) -> tuple[Path, Function] | None:
    """Find a function of the same module, an imported one, or a fixture of a conftest.py above."""
    files = [path, *(folder / "conftest.py" for folder in path.parents if folder.is_relative_to(TESTS))]
    if name in imported_functions(path):
        files.insert(1, imported_functions(path)[name])
    for file in files:
        if file.is_file() and name in module_functions(file):
            return file, module_functions(file)[name]
    return None


def checks_directly(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    if isinstance(node, ast.Raise) and node.exc is not None:
        return dotted_name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc) == "AssertionError"
    if isinstance(node, ast.Call):
        owner, _, name = dotted_name(node.func).rpartition(".")
        by_pytest = owner == "pytest" and name in PYTEST_CHECKS
        return by_pytest or (owner.endswith("testing") and name.startswith("assert"))
    return False


def can_fail(function: Function, path: Path, visited: frozenset[tuple[Path, str]] = frozenset()) -> bool:
    """Return whether a function checks something, itself or through the helpers that it calls."""
    key = (path, function.name)
    if key in visited:
        return False
    nodes = list(ast.walk(function))
    if any(checks_directly(node) for node in nodes):
        return True
    called = {dotted_name(node.func).split(".")[0] for node in nodes if isinstance(node, ast.Call)}
    helpers = [helper for name in sorted(called) if (helper := find_helper(name, path))]
    return any(can_fail(helper, file, visited | {key}) for file, helper in helpers)


def find_tests(path: Path) -> Iterator[Function]:
    classes = [node for node in parse(path).body if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    for node in (each for scope in (parse(path), *classes) for each in scope.body):
        if isinstance(node, Function) and node.name.startswith("test_"):
            yield node


def lost_results(path: Path) -> Iterator[int]:
    """Yield the lines of predicates whose result is not used."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value.func
            name = call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else ""
            if name in PREDICATES:
                yield node.lineno


def test_every_test_can_fail() -> None:
    tests = [(path, test) for path in sorted(TESTS.rglob("*.py")) for test in find_tests(path)]
    assert len(tests) > 500
    idle = [f"{path.relative_to(ROOT)}:{test.lineno} {test.name}" for path, test in tests if not can_fail(test, path)]
    assert not idle


def test_no_comparison_is_lost() -> None:
    lost = [f"{path.relative_to(ROOT)}:{line}" for path in sorted(TESTS.rglob("*.py")) for line in lost_results(path)]
    assert not lost


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("assert x", True),
        ("assert True", False),
        ("torch.allclose(x, y)", False),
        ("torch.testing.assert_close(x, y)", True),
        ("np.testing.assert_allclose(x, y)", True),
        ("with pytest.raises(ValueError): f()", True),
        ("with pytest.warns(UserWarning): f()", True),
        ("helper(x)", True),
        ("indirect(x)", True),
        ("loop(x)", False),
        ("harmless(x)", False),
        ("imported(x)", True),
        ("fixture(x)", True),
        ("def forbidden(): raise AssertionError('called')\n    f(forbidden)", True),
        ("raise ValueError", False),
    ],
)
def test_what_counts_as_a_check(tmp_path, monkeypatch, body, expected) -> None:
    monkeypatch.setitem(globals(), "TESTS", tmp_path / "tests")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "tests" / "folder").mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").write_text("def fixture():\n    def call(x): assert x\n    return call\n")
    (tmp_path / "tests" / "shared.py").write_text("def imported(x): assert x\n")
    path = tmp_path / "tests" / "folder" / "test_it.py"
    path.write_text(
        "from tests.shared import imported\n"
        "def helper(x): assert x\n"
        "def indirect(x): helper(x)\n"
        "def loop(x): loop(x)\n"
        "def harmless(x): return x\n"
        f"def test_it(fixture):\n    {body}\n"
    )
    (test,) = find_tests(path)
    assert can_fail(test, path) is expected
    assert list(lost_results(path)) == ([test.lineno + 1] if "allclose(x" in body and "testing" not in body else [])

"""The core runs without the OpenMMLab packages, and light imports stay light.

The layers themselves are contracts of import-linter in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rotated_atss"
FRAMEWORK = {"mmengine", "mmcv", "mmdet", "mmrotate"}
# import package -> distribution in pyproject.toml, where the names differ
DISTRIBUTIONS = {"cv2": "opencv-python-headless"}

BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"mmengine", "mmcv", "mmdet", "mmrotate"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def core_files() -> list[Path]:
    """Every module that must import without the OpenMMLab packages and without triton."""
    excluded = {"detection", ".mim", "kernels", "__main__.py"}
    derived = {PACKAGE / "interop" / name for name in ("sahi.py", "torchmetrics.py")}  # from classes of these packages
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if not excluded & set(path.relative_to(PACKAGE).parts)]
    return [path for path in files if path not in derived]


def module_level_imports(path: Path) -> Iterator[str]:
    """Top-level package names that a module imports when it is imported."""

    def run_at_import(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in statements:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            yield node
            yield from run_at_import([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])

    for node in run_at_import(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_core_needs_only_declared_packages() -> None:
    requirements = [text for text in requires("rotated-atss") or [] if "extra ==" not in text]
    declared = {re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements}
    files = [path for path in core_files() if "cli" not in path.relative_to(ROOT).parts and path.name != "doctor.py"]
    used = {name for path in files for name in module_level_imports(path)} - set(sys.stdlib_module_names)
    used.discard("rotated_atss")
    assert {"numpy", "torch"} <= used, "the scan found too little"
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= declared


def test_every_core_module_imports_without_the_openmmlab_packages() -> None:
    names = [module_name(path) for path in core_files()]
    assert len(names) > 50
    loaded = python(
        BLOCK + f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.startswith('rotated_atss.ops.kernels.')])"
    )
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", ["rotated_atss", "rotated_atss.cli", "rotated_atss.doctor", "rotated_atss.errors"])
def test_light_imports_load_neither_torch_nor_the_openmmlab_packages(module: str) -> None:
    heavy = sorted({"torch", "numpy", "cv2"} | FRAMEWORK)
    assert python(f"import sys, {module}\nprint([name for name in {heavy!r} if name in sys.modules])").strip() == "[]"


def test_dota_formats_and_evaluation_load_no_torch() -> None:
    names = [module_name(path) for path in sorted((PACKAGE / "dota").glob("*.py"))]
    loaded = python(
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    assert loaded.strip() == "False"


def test_at_most_six_modules_in_the_package_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6

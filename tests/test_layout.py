"""The arrows of docs/architecture.md hold, and the plain part lives without mmengine, mmcv, mmdet and mmrotate."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORK = {"mmengine", "mmcv", "mmdet", "mmrotate"}
OURS = {"rotated_atss", "data_prep"}
# import package -> what pyproject.toml calls it, where the names differ
DISTRIBUTIONS = {"cv2": "opencv-python-headless"}

# What a room may import, of our own and of others. `errors` may be imported by all.
ROOMS: dict[str, set[str]] = {
    "rotated_atss": set(),
    "errors": set(),
    "boxes": {"torch", "numpy"},
    "coder": {"boxes", "torch"},
    "point_coder": {"boxes", "coder", "torch"},
    "ops": {"boxes", "torch", "numpy", "mmcv", "triton"},  # mmcv and triton: lazily, as backends
    "assign": {"boxes", "ops", "numpy", "torch"},
    "assignment_stats": {"numpy", "torch"},
    "assignment_plot": {"assignment_stats", "matplotlib"},
    "dota": {"numpy"},
    "coco": {"dota", "numpy", "faster_coco_eval"},
    "configs": set(),
    "quiet": {"cv2"},
    "png": {"cv2", "numpy"},
    "checkpoints": {"boxes", "dota", "numpy", "safetensors", "torch"},
    "losses": {"boxes", "ops", "torch"},
    "centerness": {"boxes", "torch"},
    "merge_boxes": {"boxes", "ops", "dota", "numpy", "torch"},
    "ensemble": {"boxes", "ops", "numpy", "torch"},
    "drawing": {"boxes", "dota", "cv2", "numpy"},
    "predict": {"boxes", "merge_boxes", "data_prep", "numpy", "torch", "tqdm"},
    "data_prep": {"boxes", "ops", "dota", "drawing", "png", "quiet", "cv2", "numpy", "torch", "shapely", "tqdm"},
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if ".mim" not in path.parts)


def room_of(module: str) -> str:
    """``rotated_atss.ops.iou`` -> ``ops``; ``data_prep.crop`` -> ``data_prep``; ``numpy.linalg`` -> ``numpy``."""
    parts = module.removesuffix(".__version__").split(".")
    return parts[1] if parts[0] == "rotated_atss" and len(parts) > 1 else parts[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(absolute module, whether at module level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_top = {id(node) for statement in tree.body for node in shallow(statement)}
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module in OURS else [module]
            yield from ((name, id(node) in at_top) for name in names)


def shallow(statement: ast.stmt) -> Iterator[ast.AST]:
    """What runs at import, so neither function bodies nor blocks for type checkers."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
        return
    yield statement
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            yield from shallow(child)


def needs_triton(path: Path) -> bool:
    """Kernels: imported lazily where triton is installed, which is not everywhere."""
    return path.match("rotated_atss/ops/kernels/*.py")


def plain_sources() -> list[Path]:
    return [path for path in sources("rotated_atss", "data_prep") if "detection" not in path.parts]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_arrows_point_one_way(room: str) -> None:
    files = [path for path in plain_sources() if room_of(module_name(path)) == room]
    allowed = ROOMS[room] | {room, "errors", "rotated_atss"} | set(sys.stdlib_module_names)
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name, _ in imports(path)
        if room_of(name) not in allowed
    ]
    assert not wrong


def test_every_room_has_a_rule() -> None:
    have = {room_of(module_name(path)) for path in plain_sources()}
    assert have - {"cli", "doctor", "__main__"} <= set(ROOMS), "add the new room to ROOMS and to docs/architecture.md"


def test_nothing_imports_tools_or_tests() -> None:
    files = sources("rotated_atss", "data_prep", "tools", "configs", "benchmarks", "scripts")
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name, _ in imports(path)
        if room_of(name) in {"tools", "tests"}
    ]
    assert not wrong


def test_plain_part_imports_no_framework_at_module_level() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in plain_sources()
        for name, at_top in imports(path)
        if at_top and (room_of(name) in FRAMEWORK or name.startswith("rotated_atss.detection"))
    ]
    assert not wrong


def test_plain_part_needs_only_declared_packages() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    optional = {"cli", "doctor.py"}
    files = [path for path in plain_sources() if not optional & set(path.parts) and not needs_triton(path)]
    used = {
        room_of(name) for path in files for name, at_top in imports(path) if at_top and name.split(".")[0] not in OURS
    }
    foreign = used - set(sys.stdlib_module_names)
    assert foreign, "the scan found nothing"
    missing = {name for name in foreign if f'"{DISTRIBUTIONS.get(name, name)}>=' not in declared}
    assert not missing


BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"mmengine", "mmcv", "mmdet", "mmrotate"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_plain_module_imports_without_the_framework() -> None:
    files = [path for path in plain_sources() if path.name != "__main__.py" and not needs_triton(path)]
    names = [module_name(path) for path in files]
    assert len(names) > 10
    loaded = python(
        BLOCK + f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.startswith('rotated_atss.ops.kernels.')])"
    )
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", ["rotated_atss", "rotated_atss.cli", "rotated_atss.doctor", "rotated_atss.errors"])
def test_light_imports_load_neither_torch_nor_the_framework(module: str) -> None:
    heavy = sorted({"torch", "numpy", "cv2"} | FRAMEWORK)
    assert python(f"import sys, {module}\nprint([name for name in {heavy!r} if name in sys.modules])").strip() == "[]"


def test_dota_text_loads_no_torch() -> None:
    names = [module_name(path) for path in sources("rotated_atss/dota")]
    loaded = python(
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    assert loaded.strip() == "False"

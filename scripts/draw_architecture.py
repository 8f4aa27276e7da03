"""Draw docs/images/architecture.svg: the layers of the package and the imports between them.

The layers come from the import-linter contract in pyproject.toml, the imports from the source, and the captions from
the docstrings of the subpackages. ``--check`` compares the picture with the committed one instead of writing it.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from html import escape
from pathlib import Path
from typing import NamedTuple

import grimp

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PACKAGE = "rotated_atss"

WIDTH, ROW_HEIGHT, TOP, LEFT = 1090, 58, 64, 20
BOX_WIDTH, BOX_HEIGHT = 860, 44
ARC_STEP = 19  # pixels by which an arc reaches farther right per row that it spans
WITHOUT_ARROWS = {"errors"}  # imported by every layer
COLORS = {"detection": "#dbe9f6", "cli": "#f3e2c7", "doctor": "#f3e2c7"}
CORE_COLOR = "#e3f1e0"


class Layer(NamedTuple):
    """One box of the picture."""

    name: str
    row: int
    column: int
    columns: int

    @property
    def left(self) -> float:
        """X coordinate of the left edge, in pixels."""
        return LEFT + self.column * BOX_WIDTH / self.columns

    @property
    def width(self) -> float:
        """Width in pixels."""
        return BOX_WIDTH / self.columns - (8 if self.columns > 1 else 0)

    @property
    def middle_y(self) -> float:
        """Y coordinate of the center, in pixels."""
        return TOP + self.row * ROW_HEIGHT + BOX_HEIGHT / 2


def read_layers() -> list[Layer]:
    """Return the layers of the first contract in pyproject.toml, top to bottom."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    rows = [re.split(r"\s*[|:]\s*", text) for text in contract["layers"]]
    return [Layer(name, row, column, len(names)) for row, names in enumerate(rows) for column, name in enumerate(names)]


def count_imports(names: set[str]) -> Counter[tuple[str, str]]:
    """Count the modules of one layer that import each other layer."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    edges: Counter[tuple[str, str]] = Counter()
    for importer in sorted(graph.modules):
        layers = {layer_of(module) for module in graph.find_modules_directly_imported_by(importer)}
        source = layer_of(importer)
        edges.update((source, target) for target in layers if source != target and {source, target} <= names)
    return edges


def layer_of(module: str) -> str:
    """Return the subpackage or module below the package that ``module`` belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def describe(name: str) -> tuple[str, int]:
    """Return the first docstring line of a layer and its number of modules."""
    folder = ROOT / PACKAGE / name
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    head = folder / "__init__.py" if folder.is_dir() else files[0]
    docstring = ast.get_docstring(ast.parse(head.read_text(encoding="utf-8"))) or ""
    modules = [file for file in files if file.name != "__init__.py" and ".mim" not in file.parts]
    return docstring.partition("\n")[0].replace("``", ""), len(modules)


def box(layer: Layer) -> list[str]:
    """Return the SVG elements of one layer."""
    caption, modules = describe(layer.name)
    color = COLORS.get(layer.name, CORE_COLOR)
    top = layer.middle_y - BOX_HEIGHT / 2
    count = "1 module" if modules == 1 else f"{modules} modules"
    limit = int(layer.width / 6.6)
    caption = caption if len(caption) <= limit else caption[: limit - 1].rstrip() + "…"
    return [
        f'<rect x="{layer.left:g}" y="{top:g}" width="{layer.width:g}" height="{BOX_HEIGHT}" rx="5" fill="{color}" '
        'stroke="#8a8f98"/>',
        f'<text x="{layer.left + 12:g}" y="{top + 18:g}" class="name">{layer.name}</text>',
        f'<text x="{layer.left + layer.width - 12:g}" y="{top + 18:g}" class="count">{count}</text>',
        f'<text x="{layer.left + 12:g}" y="{top + 35:g}" class="caption">{escape(caption)}</text>',
    ]


def arc(start: Layer, end: Layer, modules: int) -> str:
    """Return an arrow from the right edge of one layer to that of a lower one; its width grows with the imports."""
    right = LEFT + BOX_WIDTH
    y1, y2 = start.middle_y + 7, end.middle_y - 7
    reach = right + 18 + ARC_STEP * (end.row - start.row)
    width = min(4.0, 0.7 + 0.14 * modules)
    path = f"M {right:g} {y1:g} C {reach:g} {y1:g}, {reach:g} {y2:g}, {right + 3:g} {y2:g}"
    title = f"<title>{start.name} imports {end.name} in {modules} modules</title>"
    return f'<path d="{path}" class="arc" stroke-width="{width:.2f}" marker-end="url(#head)">{title}</path>'


def draw() -> str:
    """Return the picture as SVG text."""
    layers = {layer.name: layer for layer in read_layers()}
    edges = count_imports(set(layers))
    upward = [f"{a} -> {b}" for a, b in edges if layers[a].row >= layers[b].row]
    if upward:
        sys.exit(f"imports that do not point downwards: {', '.join(upward)}")
    height = TOP + ROW_HEIGHT * (1 + max(layer.row for layer in layers.values())) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<style>.name{font-size:15px;font-weight:bold;fill:#1f2328}.caption{font-size:12px;fill:#444c56}"
        ".count{font-size:11px;fill:#6e7781;text-anchor:end}.head{font-size:13px;fill:#1f2328}"
        ".arc{fill:none;stroke:#3b6ea5;stroke-opacity:.42}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#3b6ea5" fill-opacity=".7"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" class="head">Layers of {PACKAGE}: a layer imports only layers below it. '
        "Arrows are imports (those of errors are left out);</text>",
        f'<text x="{LEFT}" y="46" class="caption">a wider arrow stands for more importing modules. '
        "Green: no OpenMMLab package. Blue: adapters over MMDetection. Yellow: command line.</text>",
    ]
    for layer in layers.values():
        lines += box(layer)
    lines += [
        arc(layers[a], layers[b], modules) for (a, b), modules in sorted(edges.items()) if b not in WITHOUT_ARROWS
    ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    """Write the picture, or compare it with the committed one."""
    parser = argparse.ArgumentParser(description="Draw docs/images/architecture.svg from the imports of the package.")
    parser.add_argument("--check", action="store_true", help="fail if the committed picture is out of date")
    picture = draw()
    if not parser.parse_args().check:
        PICTURE.write_text(picture, encoding="utf-8")
        print(f"wrote {PICTURE.relative_to(ROOT)}")
        return 0
    if PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == picture:
        return 0
    print(f"{PICTURE.relative_to(ROOT)} is out of date. Run: make architecture", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Read the class names of YOLO labels from ``classes.txt``, or from ``names`` in the YAML file of the dataset."""

from __future__ import annotations

import re
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes

NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
"""Names of files that can contain the class names, in the order in which they are searched."""

# An entry of a YAML list or map: "  0: plane", "  - plane" or "- plane". The groups are the index, the name on an
# indented line, and the name on a line that is not indented.
_ITEM = re.compile(r"\s+(?:(\d+)\s*:|-)\s*(\S.*)|-\s+(\S.*)")


def find_class_names(folder: Path) -> tuple[str, ...] | None:
    r"""Find a file with class names in a label folder or up to two levels above it, and return the names.

    Returns:
        Names in index order; None if there is no such file.

    Raises:
        UserError: The file cannot be read, or contains no class names (:func:`read_class_names`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "classes.txt").write_text("plane\nship\n")
        ...     find_class_names(Path(folder, "labels"))
        ('plane', 'ship')
    """
    for parent in (folder, *folder.resolve().parents[:2]):
        for file_name in NAMES_FILES:
            path = parent / file_name
            if path.is_file():
                return read_class_names(path)
    return None


def read_class_names(path: Path) -> tuple[str, ...]:
    r"""Read class names from a text file with one name per line, or from ``names`` of a YAML file.

    In YAML, ``names`` is a list, or a map whose keys are the indices 0, 1, ...

    Raises:
        UserError: The file is not UTF-8 text, contains no names in one of these formats, or contains a name twice.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "data.yaml").write_text("path: .\nnames:\n  0: plane\n  1: 'small vehicle'\n")
        ...     read_class_names(Path(folder, "data.yaml"))
        ('plane', 'small vehicle')
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError("the class names are not UTF-8 text", where=path) from None
    is_yaml = path.suffix in (".yaml", ".yml")
    names = _yaml_names(lines) if is_yaml else [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        what = "no list of distinct class names found"
        hint = "write for example names: [plane, ship]" if is_yaml else "write one name per line"
        raise UserError(what, where=path, hint=hint)
    return tuple(names)


def _yaml_names(lines: list[str]) -> list[str]:
    """Return the entries of ``names``, which is a list in brackets, or an indented list or map.

    The result is empty if ``names`` is missing or in another format.
    """
    start = next((index for index, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return []
    value = _without_comment(lines[start].partition(":")[2])
    following_lines = lines[start + 1 :]
    return _bracketed_names(value, following_lines) if value else _indented_names(following_lines)


def _bracketed_names(text: str, following_lines: list[str]) -> list[str]:
    """Return the names in a text such as ``[plane, ship]``, which can continue on the following lines.

    The result is empty if a bracket is missing.
    """
    for line in following_lines:
        if "]" in text:
            break
        text += " " + _without_comment(line)
    if not (text.startswith("[") and text.endswith("]")):
        return []
    return [_unquote(name) for name in text[1:-1].split(",") if name.strip()]


def _indented_names(lines: list[str]) -> list[str]:
    """Return the names in lines such as ``- plane`` or ``0: plane``, up to the first line in another format.

    The lines may be in any order, but the indices must be 0, 1, ... without gaps. Otherwise, the result is empty.
    """
    names: dict[int, str] = {}
    for line in lines:
        if not _without_comment(line):
            continue
        match = _ITEM.fullmatch(line.rstrip())
        if match is None:
            break
        index = int(match[1]) if match[1] else len(names)
        if index in names:
            return []
        names[index] = _unquote(_without_comment(match[2] or match[3]))
    indices = sorted(names)
    if indices != list(range(len(names))):
        return []
    return [names[index] for index in indices]


def _without_comment(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text).strip()


def _unquote(text: str) -> str:
    text = text.strip()
    is_quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text

"""Check the files that a VRT image names.

A VRT file is an XML description of an image that is composed of other images, its sources. GDAL opens every source that
the file names, including URLs and databases. This package accepts only local image files as sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes
from rotated_atss.io.image_header import UnreadableImageError, read_header

# GDAL ignores the case of elements and attributes, so this module compares them in lower case.
_SOURCE_ELEMENTS = ("sourcefilename", "sourcedataset")  # The text of these elements is the name of a file.
_FILE_KEYS = ("OVERVIEW_FILE", "X_DATASET", "Y_DATASET")  # Metadata items (MDI) with these keys name files.
# The alternatives are GDAL's virtual file systems, URLs, inline XML, and names that start with a driver, such as
# "NETCDF:". The name of a driver has at least two characters, because one letter, as in "C:", is a drive of Windows.
_NOT_LOCAL = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+.-]*://|\s*<|[A-Za-z][A-Za-z0-9_]+:")
_VIRTUAL_PREFIX = "/vsi"  # For GDAL, names with this prefix are files in archives or on the network.
_ERDAS_SIGNATURE = b"EHFA_HEADER_TAG"  # ERDAS Imagine files start with this. They are accepted only as sources.
_MAX_DEPTH = 8  # A VRT file may name a VRT file that names another one, and so on, at most to this depth.
_HINT = "a VRT file may name local images only: download or convert its sources first"


def check_vrt_sources(path: Path) -> None:
    """Raise an error if a VRT file names anything but local image files.

    Args:
        path: The VRT file. The VRT files that it names are checked as well.

    Raises:
        UserError: A source is on the network, in an archive or a database, is missing, or is not an image.

    Example:
        >>> import tempfile
        >>> text = "<VRTDataset><SourceFilename>/vsicurl/http://host/a.tif</SourceFilename></VRTDataset>"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.vrt").write_text(text)
        ...     check_vrt_sources(Path(folder, "a.vrt"))
        Traceback (most recent call last):
        rotated_atss.errors.UserError: ...a.vrt: the source is not a local file, got '/vsicurl/http://host/a.tif' (...)
    """
    status = path.stat()
    _check_once(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)  # Large images are read in parts, and opened for each part, but checked only once.
def _check_once(path: Path, _modified_ns: int, _size: int) -> None:
    """Check a VRT file. The other arguments are part of the cache key, so that a modified file is checked again."""
    _check_tree(path, (), set())


def _check_tree(path: Path, parents: tuple[Path, ...], checked: set[Path]) -> None:
    """Check a VRT file and the VRT files that it names.

    Args:
        path: The VRT file.
        parents: Resolved paths of the VRT files through which this file was reached, starting with the outermost file.
        checked: Resolved paths of sources that have already been checked. The sources of this file are added.
    """
    resolved = path.resolve()
    if resolved in parents:
        raise UserError("the VRT file names itself", where=parents[0], hint=_HINT)
    if len(parents) > _MAX_DEPTH:
        raise UserError(f"VRT files are nested more than {_MAX_DEPTH} levels deep", where=parents[0], hint=_HINT)
    for name, is_relative in dict.fromkeys(_read_sources(path)):
        if _NOT_LOCAL.match(name) or "\0" in name:
            raise UserError(f"the source is not a local file, got {quote(name)}", where=path, hint=_HINT)
        source = path.parent / name if is_relative else Path(name)
        if source.resolve() in checked:
            continue
        is_vrt = _check_source(source, name, path)
        if is_vrt:
            _check_tree(source, (*parents, resolved), checked)
        # The source is added after the recursion. Otherwise, a VRT file that names itself would be skipped as checked,
        # instead of causing an error.
        checked.add(source.resolve())


def _check_source(source: Path, name: str, path: Path) -> bool:
    """Raise an error if a source is not an image; return whether it is a VRT file.

    ``name`` is the name of the source as written in the VRT file ``path``.
    """
    try:
        header = read_header(source)
    except UnreadableImageError as error:
        raise UserError(f"the source {quote(name)} {error.what}", where=path, hint=_HINT) from error
    if header is None and read_bytes(source, length=len(_ERDAS_SIGNATURE)) != _ERDAS_SIGNATURE:
        raise UserError(f"the source is not an image of a supported format, got {quote(name)}", where=path, hint=_HINT)
    return header is not None and header.file_format == "VRT"


def _read_sources(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each file name in a VRT file, and whether the name is relative to the folder of the VRT file."""
    sources: list[tuple[str, bool]] = []
    # For each element that is not closed yet: the tag, the attributes (both in lower case), and the pieces of its text.
    open_elements: list[tuple[str, dict[str, str], list[str]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        lower_case: dict[str, str] = {}
        for name, value in attributes.items():
            # If names differ only in case, GDAL uses the first one.
            lower_case.setdefault(name.lower(), value)
        open_elements.append((tag.lower(), lower_case, []))
        # A name with GDAL's virtual prefix counts as a source wherever it occurs, here in any attribute and below in
        # any text. As it is not local, _check_tree then rejects it.
        sources.extend((value, False) for value in attributes.values() if value.startswith(_VIRTUAL_PREFIX))

    def end(_: str) -> None:
        tag, attributes, pieces = open_elements.pop()
        text = "".join(pieces).strip()
        names_file = tag in _SOURCE_ELEMENTS or (tag == "mdi" and attributes.get("key", "").upper() in _FILE_KEYS)
        if names_file or text.startswith(_VIRTUAL_PREFIX):
            sources.append((text, attributes.get("relativetovrt", "0") != "0"))

    def add_text(piece: str) -> None:
        _, _, pieces = open_elements[-1]
        pieces.append(piece)

    def reject_entity(*_: object) -> None:
        raise UserError("the VRT file declares an XML entity, which is not supported", where=path)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = add_text
    parser.EntityDeclHandler = reject_entity
    try:
        parser.Parse(read_bytes(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UserError(f"not a readable VRT file: {error}", where=path) from None
    yield from sources

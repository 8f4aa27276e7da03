"""Check of the files that a VRT image names.

A VRT file is an XML description of an image composed of other images, its sources. GDAL opens whatever it names,
including addresses and databases. Here only local image files are accepted.
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
_SOURCE_ELEMENTS = ("sourcefilename", "sourcedataset")  # elements whose text names a file
_FILE_KEYS = ("OVERVIEW_FILE", "X_DATASET", "Y_DATASET")  # keys of metadata items (MDI) that name files
# Virtual file systems of GDAL, addresses, inline XML, and prefixes of drivers such as NETCDF: (at least two characters,
# so that C: is a drive)
_NOT_LOCAL = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+.-]*://|\s*<|[A-Za-z][A-Za-z0-9_]+:")
_VIRTUAL_PREFIX = "/vsi"  # GDAL's prefix of files in archives and on the network
_ERDAS_SIGNATURE = b"EHFA_HEADER_TAG"  # of ERDAS Imagine files, a format that is accepted for sources only
_MAX_DEPTH = 8  # largest nesting of VRT files that name VRT files
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


@lru_cache(maxsize=1024)  # a large image is opened once for each of its parts
def _check_once(path: Path, _modified_ns: int, _size: int) -> None:
    """Check a VRT file. The other arguments are in the key of the cache, so that a changed file is checked again."""
    _check_tree(path, (), set())


def _check_tree(path: Path, parents: tuple[Path, ...], checked: set[Path]) -> None:
    """Check a VRT file and the VRT files that it names.

    Args:
        path: The VRT file.
        parents: Resolved paths of the VRT files through which this one was reached, from the outermost one.
        checked: Resolved paths of sources that are checked already. The sources of this file are added.
    """
    resolved = path.resolve()
    if resolved in parents:
        raise UserError("the VRT file names itself", where=parents[0], hint=_HINT)
    if len(parents) > _MAX_DEPTH:
        raise UserError(f"VRT files name each other more than {_MAX_DEPTH} deep", where=parents[0], hint=_HINT)
    for name, is_relative in dict.fromkeys(_read_sources(path)):
        if _NOT_LOCAL.match(name) or "\0" in name:
            raise UserError(f"the source is not a local file, got {quote(name)}", where=path, hint=_HINT)
        source = path.parent / name if is_relative else Path(name)
        if source.resolve() in checked:
            continue
        is_vrt = _check_source(source, name, path)
        if is_vrt:
            _check_tree(source, (*parents, resolved), checked)
        checked.add(source.resolve())  # only now: before the recursion, a file that names itself would be skipped above


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
    """Yield the files that a VRT file names, and whether each name is relative to the folder of the VRT file."""
    sources: list[tuple[str, bool]] = []
    # tag and attributes in lower case, pieces of text
    open_elements: list[tuple[str, dict[str, str], list[str]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        lower_case: dict[str, str] = {}
        for name, value in attributes.items():
            lower_case.setdefault(name.lower(), value)  # GDAL takes the first of several spellings
        open_elements.append((tag.lower(), lower_case, []))
        # names with this prefix count as sources in any attribute and any text, so that _check_tree rejects them
        sources.extend((value, False) for value in attributes.values() if value.startswith(_VIRTUAL_PREFIX))

    def end(_: str) -> None:
        tag, attributes, pieces = open_elements.pop()
        text = "".join(pieces).strip()
        is_name = tag in _SOURCE_ELEMENTS or (tag == "mdi" and attributes.get("key", "").upper() in _FILE_KEYS)
        if is_name or text.startswith(_VIRTUAL_PREFIX):
            sources.append((text, attributes.get("relativetovrt", "0") != "0"))

    def reject_entity(*_: object) -> None:
        raise UserError("the VRT file declares an XML entity, which is not supported", where=path)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: open_elements[-1][2].append(text)
    parser.EntityDeclHandler = reject_entity
    try:
        parser.Parse(read_bytes(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UserError(f"not a readable VRT file: {error}", where=path) from None
    yield from sources

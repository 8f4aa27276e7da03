"""World files: the map position of a plain image in a text file beside it, with the CRS in a ``.prj`` file."""

from __future__ import annotations

from pathlib import Path

from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes
from rotated_atss.io.georeference import Georeference

_HINT = "a world file has six lines: A, D, B, E, and x and y of the center of the upper left pixel"


def read_world_file(image: str | Path) -> Georeference | None:
    r"""Read the world file of an image, and its ``.prj`` file if there is one.

    The name is that of the image with the first and the last letter of its suffix and ``w`` (``P1.pgw``), the suffix
    and ``w`` (``P1.pngw``) or ``.wld``, in lower or upper case.

    Args:
        image: The image file.

    Returns:
        The georeference; None without a world file. The CRS is None without a ``.prj`` file.

    Raises:
        UserError: A file cannot be read, or the world file is malformed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.pgw").write_text("0.5\n0\n0\n-0.5\n1000.25\n1999.75\n")
        ...     read_world_file(f"{folder}/P1.png").transform
        (0.5, 0.0, 1000.0, 0.0, -0.5, 2000.0)
    """
    path = _sidecar(Path(image), _world_suffixes(Path(image).suffix[1:].lower()))
    if path is None:
        return None
    fields = read_bytes(path, length=4096).split()
    try:
        a, d, b, e, x, y = map(float, fields)
    except ValueError:
        shown = quote(b" ".join(fields).decode("utf-8", "replace"))
        raise UserError(f"not a world file, got {shown}", where=path, hint=_HINT) from None
    projection = _sidecar(Path(image), ("prj",))
    crs = None if projection is None else read_bytes(projection).decode("utf-8-sig", "replace").strip() or None
    try:
        return Georeference((a, b, x - (a + b) / 2, d, e, y - (d + e) / 2), crs)
    except UserError as error:
        raise UserError(error.what, where=path, hint=_HINT) from None


def _world_suffixes(suffix: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((f"{suffix[:1]}{suffix[-1:]}w", f"{suffix}w", "wld")))


def _sidecar(image: Path, suffixes: tuple[str, ...]) -> Path | None:
    names = [f".{name}" for suffix in suffixes for name in (suffix, suffix.upper())]
    return next((path for name in names if (path := image.with_suffix(name)).is_file()), None)

"""One reader for images of any size and format: opened once, read by windows as 8-bit color."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.io.decode import decode_image
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.georeference_files import add_sidecars
from rotated_atss.io.image_header import ImageHeader, check_header
from rotated_atss.io.orientation import orient_georeference
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.raster_reader import RasterReader, read_georeference
from rotated_atss.io.reader_interface import ArrayReader, ImageReader
from rotated_atss.io.scaling import scale_to_8_bit

__all__ = ["ArrayReader", "ImageReader", "PixelOptions", "WholeImageReader", "find_georeference", "open_image"]

_LARGE = 64 << 20  # bytes of color; larger images are read by windows where the format allows it


class WholeImageReader(ArrayReader):
    """An image that is decoded into memory as a whole when it is opened."""

    def __init__(self, path: str | Path, options: PixelOptions) -> None:
        self._header = check_header(Path(path))
        values = decode_image(Path(path), self._header)
        super().__init__(scale_to_8_bit(values, options), path)
        self.dtype = str(values.dtype)
        if self._header is not None:
            self.bands = self._header.bands

    @cached_property
    def georeference(self) -> Georeference | None:  # type: ignore[override]
        """Map position of the pixels; None if it is unknown."""
        return find_georeference(self.path)


def find_georeference(path: str | Path) -> Georeference | None:
    """Read the georeference in an image file or in the files beside it, without decoding pixels.

    Args:
        path: The image file.

    Returns:
        The georeference; None if there is none, or if only rasterio can read it and is not installed.

    Raises:
        UserError: The header of the image or a file beside it is malformed.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((20, 30, 3), np.uint8))
        ...     _ = Path(folder, "a.pgw").write_text("2 0 0 -2 101 199")
        ...     find_georeference(f"{folder}/a.png").transform
        (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)
    """
    path = Path(path)
    header = check_header(path)
    inside = header is not None and header.directory is not None and header.directory.is_georeferenced
    if header is not None and (inside or header.needs_rasterio) and find_spec("rasterio") is not None:
        return read_georeference(path)
    found = add_sidecars(None, path)
    return (
        found
        if found is None or header is None
        else orient_georeference(found, header.width, header.height, header.orientation)
    )


def open_image(path: str | Path, options: PixelOptions | None = None) -> ImageReader:
    """Open an image for reading by windows.

    Args:
        path: The image file.
        options: Conversion to 8-bit color; None uses the defaults of :class:`PixelOptions`.

    Raises:
        UnreadableImageError: The file is missing, truncated, damaged or not an image.
        UserError: The pixels are of an unsupported kind.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((20, 30, 3), 7, np.uint8))
        ...     with open_image(f"{folder}/a.png") as image:
        ...         (image.width, image.height), image.read((10, 0, 30, 5)).shape
        ((30, 20), (5, 20, 3))
    """
    path, options = Path(path), PixelOptions() if options is None else options
    header = check_header(path)
    if header is not None and _is_raster(path, header, options):
        return RasterReader(path, options)
    return WholeImageReader(path, options)


def _is_raster(path: Path, header: ImageHeader, options: PixelOptions) -> bool:
    """Return whether rasterio reads a file.

    Raises:
        UserError: Only rasterio reads it right, and it is not installed.
    """
    reason = header.needs_rasterio or ("" if options.bands is None else "a selection of bands")
    reason = reason or ("a mask of pixels without data" if path.with_name(f"{path.name}.msk").exists() else "")
    installed = find_spec("rasterio") is not None
    if reason and not installed:
        hint = 'pip install "rotated-atss[geo]"'
        raise UserError(f"the image needs the package rasterio, because it has {reason}", where=path, hint=hint)
    return bool(reason) or (installed and header.file_format == "TIFF" and 3 * header.width * header.height > _LARGE)

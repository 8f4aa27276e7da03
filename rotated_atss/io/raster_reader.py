"""Read windows of GeoTIFF, COG, BigTIFF, JPEG 2000, VRT and other images with rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.georeference_files import add_sidecars
from rotated_atss.io.image_header import ImageHeader, check_header, damaged_image_error
from rotated_atss.io.orientation import orient_georeference, swaps_axes, to_file_window, turn_upright
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png import Image
from rotated_atss.io.raster_bands import select_bands
from rotated_atss.io.reader_interface import Access, ImageReader
from rotated_atss.io.requirements import require
from rotated_atss.io.row_reader import RowBuffer
from rotated_atss.io.scaling import fill_invalid, is_resolved, resolve_scaling, scale_to_8_bit
from rotated_atss.io.vrt_sources import check_vrt_sources

# GDAL driver by format. Other drivers are not allowed, because some of them read databases and web services.
_DRIVERS = {"TIFF": "GTiff", "JPEG 2000": "JP2OpenJPEG", "VRT": "VRT", "PNG": "PNG", "JPEG": "JPEG", "BMP": "BMP"}
# GDAL options that disable Python code in VRT files and access to the network. The only URL that GDAL may open is
# "none", which does not exist.
_SAFE_OPTIONS = {"GDAL_VRT_ENABLE_PYTHON": "NO", "CPL_VSIL_CURL_ALLOWED_FILENAME": "none"}
_CACHE_BYTES = 64 << 20  # GDAL's default is 5% of the memory, per process
# The scaling to 8 bits is chosen from all pixels of an image of up to _MAX_SAMPLE_PIXELS pixels, or from the pixels in
# _SAMPLE_WINDOWS square windows of a larger image.
_SAMPLE_WINDOWS = 16
_SAMPLE_SIDE = 512  # in pixels
_MAX_SAMPLE_PIXELS = 1 << 24


class RasterReader(ImageReader):
    """An image opened with rasterio.

    Pixels without data (nodata, a mask, alpha 0, NaN) have the padding color.

    Args:
        path: The file.
        options: Conversion to 8-bit color.

    Raises:
        UserError: rasterio is not installed, or the bands cannot be converted.
        UnreadableImageError: The file cannot be opened.

    Example:
        >>> import tempfile
        >>> rasterio = require("rasterio", extra="geo")
        >>> shape = dict(width=30, height=20, count=1, dtype="float32", nodata=-1)
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     with rasterio.open(f"{folder}/a.tif", "w", driver="GTiff", **shape) as file:
        ...         file.write(np.full((1, 20, 30), -1, np.float32))
        ...     with RasterReader(Path(folder, "a.tif"), PixelOptions()) as image:
        ...         image.read((0, 0, 2, 1)).tolist()
        [[[104, 116, 124], [104, 116, 124]]]
    """

    def __init__(self, path: str | Path, options: PixelOptions) -> None:
        self.path = Path(path)
        header = _read_known_header(self.path)
        self._dataset, self._orientation = _open_dataset(self.path, header), header.orientation
        try:
            sides = self._dataset.width, self._dataset.height
            self.width, self.height = sides[::-1] if swaps_axes(self._orientation) else sides
            self.bands = self._dataset.count
            self._selection = select_bands(self._dataset, options.bands, self.path)
            self.dtype = str(self._dataset.dtypes[self._selection.bands[0] - 1])
            self.georeference = _upright_georeference(self._dataset, self.path, header)
            self.access = _access(self._dataset, header)
            self._options, self._buffer = options, None
            # The cache must hold at least two blocks. Otherwise, a block that two windows share is decoded twice.
            self._cache_bytes = max(_CACHE_BYTES, 2 * _block_bytes(self._dataset))
            if self.access != "tiles":
                # GDAL decodes whole rows. The buffer keeps these rows for other windows that contain parts of them.
                block_rows = self._dataset.block_shapes[0][0]
                self._buffer = RowBuffer(self._read_rows, self.width, block_rows)
        except BaseException:
            self.close()
            raise

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        window = (0, 0, self.width, self.height) if window is None else window
        return self._read_window(window) if self._buffer is None else self._buffer.read(window)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def sample_values(self) -> NDArray[Any]:
        """Return the values that determine the scaling to 8 bits. Pixels without data are left out.

        Returns:
            (N,) values of the file's data type. If the image has up to 16 million pixels, these are all its values,
            otherwise the values in 16 windows.
        """
        parts = []
        for file_window in _sample_windows(self._dataset.width, self._dataset.height):
            values, valid = self._read_values(file_window)
            parts.append(values.reshape(-1) if valid is None else values[:, valid].reshape(-1))
        return np.concatenate(parts)

    def _read_rows(self, start: int, stop: int) -> Image:
        return self._read_window((0, start, self.width, stop))

    def _read_window(self, window: Sequence[int]) -> Image:
        file_window = to_file_window(window, self.width, self.height, self._orientation)
        values, valid = self._read_values(file_window)
        return turn_upright(fill_invalid(self._to_color(values), valid), self._orientation)

    def _read_values(self, file_window: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the selected bands (C, h, w) and a mask (h, w) of the pixels with data, None if all have data.

        ``file_window`` refers to the pixels as stored in the file, not yet turned upright.
        """
        x_start, y_start, x_stop, y_stop = file_window
        window = (y_start, y_stop), (x_start, x_stop)  # the order that rasterio expects
        with _gdal_environment(self.path, self._cache_bytes):
            values = self._dataset.read(list(self._selection.bands), window=window)
            masks = [self._dataset.read_masks(band, window=window) > 0 for band in self._selection.mask_bands]
        valid = np.logical_or.reduce(masks) if masks else None
        if values.dtype.kind == "f" and np.isnan(values).any():
            is_number = ~np.isnan(values).any(axis=0)
            valid = is_number if valid is None else valid & is_number
        return values, valid

    def _to_color(self, values: NDArray[Any]) -> Image:
        """Convert the selected bands to (h, w, 3) uint8, BGR.

        Args:
            values: (1, h, w) gray values, or (3, h, w) values in the order blue, green, red.
        """
        if self._selection.palette is not None:
            return self._selection.palette[values[0]]
        if not is_resolved(values.dtype, self._options):
            self._options = resolve_scaling(self.sample_values(), self._options)
        scaled = [scale_to_8_bit(band, self._options) for band in values]
        if self._selection.max_value < 255:
            scaled = [np.rint(band * (255 / self._selection.max_value)).astype(np.uint8) for band in scaled]
        image = np.asarray(cv2.merge(scaled if len(scaled) == 3 else scaled * 3), np.uint8)
        return 255 - image if self._selection.zero_is_white else image


def has_rasterio() -> bool:
    """Return whether rasterio is installed.

    Example:
        >>> has_rasterio() in (True, False)
        True
    """
    return find_spec("rasterio") is not None


def read_georeference(path: Path) -> Georeference | None:
    """Read the georeference from an image file, or its world file and ``.prj``; return None if there is none.

    Raises:
        UserError: rasterio is not installed, or the georeference is not valid.
        UnreadableImageError: The file cannot be opened.

    Example::

        read_georeference(Path("ortho.tif")).crs
    """
    header = _read_known_header(path)
    with _open_dataset(path, header) as dataset:
        return _upright_georeference(dataset, path, header)


def _read_known_header(path: Path) -> ImageHeader:
    """Read the header of an image; raise an error if it cannot be read or the format is unknown."""
    header = check_header(path)
    if header is None:
        raise damaged_image_error(path)
    return header


def _open_dataset(path: Path, header: ImageHeader) -> Any:
    """Open a rasterio dataset with the driver of its format."""
    if header.file_format == "VRT":
        check_vrt_sources(path)
    with _gdal_environment(path):
        return require("rasterio", extra="geo").open(path, driver=_DRIVERS[header.file_format])


@contextmanager
def _gdal_environment(path: Path, cache_bytes: int = _CACHE_BYTES) -> Iterator[None]:
    """Set GDAL's options, and convert errors of GDAL in this block to one-line errors that name the file."""
    rasterio = require("rasterio", extra="geo")
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=cache_bytes, **_SAFE_OPTIONS):
            warnings.simplefilter("ignore")  # rasterio warns about every file without a georeference
            yield
    except (rasterio.errors.RasterioError, MemoryError) as error:
        # the cause is GDAL's own message, which can start with the path and end with a period
        reason = str(error.__cause__ or error).removeprefix(f"{path}: ").rstrip(". ")
        raise damaged_image_error(path, reason) from error


def _upright_georeference(dataset: Any, path: Path, header: ImageHeader) -> Georeference | None:
    """Return the georeference of the upright image, from an open rasterio dataset, or a world file and ``.prj``."""
    georeference = None
    # For a file without a georeference, rasterio returns the identity transform and no CRS.
    if dataset.crs is not None or not dataset.transform.is_identity:
        try:
            crs = None if dataset.crs is None else _format_crs(dataset.crs)
            georeference = Georeference(tuple(dataset.transform)[:6], crs)
        except UserError as error:
            raise UserError(error.what, where=path, hint="correct the georeference, or remove it") from None
    georeference = add_sidecars(georeference, path)
    if georeference is None:
        return None
    return orient_georeference(georeference, header.width, header.height, header.orientation)


def _format_crs(crs: Any) -> str:
    """Format a CRS from rasterio as ``AUTHORITY:CODE``, or as WKT if the CRS has no such code."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def _access(dataset: Any, header: ImageHeader) -> Access:
    """Return how GDAL decodes the windows of an image (:class:`rotated_atss.io.reader_interface.ImageReader`)."""
    if header.file_format == "PNG":  # one compressed stream
        return "sequential"
    # A block can span the whole width of the stored image. If the orientation exchanges the axes, the rows of such a
    # block become columns of the upright image.
    blocks_are_rows = dataset.block_shapes[0][1] == dataset.width and not swaps_axes(header.orientation)
    return "rows" if blocks_are_rows else "tiles"


def _block_bytes(dataset: Any) -> int:
    """Return the memory in bytes of a block with all bands. A block contains the pixels that GDAL decodes together."""
    height, width = dataset.block_shapes[0]
    return height * width * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)


def _sample_windows(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Return the windows whose values determine the scaling, from top to bottom."""
    if width * height <= _MAX_SAMPLE_PIXELS:
        return [(0, 0, width, height)]
    windows_per_axis = round(_SAMPLE_WINDOWS**0.5)
    xs = np.linspace(0, max(0, width - _SAMPLE_SIDE), windows_per_axis).astype(int).tolist()
    ys = np.linspace(0, max(0, height - _SAMPLE_SIDE), windows_per_axis).astype(int).tolist()
    return [(x, y, min(x + _SAMPLE_SIDE, width), min(y + _SAMPLE_SIDE, height)) for y in ys for x in xs]

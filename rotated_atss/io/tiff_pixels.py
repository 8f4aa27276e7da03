"""Find the pixel type of a TIFF file, and whether OpenCV, only rasterio, or no reader decodes the pixels correctly."""

from __future__ import annotations

from typing import BinaryIO

from rotated_atss.io import tiff
from rotated_atss.io.orientation import swaps_axes
from rotated_atss.io.tiff import TiffDirectory

# Names of the values of PhotometricInterpretation and SampleFormat.
_COLOR_MODELS = {0: "gray with white as zero", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_SAMPLE_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex integer", 6: "complex"}
_UNSIGNED_KINDS = (1, 4)  # 4 means "undefined". In practice, such samples are unsigned.
_COMPLEX_KINDS = (5, 6)
_EIGHT_BIT_MODELS = (3, 5, 6)  # No reader supports these color models with more than 8 bits per sample.
_SIXTEEN_BIT_MODELS = (1, 2)  # With 16 bits per sample, OpenCV decodes only these color models.
_SEPARATE_PLANES = 2  # value of PlanarConfiguration


def sample_dtype(directory: TiffDirectory) -> str:
    """Return the name of the NumPy type of a sample; ``uint8`` for fewer than 8 bits.

    Example:
        >>> sample_dtype(TiffDirectory({}, "<", False))
        'uint8'
    """
    kind = {2: "int", 3: "float"}.get(directory.value(tiff.SAMPLE_FORMAT, 1), "uint")
    depth = directory.value(tiff.BITS_PER_SAMPLE, 1)
    size = next((size for size in (8, 16, 32) if depth <= size), 64)
    if kind == "float" and size == 8:
        return "uint8"  # The header is damaged. find_opencv_limitation ensures that rasterio reads such a file.
    return f"{kind}{size}"


def find_unsupported(directory: TiffDirectory) -> str:
    """Describe the pixels if no reader can convert them to color; return an empty string if one can.

    Example:
        >>> find_unsupported(TiffDirectory({}, "<", False))
        ''
    """
    color_model, depth = directory.value(tiff.PHOTOMETRIC, 1), directory.value(tiff.BITS_PER_SAMPLE, 1)
    sample_kind = directory.value(tiff.SAMPLE_FORMAT, 1)
    if color_model not in _COLOR_MODELS:
        return f"color model {color_model} (PhotometricInterpretation)"
    if sample_kind in _COMPLEX_KINDS:
        return f"{depth}-bit {_SAMPLE_KINDS[sample_kind]} values"
    if color_model in _EIGHT_BIT_MODELS and depth > 8:
        return f"{depth}-bit {_COLOR_MODELS[color_model]}"
    return ""


def find_opencv_limitation(file: BinaryIO, directory: TiffDirectory) -> str:
    """Describe what OpenCV ignores or cannot decode; return an empty string if OpenCV reads the pixels correctly.

    Args:
        file: The file, open for binary reading.
        directory: The first directory of the file.

    Example:
        >>> import io
        >>> find_opencv_limitation(io.BytesIO(), TiffDirectory({}, "<", False))
        ''
    """
    if tiff.GDAL_NODATA in directory.fields:
        return "a value of pixels without data (nodata)"
    if b'role="colorinterp"' in directory.text(tiff.GDAL_METADATA):
        return "bands with a color interpretation"
    if directory.value(tiff.SAMPLES_PER_PIXEL, 1) == 2 and tiff.has_alpha(directory):
        return "gray with alpha"
    undecodable = _find_undecodable(directory)
    if undecodable:
        return undecodable
    return "a mask of pixels without data" if tiff.has_mask(file) else ""


def _find_undecodable(directory: TiffDirectory) -> str:
    """Describe why OpenCV decodes the pixels incorrectly or not at all; return an empty string if it decodes them."""
    bands, color_model = directory.value(tiff.SAMPLES_PER_PIXEL, 1), directory.value(tiff.PHOTOMETRIC, 1)
    depths = directory.fields.get(tiff.BITS_PER_SAMPLE)
    depth = directory.value(tiff.BITS_PER_SAMPLE, 1)
    sample_kind = directory.value(tiff.SAMPLE_FORMAT, 1)
    if sample_kind not in _UNSIGNED_KINDS:
        return f"{depth}-bit {_SAMPLE_KINDS.get(sample_kind, 'unknown')} values"
    if depth not in (1, 8, 16):
        return f"{depth}-bit values"
    if depths is not None and (depths.values != depth).any():
        return "bands of different depth"
    if bands > 4 or (depth == 16 and bands == 2):
        return f"{bands} bands of {depth} bits"
    if depth == 16 and color_model not in _SIXTEEN_BIT_MODELS:
        return f"16-bit {_COLOR_MODELS.get(color_model, 'unknown colors')}"
    if depth == 16 and bands > 1 and directory.value(tiff.PLANAR_CONFIGURATION, 1) == _SEPARATE_PLANES:
        return "16-bit bands in separate planes (INTERLEAVE=BAND)"
    if swaps_axes(directory.orientation):
        return f"orientation {directory.orientation}"
    return ""

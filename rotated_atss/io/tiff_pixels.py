"""Pixels of TIFF files: their type, features that only rasterio reads correctly, and unsupported types."""

from __future__ import annotations

from typing import BinaryIO

from rotated_atss.io import tiff
from rotated_atss.io.orientation import swaps_axes
from rotated_atss.io.tiff import TiffDirectory

# Names of the values of PhotometricInterpretation and SampleFormat.
_COLOR_MODELS = {0: "gray with white as zero", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_SAMPLE_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex integer", 6: "complex"}
_UNSIGNED_KINDS = (1, 4)  # 4 is "undefined", in practice unsigned
_COMPLEX_KINDS = (5, 6)  # values of SampleFormat
_EIGHT_BIT_MODELS = (3, 5, 6)  # color models that are supported with at most 8 bits per sample
_SIXTEEN_BIT_MODELS = (1, 2)  # color models that OpenCV decodes with 16 bits per sample
_SEPARATE_PLANES = 2  # value of PlanarConfiguration


def sample_dtype(directory: TiffDirectory) -> str:
    """Return the name of the NumPy type of a sample; ``uint8`` for fewer than 8 bits.

    Example:
        >>> sample_dtype(TiffDirectory({}, "<", False))
        'uint8'
    """
    kind = {2: "int", 3: "float"}.get(directory.value(tiff.SAMPLE_FORMAT, 1), "uint")
    depth = directory.value(tiff.BITS_PER_SAMPLE, 1)
    name = f"{kind}{next((size for size in (8, 16, 32) if depth <= size), 64)}"
    return name if name != "float8" else "uint8"  # a damaged header; find_opencv_limitation leaves it to rasterio


def find_unsupported(directory: TiffDirectory) -> str:
    """Describe the pixels if no reader converts them to color; return an empty string otherwise.

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
    return f"{depth}-bit {_COLOR_MODELS[color_model]}" if depth > 8 and color_model in _EIGHT_BIT_MODELS else ""


def find_opencv_limitation(file: BinaryIO, directory: TiffDirectory) -> str:
    """Describe what OpenCV ignores or cannot decode; return an empty string if OpenCV reads the pixels correctly.

    Args:
        file: The file, open for binary reading.
        directory: Its first directory.

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
    return _find_undecodable(directory) or ("a mask of pixels without data" if tiff.has_mask(file) else "")


def _find_undecodable(directory: TiffDirectory) -> str:
    """Describe what OpenCV decodes to wrong pixels or not at all; return an empty string if there is nothing."""
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

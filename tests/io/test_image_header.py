"""Headers of image files: sizes, kinds of pixels that are read right or refused, truncation."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from rotated_atss.errors import UserError
from rotated_atss.io.image_header import ImageHeader, parse_header, read_header
from rotated_atss.io.images import read_image
from tests.io.tiff_file import tiff_bytes

GRAY, RGB, CMYK = 1, 2, 5
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
PADDING_RGB = [124, 116, 104]
BIG_AND_ORDER = [(big, order) for big in (False, True) for order in "<>"]


def noise(height, width, bands=3, dtype=np.uint8):
    shape = (height, width, bands) if bands > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def read(folder, data, suffix="tif"):
    path = folder / f"a.{suffix}"
    path.write_bytes(data)
    return read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
@pytest.mark.parametrize("bands", [1, 3])
def test_size_bands_and_depth(tmp_path, suffix, bands):
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), noise(30, 50, bands))
    header = read_header(path)
    assert (header.width, header.height, header.bands, header.depth) == (50, 30, bands, 8)
    assert not header.unsupported
    assert not header.truncated


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_pixels_equal_those_of_pillow(tmp_path, mode, suffix):
    image = Image.fromarray(noise(20, 30)).convert(mode)
    if (mode, suffix) == ("LA", "bmp"):
        return  # BMP has no such pixels
    image.save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}")[..., ::-1], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_tiff_pixels_equal_those_of_pillow(tmp_path, mode):
    image = Image.fromarray(noise(20, 30)).convert(mode)
    image.save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(read_image(tmp_path / "a.tif")[..., ::-1], np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_has_the_pixels_of_pillow(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(20, 30)).convert("CMYK").save(path, quality=100)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert read_header(path).bands == 4
    assert np.abs(read_image(path)[..., ::-1] - expected).max() <= 1


@pytest.mark.parametrize(("big", "order"), BIG_AND_ORDER)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    ("photometric", "extra"),
    [
        (RGB, [UNASSOCIATED]),  # as GDAL writes four bands of bytes
        (RGB, [ASSOCIATED]),
        (RGB, [UNSPECIFIED]),
        (RGB, []),
        (GRAY, [UNSPECIFIED] * 3),
        (GRAY, [UNSPECIFIED, UNSPECIFIED, UNASSOCIATED]),
    ],
)
def test_fourth_band_of_a_tiff_changes_no_color(tmp_path, photometric, extra, planar, big, order):
    pixels = noise(20, 30, 4)
    data = tiff_bytes(pixels, photometric, extra=extra, planar=planar, big=big, order=order)
    expected = pixels[..., :3].copy()
    if extra and extra[-1] in (ASSOCIATED, UNASSOCIATED):
        assert (pixels[..., 3] == 0).any()
        expected[pixels[..., 3] == 0] = PADDING_RGB
    assert np.array_equal(read(tmp_path, data)[..., ::-1], expected)


@pytest.mark.parametrize(("big", "order"), BIG_AND_ORDER)
def test_three_gray_bands_are_red_green_and_blue(tmp_path, big, order):
    pixels = noise(20, 30)
    data = tiff_bytes(pixels, GRAY, extra=[UNSPECIFIED] * 2, big=big, order=order)
    assert np.array_equal(read(tmp_path, data)[..., ::-1], pixels)


@pytest.mark.parametrize(("big", "order"), BIG_AND_ORDER)
@pytest.mark.parametrize(
    ("bands", "photometric", "extra"),
    [(1, GRAY, []), (3, RGB, []), (3, GRAY, [0, 0]), (4, RGB, [UNASSOCIATED]), (4, GRAY, [0, 0, 0])],
)
def test_16_bit_tiff(tmp_path, bands, photometric, extra, big, order):
    pixels = noise(20, 30, bands)
    data = tiff_bytes(pixels.astype(np.uint16) * 8, photometric, extra=extra, big=big, order=order)
    expected = pixels[..., :3].copy() if bands > 1 else pixels[..., None].repeat(3, 2)
    if extra == [UNASSOCIATED]:
        expected[pixels[..., 3] == 0] = PADDING_RGB
    assert np.array_equal(read(tmp_path, data)[..., ::-1], expected)


NEEDS_RASTERIO = [
    (noise(8, 8, 1, np.float32), GRAY, {}, "32-bit floating-point values"),
    (noise(8, 8, 3, np.float64), RGB, {}, "64-bit floating-point values"),
    (noise(8, 8, 1, np.int16), GRAY, {}, "16-bit signed values"),
    (noise(8, 8, 1, np.int8), GRAY, {}, "8-bit signed values"),
    (noise(8, 8, 1, np.uint32), GRAY, {}, "32-bit values"),
    (noise(8, 8, 5), RGB, {"extra": [0, 0]}, "5 bands of 8 bits"),
    (noise(8, 8, 8, np.uint16), GRAY, {"extra": [0] * 7}, "8 bands of 16 bits"),
    (noise(8, 8, 2, np.uint16), GRAY, {"extra": [0]}, "2 bands of 16 bits"),
    (noise(8, 8, 1, np.uint16), 0, {}, "16-bit gray with white as zero"),
    (noise(8, 8, 3, np.uint16), RGB, {"planar": True}, "16-bit bands in separate planes (INTERLEAVE=BAND)"),
    (noise(8, 8, 3), RGB, {"orientation": 6}, "orientation 6"),
]


@pytest.mark.parametrize(
    ("pixels", "photometric", "options", "name"), NEEDS_RASTERIO, ids=[row[3] for row in NEEDS_RASTERIO]
)
def test_pixels_that_need_rasterio_are_named(tmp_path, monkeypatch, pixels, photometric, options, name):
    monkeypatch.setattr("rotated_atss.io.image_reader.has_rasterio", lambda: False)
    with pytest.raises(UserError) as caught:
        read(tmp_path, tiff_bytes(pixels, photometric, **options))
    what = f"only the package rasterio can read {name} correctly"
    assert str(caught.value) == f'{tmp_path / "a.tif"}: {what} (pip install "rotated-atss[geo]")'


@pytest.mark.parametrize(
    ("pixels", "photometric", "name"),
    [
        (noise(8, 8, 1, np.complex64), GRAY, "64-bit complex values"),
        (noise(8, 8, 3), 8, "color model 8 (PhotometricInterpretation)"),
        (noise(8, 8, 3, np.uint16), 8, "color model 8 (PhotometricInterpretation)"),
        (noise(8, 8, 4, np.uint16), CMYK, "16-bit CMYK"),
    ],
)
def test_unsupported_pixels_are_named(tmp_path, pixels, photometric, name):
    with pytest.raises(UserError) as caught:
        read(tmp_path, tiff_bytes(pixels, photometric))
    hint = "convert it to 8-bit or 16-bit RGB, for example with gdal_translate"
    assert str(caught.value) == f"{tmp_path / 'a.tif'}: the pixel format is not supported, got {name} ({hint})"


def test_12_bit_jpeg_is_named(tmp_path):
    data = bytearray(cv2.imencode(".jpg", noise(16, 16))[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    with pytest.raises(UserError, match="got 12-bit JPEG values"):
        read(tmp_path, bytes(data), "jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_follows_the_exif_orientation(tmp_path, orientation):
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(20, 30)).save(path, exif=exif)
    header = read_header(path)
    assert read_image(path).shape[:2] == (header.height, header.width) == ((30, 20) if orientation > 4 else (20, 30))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_every_truncation_is_an_error(tmp_path, suffix):
    data = cv2.imencode(f".{suffix}", noise(12, 12))[1].tobytes()
    if suffix == "tif":
        data = tiff_bytes(noise(12, 12), RGB)
    for length in range(len(data) - 4 if suffix == "tif" else len(data)):  # a TIFF ends with an offset that is not used
        with pytest.raises(UserError) as caught:
            read(tmp_path, data[:length], suffix)
        assert "\n" not in str(caught.value)


def test_pixels_behind_the_end_of_a_tiff_are_an_error(tmp_path):
    """The directory is complete, but the last strip is not."""
    data = bytearray(tiff_bytes(noise(12, 12), RGB))
    position = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
    struct.pack_into("<I", data, position, 4000)
    with pytest.raises(UserError, match="the image is truncated"):
        read(tmp_path, bytes(data))


def test_damaged_headers_raise_nothing_else():
    """Random bytes in a header give a header, None or the error class of the package."""
    rng = np.random.default_rng(0)
    files = [cv2.imencode(f".{suffix}", noise(6, 6))[1].tobytes() for suffix in ("png", "jpg", "bmp", "tif")]
    files += [tiff_bytes(noise(6, 6), RGB, big=True)]
    for data in files:
        for _ in range(300):
            edited = bytearray(data)
            for position in rng.integers(2, len(data), 3):
                edited[position] = rng.integers(0, 256)
            try:
                header = parse_header(io.BytesIO(edited), "a")
            except UserError:
                continue
            assert header is None or isinstance(header, ImageHeader)

"""Encoded files are decoded by OpenCV without loss; decoding equals OpenCV's or is left to it."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from rotated_atss.io import png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NONE, SUB, UP, AVERAGE, PAETH = range(5)


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(rows, *between, width, height=None, kind=(8, 2, 0, 0, 0), pieces=1):
    """Build a PNG file from filtered rows (H, 1 + 3 W), with extra chunks before them."""
    deflated = zlib.compress(rows.tobytes(), 1)
    cuts = np.linspace(0, len(deflated), pieces + 1).astype(int)
    idat = [chunk(b"IDAT", deflated[a:b]) for a, b in zip(cuts, cuts[1:])]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height or len(rows), *kind))
    return b"".join([SIGNATURE, header, *between, *idat, chunk(b"IEND", b"")])


def random_rows(height, width, filters, seed=0):
    """Random bytes with given filter types; any bytes are valid filtered rows."""
    rows = np.random.default_rng(seed).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = np.resize(filters, height)
    return rows


def opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def isal():
    return pytest.importorskip("isal.isal_zlib", reason="isal is not installed")


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (64, 65), (200, 333)])
@pytest.mark.parametrize("with_isal", [False, True])
def test_encoding_keeps_every_pixel(shape, with_isal, monkeypatch):
    if with_isal and png._isal() is None:
        pytest.skip("isal is not installed")
    if not with_isal:
        monkeypatch.setattr(png, "_isal", lambda: None)
    image = noise(*shape)
    data = png.encode_png(image)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), image)
    assert not with_isal or np.array_equal(png.decode_png(data), image)


def test_encoding_with_zlib_keeps_every_pixel():
    """The interface of zlib equals that of isal, so this runs without the optional package."""
    image = noise(50, 31)
    window = image[3:40, 5:20]  # not contiguous
    for part in (image, window):
        data = png._encode_with_deflate(zlib, part)
        assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), part)


@pytest.mark.parametrize("filters", [[NONE], [SUB], [UP], [AVERAGE], [PAETH], [SUB, PAETH, UP, NONE, AVERAGE]])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (61, 47), (300, 257)])  # the last exceeds a stored block
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_filter_is_decoded_as_by_opencv(filters, shape, pieces, isal):
    if filters != [UP]:
        pytest.importorskip("pyspng", reason="pyspng is not installed")
    rows = random_rows(*shape, filters)
    data = png_of(rows, width=shape[1], pieces=pieces)
    decoded = png.decode_png(data)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, opencv(data))


@pytest.mark.parametrize(("parameter", "value"), [(cv2.IMWRITE_PNG_COMPRESSION, level) for level in (0, 1, 6, 9)])
def test_files_of_opencv_are_decoded(parameter, value, isal):
    pytest.importorskip("pyspng", reason="pyspng is not installed")
    image = cv2.GaussianBlur(noise(120, 140), (0, 0), 3)
    assert np.array_equal(png.decode_png(cv2.imencode(".png", image, [parameter, value])[1].tobytes()), image)


def test_plain_chunks_are_skipped(isal):
    rows = random_rows(20, 30, [UP])
    chunks = {b"tEXt": b"Comment\0a comment", b"gAMA": struct.pack(">I", 45455), b"bKGD": b"\0\xff\0\xff\0\xff"}
    chunks |= {
        b"sBIT": b"\5\6\5",
        b"cHRM": struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000]),
    }
    data = png_of(rows, *(chunk(kind, body) for kind, body in chunks.items()), width=30)
    assert np.array_equal(png.decode_png(data), opencv(data))


@pytest.mark.parametrize("kind", [(16, 2, 0, 0, 0), (8, 0, 0, 0, 0), (8, 3, 0, 0, 0), (8, 6, 0, 0, 0), (8, 2, 0, 0, 1)])
def test_other_pixel_formats_are_left_to_opencv(kind, isal):
    assert png.decode_png(png_of(random_rows(8, 8, [UP]), width=8, kind=kind)) is None


@pytest.mark.parametrize("kind", [b"eXIf", b"tRNS", b"acTL", b"abcd"])
def test_chunks_that_can_change_pixels_are_left_to_opencv(kind, isal):
    assert png.decode_png(png_of(random_rows(8, 8, [UP]), chunk(kind, b"\0" * 6), width=8)) is None


def test_large_images_are_left_to_opencv(isal, monkeypatch):
    data = png_of(random_rows(8, 8, [UP]), width=8)
    monkeypatch.setattr(png, "MAX_PIXELS", 63)
    assert png.decode_png(data) is None
    assert not png.can_decode_png(data[:29])
    monkeypatch.setattr(png, "MAX_PIXELS", 64)
    assert png.decode_png(data) is not None
    assert png.can_decode_png(data[:29])


def test_damaged_files_are_left_to_opencv(isal):
    data = png_of(random_rows(6, 5, [UP, UP]), width=5)
    for length in range(len(data)):
        assert png.decode_png(data[:length]) is None
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        assert png.decode_png(bytes(damaged)) is None


@pytest.mark.parametrize("rows", [random_rows(6, 5, [5]), random_rows(5, 5, [UP]), random_rows(7, 5, [UP])])
def test_unknown_filter_and_wrong_number_of_rows_are_left_to_opencv(rows, isal):
    assert png.decode_png(png_of(rows, width=5, height=6)) is None


def test_without_the_optional_packages_opencv_decodes(monkeypatch, isal):
    rows = random_rows(6, 5, [UP]), random_rows(6, 5, [PAETH])
    monkeypatch.setattr(png, "_pyspng", lambda: None)
    up, paeth = (png.decode_png(png_of(each, width=5)) for each in rows)
    assert up is not None
    assert paeth is None
    monkeypatch.setattr(png, "_isal", lambda: None)
    data = png_of(rows[0], width=5)
    assert png.decode_png(data) is None
    assert not png.can_decode_png(data[:29])

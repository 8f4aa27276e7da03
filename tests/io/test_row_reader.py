"""Windows of PNG and JPEG files whose rows are decoded forwards, compared with OpenCV."""

from __future__ import annotations

import logging
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from rotated_atss.errors import UserError
from rotated_atss.io import image_reader, png_rows, row_reader
from rotated_atss.io.image_reader import open_image
from rotated_atss.io.images import estimate_decode_bytes, read_image
from rotated_atss.io.jpeg_rows import has_vips
from rotated_atss.io.png import encode_png, has_fast_png
from rotated_atss.io.png_rows import PngRows
from rotated_atss.io.row_reader import RowBuffer, RowReader
from tests.references.images import smooth_noise

WIDTH, HEIGHT = 90, 240
needs_fast = pytest.mark.skipif(not has_fast_png(), reason='needs pip install "rotated-atss[fast]"')
needs_vips = pytest.mark.skipif(not has_vips(), reason='needs pip install "rotated-atss[geo]"')


@pytest.fixture(autouse=True)
def every_image_is_large(monkeypatch):
    monkeypatch.setattr(image_reader, "_LARGE_BYTES", 0)
    monkeypatch.setattr(png_rows, "_DECODE_BYTES", 3000)  # several bands per image
    monkeypatch.setattr(png_rows, "_PIECE_BYTES", 100)
    monkeypatch.setattr(row_reader, "_ROWS_AT_ONCE", 7)
    image_reader._warn_about_memory.cache_clear()


def sliding(size=64, gap=20):
    """Windows from top to bottom, cut at the border."""
    for y in range(0, HEIGHT - gap, size - gap):
        for x in range(0, WIDTH - gap, size - gap):
            yield x, y, min(x + size, WIDTH), min(y + size, HEIGHT)


def assert_windows_equal(path, expected):
    rng = np.random.default_rng(0)
    places = rng.integers((0, 0, 1, 1), (WIDTH, HEIGHT, WIDTH, HEIGHT), (15, 4)).tolist()
    anywhere = [(x, y, min(x + width, WIDTH), min(y + height, HEIGHT)) for x, y, width, height in places]
    bands = [(0, y, WIDTH, min(y + 50, HEIGHT)) for y in range(0, HEIGHT, 50)]
    for windows in (list(sliding()), bands, anywhere, [None, *sliding(32, 0)]):
        with open_image(path) as image:
            assert (image.width, image.height) == (WIDTH, HEIGHT)
            for window in windows:
                x, y, x_stop, y_stop = window or (0, 0, WIDTH, HEIGHT)
                assert np.array_equal(image.read(window), expected[y:y_stop, x:x_stop])


def write_png(path, pixels, encoder):
    if encoder == "own":
        path.write_bytes(encode_png(pixels))
    elif encoder == "opencv":
        cv2.imwrite(str(path), pixels)
    else:
        Image.fromarray(pixels[..., ::-1]).save(path)


@needs_fast
@pytest.mark.parametrize("encoder", ["own", "opencv", "pillow"])
@pytest.mark.parametrize("flat", [False, True])
def test_windows_of_a_png(tmp_path, encoder, flat):
    path, pixels = tmp_path / "a.png", smooth_noise(HEIGHT, WIDTH)
    write_png(path, pixels // 255 if flat else pixels, encoder)
    with open_image(path) as image:
        assert isinstance(image, RowReader)
        assert image.access == "sequential"
    assert_windows_equal(path, cv2.imread(str(path)))


@needs_vips
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_windows_of_a_jpeg(tmp_path, mode, subsampling):
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth_noise(HEIGHT, WIDTH)).convert(mode).save(path, quality=80, subsampling=subsampling)
    with open_image(path) as image:
        assert isinstance(image, RowReader)
    assert_windows_equal(path, cv2.imread(str(path)))


@pytest.mark.parametrize("kind", ["gray", "16 bits", "alpha", "palette", "tiff", "bmp"])
def test_windows_of_other_images(tmp_path, monkeypatch, kind):
    pytest.importorskip("rasterio")
    path = tmp_path / {"tiff": "a.tif", "bmp": "a.bmp"}.get(kind, "a.png")
    pixels = smooth_noise(HEIGHT, WIDTH)
    if kind == "palette":
        Image.fromarray(pixels).convert("P").save(path, transparency=20)
    else:
        alpha = np.dstack([pixels, pixels[..., 0] // 128 * 255])
        values = {"gray": pixels[..., 0], "16 bits": pixels.astype(np.uint16) * 8, "alpha": alpha}
        cv2.imwrite(str(path), values.get(kind, pixels))
    with open_image(path) as image:
        assert type(image).__name__ == "RasterReader"
        assert image.access == ("sequential" if path.suffix == ".png" else "rows")
        streamed = image.read()
    with monkeypatch.context() as patch:
        patch.setattr(image_reader, "_LARGE_BYTES", 1 << 26)
        expected = read_image(path)
    assert np.array_equal(streamed, expected)
    assert_windows_equal(path, expected)


WHOLE = {
    "progressive": ("a.jpg", {"progressive": True}, "it is progressive"),
    "turned": ("a.jpg", {"exif": 6}, "its EXIF orientation is 6"),
    "turned PNG": ("a.png", {"exif": 3}, "its EXIF orientation is 3"),
    "CMYK": ("a.jpg", {}, "its color model is CMYK"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_image_that_is_loaded_whole_is_announced_once(tmp_path, caplog, kind):
    name, options, reason = WHOLE[kind]
    if "exif" in options:
        exif = Image.Exif()
        exif[274] = options["exif"]
        options = {"exif": exif}
    image = Image.fromarray(smooth_noise(HEIGHT, WIDTH))
    (image.convert("CMYK") if kind == "CMYK" else image).save(tmp_path / name, **options)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert np.array_equal(read_image(tmp_path / name), cv2.imread(str(tmp_path / name)))
    message = f"{tmp_path / name}: the image is loaded as a whole, which takes about 0.0 GB of memory, because {reason}"
    assert [record.getMessage() for record in caplog.records] == [message]


def test_interlaced_png_is_loaded_whole(tmp_path, caplog):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((1, 1, 3), 7, np.uint8))  # a single pixel is the same interlaced and not
    data = bytearray(path.read_bytes())
    data[28] = 1
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    assert read_image(path).tolist() == [[[7, 7, 7]]]
    assert "because it is interlaced" in caplog.text


def test_missing_packages_are_named(tmp_path, caplog, monkeypatch):
    for name in ("has_rasterio", "has_vips", "can_read_png_rows"):
        monkeypatch.setattr(image_reader, name, lambda *_: False)
    for suffix, package in ((".png", "rasterio"), (".tif", "rasterio"), (".jpg", "pyvips")):
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), smooth_noise(HEIGHT, WIDTH))
        assert np.array_equal(read_image(path), cv2.imread(str(path)))
        assert f'{package} is not installed: pip install "rotated-atss[geo]"' in caplog.records[-1].getMessage()


@needs_fast
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_png_raises_with_its_path(tmp_path, kept):
    path = tmp_path / "a.png"
    write_png(path, smooth_noise(HEIGHT, WIDTH), "opencv")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    rows = PngRows(path)
    with pytest.raises(UserError, match=r"a\.png: not a readable image"):
        rows.read(0, HEIGHT)
    rows.close()


@needs_fast
def test_damaged_png_raises_with_its_path(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, smooth_noise(HEIGHT, WIDTH), "opencv")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"a\.png: not a readable image"), open_image(path) as image:
        image.read()


@needs_vips
def test_damaged_jpeg_raises_with_its_path(tmp_path, capfd):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), smooth_noise(HEIGHT, WIDTH))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    with pytest.raises(UserError, match=r"a\.jpg: not a readable image"), open_image(path) as image:
        image.read()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("block_rows", [1, 5, 40])
def test_buffer_reads_every_row_once_from_top_to_bottom(block_rows):
    image, calls = smooth_noise(HEIGHT, WIDTH), []

    def read(start, stop):
        calls.append((start, stop))
        return image[start:stop]

    buffer = RowBuffer(read, WIDTH, block_rows)
    for window in sliding():
        x, y, x_stop, y_stop = window
        assert np.array_equal(buffer.read(window), image[y:y_stop, x:x_stop])
    assert calls[0][0] == 0
    assert calls[-1][1] == HEIGHT
    assert all(stop == start for (_, stop), (start, _) in zip(calls, calls[1:]))


def test_estimate_is_that_of_a_band_for_large_images(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    data = bytearray(encode_png(np.zeros((4, 4, 3), np.uint8)))
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(data))
    assert estimate_decode_bytes(path) < 500e6
    data[28] = 1  # interlaced
    path.write_bytes(bytes(data))
    assert estimate_decode_bytes(path) == 30_000**2 * 6


@needs_fast
def test_impossible_size_raises_with_its_path(tmp_path):
    path = tmp_path / "a.png"
    data = bytearray(encode_png(np.zeros((40, 4, 3), np.uint8)))
    data[16:20] = (0xFFFFFFF0).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"a\.png: "), open_image(path) as image:
        image.read()

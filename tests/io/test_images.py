"""Reading and encoding of images."""

import os

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.images import IMAGE_FORMATS, encode_image, estimate_decode_bytes, image_size, read_image
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png import can_decode_png
from rotated_atss.tiling.split import split_dota
from tests.io.tiff_file import tiff_bytes


def noise(height, width, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype).squeeze()


@pytest.mark.parametrize("image_format", [name for name in IMAGE_FORMATS if name != "jpg"])
def test_lossless_formats_keep_every_pixel(image_format, tmp_path):
    image = noise(40, 50)
    path = tmp_path / f"a.{image_format}"
    path.write_bytes(encode_image(image, image_format))
    assert np.array_equal(read_image(path), image)


@pytest.mark.parametrize(
    "image",
    [noise(9, 8, 1), noise(9, 8, 3, np.uint16), np.maximum(noise(9, 8, 4), 1), noise(9, 8, 1, np.uint16)],
    ids=["gray", "16 bit", "alpha", "gray 16 bit"],
)
def test_every_pixel_format_is_read_as_by_opencv(image, tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image)
    read = read_image(path)
    assert read.shape == (9, 8, 3)
    assert read.dtype == np.uint8
    assert np.array_equal(read, cv2.imread(str(path)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_image_raises_with_its_path(suffix, kept, tmp_path, capfd):
    path = tmp_path / f"P1{suffix}"
    data = cv2.imencode(suffix, noise(200, 200))[1].tobytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    if suffix != ".tif":
        assert capfd.readouterr().err == ""  # no log output of OpenCV


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pixels_with_alpha_0_have_the_padding_color(tmp_path, suffix, dtype):
    image = noise(20, 30, 4).astype(dtype)
    image[5:9, 7:20, 3] = 0
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        path.write_bytes(tiff_bytes(image[..., [2, 1, 0, 3]], 2, extra=[2]))
    else:
        cv2.imwrite(str(path), image)
    expected = np.where(image[..., 3:] > 0, image[..., :3], np.array([104, 116, 124])).astype(np.uint8)
    assert np.array_equal(read_image(path, PixelOptions(8)), expected)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "LA"])
def test_transparent_pixels_of_a_png_have_the_padding_color(tmp_path, mode):
    if mode == "L":
        pytest.importorskip("rasterio")
    from PIL import Image

    image = Image.fromarray(noise(20, 30) // 64 * 64).convert(mode)
    options = {"P": image.getpixel((0, 0)), "L": 64, "RGB": (64, 0, 128)}
    image.save(tmp_path / "a.png", **({"transparency": options[mode]} if mode in options else {}))
    rgba = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    assert (rgba[..., 3] == 0).any() == (mode in options)
    expected = np.where(rgba[..., 3:] > 0, rgba[..., 2::-1], np.array([104, 116, 124]))
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_png(tmp_path, mode, orientation):
    from PIL import Image, ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(20, 30)).convert(mode).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")).convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.png")[..., ::-1], expected)
    assert image_size(tmp_path / "a.png") == expected.shape[1::-1]


def test_other_and_missing_files_raise(tmp_path):
    path = tmp_path / "P1.png"
    path.write_text("not an image")
    with pytest.raises(UserError, match="not a readable image"):
        read_image(path)
    with pytest.raises(UserError, match="No such file"):
        read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("name", ["P1.png", "P1.jpg", "P1.bmp"])
def test_split_raises_for_an_empty_image_file(name, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / name).write_bytes(b"")
    cv2.imwrite(str(images / "P2.png"), noise(20, 20))
    for workers in (1, 2):
        with pytest.raises(UserError, match=rf"{name}: the image file is empty"):
            split_dota(images, None, tmp_path / "out", workers=workers, progress=False)
    assert estimate_decode_bytes(images / name) > 0


def test_png_without_pixels_raises(tmp_path):
    path = tmp_path / "P1.png"
    data = bytearray(cv2.imencode(".png", noise(20, 20))[1].tobytes())
    data[16:24] = bytes(8)
    path.write_bytes(bytes(data))
    assert estimate_decode_bytes(path) > 0
    with pytest.raises(UserError, match=r"P1\.png: not a readable image"):
        read_image(path)


def test_bytes_after_the_end_marker_are_accepted(tmp_path):
    path = tmp_path / "P1.jpg"
    path.write_bytes(cv2.imencode(".jpg", noise(20, 20))[1].tobytes() + b"\0" * 100)
    assert read_image(path).shape == (20, 20, 3)


def test_size_limit_of_opencv_raises_with_a_hint(tmp_path, monkeypatch):
    path = tmp_path / "P1.png"
    cv2.imwrite(str(path), noise(5, 5, 1))

    def refuse(*_):
        raise cv2.error("(-215:Assertion failed) pixels <= CV_IO_MAX_IMAGE_PIXELS in function 'validateInputImageSize'")

    monkeypatch.setattr(cv2, "imread", refuse)
    with pytest.raises(UserError, match="OPENCV_IO_MAX_IMAGE_PIXELS"):
        read_image(path)


def test_estimated_memory(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(30, 40, 1))
    assert estimate_decode_bytes(path) == 2 * 30 * 40 * 3
    cv2.imwrite(str(path), noise(30, 40))
    decode_png_bytes = 3 * 30 * 40 * 3 + path.stat().st_size
    assert estimate_decode_bytes(path) == (
        decode_png_bytes if can_decode_png(path.read_bytes()[:29]) else 2 * 30 * 40 * 3
    )
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((300, 400, 3), np.uint8))
    assert estimate_decode_bytes(path) >= path.stat().st_size


@pytest.mark.parametrize("image_format", IMAGE_FORMATS)
def test_image_size_is_that_of_the_image_as_read(image_format, tmp_path):
    path = tmp_path / f"a.{image_format}"
    path.write_bytes(encode_image(noise(40, 50), image_format))
    assert image_size(path) == (50, 40)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        image_size(path)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("value", [0, None], ids=["flat", "noise"])
def test_estimated_memory_depends_on_the_size_of_the_image_alone(tmp_path, suffix, value):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), noise(300, 400) if value is None else np.zeros((300, 400, 3), np.uint8))
    assert estimate_decode_bytes(path) == 300 * 400 * 6


def test_estimated_memory_of_16_bits_and_four_bands(tmp_path):
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), noise(300, 400, 4, np.uint16))
    assert estimate_decode_bytes(path) == 300 * 400 * (4 * 2 + 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_images_are_scaled_by_their_used_bits_or_the_given_ones(tmp_path, suffix):
    path, image = tmp_path / f"a{suffix}", noise(20, 30)
    cv2.imwrite(str(path), image.astype(np.uint16) * 8)
    assert np.array_equal(read_image(path), image)
    assert np.array_equal(read_image(path, PixelOptions(12)), image // 2)
    assert np.array_equal(read_image(path, PixelOptions(16)), image // 32)


def test_8_bit_images_are_never_scaled(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 3), 3, np.uint8))
    assert (read_image(tmp_path / "a.png", PixelOptions(11)) == 3).all()


@pytest.mark.parametrize("kind", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("length", [2**31 - 1, 0xA9000173, 10_000])
def test_a_png_chunk_that_states_more_than_the_file_is_refused_before_memory_is_taken(
    tmp_path, length, kind, monkeypatch
):
    """OpenCV reserves what a chunk states: 2.7 GB for a file of 400 bytes."""
    data = bytearray(cv2.imencode(".png", np.zeros((9, 13), np.uint8))[1])
    start = data.index(kind)
    data[start - 4 : start] = length.to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("OpenCV read the file"))
    with pytest.raises(UserError, match=r"a\.png: not a readable image, or damaged"):
        read_image(tmp_path / "a.png")


def test_devices_and_pipes_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for name in ("a.png", "b.png"):
        with pytest.raises(UserError, match=f"{name}: not a regular file"):
            read_image(tmp_path / name)

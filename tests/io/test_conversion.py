"""One conversion for all images of a run."""

import cv2
import numpy as np
import pytest

from rotated_atss.io.conversion import Conversion, plan_conversion
from rotated_atss.io.pixel_options import PixelOptions
from tests.io.tiff_file import tiff_bytes


def write(path, top, dtype=np.uint16):
    cv2.imwrite(str(path), (np.arange(600).reshape(20, 30) * top // 599).astype(dtype))
    return path


def test_8_bit_images_need_no_conversion(tmp_path):
    assert plan_conversion([write(tmp_path / "a.png", 255, np.uint8)], PixelOptions(bits=11)) == Conversion()


@pytest.mark.parametrize("workers", [1, 2])
def test_bits_are_those_of_all_images_together(tmp_path, workers):
    paths = [write(tmp_path / "a.png", 255, np.uint8), write(tmp_path / "b.png", 500), write(tmp_path / "c.tif", 3000)]
    plan = plan_conversion(paths, workers=workers)
    note = "2 of 3 images have 16-bit pixels with 12 used bits: values are divided by 16 (--bits 12)"
    warning = "these images use from 9 to 12 bits, and those with few bits become dark: process them separately"
    assert plan == Conversion(PixelOptions(12), (note, warning))
    assert plan_conversion([write(tmp_path / "d.png", 1500), paths[2]]).notes == (note.replace("3 im", "2 im"),)


def test_given_bits_are_used_without_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("rotated_atss.io.conversion.sample_values", None)
    assert plan_conversion([write(tmp_path / "a.png", 500)], PixelOptions(bits=14)).options.bits == 14
    options = PixelOptions(scaling=(5, 90))
    assert plan_conversion([write(tmp_path / "a.png", 500)], options).options == options


def test_fourth_band_is_stated(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_bytes(np.zeros((9, 9, 4), np.uint8), 2, extra=[0]))
    (tmp_path / "b.tif").write_bytes(tiff_bytes(np.zeros((9, 9, 4), np.uint8), 5))  # CMYK
    (tmp_path / "c.tif").write_bytes(tiff_bytes(np.zeros((9, 9, 4), np.uint8), 2, extra=[2]))
    alpha = "1 of 3 images has alpha: pixels with alpha 0 have the padding color (--bands ignores alpha)"
    extra = (
        "1 of 3 images has more than three bands: red, green and blue are those that the file labels as such, else the "
        "first three (change with --bands)"
    )
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    assert plan_conversion(paths).notes == (alpha, extra)
    assert plan_conversion(paths, PixelOptions(bands=(3, 2, 1))).notes == ("bands 3,2,1 are RGB",)


def test_unreadable_images_are_left_to_the_reader(tmp_path):
    (tmp_path / "empty.png").touch()
    data = cv2.imencode(".png", np.full((9, 9), 700, np.uint16))[1].tobytes()
    (tmp_path / "damaged.png").write_bytes(data[:40] + bytes(len(data) - 60) + data[-20:])
    (tmp_path / "float.tif").write_bytes(tiff_bytes(np.zeros((9, 9), np.float32), 1))
    names = ["empty.png", "damaged.png", "float.tif", "gone.png"]
    assert plan_conversion([tmp_path / name for name in names]).options.bits in (None, 16)
    paths = [*(tmp_path / name for name in names), write(tmp_path / "a.png", 1000)]
    assert plan_conversion(paths).options.bits == 10


def write_tiff(path, values):
    path.write_bytes(tiff_bytes(values, 1))
    return path


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("workers", [1, 2])
def test_percentiles_are_those_of_all_images_together(tmp_path, dtype, workers):
    pytest.importorskip("rasterio")
    values = np.random.default_rng(0).normal(100, 300, (2, 90, 100)).astype(dtype)
    paths = [write_tiff(tmp_path / f"{index}.tif", each) for index, each in enumerate(values)]
    plan = plan_conversion(paths, workers=workers)
    low, high = plan.options.scaling
    np.testing.assert_allclose((low, high), np.percentile(values, [2, 98]), rtol=0.02)
    note = f"2 of 2 images have {dtype} values: {low:g} to {high:g} become 0 to 255 (--scaling={low:g},{high:g})"
    assert plan.notes == (note,)
    assert (low, high) == (float(f"{low:g}"), float(f"{high:g}"))  # the printed option repeats the run


def test_other_rules_apply_to_16_bits_too(tmp_path):
    path = write(tmp_path / "a.png", 3000)
    low, high = plan_conversion([path], PixelOptions(scaling="percentile")).options.scaling
    np.testing.assert_allclose((low, high), (60, 2940), rtol=0.02)
    none = plan_conversion([path], PixelOptions(scaling="none"))
    assert none.options == PixelOptions(scaling="none")
    assert none.notes == ("1 of 1 image has uint16 values: rounded and clipped to 0 to 255 (--scaling none)",)


def test_mixed_types_have_bits_and_a_range(tmp_path):
    pytest.importorskip("rasterio")
    floats = write_tiff(tmp_path / "b.tif", np.linspace(0, 1, 900, dtype=np.float32).reshape(30, 30))
    options = plan_conversion([write(tmp_path / "a.png", 1000), floats]).options
    assert options.bits == 10
    np.testing.assert_allclose(options.scaling, (0.02, 0.98), rtol=0.02)

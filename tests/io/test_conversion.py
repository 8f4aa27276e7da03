"""One conversion for all images of a run."""

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.conversion import Conversion, plan_conversion
from tests.io.tiff_file import tiff_bytes


def write(path, top, dtype=np.uint16):
    cv2.imwrite(str(path), (np.arange(600).reshape(20, 30) * top // 599).astype(dtype))
    return path


def test_8_bit_images_need_no_conversion(tmp_path):
    assert plan_conversion([write(tmp_path / "a.png", 255, np.uint8)], bits=11) == Conversion()


@pytest.mark.parametrize("workers", [1, 2])
def test_bits_are_those_of_all_images_together(tmp_path, workers):
    paths = [write(tmp_path / "a.png", 255, np.uint8), write(tmp_path / "b.png", 500), write(tmp_path / "c.tif", 3000)]
    plan = plan_conversion(paths, workers=workers)
    note = "2 of 3 images have 16-bit pixels with 12 used bits: values are divided by 16 (--bits 12)"
    assert plan == Conversion(12, (note,))


def test_given_bits_are_used_without_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("rotated_atss.io.conversion.count_pixel_values", None)
    assert plan_conversion([write(tmp_path / "a.png", 500)], bits=14).bits == 14
    with pytest.raises(UserError, match="got 17"):
        plan_conversion([], bits=17)


def test_fourth_band_is_stated(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_bytes(np.zeros((9, 9, 4), np.uint8), 2, extra=[2]))
    (tmp_path / "b.tif").write_bytes(tiff_bytes(np.zeros((9, 9, 4), np.uint8), 5))  # CMYK
    note = "1 of 2 images has four bands: the first three are red, green and blue, band 4 is not used"
    assert plan_conversion([tmp_path / "a.tif", tmp_path / "b.tif"]).notes == (note,)


def test_unreadable_images_are_left_to_the_reader(tmp_path):
    (tmp_path / "empty.png").touch()
    data = cv2.imencode(".png", np.full((9, 9), 700, np.uint16))[1].tobytes()
    (tmp_path / "damaged.png").write_bytes(data[:40] + bytes(len(data) - 60) + data[-20:])
    (tmp_path / "float.tif").write_bytes(tiff_bytes(np.zeros((9, 9), np.float32), 1))
    names = ["empty.png", "damaged.png", "float.tif", "gone.png"]
    assert plan_conversion([tmp_path / name for name in names]).bits in (None, 16)
    assert plan_conversion([*(tmp_path / name for name in names), write(tmp_path / "a.png", 1000)]).bits == 10

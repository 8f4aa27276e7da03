"""Images at another resolution."""

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io import resampled_reader
from rotated_atss.io.reader_interface import ArrayReader
from rotated_atss.io.resampled_reader import ResampledReader
from tests.references.images import smooth_noise

RATES = [0.13, 0.25, 1 / 3, 0.5, 0.61, 0.999, 1.25, 2, 3.7]


@pytest.mark.parametrize("rate", RATES)
def test_windows_have_the_pixels_of_the_whole_image(rate):
    image = ResampledReader(ArrayReader(smooth_noise(97, 131)), rate)
    whole, generator = image.read(), np.random.default_rng(0)
    assert whole.shape == (image.height, image.width, 3)
    assert (image.width, image.height) == (round(131 * rate), round(97 * rate))
    for _ in range(20):
        x, y = generator.integers(0, image.width), generator.integers(0, image.height)
        x_stop, y_stop = generator.integers(x, image.width) + 1, generator.integers(y, image.height) + 1
        assert np.array_equal(image.read((x, y, x_stop, y_stop)), whole[y:y_stop, x:x_stop])


@pytest.mark.parametrize("rate", RATES)
def test_gradient_stays_at_its_place(rate):
    """The value of a pixel is that of its place in the image, up to rounding, away from the border."""
    gradient = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (50, 200, 3))
    row = ResampledReader(ArrayReader(np.ascontiguousarray(gradient)), rate).read()[1, :, 0]
    expected = (np.arange(len(row)) + 0.5) / rate - 0.5
    inner = (expected > 8) & (expected < 190)
    assert np.abs(row - expected)[inner].max() <= 1


def test_reduction_equals_area_averages():
    image = smooth_noise(120, 160)
    expected = cv2.resize(image, (40, 30), interpolation=cv2.INTER_AREA)
    assert np.array_equal(ResampledReader(ArrayReader(image), 0.25).read(), expected)


def test_wide_windows_are_resampled_in_parts(monkeypatch):
    image = ResampledReader(ArrayReader(smooth_noise(40, 131)), 0.7)
    whole = image.read()
    monkeypatch.setattr(resampled_reader, "_CHUNK_SIDE", 11)
    assert np.array_equal(image.read(), whole)


def test_only_the_window_is_read():
    windows = []

    class Reader(ArrayReader):
        def read(self, window=None):
            windows.append(tuple(window))
            return super().read(window)

    ResampledReader(Reader(np.zeros((400, 400, 3), np.uint8)), 0.5).read((50, 60, 100, 80))
    ((x_start, y_start, x_stop, y_stop),) = windows
    assert 96 <= x_start <= 100
    assert 200 <= x_stop <= 204
    assert 116 <= y_start <= 120
    assert 160 <= y_stop <= 164


@pytest.mark.parametrize("rate", [0, 0.001, 100, float("nan")])
def test_rate_out_of_range(rate):
    with pytest.raises(UserError, match=r"the resampling rate must be between 0\.015625 and 64, got"):
        ResampledReader(ArrayReader(np.zeros((4, 4, 3), np.uint8)), rate)

"""Used bits of 16-bit values, and their conversion to 8 bits."""

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.bit_depth import check_bits, count_values, to_8_bit, used_bits


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.arange(0, 256), 8),
        (np.arange(0, 3), 8),
        (np.arange(0, 257), 9),
        (np.arange(0, 2048), 11),
        (np.arange(0, 4096), 12),
        (np.arange(0, 65536), 16),
        ([0, 65535], 16),  # nothing but fill values: a mask
        ([0], 8),
        ([65535] * 50 + [900] * 50, 10),  # 65535 marks pixels without data
        ([1000] * 99_999 + [40_000], 10),  # a hot pixel
    ],
)
def test_used_bits(values, bits):
    assert used_bits(count_values(np.array(values, np.uint16))) == bits


def test_counts_equal_bincount_beyond_one_chunk(monkeypatch):
    monkeypatch.setattr("rotated_atss.io.bit_depth._CHUNK_VALUES", 7)
    image = np.random.default_rng(0).integers(0, 65536, (5, 6, 3)).astype(np.uint16)
    assert np.array_equal(count_values(image), np.bincount(image.ravel(), minlength=65536))


@pytest.mark.parametrize("bits", range(8, 17))
def test_values_are_divided_and_clipped(bits):
    values = np.arange(65536)
    assert np.array_equal(to_8_bit(values.astype(np.uint16), bits), np.minimum(values // 2 ** (bits - 8), 255))


@pytest.mark.parametrize("bits", [0, 7, 17])
def test_bits_out_of_range(bits):
    with pytest.raises(UserError, match=f"must be 8 to 16, got {bits}"):
        check_bits(bits)

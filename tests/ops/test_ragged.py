"""Expansion of ranges against nested loops, for NumPy arrays and torch tensors."""

import numpy as np
import pytest
import torch

from rotated_atss.ops.ragged import chunk_bounds, expand_ranges


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("max_pairs", [1, 7, 10_000])
def test_expansion_equals_nested_loops(convert, max_pairs):
    rng = np.random.default_rng(0)
    for count in (0, 1, 40):
        starts = rng.integers(0, 50, count)
        stops = starts + rng.integers(-3, 12, count)  # some ranges are empty or reversed
        expected = [(row, column) for row in range(count) for column in range(starts[row], stops[row])]
        found = []
        for rows, columns in expand_ranges(convert(starts), convert(stops), max_pairs):
            assert type(rows) is type(columns) is type(convert(starts))
            assert len(rows) <= max_pairs or len(set(rows.tolist())) == 1  # only a single row exceeds a chunk
            found += zip(rows.tolist(), columns.tolist())
        assert found == expected


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_chunks_cover_all_items_and_respect_the_limit(convert):
    sizes = np.random.default_rng(1).integers(0, 9, 200)
    bounds = list(chunk_bounds(convert(sizes.cumsum()), 12))
    assert [low for low, _ in bounds] == [0, *(high for _, high in bounds[:-1])]
    assert bounds[-1][1] == 200
    assert all(sizes[low:high].sum() <= 12 for low, high in bounds)
    assert list(chunk_bounds(convert(np.empty(0, dtype=np.int64)), 12)) == []

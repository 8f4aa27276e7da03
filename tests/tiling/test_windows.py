"""Sliding windows: coverage, thresholds, and the windows of mmrotate's splitting script."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.tiling.windows import (
    count_starts,
    image_ratios,
    sizes_at_rates,
    sliding_windows,
    window_grid,
    window_starts,
)

SHAPES = [
    (1, 1),
    (1024, 1024),
    (1025, 1024),
    (1848, 1024),
    (1849, 700),
    (712, 557),
    (20000, 300),
    (2304, 1792),
    (4000, 6000),
]


def window_sizes(width, height, sizes_and_gaps, image_ratio=0.6):
    return {stop - start for start, _, stop, _ in sliding_windows(width, height, sizes_and_gaps, image_ratio).tolist()}


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (1, [0]),
        (1024, [0]),
        (1025, [0, 1]),
        (1848, [0, 824]),
        (1849, [0, 824, 825]),
        (2672, [0, 824, 1648]),
        (4000, [0, 824, 1648, 2472, 2976]),
    ],
)
def test_starts_at_1024_200(length, starts):
    assert window_starts(length, 1024, 200) == starts


@pytest.mark.parametrize("gap", [0, 1, 200, 1023])
@pytest.mark.parametrize("length", [1, 1023, 1024, 1025, 2048, 2049, 3001])
def test_starts_cover_every_pixel_inside_the_image(length, gap):
    starts = window_starts(length, 1024, gap)
    covered = np.zeros(max(length, 1024), dtype=bool)
    for start in starts:
        assert start == 0 or start + 1024 <= length
        covered[start : start + 1024] = True
    assert covered.all()
    assert starts == sorted(set(starts))
    assert all(later - start <= 1024 - gap for start, later in zip(starts, starts[1:]))


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_one_size_covers_the_image(width, height):
    if width * height > 25_000_000:
        pytest.skip("the coverage mask is too large")
    covered = np.zeros((height, width), dtype=bool)
    for x_start, y_start, x_stop, y_stop in sliding_windows(width, height, [(1024, 200)]):
        covered[y_start:y_stop, x_start:x_stop] = True
    assert covered.all()


def test_poorly_filled_windows_are_dropped():
    windows = sliding_windows(1000, 1000, [(500, 100), (1400, 200)])  # the image fills 51 % of the large one
    assert window_sizes(1000, 1000, [(500, 100), (1400, 200)]) == {500}
    assert len(sliding_windows(1000, 1000, [(500, 100), (1200, 200)])) == len(windows) + 1  # 69 %


def test_ratio_equal_to_the_threshold_is_dropped():
    assert image_ratios(np.array([[0, 0, 100, 100]]), 60, 100).tolist() == [0.6]
    assert window_sizes(100, 60, [(100, 0), (50, 10)]) == {50}


def test_small_image_keeps_the_windows_of_the_highest_ratio():
    assert sliding_windows(10, 10, [(1024, 200)]).tolist() == [[0, 0, 1024, 1024]]
    # ratios: 0.10 for windows of 100 px, 0.05 for the window of 200 px
    assert window_sizes(200, 10, [(100, 0), (200, 0)]) == {100}


def test_near_ties_of_the_highest_ratio_are_kept():
    # ratios 0.5 and 0.4950 differ by less than 0.01
    assert window_sizes(100, 50, [(100, 0), (101, 0)]) == {100, 101}


def test_window_of_two_grids_is_kept_once():
    once = sliding_windows(3000, 3000, [(1024, 200)])
    assert len(sliding_windows(3000, 3000, [(1024, 200), (1024, 200)])) == len(once)
    shared = sliding_windows(3000, 3000, [(1024, 200), (1024, 500)])
    assert len(np.unique(shared, axis=0)) == len(shared)


def test_rates_resize_windows():
    assert sizes_at_rates([(1024, 200)], [0.5, 1.0, 1.5]) == [(2048, 400), (1024, 200), (682, 133)]


def test_grid_of_a_large_image_is_exact():
    windows = window_grid(29200, 27620, 1024, 200)
    assert len(windows) == 36 * 34
    assert windows.max(axis=0)[2:].tolist() == [29200, 27620]


def load_script(path: Path) -> ModuleType:
    """Load a script of mmrotate without mmrotate itself."""
    spec = importlib.util.spec_from_file_location(f"mmrotate_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_same_windows_as_mmrotate(img_split):
    script = load_script(img_split)
    rng = np.random.default_rng(0)
    for case in range(600):
        scale = (300, 3000, 30000)[case % 3]
        width, height = rng.integers(1, scale, 2).tolist()
        grids = [
            (int(size), int(rng.integers(0, size))) for size in rng.integers(max(scale // 20, 5), scale, 1 + case % 2)
        ]
        grids = [(size, min(gap, size - max(size // 8, 1))) for size, gap in grids]
        ratio = float(rng.choice([0.0, 0.3, 0.6, 0.9]))
        expected = script.get_sliding_window({"width": width, "height": height}, *zip(*grids), ratio)
        windows = sliding_windows(width, height, grids, ratio)
        assert set(map(tuple, windows.tolist())) == set(map(tuple, expected.tolist())), (width, height, grids, ratio)


@pytest.mark.parametrize("size, gap", [(128, 28), (100, 99), (64, 0)])
@pytest.mark.parametrize("length", [1, 99, 100, 101, 128, 200, 1000, 1001])
def test_windows_are_counted_without_listing_them(length, size, gap):
    assert count_starts(length, size, gap) == len(window_starts(length, size, gap))


def test_a_size_of_billions_of_windows_is_refused():
    with pytest.raises(
        UserError, match=r"a.vrt: an image can have at most 4,194,304 windows of one size, got [0-9,]+ of 1024 px"
    ):
        sliding_windows(10**9 - 1, 10**9 - 1, [(1024, 200)], where="a.vrt")

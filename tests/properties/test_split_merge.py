"""Splitting, perfect detections on the tiles, and merging give every object once, for any image, size, gap and rate.

A detection on a tile is the whole polygon of the label, also outside the tile. What holds, for objects that do not
overlap each other by more than the IoU threshold of merging:

- every object that is in some tile is returned exactly once, whatever the tiles;
- every object whose extent along each axis is at most the gap lies completely in a tile, so that none is lost;
- of a larger upright object of at most the size of the window, some tile contains at least the fraction
  ``(side + gap) / (2 * side)`` per axis; it is lost only if that is less than ``iof_threshold``.
"""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from rotated_atss.dota.detections import Detections, format_detections, parse_detections
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.ops.min_area_rect import min_area_boxes
from rotated_atss.tiling.crop import aligned_iof, place_objects, shift_into_window
from rotated_atss.tiling.merge_boxes import BoxDetections, merge_boxes
from rotated_atss.tiling.merge_polygons import merge_detections
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows, window_starts

CELL = 60  # distance of neighboring objects, pixels


@st.composite
def splits(draw):
    """Draw the settings of a split: sizes, gaps, rates and style of names."""
    style = draw(st.sampled_from(["mmrotate", "devkit"]))
    sizes = draw(st.lists(st.integers(64, 400), min_size=1, max_size=1 if style == "devkit" else 2, unique=True))
    gaps = [draw(st.integers(0, size - 1 - size // 4)) for size in sizes]
    rates = draw(st.lists(st.sampled_from([0.5, 0.75, 1.0, 1.5, 2.0]), min_size=1, max_size=2, unique=True))
    return SplitSettings(sizes=sizes, gaps=gaps, rates=rates, name_style=style, iof_threshold=draw(st.floats(0.3, 1)))


@st.composite
def scenes(draw):
    """Draw an image size and objects in separate cells of it: (width, height, polygons)."""
    width, height = draw(st.integers(40, 900)), draw(st.integers(40, 900))
    cells = [(x, y) for x in range(0, width - CELL + 1, CELL) for y in range(0, height - CELL + 1, CELL)]
    chosen = draw(st.lists(st.sampled_from(cells), unique=True, max_size=20)) if cells else []
    side, angle = st.floats(2, CELL / 2 - 8), st.floats(-4, 4)
    boxes = [(x + CELL / 2, y + CELL / 2, draw(side), draw(side), draw(angle)) for x, y in chosen]
    polygons = obb_to_poly(torch.tensor(boxes, dtype=torch.float64).reshape(-1, 5)).numpy()
    return width, height, polygons


def tiles_of(width, height, polygons, settings):
    """Yield the name of each tile, its window, its rate, and the indices and polygons of its objects."""
    for rate in dict.fromkeys(settings.rates) if settings.resamples else [1.0]:
        size = (max(1, round(width * rate)), max(1, round(height * rate)))
        windows = sliding_windows(*size, settings.grids(), settings.image_ratio)
        placement = place_objects(polygons * rate, windows, settings.iof_threshold)
        for row, window in enumerate(windows.tolist()):
            objects, _ = placement.in_window(row)
            inside = shift_into_window(polygons[objects] * rate, *window[:2])
            yield settings.tile_name("P1", rate, window), window, rate, objects, inside


def is_found(merged, polygons):
    """Return how often each polygon is among the merged ones."""
    distances = np.abs(merged[None] - polygons[:, None]).max(-1, initial=0)
    return (distances < 1e-3).sum(1)


@given(scenes(), splits())
def test_every_object_in_a_tile_is_returned_exactly_once(scene, settings):
    width, height, polygons = scene
    ids, rows, seen = [], [], set()
    for name, _, _, objects, inside in tiles_of(width, height, polygons, settings):
        ids += [name] * len(objects)
        rows += inside.tolist()
        seen.update(objects.tolist())
    detections = Detections.from_ids(ids, np.linspace(0.9, 0.1, len(ids)), np.array(rows).reshape(-1, 8))
    merged = merge_detections(parse_detections(format_detections(detections), "Task1_ship.txt"))
    assert len(merged) == len(seen)
    assert set(merged.images) <= {"P1"}
    expected = np.isin(np.arange(len(polygons)), list(seen)).astype(int)
    assert is_found(merged.polygons, polygons).tolist() == expected.tolist()


@given(scenes(), splits())
def test_boxes_are_merged_as_polygons_are(scene, settings):
    width, height, polygons = scene
    tiles, seen = [], set()
    for name, _, _, objects, inside in tiles_of(width, height, polygons, settings):
        boxes = min_area_boxes(inside.reshape(-1, 8))
        tiles.append(BoxDetections(name, boxes, np.linspace(0.9, 0.1, len(boxes)), np.zeros(len(boxes), np.int64)))
        seen.update(objects.tolist())
    (merged,) = merge_boxes(tiles)
    assert len(merged.boxes) == len(seen)


@given(scenes(), splits())
def test_objects_of_at_most_the_gap_lie_completely_in_a_tile(scene, settings):
    width, height, polygons = scene
    extents = np.ptp(polygons.reshape(-1, 4, 2), axis=1).max(axis=1, initial=0)
    complete = {index for *_, rate, objects, inside in tiles_of(width, height, polygons, settings)
                for index in objects.tolist()}  # fmt: skip
    rate = max(settings.rates) if settings.resamples else 1.0
    gaps = [gap for _, gap in settings.grids()]
    small = np.flatnonzero(extents * rate <= max(gaps) - 1e-6)
    single = len(gaps) == 1  # of several grids, windows that the image fills less may be dropped
    assume(single)
    assert set(small.tolist()) <= complete


@given(st.integers(1, 3000), st.integers(32, 1500), st.data())
def test_windows_of_an_axis_cover_it(length, size, data):
    gap = data.draw(st.integers(0, size - 1))
    starts = window_starts(length, size, gap)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] == max(length - size, 0)
    assert all(later - start <= size - gap for start, later in zip(starts, starts[1:]))


@given(st.integers(32, 300), st.data())
def test_some_tile_holds_the_stated_fraction_of_a_larger_object(size, data):
    gap = data.draw(st.integers(0, size - 1))
    width, height = data.draw(st.integers(size, 4 * size)), data.draw(st.integers(size, 4 * size))
    w, h = data.draw(st.floats(1, size)), data.draw(st.floats(1, size))
    x, y = data.draw(st.floats(0, width - w)), data.draw(st.floats(0, height - h))
    windows = sliding_windows(width, height, [(size, gap)])
    polygon = np.array([[x, y, x + w, y, x + w, y + h, x, y + h]])
    iof = aligned_iof(np.repeat(polygon, len(windows), 0), windows)
    fraction = min(1, (w + gap) / (2 * w)) * min(1, (h + gap) / (2 * h))
    assert iof.max() >= fraction - 1e-6


@given(
    st.text("Pa0_-.+(é船", min_size=1, max_size=20),
    st.one_of(st.integers(32, 10**8), st.floats(0.01, 31).map(lambda rate: round(rate, 4))),
    st.integers(-(10**8), 10**8), st.integers(-(10**8), 10**8),
)  # fmt: skip
def test_tile_names_are_parsed_back(image, scale, x, y):
    name = parse_tile_name(f"{image}__{scale}__{x}___{y}")
    assert (name.image_id, name.x, name.y) == (image, x, y)
    assert name.rate == (1.0 if isinstance(scale, int) else scale)


@pytest.mark.parametrize("style", ["mmrotate", "devkit"])
def test_an_image_without_objects_gives_no_detections(style):
    settings = SplitSettings(sizes=[64], gaps=[8], name_style=style)
    assert list(tiles_of(100, 100, np.empty((0, 8)), settings))
    assert len(merge_detections(Detections.from_ids([], np.empty(0), np.empty((0, 8))))) == 0

"""Counts of planned tiles against a real split and against loops over windows."""

import json

import numpy as np
import pytest

from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.tile_counts import count_tiles
from rotated_atss.tiling.windows import sliding_windows
from tests.references.datasets import dataset, random_dataset, write_folder

SETTINGS = [
    SplitSettings(sizes=(512,), gaps=(100,)),
    SplitSettings(sizes=(512,), gaps=(100,), rates=(0.5, 1.0)),
    SplitSettings(sizes=(1024,), gaps=(0,), iof_threshold=0.5),
]


@pytest.fixture(scope="module")
def objects():
    return random_dataset(count=150, image_wh=((900, 700), (500, 300), (1500, 600)))


def counts_of(objects, settings, workers=1):
    return count_tiles(objects.image_wh, objects.image_index, objects.polygons, settings, workers)


@pytest.mark.parametrize("settings", SETTINGS)
def test_counts_agree_with_a_split(objects, settings, tmp_path):
    root = write_folder(tmp_path / "full", objects)
    split_dota([root / "images"], [root / "labelTxt"], tmp_path / "tiles", settings, workers=1, progress=False)
    manifest = json.loads((tmp_path / "tiles" / "manifest.json").read_text())
    counts = counts_of(objects, settings)
    assert sorted(counts.objects_per_tile) == sorted(tile["objects"] for tile in manifest["tiles"])
    assert counts.in_no_tile.sum() == manifest["totals"]["in_no_tile"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_cut_objects_agree_with_loops(objects, settings):
    counts = counts_of(objects, settings)
    for row, polygon in enumerate(objects.polygons):
        width, height = objects.image_wh[objects.image_index[row]]
        xs, ys = np.clip(polygon[0::2], 0, width), np.clip(polygon[1::2], 0, height)
        whole = any(
            x0 <= xs.min() and xs.max() <= x1 and y0 <= ys.min() and ys.max() <= y1
            for x0, y0, x1, y1 in sliding_windows(width, height, settings.grids(), settings.image_ratio)
        )
        assert counts.cut[row] == (not whole)


def test_threads_give_the_same_counts(objects):
    one, two = (counts_of(objects, SETTINGS[0], workers) for workers in (1, 2))
    assert one.objects_per_tile.tolist() == two.objects_per_tile.tolist()
    assert one.cut.tolist() == two.cut.tolist()


def test_images_of_unknown_size_and_objects_without_area():
    counts = counts_of(dataset([[50, 50, 20, 20, 0]], image_wh=((0, 0),)), SETTINGS[0])
    assert (len(counts.objects_per_tile), counts.cut.tolist(), counts.in_no_tile.tolist()) == (0, [False], [False])
    counts = counts_of(dataset([[50, 50, 20, 0, 0]]), SETTINGS[0])
    assert (counts.cut.tolist(), counts.in_no_tile.tolist()) == ([False], [False])
    counts = counts_of(dataset([], image_wh=()), SETTINGS[0])
    assert (len(counts.objects_per_tile), len(counts.cut)) == (0, 0)


def test_a_gap_of_the_extent_cuts_nothing():
    """Every object up to the gap is whole in a window, wherever it lies."""
    rng = np.random.default_rng(0)
    sides = rng.uniform(1, 100, (500, 2))
    centers = rng.uniform(50, 1450, (500, 2))
    boxes = np.concatenate((centers, sides, np.zeros((500, 1))), axis=1)
    assert not counts_of(dataset(boxes, image_wh=((1500, 1500),)), SETTINGS[0]).cut.any()

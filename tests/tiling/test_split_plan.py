"""Large images are divided into parts that give the tiles and the statistics of one job."""

import re
from dataclasses import replace

import numpy as np
import pytest

import rotated_atss.tiling.split_image
import rotated_atss.tiling.split_plan
from rotated_atss.io.image_reader import WholeImageReader
from rotated_atss.tiling.split_image import SplitJob, split_image
from rotated_atss.tiling.split_plan import divide_job
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.split_stats import SplitStats, merge_stats

SHIPS = [(x, y, x + 40, y, x + 40, y + 30, x, y + 30) for x in range(0, 600, 70) for y in range(0, 450, 45)]
LABELS = [
    "10 10 60 10 60 40 10 40 ship 0",
    "300 100 700 100 700 600 300 600 plane 0",  # larger than a window: in no tile
    "5 5 5 5 5 5 5 5 ship 0",
    *(f"{' '.join(map(str, polygon))} ship 1" for polygon in SHIPS),
]


class TiledReader(WholeImageReader):
    access = "tiles"


@pytest.fixture
def tiled(monkeypatch):
    """Let every image be one that is read by tiles, and divide images of few windows."""
    for module in (rotated_atss.tiling.split_plan, rotated_atss.tiling.split_image):
        monkeypatch.setattr(module, "open_image", TiledReader)
    choose = lambda path, header, options: ("raster" if path.suffix == ".tif" else "png rows", "")  # noqa: E731
    monkeypatch.setattr(rotated_atss.tiling.split_plan, "choose_reader", choose)
    monkeypatch.setattr(rotated_atss.tiling.split_plan, "WINDOWS_PER_PART", 10)


@pytest.mark.parametrize("options", [{}, {"rates": [0.5, 1.0]}, {"keep_empty": False}])
def test_parts_equal_one_job(tmp_path, make_folder, split, tree, tiled, monkeypatch, options):
    folders = make_folder(tmp_path, {"P1.tif": (700, 500), "P2.tif": (90, 90)}, {"P1.tif": LABELS})
    results = {}
    for workers in (1, 2):
        results[workers] = split(*folders, tmp_path / f"out{workers}", workers=workers, **options)
    monkeypatch.setattr(rotated_atss.tiling.split_plan, "WINDOWS_PER_PART", 10_000)
    results["whole"] = split(*folders, tmp_path / "out", **options)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2") == tree(tmp_path / "out")
    same = [replace(result, out=None, seconds=0) for result in results.values()]
    assert same[0] == same[1] == same[2]
    assert results["whole"].totals.in_no_tile == 1
    assert results["whole"].totals.without_area == 1


@pytest.mark.parametrize(("name", "counted"), [("P1.tif", " 5/5 [.*part"), ("P1.png", " 2/2 [.*image")])
def test_progress_bar_names_what_it_counts(tmp_path, make_folder, split, tiled, capsys, name, counted):
    folders = make_folder(tmp_path, {name: (700, 500), "P2.png": (90, 90)})
    split(*folders, tmp_path / "out", workers=1, progress=True)
    assert re.search(counted.replace("[", r"\["), capsys.readouterr().err)


def test_number_of_parts(tmp_path, write_image, tiled):
    write_image(tmp_path / "P1.tif", 700, 500)
    settings = SplitSettings(sizes=[128], gaps=[32])
    job = SplitJob(tmp_path / "P1.tif", None, tmp_path, settings)
    assert [each.part for each in divide_job(job)] == [(0, 4), (1, 4), (2, 4), (3, 4)]  # 35 windows
    write_image(tmp_path / "P2.tif", 4000, 200)  # 2 rows of 42 windows
    assert len(divide_job(replace(job, image=tmp_path / "P2.tif"))) == 2
    write_image(tmp_path / "P3.png", 700, 500)  # can only be decoded forwards
    assert len(divide_job(replace(job, image=tmp_path / "P3.png"))) == 1
    for options in ({"whole_images": True}, {"name_style": "devkit", "rates": (0.5,)}):
        assert len(divide_job(replace(job, settings=replace(settings, **options)))) == 1


def test_every_window_is_in_one_part(tmp_path, write_image, tiled):
    write_image(tmp_path / "P1.tif", 700, 500)
    (tmp_path / "images").mkdir()
    job = SplitJob(tmp_path / "P1.tif", None, tmp_path, SplitSettings(sizes=[128, 200], gaps=[32, 10]))
    names = [[tile.name for tile in split_image(part).tiles] for part in divide_job(job)]
    assert len(names) > 3
    assert all(names)
    together = [name for part in names for name in part]
    assert sorted(together) == sorted(tile.name for tile in split_image(job).tiles)
    assert len(set(together)) == len(together)


def test_merged_statistics_need_every_part():
    parts = [SplitStats(9, 9, 3, (7,), lost, (), counts) for lost, counts in
             [((0, 1), (0, 0, 2)), ((1, 2), (1, 0, 0))]]  # fmt: skip
    merged = merge_stats(parts)
    assert merged.in_no_tile == (1,)
    assert merged.tiles_per_object == (1, 0, 2)
    assert merged.without_area == (7,)
    assert np.sum(merged.tiles_per_object) == 3

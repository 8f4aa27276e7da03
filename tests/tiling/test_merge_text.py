"""Merging tiles into full images, against DOTA_devkit and against what the rules say."""

import numpy as np
import pytest

import rotated_atss.tiling.merge_text
from rotated_atss.dota.detections import Detections, list_task1_files, read_detections, task1_path, write_detections
from rotated_atss.errors import UserError
from rotated_atss.ops.polygon_iou import polygon_ious
from rotated_atss.tiling.merge_text import merge_detections, merge_folder, parse_tile_name, to_full_images

BOX = "10 10 30 10 30 20 10 20"


def write_task1(folder, name, *lines):
    folder.mkdir(exist_ok=True)
    (folder / f"Task1_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def rows_of(detections):
    polygons = map(tuple, np.round(detections.polygons, 6).tolist())
    return list(zip(detections.image_ids.tolist(), detections.scores.tolist(), polygons))


# -- names


@pytest.mark.parametrize(
    ("name", "image", "rate", "x", "y"),
    [
        ("P0001__1024__0___824", "P0001", 1.0, 0, 824),
        ("P0001__32__5___6", "P0001", 1.0, 5, 6),
        ("P0001__1__0___824", "P0001", 1.0, 0, 824),
        ("P0001__1.0__600___0", "P0001", 1.0, 600, 0),
        ("P0001__0.5__0___824", "P0001", 0.5, 0, 824),
        ("P0001__1.001__0___824", "P0001", 1.001, 0, 824),
        ("P0001__2__0___824", "P0001", 2.0, 0, 824),
        ("a__b__1024__7___8", "a__b", 1.0, 7, 8),
        ("a__1.0__3___4__0.5__7___8", "a__1.0__3___4", 0.5, 7, 8),
    ],
)
def test_tile_names(name, image, rate, x, y):
    tile = parse_tile_name(name)
    assert (tile.image_id, tile.rate, tile.x, tile.y) == (image, rate, x, y)


@pytest.mark.parametrize("name", ["P0001", "P0001__1024__0__824", "P0001__0__0___824", "__1__0___0", "P1__1e3__0___0"])
def test_what_is_no_tile_name(name):
    with pytest.raises(UserError, match="is not a tile name"):
        parse_tile_name(name)


# -- one class


def detections(*rows):
    """Of (tile, score, polygon)."""
    names, scores, polygons = zip(*rows)
    return Detections.from_ids(names, np.array(scores), np.array(polygons, dtype=float))


def test_a_point_moves_by_the_corner_and_is_divided_by_the_rate():
    point = [1.0, 2, 3, 2, 3, 4, 1, 4]
    found = to_full_images(
        detections(("P1__1024__100___200", 1, point), ("P1__0.5__100___200", 1, point), ("P2__2__100___200", 1, point))
    )
    assert found.image_ids.tolist() == ["P1", "P1", "P2"]
    assert found.polygons[0, :2].tolist() == [101, 202]
    assert found.polygons[1, :2].tolist() == [202, 404]
    assert found.polygons[2, :2].tolist() == [50.5, 101]


def test_what_two_tiles_saw_is_kept_once_and_images_and_scores_are_ordered():
    here, there = [900.0, 10, 920, 10, 920, 20, 900, 20], [76.0, 10, 96, 10, 96, 20, 76, 20]
    merged = merge_detections(
        detections(
            ("P2__1024__0___0", 0.3, here),
            ("P1__1024__0___0", 0.6, here),
            ("P1__1024__824___0", 0.8, there),
            ("P1__1024__824___0", 0.9, [500.0, 10, 520, 10, 520, 20, 500, 20]),
            ("P2__1024__824___0", 0.3, there),
        )
    )
    assert merged.image_ids.tolist() == ["P2", "P1", "P1"]
    assert merged.scores.tolist() == [0.3, 0.9, 0.8]
    assert merged.polygons[2].tolist() == here


def test_nothing_to_merge():
    assert len(merge_detections(Detections.from_ids([], np.empty(0), np.empty((0, 8))))) == 0


def compare_with_upstream(folder, reverse):
    """How many rows of the upstream merge ours has, and how many it has with a twin of the same score instead."""
    same = twins = 0
    for name, path in list_task1_files(folder / "tile_detections").items():
        tiles = read_detections(path)
        tiles = tiles.take(np.arange(len(tiles))[::-1]) if reverse else tiles
        ours = set(rows_of(merge_detections(tiles, 0.3, path=path)))
        theirs = set(rows_of(read_detections(task1_path(folder / "merged_detections", name))))
        same += len(ours & theirs)
        for image, score, polygon in theirs - ours:
            others = [other[2] for other in ours - theirs if other[:2] == (image, score)]
            twins += bool((polygon_ious(np.array(others), np.array([polygon] * len(others))) > 0.3).any())
    return same, twins


def test_real_tiles_differ_from_the_upstream_merge_by_score_ties_only(shared_data):
    """Upstream's sort leaves equal scores in no particular order: of its 857 rows 777 do not depend on it."""
    folder = shared_data("dota_eval", "nine_images")
    assert compare_with_upstream(folder, reverse=False) == (805, 52)
    assert compare_with_upstream(folder, reverse=True)[0] == 777


def random_tiles(rng, count):
    """Names, scores (no two alike) and skew quadrilaterals on tiles of three rates."""
    images, corners_x = rng.integers(0, 3, count), 824 * rng.integers(0, 2, count)
    rates = rng.choice(["1.0", "0.5", "1.001"], count)
    names = [f"P{image}__{rate}__{x}___0" for image, rate, x in zip(images, rates, corners_x)]
    corners = np.array([0.0, 0, 40, 5, 45, 45, 5, 40]) + np.tile(rng.uniform(0, 300, (count, 2)), 4)
    return names, rng.permutation(count) / count, np.round(corners + rng.normal(0, 4, (count, 8)), 1)


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_equals_the_devkit(tmp_path, threshold):
    merge = pytest.importorskip("dotadevkit.ops.ResultMerge")
    (tmp_path / "tiles").mkdir()
    names, scores, polygons = random_tiles(np.random.default_rng(0), 1500)
    write_detections(tmp_path / "tiles" / "Task1_ship.txt", Detections.from_ids(names, scores, polygons))
    merge.mergebase(tmp_path / "tiles", tmp_path / "theirs", merge.py_cpu_nms_poly_fast, threshold)
    merge_folder(tmp_path / "tiles", tmp_path / "ours", threshold)
    ours, theirs = (read_detections(task1_path(tmp_path / side, "ship")) for side in ("ours", "theirs"))
    assert rows_of(ours) == rows_of(theirs)  # in the same order, too
    assert 100 < len(ours) < 1400


# -- folders


def test_texts_stay_short_and_scores_as_written(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", "P1__1024__810___0 0.90 664.9 0.3 700 0 700 20 664.9 20")
    merge_folder(tiles, tmp_path / "out")
    assert (
        tmp_path / "out" / "Task1_ship.txt"
    ).read_text() == "P1 0.90 1474.9 0.3 1510.0 0.0 1510.0 20.0 1474.9 20.0\n"


def test_every_class_of_the_list_gets_a_file(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}", f"P1__1.0__0___0 0.8 {BOX}")
    told = merge_folder(tiles, tmp_path / "out", classes=("plane", "ship"))
    assert [(each.name, each.tiles, each.images, each.before, each.after) for each in told] == [
        ("plane", 0, 0, 0, 0),
        ("ship", 2, 1, 2, 1),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Task1_plane.txt", "Task1_ship.txt"]
    assert (tmp_path / "out" / "Task1_plane.txt").read_bytes() == b""
    with pytest.raises(UserError, match="Task1_ship.txt: unknown class 'ship'"):
        merge_folder(tiles, tmp_path / "other", classes=("plane",))
    assert not (tmp_path / "other").exists()


def test_workers_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("rotated_atss.tiling.merge_text._SMALL", 0)
    (tmp_path / "tiles").mkdir()
    for seed, name in enumerate(("ship", "plane", "harbor")):
        rows = random_tiles(np.random.default_rng(seed), 300)
        write_detections(task1_path(tmp_path / "tiles", name), Detections.from_ids(*rows))
    told = [merge_folder(tmp_path / "tiles", tmp_path / f"out{workers}", workers=workers) for workers in (1, 2)]
    assert told[0] == told[1]
    for name in ("ship", "plane", "harbor"):
        one, two = (task1_path(tmp_path / f"out{workers}", name).read_bytes() for workers in (1, 2))
        assert one == two
        assert one


@pytest.mark.parametrize("order", ["by image", "by tile", "mixed", "from the middle"])
def test_parts_of_a_file_give_what_the_whole_gives(tmp_path, monkeypatch, order):
    """Also where an image's lines are not together: then the parts are given up for the whole."""
    names, scores, polygons = random_tiles(np.random.default_rng(3), 400)
    images = [name.partition("__")[0] for name in names]
    by = {"by image": np.argsort(images, kind="stable"), "by tile": np.argsort(names, kind="stable")}
    rows = by.get(order, np.arange(400))
    rows = np.roll(by["by tile"], 40) if order == "from the middle" else rows
    (tmp_path / "tiles").mkdir()
    given = Detections.from_ids(np.array(names)[rows], scores[rows], polygons[rows])
    write_detections(task1_path(tmp_path / "tiles", "ship"), given)
    found = []
    for part in (1 << 22, 2000, 1):
        monkeypatch.setattr("rotated_atss.tiling.merge_text._PART", part)
        told = merge_folder(tmp_path / "tiles", tmp_path / f"out{part}", progress=False)
        found.append((told, rows_of(read_detections(task1_path(tmp_path / f"out{part}", "ship")))))
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) > 100


def test_parts_end_where_images_end(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", *(f"{name}__1__0___0 1 {BOX}" for name in ("P1", "P1", "P2", "P3")))
    path = task1_path(tiles, "ship")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotated_atss.tiling.merge_text, "_PART", 5)
        parts = rotated_atss.tiling.merge_text._cut(
            rotated_atss.tiling.merge_text._Part("ship", path, 0.1, 0, path.stat().st_size)
        )
    assert [path.read_bytes()[part.start : part.start + part.length].count(b"\n") for part in parts] == [2, 1, 1]
    assert parts[0].start == 0
    assert all(one.start + one.length == two.start for one, two in zip(parts, parts[1:]))


@pytest.mark.parametrize("part", [1, 1 << 22])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"P1 0.9 {BOX}", "Task1_ship.txt:3: 'P1' is not a tile name"),
        ("P1__1024__0___0 0.9 1 2 3", "Task1_ship.txt:3: .*10 fields"),
        (f"P1__1024__0___0 x {BOX}", "Task1_ship.txt:3: 'x' is not a number"),
    ],
)
def test_a_wrong_line_stops_everything(tmp_path, monkeypatch, workers, line, words, part):
    monkeypatch.setattr("rotated_atss.tiling.merge_text._SMALL", 0)
    monkeypatch.setattr("rotated_atss.tiling.merge_text._PART", part)
    tiles = write_task1(tmp_path / "tiles", "ship", f"P0__1024__0___0 0.9 {BOX}", "", line, f"P2__1__0___0 1 {BOX}")
    write_task1(tiles, "plane", f"P1__1024__0___0 0.9 {BOX}")
    with pytest.raises(UserError, match=words):
        merge_folder(tiles, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


def test_the_input_folder_is_never_written(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}")
    for out in (tiles, tiles / "merged", tmp_path):
        with pytest.raises(UserError, match="overlaps the input"):
            merge_folder(tiles, out)
    assert [path.name for path in tiles.iterdir()] == ["Task1_ship.txt"]


def test_files_of_an_earlier_merge(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}")
    merge_folder(tiles, tmp_path / "out")
    merge_folder(tiles, tmp_path / "out")  # again is fine
    write_task1(tmp_path / "out", "plane", f"P1 0.9 {BOX}")
    with pytest.raises(UserError, match="Task1_plane.txt: a file of an earlier merge"):
        merge_folder(tiles, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tiles_dir": "absent"}, "no such folder"),
        ({"tiles_dir": "."}, "no Task1_<class>.txt"),
        ({"iou_threshold": 1.5}, "between 0 and 1, not at 1.5"),
        ({"workers": 0}, "at least 1 worker"),
        ({"classes": "ship"}, "neither a DOTA version"),
    ],
)
def test_wrong_arguments(tmp_path, change, words):
    write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}")
    given = {"tiles_dir": "tiles", "out_dir": tmp_path / "out", **change}
    given["tiles_dir"] = tmp_path / given["tiles_dir"]
    with pytest.raises(UserError, match=words):
        merge_folder(**given)

"""Merging of Task1 folders, compared with DOTA_devkit; the result does not depend on workers or parts."""

from contextlib import suppress

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections, list_task1_files, read_detections, task1_path, write_detections
from rotated_atss.errors import UserError
from rotated_atss.io import run_state
from rotated_atss.io.run_state import finish_moves
from rotated_atss.tiling.merge_parts import TextPart, cut_into_parts
from rotated_atss.tiling.merge_text import merge_folder
from tests.tiling.task1_rows import rows_of

BOX = "10 10 30 10 30 20 10 20"


def write_task1(folder, name, *lines):
    folder.mkdir(exist_ok=True)
    (folder / f"Task1_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def random_tiles(rng, count):
    """Names, distinct scores and skewed quadrilaterals on tiles of three rates."""
    images, corners_x = rng.integers(0, 3, count), 824 * rng.integers(0, 2, count)
    rates = rng.choice(["1.0", "0.5", "1.001"], count)
    names = [f"P{image}__{rate}__{x}___0" for image, rate, x in zip(images, rates, corners_x)]
    corners = np.array([0.0, 0, 40, 5, 45, 45, 5, 40]) + np.tile(rng.uniform(0, 300, (count, 2)), 4)
    return names, rng.permutation(count) / count, np.round(corners + rng.normal(0, 4, (count, 8)), 1)


@pytest.mark.baseline
@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_equals_dota_devkit(tmp_path, threshold):
    merge = pytest.importorskip("dotadevkit.ops.ResultMerge")
    (tmp_path / "tiles").mkdir()
    names, scores, polygons = random_tiles(np.random.default_rng(0), 1500)
    write_detections(tmp_path / "tiles" / "Task1_ship.txt", Detections.from_ids(names, scores, polygons))
    merge.mergebase(tmp_path / "tiles", tmp_path / "devkit", merge.py_cpu_nms_poly_fast, threshold)
    merge_folder(tmp_path / "tiles", tmp_path / "merged", threshold)
    merged, expected = (read_detections(task1_path(tmp_path / folder, "ship")) for folder in ("merged", "devkit"))
    assert rows_of(merged) == rows_of(expected)  # including the order
    assert 100 < len(merged) < 1400


def test_coordinates_stay_short_and_scores_keep_their_text(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", "P1__1024__810___0 0.90 664.9 0.3 700 0 700 20 664.9 20")
    merge_folder(tiles, tmp_path / "out")
    assert (
        tmp_path / "out" / "Task1_ship.txt"
    ).read_text() == "P1 0.90 1474.9 0.3 1510.0 0.0 1510.0 20.0 1474.9 20.0\n"


def test_every_given_class_gets_a_file(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}", f"P1__1.0__0___0 0.8 {BOX}")
    counts = merge_folder(tiles, tmp_path / "out", classes=("plane", "ship"))
    assert [(each.name, each.tiles, each.images, each.before, each.after) for each in counts] == [
        ("plane", 0, 0, 0, 0),
        ("ship", 2, 1, 2, 1),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Task1_plane.txt", "Task1_ship.txt"]
    assert (tmp_path / "out" / "Task1_plane.txt").read_bytes() == b""
    with pytest.raises(UserError, match=r"Task1_ship\.txt: unknown class 'ship'"):
        merge_folder(tiles, tmp_path / "other", classes=("plane",))
    assert not (tmp_path / "other").exists()


def test_output_does_not_depend_on_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("rotated_atss.tiling.merge_text._SERIAL_BYTES", 0)
    (tmp_path / "tiles").mkdir()
    for seed, name in enumerate(("ship", "plane", "harbor")):
        rows = random_tiles(np.random.default_rng(seed), 300)
        write_detections(task1_path(tmp_path / "tiles", name), Detections.from_ids(*rows))
    counts = [merge_folder(tmp_path / "tiles", tmp_path / f"out{workers}", workers=workers) for workers in (1, 2)]
    assert counts[0] == counts[1]
    for name in ("ship", "plane", "harbor"):
        one, two = (task1_path(tmp_path / f"out{workers}", name).read_bytes() for workers in (1, 2))
        assert one == two
        assert one


@pytest.mark.parametrize("order", ["by image", "by tile", "mixed", "from the middle"])
def test_output_does_not_depend_on_parts(tmp_path, monkeypatch, order):
    """Files whose lines are not grouped by image are merged as a whole."""
    names, scores, polygons = random_tiles(np.random.default_rng(3), 400)
    images = [name.partition("__")[0] for name in names]
    by = {"by image": np.argsort(images, kind="stable"), "by tile": np.argsort(names, kind="stable")}
    rows = by.get(order, np.arange(400))
    rows = np.roll(by["by tile"], 40) if order == "from the middle" else rows
    (tmp_path / "tiles").mkdir()
    given = Detections.from_ids(np.array(names)[rows], scores[rows], polygons[rows])
    write_detections(task1_path(tmp_path / "tiles", "ship"), given)
    results = []
    for part in (1 << 22, 2000, 1):
        monkeypatch.setattr("rotated_atss.tiling.merge_text._PART_BYTES", part)
        counts = merge_folder(tmp_path / "tiles", tmp_path / f"out{part}", progress=False)
        results.append((counts, rows_of(read_detections(task1_path(tmp_path / f"out{part}", "ship")))))
    assert results[0] == results[1] == results[2]
    assert len(results[0][1]) > 100


def test_parts_end_between_images(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", *(f"{name}__1__0___0 1 {BOX}" for name in ("P1", "P1", "P2", "P3")))
    path = task1_path(tiles, "ship")
    parts = cut_into_parts(TextPart.of_file("ship", path, 0.1), 5)
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
def test_malformed_line_stops_the_merge(tmp_path, monkeypatch, workers, line, words, part):
    monkeypatch.setattr("rotated_atss.tiling.merge_text._SERIAL_BYTES", 0)
    monkeypatch.setattr("rotated_atss.tiling.merge_text._PART_BYTES", part)
    tiles = write_task1(tmp_path / "tiles", "ship", f"P0__1024__0___0 0.9 {BOX}", "", line, f"P2__1__0___0 1 {BOX}")
    write_task1(tiles, "plane", f"P1__1024__0___0 0.9 {BOX}")
    with pytest.raises(UserError, match=words):
        merge_folder(tiles, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


def test_input_folder_is_never_written(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}")
    for out in (tiles, tiles / "merged", tmp_path):
        with pytest.raises(UserError, match="overlaps the input"):
            merge_folder(tiles, out)
    assert [path.name for path in tiles.iterdir()] == ["Task1_ship.txt"]


def test_files_of_an_earlier_merge_are_replaced_or_rejected(tmp_path):
    tiles = write_task1(tmp_path / "tiles", "ship", f"P1__1024__0___0 0.9 {BOX}")
    merge_folder(tiles, tmp_path / "out")
    merge_folder(tiles, tmp_path / "out")  # replaces its own files
    write_task1(tmp_path / "out", "plane", f"P1 0.9 {BOX}")
    with pytest.raises(UserError, match=r"Task1_plane\.txt: the file of an earlier merge"):
        merge_folder(tiles, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tiles_dir": "absent"}, "no such folder"),
        ({"tiles_dir": "."}, "no Task1_<class>.txt"),
        ({"iou_threshold": 1.5}, r"must be in \[0, 1\], got 1.5"),
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


def test_merge_killed_while_it_renames_is_reported_and_repeated(tmp_path, monkeypatch):
    (tmp_path / "tiles").mkdir()
    for name in ("plane", "ship"):
        (tmp_path / "tiles" / f"Task1_{name}.txt").write_text("P1__1024__824___0 0.9 1 2 11 2 11 8 1 8\n")
    merge_folder(tmp_path / "tiles", tmp_path / "whole", workers=1)

    def killed(journal):
        finish_moves({**journal, "moves": journal["moves"][:1]})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(run_state, "finish_moves", killed)
        merge_folder(tmp_path / "tiles", tmp_path / "out", workers=1)
    with pytest.raises(UserError, match=r"out: the Task1 files are incomplete: .* \(run the"):
        list_task1_files(tmp_path / "out")
    merge_folder(tmp_path / "tiles", tmp_path / "out", workers=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Task1_plane.txt", "Task1_ship.txt"]
    for name, path in list_task1_files(tmp_path / "out").items():
        assert path.read_bytes() == (tmp_path / "whole" / f"Task1_{name}.txt").read_bytes()

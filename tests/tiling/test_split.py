"""The output of splitting, compared with the rules and with mmrotate and DOTA_devkit."""

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import rotated_atss.tiling.split
import rotated_atss.tiling.split_image
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings

ORDINARY = "10 10 60 10 60 40 10 40 ship 0"


def tile_labels(out, name) -> Labels:
    return read_labels(out / "labelTxt" / f"{name}.txt")


# -- output ------------------------------------------------------------------------------------------------------------


def test_tiles_are_the_windows_of_the_image(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (300, 200)})
    result = split(*folders, tmp_path / "out")
    source = cv2.imread(str(folders[0] / "P1.png"))
    names = sorted(path.stem for path in (tmp_path / "out" / "images").iterdir())
    assert names == sorted(f"P1__128__{x}___{y}" for x in (0, 96, 172) for y in (0, 72))
    for name in names:
        x, y = map(int, name.split("__128__")[1].split("___"))
        tile = cv2.imread(str(tmp_path / "out" / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(tile, source[y : y + 128, x : x + 128])
    assert sorted(path.stem for path in (tmp_path / "out" / "labelTxt").iterdir()) == names
    assert result.totals.images == 1
    assert result.totals.tiles == 6
    assert result.totals.empty_tiles == 5


def test_small_image_is_padded_right_and_below(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (100, 70)})
    split(*folders, tmp_path / "out")
    tile = cv2.imread(str(tmp_path / "out" / "images" / "P1__128__0___0.png"))
    assert tile.shape == (128, 128, 3)
    assert np.array_equal(tile[:70, :100], cv2.imread(str(folders[0] / "P1.png")))
    assert (tile[70:] == (104, 116, 124)).all()
    assert (tile[:, 100:] == (104, 116, 124)).all()
    split(*folders, tmp_path / "short", padding=None)
    assert cv2.imread(str(tmp_path / "short" / "images" / "P1__128__0___0.png")).shape == (70, 100, 3)


def test_truncated_objects_keep_their_polygon_and_become_difficult_2(tmp_path, make_folder, split):
    """P0706 of DOTA has a vertex 1 px outside the image."""
    lines = [
        "imagesource:GoogleEarth",
        "gsd:null",
        "-1 20 40 20 40 40 0 40 ship 0",  # 1 px outside
        "0 0 128 0 128 128 0 128 harbor 1",  # the whole window
        "98 10 138 10 138 30 98 30 plane 1",  # 0.75 in the first window
        "105 50 145 50 145 60 105 60 plane 1",  # 0.575 in the first window
        "170.5 60 180.25 60 180.25 70 170.5 70 small-vehicle",
    ]
    folders = make_folder(tmp_path, {"P1.png": (224, 128)}, {"P1.png": lines})
    result = split(*folders, tmp_path / "out")
    left, right = tile_labels(tmp_path / "out", "P1__128__0___0"), tile_labels(tmp_path / "out", "P1__128__96___0")
    assert left.names == ("ship", "harbor", "plane")
    assert left.difficult.tolist() == [2, 1, 2]
    assert left.polygons[0].tolist() == [-1, 20, 40, 20, 40, 40, 0, 40]
    assert right.names == ("plane", "plane", "small-vehicle")
    assert right.difficult.tolist() == [1, 1, 0]
    assert right.polygons[2].tolist() == [74.5, 60, 84.25, 60, 84.25, 70, 74.5, 70]
    assert (result.totals.objects_in_images, result.totals.objects_in_tiles, result.totals.truncated) == (5, 6, 2)


def test_decimal_coordinates_inside_are_not_truncated(tmp_path, make_folder, split):
    """Areas in mmrotate are float32, so it flags about half of these objects as truncated."""
    rng = np.random.default_rng(0)
    boxes = (
        rng.uniform(1, 90, (50, 1, 2)) + np.array([[0, 0], [30, 0], [30, 30], [0, 30]]) + rng.uniform(0, 5, (50, 4, 2))
    )
    lines = [" ".join(f"{value:.3f}" for value in box.ravel()) + " ship 0" for box in boxes]
    folders = make_folder(tmp_path, {"P1.png": (128, 128)}, {"P1.png": lines})
    split(*folders, tmp_path / "out")
    labels = tile_labels(tmp_path / "out", "P1__128__0___0")
    assert len(labels) == 50
    assert not labels.difficult.any()


def test_objects_without_area_are_counted_and_reported_once(tmp_path, caplog, make_folder, split):
    lines = ["gsd:1", ORDINARY, "5 5 5 5 5 5 5 5 ship 0", "1 1 9 9 5 5 1 1 ship 0"]
    folders = make_folder(tmp_path, {"P1.png": (300, 300), "P2.png": (100, 100)}, {"P1.png": lines, "P2.png": lines})
    with caplog.at_level(logging.WARNING):
        result = split(*folders, tmp_path / "out")
    assert [record.getMessage() for record in caplog.records] == [
        f"4 objects without area left out, the first at {folders[1] / 'P1.txt'}:3"
    ]
    assert result.totals.without_area == 4
    assert result.totals.in_no_tile == 0


def test_objects_too_large_for_any_tile_are_counted(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (300, 300)}, {"P1.png": [ORDINARY, "0 0 290 0 290 290 0 290 harbor 0"]})
    assert split(*folders, tmp_path / "out").totals.in_no_tile == 1
    assert split(*folders, tmp_path / "more", rates=[1.0, 0.4]).totals.in_no_tile == 0


def test_without_labels_only_images_are_written(tmp_path, make_folder, split):
    images, _ = make_folder(tmp_path, {"P1.png": (200, 100)})
    split([images], None, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "manifest.json"]
    with pytest.raises(UserError, match="without labels"):
        split([images], None, tmp_path / "other", keep_empty=False)


def test_empty_tiles_can_be_dropped(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (300, 300), "P2.png": (90, 90)}, {"P2.png": []})
    result = split(*folders, tmp_path / "out", keep_empty=False)
    assert result.totals.tiles == 1
    assert result.totals.empty_tiles == 0
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1


def test_headerless_empty_label_file_is_an_image_without_objects(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (90, 90)}, {"P1.png": []})
    split(*folders, tmp_path / "out")
    assert (tmp_path / "out" / "labelTxt" / "P1__128__0___0.txt").read_bytes() == b""


def test_rates_in_both_styles(tmp_path, make_folder, split):
    folders = make_folder(tmp_path, {"P1.png": (256, 256)}, {"P1.png": ["20 30 120 30 120 90 20 90 ship 0"]})
    split(*folders, tmp_path / "windows", rates=[0.5, 1.0], gaps=[0])
    names = {path.stem for path in (tmp_path / "windows" / "images").iterdir()}
    assert names == {"P1__256__0___0"} | {f"P1__128__{x}___{y}" for x in (0, 128) for y in (0, 128)}
    split(*folders, tmp_path / "scaled", rates=[0.5, 1.0], gaps=[0], name_style="devkit")
    names = {path.stem for path in (tmp_path / "scaled" / "images").iterdir()}
    assert names == {"P1__0.5__0___0"} | {f"P1__1__{x}___{y}" for x in (0, 128) for y in (0, 128)}
    half = cv2.resize(cv2.imread(str(folders[0] / "P1.png")), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(cv2.imread(str(tmp_path / "scaled" / "images" / "P1__0.5__0___0.png")), half)
    labels = tile_labels(tmp_path / "scaled", "P1__0.5__0___0")
    assert labels.polygons.tolist() == [[10, 15, 60, 15, 60, 45, 10, 45]]


@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0, 1.001, 2.0])
@pytest.mark.parametrize("style", ["mmrotate", "devkit"])
def test_tile_names_parse_back(rate, style):
    settings = SplitSettings(sizes=(100,), gaps=(10,), rates=(rate,), name_style=style)
    size = settings.grids()[0][0]
    parsed = parse_tile_name(settings.tile_name("P__1", rate, [7, 8, 7 + size, 8 + size]))
    assert (parsed.image_id, parsed.x, parsed.y) == ("P__1", 7, 8)
    assert parsed.rate == (rate if style == "devkit" else 1.0)


def test_manifest_lists_settings_images_and_tiles(tmp_path, make_folder, split):
    first = make_folder(tmp_path / "a", {"P2.png": (200, 100), "P1.png": (60, 60)})
    second = make_folder(
        tmp_path / "b", {"P0.png": (100, 100)}, {"P0.png": ["-9 0 21 0 21 9 -9 9 ship 0", "1 1 1 1 1 1 1 1 a"]}
    )
    split([first[0], second[0]], [first[1], second[1]], tmp_path / "out", classes=["ship", "a"])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [(image["file"], image["folder"], image["width"], image["tiles"]) for image in manifest["images"]] == [
        ("P0.png", 1, 100, 1),
        ("P1.png", 0, 60, 1),
        ("P2.png", 0, 200, 2),
    ]
    assert manifest["tiles"][0] == {"image": "P0.png", "name": "P0__128__0___0", "objects": 1, "truncated": 1}
    assert [tile["name"] for tile in manifest["tiles"]] == sorted(
        path.stem for path in (tmp_path / "out/images").iterdir()
    )
    assert manifest["totals"] == {
        "images": 3,
        "tiles": 4,
        "empty_tiles": 1,
        "objects_in_images": 4,
        "objects_in_tiles": 3,
        "truncated": 1,
        "without_area": 1,
        "in_no_tile": 0,
    }
    assert manifest["settings"]["padding"] == [104, 116, 124]
    assert manifest["settings"]["sizes"] == [128]


def test_output_does_not_depend_on_threads(tmp_path, make_folder, split, tree, monkeypatch):
    folders = make_folder(tmp_path, {"P1.png": (700, 500)})
    used = []
    map_in_threads = rotated_atss.tiling.split_image.map_in_threads

    def watched(function, items, workers):
        used.append(workers)
        return map_in_threads(function, items, workers)

    monkeypatch.setattr("rotated_atss.tiling.split_image.map_in_threads", watched)
    for workers in (1, 3):
        split(*folders, tmp_path / f"out{workers}", workers=workers, rates=[0.5, 1.0])
    assert used == [1, 3]
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")


@pytest.mark.parametrize(
    ("job_bytes", "jobs", "workers", "threads"),
    [(1, 100, 8, 1), (1, 3, 8, 3), (1, 1, 8, 8), (5 << 30, 100, 8, 8), (3 << 30, 100, 8, 4), (9 << 30, 2, 1, 1)],
)
def test_few_images_at_once_get_more_threads(job_bytes, jobs, workers, threads):
    assert rotated_atss.tiling.split._threads(job_bytes, jobs, workers) == threads


def test_output_does_not_depend_on_workers(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path, {f"P{index}.png": (150 + 40 * index, 300 - 30 * index) for index in range(6)})
    for workers in (1, 2, 3):
        split(*folders, tmp_path / f"out{workers}", workers=workers, rates=[0.5, 1.0])
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2") == tree(tmp_path / "out3")


@pytest.mark.parametrize("image_format", ["jpg", "bmp", "tif"])
def test_other_formats(tmp_path, image_format, make_folder, split):
    folders = make_folder(tmp_path, {"P1.jpg": (128, 128)})
    split(*folders, tmp_path / "out", image_format=image_format)
    tile = cv2.imread(str(tmp_path / "out" / "images" / f"P1__128__0___0.{image_format}"))
    source = cv2.imread(str(folders[0] / "P1.jpg"))
    assert tile.shape == source.shape
    assert image_format == "jpg" or np.array_equal(tile, source)


# -- baselines ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def img_split() -> Path:
    """The splitting script of mmrotate."""
    found = importlib.util.find_spec("mmrotate")
    path = found and Path(str(found.origin)).parent / ".mim/tools/data/dota/split/img_split.py"
    if not path or not path.exists():
        pytest.skip("mmrotate's img_split.py is not installed")
    return path


def run_img_split(tool, folders, out, *options):
    command = [sys.executable, str(tool), "--save-dir", str(out), "--nproc", "2"]
    command += ["--padding-value", "104", "116", "124"]
    command += ["--img-dirs", *[str(images) for images, _ in folders]]
    if folders[0][1]:
        command += ["--ann-dirs", *[str(labels) for _, labels in folders]]
    subprocess.run([*command, *map(str, options)], check=True, capture_output=True)


def assert_same_tiles(tiles, baseline, labeled=True):
    names = sorted(path.name for path in (baseline / "images").iterdir())
    assert sorted(path.name for path in (tiles / "images").iterdir()) == names
    assert names
    for name in names:
        pixels = [cv2.imread(str(folder / "images" / name), cv2.IMREAD_UNCHANGED) for folder in (tiles, baseline)]
        assert np.array_equal(*pixels), name
        if labeled:
            name = Path(name).stem
            assert_same_objects(tile_labels(tiles, name), read_labels(baseline / "annfiles" / f"{name}.txt"))


def assert_same_objects(labels, baseline):
    assert labels.names == baseline.names
    np.testing.assert_allclose(labels.polygons, baseline.polygons, atol=1e-3, rtol=0)
    assert labels.difficult.tolist() == baseline.difficult.tolist()


def random_lines(rng, width, height, count, step=0.5, shift=0):
    """Objects, some across the borders. Steps of half a pixel keep areas exact in the float32 that mmrotate uses."""
    center = shift + rng.uniform(0, (width, height), (count, 1, 2))
    corners = center + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * rng.uniform(10, 40, (count, 1, 2))
    corners = np.round((corners + rng.uniform(-4, 4, (count, 4, 2))) / step) * step
    corners[::4] = corners[::4, ::-1]
    names = rng.choice(["ship", "plane", "harbor"], count)
    rows = [" ".join(f"{value:.3f}" for value in polygon) for polygon in corners.reshape(-1, 8)]
    return [f"{row} {name} {index % 3}" for index, (row, name) in enumerate(zip(rows, names))]


@pytest.mark.parametrize(
    ("options", "baseline_options"),
    [
        ({}, ["--sizes", 128, "--gaps", 32]),
        ({"rates": [0.5, 1.0, 1.5]}, ["--sizes", 128, "--gaps", 32, "--rates", 0.5, 1.0, 1.5]),
        ({"sizes": [128, 200], "gaps": [32, 64]}, ["--sizes", 128, 200, "--gaps", 32, 64]),
        (
            {"iof_threshold": 0.3, "image_ratio": 0.9},
            ["--sizes", 128, "--gaps", 32, "--iof-thr", 0.3, "--img-rate-thr", 0.9],
        ),
        ({"padding": None}, ["--sizes", 128, "--gaps", 32, "--no-padding"]),
    ],
    ids=["plain", "rates", "sizes", "thresholds", "no padding"],
)
def test_same_as_mmrotate(tmp_path, img_split, options, baseline_options, make_folder, split):
    rng = np.random.default_rng(3)
    shapes = [(300, 200), (128, 128), (90, 400), (50, 60), (129, 500)]
    images = {f"P{index}.png": shape for index, shape in enumerate(shapes)}
    lines = {name: random_lines(rng, *shape, 60) for name, shape in images.items()}
    folders = make_folder(tmp_path, images, lines)
    run_img_split(img_split, [folders], tmp_path / "baseline", *baseline_options)
    split(*folders, tmp_path / "tiles", **options)
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline")


def test_same_objects_as_mmrotate_with_decimals(tmp_path, img_split, make_folder, split):
    lines = random_lines(np.random.default_rng(4), 300, 300, 200, step=0.001)
    folders = make_folder(tmp_path, {"P1.png": (300, 300)}, {"P1.png": lines})
    run_img_split(img_split, [folders], tmp_path / "baseline", "--sizes", 128, "--gaps", 32)
    split(*folders, tmp_path / "tiles")
    written = {tuple(map(float, line.split()[:8])): int(line.split()[9]) for line in lines}
    names = sorted(path.stem for path in (tmp_path / "baseline" / "annfiles").iterdir())
    assert names == sorted(path.stem for path in (tmp_path / "tiles" / "labelTxt").iterdir())
    assert len(names) == 9
    uncut = 0
    for name in names:
        labels, baseline = (
            tile_labels(tmp_path / "tiles", name),
            read_labels(tmp_path / "baseline" / "annfiles" / f"{name}.txt"),
        )
        assert labels.names == baseline.names
        assert len(labels)
        np.testing.assert_allclose(labels.polygons, baseline.polygons, atol=1e-3, rtol=0)
        inside = ((labels.polygons >= 0) & (labels.polygons <= 128)).all(axis=1)
        assert (labels.difficult[~inside] == 2).all()
        assert (baseline.difficult[~inside] == 2).all()
        # mmrotate flags some objects inside the tile because it rounds areas to float32.
        assert ((labels.difficult == baseline.difficult) | (baseline.difficult == 2))[inside].all()
        tile = parse_tile_name(name)
        whole = np.round(labels.polygons[inside] + [tile.x, tile.y] * 4, 3)
        assert labels.difficult[inside].tolist() == [written[tuple(polygon)] for polygon in whole.tolist()]
        uncut += inside.sum()
    assert uncut > 50


def test_same_as_mmrotate_on_every_kind_of_image(tmp_path, img_split, write_image, split):
    first, second = tmp_path / "a", tmp_path / "b"
    write_image(first / "gray.png", 150, 140, channels=1)
    write_image(first / "deep.png", 150, 140, dtype=np.uint16, top=65536)
    write_image(second / "alpha.png", 150, 140, channels=4)
    write_image(second / "photo.jpg", 150, 140)
    write_image(second / "scan.tif", 150, 140)
    run_img_split(img_split, [(first, None), (second, None)], tmp_path / "baseline", "--sizes", 128, "--gaps", 32)
    split([first, second], None, tmp_path / "tiles")
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline", labeled=False)


@pytest.mark.slow
def test_same_as_mmrotate_on_real_images(tmp_path, img_split, shared_data):
    folders = shared_data("dota_sample", "images"), shared_data("dota_sample", "labelTxt")
    options = ["--sizes", 1024, "--gaps", 200, "--img-rate-thr", 0.6, "--iof-thr", 0.7]
    run_img_split(img_split, [folders], tmp_path / "baseline", *options)
    result = split_dota([folders[0]], [folders[1]], tmp_path / "tiles", workers=2, classes="v1.0")
    assert result.totals.tiles == 28
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline")


def test_same_pixels_as_dota_devkit(tmp_path, make_folder, split):
    pytest.importorskip("dotadevkit")
    folders = make_folder(tmp_path / "raw", {"P1.png": (333, 250), "P2.png": (100, 90)})
    script = (
        "import sys; from dotadevkit.ops.ImgSplit import DataSplitter\n"
        "cutter = DataSplitter(sys.argv[1], sys.argv[2], gap=32, subsize=128, num_process=1)\n"
        "[cutter.splitdata(rate) for rate in (0.5, 1, 1.5)]"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "raw"), str(tmp_path / "baseline")], check=True)
    split(*folders, tmp_path / "tiles", rates=[0.5, 1, 1.5], name_style="devkit", padding=[0, 0, 0])
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline", labeled=False)

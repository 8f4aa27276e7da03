"""Tiles of splitting: pixels, padding, rates, formats and the manifest."""

import json

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from tests.io.tiff_file import tiff_bytes
from tests.tiling.dota_folder import tile_labels


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


def test_two_links_to_one_file_are_two_images(tmp_path, make_folder, split):
    images, labels = make_folder(tmp_path, {"P1.png": (100, 70)})
    try:
        (images / "P2.png").symlink_to(images / "P1.png")
    except OSError:
        pytest.skip("the file system has no links")
    (labels / "P2.txt").write_text((labels / "P1.txt").read_text())
    split(images, labels, tmp_path / "out")
    names = ["P1__128__0___0.png", "P2__128__0___0.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == names


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


@pytest.mark.parametrize("whole_images", [False, True])
def test_ground_resolution_in_the_manifest(tmp_path, make_folder, split, whole_images):
    pytest.importorskip("pyproj")
    folders = make_folder(tmp_path, {f"P{number}.png": (40, 30) for number in range(1, 6)})
    for number in (1, 2, 3):
        (folders[0] / f"P{number}.pgw").write_text("0.5 0 0 -0.5 500000 0")
    (folders[0] / "P1.prj").write_text("EPSG:32650")
    (folders[0] / "P2.prj").write_text("nonsense")
    for number in (1, 2, 4):
        labels = folders[1] / f"P{number}.txt"
        labels.write_text(f"imagesource:GoogleEarth\ngsd:0.{number}\n{labels.read_text()}")
    split(*folders, tmp_path / "out", whole_images=whole_images)
    images = json.loads((tmp_path / "out" / "manifest.json").read_text())["images"]
    assert [image.get("ground_resolution") for image in images] == [pytest.approx(0.5002), 0.2, None, 0.4, None]


@pytest.mark.parametrize("image_format", ["jpg", "bmp", "tif"])
def test_other_formats(tmp_path, image_format, make_folder, split):
    folders = make_folder(tmp_path, {"P1.jpg": (128, 128)})
    split(*folders, tmp_path / "out", image_format=image_format)
    tile = cv2.imread(str(tmp_path / "out" / "images" / f"P1__128__0___0.{image_format}"))
    source = cv2.imread(str(folders[0] / "P1.jpg"))
    assert tile.shape == source.shape
    assert image_format == "jpg" or np.array_equal(tile, source)


@pytest.mark.parametrize("workers", [1, 2])
def test_16_bit_images_have_one_scaling_that_is_stated_and_recorded(tmp_path, split, caplog, workers):
    """11 of 16 bits used: the upper 8 bits alone are black."""
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    cv2.imwrite(str(images / "bright.png"), pixels.astype(np.uint16) * 8)
    cv2.imwrite(str(images / "dark.tif"), pixels.astype(np.uint16))
    cv2.imwrite(str(images / "plain.png"), pixels // 16)
    split(images, None, tmp_path / "out", workers=workers, padding=None)
    expected = {"bright": pixels, "dark": pixels // 8, "plain": pixels // 16}
    for name, tile in expected.items():
        assert np.array_equal(cv2.imread(str(tmp_path / "out" / "images" / f"{name}__128__0___0.png")), tile)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 images have 16-bit pixels with 11 used bits: values are divided by 8 (--bits 11)",
        "these images use from 8 to 11 bits, and those with few bits become dark: process them separately",
    ]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]["bits"] == 11
    split(images, None, tmp_path / "given", bits=12, padding=None)
    tile = cv2.imread(str(tmp_path / "given" / "images" / "bright__128__0___0.png"))
    assert np.array_equal(tile, pixels // 2)


def test_other_values_have_one_scaling_that_is_stated_and_recorded(tmp_path, split, caplog):
    pytest.importorskip("rasterio")
    images = tmp_path / "images"
    images.mkdir()
    values = np.random.default_rng(0).uniform(-1, 3, (100, 120, 3)).astype(np.float32)
    (images / "a.tif").write_bytes(tiff_bytes(values, 2))
    (images / "b.tif").write_bytes(tiff_bytes(values / 2, 2))
    split(images, None, tmp_path / "out", bands=(3, 2, 1))
    settings = json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]
    low, high = settings["scaling"]
    assert settings["bands"] == [3, 2, 1]
    np.testing.assert_allclose((low, high), np.percentile([values, values / 2], [2, 98]), rtol=0.02)
    for name, each in (("a", values), ("b", values / 2)):
        tile = cv2.imread(str(tmp_path / "out" / "images" / f"{name}__128__0___0.png"))[:100, :120]
        assert np.abs(tile - np.clip((each - low) * 255 / (high - low), 0, 255)).max() <= 0.6  # band 1 is blue
    assert [record.getMessage() for record in caplog.records] == [
        f"2 of 2 images have float32 values: {low:g} to {high:g} become 0 to 255 (--scaling={low:g},{high:g})",
        "bands 3,2,1 are RGB",
    ]
    split(images, None, tmp_path / "again", bands=(3, 2, 1), scaling=(low, high))
    for tile in (tmp_path / "out" / "images").iterdir():
        assert tile.read_bytes() == (tmp_path / "again" / "images" / tile.name).read_bytes()
    split(images, None, tmp_path / "whole", bands=(3, 2, 1), scaling=(low, high), whole_images=True)
    whole = cv2.imread(str(tmp_path / "whole" / "images" / "a.png"))
    tile = cv2.imread(str(tmp_path / "out" / "images" / "a__128__0___0.png"))
    assert np.array_equal(whole, tile[:100, :120])


def test_bits_are_recorded_only_for_16_bit_images(tmp_path, make_folder, split, caplog):
    split(*make_folder(tmp_path, {"P1.png": (100, 70)}), tmp_path / "out", bits=11)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]["bits"] is None
    assert not caplog.records

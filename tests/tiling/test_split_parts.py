"""Parts of datasets: lists of images, renamed classes, images without labels, and images kept in one piece."""

import json

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.tiling.manifest import read_manifest, source_label_folders

SHIP = "10 10 60 10 60 40 10 40 ship 0"
BOAT = "170.5 60 180.25 60 180.25 70 170.5 70 fishing-boat 1"
WHOLE = dict(whole_images=True)


@pytest.fixture
def folders(tmp_path, make_folder):
    sizes = {"P1.png": (224, 128), "P2.png": (90, 70), "P3.png": (90, 70)}
    return make_folder(tmp_path, sizes, {"P1.png": [SHIP, BOAT], "P2.png": [], "P3.png": [SHIP]})


@pytest.fixture
def listed(tmp_path):
    """Write a list of images and return its path."""

    def write(*names, name="list.txt"):
        (tmp_path / name).write_text("".join(f"{each}\n" for each in names))
        return tmp_path / name

    return write


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("label_format", ["dota", "coco", "voc"])
def test_only_listed_images_are_split(tmp_path, folders, split, listed, label_format):
    images, labels = folders
    source = labels
    if label_format != "dota":
        convert_labels(labels, tmp_path / "converted", label_format, images=images)
        source = tmp_path / "converted"
    split(images, source, tmp_path / "out", image_lists=[listed("P2"), listed("P3.jpg 1", name="more.txt")])
    assert names_in(tmp_path / "out" / "labelTxt") == ["P2__128__0___0.txt", "P3__128__0___0.txt"]


def test_errors_of_lists_name_the_line(tmp_path, folders, split, listed):
    images, labels = folders
    with pytest.raises(UserError, match=r"list.txt:2: no image 'P9' in .*images"):
        split(images, labels, tmp_path / "out", image_lists=listed("P1", "P9"))
    with pytest.raises(UserError, match=r"list.txt: no image is listed"):
        split(images, labels, tmp_path / "out", image_lists=listed(" "))
    (labels / "P3.txt").unlink()
    with pytest.raises(UserError, match=r"no label file for the image P3.png"):
        split(images, labels, tmp_path / "out", image_lists=listed("P3"))
    split(images, labels, tmp_path / "out", image_lists=listed("P1"))  # P3 is not listed
    assert not list(tmp_path.glob("out/labelTxt/P3*"))


@pytest.mark.parametrize("label_format", ["dota", "coco"])
def test_images_without_labels_are_left_out_on_request(tmp_path, folders, split, label_format):
    images, labels = folders
    source = labels
    (labels / "P2.txt").unlink()
    if label_format == "coco":
        source = tmp_path / "coco"
        convert_labels(labels, source, "coco", images=images)
    with pytest.raises(UserError, match=r"no label(s| file) for the image P2.png"):
        split(images, source, tmp_path / "out")
    split(images, source, tmp_path / "out", labeled_only=True)
    assert {name[:2] for name in names_in(tmp_path / "out" / "images")} == {"P1", "P3"}


@pytest.mark.parametrize("label_format", ["dota", "coco"])
def test_renamed_and_removed_classes(tmp_path, folders, split, label_format):
    images, labels = folders
    source = labels
    if label_format == "coco":
        source = tmp_path / "coco"
        convert_labels(labels, source, "coco", images=images)
    split(images, source, tmp_path / "one", class_map={"*": "vessel"}, classes=("vessel",))
    text = (tmp_path / "one" / "labelTxt_full" / "P1.txt").read_text()
    assert [line.split()[8:] for line in text.splitlines()] == [["vessel", "0"], ["vessel", "1"]]
    assert source_label_folders(str(tmp_path / "one")) == [str(tmp_path / "one" / "labelTxt_full")]
    split(images, source, tmp_path / "two", class_map={"ship": "", "fishing-boat": "boat"})
    assert (tmp_path / "two" / "labelTxt_full" / "P3.txt").read_text() == ""
    assert (tmp_path / "two" / "labelTxt_full" / "P1.txt").read_text().split()[8:] == ["boat", "1"]
    place = "P1.txt:2" if label_format == "dota" else "annotations.json"
    with pytest.raises(UserError, match=rf"{place}: the class 'fishing-boat' is not in the class map"):
        split(images, source, tmp_path / "three", class_map={"ship": "boat"})
    with pytest.raises(UserError, match=r"unknown class 'boat'"):
        split(images, source, tmp_path / "three", class_map={"*": "boat"}, classes=("ship",))


def test_whole_images_are_copied_with_all_their_objects(tmp_path, make_folder, split):
    outside = "-40 10 10 10 10 40 -40 40 ship 0"  # mostly outside: a tile would not list it
    images, labels = make_folder(tmp_path, {"P1.png": (224, 128), "P2.png": (90, 70)}, {"P1.png": [BOAT, outside]})
    cv2.imwrite(str(images / "P2.jpg"), cv2.imread(str(images / "P2.png")))
    (images / "P2.png").unlink()
    result = split(images, labels, tmp_path / "out", **WHOLE)
    assert names_in(tmp_path / "out" / "images") == ["P1.png", "P2.jpg"]
    for name in ("P1.png", "P2.jpg"):
        assert (tmp_path / "out" / "images" / name).read_bytes() == (images / name).read_bytes()
    lines = (tmp_path / "out" / "labelTxt" / "P1.txt").read_text().splitlines()
    assert [line.split()[8:] for line in lines] == [["fishing-boat", "1"], ["ship", "0"]]
    assert [float(value) for value in lines[1].split()[:8]] == [-40, 10, 10, 10, 10, 40, -40, 40]
    manifest = read_manifest(tmp_path / "out" / "manifest.json")
    assert (manifest.whole_images, manifest.tiles) == (True, ("P1", "P2"))
    assert manifest.label_folders == (str(tmp_path / "out" / "labelTxt"),)
    assert (result.totals.tiles, result.totals.truncated, result.totals.in_no_tile) == (2, 0, 0)
    sizes = [(each["width"], each["height"]) for each in
             json.loads((tmp_path / "out" / "manifest.json").read_text())["images"]]  # fmt: skip
    assert sizes == [(224, 128), (90, 70)]


def test_whole_images_of_16_bits_become_png_of_8(tmp_path, folders, split):
    images, labels = folders
    deep = np.random.default_rng(0).integers(0, 2048, (70, 90, 3), dtype=np.uint16)
    cv2.imwrite(str(images / "P2.tif"), deep)
    (images / "P2.png").unlink()
    split(images, labels, tmp_path / "out", bits=11, **WHOLE)
    assert names_in(tmp_path / "out" / "images") == ["P1.png", "P2.png", "P3.png"]
    written = cv2.imread(str(tmp_path / "out" / "images" / "P2.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8
    assert (written == deep // 8).all()


def test_whole_images_without_objects_or_area(tmp_path, make_folder, split):
    flat = "1 1 5 1 5 1 1 1 ship 0"
    images, labels = make_folder(
        tmp_path, {"P1.png": (90, 70), "P2.png": (90, 70)}, {"P1.png": [SHIP, flat], "P2.png": [flat]}
    )
    result = split(images, labels, tmp_path / "out", keep_empty=False, **WHOLE)
    assert names_in(tmp_path / "out" / "images") == ["P1.png"]
    assert len((tmp_path / "out" / "labelTxt" / "P1.txt").read_text().splitlines()) == 1
    assert result.totals.without_area == 2
    assert result.class_counts == {"ship": (3, 1)}


def test_unreadable_whole_image(tmp_path, folders, split):
    images, labels = folders
    (images / "P2.png").write_bytes((images / "P2.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"P2.png: the image is truncated"):
        split(images, labels, tmp_path / "out", **WHOLE)
    assert not (tmp_path / "out" / "images").exists()

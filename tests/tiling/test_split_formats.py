"""Splitting reads every label format directly."""

import json
import logging
import shutil

import pytest

from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.label_formats.recognize import possible_formats
from rotated_atss.label_formats.registry import WRITTEN
from rotated_atss.tiling import source_labels
from rotated_atss.tiling.manifest import source_label_folders

LINES = ["10 10 60 10 60 40 10 40 ship 0", "170.5 60 180.25 60 180.25 70 170.5 70 plane 0"]


@pytest.fixture
def folders(tmp_path, make_folder):
    return make_folder(tmp_path, {"P1.png": (224, 128), "P2.png": (90, 70)}, {"P1.png": LINES, "P2.png": []})


@pytest.mark.parametrize("name", WRITTEN)
def test_tiles_of_every_format_are_those_of_dota(tmp_path, folders, split, tree, name):
    images, labels = folders
    convert_labels(labels, tmp_path / "converted", name, images=images)
    split(images, labels, tmp_path / "expected")
    for label_format in ("auto", name):
        out = tmp_path / f"out_{label_format}"
        split(images, tmp_path / "converted", out, label_format=label_format, classes="v1.0")
        assert tree(out / "labelTxt") == tree(tmp_path / "expected" / "labelTxt")


def test_evaluation_reads_the_labels_of_full_images_as_dota_text(tmp_path, folders, split):
    images, labels = folders
    convert_labels(labels, tmp_path / "coco", "coco", images=images)
    split(images, tmp_path / "coco", tmp_path / "out")
    (entry,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["folders"]
    assert entry["label_format"] == "coco"
    assert source_label_folders(str(tmp_path / "out")) == [str(tmp_path / "out" / "labelTxt_full")]
    for name in ("P1.txt", "P2.txt"):
        full, source = (read_labels(folder / name) for folder in (tmp_path / "out" / "labelTxt_full", labels))
        assert (full.names, full.difficult.tolist()) == (source.names, source.difficult.tolist())
        assert full.polygons.tolist() == source.polygons.tolist()
    split(images, labels, tmp_path / "dota")
    assert source_label_folders(str(tmp_path / "dota")) == [str(labels)]
    assert not (tmp_path / "dota" / "labelTxt_full").exists()


def test_missing_images_and_labels(tmp_path, folders, split):
    images, labels = folders
    convert_labels(labels, tmp_path / "coco", "coco", images=images)
    (images / "P2.png").rename(images / "P3.png")
    with pytest.raises(UserError, match=r"no image for the labels of P2.png"):
        split(images, tmp_path / "coco", tmp_path / "out")
    (images / "P3.png").rename(images / "P2.png")
    shutil.copy(images / "P1.png", images / "P4.png")
    with pytest.raises(UserError, match=r"no labels for the image P4.png \(in .*images; --labeled-only leaves"):
        split(images, tmp_path / "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_class_and_another_format(tmp_path, folders, split):
    images, labels = folders
    convert_labels(labels, tmp_path / "voc", "voc", images=images)
    with pytest.raises(UserError, match=r"P1.xml:\d+: unknown class 'ship'"):
        split(images, tmp_path / "voc", tmp_path / "out", classes=("plane",))
    with pytest.raises(UserError, match=r"P1.xml: this file is in the format voc, not dior"):
        split(images, tmp_path / "voc", tmp_path / "out", label_format="dior")
    with pytest.raises(UserError, match="unknown label format 'xml'"):
        split(images, tmp_path / "voc", tmp_path / "out", label_format="xml")


def test_notes_of_the_reader_are_logged_and_names_get_hyphens(tmp_path, folders, split, caplog):
    images, _ = folders
    box = "<bndbox><xmin>10</xmin><ymin>10</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>"
    text = f"<annotation><object><name>Small Car</name>{box}</object></annotation>"
    (tmp_path / "voc").mkdir()
    for name in ("P1", "P2"):
        (tmp_path / "voc" / f"{name}.xml").write_text(text)
    with caplog.at_level(logging.WARNING):
        split(images, tmp_path / "voc", tmp_path / "out", classes=("Small-Car",))
    (record,) = caplog.records
    assert record.getMessage().endswith("2 objects with a horizontal box only: angle set to 0")
    tile = tmp_path / "out" / "labelTxt" / "P2__128__0___0.txt"
    assert tile.read_text() == "10.0 10.0 60.0 10.0 60.0 40.0 10.0 40.0 Small-Car 0\n"


def test_text_labels_beside_those_of_another_format(tmp_path, folders, split):
    images, labels = folders
    (labels / "notes.json").write_text("{}")
    split(images, labels, tmp_path / "out")
    (labels / "P1.json").write_text('{"shapes": []}')
    match = r"P1.json: this file is in the format labelme, but P1.txt is in the format dota \(put the formats into"
    with pytest.raises(UserError, match=match):
        split(images, labels, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
    split(images, labels, tmp_path / "named", label_format="dota")


def test_malformed_first_file_is_reported_in_the_format_of_the_others(tmp_path, folders, split):
    images, labels = folders
    shutil.copy(images / "P1.png", images / "P0.png")
    (labels / "P0.txt").touch()
    convert_labels(labels, tmp_path / "yolo", "yolo-obb", images=images)
    (tmp_path / "yolo" / "labels" / "P0.txt").write_text("0 0.1 0.2 0.3\n")
    for folder in ("yolo", "yolo/labels"):
        with pytest.raises(UserError, match=r"P0.txt:1: a YOLO-OBB line must have 9 or 10 fields, got 4 "):
            split(images, tmp_path / folder, tmp_path / "out")
    (labels / "P0.txt").write_text("hello\n")
    with pytest.raises(UserError, match=r"P0.txt:1: a label line must have 9 or 10 fields, got 1 "):
        split(images, labels, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_recognition_stops_at_the_first_file_of_a_known_format(tmp_path, monkeypatch):
    read = []

    def record_path(path):
        read.append(path.name)
        return possible_formats(path)

    monkeypatch.setattr(source_labels, "possible_formats", record_path)
    for name, text in {"P1": "", "P2": LINES[0], "P3": LINES[0]}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    assert source_labels.find_label_format(tmp_path) == "dota"
    assert read == ["P1.txt", "P2.txt"]


@pytest.mark.parametrize("name", ["dota", "cvat"])
def test_a_format_that_the_folder_does_not_hold(tmp_path, folders, split, name):
    images, labels = folders
    convert_labels(labels, tmp_path / "labelme", "labelme", images=images)
    with pytest.raises(UserError, match=rf"labelme: no label files of format {name} \(.*\), but P1.json was found"):
        split(images, tmp_path / "labelme", tmp_path / "out", label_format=name)


@pytest.mark.parametrize("name", ["dota", "labelme"])
def test_names_of_the_class_map_that_no_object_has(tmp_path, folders, split, caplog, name):
    images, labels = folders
    convert_labels(labels, tmp_path / "labels", name, images=images)
    with caplog.at_level(logging.WARNING):
        split(images, tmp_path / "labels", tmp_path / "out", class_map={"Ship": "boat", "*": "*"})
    assert "no object has the class listed in the class map: Ship" in caplog.text

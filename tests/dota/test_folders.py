"""Listing and pairing of images and label files."""

import pytest

from rotated_atss.dota.detections import list_task1_files
from rotated_atss.dota.folders import list_files, list_images, pair_images_and_labels, skipped_images
from rotated_atss.errors import UserError


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_are_sorted_without_hidden_files(tmp_path):
    images = touch(tmp_path / "images", "P2.png", "P10.JPG", "P1.tif", "notes.md", "._P1.png")
    labels = touch(tmp_path / "labels", "P1.txt", "P10.txt", "P2.txt", "._P1.txt")
    pairs = pair_images_and_labels(images, labels)
    assert [(image.name, label.name) for image, label in pairs] == [
        ("P1.tif", "P1.txt"),
        ("P10.JPG", "P10.txt"),
        ("P2.png", "P2.txt"),
    ]
    assert [label for _, label in pair_images_and_labels(images, None)] == [None] * 3


def test_unpaired_image_or_label_file_raises(tmp_path):
    images = touch(tmp_path / "images", "P1.png", "P2.png", "P3.png")
    labels = touch(tmp_path / "labels", "P1.txt")
    with pytest.raises(UserError, match=r"no label file for the image P2.png and 1 more"):
        pair_images_and_labels(images, labels)
    touch(labels, "P2.txt", "P3.txt", "P4.txt")
    with pytest.raises(UserError, match=r"no image for the label file P4.txt"):
        pair_images_and_labels(images, labels)


def test_missing_empty_and_ambiguous_image_folders(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(UserError, match="no images in this folder"):
        list_images(tmp_path)
    with pytest.raises(UserError, match=r"P1\.jpg and P1\.png"):
        list_images(touch(tmp_path / "images", "P1.png", "P1.jpg"))


def test_text_files_of_one_name_are_refused(tmp_path):
    labels = touch(tmp_path / "labels", "P1.txt", "P1.TXT")
    if len(list(labels.iterdir())) < 2:
        pytest.skip("the file system ignores case")
    with pytest.raises(UserError, match=r"two text files have the same name, P1\.TXT and P1\.txt"):
        pair_images_and_labels(touch(tmp_path / "images", "P1.png"), labels)
    with pytest.raises(UserError, match="two text files have the same name"):
        list_task1_files(touch(tmp_path / "detections", "Task1_ship.txt", "Task1_ship.TXT"))


def test_vrt_files_are_listed_only_without_other_images(tmp_path):
    (tmp_path / "mosaic.vrt").touch()
    assert [path.name for path in list_images(tmp_path)] == ["mosaic.vrt"]
    assert skipped_images(tmp_path) == []
    (tmp_path / "part.jp2").touch()
    assert [path.name for path in list_images(tmp_path)] == ["part.jp2"]
    assert skipped_images(tmp_path) == ["mosaic.vrt"]


def test_links_to_missing_files_are_not_left_out(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"b.png: the link has no target \(restore"):
        list_images(tmp_path)
    assert [path.name for path in list_files(tmp_path, (".png",), broken_links=True)] == ["a.png", "b.png"]

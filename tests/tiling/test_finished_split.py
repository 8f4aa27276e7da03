"""A finished split is recognized by its input, and only by that."""

from __future__ import annotations

import json
import os
import time

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.shards import Shard


@pytest.fixture
def folders(tmp_path, make_folder):
    return make_folder(tmp_path / "raw", {"P1.png": (150, 200), "P2.png": (100, 100)})


def test_the_same_call_returns_at_once(tmp_path, folders, split, tree):
    out = tmp_path / "out"
    first = split(*folders, out)
    before = tree(out), (out / "manifest.json").stat().st_mtime_ns
    (out / ".split.trash" / "images").mkdir(parents=True)  # of a run that was killed after its last rename
    for options in ({}, {"shard": Shard(1, 2)}, {"workers": 1}):
        again = split(*folders, out, **options)
        assert again.was_finished
        assert again.totals == first.totals
    assert (tree(out), (out / "manifest.json").stat().st_mtime_ns) == before
    assert not (out / ".split.trash").exists()
    assert not first.was_finished


def test_equal_input_in_another_folder_has_the_same_digest(tmp_path, make_folder, split):
    digests = []
    for name in ("a", "b"):
        folders = make_folder(tmp_path / name, {"P1.png": (150, 200)})
        split(*folders, tmp_path / name / "out")
        digests.append(json.loads((tmp_path / name / "out" / "manifest.json").read_text())["input_digest"])
    assert digests[0] == digests[1]


def change_label(images, labels, out):
    path = labels / "P1.txt"
    path.write_text(path.read_text() + "1 1 9 1 9 9 1 9 ship 0\n")


def change_ground_resolution(images, labels, out):
    path = labels / "P1.txt"
    path.write_text("gsd:0.3\n" + path.read_text())


def change_image(images, labels, out):
    path = images / "P1.png"
    status, pixels = path.stat(), cv2.imread(str(path))
    cv2.imwrite(str(path), 255 - pixels)
    path.write_bytes(path.read_bytes().ljust(status.st_size, b"\0")[: status.st_size])  # of the same size in bytes
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))


def add_image(images, labels, out):
    cv2.imwrite(str(images / "P3.png"), np.zeros((50, 50, 3), np.uint8))
    (labels / "P3.txt").touch()


def remove_tile(images, labels, out):
    next((out / "images").iterdir()).unlink()


def damage_manifest(images, labels, out):
    content = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**content, "input_digest": "other"}))


@pytest.mark.parametrize(
    "change", [change_label, change_ground_resolution, change_image, add_image, remove_tile, damage_manifest]
)
def test_a_changed_split_is_not_taken_for_finished(tmp_path, folders, split, change):
    out = tmp_path / "out"
    split(*folders, out)
    change(*folders, out)
    with pytest.raises(UserError, match=r"out: the output folder contains a finished split of other .*--overwrite"):
        split(*folders, out)
    assert not split(*folders, out, overwrite=True).was_finished


@pytest.mark.parametrize(
    "options", [{"sizes": [64]}, {"gaps": [0]}, {"image_format": "bmp"}, {"class_map": {"ship": "boat", "*": "*"}}]
)
def test_other_options_are_another_split(tmp_path, folders, split, options):
    split(*folders, tmp_path / "out")
    with pytest.raises(UserError, match="finished split of other"):
        split(*folders, tmp_path / "out", **options)


def test_manifests_without_a_digest_are_still_refused(tmp_path, folders, split):
    out = tmp_path / "out"
    split(*folders, out)
    content = json.loads((out / "manifest.json").read_text())
    del content["input_digest"]
    (out / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="finished split"):
        split(*folders, out)

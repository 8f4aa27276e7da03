"""Scenes written as DOTA folders: reproducible, readable, and never over foreign files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.synthetic import generate_scenes, generate_splits, render_scene


def test_files_do_not_depend_on_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        generate_scenes(tmp_path / str(workers), 3, size_wh=(240, 200), workers=workers, progress=False)
    one, two = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("1", "2"))
    assert [p.name for p in one] == [p.name for p in two]
    assert len(one) == 7
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two))


def test_output_is_a_dota_folder(tmp_path: Path) -> None:
    names = generate_scenes(tmp_path, 2, size_wh=(300, 260), seed=5, first=5, prefix="T", progress=False)
    assert names == ["T0005", "T0006"]
    flags = set()
    for name in names:
        image = cv2.imread(str(tmp_path / "images" / f"{name}.png"))
        made = render_scene(5, int(name[1:]), size_wh=(300, 260))
        labels = read_labels(tmp_path / "labelTxt" / f"{name}.txt", CLASSES["v1.0"])
        assert (image == made.image).all()
        assert labels.names == tuple(obj.name for obj in made.objects)
        assert labels.difficult.tolist() == [obj.difficult for obj in made.objects]
        flags.update(labels.difficult.tolist())
        np.testing.assert_allclose(labels.polygons, [t.polygon.ravel() for t in made.objects], atol=0.00501)
        assert labels.header == ("imagesource:generated", "gsd:null")
    assert flags == {0, 1}
    assert {path.name for path in tmp_path.iterdir()} == {"images", "labelTxt", "scenes.json"}


def test_splits_share_no_scene(tmp_path: Path) -> None:
    ids = generate_splits(tmp_path, {"train": 2, "val": 1}, size_wh=(200, 180), workers=1, progress=False)
    assert ids == {"train": ["S0000", "S0001"], "val": ["S0002"]}
    assert sorted(p.stem for p in tmp_path.glob("*/images/*.png")) == ["S0000", "S0001", "S0002"]


def test_earlier_scenes_are_replaced_and_other_files_kept(tmp_path: Path) -> None:
    generate_scenes(tmp_path, 2, size_wh=(180, 180), workers=1, progress=False)
    (tmp_path / "images" / "mine.png").write_bytes(b"mine")
    generate_scenes(tmp_path, 1, size_wh=(180, 180), seed=1, first=5, workers=1, progress=False)
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["S0005.png", "mine.png"]
    assert [p.name for p in (tmp_path / "labelTxt").iterdir()] == ["S0005.txt"]


def test_foreign_folder_is_rejected_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "P0001.png").write_bytes(b"precious")
    with pytest.raises(UserError, match="contains no synthetic scenes"):
        generate_scenes(tmp_path, 1, progress=False)
    assert [p.name for p in tmp_path.rglob("*")] == ["images", "P0001.png"]
    with pytest.raises(UserError, match="not a folder"):
        generate_scenes(tmp_path / "images" / "P0001.png", 1, progress=False)


@pytest.mark.parametrize("images", [None, 5, [[]]])
def test_folder_with_a_damaged_record_is_rejected(tmp_path: Path, images) -> None:
    generate_scenes(tmp_path, 1, size_wh=(180, 180), workers=1, progress=False)
    record = json.loads((tmp_path / "scenes.json").read_text())
    (tmp_path / "scenes.json").write_text(json.dumps({**record, "images": images}))
    with pytest.raises(UserError, match="contains no synthetic scenes"):
        generate_scenes(tmp_path, 1, size_wh=(180, 180), workers=1, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "at least 1 scene"),
        ({"size_wh": (100, 300)}, "100 x 300"),
        ({"seed": -1}, "0 or more"),
        ({"workers": 0}, "at least 1 worker"),
        ({"difficulty": "brutal"}, "unknown difficulty"),
    ],
)
def test_values_out_of_range_are_rejected(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate_scenes(tmp_path / "out", **{"count": 1, "progress": False, **arguments})
    assert not (tmp_path / "out").exists()

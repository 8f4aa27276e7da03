"""The command show-assignment: table, trace, pictures, JSON and error lines."""

import json

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from tests.references.coco_instances import write_coco_instances

pytest.importorskip("mmdet")

OBB, HBB = "rotated_atss_obb_r50_fpn_1x_dota_le90", "rotated_atss_hbb_r50_fpn_1x_dota_oc"
MAX_IOU, COCO = "rotated_retinanet_obb_r50_fpn_1x_dota_le90", "atss_r50_fpn_1x_coco"
TILE = "P1__512__0___0"
LINES = ("lines 3-6", "line 7", "line 8", "line 9", "line 10", "lines 11-15", "positives")


@pytest.fixture
def tiles(tmp_path):
    """A tile of 512 px, which the config resizes to 1024 px, with a ship, a difficult plane and a box without area."""
    for name in ("images", "labelTxt"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / f"images/{TILE}.png"), np.full((512, 512, 3), 70, np.uint8))
    (tmp_path / f"labelTxt/{TILE}.txt").write_text(
        "100 100 160 130 150 150 90 120 ship 0\n300 300 380 300 380 380 300 380 plane 1\n9 9 9 9 9 9 9 9 ship 0\n"
    )
    return tmp_path


def show(capsys, *words):
    assert main(["show-assignment", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_table_lists_every_object_with_its_positives(tiles, capsys):
    by_path = show(capsys, OBB, tiles / f"images/{TILE}.png", "--json", tiles / "a.json")
    lines = by_path.splitlines()
    assert lines[0].startswith(f"{OBB}, {TILE} at 1024 x 1024 px: 2 objects, ")
    assert lines[1] == "1 object without area left out"
    rows = [line.split() for line in lines[4:]]
    assert [row[:5] for row in rows] == [["0", "ship", "134", "x", "45"], ["1", "plane", "160", "x", "160"]]
    content = json.loads((tiles / "a.json").read_text())
    assert [entry["positives"] for entry in content["objects"]] == [int(row[6]) for row in rows]
    assert all(sum(entry["positives_by_level"]) == entry["positives"] for entry in content["objects"])
    assert "traces" not in content
    assert show(capsys, OBB, TILE, "--data", tiles) == by_path
    assert show(capsys, OBB, f"{TILE}.png", "--data", tiles, "--labels", tiles / "labelTxt") == by_path


def test_the_trace_agrees_with_the_table(tiles, tmp_path_factory, capsys):
    out = tmp_path_factory.mktemp("out")
    for config, variant in ((OBB, "obb"), (HBB, "hbb")):
        show(capsys, config, TILE, "--data", tiles, "--json", out / "table.json")
        printed = show(capsys, config, TILE, "--data", tiles, "--object", 0, "--json", out / "a.json")
        table, content = (json.loads((out / name).read_text()) for name in ("table.json", "a.json"))
        assert content["objects"] == table["objects"]
        assert set(content["traces"]) == {"hbb", "obb"}
        assert content["config_variant"] == variant
        assert content["traces"][variant]["positives"] == table["objects"][0]["positives"]
        assert len(content["traces"][variant]["candidates"]) == 45
        assert [line[:13].strip() for line in printed.splitlines() if line.startswith(("line", "positives"))] == [
            *LINES
        ] * 2
        assert printed.count("(this config)") == 1


def test_difficult_objects_are_used_as_in_training(tiles, capsys):
    options = ["--cfg-options", "train_dataloader.dataset.difficult=ignore"]
    assert "1 object and 1 ignored object" in show(capsys, OBB, TILE, "--data", tiles, *options)
    options = ["--cfg-options", "train_dataloader.dataset.difficult=drop"]
    assert ": 1 object, " in show(capsys, OBB, TILE, "--data", tiles, *options)


def test_pictures(tiles, capsys):
    pytest.importorskip("matplotlib")
    before = sorted(path.read_bytes() for path in tiles.rglob("*.*"))
    overview, single = tiles.parent / f"{tiles.name}_o.png", tiles.parent / f"{tiles.name}_s.png"
    assert f"picture: {overview}" in show(capsys, OBB, TILE, "--data", tiles, "--out", overview)
    show(capsys, OBB, TILE, "--data", tiles, "--object", 1, "--out", single)
    assert cv2.imread(str(overview)).shape[0] > 1280
    assert cv2.imread(str(single)).shape[1] == 1560
    assert sorted(path.read_bytes() for path in tiles.rglob("*.*")) == before


def test_another_assigner_has_an_overview_and_no_trace(tiles, capsys):
    pytest.importorskip("matplotlib")
    out = tiles.parent / f"{tiles.name}_m.png"
    printed = show(capsys, MAX_IOU, TILE, "--data", tiles, "--object", 0, "--out", out)
    assert "RotatedMaxIoUAssigner is not ATSS, so there is no trace: --out draws the positives" in printed
    assert cv2.imread(str(out)) is not None


def test_horizontal_config_with_an_instances_json(tmp_path, capsys):
    labels = write_coco_instances(tmp_path / "instances.json")
    entry = json.loads(labels.read_text())["images"][0]
    image = tmp_path / entry["file_name"].rpartition("/")[2]
    cv2.imwrite(str(image), np.zeros((entry["height"], entry["width"], 3), np.uint8))
    printed = show(capsys, COCO, image, "--labels", labels, "--object", 0, "--json", tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content["traces"]) == ["config"]
    assert content["traces"]["config"]["positives"] == content["objects"][0]["positives"]
    assert "IoU of horizontal boxes" in printed


def test_image_without_objects(tiles, capsys):
    (tiles / f"labelTxt/{TILE}.txt").write_text("")
    assert "0 objects, 0 positives" in show(capsys, OBB, TILE, "--data", tiles)


def test_a_large_image_is_announced(tiles, capsys):
    cv2.imwrite(str(tiles / f"images/{TILE}.png"), np.zeros((2048, 2048, 3), np.uint8))
    assert "the image of 2048 x 2048 px is reduced" in show(capsys, OBB, TILE, "--data", tiles)


def test_user_errors(tiles, user_error):
    image = tiles / f"images/{TILE}.png"
    lone = tiles / "lone.png"
    lone.write_bytes(image.read_bytes())
    for words, message in (
        (["no_such_config", image], "no_such_config: no such config"),
        ([OBB, tiles / "gone.png"], "gone.png: no such image"),
        ([OBB, "gone", "--data", tiles], "no image 'gone'"),
        ([OBB, TILE, "--data", tiles / "gone"], "gone/images: no such folder"),
        ([OBB, lone], "no label file for this image (give it with --labels)"),
        ([OBB, image, "--labels", tiles / "gone.txt"], "gone.txt: no label file for this image"),
        ([OBB, image, "--out", image], "overlaps the input"),
        ([OBB, TILE, "--data", tiles, "--out", tiles / "a.png"], "overlaps the input"),
        ([OBB, image, "--out", "a.jpg"], "--out: pictures are written as .png, got '.jpg'"),
        ([OBB, image, "--json", tiles / f"labelTxt/{TILE}.txt"], "overlaps the input"),
        ([OBB, image, "--object", 2], "--object: the image has 2 objects (0 to 1), got 2"),
        ([OBB, image, "--object", -1], "--object: the image has 2 objects (0 to 1), got -1"),
    ):  # fmt: skip
        assert message in user_error("show-assignment", *words)
    (tiles / f"labelTxt/{TILE}.txt").write_text("1 2 3\n")
    assert f"{TILE}.txt:1: a label line must have 9 or 10 fields" in user_error("show-assignment", OBB, image)


def test_real_tile(shared_data, tmp_path, capsys):
    folder = shared_data("dota_sample")
    printed = show(capsys, OBB, folder / "images/P1888.png", "--object", 0, "--json", tmp_path / "a.json")
    assert "positives" in printed

"""A test without MMEngine, as of an exported model: from a split to AP and report."""

import json

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.dota.labels import write_labels
from rotated_atss.ops.boxes import obb_to_poly
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.tile_evaluation import evaluate_on_tiles
from rotated_atss.tiling.tile_results import ResultOptions

SHIPS = torch.tensor([[30.0, 30, 20, 10, 0], [150, 90, 20, 10, 0]])


def bright_regions(tiles):
    """Detect a box of 20 x 10 px at each bright region."""
    results = []
    for tile in tiles:
        centers = cv2.connectedComponentsWithStats((tile[..., 0] > 200).astype(np.uint8))[3]
        boxes = torch.tensor([[x + 0.5, y + 0.5, 20, 10, 0] for x, y in centers[1:]]).reshape(-1, 5)
        results.append((boxes.float(), torch.full((len(boxes),), 0.9), torch.zeros(len(boxes), dtype=torch.int64)))
    return results


@pytest.fixture
def split(tmp_path):
    """Two images, one with two ships and one with a bright region that is none."""
    for name, ships in (("P1", SHIPS), ("P2", SHIPS[:0])):
        image = np.full((130, 200, 3), 60, np.uint8)
        for x, y in ((30, 30), (150, 90)) if len(ships) else ((100, 40),):
            image[y - 5 : y + 5, x - 10 : x + 10] = 255
        (tmp_path / "raw").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "raw" / f"{name}.png"), image)
        write_labels(
            tmp_path / "labels" / f"{name}.txt", obb_to_poly(ships).numpy(), ["ship"] * len(ships), [0] * len(ships)
        )
    split_dota(tmp_path / "raw", tmp_path / "labels", tmp_path / "tiles", SplitSettings(sizes=[128], gaps=[32]))
    return tmp_path


def test_report_has_the_ap_of_the_test_and_the_images_of_the_manifest(split):
    lines = []
    options = ResultOptions(dataset="v1.5", out_dir=split / "merged", report_dir=split / "report")
    values = evaluate_on_tiles(bright_regions, split / "tiles", ["ship"], options, log=lines.append)
    report = json.loads((split / "report" / "report.json").read_text())
    assert 0 < values["AP50"] == report["summary"]["AP50"]
    assert (report["summary"]["tp"], report["summary"]["fp"], report["summary"]["images"]) == (2, 1, 2)
    assert f"2 of 2 images found in {split / 'raw'}" in lines
    assert sorted(path.name for path in (split / "report" / "viewer").glob("*.html")) == ["P1.html", "P2.html"]


def test_without_labels_there_is_no_report(split):
    lines = []
    options = ResultOptions(report_dir=split / "report")
    assert (
        evaluate_on_tiles(bright_regions, split / "tiles", ["ship"], options, label_folders=[], log=lines.append) == {}
    )
    assert not (split / "report").exists()
    assert any("nothing is evaluated" in line for line in lines)

"""The record that training writes, and models loaded from it without a config."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import Window
from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.model_metadata import default_window
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.training_metadata import (
    _find_manifest,
    describe_training_data,
    find_training_window,
)
from rotated_atss.tiling.predict import predict_image
from tests.references.images import smooth_noise

DEMO = "rotated_atss_obb_r18_demo_le90"


class Records:
    """A dataset of MMEngine, reduced to what describes it."""

    def __init__(self, data_root=None, records=()):
        self.data_root, self.records = data_root, records

    def __len__(self):
        return len(self.records)

    def get_data_info(self, index):
        return self.records[index]


@pytest.mark.usefixtures("quick")
def test_trained_model_needs_no_config(run, tiles, tiny_options, tmp_path):
    path = run({"train_cfg.max_iters": 2}, classes="plane,ship", seed=0) / "iter_2.pth"
    info = read_model_info(path)
    assert (info.config_name, info.classes) == (DEMO, ("plane", "ship"))
    assert (info.box_type, info.angle_version) == ("obb", "le90")
    data = info.training_data
    assert (data.tiles, data.images, sum(data.objects.values())) == (6, 2, 20)
    assert data.longer_side["0.5"] == pytest.approx(28, abs=0.1)
    assert data.shorter_side["0.5"] == pytest.approx(12, abs=0.1)
    assert info.window == Window(128, 28)  # tiles of 128 px, objects of 28 px
    assert "work_dir" not in info.config_values()

    alone = load_detector(path, device="cpu")
    assert (alone.size, alone.gap, alone.classes) == (128, 28, ("plane", "ship"))
    both = load_detector(DEMO, path, device="cpu", cfg_options=tiny_options)
    image = smooth_noise(150, 200)
    first, second = (predict_image(detector, image) for detector in (alone, both))
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.scores, second.scores)

    out = TestOptions(work_dir=str(tmp_path / "test"), data=str(tiles))
    assert runner.test(None, path, out) == runner.test(DEMO, path, TestOptions(
        work_dir=str(tmp_path / "test2"), data=str(tiles), classes="plane,ship", cfg_options=tiny_options))  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_model_that_cannot_be_described_is_trained_without_a_record(run, read_log, fault):
    rotated = [{"type": "LoadTile"}, {"type": "RandomRotation"}, {"type": "PackDetInputs"}]
    folder = run({"train_cfg.max_iters": 1, "test_dataloader.dataset.pipeline": rotated})
    assert "checkpoints will have no model metadata: model metadata cannot describe" in read_log(folder)
    assert read_model_info(folder / "iter_1.pth") is None
    message = fault(load_detector, folder / "iter_1.pth", device="cpu")
    hint = "(give its config before the checkpoint: CONFIG CHECKPOINT)"
    assert message.endswith(f"the checkpoint has no model metadata {hint}")


def test_window_of_the_manifest(tmp_path):
    cfg = load_config(DEMO)
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": {"sizes": [256], "gaps": [64], "rates": [0.5, 1]}}))
    assert find_training_window(Records(tmp_path), cfg) == Window(256, 64)
    assert _find_manifest(Records(tmp_path)).pixels.bits is None
    (tmp_path / "manifest.json").write_text("{}")
    assert find_training_window(Records(tmp_path), cfg) == default_window(cfg) == Window(1024, 200)


def test_window_of_tiles_without_a_manifest(tiles, tmp_path):
    cfg = load_config(DEMO)
    records = [{"img_path": str(path)} for path in sorted((tiles / "images").iterdir())]
    assert find_training_window(Records(tiles, records), cfg) == Window(128, 25)
    shutil.copy(records[0]["img_path"], tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    coco = load_config("atss_r50_fpn_1x_coco")
    assert find_training_window(Records(tiles, records), coco) == Window(0, 0)


def test_training_data_of_wrapped_datasets():
    box = {"bbox": [5.0, 5, 30, 10, 0], "bbox_label": 1}
    ignored = {**box, "ignore_flag": 1}
    horizontal = {"bbox": [0, 0, 6, 8], "bbox_label": 0}
    part = Records(records=[{"img_path": "a.png", "instances": [box, ignored]}, {"img_path": "b.png", "instances": []}])
    other = Records(records=[{"instances": [horizontal]}])
    repeated, joined = type("Repeat", (), {"dataset": part})(), type("Concat", (), {"datasets": [part, other]})()
    assert describe_training_data(repeated, ["a", "b"]).objects == {"a": 0, "b": 1}
    data = describe_training_data(joined, ["a", "b"])
    assert (data.tiles, data.images, data.objects) == (3, 3, {"a": 1, "b": 1})
    assert (data.longer_side["1"], data.shorter_side["0.01"]) == (30.0, 6.0)


@pytest.mark.usefixtures("quick")
def test_bits_and_ground_resolution_of_the_split_are_recorded(run, tiles, tmp_path):
    shutil.copytree(tiles, tmp_path / "tiles")
    names = [{"name": path.stem} for path in (tiles / "images").iterdir()]
    settings = {"sizes": [128], "gaps": [32], "bits": 11}
    content = {"settings": settings, "tiles": names, "images": [{"ground_resolution": 0.25}, {"file": "P2.png"}]}
    (tmp_path / "tiles" / "manifest.json").write_text(json.dumps(content))
    changes = {"train_cfg.max_iters": 1, "train_dataloader.dataset.data_root": str(tmp_path / "tiles")}
    path = run(changes) / "iter_1.pth"
    info = read_model_info(path)
    assert (info.window, info.preprocessing.bits, info.ground_resolution) == (Window(128, 32), 11, 0.25)
    assert load_detector(path, device="cpu").pixels.bits == 11

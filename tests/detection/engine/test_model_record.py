"""The record that training writes, and models loaded from it without a config."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import KEY, Window
from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.model_record import (
    _find_manifest,
    check_agreement,
    default_window,
    describe_model,
    describe_training_data,
    find_training_window,
    resolve_config,
)
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.tiling.predict import predict_image, resolve_tiling
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


def describe(name, **changes):
    cfg = load_config(name, changes)
    with torch.device("meta"):
        model = build_model(cfg)
    return describe_model(cfg, model, ["a", "b"], window=default_window(cfg))


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
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.scores, second.scores)

    out = TestOptions(work_dir=str(tmp_path / "test"), data=str(tiles))
    assert runner.test(None, path, out) == runner.test(DEMO, path, TestOptions(
        work_dir=str(tmp_path / "test2"), data=str(tiles), classes="plane,ship", cfg_options=tiny_options))  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_model_that_cannot_be_described_is_trained_without_a_record(run, read_log, fault):
    rotated = [{"type": "LoadTile"}, {"type": "RandomRotation"}, {"type": "PackDetInputs"}]
    folder = run({"train_cfg.max_iters": 1, "test_dataloader.dataset.pipeline": rotated})
    assert "checkpoints will have no record of the model: the record of a model cannot describe" in read_log(folder)
    assert read_model_info(folder / "iter_1.pth") is None
    message = fault(load_detector, folder / "iter_1.pth", device="cpu")
    assert message.endswith("the checkpoint has no record of its model (name its config: CONFIG CHECKPOINT)")


@pytest.mark.parametrize(
    ("name", "box_type", "angle_version", "window", "order", "resize"),
    [
        ("r3det_r50_fpn_1x_dota_oc", "obb", "oc", (1024, 200), "RGB", (1024, 1024)),
        ("rotated_atss_centerness_obb_r50_fpn_1x_dota_le135", "obb", "le135", (1024, 200), "RGB", (1024, 1024)),
        ("rotated_ablation_point_r50_fpn_1x_dota_le90", "obb", "le90", (1024, 200), "RGB", (1024, 1024)),
        ("atss_r50_fpn_1x_coco", "hbb", None, (0, 0), "RGB", (1333, 800)),
        ("atss_official_r50_fpn_1x_coco", "hbb", None, (0, 0), "BGR", (1333, 800)),
        (DEMO, "obb", "le90", (1024, 200), "RGB", None),
    ],
)
def test_description_of_configs(name, box_type, angle_version, window, order, resize):
    info = describe(name)
    assert (info.config_name, info.box_type, info.angle_version) == (name, box_type, angle_version)
    assert info.window == Window(*window)
    assert (info.preprocessing.channel_order, info.preprocessing.resize) == (order, resize)
    assert info.preprocessing.pad_divisor == 32
    assert info.config_values()["model"] == load_config(name).to_dict()["model"]
    assert type(info).from_json(info.to_json()) == info


def test_window_of_the_manifest(tmp_path):
    cfg = load_config(DEMO)
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": {"sizes": [256], "gaps": [64], "rates": [0.5, 1]}}))
    assert find_training_window(Records(tmp_path), cfg) == Window(256, 64)
    assert _find_manifest(Records(tmp_path)).bits is None
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


def test_config_that_contradicts_the_record_is_refused(fault):
    info = describe(DEMO)
    assert check_agreement(load_config(DEMO), info, "a.pth") is None
    other = load_config(DEMO, {"model.bbox_head.bbox_coder.angle_version": "le135"})
    assert fault(check_agreement, other, info, "a.pth") == (
        "a.pth: model.bbox_head.bbox_coder.angle_version is 'le90' in the checkpoint, 'le135' in the config "
        f"{DEMO} (omit the config: the checkpoint has a record of its own)"
    )
    equal = {
        "model.data_preprocessor.type": "DetDataPreprocessor",
        "model.data_preprocessor.mean": (123.675, 116.28, 103.53),
    }
    assert check_agreement(load_config(DEMO, equal), info, "a.pth") is None
    gray = {"model.data_preprocessor.mean": [1.0, 1.0, 1.0]}
    assert "model.data_preprocessor.mean is " in fault(check_agreement, load_config(DEMO, gray), info, "a.pth")
    assert check_agreement(load_config(DEMO, gray), info, "a.pth", gray) is None
    without_config = dataclasses.replace(info, config=None)
    assert "angle_version is 'le90' in the checkpoint" in fault(check_agreement, other, without_config, "a.pth")


def test_named_classes_that_contradict_the_record_are_refused(fault):
    info = describe(DEMO)
    named = {"test_dataloader.dataset.metainfo.classes": ["b", "a"]}
    for config in (DEMO, None):
        message = fault(resolve_config, config, info, "a.pth", named)
        assert message.startswith("a.pth: the classes are a, b, got b, a from --cfg-options")
    assert resolve_config(None, info, "a.pth", {"test_dataloader.dataset.metainfo.classes": ["a", "b"]})


@pytest.mark.usefixtures("quick")
def test_bits_of_the_split_are_recorded_and_used(run, tiles, tmp_path):
    shutil.copytree(tiles, tmp_path / "tiles")
    names = [{"name": path.stem} for path in (tiles / "images").iterdir()]
    settings = {"sizes": [128], "gaps": [32], "bits": 11}
    (tmp_path / "tiles" / "manifest.json").write_text(json.dumps({"settings": settings, "tiles": names}))
    changes = {"train_cfg.max_iters": 1, "train_dataloader.dataset.data_root": str(tmp_path / "tiles")}
    path = run(changes) / "iter_1.pth"
    info = read_model_info(path)
    assert (info.window, info.preprocessing.bits) == (Window(128, 32), 11)
    assert load_detector(path, device="cpu").bits == 11


def test_explicit_windows_win_over_the_record():
    def detector(tiles):
        return []

    detector.size, detector.gap = 256, 100
    assert (resolve_tiling(detector).size, resolve_tiling(detector).gap) == (256, 100)
    assert (resolve_tiling(detector, size=128).size, resolve_tiling(detector, size=128).gap) == (128, 64)
    assert (resolve_tiling(detector, gap=0).size, resolve_tiling(detector, gap=0).gap) == (256, 0)


def test_recorded_config_runs_no_code(tmp_path, fault):
    info = json.loads(describe(DEMO).to_json())
    info["config"] = f"model = __import__('os').mkdir({str(tmp_path / 'folder')!r})"
    torch.save({"state_dict": {}, "meta": {KEY: json.dumps(info)}}, tmp_path / "a.pth")
    message = fault(load_detector, tmp_path / "a.pth", device="cpu")
    assert "a.pth: the recorded config must be assignments of plain values" in message
    assert not (tmp_path / "folder").exists()

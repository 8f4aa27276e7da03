"""Network inputs of a config: what is drawn is what the head receives."""

import copy
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS

from rotated_atss.cli import main
from rotated_atss.detection.engine.browse import InputBrowser, convert_angle_version, find_angle_version
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.random_numbers import SAMPLES, derive_seed, seed_generators
from rotated_atss.ops.boxes import obb_to_corners
from rotated_atss.visualization import network_input
from tests.detection.coco_samples import ANN_FILE, CLASSES

PUBLISHED, ROTATED = "rotated_atss_obb_r50_fpn_1x_dota_le90", "rotated_atss_obb_r50_fpn_1x_dota_ms_rr_le90"


def oriented_config(tiles, name=ROTATED, **changes):
    options = {
        "train_dataloader.dataset.data_root": str(tiles),
        "train_dataloader.dataset.pipeline.2.scale": (160, 160),
    }
    return load_config(name, {**options, **changes})


def coco_options(folder):
    dataset = "train_dataloader.dataset"
    return {
        f"{dataset}.data_root": str(folder),
        f"{dataset}.ann_file": ANN_FILE,
        f"{dataset}.data_prefix.img": "images",
        f"{dataset}.metainfo.classes": CLASSES,
        f"{dataset}.pipeline.2.scale": (150, 100),
        f"{dataset}.filter_cfg": None,
    }


def batches_of_the_head(cfg, seed, size):
    """Load every batch as the data loader and the model do, without this package's browsing."""
    dataset = DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset))
    preprocessor = MODELS.build(copy.deepcopy(cfg.model.data_preprocessor))
    for start in range(0, len(dataset), size):
        samples = []
        for index in range(start, min(start + size, len(dataset))):
            seed_generators(derive_seed(seed, SAMPLES, 0, index))
            samples.append(dataset[index])
        data = preprocessor(pseudo_collate(samples), True)
        yield from zip(data["inputs"], data["data_samples"])


@pytest.fixture(params=["oriented", "ignored", "horizontal"])
def cfg(request, tiles, coco_folder, tmp_path):
    if request.param == "horizontal":
        return load_config("atss_r50_fpn_1x_coco", coco_options(coco_folder))
    if request.param == "ignored":
        copied = shutil.copytree(tiles, tmp_path / "copied")
        for path in (copied / "labelTxt").glob("*.txt"):
            path.write_text(path.read_text().replace("plane 0", "plane 1"))
        return oriented_config(copied, **{"train_dataloader.dataset.difficult": "ignore"})
    return oriented_config(tiles)


def test_the_drawn_boxes_are_those_of_the_head(cfg, tmp_path, monkeypatch):
    """The arguments of the drawing function equal the output of the data preprocessor."""
    drawn = []
    original = network_input.draw_network_input

    def record(image, boxes, labels, ignored=(), ignored_labels=(), **options):
        drawn.append((image, boxes, labels, ignored, ignored_labels))
        return original(image, boxes, labels, ignored, ignored_labels, **options)

    monkeypatch.setattr(network_input, "draw_network_input", record)
    config = tmp_path / "config.py"
    cfg.dump(str(config))
    assert main(["browse", str(config), "--seed", "5", "--out", str(tmp_path / "out")]) == 0
    version = find_angle_version(cfg)
    expected = list(batches_of_the_head(cfg, 5, cfg.train_dataloader.batch_size))
    assert len(drawn) == len(expected) > 3
    names = DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset)).metainfo["classes"]
    for (image, boxes, labels, ignored, ignored_labels), (inputs, sample) in zip(drawn, expected):
        assert image.shape[:2] == inputs.shape[1:]
        for found, found_labels, instances in (
            (boxes, labels, sample.gt_instances),
            (ignored, ignored_labels, sample.ignored_instances),
        ):
            assert torch.equal(found, convert_angle_version(instances.bboxes, version))
            assert found_labels == [names[label] for label in instances.labels.tolist()]
    assert sum(len(boxes) for _, boxes, *_ in drawn) >= 5


def test_the_image_is_that_of_the_network(cfg):
    """Normalizing the drawn pixels again gives the inputs; the padding is that of the batch."""
    preprocessor = MODELS.build(copy.deepcopy(cfg.model.data_preprocessor))
    batches = batches_of_the_head(cfg, 0, cfg.train_dataloader.batch_size)
    for each, (inputs, sample) in zip(InputBrowser(cfg).load(range(4), seed=0), batches):
        width, height = each.image_wh
        assert (height, width) == sample.img_shape
        assert each.image.shape[:2] == sample.batch_input_shape
        pixels = torch.from_numpy(each.image[..., ::-1].copy()).permute(2, 0, 1).float()
        again = (pixels - preprocessor.mean) / preprocessor.std
        assert torch.allclose(again[:, :height, :width], inputs[:, :height, :width], atol=1e-4)
        assert (inputs[:, height:] == 0).all()
        assert (each.image[height:] == each.image[-1, -1]).all() or height == each.image.shape[0]


def test_the_head_of_the_model_receives_these_boxes(tiles, quick, monkeypatch):
    """A training step of the whole model, with the loss of its head replaced."""
    cfg = oriented_config(tiles, PUBLISHED, **{"model.backbone.depth": 18, "model.backbone.init_cfg": None,
                                               "model.neck.in_channels": [64, 128, 256, 512]})  # fmt: skip
    model = build_model(cfg)
    received = []
    monkeypatch.setattr(model.bbox_head, "loss", lambda features, samples: received.extend(samples) or {})
    dataset = DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset))
    samples = []
    for index in range(2):
        seed_generators(derive_seed(4, SAMPLES, 0, index))
        samples.append(dataset[index])
    with torch.no_grad():
        model(**model.data_preprocessor(pseudo_collate(samples), True), mode="loss")
    for each, sample in zip(InputBrowser(cfg).load(range(2), seed=4), received, strict=True):
        assert torch.equal(each.boxes, sample.gt_instances.bboxes)


def test_regularized_boxes_are_the_same_rectangles():
    boxes = torch.tensor([[50.0, 40, 10, 30, 0.3], [9, 9, 8, 4, 2.0]], dtype=torch.float64)
    for version in ("le90", "le135", "oc"):
        drawn = obb_to_corners(convert_angle_version(boxes, version))
        for first, second in zip(obb_to_corners(boxes).tolist(), drawn.tolist()):
            assert np.allclose(sorted(first), sorted(second))
    assert convert_angle_version(boxes[:, :4], "le90").shape == (2, 4)


def test_a_picture_depends_on_seed_and_index_only(tiles):
    browser = InputBrowser(oriented_config(tiles))
    first = list(browser.load([1, 2], seed=1))
    alone = next(browser.load([2], seed=1))
    assert torch.equal(first[1].boxes, alone.boxes)
    assert first[1].facts == alone.facts
    others = [next(browser.load([2], seed=seed)) for seed in range(2, 8)]
    assert any(not torch.equal(other.boxes, alone.boxes) for other in others)


def test_facts(coco_folder):
    browser = InputBrowser(load_config("atss_r50_fpn_1x_coco", coco_options(coco_folder)))
    facts = [each.facts for each in browser.load(range(len(browser)), seed=0)]
    assert facts[0][0] == "96 x 64 -> 150 x 100 px, padded to 160 x 160"  # the batch has an upright image
    assert facts[1][0] == "64 x 96 -> 100 x 150 px, padded to 160 x 160"
    assert facts[1][-1] == "1 box, 1 ignored"
    assert {each[1] for each in facts} <= {"flip none", "flip horizontal"}


def test_command(tiles, tmp_path, capsys):
    words = ["browse", ROTATED, "--data", tiles, "--number", "3", "--start", "1", "--side-by-side", "--sheet"]
    words += ["--out", tmp_path / "out", "--cfg-options", "train_dataloader.dataset.pipeline.2.scale=(160,160)"]
    words += ["train_dataloader.dataset.pipeline.4.min_side=30"]
    assert main([*map(str, words)]) == 0
    out = capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    shown = ["00001_P0000__128__192___0", "00002_P0000__128__96___0", "00003_P0001__128__0___0", "contact_sheet"]
    assert names == [f"{name}.png" for name in shown]
    lines = out.splitlines()
    assert lines[0].startswith("1 P0000__128__192___0.png: 128 x 128 -> 160 x 160 px, flip ")
    assert lines[-1] == f"3 pictures of 5 images in the train dataset written to {tmp_path / 'out'}"
    picture = cv2.imread(str(tmp_path / "out" / names[0]))
    assert picture.shape[1] > 320
    assert picture.shape[0] > 160


def test_pipelines_of_tests_load_no_boxes(tiles, tmp_path, capsys):
    words = ["browse", PUBLISHED, "--split", "test", "--data", tiles, "--number", "1", "--out", tmp_path]
    assert main([*map(str, words)]) == 0
    assert "no boxes loaded" in capsys.readouterr().out


def test_user_errors(tiles, tmp_path, capsys):
    def error(*words):
        assert main(["browse", *map(str, words)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    out = tmp_path / "out"
    data = ["--data", tiles, "--out", out]
    assert "no such config" in error("no_such_config")
    assert "no such file or folder" in error(PUBLISHED, "--data", tmp_path / "gone")
    assert "--number must be at least 1, got 0" in error(PUBLISHED, *data, "--number", "0")
    assert "--start must be at least 0, got -1" in error(PUBLISHED, *data, "--start", "-1")
    assert "--start must be less than the number of images (5), got 9" in error(PUBLISHED, *data, "--start", "9")
    assert "the output overlaps the input" in error(PUBLISHED, "--data", tiles, "--out", tiles / "images")
    assert "this config has no val_dataloader" in error("rotated_atss_obb_r18_demo_le90", *data, "--split", "val")
    assert "unknown class" in error(PUBLISHED, *data, "--classes", "car,boat")
    assert not out.exists()


def test_datasets_in_wrappers(tiles):
    cfg = oriented_config(tiles, PUBLISHED)
    plain = next(InputBrowser(cfg).load([1], seed=0))
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=cfg.train_dataloader.dataset)
    browser = InputBrowser(cfg)
    assert len(browser) == 10
    wrapped = next(browser.load([1], seed=0))
    assert torch.equal(wrapped.boxes, plain.boxes)
    assert torch.equal(wrapped.trace.boxes, plain.trace.boxes)
    assert wrapped.trace.image.shape == (128, 128, 3)

"""Test-time augmentation of images with known objects, with a detector of bright rectangles."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from rotated_atss.configs import config_folder, config_names
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.runner import test as run_test
from rotated_atss.detection.engine.tta import BoxTTAModel, map_pass_to_image
from rotated_atss.dota.folders import pair_images_and_labels
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.box_fusion import merge_by_voting
from rotated_atss.ops.box_transforms import scale_obb
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb, poly_to_obb

DEMO = "rotated_atss_obb_r18_demo_le90"
PACKED = ("img_id", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction", "quarter_turns", "size_range")
FLIPS = [dict(type="RandomFlip", prob=0.0)] + [
    dict(type="RandomFlip", prob=1.0, direction=direction) for direction in ("horizontal", "vertical", "diagonal")
]
TURNS = [dict(type="RandomQuarterTurn", prob=1.0, turns=[turns]) for turns in range(4)]
SIZES = [dict(type="Resize", scale_factor=factor) for factor in (1.0, 0.75, 1.5)]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


class ColorDetector(nn.Module):
    """Detects every bright rectangle of its input, with falling scores in the order of the contours."""

    def test_step(self, data):
        return [self.detect(image, sample) for image, sample in zip(data["inputs"], data["data_samples"])]

    def detect(self, image, sample):
        mask = (image.float().amax(0) > 130).numpy().astype(np.uint8)
        boxes = [self.box_of(each) for each in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]]
        boxes = torch.cat([torch.zeros(0, 5), *(box[None] for box in boxes if box[2:4].amin() > 4)])
        scale_x, scale_y = sample.scale_factor
        detections = InstanceData(
            bboxes=scale_obb(boxes, (1 / scale_x, 1 / scale_y)),
            scores=torch.linspace(0.9, 0.5, len(boxes)),
            labels=torch.zeros(len(boxes), dtype=torch.int64),
        )
        sample.pred_instances = detections
        return sample

    @staticmethod
    def box_of(contour):
        corners = cv2.boxPoints(cv2.minAreaRect(contour)) + 0.5  # OpenCV counts pixel centers
        box = poly_to_obb(torch.from_numpy(corners.reshape(1, 8)))[0]
        return box + box.new_tensor([0, 0, 1, 1, 0])  # from the centers of the outermost pixels to their borders


def pipeline(*choices):
    pack = dict(type="PackDetInputs", meta_keys=PACKED)
    return [dict(type="LoadTile"), dict(type="TestTimeAug", transforms=[*choices, [pack]])]


def run_pipeline(steps, results):
    """Run a pipeline on one image. Compose changes its argument, so it gets a copy."""
    return Compose(copy.deepcopy(steps))(dict(results))


def tile_results(tiles):
    """Yield the input of a pipeline and the ground-truth boxes of each tile with objects."""
    for image, label in pair_images_and_labels(tiles / "images", tiles / "labelTxt"):
        labels = read_labels(label)
        if len(labels):
            yield dict(img_path=str(image), img_id=image.stem), poly_to_obb(torch.from_numpy(labels.polygons))


def test_every_pass_places_every_object_on_the_image(tiles):
    compared = 0
    for results, _ in tile_results(tiles):
        data = run_pipeline(pipeline(TURNS, SIZES, FLIPS), results)
        assert len(data["inputs"]) == 4 * 3 * 4
        detections = [
            map_pass_to_image(ColorDetector().detect(*each))[0] for each in zip(data["inputs"], data["data_samples"])
        ]
        plain = detections[0]
        for boxes in detections:
            assert len(boxes) == len(plain)
            iou = rotated_iou(plain.double(), boxes.double()).amax(1)
            assert bool((iou > 0.75).all())  # the detector measures objects of 12 x 28 in whole pixels
            compared += len(boxes)
    assert compared >= 48 * 10


@pytest.mark.parametrize("merge", [dict(merge="nms", iou_threshold=0.1), dict(merge="vote", iou_threshold=0.5)])
def test_merged_passes_have_one_box_per_object(tiles, merge):
    model = BoxTTAModel(tta_cfg=dict(merge, max_per_img=100), module=ColorDetector())
    results = [each for each, _ in tile_results(tiles)]
    data = [run_pipeline(pipeline(TURNS, SIZES, FLIPS), each) for each in results]
    batch = {key: [list(group) for group in zip(*(each[key] for each in data))] for key in data[0]}
    merged = model.test_step(batch)
    assert [sample.img_id for sample in merged] == [each["img_id"] for each in results]
    for sample, each in zip(merged, data):
        plain = ColorDetector().detect(each["inputs"][0], each["data_samples"][0]).pred_instances
        detections = sample.pred_instances
        assert len(detections) == len(plain)
        assert set(sample.metainfo) >= {"img_id", "ori_shape"}
        assert bool((rotated_iou(plain.bboxes.double(), detections.bboxes.double()).amax(1) > 0.75).all())
        assert bool((detections.scores.diff() <= 0).all())


@pytest.fixture
def checkpoint(tmp_path, tiny_options):
    """Weights of the demo's narrowed network, untrained."""
    cfg = load_config(DEMO, tiny_options)
    torch.manual_seed(0)
    model = build_model(cfg)
    model.init_weights()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def run(tmp_path, checkpoint, options, name, **changes):
    options = {**options, "model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 40}
    options |= {"experiment_name": f"{tmp_path.name}{name}"}
    folders = dict(work_dir=tmp_path / name, out=tmp_path / name / "out")
    run_test(DEMO, checkpoint, TestOptions(**folders, cfg_options=options, **changes))
    return {path.name: path.read_text() for path in (tmp_path / name / "out").glob("Task1_*.txt")}


@pytest.mark.parametrize("merge", [dict(merge="nms", iou_threshold=0.1), dict(merge="vote", iou_threshold=0.66)])
def test_single_identity_pass_equals_the_plain_test(tmp_path, tiny_options, tiles, checkpoint, merge):
    plain = run(tmp_path, checkpoint, tiny_options, "plain", data=tiles)
    one = {
        "tta_model": dict(type="BoxTTAModel", tta_cfg=dict(merge, max_per_img=40)),
        "tta_pipeline": pipeline(SIZES[:1], FLIPS[:1]),
    }
    assert any(plain.values())
    assert run(tmp_path, checkpoint, {**tiny_options, **one}, "one", data=tiles, tta=True) == plain


@pytest.mark.parametrize("merge", [dict(merge="nms", iou_threshold=0.1), dict(merge="vote", iou_threshold=0.66)])
def test_single_identity_pass_equals_the_plain_detections_exactly(tiny_options, tiles, merge):
    cfg = load_config(DEMO, {**tiny_options, "model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 60})
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    results = next(tile_results(tiles))[0]
    once = run_pipeline(cfg.test_dataloader.dataset.pipeline, results)
    twice = run_pipeline(pipeline(SIZES[:1], FLIPS[:1]), results)
    wrapped = BoxTTAModel(tta_cfg=dict(merge, max_per_img=60), module=model)
    with torch.no_grad():
        plain = model.test_step({key: [value] for key, value in once.items()})[0].pred_instances
        detections = wrapped.test_step({key: [value] for key, value in twice.items()})[0].pred_instances
    assert len(plain) == 60
    assert all(torch.equal(detections[name], plain[name]) for name in ("bboxes", "scores", "labels"))


def test_all_passes_change_the_merged_detections(tmp_path, tiny_options, tiles, checkpoint):
    plain = run(tmp_path, checkpoint, tiny_options, "plain", data=tiles)
    detections = run(tmp_path, checkpoint, tiny_options, "all", data=tiles, tta=True)
    assert set(detections) == set(plain)
    assert detections != plain
    ids = {line.split()[0] for text in detections.values() for line in text.splitlines()}
    assert ids == {"P0000", "P0001"}


def test_config_without_tta_is_refused(tmp_path, tiny_options, tiles, checkpoint):
    with pytest.raises(UserError, match=r"has no tta_model and tta_pipeline .*_base_/tta"):
        run(tmp_path, checkpoint, {**tiny_options, "tta_model": None}, "none", data=tiles, tta=True)


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(merge="nms"),
        dict(merge="wbf", iou_threshold=0.5),
        dict(merge="nms", iou_threshold=0.5, soft_score=0.1),
        dict(merge="vote", iou_threshold=0.5, score=0.1),
    ],
)
def test_unknown_merging_is_refused(settings):
    with pytest.raises(UserError, match="tta_cfg must contain a merge method and its settings only, got merge="):
        BoxTTAModel(tta_cfg=settings, module=ColorDetector())


# -- multi-scale testing on COCO ---------------------------------------------------------------------------------------


@pytest.fixture
def coco_ms():
    return Config.fromfile(config_folder() / "_base_" / "tta" / "coco_ms.py", import_custom_modules=False)


def coco_passes(cfg, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    results = dict(img=image, img_id=7, ori_shape=(height, width), img_shape=(height, width))
    return run_pipeline(cfg.tta_pipeline[1:], results)


NO_LIMIT = (0, math.inf)
RANGES = dict.fromkeys((400, 500), (96, math.inf)) | dict.fromkeys((600, 640, 700), (64, math.inf))
RANGES |= dict.fromkeys((900, 1000), NO_LIMIT) | dict.fromkeys((1100, 1200), (0, 256))
RANGES |= dict.fromkeys((1300, 1400), (0, 192)) | {1800: (0, 96)}


@pytest.mark.parametrize("height, width", [(480, 640), (640, 427), (300, 1200)])
def test_coco_scales_and_ranges_are_the_published_ones(coco_ms, height, width):
    data = coco_passes(coco_ms, height, width)
    assert len(data["inputs"]) == 2 * 13
    expected = []
    for short, limits in [(800, NO_LIMIT), *RANGES.items()]:
        longest = 1333 if short <= 800 else 3000
        factor = min(short / min(height, width), longest / max(height, width))
        expected += [(round(height * factor), round(width * factor), limits, flip) for flip in (False, True)]
    for image, sample, (high, wide, limits, flip) in zip(data["inputs"], data["data_samples"], expected):
        assert abs(image.shape[1] - high) <= 1
        assert abs(image.shape[2] - wide) <= 1
        low, top = sample.metainfo.get("size_range", (None, None))
        assert (low or 0, math.inf if top is None else top) == limits
        assert sample.flip is flip
        assert sample.flip_direction == ("horizontal" if flip else None)


def test_coco_passes_are_merged_within_their_size_ranges(coco_ms):
    """Every pass detects the objects of 20, 100 and 300 pixels, with a score of its own."""
    height, width = 480, 640
    objects = torch.tensor([[30.0, 40, 50, 60], [200, 100, 300, 200], [300, 150, 600, 450]])
    data = coco_passes(coco_ms, height, width)
    best, kept = torch.zeros(3), torch.zeros(3)
    for number, sample in enumerate(data["data_samples"]):
        score = 0.5 + number / 100
        boxes = objects.clone()
        if sample.flip:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        sample.pred_instances = InstanceData(
            bboxes=boxes, scores=torch.full((3,), score), labels=torch.tensor([0, 1, 1])
        )
        low, high = RANGES.get(min(sample.img_shape), NO_LIMIT)
        size = torch.tensor([20.0, 100, 300]) * math.sqrt(math.prod(sample.scale_factor))
        keeps = (size > low) & (size < high)
        kept += keeps
        best = torch.where(keeps, score, best)
    model = BoxTTAModel(tta_cfg=coco_ms.tta_model.tta_cfg, module=ColorDetector())
    (merged,) = model.merge_preds([data["data_samples"]])
    detections = merged.pred_instances
    assert kept.tolist() == [16, 18, 16]  # 20 px is below 64 before scale 900, 300 px is too large from 1100
    order = best.argsort(descending=True)
    torch.testing.assert_close(detections.bboxes, objects[order], atol=1e-3, rtol=0)
    torch.testing.assert_close(detections.scores, best[order])
    assert detections.labels.tolist() == torch.tensor([0, 1, 1])[order].tolist()


def test_empty_passes_give_an_empty_image(coco_ms):
    samples = coco_passes(coco_ms, 60, 80)["data_samples"]
    for sample in samples:
        sample.pred_instances = InstanceData(
            bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)
        )
    (merged,) = BoxTTAModel(tta_cfg=coco_ms.tta_model.tta_cfg, module=ColorDetector()).merge_preds([samples])
    assert isinstance(merged, DetDataSample)
    assert merged.pred_instances.bboxes.shape == (0, 4)


def test_box_of_a_contour():
    box = ColorDetector.box_of(np.array([[[10, 10]], [[29, 10]], [[29, 15]], [[10, 15]]], np.int32))
    torch.testing.assert_close(obb_to_hbb(box), torch.tensor([10.0, 10, 30, 16]), atol=1e-4, rtol=0)
    assert obb_to_corners(box).shape == (4, 2)


@pytest.mark.parametrize("name", config_names())
def test_every_config_has_test_time_augmentation(name):
    cfg, expected = load_config(name), {"coco": 26, "demo": 4, "dota": 12}
    assert cfg.tta_model.type == "BoxTTAModel"
    choices = cfg.tta_pipeline[1].transforms
    assert math.prod(map(len, choices)) == next((passes for kind, passes in expected.items() if kind in name), 12)
    merge = BoxTTAModel(tta_cfg=cfg.tta_model.tta_cfg, module=ColorDetector()).merge
    assert merge.func is merge_by_voting

"""Steps of the pipelines equal those of MMDetection."""

import copy

import numpy as np
import pytest
import torch
from mmdet.datasets import transforms as mmdet_transforms
from mmdet.structures.bbox import HorizontalBoxes

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.datasets.pipeline import FlipImage, LoadBoxes, PackSample, ResizeForRange, ResizeImage

INSTANCES = {
    "obb": [[30.0, 20, 18, 8, 0.3], [70, 50, 12, 30, -1.0], [5, 5, 20, 20, 0]],
    "hbox": [[10.0, 20, 40, 60], [50, 0, 90, 30], [60, 40, 100, 80]],
}


def raw_results(box_type, count=3):
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    instances = [
        dict(bbox=box, bbox_label=7 - number, ignore_flag=number % 2)
        for number, box in enumerate(INSTANCES[box_type][:count])
    ]
    return dict(img=image, img_id="P1", img_shape=(80, 100), ori_shape=(80, 100), instances=instances)


def assert_same(results, expected):
    assert set(expected) - set(results) <= {"homography_matrix"}
    for key, value in results.items():
        if isinstance(value, (OrientedBoxes, HorizontalBoxes)):
            assert type(value) is type(expected[key])
            assert torch.equal(value.tensor, expected[key].tensor)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, expected[key])
            assert value.dtype == expected[key].dtype
        else:
            assert value == expected[key], key


@pytest.mark.parametrize("box_type", ["obb", "hbox"])
@pytest.mark.parametrize("count", [3, 0])
@pytest.mark.parametrize(
    "size",
    [dict(scale=(64, 64), keep_ratio=True), dict(scale=(50, 70)), dict(scale_factor=1.0), dict(scale_factor=1.5)],
    ids=str,
)
@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal", None])
def test_every_step_equals_that_of_mmdetection(box_type, count, size, direction):
    flip = dict(prob=0.0 if direction is None else 1.0, direction=direction or "horizontal")
    steps = {
        LoadBoxes(box_type): mmdet_transforms.LoadAnnotations(with_bbox=True, box_type=box_type),
        ResizeImage(**size): mmdet_transforms.Resize(**size),
        FlipImage(**flip): mmdet_transforms.RandomFlip(**flip),
    }
    results, expected = (raw_results(box_type, count) for _ in range(2))
    for step, mmdet_step in steps.items():
        results, expected = step(results), mmdet_step(expected)
        assert_same(results, expected)
    packed, expected = PackSample()(results), mmdet_transforms.PackDetInputs()(expected)
    assert torch.equal(packed["inputs"], expected["inputs"])
    assert packed["inputs"].is_contiguous()
    sample, reference = packed["data_samples"], expected["data_samples"]
    assert sample.metainfo == reference.metainfo
    for name in ("gt_instances", "ignored_instances"):
        own, other = getattr(sample, name), getattr(reference, name)
        assert torch.equal(own.labels, other.labels)
        assert type(own.bboxes) is type(other.bboxes)
        assert torch.equal(own.bboxes.tensor, other.bboxes.tensor)


def test_sample_without_labels():
    results = raw_results("obb")
    packed, expected = PackSample()(copy.copy(results)), mmdet_transforms.PackDetInputs()(results)
    assert torch.equal(packed["inputs"], expected["inputs"])
    assert len(packed["data_samples"].gt_instances) == len(expected["data_samples"].gt_instances) == 0
    assert packed["data_samples"].metainfo == expected["data_samples"].metainfo


def test_horizontal_boxes_are_clipped_to_the_resized_image_by_default():
    results = raw_results("hbox")
    results["instances"][0]["bbox"] = [-10.0, 20, 40, 60]
    clipped, kept = (
        ResizeImage(scale_factor=1.0, clip_object_border=clip)(LoadBoxes("hbox")(copy.deepcopy(results)))
        for clip in (True, False)
    )
    assert clipped["gt_bboxes"].tensor[0].tolist() == [0, 20, 40, 60]
    assert kept["gt_bboxes"].tensor[0].tolist() == [-10, 20, 40, 60]


def test_range_of_sizes_is_recorded():
    assert ResizeForRange(scale_factor=1.0, size_range=[96, None])(raw_results("obb"))["size_range"] == (96, None)

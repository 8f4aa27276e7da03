"""Rotation transforms: boxes follow their image, and boxes that leave it are dropped."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from rotated_atss.configs import config_names
from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.datasets.dota import DOTADataset
from rotated_atss.detection.datasets.pipeline import ResizeForRange
from rotated_atss.detection.datasets.transforms import RandomQuarterTurn, RandomRotation, quarter_turn, rotate
from rotated_atss.detection.engine.config import load_config
from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb, points_in_obb

BOXES = [
    [60.0, 50, 40, 16, 0.0],
    [140.3, 61.7, 50, 20, 0.7],
    [70, 120, 24, 24, 1.2],
    [151.5, 118.25, 30, 11, -0.4],
]


def raster(boxes, height, width):
    """(N, H, W) bool: the pixels whose centers lie in each box."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return points_in_obb(torch.stack((x, y), -1)[None], boxes[:, None, None])


def synthetic_results(boxes=BOXES, height=180, width=210, labels=None, box_type=OrientedBoxes):
    """Pipeline results with one bright patch per box."""
    tensor = torch.tensor(boxes).reshape(-1, 5)
    image = np.zeros((height, width, 3), np.uint8)
    for number, mask in enumerate(raster(tensor, height, width)):
        image[mask.numpy()] = 100 + 50 * (number % 3)
    tensor = tensor if box_type is OrientedBoxes else obb_to_hbb(tensor)
    return dict(
        img=image,
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=box_type(tensor),
        gt_bboxes_labels=np.array(labels or range(len(tensor))),
        gt_ignore_flags=np.arange(len(tensor)) % 2 == 0,
    )


def assert_boxes_match_patches(results, tolerance_px=0.2):
    """Compare each box with its bright patch: centroid, bright pixels inside, dark pixels around."""
    height, width = results["img"].shape[:2]
    boxes = results["gt_bboxes"].tensor
    brightness = torch.from_numpy(results["img"].astype(np.float64).max(2))
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for box in boxes:
        near = raster((box + box.new_tensor([0, 0, 6, 6, 0]))[None], height, width)[0]
        weight = brightness * near
        centroid = torch.stack(((x * weight).sum(), (y * weight).sum())) / weight.sum()
        assert float((centroid - box[:2]).abs().max()) < tolerance_px
        inner = raster((box - box.new_tensor([0, 0, 3, 3, 0]))[None], height, width)[0]
        assert float(brightness[inner].min()) > 90
        outer = raster((box + box.new_tensor([0, 0, 3, 3, 0]))[None], height, width)[0]
        assert float(brightness[near & ~outer].max()) < 10


def test_comparison_detects_a_shift_of_half_a_pixel():
    assert_boxes_match_patches(synthetic_results())
    shifted = synthetic_results()
    shifted["gt_bboxes"].translate_((0.5, 0.5))
    with pytest.raises(AssertionError):
        assert_boxes_match_patches(shifted)


@pytest.mark.parametrize("degrees", [-179.5, -90, -33.3, -7, 0, 12.5, 45, 90, 101, 180])
def test_boxes_follow_a_rotated_image(degrees):
    results = rotate(synthetic_results(height=200, width=210), degrees)
    assert results["img"].shape == (200, 210, 3)
    assert len(results["gt_bboxes"]) == 4
    assert_boxes_match_patches(results)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_by_a_multiple_of_90_degrees_equals_quarter_turns(degrees):
    """Detects a shift of half a pixel and a wrong direction."""
    rotated = rotate(synthetic_results(height=200, width=200), degrees)
    exact = quarter_turn(synthetic_results(height=200, width=200), degrees // 90)
    assert np.array_equal(rotated["img"], exact["img"])
    first, second = (obb_to_corners(each["gt_bboxes"].tensor) for each in (rotated, exact))
    torch.testing.assert_close(first, second, atol=1e-3, rtol=0)


def test_rotation_is_clockwise():
    results = rotate(synthetic_results([[150.0, 100, 40, 10, 0]], 200, 200), 90)  # from the right to the bottom
    torch.testing.assert_close(results["gt_bboxes"].tensor[0, :2], torch.tensor([100.0, 150]))
    assert results["img"][150, 100].max() > 90


@pytest.mark.parametrize("turns", range(-1, 6))
def test_quarter_turns_move_pixels_exactly(turns):
    before = synthetic_results()
    after = quarter_turn(copy.deepcopy(before), turns)
    assert np.array_equal(after["img"], np.rot90(before["img"], -turns))
    assert after["img"].flags.c_contiguous
    assert after["img_shape"] == after["img"].shape[:2]
    assert after["quarter_turns"] == turns % 4
    assert after["ori_shape"] == before["ori_shape"]
    assert_boxes_match_patches(after)
    horizontal = quarter_turn(synthetic_results(box_type=HorizontalBoxes), turns)
    torch.testing.assert_close(horizontal["gt_bboxes"].tensor, obb_to_hbb(after["gt_bboxes"].tensor), atol=1e-4, rtol=0)


def test_quarter_turns_accumulate():
    results = quarter_turn(quarter_turn(synthetic_results(), 3), 2)
    assert results["quarter_turns"] == 1
    assert np.array_equal(results["img"], quarter_turn(synthetic_results(), 1)["img"])


def test_boxes_that_leave_the_image_are_dropped_with_label_and_flag():
    boxes = [[100.0, 50, 10, 10, 0], [190, 10, 10, 10, 0], [12, 50, 10, 10, 0], [100, 20, 40, 4, 0]]
    results = rotate(synthetic_results(boxes, 100, 200, labels=[3, 4, 5, 6]), 90, min_side=5)
    assert results["gt_bboxes_labels"].tolist() == [3]  # out to the right, out to the left, too thin
    assert results["gt_ignore_flags"].tolist() == [True]
    assert len(results["gt_bboxes"]) == 1
    results = rotate(synthetic_results(boxes[1:3], 100, 200), 90)
    assert results["gt_bboxes"].tensor.shape == (0, 5)
    assert len(results["gt_bboxes_labels"]) == 0
    assert rotate(synthetic_results([], 100, 200), 30)["gt_bboxes"].tensor.shape == (0, 5)


def test_images_without_annotations_are_rotated():
    unlabeled = {key: value for key, value in synthetic_results().items() if not key.startswith("gt_")}
    assert rotate(dict(unlabeled), 30)["img"].shape == unlabeled["img"].shape
    assert quarter_turn(dict(unlabeled), 1)["img"].shape == (210, 180, 3)
    assert RandomRotation(prob=1.0, quarter_turn_classes=[9])(dict(unlabeled))["img"].shape == unlabeled["img"].shape


def test_border_has_the_given_value():
    results = rotate(synthetic_results([]), 45, border_value=(104, 116, 124))
    assert results["img"][0, 0].tolist() == [104, 116, 124]
    assert results["img"][90, 105].tolist() == [0, 0, 0]


def test_arbitrary_angle_requires_oriented_boxes():
    with pytest.raises(UserError, match=r"gt_bboxes must be OrientedBoxes, got HorizontalBoxes .*box_type='obb'"):
        rotate(synthetic_results(box_type=HorizontalBoxes), 30)


def test_seed_determines_the_rotations():
    step = RandomRotation(prob=0.7)

    def images(seed):
        np.random.seed(seed)  # noqa: NPY002
        return [step(synthetic_results())["img"] for _ in range(6)]

    first = images(3)
    assert all(np.array_equal(one, other) for one, other in zip(first, images(3)))
    assert not all(np.array_equal(one, other) for one, other in zip(first, images(4)))


def test_angles_and_frequency_match_the_settings():
    np.random.seed(0)  # noqa: NPY002
    step = RandomRotation(prob=0.25, angle_range=40)
    angles, num_rotated = [], 0
    for _ in range(400):
        box = step(synthetic_results([[105.0, 90, 20, 10, 0]]))["gt_bboxes"].tensor[0]
        num_rotated += bool(box[4] != 0)
        angles += [float(box[4].rad2deg())] if box[4] != 0 else []
    assert 70 < num_rotated < 130
    assert -40 <= min(angles) < -30
    assert 30 < max(angles) <= 40
    assert abs(np.mean(angles)) < 8


def test_round_classes_are_rotated_by_quarter_turns_only():
    assert [CLASSES["v1.0"][index] for index in (9, 11)] == ["storage-tank", "roundabout"]
    np.random.seed(0)  # noqa: NPY002
    step = RandomRotation(prob=1.0, quarter_turn_classes=[9, 11])
    quarters = {step(synthetic_results(labels=[0, 1, 9, 2]))["quarter_turns"] for _ in range(40)}
    assert quarters == {1, 2, 3}
    assert all("quarter_turns" not in step(synthetic_results(labels=[0, 1, 8, 2])) for _ in range(5))


def test_probability_0_and_1_of_random_quarter_turn():
    assert RandomQuarterTurn(prob=0.0)(synthetic_results())["quarter_turns"] == 0
    assert RandomQuarterTurn(prob=1.0, turns=[3])(synthetic_results())["quarter_turns"] == 3


@pytest.mark.parametrize(
    "build",
    [
        lambda: RandomRotation(prob=1.5),
        lambda: RandomRotation(angle_range=0),
        lambda: RandomRotation(angle_range=181),
        lambda: RandomQuarterTurn(prob=-0.1),
        lambda: RandomQuarterTurn(turns=[0.5]),
        lambda: RandomQuarterTurn(turns=[]),
    ],
)
def test_settings_out_of_range_raise(build):
    with pytest.raises(UserError):
        build()


def test_resize_for_range_resizes_and_adds_the_range():
    results = ResizeForRange(scale=(100, 90), keep_ratio=True, size_range=(96, None))(synthetic_results())
    assert results["size_range"] == (96, None)
    assert results["img"].shape == (86, 100, 3)
    torch.testing.assert_close(results["gt_bboxes"].tensor[0, :2], torch.tensor([60 * 100 / 210, 50 * 86 / 180]))


RANDOMLY_ROTATED = [name for name in config_names() if "_dota_ms_rr_" in name]


@pytest.mark.parametrize("name", RANDOMLY_ROTATED)
def test_pipelines_of_rotated_configs_run(name, tiles):
    cfg = load_config(name)
    pipeline = copy.deepcopy(cfg.train_dataloader.dataset.pipeline)
    kinds = [step.type for step in pipeline]
    assert kinds.index("ResizeImage") < kinds.index("FlipImage") < kinds.index("RandomRotation")
    step = next(step for step in pipeline if step.type == "RandomRotation")
    assert step.to_dict() == dict(
        type="RandomRotation", prob=0.5, angle_range=180, min_side=5, quarter_turn_classes=[9, 11]
    )
    assert cfg.train_dataloader.dataset.data_root == "data/dota_v1.0_ms/trainval"
    assert {cfg[f"{part}_dataloader"].dataset.data_root for part in ("val", "test")} == {
        "data/dota_v1.0_ms/val",
        "data/dota_v1.0_ms/test",
    }
    resize = next(step for step in pipeline if step.type == "ResizeImage")
    resize.scale = (128, 128)
    dataset = DOTADataset(data_root=str(tiles), filter_cfg=dict(filter_empty_gt=True), pipeline=pipeline)
    np.random.seed(0)  # noqa: NPY002
    angles = set()
    for _ in range(6):
        for index in range(len(dataset)):
            sample = dataset[index]
            assert sample["inputs"].shape == (3, 128, 128)
            boxes = sample["data_samples"].gt_instances.bboxes.tensor
            assert boxes.shape[1] == 5
            assert len(boxes) == len(sample["data_samples"].gt_instances.labels)
            angles |= {round(float(angle), 3) for angle in boxes[:, 4]}
    assert len(angles) > 40


def test_rotated_configs_are_complete():
    assert RANDOMLY_ROTATED == [
        "rotated_atss_centerness_obb_r50_fpn_1x_dota_ms_rr_le90",
        "rotated_atss_obb_r50_fpn_1x_dota_ms_rr_le90",
        "rotated_retinanet_obb_r50_fpn_1x_dota_ms_rr_le90",
    ]


def test_rotation_and_its_inverse_restore_a_real_image(shared_data):
    """The center of the image and the boxes that remain are those before the rotation."""
    root = shared_data("dota_sample")
    steps = [dict(type="mmdet.LoadTile"), dict(type="mmdet.LoadAnnotations", with_bbox=True, box_type="obb")]
    dataset = DOTADataset(data_root=str(root), pipeline=steps)
    results = min((dataset[index] for index in range(3)), key=lambda each: each["img"].size)
    before = copy.deepcopy(results)
    after = rotate(rotate(results, 30.0), -30.0)
    height, width = before["img"].shape[:2]
    center = slice(height // 2 - 100, height // 2 + 100), slice(width // 2 - 100, width // 2 + 100)
    difference = np.abs(before["img"][center].astype(int) - after["img"][center].astype(int))
    assert difference.mean() < 8
    kept = after["gt_bboxes"].tensor.double()
    distance = torch.cdist(kept[:, :2], before["gt_bboxes"].tensor[:, :2].double()).amin(1)
    assert len(kept) > 10
    assert float(distance.max()) < 0.01


def test_rotations_add_up():
    results = {"img": np.zeros((20, 30, 3), np.uint8)}
    assert rotate(rotate(results, 30), -50)["rotation_deg"] == -20
    assert "rotation_deg" not in quarter_turn({"img": np.zeros((20, 30, 3), np.uint8)}, 1)

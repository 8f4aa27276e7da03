"""Rotating transforms: the image and its boxes stay together, and what leaves is dropped."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from rotated_atss.configs import config_names
from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.datasets.dota import DOTADataset
from rotated_atss.detection.datasets.transforms import (
    RandomQuarterTurn,
    RandomRotation,
    ResizeForRange,
    quarter_turn,
    rotate,
)
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
    """(N, H, W) bool: the pixels whose centres lie in each box."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return points_in_obb(torch.stack((x, y), -1)[None], boxes[:, None, None])


def scene(boxes=BOXES, height=180, width=210, labels=None, box_type=OrientedBoxes):
    """Results of a pipeline with one bright patch a box, its grey value telling which."""
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


def assert_together(results, most=0.06):
    """Each box lies where its patch lies: the middle of the light in and around it to ``most`` pixels, its pixels but
    for those of the border.
    """
    height, width = results["img"].shape[:2]
    boxes = results["gt_bboxes"].tensor
    light = torch.from_numpy(results["img"].astype(np.float64).max(2))
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for box in boxes:
        near = raster((box + box.new_tensor([0, 0, 6, 6, 0]))[None], height, width)[0]
        weight = light * near
        middle = torch.stack(((x * weight).sum(), (y * weight).sum())) / weight.sum()
        assert float((middle - box[:2]).abs().max()) < most
        inner = raster((box - box.new_tensor([0, 0, 3, 3, 0]))[None], height, width)[0]
        assert float(light[inner].min()) > 90
        outer = raster((box + box.new_tensor([0, 0, 3, 3, 0]))[None], height, width)[0]
        assert float(light[near & ~outer].max()) < 10


def test_the_scene_itself():
    assert_together(scene(), 0.2)  # pixels drawn on or off; turning smooths none of that away
    with pytest.raises(AssertionError):
        moved = scene()
        moved["gt_bboxes"].translate_((0.5, 0.5))
        assert_together(moved, 0.2)


@pytest.mark.parametrize("degrees", [-179.5, -90, -33.3, -7, 0, 12.5, 45, 90, 101, 180])
def test_rotation_moves_image_and_boxes_alike(degrees):
    results = rotate(scene(height=200, width=210), degrees)
    assert results["img"].shape == (200, 210, 3)
    assert len(results["gt_bboxes"]) == 4
    assert_together(results, 0.2)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_by_quarters_is_the_exact_one_where_sizes_agree(degrees):
    """Half a pixel's shift, or a turn the other way, would show."""
    exact, turned = scene(height=200, width=200), scene(height=200, width=200)
    turned = rotate(turned, degrees)
    exact = quarter_turn(exact, degrees // 90)
    assert np.array_equal(turned["img"], exact["img"])
    first, second = (obb_to_corners(each["gt_bboxes"].tensor) for each in (turned, exact))
    torch.testing.assert_close(first, second, atol=1e-3, rtol=0)


def test_rotation_is_clockwise():
    results = rotate(scene([[150.0, 100, 40, 10, 0]], 200, 200), 90)  # from the right to the bottom
    torch.testing.assert_close(results["gt_bboxes"].tensor[0, :2], torch.tensor([100.0, 150]))
    assert results["img"][150, 100].max() > 90


@pytest.mark.parametrize("turns", range(-1, 6))
def test_quarter_turns_move_pixels_exactly(turns):
    before = scene()
    after = quarter_turn(copy.deepcopy(before), turns)
    assert np.array_equal(after["img"], np.rot90(before["img"], -turns))
    assert after["img"].flags.c_contiguous
    assert after["img_shape"] == after["img"].shape[:2]
    assert after["quarter_turns"] == turns % 4
    assert after["ori_shape"] == before["ori_shape"]
    assert_together(after, 0.2)
    horizontal = quarter_turn(scene(box_type=HorizontalBoxes), turns)
    torch.testing.assert_close(horizontal["gt_bboxes"].tensor, obb_to_hbb(after["gt_bboxes"].tensor), atol=1e-4, rtol=0)


def test_two_quarter_turns_add_up():
    results = quarter_turn(quarter_turn(scene(), 3), 2)
    assert results["quarter_turns"] == 1
    assert np.array_equal(results["img"], quarter_turn(scene(), 1)["img"])


def test_what_leaves_is_dropped_with_its_label_and_flag():
    boxes = [[100.0, 50, 10, 10, 0], [190, 10, 10, 10, 0], [12, 50, 10, 10, 0], [100, 20, 40, 4, 0]]
    results = rotate(scene(boxes, 100, 200, labels=[3, 4, 5, 6]), 90, min_side=5)
    assert results["gt_bboxes_labels"].tolist() == [3]  # out to the right, out to the left, too thin
    assert results["gt_ignore_flags"].tolist() == [True]
    assert len(results["gt_bboxes"]) == 1
    results = rotate(scene(boxes[1:3], 100, 200), 90)
    assert results["gt_bboxes"].tensor.shape == (0, 5)
    assert len(results["gt_bboxes_labels"]) == 0
    assert rotate(scene([], 100, 200), 30)["gt_bboxes"].tensor.shape == (0, 5)


def test_images_without_boxes_turn_too():
    bare = {key: value for key, value in scene().items() if not key.startswith("gt_")}
    assert rotate(dict(bare), 30)["img"].shape == bare["img"].shape
    assert quarter_turn(dict(bare), 1)["img"].shape == (210, 180, 3)
    assert RandomRotation(prob=1.0, quarter_turn_classes=[9])(dict(bare))["img"].shape == bare["img"].shape


def test_the_border_has_its_value():
    results = rotate(scene([]), 45, border_value=(104, 116, 124))
    assert results["img"][0, 0].tolist() == [104, 116, 124]
    assert results["img"][90, 105].tolist() == [0, 0, 0]


def test_horizontal_boxes_refuse_any_angle():
    with pytest.raises(UserError, match="needs oriented boxes .*box_type='obb'"):
        rotate(scene(box_type=HorizontalBoxes), 30)


def test_the_seed_decides():
    step = RandomRotation(prob=0.7)

    def images(seed):
        np.random.seed(seed)  # noqa: NPY002
        return [step(scene())["img"] for _ in range(6)]

    first = images(3)
    assert all(np.array_equal(one, other) for one, other in zip(first, images(3)))
    assert not all(np.array_equal(one, other) for one, other in zip(first, images(4)))


def test_angles_fill_their_range_as_often_as_asked():
    np.random.seed(0)  # noqa: NPY002
    step = RandomRotation(prob=0.25, angle_range=40)
    angles, turned = [], 0
    for _ in range(400):
        box = step(scene([[105.0, 90, 20, 10, 0]]))["gt_bboxes"].tensor[0]
        turned += bool(box[4] != 0)
        angles += [float(box[4].rad2deg())] if box[4] != 0 else []
    assert 70 < turned < 130
    assert -40 <= min(angles) < -30
    assert 30 < max(angles) <= 40
    assert abs(np.mean(angles)) < 8


def test_round_classes_allow_quarter_turns_only():
    assert [CLASSES["v1.0"][index] for index in (9, 11)] == ["storage-tank", "roundabout"]
    np.random.seed(0)  # noqa: NPY002
    step = RandomRotation(prob=1.0, quarter_turn_classes=[9, 11])
    quarters = {step(scene(labels=[0, 1, 9, 2]))["quarter_turns"] for _ in range(40)}
    assert quarters == {1, 2, 3}
    assert all("quarter_turns" not in step(scene(labels=[0, 1, 8, 2])) for _ in range(5))


def test_random_quarter_turn_never_and_always():
    assert RandomQuarterTurn(prob=0.0)(scene())["quarter_turns"] == 0
    assert RandomQuarterTurn(prob=1.0, turns=[3])(scene())["quarter_turns"] == 3


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
def test_settings_out_of_range_are_told(build):
    with pytest.raises(UserError):
        build()


def test_resize_for_range_is_resize_with_a_note():
    results = ResizeForRange(scale=(100, 90), keep_ratio=True, size_range=(96, None))(scene())
    assert results["size_range"] == (96, None)
    assert results["img"].shape == (86, 100, 3)
    torch.testing.assert_close(results["gt_bboxes"].tensor[0, :2], torch.tensor([60 * 100 / 210, 50 * 86 / 180]))


RANDOMLY_ROTATED = [name for name in config_names() if "_rr_" in name]


@pytest.mark.parametrize("name", RANDOMLY_ROTATED)
def test_the_pipelines_of_the_rr_configs(name, tiles):
    cfg = load_config(name)
    pipeline = copy.deepcopy(cfg.train_dataloader.dataset.pipeline)
    kinds = [step.type for step in pipeline]
    assert kinds.index("Resize") < kinds.index("RandomFlip") < kinds.index("RandomRotation")
    step = next(step for step in pipeline if step.type == "RandomRotation")
    assert step.to_dict() == dict(
        type="RandomRotation", prob=0.5, angle_range=180, min_side=5, quarter_turn_classes=[9, 11]
    )
    assert cfg.train_dataloader.dataset.data_root == "data/dota_ms/trainval"
    assert {cfg[f"{part}_dataloader"].dataset.data_root for part in ("val", "test")} == {
        "data/dota_ms/val",
        "data/dota_ms/test",
    }
    resize = next(step for step in pipeline if step.type == "Resize")
    resize.scale = (128, 128)
    dataset = DOTADataset(data_root=str(tiles), filter_cfg=dict(filter_empty_gt=True), pipeline=pipeline)
    np.random.seed(0)  # noqa: NPY002
    seen = set()
    for _ in range(6):
        for index in range(len(dataset)):
            sample = dataset[index]
            assert sample["inputs"].shape == (3, 128, 128)
            boxes = sample["data_samples"].gt_instances.bboxes.tensor
            assert boxes.shape[1] == 5
            assert len(boxes) == len(sample["data_samples"].gt_instances.labels)
            seen |= {round(float(angle), 3) for angle in boxes[:, 4]}
    assert len(seen) > 40


def test_there_are_rr_configs():
    assert RANDOMLY_ROTATED == [
        "rotated_atss_centerness_obb_r50_fpn_1x_dota_ms_rr_le90",
        "rotated_atss_obb_r50_fpn_1x_dota_ms_rr_le90",
        "rotated_retinanet_obb_r50_fpn_1x_dota_ms_rr_le90",
    ]


def test_real_labels_stay_on_their_objects(shared_data):
    """Turned there and back, a real image is itself but for its corners, and so are its boxes."""
    root = shared_data("dota_sample")
    steps = [dict(type="LoadTile"), dict(type="LoadAnnotations", with_bbox=True, box_type="obb")]
    dataset = DOTADataset(data_root=str(root), pipeline=steps)
    results = min((dataset[index] for index in range(3)), key=lambda each: each["img"].size)
    before = copy.deepcopy(results)
    after = rotate(rotate(results, 30.0), -30.0)
    height, width = before["img"].shape[:2]
    middle = slice(height // 2 - 100, height // 2 + 100), slice(width // 2 - 100, width // 2 + 100)
    difference = np.abs(before["img"][middle].astype(int) - after["img"][middle].astype(int))
    assert difference.mean() < 8
    kept = after["gt_bboxes"].tensor.double()
    distance = torch.cdist(kept[:, :2], before["gt_bboxes"].tensor[:, :2].double()).amin(1)
    assert len(kept) > 10
    assert float(distance.max()) < 0.01

"""Oriented boxes: each method against its effect on the corners, and in MMDetection's transforms."""

import math

import numpy as np
import pytest
import torch

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb, points_in_obb
from tests.references.corners import corner_distance

SHAPE = (90, 140)  # height, width
BOX = (96.3, 34.2, 50.4, 17.6, 0.53)


def random_boxes(number=50, seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    low = torch.tensor([-20, -20, 3, 3, -3.0], dtype=torch.float64)
    return unit * torch.tensor([180, 130, 60, 40, 6.0], dtype=torch.float64) + low


def pixels_inside(shape, box):
    """(H, W) bool: pixels whose center is inside the box."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    points = torch.from_numpy(np.stack((columns, rows), -1))
    return points_in_obb(points, torch.as_tensor(box, dtype=torch.float64)).numpy()


def synthetic_results(shape=SHAPE, box=BOX):
    """Pipeline results after loading: one bright rectangle on black, and its box."""
    image = np.zeros((*shape, 3), np.uint8)
    image[pixels_inside(shape, box)] = 255
    return {
        "img": image,
        "img_shape": shape,
        "ori_shape": shape,
        "img_id": "P0",
        "img_path": "P0.png",
        "gt_bboxes": OrientedBoxes(torch.tensor([box])),
        "gt_bboxes_labels": np.array([3]),
        "gt_ignore_flags": np.array([False]),
    }


def pixel_iou(results):
    """IoU of the bright pixels and the pixels inside the box."""
    bright = results["img"][..., 0] > 160  # MMDetection's transforms pad with gray
    inside = pixels_inside(bright.shape, results["gt_bboxes"].tensor[0].double())
    assert bright.any()
    return (bright & inside).sum() / (bright | inside).sum()


def transform(name, **kwargs):
    from mmdet.registry import TRANSFORMS

    return TRANSFORMS.build(dict(type=name, _scope_="mmdet", **kwargs))


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction, flipped", [("horizontal", (1, 0)), ("vertical", (0, 1)), ("diagonal", (1, 1))])
def test_flip_flips_the_corners(direction, flipped):
    boxes = OrientedBoxes(random_boxes())
    corners = obb_to_corners(boxes.tensor)
    for axis, size in enumerate((SHAPE[1], SHAPE[0])):
        if flipped[axis]:
            corners[..., axis] = size - corners[..., axis]
    boxes.flip_(SHAPE, direction)
    assert corner_distance(boxes.tensor, corners).max() < 1e-9


@pytest.mark.parametrize("degrees", [30, 90, -135])
def test_rotate_rotates_the_corners(degrees):
    boxes, center = OrientedBoxes(random_boxes()), (70.0, 45.0)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)  # of row vectors, clockwise with y down
    origin = torch.tensor(center, dtype=torch.float64)
    corners = (obb_to_corners(boxes.tensor) - origin) @ rotation + origin
    boxes.rotate_(center, degrees)
    assert corner_distance(boxes.tensor, corners).max() < 1e-9


def test_similarity_maps_the_corners():
    boxes = OrientedBoxes(random_boxes())
    matrix = np.array([[0.6, -0.8, 5], [0.8, 0.6, -7], [0, 0, 0.5]])
    corners = obb_to_corners(boxes.tensor) @ torch.tensor(matrix[:2, :2].T) + torch.tensor(matrix[:2, 2])
    boxes.project_(matrix)
    assert corner_distance(boxes.tensor, corners / 0.5).max() < 1e-6


def test_perspective_projection_encloses_the_corners():
    boxes = OrientedBoxes(random_boxes())
    corners = torch.cat((obb_to_corners(boxes.tensor), torch.ones(50, 4, 1, dtype=torch.float64)), -1)
    matrix = torch.tensor([[1, 0.2, 3], [0.1, 0.9, 2], [1e-4, 2e-4, 1]], dtype=torch.float64)
    mapped = corners @ matrix.T
    mapped = mapped[..., :2] / mapped[..., 2:]
    boxes.project_(matrix)
    assert bool(points_in_obb(mapped, boxes.tensor[:, None], margin=-1e-6).all())


def test_rescale_and_resize():
    boxes, stretched = OrientedBoxes(random_boxes()), OrientedBoxes(random_boxes())
    corners = obb_to_corners(boxes.tensor)
    boxes.rescale_((0.5, 0.5))
    assert corner_distance(boxes.tensor, corners / 2).max() < 1e-9
    stretched.rescale_((2.0, 0.5))
    scaled = corners * torch.tensor([2, 0.5], dtype=torch.float64)
    assert bool(points_in_obb(scaled, stretched.tensor[:, None], margin=-1e-6).all())  # encloses the parallelogram
    resized = OrientedBoxes(random_boxes())
    resized.resize_((2.0, 3.0))
    assert torch.equal(resized.tensor[:, 2:4], random_boxes()[:, 2:4] * torch.tensor([2.0, 3.0], dtype=torch.float64))
    assert torch.equal(resized.tensor[:, [0, 1, 4]], random_boxes()[:, [0, 1, 4]])


def test_translate_moves_the_centers_only():
    boxes = OrientedBoxes(random_boxes())
    boxes.translate_((4, -3))
    expected = random_boxes()
    assert torch.equal(boxes.centers, expected[:, :2] + torch.tensor([4.0, -3.0], dtype=torch.float64))
    assert torch.equal(boxes.areas, expected[:, 2] * expected[:, 3])
    assert torch.equal(boxes.widths, expected[:, 2])
    assert torch.equal(boxes.heights, expected[:, 3])


@pytest.mark.parametrize("border", [0, 10, -5])
def test_is_inside_compares_the_corners(border):
    boxes = random_boxes(200)
    corners = obb_to_corners(boxes)
    low, high, size = corners.amin(1), corners.amax(1), torch.tensor((SHAPE[1], SHAPE[0]))
    within = ((low >= -border) & (high < size + border)).all(1)
    overlaps = ((low < size + border) & (high > -border)).all(1)
    assert torch.equal(OrientedBoxes(boxes).is_inside(SHAPE, all_inside=True, allowed_border=border), within)
    assert torch.equal(OrientedBoxes(boxes).is_inside(SHAPE, allowed_border=border), overlaps)
    assert 0 < int(within.sum()) < int(overlaps.sum()) < 200


def test_find_inside_points_pairwise_and_aligned():
    boxes, points = random_boxes(8), random_boxes(30, seed=1)[:, :2]
    pairs = OrientedBoxes(boxes).find_inside_points(points)
    assert pairs.shape == (30, 8)
    assert bool(pairs.any())
    aligned = OrientedBoxes(boxes).find_inside_points(points[:8], is_aligned=True)
    assert torch.equal(aligned, pairs[:8].diagonal())


@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_overlaps_equal_rotated_iou(mode):
    first, second = random_boxes(20), random_boxes(20, seed=1)
    pair = OrientedBoxes(first), OrientedBoxes(second)
    assert torch.equal(OrientedBoxes.overlaps(*pair, mode=mode), rotated_iou(first, second, mode=mode))
    aligned = OrientedBoxes.overlaps(*pair, mode=mode, is_aligned=True)
    assert torch.equal(aligned, rotated_iou(first, second, mode=mode, aligned=True))


def test_conversion_to_horizontal_boxes_and_back():
    boxes = OrientedBoxes(random_boxes())
    horizontal = boxes.convert_to("hbox")
    assert torch.allclose(horizontal.tensor, obb_to_hbb(random_boxes()))
    back = horizontal.convert_to("obb")
    assert isinstance(back, OrientedBoxes)
    assert torch.allclose(obb_to_hbb(back.tensor), horizontal.tensor)
    mixed = OrientedBoxes.overlaps(horizontal, boxes)
    assert torch.allclose(mixed, rotated_iou(back.tensor, boxes.tensor))


def test_no_boxes():
    empty = OrientedBoxes([], dtype=torch.float32)
    assert empty.tensor.shape == (0, 5)
    assert len(empty) == 0
    empty.flip_(SHAPE)
    empty.rotate_((0, 0), 10)
    empty.rescale_((2, 3))
    empty.project_(np.eye(3))
    assert empty.tensor.shape == (0, 5)
    assert empty.is_inside(SHAPE).shape == (0,)


def test_masks_are_not_supported():
    with pytest.raises(NotImplementedError, match="polygons"):
        OrientedBoxes.from_instance_masks(None)


# -- in MMDetection's pipeline -----------------------------------------------------------------------------------------


def test_synthetic_rectangle_matches_its_box():
    assert pixel_iou(synthetic_results()) > 0.99


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_random_flip_keeps_the_box_on_its_rectangle(direction):
    before = synthetic_results()
    results = transform("RandomFlip", prob=1.0, direction=direction)(synthetic_results())
    assert results["flip_direction"] == direction
    assert not np.array_equal(results["img"], before["img"])
    assert pixel_iou(results) > 0.99


@pytest.mark.parametrize("scale, keep_ratio", [((280, 180), True), ((70, 45), True), ((280, 45), False)])
def test_resize_keeps_the_box_on_its_rectangle(scale, keep_ratio):
    results = transform("Resize", scale=scale, keep_ratio=keep_ratio)(synthetic_results())
    if keep_ratio:
        assert pixel_iou(results) > 0.93  # interpolation blurs the outline
        return
    outside = (results["img"][..., 0] > 160) & ~pixels_inside(results["img"].shape[:2], results["gt_bboxes"].tensor[0])
    assert outside.sum() <= 4  # the box is the minimum-area rectangle of the parallelogram


@pytest.mark.parametrize("angle", [25.0, -90.0])
def test_rotate_keeps_the_box_on_its_rectangle(angle):
    rotate = transform("Rotate", prob=1.0, min_mag=abs(angle), max_mag=abs(angle), reversal_prob=float(angle < 0))
    results = rotate(synthetic_results((140, 140), (80.3, 74.2, 50.4, 17.6, 0.53)))
    assert pixel_iou(results) > 0.85  # MMCV rotates about the center of a pixel, half a pixel off


def test_affine_and_crop_keep_the_box_on_its_rectangle():
    np.random.seed(0)  # noqa: NPY002 - MMDetection draws from this generator
    affine = transform("RandomAffine", max_rotate_degree=20, max_shear_degree=0, max_translate_ratio=0.05)
    assert pixel_iou(affine(synthetic_results())) > 0.9
    results = transform("RandomCrop", crop_size=(120, 80))(synthetic_results())
    assert results["img_shape"] == (80, 120)
    assert pixel_iou(results) > 0.9


def test_packing_keeps_the_box_type_and_separates_ignored_boxes():
    results = synthetic_results()
    results["gt_bboxes"] = OrientedBoxes(torch.tensor([BOX, BOX]))
    results["gt_bboxes_labels"] = np.array([3, 5])
    results["gt_ignore_flags"] = np.array([False, True])
    packed = transform("PackDetInputs", meta_keys=("img_id", "img_shape"))(results)
    sample = packed["data_samples"]
    assert isinstance(sample.gt_instances.bboxes, OrientedBoxes)
    assert sample.gt_instances.labels.tolist() == [3]
    assert sample.ignored_instances.labels.tolist() == [5]
    assert torch.equal(sample.gt_instances.bboxes.tensor, torch.tensor([BOX]))
    assert packed["inputs"].shape == (3, *SHAPE)


def test_annotations_of_a_tile_without_objects():
    load = transform("LoadAnnotations", with_bbox=True, box_type="obb")
    results = load({"instances": [], "img_path": "P0.png"})
    assert results["gt_bboxes"].tensor.shape == (0, 5)

"""The priors of plain tensors are those of the configs."""

import pytest
import torch

from rotated_atss.assign import atss_assign, find_grids, square_priors
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes


def test_equals_the_listed_priors():
    for offset in (0.0, 0.5):
        priors, level_sizes, grids = square_priors((200, 200), offset=offset)
        expected, sizes = grid_priors(200, offset=offset)
        assert torch.equal(priors, expected)
        assert level_sizes == sizes
        assert find_grids(priors, level_sizes) == grids


def test_image_that_is_not_square_and_horizontal_priors():
    priors, level_sizes, grids = square_priors((60, 100), strides=(8, 16), anchor_scale=8, oriented=False)
    assert level_sizes == [8 * 13, 4 * 7]
    assert [(grid.height, grid.width) for grid in grids] == [(8, 13), (4, 7)]
    assert priors[13 + 2].tolist() == [16 - 32, 8 - 32, 16 + 32, 8 + 32]
    assert torch.equal(priors, obb_to_hbb(square_priors((60, 100), strides=(8, 16), anchor_scale=8)[0]))


def test_grids_do_not_change_the_assignment():
    priors, level_sizes, grids = square_priors((256, 192))
    gt_boxes = random_boxes(20, seed=1)
    with_grids = atss_assign(priors, level_sizes, gt_boxes, grids=grids)
    assert all(torch.equal(a, b) for a, b in zip(with_grids, atss_assign(priors, level_sizes, gt_boxes)))


def test_priors_of_the_configs():
    pytest.importorskip("mmdet")
    from rotated_atss.detection.engine.config import load_config
    from rotated_atss.detection.task_modules.prior_generators import OrientedAnchorGenerator

    cfg = dict(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90").model.bbox_head.anchor_generator)
    cfg.pop("type")
    priors, _, grids = square_priors((1024, 768))
    sizes = [(grid.height, grid.width) for grid in grids]
    assert torch.equal(priors, torch.cat(OrientedAnchorGenerator(**cfg).grid_priors(sizes, device="cpu")))


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(image_hw=(0, 5)), "image_hw must be positive, got 0"),
        (dict(strides=(8, 0)), "strides must be positive, got 0"),
        (dict(anchor_scale=-1), "anchor_scale must be positive, got -1"),
    ],
)
def test_invalid_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        square_priors(**{"image_hw": (64, 64), **wrong})

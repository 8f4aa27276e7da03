"""Candidates on grids compared with the exhaustive search, and assignments with and without grids."""

import pytest
import torch

from rotated_atss.assign import (
    IGNORE,
    Grid,
    atss_assign,
    atss_assign_batch,
    find_grids,
    nearest_priors,
    nearest_priors_on_grids,
)
from rotated_atss.assign.grids import nearest_cells
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_centers, grid_priors, make_grids, random_boxes

STRIDES = (8, 16, 32, 64, 128)


def points_for(grid, number, draw):
    """Random points inside the grid, outside, far outside, on lines or half-way between them, and next to those."""
    wh = torch.tensor([grid.width, grid.height]) * grid.stride
    origin = torch.tensor([grid.x0, grid.y0])
    points = (torch.rand(number, 2, generator=draw) * 1.6 - 0.3) * wh + origin
    kind = torch.randint(5, (number, 1), generator=draw)
    halves = ((points - origin) / grid.stride * 2).round() / 2 * grid.stride + origin
    points = torch.where(kind >= 3, halves, points)
    points = torch.where(kind == 4, points + torch.randn(number, 2, generator=draw) * 1e-6, points)
    return torch.where(kind == 2, points * 30, points)


@pytest.mark.parametrize("stride, offset", [(8.0, 0.0), (16.0, 0.5), (128.0, 0.25), (7.5, 0.5)])
def test_equals_the_exhaustive_search(stride, offset):
    draw = torch.Generator().manual_seed(int(stride))
    for trial in range(300):
        height, width, num_cells = (int(torch.randint(1, high, (1,), generator=draw)) for high in (14, 14, 20))
        grid = Grid(height, width, stride, stride * offset, stride * offset)
        points = points_for(grid, 10, draw)
        expected = nearest_priors(grid_centers(grid), [height * width], points, num_cells)
        result = nearest_cells(points, [grid], num_cells)[:, 0]
        assert torch.equal(result[:, : expected.shape[1]], expected), (trial, grid, num_cells)
        assert (result[:, expected.shape[1] :] == -1).all()


def test_only_valid_cells():
    draw = torch.Generator().manual_seed(0)
    grid = Grid(9, 11, 8.0, 4.0, 4.0)
    for _ in range(200):
        rows, columns = int(torch.randint(0, 10, (1,), generator=draw)), int(torch.randint(0, 12, (1,), generator=draw))
        points = points_for(grid, 5, draw)
        valid_hw = torch.tensor([[[rows]], [[columns]]]).expand(2, 1, 5)
        result = nearest_cells(points, [grid], 9, valid_hw)[:, 0]
        valid = torch.arange(99).view(9, 11)[:rows, :columns].flatten()
        if not len(valid):
            assert (result == -1).all()
            continue
        expected = valid[nearest_priors(grid_centers(grid)[valid], [len(valid)], points, 9)]
        assert torch.equal(result[:, : expected.shape[1]], expected)
        assert (result[:, expected.shape[1] :] == -1).all()


def test_points_that_are_not_finite_give_valid_indices():
    result = nearest_cells(torch.tensor([[torch.nan, 3.0], [torch.inf, -torch.inf]]), [Grid(4, 4, 8.0)], 3)
    assert result.shape == (2, 1, 3)
    assert (result < 16).all()


def levels(size=192, offset=0.0, per_location=1):
    return *grid_priors(size, STRIDES, per_location, offset), make_grids(size, STRIDES, offset)


def make_gt_boxes(number, seed=0, step=None):
    return random_boxes(number, seed, 192, step)


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
@pytest.mark.parametrize("offset, per_location, step", [(0.0, 1, None), (0.5, 1, 4), (0.0, 3, 4), (0.0, 1, 8)])
def test_equals_the_assignment_without_grids(form, offset, per_location, step):
    priors, sizes, grids = levels(offset=offset, per_location=per_location)
    for seed, topk in enumerate((1, 4, 9, 15)):
        gt_boxes = make_gt_boxes(60, seed, step=step)
        options = dict(topk=topk, priors_per_location=per_location)
        expected = atss_assign(form(priors), sizes, form(gt_boxes), **options)
        result = atss_assign(form(priors), sizes, form(gt_boxes), grids=grids, **options)
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[1], expected[1])
        assert (result[0] >= 0).sum() > 20


def test_fewer_candidates_than_priors_per_location():
    priors, sizes, grids = levels(per_location=3)
    points = make_gt_boxes(40, step=4)[:, :2]
    expected = nearest_priors(priors[:, :2], sizes, points, 4)
    assert torch.equal(nearest_priors_on_grids(points, grids, sizes, 4), expected)


def test_batch_equals_its_images():
    priors, sizes, grids = levels(offset=0.5)
    images = [make_gt_boxes(30, 1), make_gt_boxes(0), make_gt_boxes(7, 2, step=8), make_gt_boxes(12, 3)]
    gt_boxes_ignore_list = [None, None, torch.tensor([[60.0, 60, 50, 40, 0.3]]), None]
    for given in (dict(grids=grids), {}):
        gt_index, iou = atss_assign_batch(priors, sizes, images, gt_boxes_ignore_list=gt_boxes_ignore_list, **given)
        for row, gt_boxes in enumerate(images):
            expected = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=gt_boxes_ignore_list[row])
            assert torch.equal(gt_index[row], expected[0])
            assert torch.equal(iou[row], expected[1])
    assert (gt_index[2] == IGNORE).any()


def test_more_boxes_than_a_chunk():
    priors, sizes, grids = levels()
    gt_boxes = make_gt_boxes(2300, 5, step=2)
    expected = atss_assign(priors, sizes, gt_boxes)
    result = atss_assign(priors, sizes, gt_boxes, grids=grids)
    assert torch.equal(result[0], expected[0])
    assert torch.equal(result[1], expected[1])


def test_priors_in_the_padding_are_ignored():
    priors, sizes, grids = levels(offset=0.5)
    gt_boxes = [make_gt_boxes(25, 1), make_gt_boxes(25, 2)]
    valid_hw = [
        [(g.height, g.width) for g in grids],
        [(-(-100 // int(g.stride)), -(-130 // int(g.stride))) for g in grids],
    ]
    for gt_boxes_ignore_list in (None, [None, torch.tensor([[40.0, 40, 30, 30, 0.0]])]):
        options = dict(grids=grids, valid_hw=valid_hw, gt_boxes_ignore_list=gt_boxes_ignore_list)
        gt_index, iou = atss_assign_batch(priors, sizes, gt_boxes, **options)
        assert torch.equal(gt_index[0], atss_assign(priors, sizes, gt_boxes[0])[0])
        kept = torch.cat([
            ((torch.arange(g.height)[:, None] < rows) & (torch.arange(g.width) < columns)).flatten()
            for g, (rows, columns) in zip(grids, valid_hw[1])
        ])  # fmt: skip
        kept_sizes = [int(level.sum()) for level in kept.split(sizes)]
        expected = atss_assign(
            priors[kept], kept_sizes, gt_boxes[1], gt_boxes_ignore=gt_boxes_ignore_list and gt_boxes_ignore_list[1]
        )
        assert torch.equal(gt_index[1][kept], expected[0])
        assert torch.equal(iou[1][kept], expected[1])
        assert (gt_index[1][~kept] == IGNORE).all()
        assert (iou[1][~kept] == 0).all()


@pytest.mark.parametrize("per_location", [1, 3])
def test_find_grids(per_location):
    priors, sizes, grids = levels(size=200, offset=0.5, per_location=per_location)
    assert find_grids(priors, sizes) == grids
    assert find_grids(obb_to_hbb(priors), sizes) == grids
    one = Grid(1, 1, 1.0, 5.0, 6.0)
    assert find_grids(torch.tensor([[5.0, 6, 8, 8, 0]]), [1, 0]) == [one, Grid(0, 0, 1.0)]


def test_no_grids_in_other_arrangements_of_priors():
    priors, sizes, _ = levels()
    moved = priors.clone()
    moved[700, 0] += 0.01  # a single center
    assert find_grids(moved, sizes) is None
    assert find_grids(priors[:-1], [*sizes[:-1], sizes[-1] - 1]) is None
    assert find_grids(priors.flip(0), sizes[::-1]) is None
    assert find_grids(priors[torch.randperm(len(priors))], sizes) is None


def test_invalid_grids():
    priors, sizes, grids = levels()
    for wrong, message in (
        (grids[:-1], "grids must have one entry per level .5., got 4"),
        (
            [Grid(5, 5, 8.0), *grids[1:]],
            "a level .576. must be a multiple of .* cells of its grid, got a grid of 5 x 5",
        ),
        ([grids[0]._replace(stride=0.0), *grids[1:]], "the stride of a grid must be above 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            atss_assign(priors, sizes, make_gt_boxes(3), grids=wrong)
    with pytest.raises(ValueError, match="Pass grids too"):
        atss_assign_batch(priors, sizes, [make_gt_boxes(3)], valid_hw=[[(1, 1)] * 5])
    with pytest.raises(ValueError, match="the grid of 24 x 24 cells, got 30 x 1"):
        atss_assign_batch(priors, sizes, [make_gt_boxes(3)], grids=grids, valid_hw=[[(30, 1)] * 5])
    with pytest.raises(ValueError, match=r"5 levels for 1 images, got \[\] levels"):
        atss_assign_batch(priors, sizes, [make_gt_boxes(3)], grids=grids, valid_hw=[])


def test_priors_that_are_no_candidates_are_not_read():
    priors, sizes, grids = levels()
    gt_boxes = torch.tensor([[20.0, 20, 24, 12, 0.4]])
    expected = atss_assign(priors, sizes, gt_boxes, grids=grids)
    corrupted = priors.clone()
    corrupted[500:560] = torch.nan
    result = atss_assign(corrupted, sizes, gt_boxes, grids=grids)
    assert torch.equal(result[0], expected[0])
    assert (result[0] >= 0).any()


@pytest.mark.parametrize("number", [320, 321, 640, 641, 1000, 1001, 2001])
def test_result_does_not_depend_on_the_number_of_points_per_chunk(number):
    draw = torch.Generator().manual_seed(number)
    points = (torch.rand(number, 2, generator=draw) * 2400 - 100).div(4, rounding_mode="floor") * 4  # many ties
    grids = [Grid(64, 48, 8.0, 4.0, 4.0), Grid(32, 24, 16.0), Grid(2, 3, 128.0)]
    expected = torch.cat([nearest_cells(part, grids, 9) for part in points.split(50)])
    assert torch.equal(nearest_cells(points, grids, 9), expected)


def test_many_candidates_use_the_exhaustive_search():
    """Its time does not grow with the square of their number. Priors in the padding are ignored by it, too."""
    priors, sizes, grids = levels()
    gt_boxes = make_gt_boxes(12)
    for topk in (200, 201, 10**6):
        expected = atss_assign(priors, sizes, gt_boxes, topk=topk)
        result = atss_assign(priors, sizes, gt_boxes, topk=topk, grids=grids)
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[1], expected[1])
    valid_hw = [[(max(1, grid.height // 2), grid.width) for grid in grids]]
    gt_index, _ = atss_assign_batch(priors, sizes, [gt_boxes], topk=10**6, grids=grids, valid_hw=valid_hw)
    on_grids, _ = atss_assign_batch(priors, sizes, [gt_boxes], topk=200, grids=grids, valid_hw=valid_hw)
    assert torch.equal(gt_index == IGNORE, on_grids == IGNORE)
    assert (gt_index == IGNORE).any()


def test_invalid_batches():
    priors, sizes, _ = levels()
    with pytest.raises(ValueError, match="at least one image"):
        atss_assign_batch(priors, sizes, [])
    with pytest.raises(ValueError, match=r"gt_boxes_ignore_list must have one entry per image \(2\), got 1"):
        atss_assign_batch(priors, sizes, [make_gt_boxes(2)] * 2, gt_boxes_ignore_list=[None])
    with pytest.raises(TypeError, match=r"gt_boxes must be a torch\.Tensor, got ndarray"):
        atss_assign(priors, sizes, make_gt_boxes(2).numpy())

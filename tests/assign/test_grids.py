"""Candidates on grids against the exhaustive search, and whole assignments with and without grids."""

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


def middles(grid):
    """(height * width, 2) centres, row by row, by the arithmetic of a prior generator."""
    y, x = torch.meshgrid(
        torch.arange(grid.height) * grid.stride + grid.y0, torch.arange(grid.width) * grid.stride + grid.x0,
        indexing="ij",
    )  # fmt: skip
    return torch.stack((x.flatten(), y.flatten()), 1).float()


def points_for(grid, number, draw):
    """Centres in the grid, far and near outside, on its lines and half-way between them, and a hair beside."""
    wh = torch.tensor([grid.width, grid.height]) * grid.stride
    origin = torch.tensor([grid.x0, grid.y0])
    points = (torch.rand(number, 2, generator=draw) * 1.6 - 0.3) * wh + origin
    kind = torch.randint(5, (number, 1), generator=draw)
    halves = ((points - origin) / grid.stride * 2).round() / 2 * grid.stride + origin
    points = torch.where(kind >= 3, halves, points)
    points = torch.where(kind == 4, points + torch.randn(number, 2, generator=draw) * 1e-6, points)
    return torch.where(kind == 2, points * 30, points)


@pytest.mark.parametrize("stride, offset", [(8.0, 0.0), (16.0, 0.5), (128.0, 0.25), (7.5, 0.5)])
def test_the_cells_of_an_exhaustive_search(stride, offset):
    draw = torch.Generator().manual_seed(int(stride))
    for trial in range(300):
        height, width, count = (int(torch.randint(1, high, (1,), generator=draw)) for high in (14, 14, 20))
        grid = Grid(height, width, stride, stride * offset, stride * offset)
        points = points_for(grid, 10, draw)
        expected = nearest_priors(middles(grid), [height * width], points, count)
        found = nearest_cells(points, [grid], count)[:, 0]
        assert torch.equal(found[:, : expected.shape[1]], expected), (trial, grid, count)
        assert (found[:, expected.shape[1] :] == -1).all()


def test_only_existing_cells():
    draw = torch.Generator().manual_seed(0)
    grid = Grid(9, 11, 8.0, 4.0, 4.0)
    for _ in range(200):
        rows, columns = int(torch.randint(0, 10, (1,), generator=draw)), int(torch.randint(0, 12, (1,), generator=draw))
        points = points_for(grid, 5, draw)
        limits = torch.tensor([[[rows]], [[columns]]]).expand(2, 1, 5)
        found = nearest_cells(points, [grid], 9, limits)[:, 0]
        cut = torch.arange(99).view(9, 11)[:rows, :columns].flatten()
        if not len(cut):
            assert (found == -1).all()
            continue
        expected = cut[nearest_priors(middles(grid)[cut], [len(cut)], points, 9)]
        assert torch.equal(found[:, : expected.shape[1]], expected)
        assert (found[:, expected.shape[1] :] == -1).all()


def test_points_that_are_no_numbers_find_some_cell():
    found = nearest_cells(torch.tensor([[torch.nan, 3.0], [torch.inf, -torch.inf]]), [Grid(4, 4, 8.0)], 3)
    assert found.shape == (2, 1, 3)
    assert (found < 16).all()


def levels(size=192, strides=(8, 16, 32, 64, 128), offset=0.0, per_location=1):
    grids = [Grid(-(-size // s), -(-size // s), float(s), s * offset, s * offset) for s in strides]
    boxes = []
    for grid in grids:
        centers = middles(grid).repeat_interleave(per_location, 0)
        sides = grid.stride * 4.0 * (1 + torch.arange(per_location) / 3).repeat(grid.height * grid.width)
        boxes.append(torch.cat((centers, sides[:, None], sides[:, None], torch.zeros(len(centers), 1)), 1))
    return torch.cat(boxes), [len(each) for each in boxes], grids


def objects(number, seed=0, size=192, step=None):
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(number, 5, generator=draw)
    boxes = torch.cat((unit[:, :2] * size, (unit[:, 2:4] * 3 + 1.8).exp(), (unit[:, 4:] - 0.5) * 3.14), 1)
    if step:
        boxes[:, :2] = (boxes[:, :2] / step).round() * step
    return boxes


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
@pytest.mark.parametrize("offset, per_location, step", [(0.0, 1, None), (0.5, 1, 4), (0.0, 3, 4), (0.0, 1, 8)])
def test_the_assignment_without_grids(form, offset, per_location, step):
    priors, sizes, grids = levels(offset=offset, per_location=per_location)
    for seed, topk in enumerate((1, 4, 9, 15)):
        gt = objects(60, seed, step=step)
        options = dict(topk=topk, priors_per_location=per_location)
        expected = atss_assign(form(priors), sizes, form(gt), **options)
        found = atss_assign(form(priors), sizes, form(gt), grids=grids, **options)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
        assert (found[0] >= 0).sum() > 20


def test_fewer_candidates_than_priors_at_a_location():
    priors, sizes, grids = levels(per_location=3)
    points = objects(40, step=4)[:, :2]
    expected = nearest_priors(priors[:, :2], sizes, points, 4)
    assert torch.equal(nearest_priors_on_grids(points, grids, sizes, 4), expected)


def test_a_batch_is_its_images():
    priors, sizes, grids = levels(offset=0.5)
    images = [objects(30, 1), objects(0), objects(7, 2, step=8), objects(12, 3)]
    regions = [None, None, torch.tensor([[60.0, 60, 50, 40, 0.3]]), None]
    for given in (dict(grids=grids), {}):
        gt_index, iou = atss_assign_batch(priors, sizes, images, gt_boxes_ignore_list=regions, **given)
        for row, boxes in enumerate(images):
            expected = atss_assign(priors, sizes, boxes, gt_boxes_ignore=regions[row])
            assert torch.equal(gt_index[row], expected[0])
            assert torch.equal(iou[row], expected[1])
    assert (gt_index[2] == IGNORE).any()


def test_more_objects_than_one_step_takes():
    priors, sizes, grids = levels()
    gt = objects(2300, 5, step=2)
    expected = atss_assign(priors, sizes, gt)
    found = atss_assign(priors, sizes, gt, grids=grids)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_padding_is_cut_off():
    priors, sizes, grids = levels(offset=0.5)
    gt = [objects(25, 1), objects(25, 2)]
    cells = [
        [(g.height, g.width) for g in grids],
        [(-(-100 // int(g.stride)), -(-130 // int(g.stride))) for g in grids],
    ]
    for regions in (None, [None, torch.tensor([[40.0, 40, 30, 30, 0.0]])]):
        options = dict(grids=grids, valid_hw=cells, gt_boxes_ignore_list=regions)
        gt_index, iou = atss_assign_batch(priors, sizes, gt, **options)
        assert torch.equal(gt_index[0], atss_assign(priors, sizes, gt[0])[0])
        kept = torch.cat([
            ((torch.arange(g.height)[:, None] < rows) & (torch.arange(g.width) < columns)).flatten()
            for g, (rows, columns) in zip(grids, cells[1])
        ])  # fmt: skip
        cut = [int(level.sum()) for level in kept.split(sizes)]
        expected = atss_assign(priors[kept], cut, gt[1], gt_boxes_ignore=None if regions is None else regions[1])
        assert torch.equal(gt_index[1][kept], expected[0])
        assert torch.equal(iou[1][kept], expected[1])
        assert (gt_index[1][~kept] == IGNORE).all()
        assert (iou[1][~kept] == 0).all()


@pytest.mark.parametrize("per_location", [1, 3])
def test_grids_are_found_in_the_priors(per_location):
    priors, sizes, grids = levels(size=200, offset=0.5, per_location=per_location)
    assert find_grids(priors, sizes) == grids
    assert find_grids(obb_to_hbb(priors), sizes) == grids
    one = Grid(1, 1, 1.0, 5.0, 6.0)
    assert find_grids(torch.tensor([[5.0, 6, 8, 8, 0]]), [1, 0]) == [one, Grid(0, 0, 1.0)]


def test_what_is_no_grid_is_not_taken_for_one():
    priors, sizes, _ = levels()
    moved = priors.clone()
    moved[700, 0] += 0.01  # one centre of all
    assert find_grids(moved, sizes) is None
    assert find_grids(priors[:-1], [*sizes[:-1], sizes[-1] - 1]) is None
    assert find_grids(priors.flip(0), sizes[::-1]) is None
    assert find_grids(priors[torch.randperm(len(priors))], sizes) is None


def test_grids_that_do_not_fit_are_refused():
    priors, sizes, grids = levels()
    for wrong, told in (
        (grids[:-1], "grids must have one entry per level .5., got 4"),
        ([Grid(5, 5, 8.0), *grids[1:]], "a level of 576 priors must be a multiple of its grid's cells, got 5 x 5"),
        ([grids[0]._replace(stride=0.0), *grids[1:]], "the stride of a grid must be above 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=told):
            atss_assign(priors, sizes, objects(3), grids=wrong)
    with pytest.raises(ValueError, match="Pass grids too"):
        atss_assign_batch(priors, sizes, [objects(3)], valid_hw=[[(1, 1)] * 5])
    with pytest.raises(ValueError, match="its grid of 24 x 24 cells, got 30 x 1"):
        atss_assign_batch(priors, sizes, [objects(3)], grids=grids, valid_hw=[[(30, 1)] * 5])
    with pytest.raises(ValueError, match=r"5 levels for 1 images, got \[\] levels"):
        atss_assign_batch(priors, sizes, [objects(3)], grids=grids, valid_hw=[])


def test_nothing_is_asked_of_the_priors_that_are_no_candidates():
    """On a grid a prior far from every object may be anything: it is not looked at."""
    priors, sizes, grids = levels()
    gt = torch.tensor([[20.0, 20, 24, 12, 0.4]])
    expected = atss_assign(priors, sizes, gt, grids=grids)
    spoilt = priors.clone()
    spoilt[500:560] = torch.nan
    found = atss_assign(spoilt, sizes, gt, grids=grids)
    assert torch.equal(found[0], expected[0])
    assert (found[0] >= 0).any()


@pytest.mark.parametrize("number", [320, 321, 640, 641, 1000, 1001, 2001])
def test_how_many_points_come_together_changes_nothing(number):
    draw = torch.Generator().manual_seed(number)
    points = (torch.rand(number, 2, generator=draw) * 2400 - 100).div(4, rounding_mode="floor") * 4  # many ties
    grids = [Grid(64, 48, 8.0, 4.0, 4.0), Grid(32, 24, 16.0), Grid(2, 3, 128.0)]
    alone = torch.cat([nearest_cells(part, grids, 9) for part in points.split(50)])
    assert torch.equal(nearest_cells(points, grids, 9), alone)


def test_many_candidates_are_searched_for_in_full():
    """In time that does not grow with the square of their number; padding is left out all the same."""
    priors, sizes, grids = levels()
    boxes = objects(12)
    for count in (200, 201, 10**6):
        expected = atss_assign(priors, sizes, boxes, topk=count)
        found = atss_assign(priors, sizes, boxes, topk=count, grids=grids)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    existing = [[(max(1, grid.height // 2), grid.width) for grid in grids]]
    gt_index, _ = atss_assign_batch(priors, sizes, [boxes], topk=10**6, grids=grids, valid_hw=existing)
    few, _ = atss_assign_batch(priors, sizes, [boxes], topk=200, grids=grids, valid_hw=existing)
    assert torch.equal(gt_index == IGNORE, few == IGNORE)
    assert (gt_index == IGNORE).any()


def test_a_batch_needs_images_and_a_place_for_the_regions_of_each():
    priors, sizes, _ = levels()
    with pytest.raises(ValueError, match="at least one image"):
        atss_assign_batch(priors, sizes, [])
    with pytest.raises(ValueError, match=r"gt_boxes_ignore_list must have one entry per image \(2\), got 1"):
        atss_assign_batch(priors, sizes, [objects(2)] * 2, gt_boxes_ignore_list=[None])
    with pytest.raises(TypeError, match=r"gt_boxes must be a torch.Tensor, not ndarray"):
        atss_assign(priors, sizes, objects(2).numpy())

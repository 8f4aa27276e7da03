"""Candidates and NMS of a batch, compared with MMDetection's selection and with one NMS per image."""

import pytest
import torch
from mmdet.models.utils import filter_scores_and_topk
from mmengine.config import ConfigDict

from rotated_atss.detection.heads.postprocess import postprocess_detections, rescale_to_original
from rotated_atss.ops import rotated_nms
from rotated_atss.ops.candidates import best_candidates

SIZES = [64, 16, 4]
CFG = ConfigDict(min_bbox_size=0, nms=dict(iou_threshold=0.1), max_per_img=12)


def random_scores(images, classes=3, seed=0):
    return torch.rand(images, sum(SIZES), classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("nms_pre", [5, 40, 1000])
def test_candidates_equal_mmdetections_selection_per_image_and_level(nms_pre):
    scores = random_scores(3)
    candidates = best_candidates(scores, SIZES, 0.6, nms_pre)
    row = 0
    for image in range(3):
        start = 0
        for size in SIZES:
            best, label, prior, _ = filter_scores_and_topk(scores[image, start : start + size], 0.6, nms_pre)
            rows = slice(row, row + len(best))
            assert torch.equal(candidates.scores[rows], best)
            assert torch.equal(candidates.labels[rows], label)
            assert torch.equal(candidates.prior_index[rows], prior + start)
            assert (candidates.image_index[rows] == image).all()
            start, row = start + size, row + len(best)
    assert row == len(candidates.scores) > 0


def random_boxes(candidates, seed=1):
    unit = torch.rand(len(candidates.scores), 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([100.0, 100, 40, 20, 3]) + torch.tensor([0.0, 0, 10, 5, -1.5])


def test_nms_is_independent_per_image():
    candidates = best_candidates(random_scores(4), SIZES, 0.9, 100)
    candidates = candidates.take(torch.nonzero(candidates.image_index != 2).squeeze(1))  # one image has no candidates
    boxes = random_boxes(candidates)
    for image, result in enumerate(postprocess_detections(boxes, candidates, 4, 3, CFG, True)):
        rows = torch.nonzero(candidates.image_index == image).squeeze(1)
        keep = rows[rotated_nms(boxes[rows], candidates.scores[rows], candidates.labels[rows], 0.1)[:12]]
        assert torch.equal(result.bboxes, boxes[keep])
        assert torch.equal(result.labels, candidates.labels[keep])
        assert torch.equal(result.scores, candidates.scores[keep])
    assert len(result.scores)
    assert len(postprocess_detections(boxes, candidates, 4, 3, CFG, True)[2].scores) == 0


def test_without_nms_the_order_is_kept_and_small_boxes_are_dropped():
    candidates = best_candidates(random_scores(2), SIZES, 0.8, 100)
    boxes = random_boxes(candidates)
    results = postprocess_detections(boxes, candidates, 2, 3, ConfigDict(min_bbox_size=12), False)
    kept = (boxes[:, 2:4] > 12).all(1)
    assert torch.equal(torch.cat([each.bboxes for each in results]), boxes[kept])
    assert [len(each.scores) for each in results] == [
        int((kept & (candidates.image_index == i)).sum()) for i in range(2)
    ]


def test_no_candidates():
    candidates = best_candidates(random_scores(2), SIZES, 1.0, 10)
    results = postprocess_detections(random_boxes(candidates), candidates, 2, 3, CFG, True)
    assert [tuple(each.bboxes.shape) for each in results] == [(0, 5), (0, 5)]


def test_boxes_are_rescaled_per_image():
    candidates = best_candidates(random_scores(2), SIZES, 0.95, 10)
    boxes = random_boxes(candidates)
    same = rescale_to_original(boxes, candidates.image_index, [{"scale_factor": (2.0, 2.0)}] * 2)
    assert torch.allclose(same[:, :4], boxes[:, :4] / 2)
    assert torch.equal(same[:, 4], boxes[:, 4])
    mixed = rescale_to_original(
        boxes, candidates.image_index, [{"scale_factor": (2.0, 2.0)}, {"scale_factor": (0.5, 0.5)}]
    )
    factor = torch.tensor([0.5, 2.0])[candidates.image_index]
    assert torch.allclose(mixed[:, :4], boxes[:, :4] * factor[:, None])

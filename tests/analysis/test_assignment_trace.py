"""The trace of ATSS equals the assignment, and its numbers those of the slow reference of Algorithm 1."""

import json
import re
import statistics

import pytest
import torch

from rotated_atss.analysis.assignment_json import trace_to_json
from rotated_atss.analysis.assignment_text import format_objects, format_trace, positives_per_level
from rotated_atss.analysis.assignment_trace import trace_atss
from rotated_atss.assign import atss_assign
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes
from tests.references.slow_atss import contains_center, nearest_candidates, overlaps, slow_atss

STRIDES = (8, 16, 32, 64, 128)


def scene(seed, *, number=12, step=4, per_location=1, horizontal=False):
    """Return priors, level sizes and boxes: ties of distances (``step``) and of IoUs (two boxes are equal)."""
    priors, sizes = grid_priors(128, per_location=per_location)
    gt_boxes = random_boxes(number, seed, 128, step)
    gt_boxes[1] = gt_boxes[0]
    return (obb_to_hbb(priors), sizes, obb_to_hbb(gt_boxes)) if horizontal else (priors, sizes, gt_boxes)


@pytest.mark.parametrize("horizontal", [False, True], ids=["obb", "hbb"])
@pytest.mark.parametrize("topk, per_location", [(9, 1), (1, 1), (30, 1), (9, 3)])
def test_positives_of_all_objects_are_those_of_the_assignment(topk, per_location, horizontal):
    lost = 0
    for seed in range(3):
        priors, sizes, gt_boxes = scene(seed, per_location=per_location, horizontal=horizontal)
        options = dict(topk=topk, priors_per_location=per_location)
        gt_index, _ = atss_assign(priors, sizes, gt_boxes, **options)
        for index in range(len(gt_boxes)):
            trace = trace_atss(priors, sizes, gt_boxes, index, **options)
            positives = trace.prior_index[trace.is_positive].sort().values
            assert torch.equal(positives, torch.nonzero(gt_index == index).squeeze(1))
            assert bool((trace.above_threshold & trace.center_inside)[trace.is_positive].all())
            lost += int(trace.is_lost.sum())
    assert lost > 0


def test_positives_across_chunks_of_boxes_are_those_of_the_assignment(monkeypatch):
    monkeypatch.setattr("rotated_atss.assign.threshold._PAIRS_PER_CHUNK", {"cpu": 5 * 45})
    priors, sizes, gt_boxes = scene(7, number=23)
    gt_index, _ = atss_assign(priors, sizes, gt_boxes)
    for index in range(23):
        trace = trace_atss(priors, sizes, gt_boxes, index)
        assert set(trace.prior_index[trace.is_positive].tolist()) == set(
            torch.nonzero(gt_index == index)[:, 0].tolist()
        )


@pytest.mark.parametrize("horizontal", [False, True], ids=["obb", "hbb"])
def test_numbers_equal_the_slow_reference(horizontal):
    priors, sizes, gt_boxes = scene(3, number=6, horizontal=horizontal)
    assigned, _ = slow_atss(priors, sizes, gt_boxes)
    starts = torch.tensor(sizes).cumsum(0)
    for index, box in enumerate(gt_boxes):
        trace = trace_atss(priors, sizes, gt_boxes, index)
        expected = nearest_candidates(priors, sizes, box, 9, [False] * len(priors))
        assert trace.prior_index.tolist() == expected
        assert trace.level.tolist() == [sum(int(i >= start) for start in starts) for i in expected]
        values = overlaps(priors[expected], box)
        assert trace.iou.tolist() == pytest.approx(values, abs=1e-6)
        assert trace.mean == pytest.approx(statistics.mean(values), abs=1e-6)
        assert trace.deviation == pytest.approx(statistics.stdev(values), abs=1e-6)
        assert trace.threshold == pytest.approx(trace.mean + trace.deviation, abs=1e-6)
        assert trace.center_inside.tolist() == [contains_center(box, priors[i]) for i in expected]
        assert trace.assigned_to.tolist() == assigned[expected].tolist()
        assert bool((trace.distance.reshape(-1)[1:9] >= trace.distance[:8]).all())  # nearest first on the first level


def test_ignored_priors_are_no_candidates():
    priors, sizes, gt_boxes = scene(1, number=4)
    ignored = gt_boxes[3:] + torch.tensor([0, 0, 40, 40, 0])
    gt_index, _ = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=ignored)
    for index in range(4):
        trace = trace_atss(priors, sizes, gt_boxes, index, gt_boxes_ignore=ignored)
        assert bool((gt_index[trace.prior_index] != -2).all())
        assert int(trace.is_positive.sum()) == int((gt_index == index).sum())


@pytest.mark.filterwarnings("ignore:1 of 2 gt_boxes have no area")
def test_object_without_area_has_no_positive():
    priors, sizes = grid_priors(64)
    gt_boxes = torch.tensor([[20.0, 20, 20, 20, 0], [20, 20, 0, 10, 0]])
    trace = trace_atss(priors, sizes, gt_boxes, 1)
    assert not trace.is_positive.any()
    assert not trace.is_lost.any()
    assert set(trace.outcomes()) == {"object without area"}
    assert format_trace(trace, STRIDES) == ["positives    0, because the object has no area"]


def test_outcomes_name_the_first_condition_that_fails():
    priors = torch.tensor([[10.0, 10, 16, 16, 0], [30, 10, 16, 16, 0], [60, 10, 16, 16, 0], [90, 10, 16, 16, 0]])
    gt_boxes = torch.tensor([[10.0, 10, 16, 3, 0], [10, 10, 16, 16, 0]])
    assert trace_atss(priors, [4], gt_boxes, 1).outcomes()[0] == "positive"
    assert trace_atss(priors, [4], gt_boxes, 0).outcomes()[0] == "lost to another object"
    small = torch.tensor([[15.0, 10, 4, 4, 0]])
    outcomes = trace_atss(priors, [4], small, 0).outcomes()
    assert outcomes == ["center outside", "below threshold", "below threshold", "below threshold"]


def test_an_index_out_of_range_is_an_error():
    priors, sizes = grid_priors(64)
    with pytest.raises(ValueError, match="gt_index must be 0 to 1, got 2"):
        trace_atss(priors, sizes, random_boxes(2), 2)


def test_json_and_text_agree_with_the_trace():
    priors, sizes, gt_boxes = scene(0)
    gt_index, _ = atss_assign(priors, sizes, gt_boxes)
    counts = positives_per_level(gt_index, sizes, len(gt_boxes))
    table = format_objects(gt_boxes, ["ship"] * 12, counts, STRIDES).splitlines()
    for index in range(12):
        trace = trace_atss(priors, sizes, gt_boxes, index)
        content = json.loads(json.dumps(trace_to_json(trace, STRIDES)))
        outcomes = [candidate["outcome"] for candidate in content["candidates"]]
        assert content["positives"] == outcomes.count("positive") == int(counts[index].sum())
        assert [candidate["iou"] for candidate in content["candidates"]] == trace.iou.tolist()
        assert table[index + 1].split()[0] == str(index)
        assert table[index + 1].split()[-5:] == [str(count) for count in counts[index].tolist()]
        assert format_trace(trace, STRIDES)[-1].split()[1] == str(content["positives"])


def test_titles_of_the_strides_end_above_the_last_digit_of_their_counts():
    counts = torch.tensor([[1, 2, 3, 4, 567]])
    lines = format_objects(torch.tensor([[9.0, 9, 30, 10, 0.5]]), ["ship"], counts, STRIDES).splitlines()
    titles, row = ([match.end() for match in re.finditer(r"\S+", line)][-5:] for line in lines)
    assert titles == row


def test_text_counts_the_priors_of_a_location():
    priors, sizes, gt_boxes = scene(0, per_location=3)
    trace = trace_atss(priors, sizes, gt_boxes, 0, topk=2, priors_per_location=3)
    line = "lines 3-6    27 candidates: the 3 priors of each of the k = 2 nearest locations on each of L = 5 levels"
    assert format_trace(trace, STRIDES)[0] == line
    assert len(trace.iou) == 2 * 3 * 4 + 3  # the coarsest level has one location


def test_counts_per_level_of_no_object():
    assert positives_per_level(torch.full((5,), -1), [3, 2], 0).shape == (0, 2)

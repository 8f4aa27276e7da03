"""AP and recall of groups of objects."""

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.groups import UNITS
from rotated_atss.analysis.evaluation.report import EvaluationReport
from tests.analysis.evaluation.samples import coco_report, corners, random_boxes, task1_report
from tests.references.slow_coco import slow_coco_ap
from tests.references.slow_evaluation import Box


def test_groups_of_a_property_add_up(report: EvaluationReport) -> None:
    """No value of these samples is outside all groups."""
    assert set(report.groups) == set(UNITS)
    for name, groups in report.groups.items():
        if name == "angle_deg" and report.data.kind == "coco":
            assert groups == []
            continue
        assert sum(group.objects for group in groups) == report.counts.objects
        assert sum(group.objects * group.recall for group in groups) == pytest.approx(report.counts.tp)
        assert all(0 <= group.ap <= 1 for group in groups)


def test_a_group_with_all_objects_has_the_ap_of_the_evaluation() -> None:
    dets, objects = random_boxes(0, images=1)
    alone = [box._replace(image="P1") for box in dets], [box._replace(image="P1") for box in objects]
    report = task1_report(*alone)
    (group,) = report.groups["density"]
    assert (group.low, group.high) == (5, 20) if len(objects) < 20 else (20, 50)
    assert group.ap == pytest.approx(report.ap.mean["AP50"], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_ap_by_size_is_that_of_coco_by_area(seed: int) -> None:
    """The slow reference knows COCO's area ranges, whose limits belong to both neighbors; no box has such an area."""
    dets, objects = random_boxes(seed)
    report = task1_report(dets, objects, metric="coco")
    for group in report.groups["size"]:
        area_range = (group.low**2, group.high**2)
        aps = []
        for name in {obj.name for obj in objects}:
            found = [(det.image, det.score, list(det.corners)) for det in dets if det.name == name]
            truth = [(obj.image, list(obj.corners), obj.ignored) for obj in objects if obj.name == name]
            aps += slow_coco_ap(found, truth, [0.5], area_range)
        assert group.ap == pytest.approx(np.nanmean(aps), abs=1e-9)


def test_detections_outside_a_group_are_ignored() -> None:
    """A false positive of another angle, size or image leaves the AP of a group as it is."""
    objects = [Box("P1", "ship", corners(50, 50, 40, 10, 30)), Box("P2", "ship", corners(50, 50, 160, 40, -60))]
    dets = [Box(obj.image, "ship", obj.corners, 0.5 + index / 10) for index, obj in enumerate(objects)]
    wrong = Box("P2", "ship", corners(500, 500, 160, 40, -60), 0.9)
    report = task1_report([*dets, wrong], objects, dataset="v1.5", metric="area")
    assert [(group.low, group.ap) for group in report.groups["size"]] == [(16, 1.0), (64, 0.5)]
    assert [(group.low, group.ap) for group in report.groups["angle_deg"]] == [(-60, 0.5), (30, 1.0)]


def test_horizontal_boxes_have_no_angle() -> None:
    assert coco_report(*random_boxes(0, oriented=False)).groups["angle_deg"] == []

"""Round trips through ``supervision.Detections``, and drawing with its annotator."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from rotated_atss.errors import UserError
from rotated_atss.interop.supervision import from_supervision, to_supervision
from rotated_atss.ops.boxes import ANGLE_VERSIONS, normalize_obb, obb_to_hbb, obb_to_poly
from rotated_atss.tiling.merge_boxes import BoxDetections

CLASSES = ["plane", "ship"]


def detections_of(boxes: torch.Tensor) -> BoxDetections:
    count = len(boxes)
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)
    return BoxDetections("P1", boxes.double().numpy(), scores, np.arange(count) % 2)


@pytest.fixture
def sv():
    return pytest.importorskip("supervision", reason="supervision is not installed")


@pytest.mark.parametrize("angle_version", ANGLE_VERSIONS)
def test_round_trip(sv, angle_version):
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1000, 1000, 200, 50, 2 * math.pi], dtype=torch.float64)
    boxes = normalize_obb(torch.rand(500, 5, generator=generator, dtype=torch.float64) * scale + 0.1, angle_version)
    before = detections_of(boxes)
    after = BoxDetections.from_supervision(before.to_supervision(CLASSES), name="P1")
    assert after.name == "P1"
    assert after.boxes == pytest.approx(boxes.numpy(), abs=1e-9)
    assert np.array_equal(after.scores, before.scores)
    assert np.array_equal(after.labels, before.labels)


def test_fields(sv):
    boxes = torch.tensor([[50.0, 40, 30, 10, 0.5], [20, 10, 8, 8, 0]])
    detections = to_supervision(detections_of(boxes), CLASSES)
    assert detections.xyxy == pytest.approx(obb_to_hbb(boxes.double()).numpy())
    assert detections.data["xyxyxyxy"].reshape(-1, 8) == pytest.approx(obb_to_poly(boxes.double()).numpy())
    assert detections.data["class_name"].tolist() == ["plane", "ship"]
    assert detections.class_id.tolist() == [0, 1]
    assert "class_name" not in to_supervision(detections_of(boxes)).data
    kept = from_supervision(detections[detections.class_id == 1])
    assert kept[0] == pytest.approx(boxes[1:].double().numpy())
    assert sv.Detections.merge([detections, detections]).data["xyxyxyxy"].shape == (4, 4, 2)


def test_no_detections(sv):
    detections = to_supervision(detections_of(torch.zeros(0, 5)), CLASSES)
    assert len(detections) == 0
    assert detections.data["xyxyxyxy"].shape == (0, 4, 2)
    for empty in (detections, sv.Detections(np.empty((0, 4)), confidence=np.empty(0), class_id=np.empty(0, int))):
        boxes, scores, labels = from_supervision(empty)
        assert (boxes.shape, scores.shape, labels.shape, labels.dtype) == ((0, 5), (0,), (0,), np.int64)


def test_rotated_iou_of_supervision_agrees(sv):
    from rotated_atss.ops import rotated_iou

    boxes = torch.tensor([[50.0, 40, 30, 10, 0.5], [52, 41, 30, 10, 0.7], [50, 40, 10, 30, 0.5]], dtype=torch.float64)
    corners = to_supervision(detections_of(boxes)).data["xyxyxyxy"].astype(np.float32)
    expected = rotated_iou(boxes, boxes).numpy()
    assert sv.oriented_box_iou_batch(corners, corners) == pytest.approx(
        expected, abs=0.1
    )  # older versions count pixels


def test_annotator_draws_the_edges_of_the_boxes(sv):
    image = np.zeros((120, 160, 3), np.uint8)
    detections = detections_of(torch.tensor([[80.0, 60, 100, 40, math.pi / 6]])).to_supervision(CLASSES)
    annotator = sv.OrientedBoxAnnotator(color=sv.Color.WHITE, thickness=1)
    drawn = annotator.annotate(image.copy(), detections)[..., 0] > 0
    edges = detections.data["xyxyxyxy"][0]
    middles = (edges + np.roll(edges, -1, axis=0)) / 2
    for x, y in np.concatenate((edges, middles)).astype(int):
        assert drawn[y - 1 : y + 2, x - 1 : x + 2].any()
    assert not drawn[60, 80]
    assert drawn.sum() < 350  # about the perimeter of 280 px


def test_detections_without_scores_are_refused(sv):
    with pytest.raises(ValueError, match=r"detections must have confidence, got None. Set detections.confidence"):
        from_supervision(sv.Detections(np.array([[0.0, 0, 4, 4]])))


def test_missing_class_name(sv):
    with pytest.raises(UserError, match="every label needs a class name, got label 1 and 1 class name"):
        to_supervision(detections_of(torch.ones(2, 5)), ["plane"])


def test_missing_package_is_named_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError) as caught:
        detections_of(torch.ones(2, 5)).to_supervision()
    assert str(caught.value) == 'the package supervision is not installed (pip install "rotated-atss[supervision]")'

"""Prediction with SAHI."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.errors import UserError
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_poly

sahi_predict = pytest.importorskip("sahi.predict", reason="sahi is not installed")

from rotated_atss.interop.sahi import OrientedDetectionModel, from_sahi  # noqa: E402

# far apart; the second lies across the border of a slice, the last one reaches beyond the right border of the image
BOXES = torch.tensor(
    [[60.0, 70, 80, 20, 0.5], [256, 100, 50, 24, -0.3], [120, 300, 36, 30, 0.2], [390, 250, 60, 16, 0.1]],
    dtype=torch.float64,
)
LABELS = torch.tensor([0, 1, 0, 1])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6])
COLORS = [(255, 40, 0), (0, 90, 255)]  # BGR per class
SIZE = 400


class FixedDetector:
    """Returns the same boxes for every tile."""

    classes = ("plane", "ship")

    def __init__(self, boxes=BOXES, scores=SCORES, labels=LABELS) -> None:
        self.result = (boxes, scores, labels)

    def __call__(self, tiles):
        return [self.result for _ in tiles]


class ColorDetector:
    """Finds filled rectangles in the colors of the classes, cut off at the border of a tile."""

    classes = ("plane", "ship")

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, tiles):
        self.batches.append(len(tiles))
        return [self.detect(tile) for tile in tiles]

    def detect(self, tile):
        boxes, scores, labels = [], [], []
        for label, color in enumerate(COLORS):
            mask = (tile == color).all(-1).astype(np.uint8)
            for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
                (cx, cy), (w, h), degrees = cv2.minAreaRect(contour)
                boxes.append([cx, cy, w, h, math.radians(degrees)])
                scores.append(min(1.0, cv2.contourArea(contour) / 2000))
                labels.append(label)
        return np.array(boxes).reshape(-1, 5), np.array(scores), np.array(labels, dtype=np.int64)


def model_of(detector, **options) -> OrientedDetectionModel:
    return OrientedDetectionModel(detector, **{"confidence_threshold": 0.0, "device": "cpu", **options})


def predict(detector, **options):
    """Return boxes, scores and labels on an empty image."""
    model = model_of(detector, **options)
    return from_sahi(sahi_predict.get_prediction(np.zeros((SIZE, SIZE, 3), np.uint8), model).object_prediction_list)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """An image with the first three boxes, RGB."""
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    for polygon, label in zip(obb_to_poly(BOXES[:3]).reshape(-1, 4, 2).numpy(), LABELS.tolist()):
        cv2.fillPoly(image, [polygon.round().astype(np.int32)], COLORS[label])
    return image[..., ::-1]


def test_prediction_on_a_whole_image_keeps_boxes_scores_and_labels():
    boxes, scores, labels = predict(FixedDetector())
    assert boxes == pytest.approx(BOXES.numpy(), abs=1e-9)
    assert scores.tolist() == pytest.approx(SCORES.tolist())
    assert labels.tolist() == LABELS.tolist()


def test_polygon_name_and_horizontal_box_of_a_prediction():
    result = sahi_predict.get_prediction(np.zeros((SIZE, SIZE, 3), np.uint8), model_of(FixedDetector()))
    last = result.object_prediction_list[3]
    assert last.category.name == "ship"
    assert last.mask.segmentation == [pytest.approx(obb_to_poly(BOXES[3]).tolist())]
    assert last.bbox.maxx == SIZE


def test_sliced_prediction_finds_every_object_once(scene):
    detector = ColorDetector()
    result = sahi_predict.get_sliced_prediction(
        scene, model_of(detector), 256, 256, overlap_height_ratio=0.25, overlap_width_ratio=0.25,
        perform_standard_pred=False, postprocess_type="NMS", verbose=0,
    )  # fmt: skip
    assert detector.batches == [1, 1, 1, 1]
    boxes, _, labels = from_sahi(result.object_prediction_list)
    ious = rotated_iou(BOXES[:3], torch.from_numpy(boxes))
    assert len(boxes) == 3
    assert ious.max(1).values.min() > 0.85  # the contour of pixel centers is one pixel smaller
    assert labels[ious.argmax(1)].tolist() == LABELS[:3].tolist()


def test_batch_of_slices_is_one_call_of_the_detector(scene):
    detector = ColorDetector()
    model = model_of(detector)
    model.perform_batch_inference([scene[:256, :200], scene[:256, 200:]])
    model.convert_original_predictions(shift_amount=[[0, 0], [200, 0]], full_shape=[[SIZE, SIZE]] * 2)
    assert detector.batches == [2]
    left, right = model.object_prediction_list_per_image
    assert [prediction.category.name for prediction in left] == ["plane"]
    shifted = [prediction.get_shifted_object_prediction() for prediction in right]
    assert from_sahi(shifted)[0][0, :2].tolist() == pytest.approx(BOXES[1, :2].tolist(), abs=1)


def test_low_scores_and_boxes_outside_the_image_are_left_out():
    outside = BOXES + torch.tensor([0.0, 500, 0, 0, 0], dtype=torch.float64)
    detector = FixedDetector(torch.cat((outside, BOXES)), SCORES.repeat(2), LABELS.repeat(2))
    assert predict(detector, confidence_threshold=0.75)[1].tolist() == pytest.approx([0.9, 0.8])


def test_horizontal_boxes_and_no_boxes():
    detector = FixedDetector(torch.tensor([[10.0, 20, 40, 30]]), torch.tensor([0.5]), torch.tensor([1]))
    assert predict(detector)[0].tolist() == [[25.0, 25.0, 30.0, 10.0, 0.0]]
    empty = predict(FixedDetector(torch.zeros(0, 5), torch.zeros(0), torch.zeros(0, dtype=torch.int64)))
    assert [values.shape for values in empty] == [(0, 5), (0,), (0,)]


def test_polygons_of_other_than_four_corners_become_rectangles():
    from sahi.prediction import ObjectPrediction

    merged = [[0, 0, 8, 0, 8, 4, 3, 4, 0, 3]]
    prediction = ObjectPrediction(segmentation=merged, category_id=1, score=0.5, full_shape=[10, 10])
    boxes, _, labels = from_sahi([prediction])
    assert boxes[0, :4].tolist() == pytest.approx([4, 2, 8, 4])
    assert labels.tolist() == [1]


def test_class_names():
    assert model_of(FixedDetector()).category_names == ["plane", "ship"]
    model = model_of(FixedDetector(), category_mapping={"0": "car", "1": "van"})
    assert (model.category_names, model.num_categories, model.has_mask) == (["car", "van"], 2, True)
    with pytest.raises(UserError, match="class names are needed, got a detector without classes"):
        model_of(lambda tiles: [])
    with pytest.raises(UserError, match="a detector is needed, got none"):
        model_of(None)

"""Captions that do not fit beside their box stand farther away, with a line that crosses nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rotated_atss.visualization import captions
from rotated_atss.visualization.captions import place_captions
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.text_boxes import Annotation

SCALE, IMAGE_HW = 0.36, (300, 400)


def square(x: float, y: float, side: float = 16.0) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def annotation(polygon: np.ndarray, score: float | None = 0.9, name: str = "large-vehicle") -> Annotation:
    return Annotation(polygon, (255, 0, 0), name, score)


def rows_of_boxes(count: int) -> list[Annotation]:
    """Three rows of boxes without space for captions between them."""
    return [annotation(square(60 + 18 * (k % 14), 130 + 18 * (k // 14)), 0.5 + k / 1000) for k in range(count)]


def covered(text_boxes: list) -> np.ndarray:
    mask = np.zeros(IMAGE_HW, int)
    for text_box in text_boxes:
        mask[text_box.rows, text_box.columns] += 1
    return mask


def test_a_free_place_beside_the_box_needs_no_line() -> None:
    (placed,) = place_captions([annotation(square(200, 150))], IMAGE_HW, SCALE, [])
    assert placed.leader is None
    assert placed.text == "large-vehicle 0.90"


def test_far_captions_cover_neither_boxes_nor_each_other() -> None:
    annotations = rows_of_boxes(42)
    placed = place_captions(annotations, IMAGE_HW, SCALE, [])
    with_line = [text_box for text_box in placed if text_box.leader is not None]
    assert len(with_line) >= 5
    assert covered(placed).max() == 1
    boxes = np.zeros(IMAGE_HW, np.uint8)
    for each in annotations:
        cv2.fillPoly(boxes, [np.floor(each.polygon).astype(np.int32)], 1)
    assert not (covered(placed) * boxes).any()
    for text_box in with_line:
        assert text_box.leader is not None
        line = np.zeros(IMAGE_HW, np.uint8)
        cv2.line(line, *text_box.leader, 1, 1)
        others = [each for each in placed if each is not text_box]
        assert not (line * covered(others)).any()
        crossed = [each for each in annotations if _crosses(line, each.polygon)]
        assert len(crossed) <= 1  # its own


def _crosses(line: np.ndarray, polygon: np.ndarray) -> bool:
    """Return whether a line has more than the two pixels of its end in a box."""
    box = np.zeros(IMAGE_HW, np.uint8)
    cv2.fillPoly(box, [np.floor(polygon).astype(np.int32)], 1)
    return int((line * box).sum()) > 2


def test_the_line_ends_at_its_own_box() -> None:
    annotations = rows_of_boxes(42)
    for text_box in place_captions(annotations, IMAGE_HW, SCALE, []):
        if text_box.leader is not None:
            (score,) = (float(word) for word in text_box.text.split()[1:])
            end = np.array(text_box.leader[1])
            own = min(annotations, key=lambda each: float(np.abs(each.polygon - end).sum(1).min()))
            assert own.score is not None
            assert abs(own.score - score) < 0.0051


def test_boxes_beyond_the_image_have_no_far_caption() -> None:
    outside = square(-300, -300, 100)
    block = [annotation(square(0, 0, 60), 0.1), annotation(outside, 0.9)]
    assert all(text_box.leader is None for text_box in place_captions(block, IMAGE_HW, SCALE, []))
    for x, y in ((-40, -40), (390, 290), (-8, 150), (392, 10)):
        crowd = [annotation(square(x, y, 80), 0.9), *rows_of_boxes(42)]
        assert covered(place_captions(crowd, IMAGE_HW, SCALE, [])).max() == 1


def test_pictures_with_many_boxes_have_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "_MAX_BOXES_WITH_LEADERS", 41)
    assert all(text_box.leader is None for text_box in place_captions(rows_of_boxes(42), IMAGE_HW, SCALE, []))


def test_lines_are_drawn_in_the_color_of_the_class() -> None:
    annotations = rows_of_boxes(42)
    polygons = np.stack([each.polygon for each in annotations])
    names, scores = [each.name or "" for each in annotations], [each.score or 0.0 for each in annotations]
    image = np.full((*IMAGE_HW, 3), 90, np.uint8)
    picture = draw_boxes(image, polygons, names, scores, dict.fromkeys(names, (0, 0, 255)))
    for text_box in place_captions(annotations, IMAGE_HW, SCALE, []):
        if text_box.leader is not None and np.hypot(*np.subtract(*text_box.leader)) > 8:
            x, y = (sum(pair) // 2 for pair in zip(*text_box.leader))
            around = picture[y - 2 : y + 3, x - 2 : x + 3].astype(int)
            assert (around[..., 0] - around[..., 1] > 100).any()

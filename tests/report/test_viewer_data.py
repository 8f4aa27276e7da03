"""Columns of boxes for the script of a viewer page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject, as_script, image_columns

BOX = [0.0, 0.0, 8.0, 0.0, 8.0, 4.0, 0.0, 4.0]


def image_of(**boxes: list) -> ViewerImage:
    return ViewerImage("P1", Path("P1.png"), **boxes)


def test_sizes_and_angles_agree_with_opencv() -> None:
    rng = np.random.default_rng(0)
    rects = [((*rng.uniform(0, 900, 2),), (*rng.uniform((20, 4), (60, 15)),), angle) for angle in range(1, 180, 7)]
    polygons = [cv2.boxPoints(rect).ravel().tolist() for rect in rects]
    columns = image_columns(image_of(objects=[ViewerObject(each, "ship", "matched") for each in polygons]), ["ship"])
    for index, (_, (w, h), degrees) in enumerate(rects):
        assert columns["objects"]["length"][index] == pytest.approx(max(w, h), abs=0.02)
        assert columns["objects"]["width"][index] == pytest.approx(min(w, h), abs=0.02)
        angle = columns["objects"]["angle"][index]
        assert -90 <= angle < 90
        assert math.cos(math.radians(2 * (angle - degrees))) == pytest.approx(1, abs=1e-4)


def test_columns_hold_the_boxes_in_their_order() -> None:
    detections = [
        ViewerDetection(BOX, "ship", 0.87654, 0.5, "fp", "angle"),
        ViewerDetection([value + 0.126 for value in BOX], "plane", float("nan"), float("nan"), "tp"),
    ]
    columns = image_columns(image_of(detections=detections), ["plane", "ship"])
    assert columns["classes"] == ["plane", "ship"]
    assert columns["errors"] == ["angle"]
    assert columns["detections"] == {
        "polygon": [BOX, [0.13, 0.13, 8.13, 0.13, 8.13, 4.13, 0.13, 4.13]],
        "class": [1, 0], "state": ["fp", "tp"], "length": [8.0, 8.0], "width": [4.0, 4.0], "angle": [0.0, 0.0],
        "score": [0.8765, None], "iou": [0.5, None], "error": [0, -1],
    }  # fmt: skip
    assert columns["objects"] == {name: [] for name in ("polygon", "class", "state", "length", "width", "angle")}


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (ViewerObject(BOX[:7], "ship", "matched"), "a polygon must have eight finite numbers, got .*0.0"),
        (ViewerObject([*BOX[:7], math.inf], "ship", "matched"), "a polygon must have eight finite numbers, got .*inf"),
        (ViewerObject(BOX, "boat", "matched"), "must be one of the report's classes, got 'boat'"),
        (ViewerObject(BOX, "ship", "tp"), "the state must be one of matched, missed, ignored, got 'tp'"),  # type: ignore[arg-type]
    ],
)
def test_invalid_boxes_are_named(box: ViewerObject, message: str) -> None:
    valid = ViewerObject(BOX, "ship", "matched")
    with pytest.raises(UserError, match=f"image 'P1', object 1: .*{message}"):
        image_columns(image_of(objects=[valid, box]), ["ship"])


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "a & b", "\u2028\u2029", '";alert(1);"', "\ud800"]
)
def test_scripts_hold_any_text(text: str) -> None:
    script = as_script("x", {"image": text}).decode("ascii")
    assert not set("<>&") & set(script)
    assert script.count("\n") == 1
    assert json.loads(script.removeprefix("window.x = ").removesuffix(";\n")) == {"image": text}


def test_scripts_refuse_numbers_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        as_script("x", float("nan"))

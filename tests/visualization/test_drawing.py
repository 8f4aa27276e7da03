"""Boxes are drawn at the right places in the right colors, and the input image is not modified."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES, PALETTE
from rotated_atss.errors import UserError
from rotated_atss.visualization import captions
from rotated_atss.visualization.drawing import draw_boxes
from rotated_atss.visualization.palettes import class_color, class_colors

SQUARE = np.array([[40.0, 40.0, 80.0, 40.0, 80.0, 80.0, 40.0, 80.0]])


def gray_image() -> np.ndarray:
    return np.full((160, 200, 3), 90, np.uint8)


def has_color(pixel: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    """Whether a pixel of an anti-aliased line has this color, within 30 levels."""
    return bool(np.abs(pixel[::-1].astype(int) - rgb).max() <= 30)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


@pytest.mark.parametrize("box_only", [False, True])
def test_input_image_is_not_modified(box_only: bool) -> None:
    image = gray_image()
    drawn = draw_boxes(image, SQUARE, ["plane"], [0.9], box_only=box_only, mark_front=True, legend=True)
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert changed(image, drawn).any()
    assert not np.shares_memory(image, drawn)


def test_oriented_boxes_are_drawn_as_their_corners() -> None:
    torch = pytest.importorskip("torch")
    from rotated_atss.ops.boxes import obb_to_poly

    boxes = torch.tensor([[80.0, 70, 60, 30, 0.4], [120, 90, 20, 40, -0.2]], dtype=torch.float64)
    expected = draw_boxes(gray_image(), obb_to_poly(boxes).numpy(), ["ship", "plane"], [0.9, 0.8])
    for given in (boxes, boxes.numpy(), boxes.tolist()):
        assert (draw_boxes(gray_image(), given, ["ship", "plane"], [0.9, 0.8]) == expected).all()
    assert (draw_boxes(gray_image(), np.empty((0, 5))) == gray_image()).all()


def test_boxes_of_another_shape_or_not_finite_raise() -> None:
    with pytest.raises(UserError, match=r"polygons must have shape \(N, 8\), \(N, 4, 2\) or \(N, 5\), got \(3, 4\)"):
        draw_boxes(gray_image(), np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"polygons must be finite, got \[1.0, 2.0, nan, 4.0, 5.0\] in row 1"):
        draw_boxes(gray_image(), np.array([[1, 2, 3, 4, 5], [1, 2, np.nan, 4, 5]]))


def test_no_boxes_give_an_equal_copy() -> None:
    image = gray_image()
    drawn = draw_boxes(image, np.empty((0, 8)), [], [], legend=True)
    assert (drawn == image).all()
    assert drawn is not image


def test_outline_follows_the_polygon_in_the_class_color() -> None:
    image = gray_image()
    drawn = draw_boxes(image, SQUARE + 0.5, ["ship"], box_only=True)
    rows, columns = np.nonzero(changed(image, drawn))
    # Lines at pixel centers 40 and 80; anti-aliasing covers one more pixel on either side.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (39, 81, 39, 81)
    assert not changed(image, drawn)[43:78, 43:78].any()
    assert has_color(drawn[60, 40], PALETTE[CLASSES["v1.0"].index("ship")])


def test_rotated_box_keeps_its_corners() -> None:
    image = gray_image()
    diamond = np.array([[100.5, 40.5], [140.5, 80.5], [100.5, 120.5], [60.5, 80.5]])
    lit = changed(image, draw_boxes(image, diamond[None], box_only=True))
    assert lit[60, 120]
    assert lit[60, 80]
    assert lit[100, 120]
    assert lit[100, 80]
    assert not lit[45, 60:90].any()
    assert not lit[80, 75:125].any()


def test_corners_outside_the_image_are_accepted() -> None:
    assert changed(gray_image(), draw_boxes(gray_image(), SQUARE - 60.0, ["plane"], [0.5])).any()
    far = np.array([[-500.0, -500, -400, -500, -400, -400, -500, -400]])
    assert draw_boxes(gray_image(), far, ["plane"], box_only=True).shape == (160, 200, 3)


def test_scores_below_the_threshold_are_not_drawn() -> None:
    image = gray_image()
    polygons = np.concatenate([SQUARE, SQUARE + 60])
    drawn = draw_boxes(image, polygons, ["plane", "plane"], [0.2, 0.7], score_threshold=0.5, box_only=True)
    lit = changed(image, drawn)
    assert lit[100:142, 100:142].any()
    assert not lit[:95, :95].any()


def test_highest_score_is_drawn_on_top() -> None:
    names = ["plane", "ship"]
    drawn = draw_boxes(gray_image(), np.concatenate([SQUARE, SQUARE]) + 0.5, names, [0.9, 0.3], box_only=True)
    assert has_color(drawn[60, 40], class_color("plane"))


def test_box_only_writes_no_text() -> None:
    image = gray_image()
    bare = draw_boxes(image, SQUARE, ["plane"], [0.9], box_only=True)
    captioned = draw_boxes(image, SQUARE, ["plane"], [0.9])
    outside = np.ones(image.shape[:2], bool)
    outside[38:83, 38:83] = False
    assert not changed(image, bare)[outside].any()
    assert changed(image, captioned)[outside].sum() > 100


def test_captions_do_not_cover_other_boxes() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(10.0, 180, 22), np.arange(10.0, 140, 22)))
    half = np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]])
    polygons = np.stack([x, y], axis=1)[:, None] + half
    names = ["small-vehicle"] * len(polygons)
    scores = np.linspace(0.5, 0.9, len(polygons))
    bare = draw_boxes(gray_image(), polygons, names, scores, box_only=True)
    inside = np.zeros((160, 200), np.uint8)
    cv2.fillPoly(inside, list(np.floor(polygons).astype(np.int32)), 1)
    captioned = draw_boxes(gray_image(), polygons, names, scores)
    assert not changed(bare, captioned)[inside == 1].any()
    assert changed(bare, captioned).any()


def test_captions_are_placed_inside_large_boxes() -> None:
    """A box that fills the image would otherwise suppress every caption."""
    table = np.array([[0.0, 0, 199, 0, 199, 159, 0, 159]])
    boxes, names = np.concatenate([table, SQUARE]), ["dining table", "cup"]
    bare = draw_boxes(gray_image(), boxes, names, box_only=True)
    drawn = draw_boxes(gray_image(), boxes, names)
    caption = changed(bare, drawn)
    rows, columns = np.nonzero(caption)
    assert caption.sum() > 100
    assert rows.max() < 40
    assert columns.min() > 2


def test_mark_front_draws_the_first_edge_white() -> None:
    drawn = draw_boxes(gray_image(), SQUARE + 0.5, ["ship"], box_only=True, mark_front=True)
    assert has_color(drawn[40, 60], (255, 255, 255))
    assert has_color(drawn[80, 60], class_color("ship"))


@pytest.mark.parametrize("colors", [{"ship": (200, 0, 250)}, [(200, 0, 250)]])
def test_custom_colors(colors: object) -> None:
    drawn = draw_boxes(gray_image(), SQUARE + 0.5, ["ship"], colors=colors, box_only=True)  # type: ignore[arg-type]
    assert has_color(drawn[60, 40], (200, 0, 250))


def test_legend_is_in_the_lower_left_corner() -> None:
    image = gray_image()
    bare, drawn = (draw_boxes(image, SQUARE, ["ship"], box_only=True, legend=on) for on in (False, True))
    rows, columns = np.nonzero(changed(bare, drawn))
    assert rows.min() > 130
    assert columns.max() < 60
    assert len(rows) > 100


def test_other_classes_have_a_stable_color() -> None:
    assert class_color("windmill") == class_color("windmill")
    assert class_color("windmill") in PALETTE


def test_classes_of_a_model_have_different_colors() -> None:
    names = ["Kleines-Boot", "Großflugzeug", "ship"]
    assert class_color(names[0]) == class_color(names[1])
    colors = class_colors(names)
    assert colors["ship"] == class_color("ship")
    assert colors[names[0]] != colors[names[1]]
    assert colors == class_colors(reversed(names))
    assert set(class_colors(map(str, range(50))).values()) == set(PALETTE)


def test_names_that_the_font_lacks_are_written_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(captions.cv2, "putText", lambda canvas, text, *args: texts.append(text))
    draw_boxes(gray_image(), SQUARE, ["Großflugzeug"], legend=True)
    draw_boxes(gray_image(), SQUARE, ["車"], [0.5])
    assert texts == ["Grossflugzeug", "Grossflugzeug 1", r"\u8eca 0.50"]


def test_gray_image_becomes_bgr() -> None:
    assert draw_boxes(np.full((50, 60), 7, np.uint8), SQUARE).shape == (50, 60, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["plane", "ship"]}, "labels must have one entry per polygon, got 2 for 1 polygon"),
        ({"scores": []}, "scores must have one entry per polygon, got 0 for 1 polygon"),
        ({"colors": []}, "colors must have one entry per polygon, got 0 for 1 polygon"),
    ],
)
def test_mismatched_counts_are_rejected(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw_boxes(gray_image(), SQUARE, **arguments)


@pytest.mark.parametrize("image", [np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))])
def test_unsupported_images_are_rejected(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="uint8"):
        draw_boxes(image, SQUARE)

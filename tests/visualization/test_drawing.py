"""Pictures of boxes: right places, right colours, the input left alone, nothing written among the inputs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES, PALETTE
from rotated_atss.errors import UserError
from rotated_atss.visualization.drawing import (
    beside,
    check_overwritable,
    class_color,
    contact_sheet,
    draw_boxes,
    write_png,
)

SQUARE = np.array([[40.0, 40.0, 80.0, 40.0, 80.0, 80.0, 40.0, 80.0]])


def grey_image() -> np.ndarray:
    return np.full((160, 200, 3), 90, np.uint8)


def has_colour(pixel: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    """Whether a pixel of an anti-aliased line has about that colour."""
    return bool(np.abs(pixel[::-1].astype(int) - rgb).max() <= 30)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


@pytest.mark.parametrize("box_only", [False, True])
def test_the_input_is_not_modified(box_only: bool) -> None:
    image = grey_image()
    drawn = draw_boxes(image, SQUARE, ["plane"], [0.9], box_only=box_only, head=True, legend=True)
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert changed(image, drawn).any()
    assert not np.shares_memory(image, drawn)


def test_nothing_to_draw_gives_an_equal_copy() -> None:
    image = grey_image()
    drawn = draw_boxes(image, np.empty((0, 8)), [], [], legend=True)
    assert (drawn == image).all()
    assert drawn is not image


def test_the_outline_lies_on_the_polygon_and_has_the_colour_of_the_class() -> None:
    image = grey_image()
    drawn = draw_boxes(image, SQUARE + 0.5, ["ship"], box_only=True)
    rows, columns = np.nonzero(changed(image, drawn))
    # A line about pixel centres 40 and 80, its soft edges one pixel to either side.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (39, 81, 39, 81)
    assert not changed(image, drawn)[43:78, 43:78].any()
    assert has_colour(drawn[60, 40], PALETTE[CLASSES["v1.0"].index("ship")])


def test_a_turned_box_keeps_its_corners() -> None:
    image = grey_image()
    diamond = np.array([[100.5, 40.5], [140.5, 80.5], [100.5, 120.5], [60.5, 80.5]])
    lit = changed(image, draw_boxes(image, diamond[None], box_only=True))
    assert lit[60, 120]
    assert lit[60, 80]
    assert lit[100, 120]
    assert lit[100, 80]
    assert not lit[45, 60:90].any()
    assert not lit[80, 75:125].any()


def test_corners_outside_the_image_are_fine() -> None:
    assert changed(grey_image(), draw_boxes(grey_image(), SQUARE - 60.0, ["plane"], [0.5])).any()
    far = np.array([[-500.0, -500, -400, -500, -400, -400, -500, -400]])
    assert draw_boxes(grey_image(), far, ["plane"], box_only=True).shape == (160, 200, 3)


def test_scores_below_the_threshold_are_left_out() -> None:
    image = grey_image()
    polygons = np.concatenate([SQUARE, SQUARE + 60])
    drawn = draw_boxes(image, polygons, ["plane", "plane"], [0.2, 0.7], score_threshold=0.5, box_only=True)
    lit = changed(image, drawn)
    assert lit[100:142, 100:142].any()
    assert not lit[:95, :95].any()


def test_the_best_score_lies_on_top() -> None:
    names = ["plane", "ship"]
    drawn = draw_boxes(grey_image(), np.concatenate([SQUARE, SQUARE]) + 0.5, names, [0.9, 0.3], box_only=True)
    assert has_colour(drawn[60, 40], class_color("plane"))


def test_box_only_writes_no_text() -> None:
    image = grey_image()
    bare = draw_boxes(image, SQUARE, ["plane"], [0.9], box_only=True)
    captioned = draw_boxes(image, SQUARE, ["plane"], [0.9])
    outside = np.ones(image.shape[:2], bool)
    outside[38:83, 38:83] = False
    assert not changed(image, bare)[outside].any()
    assert changed(image, captioned)[outside].sum() > 100


def test_captions_hide_no_other_box() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(10.0, 180, 22), np.arange(10.0, 140, 22)))
    half = np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]])
    polygons = np.stack([x, y], axis=1)[:, None] + half
    names = ["small-vehicle"] * len(polygons)
    scores = np.linspace(0.5, 0.9, len(polygons))
    bare = draw_boxes(grey_image(), polygons, names, scores, box_only=True)
    inside = np.zeros((160, 200), np.uint8)
    cv2.fillPoly(inside, list(np.floor(polygons).astype(np.int32)), 1)
    polite = draw_boxes(grey_image(), polygons, names, scores)
    loud = draw_boxes(grey_image(), polygons, names, scores, every_caption=True)
    assert not changed(bare, polite)[inside == 1].any()
    assert changed(bare, loud)[inside == 1].any()


def test_a_large_box_leaves_room_for_the_captions_of_those_in_it() -> None:
    """A box over the whole picture, as photographs have them, would else leave none."""
    table = np.array([[0.0, 0, 199, 0, 199, 159, 0, 159]])
    boxes, names = np.concatenate([table, SQUARE]), ["dining table", "cup"]
    bare = draw_boxes(grey_image(), boxes, names, box_only=True)
    drawn = draw_boxes(grey_image(), boxes, names)
    caption = changed(bare, drawn)
    rows, columns = np.nonzero(caption)
    assert caption.sum() > 100
    assert rows.max() < 40
    assert columns.min() > 2


def test_the_head_is_the_first_edge() -> None:
    drawn = draw_boxes(grey_image(), SQUARE + 0.5, ["ship"], box_only=True, head=True)
    assert has_colour(drawn[40, 60], (255, 255, 255))
    assert has_colour(drawn[80, 60], class_color("ship"))


@pytest.mark.parametrize("colors", [{"ship": (200, 0, 250)}, [(200, 0, 250)]])
def test_colours_of_ones_own(colors: object) -> None:
    drawn = draw_boxes(grey_image(), SQUARE + 0.5, ["ship"], colors=colors, box_only=True)  # type: ignore[arg-type]
    assert has_colour(drawn[60, 40], (200, 0, 250))


def test_the_legend_is_in_the_lower_left_corner() -> None:
    image = grey_image()
    bare, drawn = (draw_boxes(image, SQUARE, ["ship"], box_only=True, legend=on) for on in (False, True))
    rows, columns = np.nonzero(changed(bare, drawn))
    assert rows.min() > 130
    assert columns.max() < 60
    assert len(rows) > 100


def test_a_class_of_ones_own_has_a_steady_colour() -> None:
    assert class_color("windmill") == class_color("windmill")
    assert class_color("windmill") in PALETTE


def test_a_grey_image_becomes_colour() -> None:
    assert draw_boxes(np.full((50, 60), 7, np.uint8), SQUARE).shape == (50, 60, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"labels": ["plane", "ship"]}, "2 labels for 1 polygons"),
        ({"scores": []}, "0 scores for 1 polygons"),
        ({"colors": []}, "0 colours for 1 polygons"),
    ],
)
def test_counts_that_differ_are_told(arguments: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        draw_boxes(grey_image(), SQUARE, **arguments)


@pytest.mark.parametrize("image", [np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))])
def test_what_is_no_image_is_told(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="uint8"):
        draw_boxes(image, SQUARE)


def test_a_contact_sheet_keeps_shapes_and_order() -> None:
    red = np.full((100, 50, 3), (0, 0, 255), np.uint8)
    blue = np.full((50, 100, 3), (255, 0, 0), np.uint8)
    sheet = contact_sheet([red, blue], columns=2, cell_wh=(80, 60), gap=4)
    assert sheet.shape == (4 + 60 + 4, 4 + 2 * 84, 3)
    is_red, is_blue = (np.argwhere((sheet == color).all(axis=2)) for color in ((0, 0, 255), (255, 0, 0)))
    assert np.ptp(is_red, axis=0).tolist() == [59, 29]
    assert np.ptp(is_blue, axis=0).tolist() == [39, 79]
    assert is_red[:, 1].max() < is_blue[:, 1].min()


def test_contact_sheet_refuses_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="at least one"):
        contact_sheet([])
    with pytest.raises(UserError, match="1 titles for 2 images"):
        contact_sheet([grey_image(), grey_image()], ["one"])
    assert contact_sheet([grey_image()] * 3, ["a", "b", "c"]).ndim == 3


def test_a_picture_is_written_whole_and_reads_back(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = write_png(tmp_path / "deep" / "a.png", image)
    assert (cv2.imread(str(path)) == image).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


def test_nothing_is_written_among_the_inputs_r15(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    source = images / "P0001.png"
    source.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(images)
    for target in (source, images / "new.png", images / "deep" / "new.png", tmp_path / "link" / "P0001.png"):
        with pytest.raises(UserError, match="would write into the input"):
            write_png(target, grey_image(), inputs=[images])
    with pytest.raises(UserError, match="would write into the input"):
        write_png(source, grey_image(), inputs=[source])
    assert source.read_bytes() == b"precious"
    assert len(list(images.iterdir())) == 1
    assert write_png(tmp_path / "out.png", grey_image(), inputs=[images, source]).exists()


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png"):
        write_png(tmp_path / "a.jpg", grey_image())
    assert not list(tmp_path.iterdir())


def test_only_own_pictures_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "P1.png"
    cv2.imwrite(str(path), grey_image())
    with pytest.raises(UserError, match="P1.png: would replace a picture that is not ours"):
        write_png(path, grey_image() + 1, protect_foreign=True)
    with pytest.raises(UserError, match="not ours"):
        check_overwritable(path)
    assert (cv2.imread(str(path)) == 90).all()
    write_png(path, grey_image() + 1)
    write_png(path, grey_image() + 2, protect_foreign=True)
    assert (cv2.imread(str(path)) == 92).all()
    check_overwritable(tmp_path / "new.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        write_png(tmp_path / "folder.png", grey_image(), protect_foreign=True)


def test_side_by_side() -> None:
    both = beside(np.full((4, 5, 3), 1, np.uint8), np.full((4, 5, 3), 2, np.uint8), gap=3)
    assert both.shape == (4, 13, 3)
    assert (both[:, :5] == 1).all()
    assert (both[:, 8:] == 2).all()
    with pytest.raises(UserError, match="one size"):
        beside(grey_image(), grey_image()[1:])

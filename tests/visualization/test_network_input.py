"""Pictures of network inputs."""

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.visualization.network_input import add_caption, draw_network_input

RED = {"ship": (255, 0, 0)}


def black(height=100, width=120):
    return np.zeros((height, width, 3), np.uint8)


def draw(*args, **options):
    return draw_network_input(*args, colors=RED, **options)


def test_the_outline_of_a_box_and_its_direction():
    picture = draw(black(), [[60.0, 50, 40, 20, 0]], ["ship"])
    red = picture[..., 2] > 100
    assert red[39:42, 45].any()
    assert red[59:62, 45].any()
    assert red[49:51, 70].any()  # the line from the center along the width, to the right
    assert not red[44:56, 44:56].any()
    assert not red[52:58, 62:78].any()
    turned = draw(black(), [[60.0, 50, 40, 20, np.pi / 2]], ["ship"])[..., 2] > 100
    assert turned[60, 58:62].any()
    assert not turned[40, 58:62].any()


def test_horizontal_boxes_have_no_direction():
    picture = draw(black(), [[40.0, 40, 80, 60]], ["ship"])[..., 2] > 100
    assert picture[39:42, 60].any()
    assert not picture[44:56, 44:76].any()


def test_ignored_boxes_are_dashed():
    solid = draw(black(), [[20.0, 20, 100, 80]], ["ship"])[..., 2] > 60
    dashed = draw(black(), np.zeros((0, 4)), [], [[20.0, 20, 100, 80]], ["ship"])[..., 2] > 60
    row = dashed[18:22, 24:96].any(axis=0)
    assert 0.3 < row.mean() < 0.85
    assert solid[18:22, 30:90].any(axis=0).mean() > 0.5
    assert dashed.sum() < solid.sum()


def test_the_border_of_the_padding_is_drawn():
    assert not draw(black(), np.zeros((0, 5)), [], image_wh=(120, 100)).any()
    picture = draw(black(), np.zeros((0, 5)), [], image_wh=(90, 100))
    assert picture[:, 88:91].any()
    assert not picture[2:-2, 95:].any()
    assert not picture[4:-4, 4:86].any()


def test_the_image_is_not_changed():
    image = black()
    draw(image, [[60.0, 50, 40, 20, 0]], ["ship"], image_wh=(90, 90))
    assert not image.any()


def test_large_images_have_a_legend():
    boxes = [[60.0, 50, 40, 20, 0]]
    assert draw(black(800, 600), boxes, ["ship"])[770:].any()
    assert not draw(black(790, 600), boxes, ["ship"])[760:].any()


def test_every_box_needs_a_label():
    with pytest.raises(UserError, match="labels must have one entry per polygon"):
        draw(black(), [[60.0, 50, 40, 20, 0]], [])


@pytest.mark.parametrize("width", [60, 128, 400, 2000])
def test_captions_break_between_parts(width):
    parts = ["P0706__1024__0___0.png", "1024 x 1024 -> 1024 x 1024 px", "flip none", "57 boxes, 2 ignored"]
    captioned = add_caption(black(40, width), parts)
    assert captioned.shape[1] == width
    assert not captioned[-40:].any()
    lines = (captioned.shape[0] - 44) // 16
    assert (lines == 1) == (width == 2000)
    assert (captioned[:-40] > 150).any()

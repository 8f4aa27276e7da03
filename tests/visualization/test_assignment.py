"""Pictures of assignments: points at the positives in the colors of their levels, windows around objects."""

import io

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from rotated_atss.analysis.assignment_trace import trace_atss
from rotated_atss.assign import atss_assign, square_priors
from rotated_atss.ops.boxes import obb_to_corners, obb_to_hbb
from rotated_atss.visualization.assignment import plot_assignment
from rotated_atss.visualization.assignment_object import TracePanel, crop_window, plot_ious, plot_object
from rotated_atss.visualization.level_style import LEVEL_COLORS, level_color, level_diameter, plot_points, show_window

STRIDES = (8, 16, 32, 64, 128)
GT_BOXES = torch.tensor([[60.0, 60, 50, 20, 0.6], [160, 150, 90, 80, -0.2], [20, 200, 12, 6, 0]])


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def has_color(image, html):
    bgr = np.array([int(html[i : i + 2], 16) for i in (5, 3, 1)])
    return bool((np.abs(image.astype(int) - bgr).max(-1) <= 12).sum() >= 4)


@pytest.fixture(scope="module")
def scene():
    """An image, priors, level sizes, corners of the objects and their traces."""
    priors, sizes, _ = square_priors((256, 256))
    image = np.full((256, 256, 3), 60, np.uint8)
    corners = obb_to_corners(GT_BOXES.double()).numpy()
    return image, priors, sizes, corners, [trace_atss(priors, sizes, GT_BOXES, index) for index in range(3)]


def overview(scene, **options):
    image, priors, sizes, corners, _ = scene
    gt_index = atss_assign(priors, sizes, GT_BOXES)[0]
    levels = zip(priors[:, :2].split(sizes), gt_index.split(sizes))
    points = [xy[assigned >= 0].double().numpy() for xy, assigned in levels]
    counts = [int((gt_index == index).sum()) for index in range(3)]
    return points, decode(plot_assignment(image, corners, points, options.pop("counts", counts), STRIDES, **options))


def test_overview_shows_every_level_with_positives_at_its_points(scene):
    points, picture = overview(scene)
    scale = 1280 / 256
    used = [level for level in range(5) if len(points[level])]
    assert len(used) > 1
    for level in used:
        assert has_color(picture[:, :1280], level_color(level))
        x, y = points[level][0]
        top = round(0.45 * 100 + y * scale)
        part = picture[top - 16 : top + 16, round(x * scale) - 16 : round(x * scale) + 16]
        assert any(has_color(part, level_color(other)) for other in range(level + 1))  # a finer level can cover it
    unused = set(range(5)) - set(used)
    assert not any(has_color(picture[45:, :1280], level_color(level)) for level in unused)
    assert all(has_color(picture[:, 1280:], color) for color in LEVEL_COLORS[:5])  # the legend


def test_overview_marks_objects_without_positives(scene):
    red = "#ff2d2d"
    assert not has_color(overview(scene)[1], red)
    assert has_color(overview(scene, counts=[3, 5, 0])[1][:, :1280], red)


def test_overview_of_no_object_and_of_a_wide_image():
    none = np.empty((0, 4, 2))
    picture = decode(plot_assignment(np.zeros((40, 3000, 3), np.uint8), none, [np.empty((0, 2))], [], [8]))
    assert 300 < picture.shape[0] < 600
    assert 1800 <= picture.shape[1] <= 2400


def test_window_shows_the_object_and_the_candidates_of_levels_with_positives(scene):
    *_, corners, traces = scene
    for polygon, trace in zip(corners, traces):
        left, top, right, bottom = crop_window([TracePanel("", trace, polygon, polygon)])
        assert right - left == pytest.approx(bottom - top)
        points = np.concatenate((polygon, trace.prior_centers[trace.is_positive].numpy()))
        assert ((points > (left, top)) & (points < (right, bottom))).all()


def test_window_without_positives_and_without_candidates(scene):
    from dataclasses import replace

    *_, corners, traces = scene
    none = torch.zeros(0, dtype=torch.int64)
    columns = dict.fromkeys(("prior_index", "level", "distance", "iou", "assigned_to"), none)
    empty = replace(
        traces[0], **columns, prior_centers=torch.zeros(0, 2), above_threshold=none > 0, center_inside=none > 0
    )
    panel = TracePanel("", empty, corners[0], corners[0])
    left, _, right, _ = crop_window([panel])
    assert right - left > 36
    assert decode(plot_object(scene[0], [panel], STRIDES)) is not None


def test_object_figure_has_a_column_per_panel(scene):
    image, priors, sizes, corners, traces = scene
    hbb = trace_atss(obb_to_hbb(priors), sizes, obb_to_hbb(GT_BOXES), 1)
    compared = obb_to_corners(torch.tensor([[160.0, 150, 104.1, 96.3, 0]]).double()).numpy()[0]
    panels = [
        TracePanel("hbb", hbb, compared, corners[1], compared),
        TracePanel("obb", traces[1], corners[1], corners[1]),
    ]
    two = decode(plot_object(image, panels, STRIDES, others=corners[:1], title="object 1"))
    one = decode(plot_object(image, panels[1:], STRIDES))
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] == 2 * one.shape[1]
    level = int(traces[1].level[traces[1].is_positive][0])
    assert has_color(two, level_color(level))


def test_ious_are_plotted_once_per_candidate_on_the_row_of_their_level(scene):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    trace = scene[-1][0]
    plot_ious(ax, trace, STRIDES)
    # hollow points are two lines, one of them the dark rim
    colored = [line for line in ax.lines if line.get_marker() in "osD^v" and line.get_markeredgewidth() != 2.2]
    values = np.concatenate([line.get_xydata() for line in colored])
    assert np.sort(values[:, 0]) == pytest.approx(np.sort(trace.iou.numpy()))
    for level in range(5):
        on_row = values[np.abs(values[:, 1] - level) < 0.5]
        assert len(on_row) == int((trace.level == level).sum())
    assert ax.lines[1].get_xdata()[0] == trace.threshold


def test_markers_of_coarse_levels_are_larger():
    diameters = [level_diameter(level) for level in range(7)]
    assert diameters == sorted(diameters)
    assert len(set(diameters)) == 7


def test_window_beyond_the_image_is_gray():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2), dpi=100)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    show_window(ax, np.zeros((10, 10, 3), np.uint8), (-10, 0, 10, 20))
    plot_points(ax, np.empty((0, 2)), 0, 5.0)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    picture = decode(png.getvalue())
    assert picture[50, 50].tolist() == [217, 217, 217]  # left of the image
    assert picture[50, 150].tolist() == [0, 0, 0]
    assert picture[150, 150].tolist() == [217, 217, 217]  # below it


def test_names_from_files_and_boxes_far_outside_are_drawn(scene, recwarn):
    """Matplotlib reads formulas between dollar signs, lacks letters, and cannot write text far outside the picture."""
    image, _, _, corners, traces = scene
    title, far = "$x^{ and 車, \\frac", np.concatenate([corners, corners[:1] * 1e6 - 1e7, corners[:1] * -1e6])
    points = [np.empty((0, 2))] * 5
    assert decode(plot_assignment(image, far, points, [1, 1, 1, 1, 0], STRIDES, ignored=far, title=title)).any()
    panel = TracePanel("obb", traces[0], corners[0], corners[0])
    assert decode(plot_object(image, [panel], STRIDES, others=far, title=title)).any()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]

"""Counts of positives on hand-counted cases, text tables and plots."""

import json
import math

import numpy as np
import pytest
import torch

from rotated_atss.analysis.group_edges import ANGLE_EDGES_DEG
from rotated_atss.analysis.positive_counts import BoxShapes, PositiveCounts, summarize
from rotated_atss.analysis.positive_tables import format_report


def two_images():
    """Three boxes in two images with 2, 0 and 3 positives on levels of 4 and 2 priors."""
    shapes, counts = BoxShapes(oriented=True), PositiveCounts([8, 16], expected=1.8)
    shapes.add(torch.tensor([[50.0, 50, 20, 5, 0.0], [9, 9, 4, 100, math.pi / 4]]))
    counts.add(torch.tensor([0, -1, -2, 0, -1, -1]), [4, 2], 2, above_threshold=torch.tensor([4, 2]))
    shapes.add(torch.tensor([[0.0, 0, 300, 300, -0.1]]))
    counts.add(torch.tensor([-1, 0, -2, -2, 0, 0]), [4, 2], 1, above_threshold=torch.tensor([3]))
    return shapes, counts


def test_counts_by_hand():
    shapes, counts = two_images()
    report = summarize(shapes, {"atss": counts})
    summary = report["assigners"]["atss"]
    assert report["objects"] == 3
    assert counts.positives.tolist() == [2, 0, 3]
    assert (summary["positives"], summary["without"], summary["expected_per_object"]) == (5, 1, 1.8)
    assert summary["positives_per_object"] == pytest.approx(5 / 3)
    assert summary["by_level"] == {"8": 3, "16": 2}
    assert summary["objects_by_positives"] == [1, 0, 1, 1]
    assert summary["by_size"] == [
        {"from": 8, "to": 16, "objects": 1, "positives_per_object": 2.0, "without": 0},
        {"from": 16, "to": 32, "objects": 1, "positives_per_object": 0.0, "without": 1},
        {"from": 256, "to": 512, "objects": 1, "positives_per_object": 3.0, "without": 0},
    ]
    assert [(g["from"], g["objects"]) for g in summary["by_aspect"]] == [(1, 1), (3, 1), (8, 1)]
    assert summary["by_aspect"][-1]["to"] is None
    # 0 degrees; the long side of 4 x 100 at 45 degrees points to 135, which is -45; a square at -5.7
    assert [(g["from"], g["objects"]) for g in summary["by_angle"]] == [(-45, 1), (-15, 1), (0, 1)]
    json.dumps(report, allow_nan=False)


def test_every_box_is_in_one_group_per_grouping():
    draw = torch.Generator().manual_seed(0)
    unit = torch.rand(500, 5, generator=draw)
    boxes = torch.cat((unit[:, :2] * 1000, (unit[:, 2:4] * 7).exp(), unit[:, 4:] * 20 - 10), 1)
    boxes[:4, 4] = torch.tensor([math.pi / 2, -math.pi / 2, math.pi, 0])
    shapes, counts = BoxShapes(oriented=True), PositiveCounts([8])
    shapes.add(boxes)
    counts.add(torch.arange(500), [500], 500)
    summary = summarize(shapes, {"atss": counts})["assigners"]["atss"]
    for grouping in ("size", "aspect", "angle"):
        assert sum(group["objects"] for group in summary[f"by_{grouping}"]) == 500
    angle = np.concatenate(shapes.angle)
    assert angle.min() >= ANGLE_EDGES_DEG[0]
    assert angle.max() < ANGLE_EDGES_DEG[-1]


def test_horizontal_boxes_have_no_angle():
    shapes, counts = BoxShapes(oriented=False), PositiveCounts([8])
    shapes.add(torch.tensor([[10.0, 10, 30, 90]]))
    counts.add(torch.tensor([0]), [1], 1)
    summary = summarize(shapes, {"config": counts})["assigners"]["config"]
    assert "by_angle" not in summary
    assert summary["by_size"][0]["from"] == 32
    assert summary["by_aspect"][0]["from"] == 3


def test_text_tables():
    shapes, counts = two_images()
    other = PositiveCounts([8, 16])
    other.add(torch.tensor([0, 1, 1, 1, 1, 1]), [4, 2], 2)
    other.add(torch.tensor([-1] * 6), [4, 2], 1)
    text = format_report(summarize(shapes, {"first": counts, "second": other}))
    lines = {line[:26].strip(): line.split()[-6:] for line in text.splitlines()}
    assert text.splitlines()[0].split() == ["first", "second"]
    assert lines["positives per box"][-2:] == ["1.67", "2.00"]
    assert lines["the paper's 0.2 k L"][-2:] == ["1.80", "-"]
    assert lines["before the center test"][-2:] == ["3.00", "-"]
    assert lines["boxes without positives"] == ["1", "(33", "%)", "1", "(33", "%)"]
    assert lines["16 to 32"] == ["0.00", "100", "%", "5.00", "0", "%"]
    assert lines["stride 16"][-6:] == ["2", "(40", "%)", "2", "(33", "%)"]
    assert "-45 to -30" in lines
    assert "from 8" in lines


@pytest.mark.parametrize("oriented", [True, False])
def test_plot_is_a_png_with_bars_of_every_assigner(oriented):
    pytest.importorskip("matplotlib")
    import cv2

    from rotated_atss.analysis.plotting import COLORS
    from rotated_atss.analysis.positive_plots import plot_report

    shapes = BoxShapes(oriented)
    shapes.add(torch.tensor([[30.0, 30, 70, 70, 0.5], [0, 0, 20, 30, 0]])[:, : 5 if oriented else 4])
    counts = PositiveCounts([8, 16], expected=9.0)
    counts.add(torch.tensor([0, 0, 1] + [1] * 30), [20, 13], 2)
    image = cv2.imdecode(
        np.frombuffer(plot_report(summarize(shapes, {"a": counts, "b": counts}), "title"), np.uint8), cv2.IMREAD_COLOR
    )
    assert image.shape[0] > 500
    assert image.shape[1] > 1000
    for color in COLORS[:2]:
        bgr = [int(color[i : i + 2], 16) for i in (5, 3, 1)]
        assert int((image == bgr).all(2).sum()) > 1000


def test_legend_covers_no_bars(monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from rotated_atss.analysis.positive_plots import plot_report

    figures = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kwargs: (figures.append(self), savefig(self, *args, **kwargs))
    )
    shapes = BoxShapes(True)
    shapes.add(torch.tensor([[30.0, 30, 70, 70, 0.5], [0, 0, 20, 30, 0]]))
    for gt_index, texts in ((torch.tensor([0, 1]), ["none"]), (torch.tensor([0, 0]), [])):
        counts = PositiveCounts([8], expected=9.0)
        counts.add(gt_index, [2], 2)
        plot_report(summarize(shapes, {"a": counts}))
        axes = figures[-1].axes
        assert [text.get_text() for text in axes[3].texts] == texts
        assert not any(axis.get_legend() for axis in axes)
        assert len(figures[-1].legends) == 1
        assert all(axis.get_ylim()[1] > 9 for axis in axes[:3])  # the line of the expected number is visible
        legend = figures[-1].legends[0].get_window_extent()
        assert not any(legend.overlaps(axis.get_window_extent()) for axis in axes)

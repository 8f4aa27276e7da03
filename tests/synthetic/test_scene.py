"""Rendered scenes: reproducible, with exact labels of DOTA's classes."""

from __future__ import annotations

from collections import Counter
from functools import cache

import cv2
import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.synthetic import DIFFICULTIES, Scene, SceneObject, render_scene
from rotated_atss.synthetic.shapes import extent_of
from rotated_atss.synthetic.site import MIN_VISIBLE_SHARE, visible_share

NAMES = {
    *("plane", "helicopter", "ship", "harbor", "small-vehicle", "large-vehicle", "storage-tank"),
    *("tennis-court", "basketball-court", "baseball-diamond", "swimming-pool"),
}
LONGER_THAN_WIDE = {"ship", "harbor", "small-vehicle", "large-vehicle", "tennis-court", "basketball-court"}
# class -> shortest and longest side of its boxes, pixels, at normal difficulty
SIDES = {
    "plane": (30, 100),
    "helicopter": (28, 64),
    "ship": (6, 160),
    "harbor": (9, 140),
    "small-vehicle": (6, 28),
    "large-vehicle": (9, 72),
    "storage-tank": (20, 80),
    "tennis-court": (32, 100),
    "basketball-court": (26, 80),
    "baseball-diamond": (60, 110),
    "swimming-pool": (9, 56),
}


@cache
def scene(index: int) -> Scene:
    return render_scene(3, index)


def all_objects() -> list[SceneObject]:
    objects = [obj for index in range(3) for obj in scene(index).objects]
    assert len(objects) > 200
    return objects


def sides(obj: SceneObject) -> np.ndarray:
    """Lengths of the four edges, front first, (4,)."""
    return np.linalg.norm(np.roll(obj.polygon, -1, axis=0) - obj.polygon, axis=1)


def test_scene_depends_on_seed_and_index_only() -> None:
    render_scene(9, 9, size_wh=(200, 200))  # earlier renderings have no influence
    again = render_scene(3, 1)
    assert (again.image == scene(1).image).all()
    assert [(t.name, t.difficult, t.polygon.tolist()) for t in again.objects] == [
        (t.name, t.difficult, t.polygon.tolist()) for t in scene(1).objects
    ]


@pytest.mark.parametrize(("seed", "index"), [(3, 2), (4, 1), (1, 3)])
def test_other_seeds_and_indices_give_other_scenes(seed: int, index: int) -> None:
    other = render_scene(seed, index, size_wh=(240, 200))
    reference = render_scene(3, 1, size_wh=(240, 200))
    assert other.image.shape != reference.image.shape or (other.image != reference.image).mean() > 0.5


def test_image_size_is_close_to_the_requested_size() -> None:
    for index in range(3):
        image = scene(index).image
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert abs(image.shape[1] / 880 - 1) <= 0.101
        assert abs(image.shape[0] / 720 - 1) <= 0.101


def test_two_consecutive_scenes_contain_every_class() -> None:
    counts = [Counter(obj.name for obj in scene(index).objects) for index in range(3)]
    assert set().union(*counts) == NAMES <= set(CLASSES["v1.0"])
    for first, second in zip(counts, counts[1:]):
        assert set(first) | set(second) == NAMES
    total = sum(counts, Counter())
    assert min(total.values()) >= 6  # 25 in 12 scenes


def test_polygons_are_clockwise_rectangles() -> None:
    for obj in all_objects():
        edges = np.roll(obj.polygon, -1, axis=0) - obj.polygon
        assert obj.polygon.shape == (4, 2)
        np.testing.assert_allclose(edges[:2], -edges[2:], atol=1e-6)
        assert abs(edges[0] @ edges[1]) < 1e-6 * np.prod(sides(obj)[:2])
        assert edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0] > 0


def test_box_sizes_fit_their_class() -> None:
    for obj in all_objects():
        low, high = SIDES[obj.name]
        assert low <= sides(obj).min(), (obj.name, sides(obj))
        assert sides(obj).max() <= high, (obj.name, sides(obj))


def test_front_is_a_short_side_of_elongated_objects() -> None:
    for obj in all_objects():
        if obj.name in LONGER_THAN_WIDE:
            assert sides(obj)[0] < sides(obj)[1]


def test_boxes_are_mostly_inside_the_image() -> None:
    reaching = 0
    for index in range(3):
        height, width = scene(index).image.shape[:2]
        for obj in scene(index).objects:
            assert visible_share(obj.polygon, (width, height)) >= MIN_VISIBLE_SHARE
            assert (obj.polygon.mean(axis=0) > 0).all()
            assert (obj.polygon.mean(axis=0) < (width, height)).all()
            reaching += bool((obj.polygon < 0).any() or (obj.polygon > (width, height)).any())
    assert reaching > 5


def test_headings_cover_the_full_circle() -> None:
    for name in ("small-vehicle", "ship"):
        fronts = [obj.polygon[0] - obj.polygon[3] for obj in all_objects() if obj.name == name]
        octants = {int((np.arctan2(y, x) + np.pi) // (np.pi / 4)) % 8 for x, y in fronts}
        assert len(octants) >= 6


def test_labeled_objects_do_not_overlap() -> None:
    for index in range(3):
        quads = [obj.polygon.astype(np.float32) for obj in scene(index).objects]
        centers = np.array([quad.mean(axis=0) for quad in quads])
        for i, quad in enumerate(quads):
            for j in np.flatnonzero(np.linalg.norm(centers - centers[i], axis=1) < 90):
                if j > i:
                    common, _ = cv2.intersectConvexConvex(quad, quads[j])
                    assert common <= 0.1 * min(cv2.contourArea(quad), cv2.contourArea(quads[j]))


def test_axis_aligned_boxes_of_neighbors_overlap() -> None:
    """Axis-aligned boxes of neighbors overlap although the oriented ones do not, so rotated NMS is needed."""
    crowded = 0
    for index in range(3):
        for name in ("small-vehicle", "ship"):
            boxes = np.array([extent_of(t.polygon) for t in scene(index).objects if t.name == name])
            low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
            high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
            common = np.clip(high - low, 0, None).prod(axis=2)
            area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            crowded += int((np.triu(common / (area[:, None] + area[None] - common), 1) > 0.1).sum())
    assert crowded > 50


def test_objects_contrast_with_their_surroundings() -> None:
    """Per class, pixels inside the boxes differ from those just around them."""
    contrast: dict[str, list[float]] = {name: [] for name in NAMES}
    for index in range(3):
        image = scene(index).image.astype(np.float32)
        for obj in scene(index).objects:
            inner, outer = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
            middle = obj.polygon.mean(axis=0)
            cv2.fillPoly(inner, [np.round(middle + 0.8 * (obj.polygon - middle)).astype(np.int32)], 1)
            cv2.fillPoly(outer, [np.round(middle + 1.3 * (obj.polygon - middle)).astype(np.int32)], 1)
            cv2.fillPoly(outer, [np.round(obj.polygon).astype(np.int32)], 0)
            if inner.any() and outer.any():
                spread = image[inner == 1].std(axis=0).max() - image[outer == 1].std(axis=0).max()
                mean = np.abs(image[inner == 1].mean(axis=0) - image[outer == 1].mean(axis=0)).max()
                contrast[obj.name].append(max(float(mean), float(spread)))
    assert {name: np.median(values) for name, values in contrast.items() if np.median(values) < 8} == {}


def test_difficulty_increases_occlusion_and_noise() -> None:
    scenes = {
        name: [render_scene(1, i, size_wh=(500, 420), difficulty=name) for i in range(2)] for name in DIFFICULTIES
    }
    noise = {n: [_local_noise(s.image) for s in many] for n, many in scenes.items()}
    flags = {n: sum(t.difficult for s in many for t in s.objects) for n, many in scenes.items()}
    assert flags["easy"] == 0 < flags["hard"]
    assert max(noise["easy"]) < min(noise["normal"])
    assert max(noise["normal"]) < min(noise["hard"])


def _local_noise(image: np.ndarray) -> float:
    """Median difference of neighboring pixels, which edges hardly influence."""
    return float(np.median(np.abs(np.diff(image.astype(int), axis=1))))


def test_unknown_difficulty_is_rejected() -> None:
    with pytest.raises(UserError, match=r"unknown difficulty 'brutal'.*easy, normal, hard"):
        render_scene(0, 0, difficulty="brutal")


@pytest.mark.parametrize("size_wh", [(160, 160), (170, 600), (900, 180)])
def test_small_and_narrow_scenes_render(size_wh: tuple[int, int]) -> None:
    for index in range(4):
        made = render_scene(0, index, size_wh=size_wh)
        assert made.image.std() > 5

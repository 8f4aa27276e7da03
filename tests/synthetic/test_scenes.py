"""Generated scenes: the same from the same seed, their labels exact, their folders safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.synthetic import (
    DIFFICULTIES,
    Scene,
    SceneObject,
    aircraft,
    generate_scenes,
    generate_splits,
    grounds,
    render_scene,
    vehicles,
    vessels,
)
from rotated_atss.synthetic.canvas import Canvas
from rotated_atss.synthetic.clutter import tree
from rotated_atss.synthetic.layout import make_plan
from rotated_atss.synthetic.shapes import extent_of, turned
from rotated_atss.synthetic.site import MIN_VISIBLE, Site, Sun, visible_share
from rotated_atss.synthetic.sprite import Pose, Sprite
from rotated_atss.synthetic.terrain import CLIMATES

NAMES = {
    *("plane", "helicopter", "ship", "harbor", "small-vehicle", "large-vehicle", "storage-tank"),
    *("tennis-court", "basketball-court", "baseball-diamond", "swimming-pool"),
}
LONGER_THAN_WIDE = {"ship", "harbor", "small-vehicle", "large-vehicle", "tennis-court", "basketball-court"}
# class -> shortest and longest side of its boxes, in pixels, at the usual difficulty
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
SPRITES: dict[str, Callable[[np.random.Generator], Sprite]] = {
    "car": lambda rng: vehicles.car(rng, 1.0),
    "lorry": lambda rng: vehicles.large_vehicle(rng, 1.0, "lorry"),
    "tanker": lambda rng: vehicles.large_vehicle(rng, 1.0, "tanker"),
    "bus": lambda rng: vehicles.large_vehicle(rng, 1.0, "bus"),
    "jet": lambda rng: aircraft.plane(rng, 1.0, "jet"),
    "propeller": lambda rng: aircraft.plane(rng, 1.0, "propeller"),
    "fighter": lambda rng: aircraft.plane(rng, 1.0, "fighter"),
    "helicopter": lambda rng: aircraft.helicopter(rng, 1.0),
    "boat": lambda rng: vessels.boat(rng, 1.0),
    "freighter": lambda rng: vessels.freighter(rng, 1.0),
    "pier": lambda rng: vessels.pier(rng, 100.0, 14.0),
    "diamond": lambda rng: grounds.baseball_diamond(rng, 1.0),
    "pool": lambda rng: grounds.swimming_pool(rng, 1.0),
    "tank": lambda rng: grounds.storage_tank(rng, 1.0),
}


@cache
def scene(index: int) -> Scene:
    return render_scene(3, index)


def all_objects() -> list[SceneObject]:
    things = [thing for index in range(3) for thing in scene(index).objects]
    assert len(things) > 200
    return things


def sides(thing: SceneObject) -> np.ndarray:
    """Lengths of the four edges, the head first, (4,)."""
    return np.linalg.norm(np.roll(thing.polygon, -1, axis=0) - thing.polygon, axis=1)


def blank_site(size: int = 200) -> Site:
    site = Site(
        Canvas((size, size), np.random.default_rng(0)),
        CLIMATES[0],
        Sun(np.array([1.0, 0.0]), 1.0),
        replace(DIFFICULTIES["normal"], shadow=0.5),
        1.0,
        np.random.default_rng(0),
    )
    site.canvas.pixels[:] = 118
    return site


# -- the same from the same seed ---------------------------------------------------------------------------------------


def test_a_scene_depends_on_its_seed_and_number_alone() -> None:
    render_scene(9, 9, size_wh=(200, 200))  # what was rendered before does not matter
    again = render_scene(3, 1)
    assert (again.image == scene(1).image).all()
    assert [(t.name, t.difficult, t.polygon.tolist()) for t in again.objects] == [
        (t.name, t.difficult, t.polygon.tolist()) for t in scene(1).objects
    ]


@pytest.mark.parametrize(("seed", "index"), [(3, 2), (4, 1), (1, 3)])
def test_another_seed_or_number_is_another_scene(seed: int, index: int) -> None:
    other = render_scene(seed, index, size_wh=(240, 200))
    here = render_scene(3, 1, size_wh=(240, 200))
    assert other.image.shape != here.image.shape or (other.image != here.image).mean() > 0.5


def test_files_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        generate_scenes(tmp_path / str(workers), 3, size_wh=(240, 200), workers=workers, progress=False)
    one, two = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("1", "2"))
    assert [p.name for p in one] == [p.name for p in two]
    assert len(one) == 7
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two))


# -- labels ------------------------------------------------------------------------------------------------------------


def test_images_are_larger_than_a_tile_and_near_the_size_asked_for() -> None:
    for index in range(3):
        image = scene(index).image
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert abs(image.shape[1] / 880 - 1) <= 0.101
        assert abs(image.shape[0] / 720 - 1) <= 0.101


def test_every_scene_or_two_holds_every_class_and_only_dota_classes() -> None:
    counts = [Counter(thing.name for thing in scene(index).objects) for index in range(3)]
    assert set().union(*counts) == NAMES <= set(CLASSES["v1.0"])
    for first, second in zip(counts, counts[1:]):
        assert set(first) | set(second) == NAMES
    total = sum(counts, Counter())
    assert min(total.values()) >= 6  # 25 in 12 scenes


def test_polygons_are_rectangles_and_run_clockwise() -> None:
    for thing in all_objects():
        edges = np.roll(thing.polygon, -1, axis=0) - thing.polygon
        assert thing.polygon.shape == (4, 2)
        np.testing.assert_allclose(edges[:2], -edges[2:], atol=1e-6)
        assert abs(edges[0] @ edges[1]) < 1e-6 * np.prod(sides(thing)[:2])
        assert edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0] > 0


def test_boxes_have_the_size_of_their_class() -> None:
    for thing in all_objects():
        low, high = SIDES[thing.name]
        assert low <= sides(thing).min() and sides(thing).max() <= high, (thing.name, sides(thing))


def test_the_head_is_a_short_side_where_things_are_long() -> None:
    for thing in all_objects():
        if thing.name in LONGER_THAN_WIDE:
            assert sides(thing)[0] < sides(thing)[1]


def test_boxes_lie_in_the_image_or_reach_out_a_little() -> None:
    reaching = 0
    for index in range(3):
        height, width = scene(index).image.shape[:2]
        for thing in scene(index).objects:
            assert visible_share(thing.polygon, (width, height)) >= MIN_VISIBLE
            assert (thing.polygon.mean(axis=0) > 0).all()
            assert (thing.polygon.mean(axis=0) < (width, height)).all()
            reaching += bool((thing.polygon < 0).any() or (thing.polygon > (width, height)).any())
    assert reaching > 5


def test_headings_go_all_around() -> None:
    for name in ("small-vehicle", "ship"):
        heads = [thing.polygon[0] - thing.polygon[3] for thing in all_objects() if thing.name == name]
        octants = {int((np.arctan2(y, x) + np.pi) // (np.pi / 4)) % 8 for x, y in heads}
        assert len(octants) >= 6


def test_labelled_objects_do_not_overlap() -> None:
    for index in range(3):
        quads = [thing.polygon.astype(np.float32) for thing in scene(index).objects]
        centres = np.array([quad.mean(axis=0) for quad in quads])
        for i, quad in enumerate(quads):
            for j in np.flatnonzero(np.linalg.norm(centres - centres[i], axis=1) < 90):
                if j > i:
                    common, _ = cv2.intersectConvexConvex(quad, quads[j])
                    assert common <= 0.1 * min(cv2.contourArea(quad), cv2.contourArea(quads[j]))


def test_rows_are_dense() -> None:
    """Circumscribed boxes of neighbours overlap where oriented ones do not: what rotated NMS is for."""
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


# -- what is painted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SPRITES)
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, -1.2])
def test_the_box_is_tight_about_what_is_painted(kind: str, angle: float) -> None:
    sprite, canvas = SPRITES[kind](np.random.default_rng(5)), Canvas((200, 200), np.random.default_rng(0))
    canvas.pixels[:] = (255, 0, 255)  # nothing is painted in this colour
    pose = Pose(100.3, 99.6, angle)
    canvas.paint(sprite.parts, pose, np.array([1.0, 0.0]))
    rows, columns = np.nonzero(np.abs(canvas.pixels.astype(int) - (255, 0, 255)).max(axis=2) > 20)
    painted = np.stack([(columns + 0.5) / 2, (rows + 0.5) / 2], axis=1)
    local = turned(painted - (pose.x, pose.y), -angle)
    np.testing.assert_allclose(extent_of(local), sprite.extent, atol=1.0)
    hull = cv2.contourArea(cv2.convexHull(local.astype(np.float32)))
    assert hull > 0.5 * np.prod(np.subtract(sprite.extent[2:], sprite.extent[:2]))


@pytest.mark.parametrize("build", [grounds.tennis_court, grounds.basketball_court])
def test_the_box_of_a_court_ends_at_its_outer_lines(build: Callable[[np.random.Generator, float], Sprite]) -> None:
    sprite, canvas = build(np.random.default_rng(1), 1.0), Canvas((200, 200), np.random.default_rng(0))
    parts = sprite.parts[:-2] if build is grounds.tennis_court else sprite.parts  # a net reaches past the lines
    canvas.paint(parts, Pose(100, 100, 0.0), np.array([1.0, 0.0]))
    white = (np.argwhere((canvas.pixels > 200).all(axis=2))[:, ::-1] + 0.5) / 2 - 100
    np.testing.assert_allclose(extent_of(white), sprite.extent, atol=0.5)


@pytest.mark.parametrize("kind", ["car", "lorry", "jet", "boat", "tank"])
def test_the_shadow_falls_away_from_the_sun_and_outside_the_box(kind: str) -> None:
    site = blank_site()
    sprite = SPRITES[kind](np.random.default_rng(2))
    assert site.place(sprite, Pose(100.0, 100.0, 0.4))
    bare = site.canvas.pixels.copy()
    site.paint_layers()
    quad = np.round(site.objects[0].polygon * 2).astype(np.int32)
    outside = cv2.fillPoly(np.ones(bare.shape[:2], np.uint8), [quad], 0)
    dark = (site.canvas.pixels.astype(int).sum(axis=2) < bare.astype(int).sum(axis=2) - 60) & (outside == 1)
    assert dark.sum() > 40
    assert np.nonzero(dark)[1].mean() < 200  # the sun stands at +x


def test_things_differ_from_their_surroundings() -> None:
    """Within each class the pixels inside the boxes are unlike those just around them."""
    contrast: dict[str, list[float]] = {name: [] for name in NAMES}
    for index in range(3):
        image = scene(index).image.astype(np.float32)
        for thing in scene(index).objects:
            inner, outer = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
            middle = thing.polygon.mean(axis=0)
            cv2.fillPoly(inner, [np.round(middle + 0.8 * (thing.polygon - middle)).astype(np.int32)], 1)
            cv2.fillPoly(outer, [np.round(middle + 1.3 * (thing.polygon - middle)).astype(np.int32)], 1)
            cv2.fillPoly(outer, [np.round(thing.polygon).astype(np.int32)], 0)
            if inner.any() and outer.any():
                spread = image[inner == 1].std(axis=0).max() - image[outer == 1].std(axis=0).max()
                mean = np.abs(image[inner == 1].mean(axis=0) - image[outer == 1].mean(axis=0)).max()
                contrast[thing.name].append(max(float(mean), float(spread)))
    assert {name: np.median(values) for name, values in contrast.items() if np.median(values) < 8} == {}


# -- difficulty --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "labels"), [(30.0, [0]), (7.0, [1]), (0.0, [])])
def test_trees_over_a_car_make_it_difficult_and_then_hide_it(shift: float, labels: list[int]) -> None:
    site = blank_site()
    site.place(vehicles.car(site.rng, 1.0), Pose(100, 100, 0.0))
    crown = tree(np.random.default_rng(0), CLIMATES[0].leaves, 24.0 if shift == 0 else 16.0)
    site.place(crown, Pose(100 + shift, 100, 0.0), layer="tall")
    assert [thing.difficult for thing in site.labels()] == labels


def test_tiny_objects_are_difficult() -> None:
    site = blank_site()
    site.place(vehicles.car(site.rng, 0.5), Pose(100, 100, 0.3))
    assert [thing.difficult for thing in site.labels()] == [1]


def test_harder_scenes_hide_more_and_are_noisier() -> None:
    scenes = {
        name: [render_scene(1, i, size_wh=(500, 420), difficulty=name) for i in range(2)] for name in DIFFICULTIES
    }
    noise = {n: [_local_noise(s.image) for s in many] for n, many in scenes.items()}
    flags = {n: sum(t.difficult for s in many for t in s.objects) for n, many in scenes.items()}
    assert flags["easy"] == 0 < flags["hard"]
    assert max(noise["easy"]) < min(noise["normal"])
    assert max(noise["normal"]) < min(noise["hard"])


def _local_noise(image: np.ndarray) -> float:
    """Median difference of neighbouring pixels: edges are rare, noise is everywhere."""
    return float(np.median(np.abs(np.diff(image.astype(int), axis=1))))


def test_an_unknown_difficulty_is_told() -> None:
    with pytest.raises(UserError, match="unknown difficulty 'brutal'.*easy, normal, hard"):
        render_scene(0, 0, difficulty="brutal")


@pytest.mark.parametrize("size_wh", [(160, 160), (170, 600), (900, 180)])
def test_small_and_narrow_scenes_work(size_wh: tuple[int, int]) -> None:
    for index in range(4):
        made = render_scene(0, index, size_wh=size_wh)
        assert made.image.std() > 5


def test_a_plan_covers_the_land_without_overlap() -> None:
    plan = make_plan((880, 720), np.random.default_rng(4))
    cover = np.zeros((720, 880), np.uint8)
    for block in plan.blocks:
        one = cv2.fillPoly(np.zeros_like(cover), [np.round(block.outline(1.0)).astype(np.int32)], 1)
        assert not (cover & one).any()
        cover |= one
    assert cover.mean() > 0.45
    assert len(plan.blocks) >= 7


# -- folders -----------------------------------------------------------------------------------------------------------


def test_the_folder_is_a_dota_folder(tmp_path: Path) -> None:
    names = generate_scenes(tmp_path, 2, size_wh=(300, 260), seed=5, first=5, prefix="T", progress=False)
    assert names == ["T0005", "T0006"]
    flags = set()
    for name in names:
        image = cv2.imread(str(tmp_path / "images" / f"{name}.png"))
        made = render_scene(5, int(name[1:]), size_wh=(300, 260))
        labels = read_labels(tmp_path / "labelTxt" / f"{name}.txt", CLASSES["v1.0"])
        assert (image == made.image).all()
        assert labels.names == tuple(thing.name for thing in made.objects)
        assert labels.difficult.tolist() == [thing.difficult for thing in made.objects]
        flags.update(labels.difficult.tolist())
        np.testing.assert_allclose(labels.polygons, [t.polygon.ravel() for t in made.objects], atol=0.00501)
        assert labels.header == ("imagesource:generated", "gsd:null")
    assert flags == {0, 1}
    assert {path.name for path in tmp_path.iterdir()} == {"images", "labelTxt", "scenes.json"}


def test_splits_share_no_scene(tmp_path: Path) -> None:
    ids = generate_splits(tmp_path, {"train": 2, "val": 1}, size_wh=(200, 180), workers=1, progress=False)
    assert ids == {"train": ["S0000", "S0001"], "val": ["S0002"]}
    assert sorted(p.stem for p in tmp_path.glob("*/images/*.png")) == ["S0000", "S0001", "S0002"]


def test_a_folder_of_ours_is_filled_anew_and_other_files_stay(tmp_path: Path) -> None:
    generate_scenes(tmp_path, 2, size_wh=(180, 180), workers=1, progress=False)
    (tmp_path / "images" / "mine.png").write_bytes(b"mine")
    generate_scenes(tmp_path, 1, size_wh=(180, 180), seed=1, first=5, workers=1, progress=False)
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["S0005.png", "mine.png"]
    assert [p.name for p in (tmp_path / "labelTxt").iterdir()] == ["S0005.txt"]


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "P0001.png").write_bytes(b"precious")
    with pytest.raises(UserError, match="holds no generated scenes"):
        generate_scenes(tmp_path, 1, progress=False)
    assert [p.name for p in tmp_path.rglob("*")] == ["images", "P0001.png"]
    with pytest.raises(UserError, match="not a folder"):
        generate_scenes(tmp_path / "images" / "P0001.png", 1, progress=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "at least 1 scene"),
        ({"size_wh": (100, 300)}, "100 x 300"),
        ({"seed": -1}, "0 or more"),
        ({"workers": 0}, "at least 1 worker"),
        ({"difficulty": "brutal"}, "unknown difficulty"),
    ],
)
def test_numbers_out_of_range_are_told(tmp_path: Path, arguments: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate_scenes(tmp_path / "out", **{"count": 1, "progress": False, **arguments})
    assert not (tmp_path / "out").exists()

"""Boxes and shadows of sprites fit their painted pixels; trees make objects difficult or hide them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from rotated_atss.synthetic import DIFFICULTIES, aircraft, facilities, vehicles, vessels
from rotated_atss.synthetic.canvas import Canvas
from rotated_atss.synthetic.clutter import tree
from rotated_atss.synthetic.shapes import extent_of, rotate_points
from rotated_atss.synthetic.site import Site, Sun
from rotated_atss.synthetic.sprite import Pose, Sprite
from rotated_atss.synthetic.terrain import CLIMATES

SPRITES: dict[str, Callable[[np.random.Generator], Sprite]] = {
    "car": lambda rng: vehicles.car(rng, 1.0),
    "truck": lambda rng: vehicles.large_vehicle(rng, 1.0, "truck"),
    "tanker": lambda rng: vehicles.large_vehicle(rng, 1.0, "tanker"),
    "bus": lambda rng: vehicles.large_vehicle(rng, 1.0, "bus"),
    "jet": lambda rng: aircraft.plane(rng, 1.0, "jet"),
    "propeller": lambda rng: aircraft.plane(rng, 1.0, "propeller"),
    "fighter": lambda rng: aircraft.plane(rng, 1.0, "fighter"),
    "helicopter": lambda rng: aircraft.helicopter(rng, 1.0),
    "boat": lambda rng: vessels.boat(rng, 1.0),
    "freighter": lambda rng: vessels.freighter(rng, 1.0),
    "pier": lambda rng: vessels.pier(rng, 100.0, 14.0),
    "diamond": lambda rng: facilities.baseball_diamond(rng, 1.0),
    "pool": lambda rng: facilities.swimming_pool(rng, 1.0),
    "tank": lambda rng: facilities.storage_tank(rng, 1.0),
}


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


@pytest.mark.parametrize("kind", SPRITES)
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, -1.2])
def test_box_is_tight_around_the_painted_pixels(kind: str, angle: float) -> None:
    sprite, canvas = SPRITES[kind](np.random.default_rng(5)), Canvas((200, 200), np.random.default_rng(0))
    canvas.pixels[:] = (255, 0, 255)  # a color that no sprite has
    pose = Pose(100.3, 99.6, angle)
    canvas.paint(sprite.parts, pose, np.array([1.0, 0.0]))
    rows, columns = np.nonzero(np.abs(canvas.pixels.astype(int) - (255, 0, 255)).max(axis=2) > 20)
    painted = np.stack([(columns + 0.5) / 2, (rows + 0.5) / 2], axis=1)
    local = rotate_points(painted - (pose.x, pose.y), -angle)
    np.testing.assert_allclose(extent_of(local), sprite.extent, atol=1.0)
    hull = cv2.contourArea(cv2.convexHull(local.astype(np.float32)))
    assert hull > 0.5 * np.prod(np.subtract(sprite.extent[2:], sprite.extent[:2]))


@pytest.mark.parametrize("build", [facilities.tennis_court, facilities.basketball_court])
def test_box_of_a_court_ends_at_its_outer_lines(build: Callable[[np.random.Generator, float], Sprite]) -> None:
    sprite, canvas = build(np.random.default_rng(1), 1.0), Canvas((200, 200), np.random.default_rng(0))
    # The net of a tennis court extends beyond the lines.
    parts = sprite.parts[:-2] if build is facilities.tennis_court else sprite.parts
    canvas.paint(parts, Pose(100, 100, 0.0), np.array([1.0, 0.0]))
    white = (np.argwhere((canvas.pixels > 200).all(axis=2))[:, ::-1] + 0.5) / 2 - 100
    np.testing.assert_allclose(extent_of(white), sprite.extent, atol=0.5)


@pytest.mark.parametrize("kind", ["car", "truck", "jet", "boat", "tank"])
def test_shadow_falls_away_from_the_sun(kind: str) -> None:
    site = blank_site()
    sprite = SPRITES[kind](np.random.default_rng(2))
    assert site.place(sprite, Pose(100.0, 100.0, 0.4))
    bare = site.canvas.pixels.copy()
    site.paint_layers()
    quad = np.round(site.objects[0].polygon * 2).astype(np.int32)
    outside = cv2.fillPoly(np.ones(bare.shape[:2], np.uint8), [quad], 0)
    dark = (site.canvas.pixels.astype(int).sum(axis=2) < bare.astype(int).sum(axis=2) - 60) & (outside == 1)
    assert dark.sum() > 40
    assert np.nonzero(dark)[1].mean() < 200  # the sun is at +x


@pytest.mark.parametrize(("shift", "labels"), [(30.0, [0]), (7.0, [1]), (0.0, [])])
def test_trees_make_a_car_difficult_or_hide_it(shift: float, labels: list[int]) -> None:
    site = blank_site()
    site.place(vehicles.car(site.rng, 1.0), Pose(100, 100, 0.0))
    crown = tree(np.random.default_rng(0), CLIMATES[0].leaves, 24.0 if shift == 0 else 16.0)
    site.place(crown, Pose(100 + shift, 100, 0.0), layer="tall")
    assert [obj.difficult for obj in site.labels()] == labels


def test_tiny_objects_are_difficult() -> None:
    site = blank_site()
    site.place(vehicles.car(site.rng, 0.5), Pose(100, 100, 0.3))
    assert [obj.difficult for obj in site.labels()] == [1]

"""Render one scene: an image and its labeled objects."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.synthetic.difficulty import Difficulty
from rotated_atss.synthetic.noise import value_noise
from rotated_atss.synthetic.shore import lay_shore, place_marina, place_ships
from rotated_atss.synthetic.site import SceneObject, Site
from rotated_atss.synthetic.streets import place_overhanging_trees, place_roadside_trees, place_traffic
from rotated_atss.synthetic.terrain import lay_ground, lay_roads
from rotated_atss.synthetic.town_plan import Block, make_town_plan
from rotated_atss.synthetic.zones import FILLER_ZONES, LABELED_ZONES, Zone

SIZE_WH = (880, 720)  # default size of a scene, pixels
SIZE_SPREAD = 0.1  # maximum relative deviation of a side from the requested size

_BGR_TO_GRAY = np.array([[0.11, 0.59, 0.30]])
# Haze makes aerial images less saturated. This color transform (3, 3) replaces 18% of each channel by the gray value.
_HAZE = 0.82 * np.eye(3) + 0.18 * _BGR_TO_GRAY
# The gray level that a change of contrast leaves as it is: the sRGB value of a surface that reflects 18% of the light.
_MIDDLE_GRAY = 118


@dataclass(frozen=True)
class Scene:
    """A rendered image (H, W, 3), BGR, and its labeled objects."""

    image: NDArray[np.uint8]
    objects: list[SceneObject]


def render_scene(
    seed: int, index: int, *, size_wh: tuple[int, int] = SIZE_WH, difficulty: str | Difficulty = "normal"
) -> Scene:
    """Render one scene. Calls with the same arguments return the same pixels.

    Args:
        seed: Seed of the series of scenes.
        index: Number of the scene in the series.
        size_wh: Approximate width and height, pixels; each side varies by up to 10% between scenes.
        difficulty: A name of ``DIFFICULTIES``, or a custom :class:`Difficulty`.

    Returns:
        The image and its labeled objects.

    Raises:
        UserError: The difficulty is unknown.

    Example:
        >>> scene = render_scene(0, 0, size_wh=(200, 160))
        >>> scene.image.dtype, scene.image.shape[2]
        (dtype('uint8'), 3)
    """
    rng = np.random.default_rng([seed, index])
    width, height = (round(side * rng.uniform(1 - SIZE_SPREAD, 1 + SIZE_SPREAD)) for side in size_wh)
    site = Site.create((width, height), difficulty, rng)
    _build_scene(site, index)
    site.paint_layers()
    return Scene(_apply_camera(site.canvas.image(), site.difficulty, rng), site.labels())


def _build_scene(site: Site, index: int) -> None:
    plan = make_town_plan(site.canvas.size_wh, site.rng)
    lay_ground(site.canvas, site.climate, site.rng)
    lay_shore(site, plan.shore)
    lay_roads(site.canvas, plan.roads, site.climate)
    for fill_block, block in _assign_zones(plan.blocks, index, site.rng):
        fill_block(site, block)
    pier_length = place_marina(site, plan.shore)
    place_ships(site, plan.shore, start=pier_length)
    place_traffic(site, plan.roads)
    place_roadside_trees(site, plan.roads)
    place_overhanging_trees(site)  # must be last, because these trees cover objects that have been placed


def _assign_zones(blocks: list[Block], index: int, rng: np.random.Generator) -> list[tuple[Zone, Block]]:
    """Assign a zone to every block. A zone is a function that fills a block, for example with a parking lot.

    The largest blocks get different zones of ``LABELED_ZONES``. If a scene has too few blocks for all of these zones,
    the next scene continues with the zones that follow in the list, so that no class is rare. ``LABELED_ZONES`` is
    sorted by the space that a zone needs, so the zone that needs the most space gets the largest block. The remaining
    blocks get random zones of ``FILLER_ZONES``.
    """
    blocks_by_area = sorted(blocks, key=lambda block: block.visible_area, reverse=True)
    num_labeled = min(len(blocks), len(LABELED_ZONES))
    chosen_indices = {(index * num_labeled + offset) % len(LABELED_ZONES) for offset in range(num_labeled)}
    zones = [LABELED_ZONES[zone_index] for zone_index in sorted(chosen_indices)]
    zones += [FILLER_ZONES[rng.integers(len(FILLER_ZONES))] for _ in range(len(blocks) - num_labeled)]
    return list(zip(zones, blocks_by_area))


def _apply_camera(image: NDArray[np.uint8], difficulty: Difficulty, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Apply haze, blur, contrast, brightness, white balance, uneven light and sensor noise, in this order."""
    spread = difficulty.color_jitter
    height, width = image.shape[:2]
    picture = cv2.transform(image.astype(np.float32), _HAZE)
    picture = cv2.GaussianBlur(picture, (0, 0), difficulty.blur)
    brightness = rng.uniform(1 - spread, 1 + spread)
    white_balance = rng.uniform(1 - spread / 2, 1 + spread / 2, 3)
    channel_gains = brightness * white_balance
    contrast = rng.uniform(1 - spread, 1 + spread)
    light = 4.0 * value_noise(rng, (width, height), (width / 2, height / 2))
    picture = (picture - _MIDDLE_GRAY) * contrast + _MIDDLE_GRAY
    picture = picture * channel_gains.astype(np.float32) + light[..., None]
    gray_noise = rng.standard_normal((height, width, 1), dtype=np.float32)
    color_noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    picture = picture + difficulty.noise * (0.8 * gray_noise + 0.5 * color_noise)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)

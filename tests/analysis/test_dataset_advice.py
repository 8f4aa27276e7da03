"""Recommendations on constructed datasets."""

import numpy as np
import pytest

from rotated_atss.analysis.anchor_scales import ScaleFit
from rotated_atss.analysis.dataset_advice import advise_on_anchor_scale, advise_on_classes, advise_on_density
from rotated_atss.analysis.dataset_report import report_dataset, resize_factors
from rotated_atss.analysis.tile_plan import TilePlan, choose_rate, choose_tile_plan, fits_whole
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.tile_counts import count_tiles
from tests.references.datasets import dataset


def counter(objects):
    def count(plan):
        settings = SplitSettings(sizes=(plan.size,), gaps=(plan.gap,), rates=plan.rates)
        return count_tiles(objects.image_wh, objects.image_index, objects.polygons, settings)

    return count


def report_of(boxes, image_wh=((6000, 4000),), **options):
    objects = dataset(boxes, image_wh=image_wh)
    return report_dataset(objects, counter(objects), **options)


def grid(side_wh, count, image_wh=(6000, 4000), seed=0):
    """Horizontal boxes of one size, anywhere in the image."""
    rng = np.random.default_rng(seed)
    margin = np.array(side_wh) / 2
    centers = rng.uniform(margin, np.array(image_wh) - margin, (count, 2))
    return np.concatenate((centers, np.tile([*side_wh, 0.0], (count, 1))), axis=1)


def advice_on(report, topic):
    return next((advice for advice in report["advice"] if advice["topic"] == topic), None)


def test_small_ships_keep_the_default_tiles():
    report = report_of(grid((60, 20), 200))
    tiles = advice_on(report, "tiles")
    assert tiles["proposal"] == "split with --size 1024 --gap 200"
    assert "99% of the objects extend over at most 60 px" in tiles["reason"]
    assert [plan["cut"] for plan in report["plans"]] == [0]
    assert advice_on(report, "rates") is None


def test_ships_of_300_px_get_a_larger_gap_that_cuts_none():
    report = report_of(grid((300, 60), 400))
    tiles = advice_on(report, "tiles")
    assert tiles["proposal"] == "split with --size 1024 --gap 300"
    default, proposed = report["plans"]
    assert default["cut"] > 0
    assert proposed["cut"] == 0
    assert proposed["tiles"] > default["tiles"]
    share = 100 * default["cut_share"]
    assert f"{share:.1f}%" in tiles["reason"] or f"{share:.0f}%" in tiles["reason"]
    assert tiles["numbers"]["planned"] == report["plans"]


def test_objects_of_700_px_add_coarser_tiles():
    report = report_of(grid((700, 300), 60))
    assert advice_on(report, "tiles")["proposal"] == "split with --size 1024 --gap 350 --rates 0.5"
    assert advice_on(report, "rates")["proposal"] == "reduce the images: --rates 0.5"
    mixed = np.concatenate((grid((700, 300), 40), grid((60, 20), 400, seed=1)))
    report = report_of(mixed)
    assert advice_on(report, "rates")["proposal"] == "split at several scales: --rates 0.5 1"
    assert report["plans"][-1]["cut"] == 0


def test_tiny_objects_enlarge_the_images():
    report = report_of(grid((9, 9), 100))
    assert advice_on(report, "rates")["proposal"] == "enlarge the images: --rates 2"
    assert "100% of the objects are smaller than 16 px" in advice_on(report, "rates")["reason"]
    # the windows of 512 px overlap by half the gap
    assert advice_on(report, "tiles")["numbers"]["covered_px"] == 100


def test_small_images_stay_whole():
    tiles = advice_on(report_of(grid((60, 20), 30, (900, 700)), image_wh=((900, 700),)), "tiles")
    assert tiles["proposal"] == "keep the images whole"


@pytest.mark.parametrize("extent", [30, 199, 201, 333, 500, 512, 530, 900, 2000, 5000])
def test_the_gap_covers_the_objects_or_the_rates_do(extent):
    extents = np.full(50, float(extent))
    plan = choose_tile_plan(extents, extents)
    assert plan.covered_px >= min(extent, 2000)
    SplitSettings(sizes=(plan.size,), gaps=(plan.gap,), rates=plan.rates)  # a valid split


def test_rates():
    assert choose_rate(np.full(3, 5.0), np.full(3, 5.0)) == 4
    assert choose_rate(np.full(3, 20.0), np.full(3, 40.0)) == 1
    assert choose_rate(np.full(3, 900.0), np.full(3, 1500.0)) == 0.25
    assert choose_rate(np.zeros(0), np.zeros(0)) == 1
    assert choose_tile_plan(np.zeros(0), np.zeros(0)) == TilePlan()
    assert not fits_whole(np.zeros((1, 2), np.int64), TilePlan())


def test_anchor_scale_changes_only_for_a_clear_gain():
    fits = [ScaleFit(2, 0.52, 0.5, 0.5), ScaleFit(4, 0.50, 0.5, 0.5)]
    assert advise_on_anchor_scale(fits, 4).proposal == "keep 4"
    fits = [ScaleFit(2, 0.62, 0.5, 0.5), ScaleFit(4, 0.50, 0.5, 0.5)]
    assert advise_on_anchor_scale(fits, 4).proposal.endswith("octave_base_scale=2")
    assert advise_on_anchor_scale([], 4) is None
    large = report_of(grid((400, 400), 40), image_wh=((6000, 4000),))
    assert max(large["anchor_scales"], key=lambda fit: fit["median_iou"])["scale"] in (3, 6, 12)


def test_rare_and_unbalanced_classes():
    rows = [{"name": name, "objects": count} for name, count in (("car", 1000), ("crane", 19), ("pier", 0))]
    rare, balance = advise_on_classes(rows)
    assert rare.numbers == {"crane": 19, "pier": 0}
    assert rare.reason == "2 of 3 classes have fewer than 20 objects: crane (19), pier (0)."
    assert balance.reason == "car has 53 times as many objects as crane."
    assert advise_on_classes([{"name": "car", "objects": 50}]) == []
    assert [advice.topic for advice in advise_on_classes([{"name": "car", "objects": 0}])] == ["rare classes"]
    many = [{"name": f"c{number}", "objects": 3} for number in range(12)]
    assert advise_on_classes(many)[0].reason.endswith("c9 (3) and 2 more.")


def test_density():
    assert advise_on_density({"max": 1000.0}, 2000) is None
    assert advise_on_density({"max": 1001.0}, 2000).numbers == {"max_objects": 1001, "max_per_img": 2000}
    report = report_of(grid((20, 20), 300, (900, 900)), image_wh=((900, 900),), max_per_img=100)
    assert advice_on(report, "density")["proposal"] == "set model.test_cfg.max_per_img=600 and nms_pre=600"


def test_tiles_of_a_split_are_judged_by_their_gap():
    objects = dataset(grid((300, 60), 20, (1024, 1024)), image_wh=((1024, 1024),), difficult=[2] + [0] * 19)
    report = report_dataset(objects, None, current=TilePlan())
    tiles = advice_on(report, "tiles")
    assert tiles["proposal"] == "split again with --size 1024 --gap 300"
    assert "does not cover, and 5.0% of the objects in the tiles are truncated" in tiles["reason"]
    tiles = advice_on(report_dataset(objects, None, current=TilePlan(gap=300)), "tiles")
    assert tiles["proposal"] == "keep the tiles of 1024 px"


def test_a_dataset_without_objects_gets_no_advice():
    report = report_of(np.zeros((0, 5)))
    assert (report["advice"], report["plans"], report["anchor_scales"]) == ([], [], [])


def test_resize_factors_are_those_of_mmcv():
    rescale_size = pytest.importorskip("mmcv.image.geometric").rescale_size
    sizes = np.random.default_rng(0).integers(50, 2000, (30, 2))
    for scale in ((1333, 800), (1024, 1024), (500, 700)):
        for size, factor in zip(sizes.tolist(), resize_factors(sizes, scale)):
            assert rescale_size(size, scale) == tuple(int(side * factor + 0.5) for side in size)
    assert resize_factors(np.zeros((1, 2), np.int64), (8, 8)).tolist() == [1]


def test_the_anchor_scale_is_that_of_the_resized_images():
    boxes = grid((64, 64), 20, (512, 512))
    small, large = (
        report_dataset(dataset(each, image_wh=((512 * factor,) * 2,)), None, input_wh=size)["anchor_scales"]
        for each, factor, size in ((boxes, 1, (1024, 1024)), (boxes * [2, 2, 2, 2, 1], 2, None))
    )
    assert small == large

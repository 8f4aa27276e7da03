"""Class names and evaluation rules of DOTA and similar datasets."""

from dataclasses import dataclass

_DOTA_V10 = (
    "plane",
    "baseball-diamond",
    "bridge",
    "ground-track-field",
    "small-vehicle",
    "large-vehicle",
    "ship",
    "tennis-court",
    "basketball-court",
    "storage-tank",
    "soccer-ball-field",
    "roundabout",
    "harbor",
    "swimming-pool",
    "helicopter",
)
_DOTA_V15 = (*_DOTA_V10, "container-crane")
_DOTA_V20 = (*_DOTA_V15, "airport", "helipad")

# Without the groups `*(...)` in the following lists, the code formatter would write each name on a separate line.
_DIOR_R = (
    *("airplane", "airport", "baseballfield", "basketballcourt", "bridge", "chimney", "Expressway-Service-area"),
    *("Expressway-toll-station", "dam", "golffield", "groundtrackfield", "harbor", "overpass", "ship", "stadium"),
    *("storagetank", "tenniscourt", "trainstation", "vehicle", "windmill"),
)
_FAIR1M = (
    *("Boeing737", "Boeing747", "Boeing777", "Boeing787", "C919", "A220", "A321", "A330", "A350", "ARJ21"),
    *("other-airplane", "Passenger-Ship", "Motorboat", "Fishing-Boat", "Tugboat", "Engineering-Ship"),
    *("Liquid-Cargo-Ship", "Dry-Cargo-Ship", "Warship", "other-ship", "Small-Car", "Bus", "Cargo-Truck", "Dump-Truck"),
    *("Van", "Trailer", "Tractor", "Excavator", "Truck-Tractor", "other-vehicle", "Basketball-Court", "Tennis-Court"),
    *("Football-Field", "Baseball-Field", "Intersection", "Roundabout", "Bridge"),
)
_SODA_A = (
    *("airplane", "helicopter", "small-vehicle", "large-vehicle", "ship", "container", "storage-tank"),
    *("swimming-pool", "windmill"),
)
_CODRONE = (
    *("car", "truck", "traffic-sign", "people", "motor", "bicycle", "traffic-light", "tricycle", "bridge", "bus"),
    *("boat", "ship"),
)
_STAR = (
    *("ship", "boat", "crane", "goods_yard", "tank", "storehouse", "breakwater", "dock", "airplane"),
    *("boarding_bridge", "runway", "taxiway", "terminal", "apron", "gas_station", "truck", "car", "truck_parking"),
    *("car_parking", "bridge", "cooling_tower", "chimney", "vapor", "smoke", "genset", "coal_yard", "lattice_tower"),
    *("substation", "wind_mill", "cement_concrete_pavement", "toll_gate", "flood_dam", "gravity_dam", "ship_lock"),
    *("ground_track_field", "basketball_court", "engineering_vehicle", "foundation_pit", "intersection"),
    *("soccer_ball_field", "tennis_court", "tower_crane", "unfinished_building", "arch_dam", "roundabout"),
    *("baseball_diamond", "stadium", "containment_vessel"),
)


@dataclass(frozen=True)
class SizeRange:
    """Range of object sizes: the area of an object's minimum-area rectangle, in square pixels, both ends included."""

    name: str
    min_area: float
    max_area: float


@dataclass(frozen=True)
class EvaluationRule:
    """How average precision is computed for a dataset. The last three attributes are only for the metric ``coco``.

    Attributes:
        metric: ``voc07`` (11 recall levels), ``area`` (area under the precision envelope) or ``coco`` (101 recall
            levels and COCO's matching).
        difficult: ``count`` (difficult objects are counted like all others) or ``ignore`` (difficult objects, and the
            detections matched to them, are ignored).
        sizes: The size ranges. The reported AP, AP50 and AP75 are computed for the first range.
        max_dets: Maximum number of detections per image and class. None sets no limit.
        best_object_only: Compare a detection only with its object of highest IoU, as SODA-A's evaluation does. COCO
            compares a detection with all objects that are not matched to a higher-scoring detection.
    """

    metric: str = "voc07"
    difficult: str = "count"
    sizes: tuple[SizeRange, ...] = ()
    max_dets: int | None = None
    best_object_only: bool = False


ALL_SIZES = SizeRange("all", 0.0, float("inf"))
COCO_SIZES = (
    ALL_SIZES,
    SizeRange("small", 0.0, 32.0**2),
    SizeRange("medium", 32.0**2, 96.0**2),
    SizeRange("large", 96.0**2, float("inf")),
)
"""Size ranges of COCO's evaluation."""

SODA_A_SIZES = (
    SizeRange("small", 0.0, 32.0**2),
    SizeRange("extremely small", 0.0, 12.0**2),
    SizeRange("relatively small", 12.0**2, 20.0**2),
    SizeRange("generally small", 20.0**2, 32.0**2),
    SizeRange("normal", 32.0**2, 40.0 * 50.0),
)
"""Size ranges of SODA-A's evaluation. The first range, for which AP, AP50 and AP75 are reported, consists of the three
ranges after it."""


@dataclass(frozen=True)
class Dataset:
    """Class names of a dataset, in order of label index, and its evaluation rule."""

    classes: tuple[str, ...]
    rule: EvaluationRule = EvaluationRule()


_SAR_RULE = EvaluationRule("coco", sizes=COCO_SIZES, max_dets=100)  # for radar (SAR) images: SSDD and HRSID

DATASETS: dict[str, Dataset] = {
    "v1.0": Dataset(_DOTA_V10, EvaluationRule(difficult="ignore")),
    "v1.5": Dataset(_DOTA_V15),
    "v2.0": Dataset(_DOTA_V20),
    "hrsc2016": Dataset(("ship",)),
    "dior-r": Dataset(_DIOR_R),
    "fair1m": Dataset(_FAIR1M),
    "soda-a": Dataset(_SODA_A, EvaluationRule("coco", sizes=SODA_A_SIZES, max_dets=20_000, best_object_only=True)),
    "ucas-aod": Dataset(("car", "airplane")),
    "codrone": Dataset(_CODRONE),
    "star": Dataset(_STAR),
    "ssdd": Dataset(("ship",), _SAR_RULE),
    "hrsid": Dataset(("ship",), _SAR_RULE),
}
"""Datasets by name; ``v1.0``, ``v1.5`` and ``v2.0`` are the versions of DOTA.

Class names are spelled as in the label files, but with hyphens instead of spaces. They are taken from the papers and
from mmrotate's dataset classes.
"""

DATASET_NAMES = tuple(DATASETS)
"""Names of the datasets. The DOTA versions come first."""

DOTA_VERSIONS = tuple(name for name in DATASETS if name.startswith("v"))
"""Names of the DOTA versions, ``v1.0`` to ``v2.0``."""


def get_rule(name: str) -> EvaluationRule:
    """Return the evaluation rule of a dataset, or the default :class:`EvaluationRule` for an unknown name.

    Args:
        name: A key of :data:`DATASETS`. The ``v`` of a DOTA version can be left out.

    Example:
        >>> get_rule("1.0").difficult, get_rule("soda-a").metric
        ('ignore', 'coco')
    """
    dataset = DATASETS.get(name) or DATASETS.get(f"v{name}")
    return dataset.rule if dataset else EvaluationRule()

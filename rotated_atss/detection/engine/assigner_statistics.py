"""Run a config's assigner over a dataset, without network and without pixels."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.image.geometric import rescale_size
from mmdet.registry import DATASETS, TASK_UTILS
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from PIL import Image
from torch import Tensor

from rotated_atss.analysis.positive_counts import SHARE_OF_CANDIDATES, Objects, Tally
from rotated_atss.assign import count_candidates_above_threshold, nearest_priors
from rotated_atss.assign.box_forms import centers
from rotated_atss.coco.instances import category_ids, read_instances
from rotated_atss.detection.engine.hooks import one_line
from rotated_atss.detection.task_modules.assigners import STRATEGIES, SelectionAssigner, TensorAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb, scale_obb

CIRCUMSCRIBED = "-hbb"  # behind a way to choose positives: by the circumscribed box


@dataclass(frozen=True)
class AssignmentInput:
    """What assignment sees of an image: the size and boxes that the network is given."""

    wh: tuple[int, int]
    boxes: Tensor  # (G, 5) or (G, 4)
    ignored: Tensor


def dense_head_parts(cfg: Config) -> tuple[ConfigDict, ConfigDict]:
    """The generator of priors and the assigner of a config's (first) dense head.

    Raises:
        UserError: It has none.
    """
    model = cfg.get("model") or {}
    train_cfg = model.get("train_cfg") or {}
    for head, settings in (("bbox_head", train_cfg), ("bbox_head_init", train_cfg.get("init") or {})):
        generator = (model.get(head) or {}).get("anchor_generator")
        if generator is not None and settings.get("assigner") is not None:
            return generator, settings["assigner"]
    raise UserError("this config has no dense head with anchors and an assigner", where=cfg.filename)


def build_assigner(name: str, settings: ConfigDict, oriented: bool) -> Any:
    """An assigner by name: ``config``; ``obb`` or ``hbb``, the config's by either box; or a way to choose positives,
    such as ``ssc`` or ``ssc-hbb``, with the config's k, box and treatment of ignored objects.

    Raises:
        UserError: No such name, or one that does not fit the config.
    """
    strategy = name.removesuffix(CIRCUMSCRIBED)
    if name not in ("config", "obb", "hbb") and strategy not in STRATEGIES:
        raise UserError(
            f"no assigner '{name}'", hint=f"choose config, obb, hbb, {', '.join(STRATEGIES)}, or {STRATEGIES[0]}-hbb"
        )
    if not oriented and (name in ("obb", "hbb") or name != strategy):
        raise UserError(f"assigner '{name}' is for oriented boxes, and this config's are horizontal")
    try:
        given = TASK_UTILS.build(dict(settings))
        if name == "config":
            return given
        if name in ("obb", "hbb"):
            return TASK_UTILS.build({**settings, "assign_by_circumhbbox": name == "hbb"})
        return SelectionAssigner(
            strategy,
            topk=getattr(given, "topk", 9),
            assign_by_circumhbbox=name != strategy or getattr(given, "by_hbb", False),
            ignore_iof_threshold=getattr(given, "ignore_iof_threshold", -1),
        )
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"cannot build assigner '{name}': {one_line(error)}") from error


def expected_positives(assigner: Any, levels: int, location: Tensor) -> float | None:
    """The paper's claim for an assigner that is ATSS, None for another. ``location`` holds the priors of one."""
    if getattr(assigner, "topk", None) is None or getattr(assigner, "strategy", "atss") != "atss":
        return None
    located = assigner.num_priors_per_location(location) if isinstance(assigner, TensorAssigner) else 1
    return SHARE_OF_CANDIDATES * assigner.topk * located * levels


def assign_priors(assigner: Any, priors: Tensor, level_sizes: list[int], scene: AssignmentInput) -> Tensor:
    """(A,) objects of the priors, by ``match`` of ours or ``assign`` of MMDetection's."""
    if hasattr(assigner, "assign_image"):
        return assigner.assign_image(priors, level_sizes, scene.boxes, scene.ignored)[0]
    truths = InstanceData(bboxes=scene.boxes, labels=torch.zeros(len(scene.boxes), dtype=torch.int64))
    ignored, given = InstanceData(bboxes=scene.ignored), InstanceData(priors=priors)
    levels = [level_sizes] if "num_level_priors" in inspect.signature(assigner.assign).parameters else []
    inds = assigner.assign(given, *levels, truths, ignored).gt_inds
    return torch.where(inds > 0, inds - 1, torch.where(inds == 0, -1, -2))


def _above_threshold(assigner: Any, priors: Tensor, level_sizes: list[int], boxes: Tensor) -> Tensor:
    """(G,) candidates of each object that reach its threshold, for an assigner that is ATSS."""
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64)
    if getattr(assigner, "by_hbb", False):
        priors, boxes = obb_to_hbb(priors), obb_to_hbb(boxes)
    located = assigner.num_priors_per_location(priors) if isinstance(assigner, TensorAssigner) else 1
    nearest = nearest_priors(centers(priors), level_sizes, centers(boxes), assigner.topk * located)
    return count_candidates_above_threshold(priors, boxes, nearest)


def count(cfg: Config, names: Sequence[str], scenes: Iterable[AssignmentInput]) -> tuple[Objects, dict[str, Tally]]:
    """Run the named assigners over scenes; no names: ``obb`` and ``hbb``, or ``config`` where boxes are horizontal."""
    generator_cfg, assigner_cfg = dense_head_parts(cfg)
    generator = TASK_UTILS.build(generator_cfg)
    strides = [int(stride[0]) for stride in generator.strides]
    location = generator.grid_priors([(1, 1)] * len(strides), device="cpu")[0]
    oriented = location.shape[1] == 5
    names = names or (("obb", "hbb") if oriented else ("config",))
    built = {name: build_assigner(name, assigner_cfg, oriented) for name in names}
    tallies = {name: Tally(strides, expected_positives(each, len(strides), location)) for name, each in built.items()}
    divisor = (cfg.model.get("data_preprocessor") or {}).get("pad_size_divisor", 1)
    grid = functools.lru_cache(maxsize=4)(functools.partial(_grid, generator, strides))  # tiles are of one size
    objects = Objects(oriented)
    for scene in scenes:
        priors, sizes = grid(*(-(-side // divisor) * divisor for side in scene.wh))
        for name, each in built.items():
            above = None if tallies[name].expected is None else _above_threshold(each, priors, sizes, scene.boxes)
            tallies[name].add(assign_priors(each, priors, sizes, scene), sizes, len(scene.boxes), above)
        objects.add(scene.boxes)
    return objects, tallies


def _grid(generator: Any, strides: list[int], width: int, height: int) -> tuple[Tensor, list[int]]:
    """The priors of a padded image, level after level, and the number of each level."""
    levels = generator.grid_priors([(-(-height // s), -(-width // s)) for s in strides], device="cpu")
    return torch.cat(levels), [len(level) for level in levels]


def load_records(cfg: Config, data: str | None) -> tuple[list[dict], list[dict]]:
    """Images and boxes of the training set of a config, and its pipeline.

    Args:
        cfg: A config with ``train_dataloader``.
        data: Instead of the config's: a folder laid out as its ``data_root``, or a COCO instances JSON, whose images
            need not be there.

    Raises:
        UserError: No training set, or no images with boxes in it.
    """
    dataset = (cfg.get("train_dataloader") or {}).get("dataset")
    if dataset is None:
        raise UserError("this config has no train_dataloader", where=cfg.filename)
    while "dataset" in dataset:  # a wrapper, such as one that repeats
        dataset = dataset["dataset"]
    pipeline = dataset.get("pipeline") or []
    if data is not None and Path(data).suffix == ".json":
        return _json_records(data, dataset), pipeline
    changes = dict(pipeline=[], **({} if data is None else dict(data_root=str(data))))
    built = DATASETS.build({**dataset, **changes})
    return [built.get_data_info(index) for index in range(len(built))], pipeline


def _json_records(path: str, dataset: dict) -> list[dict]:
    instances = read_instances(path)
    classes = (dataset.get("metainfo") or {}).get("classes") or DATASETS.get(dataset["type"]).METAINFO["classes"]
    known = set(category_ids(instances, classes))
    return [
        {
            "width": image.width,
            "height": image.height,
            "instances": [
                {"bbox": each.box, "ignore_flag": int(each.iscrowd)}
                for each in instances.objects.get(image.id, ())
                if each.category_id in known
            ],
        }
        for image in instances.images
    ]


def build_assignment_input(record: dict, pipeline: Sequence[dict]) -> AssignmentInput:
    """An image's size and boxes as the network is given them, without augmentation."""
    width, height = (record["width"], record["height"]) if "width" in record else _image_wh(record["img_path"])
    wh = resized_wh((width, height), pipeline)
    flags = torch.tensor([bool(each.get("ignore_flag", 0)) for each in record["instances"]], dtype=torch.bool)
    rows = [list(each["bbox"]) for each in record["instances"]]
    boxes = torch.tensor(rows, dtype=torch.float32) if rows else torch.zeros(0, 5)
    scale = (wh[0] / width, wh[1] / height)
    boxes = scale_obb(boxes, scale) if boxes.shape[1] == 5 else boxes * boxes.new_tensor(scale * 2)
    return AssignmentInput(wh, boxes[~flags], boxes[flags])


def resized_wh(wh: tuple[int, int], pipeline: Sequence[dict]) -> tuple[int, int]:
    """The size after the pipeline's resize; of several scales the middle one (of a range, the middle of it)."""
    for step in pipeline:
        if step["type"] not in ("Resize", "RandomResize", "RandomChoiceResize"):
            continue
        if step.get("scale_factor"):
            return rescale_size(wh, float(step["scale_factor"]))
        scale = _middle_scale(step.get("scales") or step["scale"])
        return rescale_size(wh, scale) if step.get("keep_ratio", step["type"] == "RandomChoiceResize") else scale
    return wh


def _middle_scale(scale: Sequence) -> tuple[int, int]:
    if not isinstance(scale[0], (list, tuple)):
        return tuple(scale)
    ordered = sorted(tuple(each) for each in scale)
    if len(ordered) == 2:
        return tuple(sum(pair) // 2 for pair in zip(*ordered))
    return ordered[len(ordered) // 2]


def _image_wh(path: str) -> tuple[int, int]:
    """From the file's header."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image's size: {one_line(error)}", where=path) from error

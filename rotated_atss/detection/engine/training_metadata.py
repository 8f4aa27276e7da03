"""Write the model metadata into checkpoints; it includes the windows and a summary of the training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.checkpoints.model_info import KEY as MODEL_METADATA_KEY
from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, TrainingData, Window
from rotated_atss.checkpoints.training_summary import summarize_training_data, widen_gap
from rotated_atss.detection.engine.dataset_wrappers import innermost_built_datasets
from rotated_atss.detection.engine.model_metadata import default_window, describe_model
from rotated_atss.detection.engine.network import unwrap_model
from rotated_atss.dota.tiles import is_tile_name, parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.image_header import read_header
from rotated_atss.tiling.manifest import MANIFEST, Manifest, read_manifest
from rotated_atss.tiling.split_settings import default_gap

_MAX_HEADERS_READ = 200  # the side of the tiles is determined from this many images at most


class ModelInfoHook(Hook):
    """Write the model metadata into every checkpoint of a training run."""

    def __init__(self) -> None:
        self._metadata_json: str | None = None  # stays None in all processes but the first, which saves checkpoints

    def before_train(self, runner: Runner) -> None:
        """Create the metadata. If the model cannot be described, log a warning and write no metadata."""
        if runner.rank != 0:
            return
        dataset = runner.train_dataloader.dataset
        classes = getattr(dataset, "metainfo", {}).get("classes")
        try:
            if not classes:
                raise UserError("the dataset has no class names")
            training_data = describe_training_data(dataset, classes)
            # The overlap is increased so that at least one window contains a large object completely.
            window = widen_gap(find_training_window(dataset, runner.cfg), training_data)
            manifest = _find_manifest(dataset) or Manifest()
            info = describe_model(
                runner.cfg, unwrap_model(runner.model), classes, window=window, training_data=training_data,
                pixels=manifest.pixels, ground_resolution=manifest.ground_resolution,
            )  # fmt: skip
            self._metadata_json = info.to_json()
        except UserError as error:
            runner.logger.warning(f"checkpoints will have no model metadata: {error}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the metadata to the checkpoint."""
        if self._metadata_json is not None:
            checkpoint["meta"][MODEL_METADATA_KEY] = self._metadata_json


def describe_training_data(dataset: Any, classes: Sequence[str]) -> TrainingData:
    """Summarize the boxes of a training set, without ignored objects.

    Args:
        dataset: A dataset of MMEngine, or a wrapper such as ``RepeatDataset``.
        classes: Class names of the dataset.

    Raises:
        UserError: The dataset has no method ``get_data_info``, which returns the record of an image.
    """
    sides, labels, image_names = [], [], []
    for part in _datasets_with_records(dataset):
        for index in range(len(part)):
            record = part.get_data_info(index)
            image_names.append(Path(record.get("img_path") or str(index)).stem)
            for instance in record.get("instances", ()):
                if not instance.get("ignore_flag"):
                    box = instance["bbox"]  # cx, cy, w, h, angle or x1, y1, x2, y2
                    sides.append(box[2:4] if len(box) == 5 else (box[2] - box[0], box[3] - box[1]))
                    labels.append(instance["bbox_label"])
    is_tiled = all(map(is_tile_name, image_names))
    # If the images are tiles, count the full images from which the tiles were cut.
    num_images = len({parse_tile_name(name).image_id for name in image_names}) if is_tiled else len(image_names)
    return summarize_training_data(
        np.array(sides, dtype=float).reshape(-1, 2), np.array(labels, dtype=np.int64), classes,
        tiles=len(image_names), images=num_images,
    )  # fmt: skip


def find_training_window(dataset: Any, cfg: Config) -> Window:
    """Find the size and overlap of the windows that a training set was split into.

    The manifest of the split records both. Without a manifest, if the first images of a DOTA dataset are squares of the
    same size, this is the size of the windows. Otherwise, the result is the one of :func:`default_window`.

    Args:
        dataset: A dataset of MMEngine, or a wrapper such as ``RepeatDataset``.
        cfg: The config.
    """
    datasets = list(_datasets_with_records(dataset))
    manifest = _find_manifest(dataset)
    if manifest is not None and manifest.window is not None:
        return Window(*manifest.window)
    window = default_window(cfg)
    if window.size != WHOLE_IMAGE and datasets:  # the default of datasets other than DOTA is WHOLE_IMAGE
        sides = _distinct_sides(datasets[0])
        if len(sides) == 1:
            side = sides.pop()
            if side > 0:  # 0 stands for unreadable images
                return Window(side, default_gap(side))
    return window


def _find_manifest(dataset: Any) -> Manifest | None:
    """Return the first manifest that the data folders of a dataset contain; None if they contain no manifest."""
    for part in _datasets_with_records(dataset):
        root = getattr(part, "data_root", None)
        if root and (Path(root) / MANIFEST).is_file():
            return read_manifest(Path(root) / MANIFEST)
    return None


def _distinct_sides(dataset: Any) -> set[int]:
    """Return the distinct widths and heights in pixels of the first images; 0 stands for an unreadable image."""
    sides: set[int] = set()
    for index in range(min(len(dataset), _MAX_HEADERS_READ)):
        header = read_header(dataset.get_data_info(index)["img_path"])
        sides.update((0,) if header is None else (header.width, header.height))
    return sides


def _datasets_with_records(dataset: Any) -> Iterator[Any]:
    """Yield the datasets inside wrappers; raise an error if a dataset has no ``get_data_info``, which returns boxes."""
    for part in innermost_built_datasets(dataset):
        if not hasattr(part, "get_data_info"):
            raise UserError(f"{type(part).__name__} has no records of its images")
        yield part

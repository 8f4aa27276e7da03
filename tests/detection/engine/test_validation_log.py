"""Pictures, AP by class and precision-recall curves of validations."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from mmdet.registry import TASK_UTILS

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.dataset_records import AssignmentInput
from rotated_atss.detection.engine.positive_centers import PositiveCenters
from rotated_atss.detection.engine.validation_images import choose_images, read_ground_truth
from rotated_atss.detection.engine.validation_log import MAX_VALIDATIONS, ValidationLogHook
from rotated_atss.detection.registry import DATASETS
from rotated_atss.dota.labels import read_labels
from tests.references.slow_atss import slow_atss

LE90 = "rotated_atss_obb_r50_fpn_1x_dota_le90"


@pytest.fixture
def dataset(tiles):
    """The tiles as a validation set, which reads no labels."""
    settings = dict(data_root=str(tiles), ann_file="", test_mode=True, pipeline=[], classes="v1.0")
    return DATASETS.build(dict(type="DOTADataset", **settings))


def test_images_with_objects_are_chosen_from_all_parts_of_the_set(dataset, tiles):
    chosen = choose_images(dataset, 3)
    names = [Path(path).stem for path in chosen]
    # of pairs of tiles; the first tile of the last pair has no object
    assert names == ["P0000__128__0___0", "P0000__128__96___0", "P0001__128__96___0"]
    for path, truth in chosen.items():
        labels = read_labels(tiles / "labelTxt" / f"{Path(path).stem}.txt")
        assert truth.names == list(labels.names)
        np.testing.assert_allclose(truth.polygons, labels.polygons)
    assert len(choose_images(dataset, 99)) == 6
    odd = [str(path) for path in choose_images(dataset, 99, world_size=2)]
    assert [Path(path).stem for path in odd] == [
        Path(dataset.get_data_info(index)["img_path"]).stem for index in (0, 2, 4)
    ]


def test_truth_of_a_dataset_with_objects_is_its_own(coco_folder):
    from tests.detection.coco_samples import ANN_FILE, CLASSES

    settings = dict(data_root=str(coco_folder), ann_file=ANN_FILE, data_prefix=dict(img="images"), pipeline=[])
    coco = DATASETS.build(dict(type="CocoInstancesDataset", metainfo=dict(classes=CLASSES), **settings))
    index = next(index for index in range(len(coco)) if coco.get_data_info(index)["instances"])
    instances, truth = coco.get_data_info(index)["instances"], read_ground_truth(coco, index)
    assert truth.names == [CLASSES[each["bbox_label"]] for each in instances]
    for polygon, each in zip(truth.polygons.reshape(-1, 4, 2), instances):
        assert [*polygon.min(0), *polygon.max(0)] == pytest.approx(each["bbox"])


def test_points_are_the_positives_of_the_slow_reference():
    cfg = load_config(LE90)
    gt_boxes = torch.tensor([[60.0, 50, 40, 16, 0.4], [20, 90, 24, 30, -0.9]])
    image = AssignmentInput((128, 120), gt_boxes, torch.zeros(0, 5))
    positive_centers = PositiveCenters(cfg)
    centers, levels = positive_centers.find(image)
    generator = TASK_UTILS.build(cfg.model.bbox_head.anchor_generator)
    priors = generator.grid_priors([(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)], device="cpu")  # of 128 x 128, padded
    expected, _ = slow_atss(torch.cat(priors), [len(level) for level in priors], gt_boxes, 9)
    assert sorted(map(tuple, centers.tolist())) == sorted(map(tuple, torch.cat(priors)[expected >= 0, :2].tolist()))
    assert len(levels) == len(centers) > 4


@pytest.mark.parametrize("total", [1, 12, 20, 21, 100, 399])
def test_the_number_of_validations_with_pictures_is_bounded_and_has_the_last(total):
    hook = ValidationLogHook()
    due = [hook._is_picture_due(left) for left in reversed(range(total))]
    assert sum(due) == -(-total // -(-total // MAX_VALIDATIONS))
    assert sum(due) <= MAX_VALIDATIONS
    assert due[-1]


@pytest.fixture
def services(monkeypatch):
    """Stand-ins of the packages of wandb, MLflow and ClearML that record their calls."""
    modules = {name: MagicMock() for name in ("wandb", "mlflow", "clearml")}
    modules["mlflow"].MlflowException = RuntimeError
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules


def full_labels(tiles, folder):
    """Write labels of the two full images, in the coordinates of the tiles' first columns."""
    folder.mkdir()
    for image in ("P0000", "P0001"):
        (folder / f"{image}.txt").write_text((tiles / "labelTxt" / f"{image}__128__0___0.txt").read_text())
    return folder


@pytest.mark.usefixtures("quick")
def test_a_training_logs_to_all_services(run_published, tiles, tmp_path, services, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    changes = {"val_evaluator.labels": [str(full_labels(tiles, tmp_path / "labels"))]}
    folder = run_published(changes, log_to="tensorboard,wandb,mlflow,clearml", seed=0)
    (events,) = folder.glob("*/vis_data/events*")
    assert events.stat().st_size < 2_000_000
    logged = accumulator.EventAccumulator(str(events), size_guidance={accumulator.IMAGES: 0, accumulator.TENSORS: 0})
    tags = logged.Reload().Tags()
    shown = {tag.partition("/")[2] for tag in tags["images"] if tag.startswith("validation/")}
    assert len(shown) == 4
    assert shown == {tag.partition("/")[2] for tag in tags["images"] if tag.startswith("assignment/")}
    assert {"dota/AP50", "dota/AP50/plane", "dota/AP50/ship"} <= set(tags["scalars"])
    assert {"precision-recall/plane", "precision-recall/ship"} <= set(tags["tensors"])
    assert "dota/AP50/bridge" not in tags["scalars"]  # no object

    def named(calls):
        return [call.args[1] for call in calls]

    assert len([name for name in named(services["mlflow"].log_image.call_args_list) if name.endswith("_1.png")]) == 4
    assert services["wandb"].init.call_args.kwargs["name"] == LE90
    scalars = [call.args[0] for call in services["wandb"].log.call_args_list]
    assert any("dota/AP50/ship" in each for each in scalars)
    assert any("loss" in each for each in scalars)
    logger = services["clearml"].Task.init.return_value.get_logger.return_value
    assert logger.report_image.call_count == 8
    assert not list(folder.glob("*/vis_data/vis_image"))  # no pictures in the work folder
    out = capsys.readouterr().out
    assert "validation after epoch 1/1: AP50 " in out
    assert f"learning curves: {folder / 'learning_curves.png'}" in out


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_training_logs_to_the_real_package_without_a_network(run_published, tiles, tmp_path, name, monkeypatch):
    pytest.importorskip(name, reason=f"pip install {name}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    changes = {"val_evaluator.labels": [str(full_labels(tiles, tmp_path / "labels"))]}
    folder = run_published(changes, log_to=name, seed=0)
    found = [path for path in Path(folder).rglob("*") if path.is_file()]
    if name == "wandb":
        (record,) = [path for path in found if path.suffix == ".wandb"]
        assert record.stat().st_size > 1000
    else:
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            names = {row[0] for row in database.execute("select key from metrics")}
        assert {"loss", "lr", "dota/AP50", "dota/AP50/ship"} <= names
        pictures = [path for path in found if path.suffix == ".png" and path.name.startswith("P000")]
        assert len(pictures) == 8
    assert not [path for path in tmp_path.iterdir() if path.name not in ("work", "labels")]

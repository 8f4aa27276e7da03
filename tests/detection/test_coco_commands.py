"""The commands ``train`` and ``test`` with a COCO config and a COCO data set."""

import itertools
import json
import logging

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")
pytest.importorskip("faster_coco_eval")

from rotated_atss.cli import main
from tests.detection.coco_samples import ANN_FILE, CATEGORIES, CLASSES, instances_json, write_instances

CONFIG = "atss_r50_fpn_1x_coco"
RUN_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def closed_log_streams(quick, monkeypatch):
    """MMEngine's loggers keep the closed streams of earlier tests."""
    monkeypatch.setattr(logging, "raiseExceptions", False)


def cfg_options(root, *more):
    """A narrow model, small images and loaders without processes."""
    pairs = ["model.backbone.depth=18", "model.backbone.base_channels=16", "model.backbone.stem_channels=16"]
    pairs += ["model.neck.in_channels=[16,32,64,128]", "model.neck.out_channels=16", "model.bbox_head.in_channels=16"]
    pairs += ["model.bbox_head.feat_channels=16", "model.bbox_head.stacked_convs=1", "model.bbox_head.num_classes=2"]
    pairs += ["model.bbox_head.norm_cfg.num_groups=4", "train_cfg.max_epochs=1", "visualizer.vis_backends=[]"]
    for name in ("train", "val", "test"):
        loader = f"{name}_dataloader"
        pairs += [f"{loader}.num_workers=0", f"{loader}.persistent_workers=False", f"{loader}.dataset.data_root={root}"]
        pairs += [f"{loader}.dataset.ann_file={ANN_FILE}", f"{loader}.dataset.data_prefix.img=images"]
        pairs += [f"{loader}.dataset.metainfo.classes=('red','blue')"]
        pairs += [f"{loader}.dataset.pipeline.{2 if name == 'train' else 1}.scale=(96,64)"]
    # MMEngine keeps a logger per name and second, and with it the closed streams of a test within the same second
    return ["--cfg-options", *pairs, f"experiment_name=run{next(RUN_NUMBERS)}", *more]


def train(root, tmp_path, *more, changes=()):
    words = ["train", CONFIG, "--from-scratch", "--work-dir", str(tmp_path / "work"), *more]
    return main([*words, *cfg_options(root, *changes)])


def test_train_then_test_with_other_data_labels_and_output(coco_folder, tmp_path, capfd):
    keep_all = ["train_dataloader.dataset.filter_cfg.filter_empty_gt=False",
                "train_dataloader.dataset.filter_cfg.min_size=0"]  # fmt: skip
    assert train(coco_folder, tmp_path, "--seed", "1", changes=keep_all) == 0
    out = capfd.readouterr().out
    assert "validation after epoch 1/1: AP " in out
    result = json.loads(out.splitlines()[-1])
    assert result["epochs"] == 1
    (log,) = (tmp_path / "work").glob("*/*.log")
    assert "iou    area max_dets" in log.read_text()  # the table is in the log only
    assert f"AP: {result['val']['AP']:.4f}" in log.read_text()
    checkpoint = str(tmp_path / "work" / "epoch_1.pth")
    words = ["test", CONFIG, checkpoint, "--work-dir", str(tmp_path / "test")]
    assert main([*words, *cfg_options(coco_folder, "test_evaluator.per_class=True")]) == 0
    results = json.loads((tmp_path / "test" / "results" / "results.json").read_text())
    ap = json.loads((tmp_path / "test" / "results" / "ap.json").read_text())
    assert ap["images"] == 4
    assert ap["detections"] == len(results)
    assert set(ap["per_class"]) == set(CLASSES)

    one_image = {**instances_json(), "images": instances_json()["images"][:1], "annotations": []}
    labels = str(write_instances(tmp_path / "other", one_image) / ANN_FILE)
    moved = ["--data", str(coco_folder), "--labels", labels, "--out", str(tmp_path / "out")]
    assert main([*words, *moved, *cfg_options("nowhere")]) == 0
    ap = json.loads((tmp_path / "out" / "ap.json").read_text())
    assert ap["images"] == 1
    assert ap["rows"][0]["value"] is None
    assert sorted(path.name for path in coco_folder.iterdir()) == ["ann", "images"]


def test_missing_validation_json_disables_validation(coco_folder, tmp_path, capfd):
    assert train(coco_folder, tmp_path, changes=["val_dataloader.dataset.ann_file=ann/gone.json"]) == 0
    printed = capfd.readouterr()
    assert "ann/gone.json: no such file, training without validation" in printed.out + printed.err


@pytest.fixture
def error(capsys):
    """The one line that a command prints for an error of the user."""

    def call(code):
        out, err = capsys.readouterr()
        assert code == 2
        assert "Traceback" not in out + err
        (line,) = [line for line in err.splitlines() if ": error: " in line]
        assert err.endswith(line + "\n")
        return line

    return call


def write_changed(root, **changes):
    write_instances(root, {**instances_json(), **changes})


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: (root / ANN_FILE).unlink(), "instances.json: no such file"),
        (lambda root: write_instances(root, '{"images": ['), "instances.json:1: not valid JSON"),
        (lambda root: (root / "images" / "i2.png").unlink(), "i2.png: no such image, but "),
        (lambda root: (root / "images" / "i2.png").write_bytes(b"x"), "i2.png: not a readable image, or damaged"),
        (lambda root: write_changed(root, images=instances_json()["images"] * 2), "duplicate image id 1"),
        (
            lambda root: write_changed(root, annotations=instances_json()["annotations"] * 2),
            "duplicate annotation id 1",
        ),
        (lambda root: write_changed(root, images=instances_json()["images"][1:]), "annotation 1: no such image_id 1"),
        (lambda root: write_changed(root, categories=CATEGORIES[:1]), "annotation 1: no such category_id 4"),
        (
            lambda root: write_changed(root, categories=[CATEGORIES[0], {"id": 4, "name": "rot"}]),
            "1 of 2 classes of the config is not in this file (red)",
        ),
    ],
)
def test_errors_in_the_data_stop_training(coco_folder, tmp_path, spoil, message, error):
    spoil(coco_folder)
    line = error(train(coco_folder, tmp_path))
    assert line.startswith("rotated-atss train: error: ")
    assert message in line
    assert not list((tmp_path / "work").glob("*.pth"))
    found_while_training = ("not a readable image", "not in this file")
    assert (tmp_path / "work").exists() == any(words in message for words in found_while_training)


def test_errors_of_the_test_command(coco_folder, tmp_path, error):
    (tmp_path / "any.pth").write_bytes(b"never read")
    words = ["test", CONFIG, str(tmp_path / "any.pth"), "--work-dir", str(tmp_path / "work")]
    assert "gone.pth: no such checkpoint" in error(main(["test", CONFIG, "gone.pth", *words[3:]]))
    for more, message in (
        (["--submission", str(tmp_path / "s.zip")], "--submission needs a config with DOTAMetric"),
        (["--labels", str(coco_folder)], "with a COCO config, --labels must be a single instances JSON"),
        (["--out", str(coco_folder / "images" / "x")], "the output overlaps the input "),
        (["--out", str(coco_folder / "ann")], "the output overlaps the input "),
    ):
        assert message in error(main([*words, *more, *cfg_options(coco_folder)]))


def test_model_and_dataset_must_have_the_same_number_of_classes(coco_folder, tmp_path, error):
    line = error(train(coco_folder, tmp_path, changes=["model.bbox_head.num_classes=3"]))
    assert "the model has 3 classes, but the dataset has 2 classes (red, blue)" in line

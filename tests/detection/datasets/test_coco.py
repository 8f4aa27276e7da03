"""The COCO dataset, its metric, and training and testing on them as they are typed."""

import itertools
import json
import logging

import numpy as np
import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")
pytest.importorskip("faster_coco_eval")

import cv2
import torch
from mmdet.datasets import CocoDataset
from mmengine.registry import DefaultScope

from rotated_atss.cli import main
from rotated_atss.detection.datasets.coco import CocoBoxMetric, CocoInstancesDataset, LoadCocoImage
from rotated_atss.errors import UserError

CLASSES = ("red", "blue")
CATEGORIES = [{"id": 9, "name": "blue"}, {"id": 4, "name": "red"}]  # neither order nor numbers are the classes'
IDS = {"red": 4, "blue": 9}


@pytest.fixture(autouse=True)
def scope():
    """Where the pipeline's steps are looked up; load_config sets it otherwise."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def annotation(number, image, name, bbox, **changes):
    area = bbox[2] * bbox[3]
    return {"id": number, "image_id": image, "category_id": IDS[name], "bbox": bbox, "area": area, "iscrowd": 0,
            **changes}  # fmt: skip


def content():
    sizes = {1: (96, 64), 2: (64, 96), 3: (64, 64), 5: (128, 96)}
    return {
        "images": [{"id": n, "file_name": f"i{n}.png", "width": w, "height": h} for n, (w, h) in sizes.items()],
        "categories": list(CATEGORIES),
        "annotations": [
            annotation(1, 1, "red", [8, 8, 40, 32]),
            annotation(2, 1, "blue", [60, 20, 30, 40]),
            annotation(3, 2, "blue", [4, 30, 40, 40], iscrowd=1),
            annotation(4, 2, "red", [30, 8, 30, 20]),
            annotation(5, 5, "red", [90, 40, 60, 40]),  # reaches 22 pixels out
            annotation(6, 5, "blue", [8, 8, 0, 40]),  # no area
            annotation(7, 5, "blue", [8, 8, 48, 40]),
        ],
    }


def write(root, whole):
    (root / "ann").mkdir(parents=True, exist_ok=True)
    (root / "ann" / "instances.json").write_text(whole if isinstance(whole, str) else json.dumps(whole))
    return root


@pytest.fixture
def data(tmp_path):
    """Four images, one without objects, with rectangles in the classes' colours."""
    root, whole = write(tmp_path / "data", content()), content()
    (root / "images").mkdir()
    colours = {4: (30, 30, 220), 9: (220, 60, 30)}
    for image in whole["images"]:
        picture = np.full((image["height"], image["width"], 3), 90, np.uint8)
        for entry in whole["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, w, h = entry["bbox"]
                picture[y : y + h, x : x + w] = colours[entry["category_id"]]
        cv2.imwrite(str(root / "images" / image["file_name"]), picture)
    return root


def dataset(root, kind=CocoInstancesDataset, **changes):
    return kind(
        data_root=str(root),
        **{"ann_file": "ann/instances.json", "data_prefix": dict(img="images"), "pipeline": [],
           "metainfo": dict(classes=CLASSES), **changes},
    )  # fmt: skip


@pytest.fixture
def told(monkeypatch):
    """What the dataset logs."""
    lines = []
    monkeypatch.setattr(
        "rotated_atss.detection.datasets.coco.print_log",
        lambda text, logger=None, level=logging.INFO: lines.append(text),
    )
    return lines


def test_records(data, told):
    records = {record["img_id"]: record for record in dataset(data)}
    assert [(n, r["width"], r["height"]) for n, r in records.items()] == [
        (1, 96, 64), (2, 64, 96), (3, 64, 64), (5, 128, 96),
    ]  # fmt: skip
    seen = {n: [(i["bbox"], i["bbox_label"], i["ignore_flag"]) for i in r["instances"]] for n, r in records.items()}
    assert seen == {
        1: [([8, 8, 48, 40], 0, 0), ([60, 20, 90, 60], 1, 0)],
        2: [([4, 30, 44, 70], 1, 1), ([30, 8, 60, 28], 0, 0)],
        3: [],
        5: [([90, 40, 128, 80], 0, 0), ([8, 8, 56, 48], 1, 0)],
    }
    assert records[5]["img_path"] == str(data / "images" / "i5.png")
    dropped, clipped = told
    assert dropped.endswith("dropped 1 boxes without area inside their image, the first is annotation 6 of i5.png")
    assert clipped.endswith("clipped 1 boxes that reach out of their image, the first is annotation 5 of i5.png")
    assert dataset(data).metainfo["cat_ids"] == [4, 9]
    assert dataset(data).get_cat_ids(1) == [1, 0]


def test_pipeline(data, told):
    steps = [dict(type="LoadCocoImage"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]
    sample = dataset(data, pipeline=steps)[1]["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[30, 8, 60, 28]]
    assert sample.gt_instances.labels.tolist() == [0]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[4, 30, 44, 70]]  # the crowd
    empty = dataset(data, pipeline=steps)[2]["data_samples"]
    assert len(empty.gt_instances) == 0
    assert empty.img_id == 3


def seen_of(records):
    return [
        (r["img_path"], r["img_id"], r["width"], r["height"],
         [(i["bbox"], i["bbox_label"], i["ignore_flag"]) for i in r["instances"]])
        for r in records
    ]  # fmt: skip


def test_same_records_as_mmdetection(data, told, shared_data):
    """Where labels are in the file's order (MMDetection's are, whatever the config says) and no box has to be clipped
    (MMDetection leaves that to resizing).
    """
    whole = content()
    whole["annotations"][4]["bbox"][2] = 38
    whole["categories"].reverse()
    write(data, whole)
    for filter_cfg in (None, dict(filter_empty_gt=True, min_size=65)):
        ours, theirs = (
            seen_of(dataset(data, kind, filter_cfg=filter_cfg)) for kind in (CocoInstancesDataset, CocoDataset)
        )
        assert ours == theirs
    real = dict(
        ann_file="annotations/instances_train2017.json", data_prefix=dict(img="images/train2017"), metainfo=None,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )  # fmt: skip
    root = shared_data("coco_tiny")
    ours, theirs = (seen_of(dataset(root, kind, **real)) for kind in (CocoInstancesDataset, CocoDataset))
    assert ours == theirs
    assert len(ours) == 30


def test_filter(data, told):
    def kept(**filter_cfg):
        return [record["img_id"] for record in dataset(data, filter_cfg=filter_cfg)]

    assert kept(filter_empty_gt=True) == [1, 2, 5]
    assert kept(min_size=65) == [5]
    assert kept() == [1, 2, 3, 5]
    assert len(dataset(data, filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 4
    with pytest.raises(UserError, match=r"instances.json: no image is left to train on .*min_size.*999"):
        kept(min_size=999)


def test_some_of_the_categories(data, told):
    seen = dataset(data, metainfo=dict(classes=("blue",)))
    assert [len(record["instances"]) for record in seen] == [1, 1, 0, 1]
    assert seen.metainfo["cat_ids"] == [9]
    assert told[-1].endswith("1 categories are none of the config's classes and left out: red")


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(metainfo=None), r"80 of 80 classes of the config are not in this file \(person, bicycle, car, ...\)"),
        (dict(metainfo=dict(classes="red")), "are not distinct names"),
        (dict(ann_file="ann/gone.json"), "ann/gone.json: no such file"),
        (dict(data_prefix=dict(img="gone")), "gone: no such folder of images"),
    ],
)
def test_settings_that_do_not_fit(data, changes, message):
    settings = {"ann_file": "ann/instances.json", "data_prefix": dict(img="images"), "metainfo": dict(classes=CLASSES)}
    with pytest.raises(UserError, match=message):
        CocoInstancesDataset(data_root=str(data), pipeline=[], **{**settings, **changes})


def test_a_test_set_trains_nothing(data, told):
    whole = content()
    del whole["annotations"]
    write(data, whole)
    assert [len(record["instances"]) for record in dataset(data, test_mode=True)] == [0] * 4
    with pytest.raises(UserError, match="instances.json: has no annotations to train on"):
        dataset(data)


def test_an_image_of_another_size(data):
    load = LoadCocoImage()
    path = str(data / "images" / "i1.png")
    assert load.transform(dict(img_path=path, height=64, width=96))["img"].shape == (64, 96, 3)
    assert load.transform(dict(img_path=path))["ori_shape"] == (64, 96)  # a picture of no dataset
    with pytest.raises(UserError, match=r"i1.png: is 96 x 64 pixels, but 64 x 96 in the JSON"):
        load.transform(dict(img_path=path, height=96, width=64))


def samples(whole, shift=0.0):
    """Test results: every object found, ``shift`` pixels aside, the first one twice."""
    names = [CATEGORIES[0]["name"], CATEGORIES[1]["name"]]
    numbers = {entry["id"]: CLASSES.index(name) for entry, name in zip(CATEGORIES, names)}
    for image in whole["images"]:
        entries = [each for each in whole["annotations"] if each["image_id"] == image["id"] and not each["iscrowd"]]
        boxes = torch.tensor([each["bbox"] for each in entries], dtype=torch.float32).view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        yield {
            "img_id": image["id"],
            "pred_instances": {
                "bboxes": boxes + shift,
                "scores": torch.linspace(0.9, 0.5, len(boxes)),
                "labels": torch.tensor([numbers[each["category_id"]] for each in entries], dtype=torch.int64),
            },
        }


def scored(metric, found, meta):
    metric.dataset_meta = meta
    found = list(found)
    metric.process({}, found)
    return metric.evaluate(len(found))


def test_metric(data, tmp_path, told):
    meta = dataset(data).metainfo
    metric = CocoBoxMetric(out_dir=str(tmp_path / "out"), per_class=True)
    values = scored(metric, samples(content()), meta)
    assert list(values)[:4] == ["coco/AP", "coco/AP50", "coco/AP75", "coco/AP_small"]
    assert len(values) == 12
    # all found but the blue box without area, which nothing overlaps and which counts all the same
    assert values["coco/AP_medium"] == pytest.approx(1)
    assert values["coco/AR_100"] == pytest.approx((1 + 2 / 3) / 2)
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(rows) == 6
    assert rows[0]["category_id"] == 4
    assert rows[0]["bbox"] == [8, 8, 40, 32]
    assert set(json.loads((tmp_path / "out" / "ap.json").read_text())["per_class"]) == set(CLASSES)
    aside = scored(CocoBoxMetric(), samples(content(), shift=12.0), meta)
    assert aside["coco/AP75"] == 0
    assert list((tmp_path / "out").iterdir())


def test_metric_of_the_images_that_were_tested(data, told):
    meta = dataset(data).metainfo
    found = [each for each in samples(content()) if each["img_id"] == 1]
    assert scored(CocoBoxMetric(), found, meta)["coco/AP"] == pytest.approx(1)
    other = dict(meta, ann_file="gone.json")
    assert scored(CocoBoxMetric(ann_file=meta["ann_file"]), found, other)["coco/AP"] == pytest.approx(1)


def test_metric_without_annotations(data, tmp_path, told):
    whole = content()
    del whole["annotations"]
    write(data, whole)
    meta = dataset(data, test_mode=True).metainfo
    metric = CocoBoxMetric(out_dir=str(tmp_path / "out"))
    assert scored(metric, samples(content()), meta) == {}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


def test_settings_of_the_metric():
    with pytest.raises(UserError, match="gone.json: no such file"):
        CocoBoxMetric(ann_file="gone.json")
    with pytest.raises(UserError, match="max_dets must be three ascending numbers"):
        CocoBoxMetric(max_dets=(100,))


# ---- as they are typed


@pytest.fixture
def quick(monkeypatch):
    """One thread, config texts unformatted, and MMEngine's loggers keep the closed streams of earlier tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **kwargs: (text, True))
    monkeypatch.setattr(logging, "raiseExceptions", False)
    yield
    torch.set_num_threads(threads)


def options(data, *more):
    """A narrow model, small pictures and short loaders."""
    pairs = ["model.backbone.depth=18", "model.backbone.base_channels=8", "model.backbone.stem_channels=8"]
    pairs += ["model.neck.in_channels=[8,16,32,64]", "model.neck.out_channels=16", "model.bbox_head.in_channels=16"]
    pairs += ["model.bbox_head.feat_channels=16", "model.bbox_head.stacked_convs=1", "model.bbox_head.num_classes=2"]
    pairs += ["model.bbox_head.norm_cfg.num_groups=4", "train_cfg.max_epochs=1", "visualizer.vis_backends=[]"]
    for name in ("train", "val", "test"):
        loader = f"{name}_dataloader"
        pairs += [f"{loader}.num_workers=0", f"{loader}.persistent_workers=False", f"{loader}.dataset.data_root={data}"]
        pairs += [f"{loader}.dataset.ann_file=ann/instances.json", f"{loader}.dataset.data_prefix.img=images"]
        pairs += [f"{loader}.dataset.metainfo.classes=('red','blue')"]
        pairs += [f"{loader}.dataset.pipeline.{2 if name == 'train' else 1}.scale=(96,64)"]
    # MMEngine keeps a logger a name and second, and with it the closed streams of a test within the same second
    return ["--cfg-options", *pairs, f"experiment_name=run{next(RUNS)}", *more]


RUNS = itertools.count()
CONFIG = "atss_r50_fpn_1x_coco"


def train(data, tmp_path, *more, changes=()):
    words = ["train", CONFIG, "--from-scratch", "--work-dir", str(tmp_path / "work"), *more]
    return main([*words, *options(data, *changes)])


def test_train_and_test(data, tmp_path, quick, capfd):
    keep_empty = "train_dataloader.dataset.filter_cfg.filter_empty_gt=False"
    assert (
        train(data, tmp_path, "--seed", "1", changes=[keep_empty, "train_dataloader.dataset.filter_cfg.min_size=0"])
        == 0
    )
    shown = capfd.readouterr()
    assert "IoU    area  maxDets" in shown.out + shown.err  # validated after its epoch
    checkpoint = str(tmp_path / "work" / "epoch_1.pth")
    words = ["test", CONFIG, checkpoint, "--work-dir", str(tmp_path / "test")]
    assert main([*words, *options(data, "test_evaluator.per_class=True")]) == 0
    results = json.loads((tmp_path / "test" / "results" / "results.json").read_text())
    told = json.loads((tmp_path / "test" / "results" / "ap.json").read_text())
    assert told["images"] == 4
    assert told["detections"] == len(results)
    assert set(told["per_class"]) == set(CLASSES)

    # other data, another JSON, another place
    elsewhere = options("nowhere")
    moved = write(tmp_path / "other", {**content(), "images": content()["images"][:1], "annotations": []})
    labels = str(moved / "ann" / "instances.json")
    out = str(tmp_path / "out")
    assert main([*words, "--data", str(data), "--labels", labels, "--out", out, *elsewhere]) == 0
    told = json.loads((tmp_path / "out" / "ap.json").read_text())
    assert told["images"] == 1
    assert told["rows"][0]["value"] is None
    assert sorted(path.name for path in data.iterdir()) == ["ann", "images"]


def test_validation_without_its_json_is_left_out(data, tmp_path, quick, capfd):
    assert train(data, tmp_path, changes=["val_dataloader.dataset.ann_file=ann/gone.json"]) == 0
    shown = capfd.readouterr()
    assert "ann/gone.json: no such file, training without validation" in shown.out + shown.err


@pytest.fixture
def error(capsys, quick):
    """The one line of a call that is the user's mistake."""

    def call(code):
        out, err = capsys.readouterr()
        assert code == 2
        assert "Traceback" not in out + err
        (line,) = [line for line in err.splitlines() if ": error: " in line]
        assert err.endswith(line + "\n")
        return line

    return call


def spoiled(data, **changes):
    write(data, {**content(), **changes})


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda data: (data / "ann" / "instances.json").unlink(), "instances.json: no such file"),
        (lambda data: write(data, '{"images": ['), "instances.json:1: not valid JSON"),
        (lambda data: (data / "images" / "i2.png").unlink(), "i2.png: no such image, listed in "),
        (lambda data: (data / "images" / "i2.png").write_bytes(b"x"), "i2.png: not a readable image, or cut short"),
        (lambda data: spoiled(data, images=content()["images"] * 2), "duplicate image id 1"),
        (lambda data: spoiled(data, annotations=content()["annotations"] * 2), "duplicate annotation id 1"),
        (lambda data: spoiled(data, images=content()["images"][1:]), "annotation 1: no such image_id 1"),
        (lambda data: spoiled(data, categories=CATEGORIES[:1]), "annotation 1: no such category_id 4"),
        (
            lambda data: spoiled(data, categories=[CATEGORIES[0], {"id": 4, "name": "rot"}]),
            "1 of 2 classes of the config are not in this file (red)",
        ),
    ],
)
def test_mistakes_in_the_data(data, tmp_path, spoil, message, error):
    spoil(data)
    line = error(train(data, tmp_path))
    assert line.startswith("rotated-atss train: error: ")
    assert message in line
    assert not list((tmp_path / "work").glob("*.pth"))
    told_while_training = ("not a readable image", "not in this file")
    assert (tmp_path / "work").exists() == any(words in message for words in told_while_training)


def test_mistakes_of_test(data, tmp_path, error):
    (tmp_path / "any.pth").write_bytes(b"never read")
    words = ["test", CONFIG, str(tmp_path / "any.pth"), "--work-dir", str(tmp_path / "work")]
    assert "gone.pth: no such checkpoint" in error(main(["test", CONFIG, "gone.pth", *words[3:]]))
    for more, message in (
        (["--submission", str(tmp_path / "s.zip")], "--submission writes the zip for DOTA's server"),
        (["--labels", str(data)], "--labels takes one instances JSON with a COCO config"),
        (["--out", str(data / "images" / "x")], "the output overlaps the input "),
        (["--out", str(data / "ann")], "the output overlaps the input "),
    ):
        assert message in error(main([*words, *more, *options(data)]))


def test_classes_of_model_and_dataset_differ(data, tmp_path, error):
    line = error(train(data, tmp_path, changes=["model.bbox_head.num_classes=3"]))
    assert "the model has 3 classes, the dataset 2 (red, blue)" in line


def test_real_samples(shared_data, told):
    root = shared_data("coco_tiny")
    steps = [dict(type="LoadCocoImage"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]
    settings = dict(ann_file="annotations/instances_train2017.json", data_prefix=dict(img="images/train2017"))
    train2017 = dataset(root, pipeline=steps, metainfo=None, **settings)
    counts = [(len(s.gt_instances), len(s.ignored_instances)) for s in (each["data_samples"] for each in train2017)]
    assert len(counts) == 32
    assert sum(good for good, _ in counts) == 284
    assert sum(crowd for _, crowd in counts) == 4
    assert sum(counts.count(pair) for pair in [(0, 0)]) == 2
    assert not told

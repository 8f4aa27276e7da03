"""A config's assigner over a dataset: sizes, boxes, names, and the figures of the assigners themselves."""

import json

import pytest
import torch
from mmengine.config import ConfigDict

from rotated_atss.cli import main
from rotated_atss.detection.engine.assigner_statistics import (
    assign_priors,
    build_assigner,
    count_positives,
    dense_head_parts,
)
from rotated_atss.detection.engine.dataset_records import (
    AssignmentInput,
    build_assignment_input,
    load_records,
    resized_wh,
)
from rotated_atss.detection.engine.runner import load_config
from rotated_atss.detection.task_modules.assigners import RotatedATSSAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb

OBB, COCO = "rotated_atss_obb_r50_fpn_1x_dota_le90", "atss_r50_fpn_1x_coco"


@pytest.fixture
def coco_json(tmp_path):
    """Two images of 400 x 300 with three boxes, one of them a crowd; the image files do not exist."""
    from rotated_atss.detection.datasets.coco import CocoInstancesDataset

    names = CocoInstancesDataset.METAINFO["classes"]
    boxes = [(1, [100, 100, 60, 30], 0), (1, [200, 50, 100, 200], 1), (2, [10, 20, 64, 64], 0)]
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", width=400, height=300) for i in (1, 2)],
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 1)],
        annotations=[
            dict(id=i, image_id=image, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=crowd)
            for i, (image, box, crowd) in enumerate(boxes, 1)
        ],
    )
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_tiles_of_a_split_folder(tiles):
    records, pipeline = load_records(load_config(OBB), str(tiles))
    assert len(records) == 5  # the one without objects is filtered, as in training
    scene = build_assignment_input(records[0], pipeline)
    assert scene.image_wh == (1024, 1024)
    assert scene.gt_boxes.shape == (4, 5)
    assert scene.gt_boxes_ignore.shape == (0, 5)
    plain = torch.tensor([each["bbox"] for each in records[0]["instances"]])
    assert torch.allclose(scene.gt_boxes[:, :4], plain[:, :4] * 8)
    assert torch.equal(scene.gt_boxes[:, 4], plain[:, 4])


def test_an_instances_json_needs_no_images(coco_json):
    records, pipeline = load_records(load_config(COCO), str(coco_json))
    scene = build_assignment_input(records[0], pipeline)
    assert scene.image_wh == (1067, 800)
    assert torch.allclose(scene.gt_boxes, torch.tensor([[100, 100, 160, 130]]) * torch.tensor([1067 / 400, 8 / 3] * 2))
    assert len(scene.gt_boxes_ignore) == 1


@pytest.mark.parametrize(
    "step, expected",
    [
        (dict(type="Resize", scale=(1024, 1024), keep_ratio=True), (1024, 768)),
        (dict(type="Resize", scale=(640, 320)), (640, 320)),
        (dict(type="Resize", scale_factor=2.0), (800, 600)),
        (dict(type="RandomResize", scale=[(1333, 640), (1333, 800)], keep_ratio=True), (960, 720)),
        (dict(type="RandomChoiceResize", scales=[(1333, 640), (1333, 672), (1333, 800)], keep_ratio=True), (896, 672)),
        (dict(type="RandomFlip", prob=0.5), (400, 300)),
    ],
)
def test_size_after_the_pipelines_resize(step, expected):
    assert resized_wh((400, 300), [dict(type="LoadTile"), step]) == expected


def scenes(number=3):
    draw = torch.Generator().manual_seed(0)
    for _ in range(number):
        unit = torch.rand(20, 5, generator=draw)
        boxes = unit * torch.tensor([250, 250, 70, 20, 3]) + torch.tensor([0, 0, 10, 10, -1.5])
        yield AssignmentInput((256, 200), boxes, torch.zeros(0, 5))


def test_counts_are_those_of_the_assigner():
    cfg = load_config(OBB)
    objects, tallies = count_positives(cfg, [], scenes())
    assert list(tallies) == ["obb", "hbb"]
    assert len(tallies["obb"].positives) == 60
    generator, _ = dense_head_parts(cfg)
    from mmdet.registry import TASK_UTILS

    # 200 rows are padded to 224
    levels = TASK_UTILS.build(generator).grid_priors([(28, 32), (14, 16), (7, 8), (4, 4), (2, 2)], device="cpu")
    for name, by_hbb in (("obb", None), ("hbb", True)):
        expected = []
        for scene in scenes():
            gt_index = RotatedATSSAssigner(assign_by_circumhbbox=by_hbb).assign_image(
                torch.cat(levels), [len(level) for level in levels], scene.gt_boxes
            )[0]
            expected += [int((gt_index == g).sum()) for g in range(20)]
        above = tallies[name].above_threshold
        assert len(above) == 60
        assert (above >= expected).all()
        assert above.mean() == pytest.approx(9, abs=2)
        assert tallies[name].positives.tolist() == expected
        assert tallies[name].expected == pytest.approx(9)
    assert sum(map(len, objects.size)) == 60


def test_every_assigner_by_name():
    names = ["config", "hbb", "atss", "ssc", "iou", "topk", "center_sampling-hbb"]
    _, tallies = count_positives(load_config(OBB), names, scenes(1))
    assert list(tallies) == names
    assert all(tally.positives.sum() > 0 for tally in tallies.values())
    assert tallies["config"].positives.tolist() == tallies["atss"].positives.tolist()
    assert tallies["atss"].expected == pytest.approx(9)
    assert tallies["topk"].expected is None
    nine = {"model.bbox_head.anchor_generator.scales_per_octave": 3, "model.train_cfg.assigner.topk": 5}
    _, tallies = count_positives(load_config(OBB, nine), ["obb", "atss"], scenes(1))
    assert tallies["obb"].expected == pytest.approx(5)
    assert tallies["atss"].expected == pytest.approx(15)


def test_ways_treat_ignored_objects_as_the_config_does():
    assert build_assigner("ssc", dense_head_parts(load_config(COCO))[1], False).ignore_iof_threshold == -1
    settings = ConfigDict(type="RotatedATSSAssigner", topk=5, ignore_iof_threshold=0.3, assign_by_circumhbbox="oc")
    made = build_assigner("topk", settings, True)
    assert (made.topk, made.ignore_iof_threshold, made.by_hbb) == (5, 0.3, True)


@pytest.mark.parametrize("name", ["r3det_r50_fpn_1x_dota_oc", "rotated_retinanet_obb_r50_fpn_1x_dota_le90"])
def test_other_detectors(name):
    _, tallies = count_positives(load_config(name), [], scenes(1))
    assert all(tally.expected is None and tally.positives.min() >= 1 for tally in tallies.values())


@pytest.mark.parametrize("kind", ["ATSSAssigner", "MaxIoUAssigner"])
def test_assigners_of_mmdetection(kind):
    from mmdet.registry import TASK_UTILS

    settings = dict(topk=9) if kind == "ATSSAssigner" else dict(pos_iou_thr=0.5, neg_iou_thr=0.4)
    ours = "atss" if kind == "ATSSAssigner" else "iou"
    scene = next(scenes(1))
    scene = AssignmentInput(scene.image_wh, obb_to_hbb(scene.gt_boxes), scene.gt_boxes_ignore[:, :4])
    cfg = load_config(COCO)
    _, tallies = count_positives(cfg, ["config", ours], [scene])
    generator = TASK_UTILS.build(dense_head_parts(cfg)[0])
    levels = generator.grid_priors([(28, 32), (14, 16), (7, 8), (4, 4), (2, 2)], device="cpu")
    sizes = [len(level) for level in levels]
    theirs = assign_priors(TASK_UTILS.build(dict(type=kind, **settings)), torch.cat(levels), sizes, scene)
    mine = assign_priors(
        build_assigner(ours, ConfigDict(type="HorizontalATSSAssigner", topk=9), False), torch.cat(levels), sizes, scene
    )
    if kind == "ATSSAssigner":
        assert torch.equal(mine, theirs)
        assert tallies["atss"].positives.tolist() == torch.bincount(theirs[theirs >= 0], minlength=20).tolist()
    else:  # the paper leaves out positives whose centre lies outside
        assert torch.equal(mine[mine >= 0], theirs[mine >= 0])
        assert (theirs >= 0).sum() > (mine >= 0).sum()


@pytest.mark.parametrize(
    "config, name, message",
    [
        (OBB, "fcos", "no assigner 'fcos' .choose config, obb, hbb, atss"),
        (OBB, "obb-hbb", "no assigner 'obb-hbb'"),
        (COCO, "hbb", "'hbb' is for oriented boxes"),
        (COCO, "ssc-hbb", "'ssc-hbb' is for oriented boxes"),
    ],
)
def test_names_that_do_not_fit(config, name, message):
    with pytest.raises(UserError, match=message):
        count_positives(load_config(config), [name], [])


def test_a_config_without_assigner_or_dataset():
    cfg = load_config(OBB)
    del cfg.model.train_cfg.assigner
    with pytest.raises(UserError, match="no dense head with anchors and an assigner"):
        dense_head_parts(cfg)
    cfg.pop("train_dataloader")
    with pytest.raises(UserError, match="no train_dataloader"):
        load_records(cfg, None)


# -- the command -------------------------------------------------------------------------------------------------------


def test_command_on_tiles(tiles, tmp_path, capsys):
    out = tmp_path / "out"
    code = main([
        "assignment-stats", OBB, "--data", str(tiles), "--out", str(out), "--json", str(tmp_path / "stats.json"),
        "--limit", "2",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith(f"{OBB}: 8 objects in 2 images")
    assert "0.2 k L" in printed
    assert "angle, deg" in printed
    assert (out / "assignment.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(out.iterdir())) == 1
    report = json.loads((tmp_path / "stats.json").read_text())
    assert (report["config"], report["images"], report["objects"]) == (OBB, 2, 8)
    assert list(report["assigners"]) == ["obb", "hbb"]


def test_json_alone_makes_no_plot(tiles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["assignment-stats", OBB, "--data", str(tiles), "--limit", "1"]
    assert main([*words, "--json", "stats.json"]) == 0
    assert "plots" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["stats.json"]
    assert main(words) == 0
    assert f"plots: work_dirs/{OBB}/assignment.png" in capsys.readouterr().out


def test_command_on_a_json_with_options(coco_json, tmp_path, capsys):
    code = main([
        "assignment-stats", COCO, "--data", str(coco_json), "--out", str(tmp_path / "out"),
        "--compare", "config", "ssc", "--cfg-options", "model.train_cfg.assigner.topk=3",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert "2 objects in 2 images" in printed
    assert "angle" not in printed
    assert printed.splitlines()[2].split() == ["config", "ssc"]
    assert "3.00" in printed  # 0.2 x 3 x 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--limit", "0"], "--limit 0 leaves no image"),
        (["--compare", "fcos"], "no assigner 'fcos'"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tiles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [] if "--data" in arguments else ["--data", str(tiles)]
    assert main(["assignment-stats", OBB, *given, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_never_into_the_input_folder(tiles, capsys):
    before = sorted(tiles.rglob("*"))
    assert main(["assignment-stats", OBB, "--data", str(tiles), "--out", str(tiles / "images" / "stats")]) == 2
    assert "lies in the input" in capsys.readouterr().err
    assert sorted(tiles.rglob("*")) == before


def test_an_image_that_is_none(tiles, tmp_path):
    (tmp_path / "P0001.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="P0001.png: cannot read the image's size"):
        build_assignment_input(dict(img_path=str(tmp_path / "P0001.png"), instances=[]), [])

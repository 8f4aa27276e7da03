"""Positive counts of the assigners of configs, and the command assignment-stats."""

import json

import pytest
import torch
from mmengine.config import ConfigDict

from rotated_atss.cli import main
from rotated_atss.detection.engine.assigner_statistics import (
    assign_priors,
    build_assigner,
    count_positives,
)
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.config_priors import find_dense_head_cfgs
from rotated_atss.detection.engine.dataset_records import AssignmentInput
from rotated_atss.detection.task_modules.assigners import RotatedATSSAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.coco_instances import write_coco_instances

OBB, COCO = "rotated_atss_obb_r50_fpn_1x_dota_le90", "atss_r50_fpn_1x_coco"


def assignment_inputs(number=3):
    draw = torch.Generator().manual_seed(0)
    for _ in range(number):
        unit = torch.rand(20, 5, generator=draw)
        boxes = unit * torch.tensor([250, 250, 70, 20, 3]) + torch.tensor([0, 0, 10, 10, -1.5])
        yield AssignmentInput((256, 200), boxes, torch.zeros(0, 5))


def test_counts_equal_those_of_the_assigner():
    cfg = load_config(OBB)
    shapes, counts = count_positives(cfg, [], assignment_inputs())
    assert list(counts) == ["obb", "hbb"]
    assert len(counts["obb"].positives) == 60
    generator, _ = find_dense_head_cfgs(cfg)
    from mmdet.registry import TASK_UTILS

    # 200 rows are padded to 224
    levels = TASK_UTILS.build(generator).grid_priors([(28, 32), (14, 16), (7, 8), (4, 4), (2, 2)], device="cpu")
    for name, by_hbb in (("obb", None), ("hbb", True)):
        expected = []
        for image in assignment_inputs():
            gt_index = RotatedATSSAssigner(assign_by_circumhbbox=by_hbb).assign_image(
                torch.cat(levels), [len(level) for level in levels], image.gt_boxes
            )[0]
            expected += [int((gt_index == g).sum()) for g in range(20)]
        above = counts[name].above_threshold
        assert len(above) == 60
        assert (above >= expected).all()
        assert above.mean() == pytest.approx(9, abs=2)
        assert counts[name].positives.tolist() == expected
        assert counts[name].expected == pytest.approx(9)
    assert sum(map(len, shapes.size)) == 60


def test_every_assigner_by_name():
    names = ["config", "hbb", "atss", "ssc", "iou", "topk", "center_sampling-hbb"]
    _, counts = count_positives(load_config(OBB), names, assignment_inputs(1))
    assert list(counts) == names
    assert all(each.positives.sum() > 0 for each in counts.values())
    assert counts["config"].positives.tolist() == counts["atss"].positives.tolist()
    assert counts["atss"].expected == pytest.approx(9)
    assert counts["topk"].expected is None
    nine = {"model.bbox_head.anchor_generator.scales_per_octave": 3, "model.train_cfg.assigner.topk": 5}
    _, counts = count_positives(load_config(OBB, nine), ["obb", "atss"], assignment_inputs(1))
    assert counts["obb"].expected == pytest.approx(5)
    assert counts["atss"].expected == pytest.approx(15)


def test_strategies_treat_ignored_boxes_as_the_config_does():
    assert build_assigner("ssc", find_dense_head_cfgs(load_config(COCO))[1], False).ignore_iof_threshold == -1
    settings = ConfigDict(type="RotatedATSSAssigner", topk=5, ignore_iof_threshold=0.3, assign_by_circumhbbox="oc")
    assigner = build_assigner("topk", settings, True)
    assert (assigner.topk, assigner.ignore_iof_threshold, assigner.assigns_by_hbb) == (5, 0.3, True)


@pytest.mark.parametrize("name", ["r3det_r50_fpn_1x_dota_oc", "rotated_retinanet_obb_r50_fpn_1x_dota_le90"])
def test_other_detectors(name):
    _, counts = count_positives(load_config(name), [], assignment_inputs(1))
    assert all(each.expected is None and each.positives.min() >= 1 for each in counts.values())


@pytest.mark.parametrize("kind", ["ATSSAssigner", "MaxIoUAssigner"])
def test_assigners_of_mmdetection(kind):
    from mmdet.registry import TASK_UTILS

    settings = dict(topk=9) if kind == "ATSSAssigner" else dict(pos_iou_thr=0.5, neg_iou_thr=0.4)
    strategy = "atss" if kind == "ATSSAssigner" else "iou"
    image = next(assignment_inputs(1))
    image = AssignmentInput(image.image_wh, obb_to_hbb(image.gt_boxes), image.gt_boxes_ignore[:, :4])
    cfg = load_config(COCO)
    _, counts = count_positives(cfg, ["config", strategy], [image])
    generator = TASK_UTILS.build(find_dense_head_cfgs(cfg)[0])
    levels = generator.grid_priors([(28, 32), (14, 16), (7, 8), (4, 4), (2, 2)], device="cpu")
    sizes = [len(level) for level in levels]
    expected = assign_priors(TASK_UTILS.build(dict(type=kind, **settings)), torch.cat(levels), sizes, image)
    own = build_assigner(strategy, ConfigDict(type="HorizontalATSSAssigner", topk=9), False)
    if strategy == "iou":  # whose default is the rule of the official code
        own.iou_options["low_quality_rule"] = "last_match"
    gt_index = assign_priors(own, torch.cat(levels), sizes, image)
    if kind == "ATSSAssigner":
        assert torch.equal(gt_index, expected)
        assert counts["atss"].positives.tolist() == torch.bincount(expected[expected >= 0], minlength=20).tolist()
    else:  # this strategy ignores positives whose center lies outside
        assert torch.equal(gt_index[gt_index >= 0], expected[gt_index >= 0])
        assert (expected >= 0).sum() > (gt_index >= 0).sum()


@pytest.mark.parametrize(
    "config, name, message",
    [
        (OBB, "fcos", "no assigner 'fcos' .choose config, obb, hbb, atss"),
        (OBB, "obb-hbb", "no assigner 'obb-hbb'"),
        (COCO, "hbb", "'hbb' needs oriented boxes"),
        (COCO, "ssc-hbb", "'ssc-hbb' needs oriented boxes"),
    ],
)
def test_invalid_names_of_assigners(config, name, message):
    with pytest.raises(UserError, match=message):
        count_positives(load_config(config), [name], [])


def test_config_without_assigner():
    cfg = load_config(OBB)
    del cfg.model.train_cfg.assigner
    with pytest.raises(UserError, match="no dense head with anchors and an assigner"):
        find_dense_head_cfgs(cfg)


# -- the command -------------------------------------------------------------------------------------------------------


def test_command_on_tiles(tiles, tmp_path, capsys):
    out = tmp_path / "out"
    code = main([
        "assignment-stats", OBB, "--data", str(tiles), "--out", str(out), "--json", str(tmp_path / "stats.json"),
        "--limit", "2",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith(f"{OBB}: 8 ground-truth boxes in 2 images with objects")
    assert "0.2 k L" in printed
    assert "angle, deg" in printed
    assert (out / "assignment.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(out.iterdir())) == 1
    report = json.loads((tmp_path / "stats.json").read_text())
    assert (report["config"], report["images"], report["objects"]) == (OBB, 2, 8)
    assert list(report["assigners"]) == ["obb", "hbb"]


def test_json_alone_makes_no_plot(tiles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["assignment-stats", OBB, "--data", str(tiles), "--limit", "1"]
    assert main([*arguments, "--json", "stats.json"]) == 0
    assert "plots" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["stats.json"]
    assert main(arguments) == 0
    assert f"plots: work_dirs/{OBB}/assignment.png" in capsys.readouterr().out


def test_command_on_an_instances_json_with_options(tmp_path, capsys):
    coco_json = write_coco_instances(tmp_path / "instances.json")
    code = main([
        "assignment-stats", COCO, "--data", str(coco_json), "--out", str(tmp_path / "out"),
        "--compare", "config", "ssc", "--cfg-options", "model.train_cfg.assigner.topk=3",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert "2 ground-truth boxes in 2 images with objects" in printed
    assert "angle" not in printed
    assert printed.splitlines()[2].split() == ["config", "ssc"]
    assert "3.00" in printed  # 0.2 x 3 x 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--limit", "0"], "--limit must be at least 1, got 0"),
        (["--compare", "fcos"], "no assigner 'fcos'"),
    ],
)
def test_errors_are_one_line(arguments, message, tiles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [] if "--data" in arguments else ["--data", str(tiles)]
    assert main(["assignment-stats", OBB, *given, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_output_in_the_input_folder_is_refused(tiles, capsys):
    before = sorted(tiles.rglob("*"))
    assert main(["assignment-stats", OBB, "--data", str(tiles), "--out", str(tiles / "images" / "stats")]) == 2
    assert "the output overlaps the input" in capsys.readouterr().err
    assert sorted(tiles.rglob("*")) == before

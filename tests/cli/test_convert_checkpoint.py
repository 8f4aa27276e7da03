"""The command ``convert-checkpoint``: printed report, written files, refusals."""

from __future__ import annotations

import os

import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import Window
from rotated_atss.checkpoints.weight_files import read_safetensors
from rotated_atss.cli import main
from rotated_atss.dota.classes import CLASSES
from tests.references.pickles import Trap

NARROW = {
    "model.backbone.base_channels": 4,
    "model.backbone.stem_channels": 4,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 16,
    "model.bbox_head.in_channels": 16,
    "model.bbox_head.feat_channels": 16,
}
NARROW_R3DET = {key.replace("bbox_head", head): value for key, value in NARROW.items()
                for head in ("bbox_head_init", "bbox_head_refine.0")} | {
    "model.bbox_head_refine.0.frm_cfg.feat_channels": 16}  # fmt: skip
LE90 = "rotated_atss_obb_r50_fpn_1x_dota_le90"
META = {"mmrotate_version": "0.3.4+", "mmcv_version": "1.7.1", "CLASSES": CLASSES["v1.0"], "epoch": 12}


def as_arguments(options):
    return [f"{key}={str(value).replace(' ', '')}" for key, value in options.items()]


@pytest.fixture(scope="module")
def state():
    """Weights of the narrow ``LE90`` model; mmrotate 0.x uses the same names."""
    return weights_of(LE90, NARROW)


def weights_of(config, options):
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.manual_seed(0)
    return build_model(load_config(config, {"model.backbone.init_cfg": None, **options})).state_dict()


def save(path, content):
    torch.save(content, path)
    return path


def convert(capsys, source, out, *options, narrow=NARROW):
    code = main(["convert-checkpoint", str(source), str(out), *options, "--cfg-options", *as_arguments(narrow)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_mmrotate_0x_checkpoint_is_converted(tmp_path, state, capsys):
    content = {"meta": META, "state_dict": {**state, "ema_backbone_conv1_weight": torch.zeros(1)}, "optimizer": {}}
    source = save(tmp_path / f"{LE90}-e029ca06.pth", content)
    before = source.read_bytes()
    code, out, _ = convert(capsys, source, tmp_path / "out" / "atss")
    paths = tmp_path / "out" / "atss.pth", tmp_path / "out" / "atss.safetensors"
    assert code == 0
    assert source.read_bytes() == before
    assert out.splitlines() == [
        f"{source}: mmrotate-0.x, 5 box parameters, mmrotate_version 0.3.4+ in meta",
        f"config: {LE90}, detected from the shapes; the same weights fit rotated_atss_obb_r50_fpn_1x_dota_ms_rr_le90",
        f"mapped: {len(state)} of {len(state) + 1} (backbone 318, neck 16, bbox_head 20)",
        "dropped: 1 (first: ema_backbone_conv1_weight)",
        "missing: 0",
        f"wrote {paths[0]} and {paths[1]}",
    ]
    written = torch.load(paths[0], weights_only=True)
    assert written["meta"]["converted_from"] == "mmrotate-0.x"
    assert written["meta"]["config"] == LE90
    assert written["meta"]["dataset_meta"] == {"classes": list(CLASSES["v1.0"])}
    for path in paths:
        info = read_model_info(path)
        assert (info.config_name, info.classes, info.angle_version) == (LE90, CLASSES["v1.0"], "le90")
        assert (info.window, info.origin) == (Window(1024, 200), f"mmrotate-0.x, {source.name}")
        assert info.config_values()["model"]["neck"]["out_channels"] == 16
    for content in (written, read_safetensors(paths[1])):
        assert list(state) == list(written["state_dict"])
        assert all(torch.equal(content["state_dict"][name], value) for name, value in state.items())


def test_both_written_files_load(tmp_path, state, capsys):
    from mmengine.runner.checkpoint import CheckpointLoader

    from rotated_atss.checkpoints.read_file import state_dict_of
    from rotated_atss.detection.engine.checkpoint_io import check_weights_fit, read_checkpoint
    from rotated_atss.detection.engine.config import build_model, load_config

    source = save(tmp_path / "le90.pth", {"meta": META, "state_dict": state})
    assert convert(capsys, source, tmp_path / "out")[0] == 0
    model = build_model(load_config(LE90, {"model.backbone.init_cfg": None, **NARROW}))
    for path in (tmp_path / "out.pth", tmp_path / "out.safetensors"):
        loaded = state_dict_of(read_checkpoint(path))
        check_weights_fit(model, loaded, path)
        model.load_state_dict(loaded)
        by_mmengine = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")["state_dict"]  # load_from
        assert all(torch.equal(by_mmengine[name], value) for name, value in state.items())


def test_oc_layer_of_mmrotate_1x_is_rewritten(tmp_path, state, capsys):
    text = (
        "model = dict(bbox_head=dict(anchor_generator=dict(angle_version='oc'), bbox_coder=dict(angle_version='oc')))"
    )
    content = {"meta": {"mmengine_version": "0.10.1", "cfg": text}, "state_dict": state, "message_hub": {}}
    code, out, _ = convert(capsys, save(tmp_path / "epoch_12.pth", content), tmp_path / "out.safetensors")
    assert code == 0
    assert "config: rotated_atss_hbb_r50_fpn_1x_dota_oc, detected from the shapes" in out
    assert "bbox_head.retina_reg rewritten from oc (priors at -1.5708 rad) to oc (priors at 0 rad)" in out
    written = read_safetensors(tmp_path / "out.safetensors")["state_dict"]
    rows = state["bbox_head.retina_reg.weight"]
    assert torch.equal(written["bbox_head.retina_reg.weight"], rows[[0, 1, 3, 2, 4]])


def test_r3det_of_mmrotate_0x_is_converted(tmp_path, capsys):
    config = "r3det_r50_fpn_1x_dota_oc"
    state = weights_of(config, NARROW_R3DET)
    mmrotate_state = {
        name.replace("bbox_head_refine.0.feat_refine_module", "feat_refine_module.0")
        .replace("bbox_head_refine.0", "refine_head.0").replace("bbox_head_init", "bbox_head"): value
        for name, value in state.items() if "transposed" not in name
    }  # fmt: skip
    source = save(tmp_path / "r3det_r50_fpn_1x_dota_oc-b1fb045c.pth", {"state_dict": mmrotate_state})
    code, out, _ = convert(capsys, source, tmp_path / "out", narrow=NARROW_R3DET)
    assert code == 0
    assert f"config: {config}, detected from the shapes" in out
    assert "parameter refine_head.0." in out
    name = "bbox_head_refine.0.feat_refine_module.transposed"
    assert f"filled: 1 (first: {name}), value 1 (x/y-swapped sampling of mmcv's kernel)" in out
    written = read_safetensors(tmp_path / "out.safetensors")["state_dict"]
    assert written.pop(name) == 1
    assert all(torch.equal(value, state[key]) for key, value in written.items())


def test_number_of_classes_must_match_the_config(tmp_path, capsys):
    sixteen = {**NARROW, "model.bbox_head.num_classes": 16}
    content = {"meta": {**META, "CLASSES": CLASSES["v1.5"]}, "state_dict": weights_of(LE90, sixteen)}
    source = save(tmp_path / "le90.pth", content)
    code, _, error = convert(capsys, source, tmp_path / "out")
    assert code == 2
    assert "container-crane in the checkpoint, plane, baseball-diamond" in error
    assert "helicopter in rotated_atss_obb_r50_fpn_1x_dota_le90" in error
    named = {**sixteen, "test_dataloader.dataset.classes": "v1.5"}
    assert convert(capsys, source, tmp_path / "out", narrow=named)[0] == 0
    source = save(tmp_path / "nameless_le90.pth", {**content, "meta": {"mmcv_version": "1.7"}})
    code, _, error = convert(capsys, source, tmp_path / "other")
    assert code == 2
    assert "1 of another shape" not in error
    assert "2 of another shape (bbox_head 2; first: " in error
    assert "the number of classes differs: name the classes with --classes" in error
    assert not (tmp_path / "other.pth").exists()


def refusals(folder, state):
    """Return name -> (content or None, options, part of the error line)."""
    good = {"meta": META, "state_dict": state}
    bare = {name: value for name, value in state.items() if "retina_reg.bias" not in name}
    other = "model = dict(bbox_head=dict(anchor_generator=dict(scales_per_octave=3)))"
    wide = {**state, "bbox_head.retina_reg.weight": torch.zeros(10, 16, 3, 3)}
    horizontal = {**state, "bbox_head.retina_reg.weight": torch.zeros(36, 16, 3, 3)}
    more = {**state, "roi.w": torch.ones(1)}
    trap = {"state_dict": state, "meta": Trap(os.path.join(folder, "made"))}
    no_detector = {"state_dict": {"fc.weight": torch.zeros(2)}}
    return {
        "le90_none": (None, (), "no such checkpoint"),
        "le90_trap": (trap, (), "not loaded, for safety: it contains posix"),
        "le90_empty": ({"meta": META}, (), "contains no weights"),
        "le90_class": (no_detector, (), "not a supported detector"),
        "weights": ({"state_dict": state}, (), "cannot determine whether the weights are from mmrotate 0.x or 1.x"),
        "uncoded": (good, (), "the angle version of the boxes is unknown (give --angle-version"),
        "le90_part": ({**good, "state_dict": bare}, (), "1 missing (bbox_head 1; first: bbox_head.retina_reg.bias)"),
        "le90_more": ({**good, "state_dict": more}, (), "1 unexpected (roi 1; first: roi.w)"),
        "le90_wide": ({**good, "state_dict": wide}, (), "no config matches the shapes of the weights (choose one"),
        "le90_hbb": ({**good, "state_dict": horizontal}, (), "no config matches the shapes of the weights (choose one"),
        "le90_oc": (
            good,
            ("--angle-version", "oc", "--config", LE90),
            "the angle versions differ: oc in the checkpoint, le90 in",
        ),
        "le90_priors": (
            {**good, "meta": {**META, "config": other}},
            (),
            "the priors differ: scales_per_octave=3 in the checkpoint, 1 in",
        ),
        "le90_config": (good, ("--config", "no_such"), "no_such: no such config"),
        "le90_from": (good, ("--from", "atss-official"), "not a checkpoint of atss-official: it has 5 box parameters"),
        "le90_mmdet": (good, ("--from", "mmdet-2.x"), "not a checkpoint of mmdet-2.x: it has 5 box parameters"),
        "le90_converted": ({**good, "meta": {"converted_from": "x"}}, (), "already a checkpoint of rotated-atss"),
    }


@pytest.mark.parametrize("name", list(refusals("", {})))
def test_refusal_is_one_line(name, tmp_path, state, capsys):
    content, options, words = refusals(tmp_path, state)[name]
    source = tmp_path / f"{name}.pth"
    if content is not None:
        save(source, content)
    code, _, error = convert(capsys, source, tmp_path / "out", *options)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1
    assert error.startswith("rotated-atss convert-checkpoint: error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ([source.name] if content is not None else [])


def test_damaged_file_is_refused(tmp_path, state, capsys):
    whole = save(tmp_path / "whole_le90.pth", {"meta": META, "state_dict": state}).read_bytes()
    for name, data in (("cut.pth", whole[:-1000]), ("text.pth", b"<html>404</html>"), ("cut.safetensors", whole[:99])):
        (tmp_path / name).write_bytes(data)
        code, _, error = convert(capsys, tmp_path / name, tmp_path / "out")
        assert code == 2
        assert f"{name}: not a readable checkpoint" in error
        assert error.count("\n") == 1


def test_output_that_is_the_input_or_no_file_is_refused(tmp_path, state, capsys):
    source = save(tmp_path / "le90.pth", {"meta": META, "state_dict": state})
    before = source.read_bytes()
    for out, words in (
        (source, "the output overlaps the input"),
        (tmp_path / "le90", "the output overlaps the input"),
        (tmp_path / "le90.safetensors", "the output overlaps the input"),
        (tmp_path, "the output path is a folder or has no file name"),
        (source / "x", "the output overlaps the input"),
    ):
        code, _, error = convert(capsys, source, out)
        assert code == 2
        assert words in error
        assert error.count("\n") == 1
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["le90.pth"]


def test_unknown_source_or_angle_version_is_refused(capsys):
    for options in (("--from", "mmrotate-2.x"), ("--angle-version", "le180")):
        with pytest.raises(SystemExit) as stop:
            main(["convert-checkpoint", "in.pth", "out", *options])
        assert stop.value.code == 2
        assert "invalid choice" in capsys.readouterr().err

"""Configs and their parts: errors in one line."""

import copy
import re

import pytest
import torch
from mmengine.config import Config

from rotated_atss import cli
from rotated_atss.configs import config_names, find_base_config, find_config
from rotated_atss.detection.engine.config import build_model, find_test_dataset, load_config
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.runner import train
from rotated_atss.io.safe_config import require_safe_configs

DEMO = "rotated_atss_obb_r18_demo_le90"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"train_dataloader.dataset.classes": "v1.5"},
            "the model has 15 classes, but the dataset has 16 classes (plane, ",
        ),
        ({"train_dataloader.dataset.classes": "ship"}, "for one class, write 'ship,'"),
        ({"train_dataloader.dataset.data_root": "/no/such"}, "/no/such/images: no such folder"),
        ({"train_dataloader.dataset.type": "DotaDataset"}, "cannot build train_cfg or train_dataloader"),
        ({"train_dataloader.dataset.pipeline.0.type": "LoadTyle"}, "cannot build train_cfg or train_dataloader"),
        ({"optim_wrapper.optimizer.type": "SDG"}, "cannot build optim_wrapper of this config: "),
        ({"optim_wrapper.optimizer.momentun": 1}, "cannot build optim_wrapper of this config"),
        ({"param_scheduler.0.type": "Cosine"}, "cannot build param_scheduler of this config"),
        ({"default_hooks.logger.intervall": 1}, "cannot build this config"),
        ({"model.backbone.depth": 19}, f"{DEMO}.py: cannot build this model: "),
        ({"model.bbox_head.type": "ATTS"}, "cannot build this model: ATTS is not in"),
        ({"model.backbone.depth.x": 1}, "these options do not fit the config"),
        ({"train_dataloader.dataset.pipeline.9.type": "x"}, "these options do not fit the config"),
    ],
)
def test_parts_that_do_not_fit_are_reported_in_one_line(run, changes, message, fault):
    assert message in fault(run, changes)


def test_unreadable_configs_are_reported_in_one_line(tmp_path, tiny_options, fault):
    for number, (text, message) in enumerate(
        [
            ("model = 1\nmodel = dict(", ":2: cannot read this config: '(' was never closed"),
            ("_base_ = 'none.py'", "no such config in _base_, got 'none.py' ("),
            (f"_base_ = '{DEMO[:-1]}'", f"(nearest: {DEMO}, "),
            (f"_base_ = 'folder/{DEMO}.py'", "no such config in _base_"),
            ("_base_ = 'own.yml'", "YAML configs are not read"),
            ("a = 1 / 0", "ZeroDivisionError"),
            ("a = b", "NameError"),
            ("custom_imports = dict(imports=['no_such_module'])", "ImportError"),
            ("a = 1", "this config has no model"),
        ]
    ):
        path = tmp_path / f"broken{number}.py"
        path.write_text(text)
        error = fault(train, path, TrainOptions(work_dir=str(tmp_path / "w")))
        assert error.startswith(f"{path}:") or "YAML" in message
        assert message in error
    assert not (tmp_path / "w").exists()
    assert "no_such: no such config" in fault(train, "no_such")


def test_test_dataset_is_found_inside_a_wrapper():
    inner = {"type": "DOTADataset", "pipeline": [{"type": "LoadTile"}]}
    cfg = Config({"test_dataloader": {"dataset": {"type": "RepeatDataset", "dataset": inner}}})
    assert find_test_dataset(cfg)["type"] == "DOTADataset"


def test_config_inherited_by_package_name_is_that_config(tmp_path):
    own, name = tmp_path / "own.py", "rotated_atss_obb_r50_fpn_1x_dota_le90"
    own.write_text(f'_base_ = "rotated_atss::dota/{name}.py"\n')
    inherited, original = (load_config(config)._cfg_dict.to_dict() for config in (own, name))
    assert {**inherited, "config_name": name} == original


@pytest.mark.parametrize("own, base", [("own.py", DEMO), ("own.py", f"{DEMO}.py"), (f"{DEMO}.py", f"{DEMO}.py")])
def test_config_inherited_by_bare_name_is_that_config(own, base, tmp_path):
    (tmp_path / own).write_text(f'_base_ = "{base}"\n')
    inherited, original = (load_config(config)._cfg_dict.to_dict() for config in (tmp_path / own, DEMO))
    assert {**inherited, "config_name": DEMO} == original


def test_model_of_a_config_that_inherits_by_bare_name(tmp_path):
    (tmp_path / "classes.py").write_text("num_classes = 3\n")
    (tmp_path / "own.py").write_text(
        f'_base_ = ["{DEMO}", "classes.py"]\nmodel = dict(bbox_head=dict(num_classes={{{{_base_.num_classes}}}}))\n'
    )
    assert build_model(load_config(tmp_path / "own.py")).bbox_head.num_classes == 3


def test_file_in_the_folder_of_the_config_comes_before_a_config_of_that_name(tmp_path):
    (tmp_path / f"{DEMO}.py").write_text("model = dict(type='own')\n")
    (tmp_path / "own.py").write_text(f'_base_ = "{DEMO}.py"\n')
    assert load_config(tmp_path / "own.py").model == {"type": "own"}


def test_text_of_a_config_is_complete_but_not_formatted(monkeypatch):
    """MMEngine formats the text several times per run, which takes longer than building the model."""
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", None)
    cfg = copy.deepcopy(load_config("rotated_atss_obb_r18_demo_le90", {"train_cfg.max_iters": 7}))
    again = Config.fromstring(cfg.pretty_text, ".py")
    assert again.to_dict() == cfg.to_dict()
    assert again.train_cfg.max_iters == 7


# -- configs that are not executed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 5000, "*", "rotated_atss_obb_*", "[" * 300, ".", "..", "a\x00b"])
def test_names_that_are_no_configs(name, tmp_path, fault):
    assert "no such config" in fault(find_config, name)
    assert "no such config in _base_" in fault(find_base_config, name, tmp_path / "own.py")


def test_a_config_of_every_folder_is_the_same_when_it_is_not_executed(tmp_path):
    for name in {find_config(name).parent: name for name in config_names()}.values():
        path = tmp_path / f"{name}.py"
        text = find_config(name).read_text()
        path.write_text(re.sub(r'"(\.\.?/[^"]+\.py|\w+\.py)"', rf'"{find_config(name).parent}/\1"', text))
        with require_safe_configs():
            safe = load_config(path)
        assert safe.to_dict() == load_config(name).to_dict()


def test_a_config_that_executes_code_is_refused_by_every_command(tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(f"_base_ = '{DEMO}'\n__import__('os').mkdir('{tmp_path}/made')\n")
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    (tmp_path / "a.png").touch()
    config, weights, out = str(path), str(tmp_path / "a.pth"), str(tmp_path / "out")
    for words in (
        ["train", config],
        ["test", config, weights],
        ["assignment-stats", config],
        ["predict", config, weights, str(tmp_path / "a.png"), "--out", out],
        ["export", config, weights, "--onnx", f"{out}.onnx"],
    ):
        assert cli.main([*words, "--safe-config"]) == 2
        assert f"{path}:2: not a literal, got '__import__" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_types_that_a_safe_config_names_are_registered(tmp_path, fault):
    (tmp_path / "own.py").write_text(f"_base_ = '{DEMO}'\nmodel = dict(backbone=dict(type='subprocess.Popen'))\n")
    with require_safe_configs():
        message = fault(load_config, tmp_path / "own.py")
    assert "own.py: model.backbone.type must be the name of a registered class, got 'subprocess.Popen'" in message

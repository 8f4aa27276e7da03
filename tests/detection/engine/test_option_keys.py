"""Keys of --cfg-options: misspelled keys are errors, the keys of the documentation are accepted."""

import re
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

from rotated_atss import cli
from rotated_atss.configs import config_names
from rotated_atss.detection.engine.config import config_from_values, load_config
from rotated_atss.detection.engine.option_keys import check_option_keys
from rotated_atss.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
DOTA = "rotated_atss_obb_r50_fpn_1x_dota_le90"
DEMO = "rotated_atss_obb_r18_demo_le90"


def documented_options():
    """Yield (place, config, key) of the options in README and docs."""
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            named = [word for word in re.findall(r"[\w/]+", line) if word in config_names()]
            for options in re.findall(r"--cfg-options ([^`|]+)", line):
                for key in re.findall(r"(?:^|[ \"])([a-z_]+\.[\w.]+)(?:=|\s*$)", options):
                    yield f"{path.name}:{number}", named[0] if named else DOTA, key


OPTIONS = list(documented_options())


def test_options_of_the_documentation_are_found():
    assert len(OPTIONS) >= 14
    assert ("training.md", DEMO, "param_scheduler.0.eta_max") in [
        (place.partition(":")[0], *option) for place, *option in OPTIONS
    ]


@pytest.mark.parametrize("place, config, key", OPTIONS, ids=[f"{place}-{key}" for place, _, key in OPTIONS])
def test_options_of_the_documentation_are_accepted(place, config, key):
    assert load_config(config, {key: 1}) is not None, place


@pytest.mark.parametrize(
    "key",
    [
        "model.test_cfg.clamp_centers",  # new in a dictionary without type
        "model.backbone.init_cfg.checkpoint",
        "train_dataloader.dataset.filter_cfg.filter_empty_gt",
        "train_dataloader.dataset.rect",  # new in a dictionary with type
        "train_cfg.max_iters",
        "param_scheduler.0.eta_max",
        "default_hooks.checkpoint.save_best",
        "default_hooks.early_stopping",
        "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult",
        "optim_wrapper.optimizer.momentun",  # refused by the optimizer
        # not in the config, but read by the runner or this package
        "randomness.seed",
        "experiment_name",
        "work_dir",
        "on_bad_image",
        "ground_resolution",
        "find_unused_parameters",
    ],
)
def test_new_keys_that_can_have_an_effect_are_accepted(key):
    assert load_config(DOTA, {key: 1}) is not None


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("optim_wraper.optimizer.lr", "optim_wrapper"),
        ("modle.x", "model"),
        ("workdir", "work_dir"),
        ("model_wraper_cfg.type", "model_wrapper_cfg"),
        ("train_dataloader.batchsize", "train_dataloader.batch_size"),
        ("train_dataloader.datset.data_root", "train_dataloader.dataset"),
        ("model.test_cfg.score_thres", "model.test_cfg.score_thr"),
        ("default_hooks.chekpoint.save_best", "default_hooks.checkpoint"),
    ],
)
def test_misspelled_keys_raise(key, nearest, fault):
    message = fault(load_config, DOTA, {"train_cfg.max_iters": 9, key: 1})
    assert message.endswith(f"{DOTA}.py: no such key in the config, got '{key}' (nearest: {nearest})")


def test_unknown_key_without_a_similar_one(fault):
    assert fault(load_config, DOTA, {"zzz": 1}).endswith("got 'zzz' (rotated-atss config prints the keys)")


def test_numbers_in_names_are_not_misspellings():
    check_option_keys({"model": {"layer3": {}}}, ["model.layer4.x"], "a.py")
    with pytest.raises(UserError, match=r"nearest: model.layer3"):
        check_option_keys({"model": {"layer3": {}}}, ["model.lyer3.x"], "a.py")


def test_config_recorded_in_a_model_file_is_checked(fault):
    values = {"model": {"type": "ATSS"}}
    assert config_from_values(values, "demo", "a.pth", {"test_dataloader.num_workers": 1}).test_dataloader is not None
    assert fault(config_from_values, values, "demo", "a.pth", {"modle.x": 1}).startswith("a.pth: no such key")


@pytest.mark.parametrize("command", ["config", "train", "assignment-stats"])
def test_commands_refuse_misspelled_keys(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, DEMO, "--cfg-options", "optim_wraper.optimizer.lr=9"]) == 2
    captured = capsys.readouterr()
    assert "no such key in the config, got 'optim_wraper.optimizer.lr' (nearest: optim_wrapper)" in captured.err
    assert not list(tmp_path.iterdir())

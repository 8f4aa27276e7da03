"""The presets match the class lists, the training configs and mmrotate's published settings."""

import json
import subprocess
import sys

import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.tiling.presets import load_preset, preset_folder, preset_names
from rotated_atss.tiling.split_settings import SplitSettings

NAMES = [
    f"dota_{version}_{scale}_{part}" for version in CLASSES for scale in ("ms", "ss") for part in ("test", "trainval")
]


def test_one_preset_per_version_scale_and_part():
    assert preset_names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_preset_values(name):
    preset = load_preset(name)
    scale = {"gaps": [500], "rates": [0.5, 1.0, 1.5]} if "_ms_" in name else {}
    assert preset.settings == SplitSettings(**scale)
    assert f"dota_{preset.classes}_" in name
    assert preset.labeled == name.endswith("trainval")
    assert preset.out.rpartition("/")[2] == name.rpartition("_")[2]


def test_presets_hold_no_absolute_path():
    for path in preset_folder().glob("*.json"):
        fields = json.loads(path.read_text())
        assert not [value for value in (fields["data_root"], fields["out"]) if value.startswith(("/", "~"))]


def test_outputs_of_v1_are_the_folders_of_the_training_configs(repo_root):
    for scale, config in (("ss", "dota.py"), ("ms", "dota_ms_rr.py")):
        text = (repo_root / "configs" / "_base_" / "datasets" / config).read_text()
        folder = load_preset(f"dota_v1.0_{scale}_trainval").out.rpartition("/")[0]
        assert f'"{folder}/' in text


def test_folders_below_a_data_root():
    images, labels = load_preset("dota_v1.5_ss_trainval").folders("raw")
    assert images == ["raw/train/images", "raw/val/images"]
    assert labels == ["raw/train/labelTxt", "raw/val/labelTxt"]
    assert load_preset("dota_v1.5_ss_test").folders() == (["data/DOTA_v1.5/test/images"], None)


def test_unknown_preset_lists_the_presets():
    with pytest.raises(UserError, match=r"unknown preset 'dota'.*dota_v2\.0_ss_trainval"):
        load_preset("dota")


@pytest.mark.parametrize("script", ["split.py", "merge.py", "generate_scenes.py"])
def test_scripts_show_their_help(script, repo_root):
    command = [sys.executable, str(repo_root / "data_prep" / script), "--help"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")

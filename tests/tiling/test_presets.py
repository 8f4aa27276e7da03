"""The presets match the class lists, the training configs and mmrotate's published settings."""

import json
import subprocess
import sys

import pytest

from rotated_atss.dota.datasets import DATASETS, DOTA_VERSIONS
from rotated_atss.errors import UserError
from rotated_atss.label_formats.registry import get_format
from rotated_atss.tiling.presets import load_preset, preset_folder, preset_names
from rotated_atss.tiling.split_settings import SplitSettings

DOTA = [
    f"dota_{version}_{scale}_{part}"
    for version in DOTA_VERSIONS
    for scale in ("ms", "ss")
    for part in ("test", "trainval")
]
PARTS = {
    "hrsc2016": ("trainval", "train", "val", "test"),
    "dior_r": ("trainval", "train", "val", "test"),
    "fair1m_v1.0": ("train", "test"),
    "fair1m_v2.0": ("trainval", "train", "val", "test"),
    "soda_a": ("train", "val", "test"),
    "ucas_aod": ("train", "val", "test"),
    "codrone": ("train", "val", "test"),
    "star": ("train", "val", "test"),
    "ssdd": ("train", "test"),
    "hrsid": ("train", "test"),
}
OTHERS = [f"{name}_{part}" for name, parts in PARTS.items() for part in parts]
UNLABELED = ("star_test", "fair1m_v1.0_test", "fair1m_v2.0_test")
GRIDS = {"fair1m": (1024, 200), "soda": (800, 150), "codrone": (1180, 200), "star": (1024, 200)}


def test_one_preset_per_dataset_and_part():
    assert preset_names() == sorted([*DOTA, *OTHERS])


@pytest.mark.parametrize("name", DOTA)
def test_preset_values(name):
    preset = load_preset(name)
    scale = {"gaps": [500], "rates": [0.5, 1.0, 1.5]} if "_ms_" in name else {}
    assert preset.settings == SplitSettings(**scale)
    assert f"dota_{preset.classes}_" in name
    assert (preset.labels is not None) == name.endswith("trainval")
    assert preset.out.rpartition("/")[2] == name.rpartition("_")[2]


@pytest.mark.parametrize("name", OTHERS)
def test_preset_values_of_other_datasets(name):
    preset, dataset = load_preset(name), name.rpartition("_")[0]
    assert preset.classes in DATASETS
    assert dataset.replace("_", "-").startswith(preset.classes)
    assert preset.out == f"data/{dataset}/{name.rpartition('_')[2]}"
    assert (preset.labels is None) == (name in UNLABELED)
    assert preset.labels is None or len(preset.labels) == len(preset.images)
    get_format(preset.label_format)
    grid = GRIDS.get(dataset.partition("_")[0])
    assert preset.settings == (
        SplitSettings(whole_images=True) if grid is None else SplitSettings([grid[0]], [grid[1]])
    )


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


def test_folders_of_ucas_aod_are_those_that_the_benchmark_writes():
    for part in PARTS["ucas_aod"]:
        assert load_preset(f"ucas_aod_{part}").folders("raw") == (["raw/AllImages"], ["raw/Annotations"])


def test_lists_of_images_below_a_data_root():
    assert load_preset("dior_r_trainval").image_list_paths("DIOR") == [
        "DIOR/ImageSets/Main/train.txt",
        "DIOR/ImageSets/Main/val.txt",
    ]
    assert load_preset("soda_a_train").image_list_paths() is None


def test_unknown_preset_lists_the_presets():
    with pytest.raises(UserError, match=r"unknown preset 'dota'.*dota_v2\.0_ss_trainval"):
        load_preset("dota")


@pytest.mark.parametrize("script", ["split.py", "merge.py", "generate_scenes.py"])
def test_scripts_show_their_help(script, repo_root):
    command = [sys.executable, str(repo_root / "data_prep" / script), "--help"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")

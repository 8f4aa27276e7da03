"""Commands import no more than they need: each import below takes between a tenth of a second and seconds."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from rotated_atss.cli import WITHOUT_TORCH

CONFIG = "rotated_atss_obb_r18_demo_le90"
FRAMEWORK = ("torch", "torchvision", "mmengine", "mmcv", "mmdet", "mmrotate", "scipy", "matplotlib")
# what MMDetection's registries import at their first use, and what these import
REST_OF_MMDETECTION = (
    *("mmdet.datasets", "mmdet.engine", "mmdet.evaluation", "mmdet.apis", "mmrotate"),
    *("imgaug", "imageio", "numba", "llvmlite", "scipy.stats", "skimage.transform"),
)
NOT_IN_PREDICT = ("torchvision", "tensorboard", "mmdet.visualization", "yapf")  # MMEngine's runner imports them

# scikit-learn is here for tests only; MMDetection imports it where it is installed
PROGRAM = """
import json, sys
sys.modules["sklearn"] = None
from rotated_atss.cli import main
for words, refused in json.loads(sys.argv[1]):
    code = main(words)
    found = [name for name in refused if name in sys.modules]
    assert (code, found) == (0, []), f"{words[0]}: exit code {code}, imported {found}"
"""


def run_commands(commands, folder):
    """Run commands in one process and check after each that none of its modules is imported."""
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(commands)]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def folder(tmp_path):
    """A folder with a tile, its labels, the labels of the full image, and Task1 files of tiles."""
    for name in ("data/images", "data/labelTxt", "labels", "task1"):
        (tmp_path / name).mkdir(parents=True)
    tile, label = "P0__128__0___0", "20 30 60 30 60 50 20 50 ship 0\n"
    cv2.imwrite(str(tmp_path / f"data/images/{tile}.png"), np.full((128, 128, 3), 90, np.uint8))
    (tmp_path / f"data/labelTxt/{tile}.txt").write_text(label)
    (tmp_path / "labels/P0.txt").write_text(label)
    (tmp_path / "task1/Task1_ship.txt").write_text(f"{tile} 0.9 20 30 60 30 60 50 20 50\n")
    return tmp_path


def test_commands_without_a_model_import_no_torch(folder):
    inputs = ["--images", "data/images", "--labels", "data/labelTxt"]
    commands = [
        ["check-data", *inputs, "--fix", "clean", "--workers", "1"],
        ["split", *inputs, "--out", "tiles", "--workers", "1"],
        ["merge", "task1", "--out", "merged", "--workers", "1"],
        ["evaluate", "--detections", "merged", "--labels", "labels", "--workers", "1"],
        ["report", "--detections", "merged", "--labels", "labels", "--out", "report", "--images", "data/images"],
        ["check-submission", "merged", "--classes", "ship,"],
        ["convert-labels", "data/labelTxt", "voc", "--from", "dota", "--to", "labelme", "--images", "data/images"],
        ["draw", *inputs, "--out", "drawn"],
        ["list", "dota"],
        ["models", "list"],
        ["completion", "bash"],
    ]
    assert set(WITHOUT_TORCH) <= {words[0] for words in commands}
    stats = ["stats", *inputs, "--workers", "1", "--json", "stats.json"]  # it computes with torch
    refused = [name for name in FRAMEWORK if name != "torch"]
    run_commands([*((words, FRAMEWORK) for words in commands), (stats, refused)], folder)


@pytest.mark.slow
def test_predict_train_and_test_import_only_the_models_of_mmdetection(folder):
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    import torch

    from rotated_atss.detection.engine.config import build_model, load_config

    torch.save(build_model(load_config(CONFIG)).state_dict(), folder / "weights.pth")
    data = ["--workers", "0", "--cfg-options", "train_dataloader.dataset.data_root=data"]
    commands = {
        "predict": [CONFIG, "weights.pth", "data/images", "--size", "0"],
        "train": [CONFIG, "--iterations", "1", "--work-dir", "work", *data],
        "show-assignment": [CONFIG, "data/images/P0__128__0___0.png", "--object", "0"],
        "test": [CONFIG, "work/iter_1.pth", "--data", "data", "--labels", "labels", "--workers", "0"],
    }
    refused = {"predict": (*REST_OF_MMDETECTION, *NOT_IN_PREDICT)}
    run_commands([([name, *words], refused.get(name, REST_OF_MMDETECTION)) for name, words in commands.items()], folder)

"""The commands of docs/fine_tuning.md, in order, on synthetic data."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.cli import main
from rotated_atss.ops.boxes import obb_to_poly

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fine_tuning.md"
CONFIG = "rotated_atss_obb_r50_fpn_1x_dota_le90"
CLASSES = ("car", "boat", "roof")

# The config of the page with a network and windows that train in seconds.
SMALL_CONFIG = """
_base_ = "rotated_atss_obb_r50_fpn_1x_dota_le90"
model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""


def commands() -> list[list[str]]:
    """Return the words of every command of the page."""
    lines = re.findall(r"^ {4,}rotated-atss (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def write_part(folder: Path, part: str, images: int, rng: np.random.Generator) -> None:
    """Write images with bright rectangles and their YOLO-OBB labels."""
    for name in ("images", "labels"):
        (folder / part / name).mkdir(parents=True)
    for index in range(images):
        image = rng.integers(0, 60, (160, 200, 3), dtype=np.uint8)
        boxes = np.column_stack([
            rng.uniform(30, 170, 4), rng.uniform(30, 130, 4), rng.uniform(20, 40, 4), rng.uniform(8, 20, 4),
            rng.uniform(-1.5, 1.5, 4),
        ])  # fmt: skip
        corners = obb_to_poly(torch.from_numpy(boxes)).reshape(4, 4, 2)
        lines = []
        for label, quad in enumerate(corners.tolist()):
            cv2.fillPoly(image, [np.round(quad).astype(np.int32)], (80 * (label % 3) + 80,) * 3)
            normalized = (np.array(quad) / [200, 160]).clip(0, 1).ravel()
            lines.append(" ".join([str(label % 3), *map(str, normalized)]))
        cv2.imwrite(str(folder / part / "images" / f"{part}{index}.png"), image)
        (folder / part / "labels" / f"{part}{index}.txt").write_text("\n".join(lines))
    (folder / part / "labels" / "classes.txt").write_text("\n".join(CLASSES))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with the data of the page, a small config and a checkpoint of it with other classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_part(Path("data/roofs"), "train", 3, rng)
    write_part(Path("data/roofs"), "val", 2, rng)
    Path("new_images").mkdir()
    image = cv2.imread("data/roofs/val/images/val0.png")
    cv2.imwrite("new_image.png", image)
    cv2.imwrite("new_images/new_image.png", image)
    Path("small.py").write_text(SMALL_CONFIG)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime: pip install 'rotated-atss[export]'")
def test_every_command_of_the_page(workspace, capsys):
    small = {"--epochs": "2"}
    for words in commands():
        words = ["small.py" if word == CONFIG else word.replace("epoch_12", "epoch_2") for word in words]
        words = [small.get(before, word) for before, word in zip(["", *words], words)]
        if words[0] == "split":
            words += ["--size", "128", "--gap", "32"]
        if words[0] == "train":  # the checkpoint to start from, with DOTA's classes
            save_pretrained(workspace)
        assert main(words) == 0, words
        out = capsys.readouterr()
        if words[0] == "test":
            assert all(name in out.out + out.err for name in CLASSES)
    logs = [path.read_text() for path in Path("work_dirs/roofs").glob("*/*.log")]
    (log,) = [text for text in logs if "Epoch(train)" in text]  # `test` writes its log beside that of `train`
    assert "reinitialized (bbox_head 2; first: bbox_head.retina_cls.weight)" in log
    assert "MultiStepLR: no milestone" not in log
    assert sorted(path.name for path in Path("predictions/detections").iterdir()) == [
        "Task1_boat.txt", "Task1_car.txt", "Task1_roof.txt",
    ]  # fmt: skip
    assert Path("predictions/pictures/new_image.png").is_file()
    for name in CLASSES:  # the exported model finds the same objects
        file = f"detections/Task1_{name}.txt"
        counts = {Path(folder, file).read_text().count("\n") for folder in ("predictions", "predictions_onnx")}
        assert len(counts) == 1


def save_pretrained(folder: Path) -> None:
    """Write a checkpoint of the small config with DOTA's classes."""
    from rotated_atss.detection.engine.config import build_model, load_config

    model = build_model(load_config(folder / "small.py"))
    torch.save({"state_dict": model.state_dict()}, folder / "pretrained.pth")

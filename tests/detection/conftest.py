"""Fixtures for the tests of the MMDetection adapters: small data sets, a narrow model and training runs."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"


@pytest.fixture
def coco_folder(tmp_path):
    """A folder with four images, one without objects, and their instances JSON."""
    from tests.detection.coco_samples import write_dataset

    return write_dataset(tmp_path / "data")


@pytest.fixture(scope="session")
def tiles(tmp_path_factory):
    """A folder of six 128-pixel tiles of two images; five have bright rectangles, one is empty."""
    import cv2

    from rotated_atss.dota.labels import write_labels

    root = tmp_path_factory.mktemp("tiles")
    (root / "images").mkdir()
    (root / "labelTxt").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        name = f"P{number // 3:04d}__128__{(number % 3) * 96}___0"
        image = rng.integers(40, 80, (128, 128, 3), dtype=np.uint8)
        polygons, names = [], []
        for _ in range(0 if number == 5 else 4):
            cx, cy, angle = *rng.uniform(24, 104, 2), rng.uniform(0, np.pi)
            axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * [[14], [6]]
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ axes + (cx, cy)
            kind = int(rng.integers(2))
            cv2.fillPoly(image, [corners.round().astype(np.int32)], [(30, 30, 220), (220, 200, 30)][kind])
            polygons.append(corners.ravel())
            names.append(["plane", "ship"][kind])
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
        write_labels(root / "labelTxt" / f"{name}.txt", np.array(polygons).reshape(-1, 8), names, [0] * len(names))
    return root


# At least 16 channels: with fewer, oneDNN writes past a buffer in the backward pass of a 1x1 convolution of stride 2
# (channels last, AVX-512: https://github.com/uxlfoundation/oneDNN/issues/6035), and the process may abort later.
NARROW = {
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 16,
    "model.bbox_head.in_channels": 16,
    "model.bbox_head.feat_channels": 16,
    "model.bbox_head.stacked_convs": 1,
    "default_hooks.logger.interval": 1,
    "log_processor.window_size": 1,
    "visualizer.vis_backends": [{"type": "LocalVisBackend"}],
}


def small_loaders(tiles, *names):
    return {
        f"{loader}.{key}": value
        for loader in names
        for key, value in {
            "dataset.data_root": str(tiles),
            "num_workers": 0,
            "persistent_workers": False,
            "batch_size": 2,
        }.items()
    }


@pytest.fixture
def tiny_options(tiles):
    """Options that reduce the demo config to a training run of seconds."""
    return {
        **small_loaders(tiles, "train_dataloader", "test_dataloader"),
        **NARROW,
        "model.bbox_head.norm_cfg.num_groups": 4,
        "train_cfg.max_iters": 4,
        "param_scheduler.0.total_steps": 4,
        "default_hooks.checkpoint.interval": 4,
    }


@pytest.fixture
def tiny_published_options(tiles):
    """Options that reduce a published config, with its schedule and validation, to one epoch of seconds."""
    return {
        **small_loaders(tiles, "train_dataloader", "val_dataloader", "test_dataloader"),
        **NARROW,
        "model.backbone.depth": 18,
        "model.backbone.frozen_stages": -1,
        "model.backbone.norm_eval": False,
        "model.backbone.init_cfg": None,
        "train_dataloader.dataset.pipeline.2.scale": (128, 128),
        "val_dataloader.dataset.pipeline.1.scale": (128, 128),
        "test_dataloader.dataset.pipeline.1.scale": (128, 128),
        "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 1,
    }


@pytest.fixture
def quick():
    """Use one thread: more slow down layers of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path, tiny_options):
    """Train the reduced demo config, each run in a separate folder."""
    from rotated_atss.detection.engine.options import TrainOptions
    from rotated_atss.detection.engine.runner import train

    numbers = iter(range(99))

    def call(changes=None, **options):
        name = f"run{next(numbers)}"
        options.setdefault("work_dir", str(tmp_path / name))
        _wait_for_a_new_log(options["work_dir"])
        # MMEngine identifies loggers and histories by this name and the second
        unique = {"experiment_name": f"{tmp_path.name}{name}"}
        return train(DEMO, TrainOptions(cfg_options={**tiny_options, **unique, **(changes or {})}, **options))

    return call


@pytest.fixture
def run_published(tmp_path, tiny_published_options):
    """Train a reduced published config."""
    from rotated_atss.detection.engine.options import TrainOptions
    from rotated_atss.detection.engine.runner import train

    def call(changes=None, config=PUBLISHED, **options):
        unique = {"experiment_name": f"{tmp_path.name}{len(list(tmp_path.iterdir()))}"}
        options.setdefault("work_dir", str(tmp_path / "work"))
        _wait_for_a_new_log(options["work_dir"])
        return train(
            config, TrainOptions(cfg_options={**tiny_published_options, **unique, **(changes or {})}, **options)
        )

    return call


def _wait_for_a_new_log(work_dir):
    """Wait until MMEngine, which names the log of a run by the second, starts a new one."""
    if Path(work_dir).is_dir():
        time.sleep(1.05)


@pytest.fixture
def exact_convolutions():
    """Disable TF32, which rounds the inputs of float32 convolutions to 10 bits."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before

"""Configs of other datasets than DOTA-v1.0: from files in their own format to a training step and an evaluation."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, read_info
from rotated_atss.cli import main
from rotated_atss.dota.datasets import DATASETS, DOTA_VERSIONS
from rotated_atss.tiling.presets import load_preset
from tests.references import raw_datasets
from tests.references.raw_datasets import RECTANGLE

PREFIX = "rotated_atss_obb_r50_fpn"
# config: dataset, presets of the training and of the test part, whether the test part has labels
DOTA = {
    f"{PREFIX}_1x_dotav15_le90": ("v1.5", "dota_v1.5_ss_trainval", "dota_v1.5_ss_test", False),
    f"{PREFIX}_1x_dotav2_le90": ("v2.0", "dota_v2.0_ss_trainval", "dota_v2.0_ss_test", False),
}
CONFIGS = {
    f"{PREFIX}_6x_hrsc2016_rr_le90": ("hrsc2016", "hrsc2016_trainval", "hrsc2016_test", True),
    "rotated_retinanet_obb_r50_fpn_6x_hrsc2016_rr_le90": ("hrsc2016", "hrsc2016_trainval", "hrsc2016_test", True),
    "rotated_retinanet_obb_r50_fpn_1x_dior_r_le90": ("dior-r", "dior_r_trainval", "dior_r_test", True),
    f"{PREFIX}_1x_dior_r_le90": ("dior-r", "dior_r_trainval", "dior_r_test", True),
    f"{PREFIX}_1x_fair1m_v1_le90": ("fair1m", "fair1m_v1.0_train", "fair1m_v1.0_test", False),
    f"{PREFIX}_1x_fair1m_v2_le90": ("fair1m", "fair1m_v2.0_trainval", "fair1m_v2.0_test", False),
    f"{PREFIX}_1x_soda_a_le90": ("soda-a", "soda_a_train", "soda_a_test", True),
    f"{PREFIX}_3x_ucas_aod_le90": ("ucas-aod", "ucas_aod_train", "ucas_aod_test", True),
    f"{PREFIX}_1x_codrone_le90": ("codrone", "codrone_train", "codrone_test", True),
    f"{PREFIX}_1x_star_le90": ("star", "star_train", "star_test", False),
    f"{PREFIX}_6x_ssdd_le90": ("ssdd", "ssdd_train", "ssdd_test", True),
    f"{PREFIX}_6x_hrsid_le90": ("hrsid", "hrsid_train", "hrsid_test", True),
}
EPOCHS = {"1x": (12, [8, 11]), "3x": (36, [24, 33]), "6x": (72, [48, 66])}
SMALL = {
    **{f"{loader}_dataloader.{key}": value for loader in ("train", "test")
       for key, value in {"num_workers": 0, "persistent_workers": False, "batch_size": 2}.items()},
    "train_dataloader.dataset.pipeline.2.scale": (128, 128),
    "test_dataloader.dataset.pipeline.1.scale": (128, 128),
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 16,
    "model.bbox_head.in_channels": 16,
    "model.bbox_head.feat_channels": 16,
    "model.bbox_head.stacked_convs": 1,
    "model.test_cfg.score_thr": 0.0,
    "model.test_cfg.max_per_img": 20,
    "visualizer.vis_backends": [{"type": "LocalVisBackend"}],
}  # fmt: skip


@pytest.mark.parametrize("name", [*DOTA, *CONFIGS])
def test_config_fits_its_dataset_and_its_presets(name):
    from rotated_atss.detection.engine.config import load_config

    dataset, train_preset, test_preset, _ = {**DOTA, **CONFIGS}[name]
    cfg = load_config(name)
    assert cfg.model.bbox_head.num_classes == len(DATASETS[dataset].classes)
    for loader in ("train", "val", "test"):
        assert cfg[f"{loader}_dataloader"].dataset.classes == dataset
        assert cfg[f"{loader}_evaluator"].dataset == dataset if loader != "train" else True
    assert cfg.train_dataloader.dataset.data_root == load_preset(train_preset).out
    assert cfg.test_dataloader.dataset.data_root == load_preset(test_preset).out
    assert cfg.test_evaluator.iou_threshold == (0.5 if dataset == "soda-a" else 0.1)
    epochs, milestones = EPOCHS[name.partition("_r50_fpn_")[2][:2]]
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (epochs, milestones)
    assert cfg.tta_pipeline[1].transforms[0][0].scale == cfg.test_dataloader.dataset.pipeline[1].scale


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in DOTA_VERSIONS])
def test_page_lists_the_classes_and_names_presets_and_configs(dataset, repo_root):
    name = dataset.replace("-", "_")
    text = (repo_root / "docs" / "datasets" / f"{name}.md").read_text()
    section = text.partition("## Classes")[2].partition("## ")[0]
    listed = tuple(section.strip().partition("\n\n")[0].replace("`", "").replace("\n", " ").split(", "))
    assert listed == DATASETS[dataset].classes
    for config, (of, *presets, _) in CONFIGS.items():
        if of == dataset:
            assert all(each in text for each in (config, *presets))
    index = (repo_root / "docs" / "datasets" / "README.md").read_text()
    assert f"]({name}.md) | `{dataset}` | {len(listed)} |" in index


@pytest.fixture
def quick(monkeypatch, one_thread):
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **kwargs: (text, True))
    monkeypatch.setattr(logging, "raiseExceptions", False)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", CONFIGS)
def test_from_files_to_a_training_step_and_an_evaluation(name, tmp_path):
    from rotated_atss.detection.engine.options import TestOptions, TrainOptions
    from rotated_atss.detection.engine.runner import test, train

    dataset, train_preset, test_preset, labeled = CONFIGS[name]
    getattr(raw_datasets, dataset.replace("-", "_"))(tmp_path / "raw")
    for preset, out in ((train_preset, "train"), (test_preset, "test")):
        words = ["split", "--preset", preset, "--data-root", tmp_path / "raw", "--out", tmp_path / out]
        if not load_preset(preset).settings.whole_images:
            words.append("--no-padding")  # for the speed of the test
        assert main(list(map(str, words))) == 0
    text = next((tmp_path / "train" / "labelTxt").iterdir()).read_text().splitlines()
    assert len(text) == 1
    corners = np.array(text[0].split()[:8], dtype=float).reshape(4, 2).tolist()
    assert sorted(corners) == sorted(np.array(RECTANGLE).reshape(4, 2).tolist())
    assert text[0].split()[8] in DATASETS[dataset].classes

    changes = {**SMALL, "train_dataloader.dataset.data_root": str(tmp_path / "train")}
    options = TrainOptions(work_dir=tmp_path / "work", iterations=1, from_scratch=True, cfg_options=changes)
    train(name, options)
    checkpoint = tmp_path / "work" / "iter_1.pth"
    settings = load_preset(train_preset).settings
    record = read_info(torch.load(checkpoint, weights_only=False)["meta"], checkpoint)
    assert record.window.size == (WHOLE_IMAGE if settings.whole_images else settings.sizes[0])  # predict uses it
    assert record.classes == DATASETS[dataset].classes
    test(
        name, checkpoint,
        TestOptions(work_dir=tmp_path / "tested", data=tmp_path / "test", out=tmp_path / "merged", cfg_options=SMALL),
    )  # fmt: skip
    assert list((tmp_path / "merged").glob("Task1_*.txt"))
    assert (tmp_path / "merged" / "ap.json").is_file() == labeled
    if labeled:
        result = json.loads((tmp_path / "merged" / "ap.json").read_text())
        assert (result["dataset"], result["metric"]) == (dataset, DATASETS[dataset].rule.metric)
        assert result["images"] == 2
        assert sum(each["objects"] for each in result["per_class"].values()) == 2

"""Configs of a run: options applied to a copy."""

import copy

import pytest

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.prepare import prepare_test, prepare_train

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"


TRAIN_OPTIONS = TrainOptions(work_dir="w", amp=True, seed=3, deterministic=True, iterations=5, resume="a.pth")
TEST_OPTIONS = TestOptions(work_dir="w", data="d", labels=["l"], out="o", submission="s.zip", tta=True, workers=0)


@pytest.mark.parametrize("prepare, options", [(prepare_train, TRAIN_OPTIONS), (prepare_test, TEST_OPTIONS)])
@pytest.mark.parametrize("name", [DEMO, PUBLISHED])
def test_the_given_config_is_not_changed(name, prepare, options):
    cfg = load_config(name)
    before = copy.deepcopy(cfg.to_dict())
    assert prepare(cfg, options).to_dict() != before
    assert cfg.to_dict() == before


def test_training_options_reach_the_config():
    cfg = prepare_train(load_config(PUBLISHED), TRAIN_OPTIONS)
    assert cfg.work_dir == "w"
    assert cfg.optim_wrapper.type == "BFloat16OptimWrapper"
    assert cfg.randomness == {"seed": 3, "deterministic": True}
    assert (cfg.resume, cfg.load_from) == (True, "a.pth")
    assert cfg.model.backbone.init_cfg is None
    assert cfg.train_cfg == {"type": "IterBasedTrainLoop", "max_iters": 5}
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None


def test_test_options_reach_the_config():
    cfg = prepare_test(load_config(PUBLISHED), TEST_OPTIONS)
    assert (cfg.work_dir, cfg.test_dataloader.dataset.data_root) == ("w", "d")
    evaluator = cfg.test_evaluator
    assert (evaluator.out_dir, evaluator.submission, evaluator.labels) == ("o", "s.zip", ["l"])
    assert (cfg.load_from, cfg.resume) == (None, False)
    assert cfg.model.type == "BoxTTAModel"
    assert cfg.model.module.backbone.init_cfg is None
    assert cfg.test_dataloader.dataset.pipeline == cfg.tta_pipeline
    assert cfg.train_dataloader is cfg.optim_wrapper is cfg.val_dataloader is None


def test_workers_reach_the_data_loader():
    loader = prepare_train(load_config(PUBLISHED), TrainOptions(workers=0)).train_dataloader
    assert (loader.num_workers, loader.persistent_workers) == (0, False)


def test_default_work_folder_is_named_after_the_config():
    assert prepare_test(load_config(PUBLISHED), TestOptions()).work_dir == f"work_dirs/{PUBLISHED}"
    cfg = load_config(PUBLISHED, {"work_dir": "mine"})
    assert prepare_train(cfg, TrainOptions()).work_dir == "mine"


def test_seed_out_of_range(fault):
    error = fault(prepare_train, load_config(DEMO), TrainOptions(seed=-1))
    assert error == "the seed must be between 0 and 2^32 - 1, got -1"


def test_results_are_written_beside_the_checkpoint():
    cfg = load_config(DEMO)
    prepared = prepare_test(cfg, TestOptions(), "runs/a/iter_4.pth")
    assert (prepared.work_dir, prepared.test_evaluator.out_dir) == ("runs/a", "runs/a/merged")
    assert prepare_test(cfg, TestOptions(work_dir="b"), "runs/a/iter_4.pth").work_dir == "b"
    cfg.work_dir = "c"
    assert prepare_test(cfg, TestOptions(), "runs/a/iter_4.pth").work_dir == "c"


def test_deterministic_training_without_a_seed():
    assert prepare_train(load_config(DEMO), TrainOptions(deterministic=True)).randomness["seed"] is None

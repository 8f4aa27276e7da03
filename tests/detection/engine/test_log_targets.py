"""Where a training logs: names, missing packages and settings."""

import sys
from unittest.mock import MagicMock

import pytest
from mmengine.config import Config

from rotated_atss.detection.engine import log_targets
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.log_targets import check_log_targets, set_log_targets
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.prepare import prepare_train

DEMO = "rotated_atss_obb_r18_demo_le90"


def backends(cfg):
    return [backend["type"] for backend in cfg.visualizer.vis_backends]


def test_the_default_is_tensorboard_and_the_option_replaces_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", MagicMock())
    cfg = load_config(DEMO)
    assert backends(prepare_train(cfg, TrainOptions())) == ["LocalVisBackend", "TensorboardVisBackend"]
    assert backends(prepare_train(cfg, TrainOptions(log_to="none"))) == ["LocalVisBackend"]
    assert backends(prepare_train(cfg, TrainOptions(log_to="mlflow, tensorboard"))) == [
        "LocalVisBackend", "MLflowVisBackend", "TensorboardVisBackend",
    ]  # fmt: skip


def test_names_and_servers_come_from_config_and_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("WANDB_PROJECT", "ships")
    cfg = Config(dict(config_name="demo"))
    set_log_targets(cfg, "wandb,mlflow,clearml")
    _, wandb, mlflow, clearml = cfg.visualizer.vis_backends
    assert wandb.init_kwargs == {"project": "ships", "name": "demo"}
    assert (mlflow.run_name, mlflow.tracking_uri) == ("demo", "http://127.0.0.1:5000")
    assert clearml.init_kwargs == {"project_name": "rotated-atss", "task_name": "demo"}


def test_mlflow_writes_into_the_work_folder_without_a_server(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cfg = Config(dict(config_name="demo", work_dir=str(tmp_path)))
    set_log_targets(cfg, "mlflow")
    backend = cfg.visualizer.vis_backends[1]
    assert backend.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert backend.artifact_location == f"file://{tmp_path}/mlflow"


def test_errors_are_one_line(fault, monkeypatch):
    cfg = load_config(DEMO)
    assert fault(set_log_targets, cfg, "tensorboard,neptune") == (
        "--log-to must contain only tensorboard, wandb, mlflow, clearml or none, got 'neptune'"
    )
    monkeypatch.setattr(log_targets, "find_spec", lambda name: None)
    assert fault(prepare_train, cfg, TrainOptions()) == (
        "this training run logs to tensorboard, which is not installed "
        "(pip install tensorboard, or log to the work folder only: --log-to none)"
    )
    check_log_targets(prepare_train(cfg, TrainOptions(log_to="none")))
    assert "logs to wandb, which is not installed" in fault(prepare_train, cfg, TrainOptions(log_to="wandb"))


def test_other_errors_are_raised_as_they_are():
    with pytest.raises(ValueError, match="depth"), log_targets.report_log_target_errors():
        raise ValueError("depth")


def test_a_config_without_a_visualizer_gets_one():
    cfg = Config(dict(model={}))
    set_log_targets(cfg, "none")
    assert backends(cfg) == ["LocalVisBackend"]
    with pytest.raises(AttributeError):
        _ = cfg.vis_backends

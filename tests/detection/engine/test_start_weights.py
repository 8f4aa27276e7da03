"""What a checkpoint says against what the config says: classes, keys, sizes, schedule."""

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.class_names import config_classes, set_classes
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.prepare import prepare_train
from rotated_atss.errors import UserError
from tests.detection.conftest import NARROW

pytestmark = pytest.mark.usefixtures("quick")

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"
TWO_STEPS = {"train_cfg.max_iters": 2}


@pytest.fixture
def trained(run):
    """A checkpoint of a model with the classes plane and ship."""
    return run(TWO_STEPS, classes="plane,ship", seed=0) / "iter_2.pth"


def class_bias(path):
    return read_checkpoint(path)["state_dict"]["bbox_head.retina_cls.bias"]


# -- classes -----------------------------------------------------------------------------------------------------------


def test_one_option_sets_the_classes_of_every_loader_and_of_the_model():
    cfg = load_config("r3det_r50_fpn_1x_dota_oc")
    set_classes(cfg, "roof,car")
    assert {config_classes(cfg, f"{name}_dataloader") for name in ("train", "val", "test")} == {("roof", "car")}
    heads = [cfg.model.bbox_head_init, *cfg.model.bbox_head_refine]
    assert [head.num_classes for head in heads] == [2] * len(heads)


def test_another_order_of_the_classes_gives_the_same_detections(trained, tiny_options, tmp_path):
    merged = []
    for order in ("plane,ship", "ship,plane"):
        out = tmp_path / order
        options = TestOptions(work_dir=str(out), classes=order, cfg_options=tiny_options)
        merged.append((runner.test(DEMO, trained, options), out / "merged"))
    (metrics, folder), (same_metrics, same_folder) = merged
    assert metrics == same_metrics
    for path in folder.glob("Task1_*.txt"):
        assert path.read_text() == (same_folder / path.name).read_text()


def test_other_classes_than_the_checkpoint_are_refused_with_both_lists(trained, tiny_options, tmp_path, fault):
    options = TestOptions(work_dir=str(tmp_path), classes="plane,bridge", cfg_options=tiny_options)
    message = fault(runner.test, DEMO, trained, options)
    assert "trained on the classes plane, ship; the config has plane, bridge (use --classes plane,ship)" in message


def test_classes_of_the_checkpoint_may_differ_in_case(trained, tiny_options, tmp_path):
    content = read_checkpoint(trained)
    content["meta"]["dataset_meta"] = {"classes": ("Ship", "PLANE")}
    torch.save(content, tmp_path / "other.pth")
    options = TestOptions(work_dir=str(tmp_path), classes="plane,ship", cfg_options=tiny_options)
    runner.test(DEMO, tmp_path / "other.pth", options)
    assert {path.name for path in (tmp_path / "merged").glob("Task1_*.txt")} == {"Task1_plane.txt", "Task1_ship.txt"}


def test_a_detector_takes_the_number_of_classes_from_the_checkpoint(trained, tiny_options):
    narrow = {key: value for key, value in tiny_options.items() if key.startswith("model.")}
    assert load_detector(DEMO, trained, device="cpu", cfg_options=narrow).classes == ("plane", "ship")


def test_resuming_with_another_order_of_the_classes_is_refused(trained, run, fault):
    message = fault(run, {"train_cfg.max_iters": 4}, classes="ship,plane", resume=str(trained))
    assert "trained on the classes plane, ship; the config has ship, plane" in message


# -- weights that start a training -------------------------------------------------------------------------------------


def test_weights_start_a_training_in_the_order_of_its_classes(trained, run, read_log):
    frozen = {"train_cfg.max_iters": 1, "optim_wrapper.optimizer.lr": 0.0, "param_scheduler": []}
    folder = run(frozen, classes="ship,plane", init_from=str(trained))
    assert class_bias(folder / "iter_1.pth").tolist() == class_bias(trained).flip(0).tolist()
    assert "weights loaded" in read_log(folder)


def in_config(*names):
    """Return the config values of these classes, without the option ``classes``."""
    return {**TWO_STEPS, "train_dataloader.dataset.classes": list(names), "model.bbox_head.num_classes": len(names)}


@pytest.mark.parametrize("request_", [dict(reset_class_layer=True), dict(classes="plane,ship,bridge")])
def test_a_class_layer_of_another_size_is_reset_only_on_request(trained, run, read_log, fault, request_):
    three = in_config("plane", "ship", "bridge")
    assert "its class layer has another size" in fault(run, three, init_from=str(trained))
    folder = run(three, init_from=str(trained), **request_)
    assert "2 reinitialized (bbox_head 2; first: bbox_head.retina_cls.weight)" in read_log(folder)


def test_other_classes_of_the_same_number_are_reset_only_on_request(trained, run, tmp_path, read_log, fault):
    content = read_checkpoint(trained)
    content["meta"]["dataset_meta"] = {"classes": ("plane", "bridge")}
    torch.save(content, tmp_path / "other.pth")
    config, other = in_config("plane", "ship"), str(tmp_path / "other.pth")
    assert "trained on the classes plane, bridge; the config has plane, ship" in fault(run, config, init_from=other)
    assert "2 reinitialized" in read_log(run(config, init_from=other, reset_class_layer=True))


def test_weights_of_another_network_are_refused(run, tmp_path, fault):
    torch.save({"state_dict": {"encoder.w": torch.zeros(3)}}, tmp_path / "other.pth")
    message = fault(run, TWO_STEPS, init_from=str(tmp_path / "other.pth"))
    assert "none of its 1 weight (first: encoder.w) is one of the model's" in message


def test_a_partial_match_is_counted(trained, run, tmp_path, read_log):
    content = read_checkpoint(trained)
    state = {name: value for name, value in content["state_dict"].items() if not name.startswith("neck")}
    torch.save({"state_dict": {**state, "extra": torch.zeros(1)}}, tmp_path / "part.pth")
    log = read_log(run(TWO_STEPS, classes="plane,ship", init_from=str(tmp_path / "part.pth")))
    assert "missing (neck " in log
    assert "1 unused (extra 1; first: extra)" in log


@pytest.mark.parametrize("name, fault_", [("a.txt", "not a readable checkpoint"), ("gone.pth", "no such checkpoint")])
def test_unreadable_start_weights_are_found_before_anything_is_written(tmp_path, fault, name, fault_):
    (tmp_path / "a.txt").write_text("hello")
    options = {"train_dataloader.dataset.data_root": str(tmp_path), "load_from": str(tmp_path / name)}
    for folder in ("images", "labelTxt"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labelTxt" / "P1.txt").touch()
    work_dir = tmp_path / "run"
    assert fault_ in fault(runner.train, DEMO, TrainOptions(work_dir=str(work_dir), cfg_options=options))
    assert not work_dir.exists()


def test_init_from_and_resume_exclude_each_other(trained, run, fault):
    assert "cannot be combined" in fault(run, init_from=str(trained), resume=True)


# -- pretrained weights of the backbone --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Return (path, weights) of the backbone of the reduced published model, with a prefix of the names."""
    options = {**NARROW, "model.backbone.depth": 18, "model.backbone.init_cfg": None}
    weights = build_model(load_config(PUBLISHED, options)).backbone.state_dict()

    def write(prefix="", without="nothing"):
        path = tmp_path_factory.mktemp("backbone") / "backbone.pth"
        torch.save({prefix + name: value for name, value in weights.items() if without not in name}, path)
        return {"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=str(path)), **SHORT}, weights

    return write


SHORT = {"optim_wrapper.optimizer.lr": 0.0, "optim_wrapper.optimizer.weight_decay": 0.0, "param_scheduler": []}


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_backbone_weights_with_and_without_prefix_are_loaded(backbone, run_published, prefix):
    changes, weights = backbone(prefix)
    state = read_checkpoint(run_published(changes) / "epoch_1.pth")["state_dict"]
    names = [name for name in weights if "running" not in name and "tracked" not in name]
    assert all(torch.equal(state[f"backbone.{name}"], weights[name]) for name in names)


def test_backbone_weights_of_which_none_fits_are_refused(run_published, tmp_path, fault):
    torch.save({"a": torch.zeros(1)}, tmp_path / "nothing.pth")
    message = fault(
        run_published, {"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=str(tmp_path / "nothing.pth"))}
    )
    assert "nothing.pth as backbone: none of its 1 weight (first: a) is one of the model's" in message


def test_missing_backbone_weights_are_counted(backbone, run_published, read_log):
    log = read_log(run_published(backbone(without="layer4")[0]))
    assert "backbone.pth as backbone: " in log
    assert "missing (layer4 " in log


# -- schedules and ends ------------------------------------------------------------------------------------------------


def test_resuming_a_finished_training_says_how_to_go_on(run, read_log):
    folder = run(TWO_STEPS)
    assert run(TWO_STEPS, work_dir=str(folder), resume=True) == folder
    assert "finished: iteration 2 of 2; raise train_cfg.max_iters (--cfg-options) to train longer" in read_log(folder)


def test_a_one_cycle_schedule_follows_the_length_of_the_run():
    cfg = load_config(DEMO, {"train_cfg.max_iters": 70})
    prepared = prepare_train(cfg, TrainOptions(cfg_options={"train_cfg.max_iters": 70}))
    assert prepared.param_scheduler[0].total_steps == 70


def test_a_schedule_of_the_user_that_ends_early_is_an_error():
    options = {"train_cfg.max_iters": 70, "param_scheduler.0.total_steps": 60}
    with pytest.raises(UserError, match=r"OneCycleLR ends after 60 of 70 steps \(set total_steps=70"):
        prepare_train(load_config(DEMO, options), TrainOptions(cfg_options=options))

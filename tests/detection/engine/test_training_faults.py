"""What goes wrong in training and testing: one line each, and nothing half-written."""

import errno
import math
import os
import socket
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from mmengine.fileio.backends import LocalBackend

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.hooks import describe_batch
from rotated_atss.detection.engine.runner import TrainOptions, train
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.errors import UserError

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"

pytestmark = pytest.mark.usefixtures("quick")


def fault(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


# -- losses that are not finite ----------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_images_and_boxes(run, monkeypatch, tiles):
    plain, calls = RotatedRetinaHead.loss_from_targets, []

    def broken(self, logits, deltas, priors, gt_index, objects):
        losses = plain(self, logits, deltas, priors, gt_index, objects)
        calls.append(objects)
        if len(calls) == 2:
            losses["loss_bbox"] = losses["loss_bbox"] * math.nan
        return losses

    monkeypatch.setattr(RotatedRetinaHead, "loss_from_targets", broken)
    message = fault(run)
    assert "loss, loss_bbox is not finite at iteration 2; the batch was P00" in message
    assert message.count("__128__") == 2
    assert "look at these labels, or lower the learning rate" in message
    for objects in calls[1]:
        if len(objects):
            values = " ".join(f"{value:.6g}" for value in objects.bboxes[0].tolist())
            assert values in message
            assert f"with {len(objects)} boxes [" in message
    assert len(calls) == 2


def test_a_learning_rate_far_too_high_stops(run_published):
    message = fault(run_published, {"optim_wrapper.optimizer.lr": 1e30, "param_scheduler": []})
    assert "is not finite at iteration 2" in message


def test_a_batch_is_described_odd_boxes_first():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    boxes = torch.rand(7, 5) + 1
    boxes[5, 2], boxes[6, 0] = 0, math.nan
    sample = DetDataSample(metainfo=dict(img_id="P1"), gt_instances=InstanceData(bboxes=OrientedBoxes(boxes)))
    empty = DetDataSample(metainfo=dict(img_id="P2"), gt_instances=InstanceData(bboxes=torch.zeros(0, 5)))
    text = describe_batch({"data_samples": [sample, empty]})
    assert text.startswith("P1 with 7 boxes [")
    assert text.endswith("; and 2 more], P2 with 0 boxes []")
    first, second = text[text.index("[") + 1 :].split("; ")[:2]
    assert first.split()[2] == "0"
    assert second.split()[0] == "nan"
    assert describe_batch(None) == "unknown"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_checkpoint(run, monkeypatch):
    def full(self, data, path):
        Path(path).write_bytes(data[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(LocalBackend, "put", full)
    message = fault(run)
    assert (
        "iter_4.pth: cannot write the checkpoint: No space left on device (free some space, then --resume)" in message
    )
    folder = Path(message.split("iter_4.pth")[0])
    assert folder.is_dir()
    assert not [path for path in folder.iterdir() if "pth" in path.name]
    assert not (folder / "last_checkpoint").exists()


def test_an_interrupted_save_keeps_the_older_checkpoint(run, monkeypatch):
    folder = run({"train_cfg.max_iters": 1, "default_hooks.checkpoint.interval": 1})
    before = (folder / "iter_1.pth").read_bytes()

    def interrupted(self, data, path):
        Path(path).write_bytes(data[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run({"train_cfg.max_iters": 1, "default_hooks.checkpoint.interval": 1}, work_dir=str(folder))
    assert (folder / "iter_1.pth").read_bytes() == before
    assert [path.name for path in folder.iterdir() if "pth" in path.name] == ["iter_1.pth"]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Checkpoints that are not this model's."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}, "meta": {}}, folder / "other.pth")
    (folder / "cut.pth").write_bytes((folder / "other.pth").read_bytes()[:300])
    torch.save({"state_dict": {}, "meta": Trap(folder / "made")}, folder / "evil.pth")
    return folder


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


REFUSED = [("evil", "not loaded, for safety"), ("cut", "not a readable checkpoint"), ("gone", "no such checkpoint")]


@pytest.mark.parametrize("name, message", [*REFUSED, ("other", "weights of another model: ")])
def test_checkpoints_that_are_not_tested(foreign, tiny_options, tmp_path, name, message):
    said = fault(runner.test, DEMO, foreign / f"{name}.pth", work_dir=str(tmp_path / "w"), cfg_options=tiny_options)
    assert said.startswith(f"{foreign / name}.pth: ")
    assert message in said
    assert not (foreign / "made").exists()
    assert not (tmp_path / "w" / "merged").exists()


@pytest.mark.parametrize("name, message", [*REFUSED, ("other", "weights of another model: ")])
def test_checkpoints_that_are_not_resumed(foreign, run, name, message):
    said = fault(run, resume=str(foreign / f"{name}.pth"))
    assert said.startswith(f"{foreign / name}.pth: ")
    assert message in said
    assert not (foreign / "made").exists()


def test_bare_weights_are_not_resumed_but_loaded(run, tmp_path):
    content = read_checkpoint(run({"train_cfg.max_iters": 1}) / "iter_1.pth")
    torch.save({"state_dict": content["state_dict"], "meta": {}}, tmp_path / "bare.pth")
    said = fault(run, resume=str(tmp_path / "bare.pth"))
    assert "no state of a training to resume (no message_hub, optimizer, param_schedulers)" in said
    assert "--cfg-options load_from=PATH" in said
    run({"train_cfg.max_iters": 1, "load_from": str(tmp_path / "bare.pth")})


def test_the_latest_checkpoint_is_unsafe_broken_or_gone(foreign, run, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name, message in REFUSED[:2]:
        (work / "last_checkpoint").write_text(str(foreign / f"{name}.pth"))
        assert message in fault(run, work_dir=str(work), resume=True)
    for name in ("", str(foreign / "gone.pth")):
        (work / "last_checkpoint").write_text(name)
        said = fault(run, work_dir=str(work), resume=True)
        assert said.startswith(f"{work / 'last_checkpoint'}: names a checkpoint that does not exist, '{name}'")
    assert not (foreign / "made").exists()


def test_load_from_runs_no_code(foreign, run):
    assert "not loaded, for safety" in fault(run, {"load_from": str(foreign / "evil.pth")})
    assert "gone.pth" in fault(run, {"load_from": str(foreign / "gone.pth")})
    assert not (foreign / "made").exists()


# -- pretrained weights ------------------------------------------------------------------------------------------------


WEIGHTS = "model.backbone.init_cfg"


def test_weights_that_cannot_be_downloaded(run_published, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))  # nothing downloaded before

    def offline(*args, **kwargs):
        assert socket.getdefaulttimeout() == 10  # a network that swallows packets is given up
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    start = time.perf_counter()
    said = fault(run_published, {WEIGHTS: dict(type="Pretrained", checkpoint="torchvision://resnet18")})
    assert time.perf_counter() - start < 20
    assert socket.getdefaulttimeout() is None
    assert "cannot get the backbone's weights torchvision://resnet18: <urlopen error Name or service" in said
    assert "--from-scratch" in said
    assert "--cfg-options model.backbone.init_cfg.checkpoint=PATH" in said
    assert not (tmp_path / "work").exists()


def test_from_scratch_needs_no_weights_and_freezes_nothing(tmp_path, tiny_published_options):
    changes = {
        key: value for key, value in tiny_published_options.items() if "frozen" not in key and "norm_" not in key
    }
    changes.pop(WEIGHTS)
    folder = train(PUBLISHED, TrainOptions(work_dir=str(tmp_path / "w"), from_scratch=True, cfg_options=changes))
    text = (folder / f"{PUBLISHED}.py").read_text()
    assert "frozen_stages=-1" in text
    assert "norm_eval=False" in text
    assert "init_cfg=None" in text


def test_weights_of_a_local_file(run_published, tmp_path, foreign):
    from mmdet.models.backbones import ResNet

    torch.manual_seed(5)
    backbone = ResNet(18, base_channels=8, stem_channels=8)
    backbone.init_weights()
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    local = dict(type="Pretrained", checkpoint=str(tmp_path / "backbone.pth"))
    frozen = {"model.backbone.frozen_stages": 1, "model.backbone.norm_eval": True}
    folder = run_published({WEIGHTS: local, **frozen})
    state = read_checkpoint(folder / "epoch_1.pth")["state_dict"]
    assert torch.equal(state["backbone.conv1.weight"], backbone.state_dict()["conv1.weight"])
    for name in ("gone", "evil", "cut"):
        said = fault(run_published, {WEIGHTS: dict(type="Pretrained", checkpoint=str(foreign / f"{name}.pth"))})
        assert "cannot get the backbone's weights" in said
        assert "--from-scratch" in said
    assert not (foreign / "made").exists()


# -- configs, data and folders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train_dataloader.dataset.classes": "v1.5"}, "the model has 15 classes, the dataset 16 (plane, "),
        ({"train_dataloader.dataset.classes": "ship"}, "a single class is written as a tuple"),
        ({"train_dataloader.dataset.data_root": "/no/such"}, "/no/such/images: no such folder"),
        ({"train_dataloader.dataset.type": "DotaDataset"}, "cannot build train_cfg or train_dataloader"),
        ({"train_dataloader.dataset.pipeline.0.type": "LoadTyle"}, "cannot build train_cfg or train_dataloader"),
        ({"optim_wrapper.optimizer.type": "SDG"}, "cannot build optim_wrapper of this config: "),
        ({"optim_wrapper.optimizer.momentun": 1}, "cannot build optim_wrapper of this config"),
        ({"param_scheduler.0.type": "Cosine"}, "cannot build param_scheduler of this config"),
        ({"default_hooks.logger.intervall": 1}, "cannot build this config"),
        ({"model.backbone.depth": 19}, f"{DEMO}.py: cannot build this model: "),
        ({"model.bbox_head.type": "ATTS"}, "cannot build this model: ATTS is not in"),
        ({"model.backbone.depth.x": 1}, "these options do not fit the config"),
        ({"train_dataloader.dataset.pipeline.9.type": "x"}, "these options do not fit the config"),
    ],
)
def test_configs_that_do_not_fit(run, changes, message):
    assert message in fault(run, changes)


def test_a_mistake_in_the_data_met_while_training(run, tiles, tmp_path):
    import shutil

    shutil.copytree(tiles, tmp_path / "tiles")
    victims = sorted((tmp_path / "tiles" / "images").iterdir())
    for path in victims:
        path.write_bytes(path.read_bytes()[:200])
    for workers in (0, 1):
        changes = {
            "train_dataloader.dataset.data_root": str(tmp_path / "tiles"),
            "train_dataloader.num_workers": workers,
        }
        said = fault(run, changes)
        assert said.endswith(".png: not a readable image, or cut short (split again or remove the tile)")
        assert Path(said.split(": ")[0]) in victims


def test_configs_that_cannot_be_read(tmp_path, tiny_options):
    for number, (text, message) in enumerate(
        [
            ("model = dict(", "SyntaxError"),
            ("_base_ = 'none.py'", "FileNotFoundError"),
            ("a = 1 / 0", "ZeroDivisionError"),
            ("a = b", "NameError"),
            ("custom_imports = dict(imports=['no_such_module'])", "ImportError"),
            ("a = 1", "this config has no model"),
        ]
    ):
        path = tmp_path / f"broken{number}.py"
        path.write_text(text)
        said = fault(train, path, TrainOptions(work_dir=str(tmp_path / "w")))
        assert said.startswith(f"{path}: ")
        assert message in said
    assert not (tmp_path / "w").exists()
    assert "no_such: no such config" in fault(train, "no_such")


def test_a_work_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file").write_text("")
    for work_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        said = fault(run, work_dir=str(work_dir))
        assert said.startswith(str(tmp_path / "file"))
        assert "cannot write here" in said
        assert "--work-dir" in said
    assert (tmp_path / "file").read_text() == ""


def test_seeds(run):
    assert fault(run, seed=-1) == "a seed lies between 0 and 2^32 - 1, not at -1"


def test_several_processes_want_torchrun(run, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert "tools/dist_train.sh" in fault(run, launcher="pytorch")


@pytest.mark.parametrize("where", ["images", "labelTxt", "labelTxt/below"])
def test_a_test_never_writes_into_its_input(tiles, tiny_options, tmp_path, where):
    before = sorted(tiles.rglob("*"))
    settings = dict(work_dir=str(tmp_path / "w"), cfg_options=tiny_options)
    said = fault(runner.test, DEMO, tmp_path / "none.pth", out=str(tiles / where), **settings)
    assert "lies in the input folder" in said
    said = fault(runner.test, DEMO, tmp_path / "none.pth", submission=str(tiles / where / "s.zip"), **settings)
    assert "lies in the input folder" in said
    said = fault(runner.test, DEMO, "none.pth", labels=[str(tmp_path)], out=str(tmp_path / "x"), **settings)
    assert "lies in the input folder" in said
    assert sorted(tiles.rglob("*")) == before

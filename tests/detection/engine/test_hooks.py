"""Training hooks."""

import math
import random

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.engine.batch_samples import describe_batch
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.nonfinite_loss import NonFiniteLossHook
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead

DEMO = "rotated_atss_obb_r18_demo_le90"

pytestmark = pytest.mark.usefixtures("quick")


def test_non_finite_loss_stops_with_images_and_boxes(run, monkeypatch, tiles, fault):
    plain, calls = RotatedRetinaHead.loss_from_targets, []

    def broken(self, logits, deltas, priors, gt_index, gt_instances):
        losses = plain(self, logits, deltas, priors, gt_index, gt_instances)
        calls.append(gt_instances)
        if len(calls) == 2:
            losses["loss_bbox"] = losses["loss_bbox"] * math.nan
        return losses

    monkeypatch.setattr(RotatedRetinaHead, "loss_from_targets", broken)
    message = fault(run)
    assert "loss, loss_bbox is not finite at iteration 2; the batch was P00" in message
    assert message.count("__128__") == 2
    assert "check these labels, or lower the learning rate" in message
    for gt_instances in calls[1]:
        if len(gt_instances):
            values = " ".join(f"{value:.6g}" for value in gt_instances.bboxes[0].tolist())
            assert values in message
            assert f"with {len(gt_instances)} boxes [" in message
    assert len(calls) == 2


def test_diverging_training_stops(run_published, fault):
    message = fault(run_published, {"optim_wrapper.optimizer.lr": 1e30, "param_scheduler": []})
    assert "is not finite at iteration 2" in message


def test_batch_description_lists_invalid_boxes_first():
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


@pytest.mark.slow
def test_channels_last_and_fused_sgd_train_alike(tiles, tiny_options):
    """The losses of fifty float32 steps on one batch agree to 0.1 %.

    Batch norm is frozen and the learning rate is low; otherwise training is chaotic and rounding changes the curve.
    """
    curves = []
    for fast in (False, True):
        torch.manual_seed(0)
        cfg = load_config(DEMO, {**tiny_options, "model.backbone.norm_eval": True})
        model = build_model(cfg).train()
        model.init_weights()
        if fast:
            model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), 0.0005, momentum=0.9, weight_decay=1e-4, fused=fast)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  (MMCV draws from the legacy state)
        batch = pseudo_collate([dataset[index] for index in range(4)])
        curves.append([])
        for _ in range(50):
            optimizer.zero_grad()
            loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
            optimizer.step()
            curves[-1].append(float(loss.detach()))
    slow, quick = (torch.tensor(curve) for curve in curves)
    assert slow[-1] < 0.9 * slow[0]
    assert ((quick - slow).abs() / slow).max() < 1e-3


def test_a_gradient_that_is_not_finite_makes_no_step(run, monkeypatch, tiles, tmp_path, fault):
    plain, calls = RotatedRetinaHead.loss_from_targets, []

    def broken(self, logits, deltas, priors, gt_index, gt_instances):
        losses = plain(self, logits, deltas, priors, gt_index, gt_instances)
        calls.append(1)
        if len(calls) == 2:
            zero = sum(part.sum() for part in deltas) * 0
            losses["loss_bbox"] = losses["loss_bbox"] + (zero.abs() + 0).sqrt() * 0  # finite, with a NaN gradient
        return losses

    monkeypatch.setattr(RotatedRetinaHead, "loss_from_targets", broken)
    message = fault(run, {"train_cfg.max_iters": 2, "default_hooks.checkpoint.interval": 1})
    assert message.startswith("the gradient of ")
    assert "is not finite at iteration 2; the batch was P00" in message
    assert len(calls) == 2
    assert not list(tmp_path.glob("*/iter_2.pth"))
    assert list(tmp_path.glob("*/iter_1.pth"))


def test_weights_that_are_not_finite_are_not_written(fault):
    hook = NonFiniteLossHook()
    hook.before_save_checkpoint(None, {"state_dict": {"w": torch.zeros(1), "n": torch.tensor(3)}})
    broken = {"state_dict": {"w": torch.tensor([math.nan])}}
    message = "no checkpoint is written, because of NaN or infinity in 1 weight (first: w)"
    assert message in fault(hook.before_save_checkpoint, None, broken)

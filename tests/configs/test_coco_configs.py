"""Horizontal configs: every one trains a step with and without objects and detects; published hyperparameters."""

import gc

import numpy as np
import pytest
import torch

from rotated_atss.checkpoints.compatibility import tensor_shapes
from rotated_atss.configs import config_folder
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2

# name: published minival AP, depth, (groups, width), 2x schedule, number of stages with deformable layers
PUBLISHED = {
    "atss_r50_fpn_1x_coco": (39.3, 50, None, False, 0),
    "atss_dcnv2_r50_fpn_1x_coco": (43.2, 50, None, False, 3),
    "atss_r101_fpn_2x_ms_coco": (43.5, 101, None, True, 0),
    "atss_dcnv2_r101_fpn_2x_ms_coco": (46.1, 101, None, True, 3),
    "atss_x101_32x8d_fpn_2x_ms_coco": (44.8, 101, (32, 8), True, 0),
    "atss_dcnv2_x101_32x8d_fpn_2x_ms_coco": (47.7, 101, (32, 8), True, 2),
    "atss_x101_64x4d_fpn_2x_ms_coco": (45.5, 101, (64, 4), True, 0),
    "atss_dcnv2_x101_64x4d_fpn_2x_ms_coco": (47.7, 101, (64, 4), True, 2),
}
WITHOUT_WEIGHTS = {"model.backbone.init_cfg": None}


def horizontal_names():
    return sorted(path.stem for path in (config_folder() / "coco").glob("*.py"))


@pytest.fixture(autouse=True)
def one_model_at_a_time(one_thread):
    """Free the memory of a model before the next one is built."""
    yield
    gc.collect()


def batch(counts, size):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    draw = torch.Generator().manual_seed(1)
    samples = []
    for count in counts:
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=count)
        sample = DetDataSample(metainfo=meta)
        low = torch.rand(count, 2, generator=draw) * size / 2
        boxes = torch.cat([low, low + 8 + torch.rand(count, 2, generator=draw) * size / 3], 1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(count))
        sample.ignored_instances = InstanceData(bboxes=boxes[:1] / 2, labels=torch.arange(count)[:1])
        samples.append(sample)
    images = [torch.randint(0, 255, (3, size, size), generator=draw, dtype=torch.uint8) for _ in counts]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if "dcnv2_x101" in name else []) for name in horizontal_names()],
)
def test_training_step_with_and_without_objects_and_inference(name):
    model = build_model(load_config(name, WITHOUT_WEIGHTS))
    size = 64
    for counts in ((3,), (0,)):
        model.train()
        model.zero_grad()
        losses = model(**model.data_preprocessor(batch(counts, size), True), mode="loss")
        losses = {
            key: torch.as_tensor(sum(value) if isinstance(value, list) else value) for key, value in losses.items()
        }
        total = sum(value for key, value in losses.items() if "loss" in key)
        assert bool(total.isfinite())
        assert (float(losses["loss_bbox"].detach()) > 0) == any(counts)
        total.backward()
        assert all(each.grad is not None for each in model.parameters() if each.requires_grad)
    model.eval()
    with torch.no_grad():
        (result,) = model(**model.data_preprocessor(batch((2,), size), False), mode="predict")
    assert result.pred_instances.bboxes.shape[1] == 4


@pytest.mark.parametrize("name, expected", PUBLISHED.items())
def test_published_hyper_parameters(name, expected):
    value, depth, width, twice, deformable = expected
    cfg = load_config(name, WITHOUT_WEIGHTS)
    assert cfg.published[0]["value"] == value
    assert all(set(each) == {"metric", "value", "source"} for each in cfg.published)
    backbone, head = cfg.model.backbone, cfg.model.bbox_head
    assert (backbone.depth, backbone.norm_eval, backbone.frozen_stages) == (depth, True, 1)
    assert (backbone.get("groups"), backbone.get("base_width")) == (width or (None, None))
    assert (backbone.type == "ResNeXt") == (width is not None)
    assert (head.loss_bbox.type, head.loss_bbox.loss_weight) == ("GIoULoss", 2.0)
    margin = dict(center_margin=0.51) if "official" in name else {}
    assert cfg.model.train_cfg.assigner == dict(type="HorizontalATSSAssigner", topk=9, **margin)
    assert sum(backbone.get("stage_with_dcn", ())) == deformable
    assert ("dcn" in backbone) == (deformable > 0)
    assert (head.get("last_conv_cfg") is not None) == (deformable > 0)
    warmup, steps = cfg.param_scheduler
    epochs, milestones = (24, [16, 22]) if twice else (12, [8, 11])
    assert (cfg.train_cfg.max_epochs, steps.end, steps.milestones, warmup.end) == (epochs, epochs, milestones, 500)
    assert cfg.optim_wrapper.optimizer == dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001, fused=True)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)
    resize = cfg.train_dataloader.dataset.pipeline[2]
    assert resize.type == ("RandomResize" if twice else "ResizeImage")
    assert resize.keep_ratio
    assert resize.scale == ([(1333, 640), (1333, 800)] if twice else (1333, 800))


@pytest.mark.parametrize("width, height", [(640, 480), (480, 640), (900, 300)])
def test_short_side_of_2x_training(width, height):
    """The short side is drawn from 640 to 800 pixels, the long side is at most 1333."""
    from mmdet.registry import TRANSFORMS

    cfg = load_config("atss_r101_fpn_2x_ms_coco", WITHOUT_WEIGHTS)
    step = TRANSFORMS.build(cfg.train_dataloader.dataset.pipeline[2])
    np.random.seed(0)  # noqa: NPY002  (MMCV draws from it)
    shapes = [step(dict(img=np.zeros((height, width, 1), np.uint8)))["img_shape"] for _ in range(40)]
    shorts = [min(shape) for shape in shapes]
    if max(width, height) / min(width, height) < 1333 / 800:
        assert 640 <= min(shorts) < 660
        assert 780 < max(shorts) <= 800
        assert len(set(shorts)) > 25
    else:
        assert {max(shape) for shape in shapes} == {1333}


def test_every_published_config_exists():
    assert set(PUBLISHED) <= set(horizontal_names())


WEIGHTS = {
    "atss_r50_fpn_1x_coco": ("torchvision://resnet50", True),
    "atss_dcnv2_r101_fpn_2x_ms_coco": ("torchvision://resnet101", True),
    "atss_x101_32x8d_fpn_2x_ms_coco": ("open-mmlab://detectron2/resnext101_32x8d", False),
    "atss_dcnv2_x101_64x4d_fpn_2x_ms_coco": ("open-mmlab://resnext101_64x4d", True),
}


@pytest.mark.parametrize("name, weights", WEIGHTS.items())
def test_preprocessing_is_that_of_the_pretrained_backbone(name, weights):
    """A BGR pixel is normalized and reordered as in the training of the pretrained weights."""
    checkpoint, rgb = weights
    cfg = load_config(name)
    assert cfg.model.backbone.init_cfg == dict(type="Pretrained", checkpoint=checkpoint)
    mean = {"b": 103.53, "g": 116.28, "r": 123.675}
    spread = {"b": 57.375, "g": 57.12, "r": 58.395}
    from mmdet.registry import MODELS

    prepare = MODELS.build(cfg.model.data_preprocessor)
    pixel = dict(zip("bgr", (200, 100, 50)))
    image = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32)
    seen = prepare(dict(inputs=[image], data_samples=None), False)["inputs"][0, :, 0, 0]
    wanted = [(pixel[c] - mean[c]) / spread[c] for c in ("rgb" if rgb else "bgr")]
    assert torch.allclose(seen, torch.tensor(wanted), atol=1e-5)


@pytest.mark.parametrize(
    "name, stages", [("atss_dcnv2_r50_fpn_1x_coco", (2, 3, 4)), ("atss_dcnv2_x101_32x8d_fpn_2x_ms_coco", (3, 4))]
)
def test_deformable_layers_are_where_they_belong(name, stages):
    model = build_model(load_config(name, WITHOUT_WEIGHTS))
    have = [name for name, layer in model.named_modules() if isinstance(layer, TorchvisionDCNv2)]
    blocks = {stage: len(getattr(model.backbone, f"layer{stage}")) for stage in stages}
    wanted = [f"backbone.layer{stage}.{block}.conv2" for stage in stages for block in range(blocks[stage])]
    assert have == [*wanted, "bbox_head.cls_convs.3.conv", "bbox_head.reg_convs.3.conv"]
    assert all(f"{each}.conv_offset.bias" in model.state_dict() for each in wanted)


def test_offsets_of_a_new_model_are_zero(caplog):
    model = build_model(load_config("atss_dcnv2_r50_fpn_1x_coco", {**WITHOUT_WEIGHTS, "model.backbone.depth": 50}))
    caplog.set_level("ERROR", "mmengine")
    model.init_weights()
    offsets = [layer.conv_offset for layer in model.modules() if isinstance(layer, TorchvisionDCNv2)]
    assert len(offsets) == 15
    assert not any(each.weight.any() or each.bias.any() for each in offsets)


def test_the_model_is_mmdetections_but_for_the_parts_without_compiled_ops():
    from mmengine.config import Config
    from mmengine.utils import get_installed_path

    path = f"{get_installed_path('mmdet')}/.mim/configs/atss/atss_r50_fpn_1x_coco.py"
    reference = Config.fromfile(path).model.to_dict()
    model = load_config("atss_r50_fpn_1x_coco").model.to_dict()
    for each, names in (
        (reference, ("ATSSHead", "FocalLoss", "ATSSAssigner", "DetDataPreprocessor")),
        (model, ("HorizontalATSSHead", "SigmoidFocalLoss", "HorizontalATSSAssigner", "mmdet.DetDataPreprocessor")),
    ):
        head = each["bbox_head"]
        parts = (head, head["loss_cls"], each["train_cfg"]["assigner"], each["data_preprocessor"])
        assert tuple(part.pop("type") for part in parts) == names
    # the default of MMDetection's head
    assert model["bbox_head"].pop("norm_cfg") == dict(type="GN", num_groups=32, requires_grad=True)
    reference["test_cfg"]["nms"].pop("type")
    assert model == reference


def test_parameter_names_and_shapes_are_mmdetections():
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.utils import get_installed_path

    cfg = Config.fromfile(f"{get_installed_path('mmdet')}/.mim/configs/atss/atss_r50_fpn_1x_coco.py")
    cfg.model.backbone.init_cfg = None
    cfg.model.data_preprocessor.type = "mmdet.DetDataPreprocessor"
    expected = tensor_shapes(MODELS.build(cfg.model).state_dict())
    model = build_model(load_config("atss_r50_fpn_1x_coco", WITHOUT_WEIGHTS))
    assert tensor_shapes(model.state_dict()) == expected


@pytest.mark.usefixtures("no_compiled_ops")
def test_no_compiled_kernel_is_called():
    model = build_model(load_config("atss_dcnv2_r50_fpn_1x_coco", WITHOUT_WEIGHTS))
    losses = model(**model.data_preprocessor(batch((3,), 64), True), mode="loss")
    sum(sum(value) for key, value in losses.items() if "loss" in key).backward()
    model.eval()
    with torch.no_grad():
        (sample,) = model(**model.data_preprocessor(batch((3,), 64), False), mode="predict")
    assert torch.isfinite(sample.pred_instances.scores).all()
    assert all(param.grad.isfinite().all() for param in model.parameters() if param.grad is not None)

"""Every config of the project builds, trains a step with and without objects, and detects."""

import subprocess
import sys

import pytest
import torch

from rotated_atss.configs import config_folder, config_names, find_config
from rotated_atss.errors import UserError

PUBLISHED = {
    "rotated_atss_hbb_r50_fpn_1x_dota_oc": dict(coding="oc", edge_swap=False, proj_xy=False, norm_factor=None),
    "rotated_atss_obb_r50_fpn_1x_dota_le90": dict(coding="le90", edge_swap=True, proj_xy=True, norm_factor=None),
    "rotated_atss_obb_r50_fpn_1x_dota_le135": dict(coding="le135", edge_swap=False, proj_xy=True, norm_factor=1),
}


@pytest.fixture(scope="module")
def built():
    """Models by config name, built once, without pretrained weights."""
    from rotated_atss.detection.runner import build_model, load_config

    models = {}

    def build(name):
        if name not in models:
            cfg = load_config(name, {"model.backbone.init_cfg": None})
            torch.manual_seed(0)
            models[name] = cfg, build_model(cfg)
            models[name][1].init_weights()
        return models[name]

    return build


def batch(counts, size=128):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    draw = torch.Generator().manual_seed(1)
    samples = []
    for count in counts:
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=f"n{count}")
        sample = DetDataSample(metainfo=meta)
        unit = torch.rand(count, 5, generator=draw)
        boxes = unit * torch.tensor([size, size, 40.0, 20, 3]) + torch.tensor([0, 0, 8.0, 8, -1.5])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.randint(0, 15, (count,), generator=draw))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))
        samples.append(sample)
    images = [torch.randint(0, 255, (3, size, size), generator=draw, dtype=torch.uint8) for _ in counts]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize("name", config_names())
@pytest.mark.parametrize("counts", [(6, 0), (0, 0)])
def test_a_step_and_an_inference(name, counts, built):
    _, model = built(name)
    model.train()
    model.zero_grad()
    losses = model(**model.data_preprocessor(batch(counts), True), mode="loss")
    total = sum(value for key, value in losses.items() if "loss" in key)
    assert bool(total.isfinite())
    assert (float(losses["num_pos"]) > 0) == any(counts)
    total.backward()
    reached = [param.grad is not None for param in model.parameters() if param.requires_grad]
    assert all(reached)  # also without objects: data-parallel training waits for every gradient
    model.eval()
    with torch.no_grad():
        result = model(**model.data_preprocessor(batch(counts), False), mode="predict")
    assert result[0].pred_instances.bboxes.shape[1] == 5


@pytest.mark.parametrize("name, coder", PUBLISHED.items())
def test_published_hyper_parameters(name, coder, built):
    cfg, model = built(name)
    head = model.bbox_head
    assert {key: getattr(head.bbox_coder, key) for key in coder} == coder
    assert head.assigner.by_hbb == ("hbb" in name) and head.assigner.topk == 9
    priors = head.prior_generator.grid_priors([(2, 3)] * 5, device="cpu")
    assert priors[0].tolist() == [[8.0 * x, 8.0 * y, 32, 32, 0] for y in range(2) for x in range(3)]
    assert priors[4][-1].tolist() == [256, 128, 512, 512, 0]
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (2.0, 0.25)
    assert type(head.loss_bbox).__name__ == "L1Loss" and not head.reg_decoded_bbox
    assert cfg.model.test_cfg.to_dict() == dict(
        nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=2000
    )
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.0025, 0.9, 1e-4)
    assert cfg.optim_wrapper.clip_grad.max_norm == 35 and cfg.train_dataloader.batch_size == 2
    warmup, steps = cfg.param_scheduler
    assert (warmup.start_factor, warmup.end, steps.milestones, cfg.train_cfg.max_epochs) == (1 / 3, 500, [8, 11], 12)
    flip = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == "RandomFlip")
    if "hbb" in name:
        assert (flip.prob, flip.direction) == (0.5, "horizontal")
    else:
        assert (flip.prob, flip.direction) == ([0.25] * 3, ["horizontal", "vertical", "diagonal"])
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=True)
    backbone = cfg.model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval, backbone.depth) == (1, True, 50)


def test_parameter_names_and_shapes_are_mmrotates(built):
    """The same state dict as onedl-mmrotate's RetinaNet with one anchor a location: what its 0.x ATSS heads are."""
    pytest.importorskip("mmrotate")
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS

    path = f"{get_installed_path('mmrotate')}/.mim/configs/rotated_retinanet/"
    cfg = Config.fromfile(f"{path}rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py", import_custom_modules=False)
    cfg.model.backbone.init_cfg = None
    cfg.model.bbox_head.anchor_generator.update(scales_per_octave=1, ratios=[1.0])
    with DefaultScope.overwrite_default_scope("mmrotate"):
        import mmrotate.models  # noqa: F401

        peer = MODELS.build(cfg.model)
    theirs = {name: tuple(value.shape) for name, value in peer.state_dict().items()}
    _, model = built("rotated_atss_obb_r50_fpn_1x_dota_le90")
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == theirs


def test_config_alone_registers_what_it_needs():
    """In a fresh interpreter: Config.fromfile, then mmdet's registry builds the model."""
    code = (
        "import sys\n"
        "from mmengine.config import Config\n"
        "from mmdet.registry import MODELS\n"
        "cfg = Config.fromfile(sys.argv[1])\n"
        "cfg.model.backbone.init_cfg = None\n"
        "print(type(MODELS.build(cfg.model).bbox_head).__name__)\n"
    )
    path = config_folder() / "dota" / "rotated_atss_obb_r50_fpn_1x_dota_le90.py"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "RotatedRetinaHead"


def test_no_compiled_kernel_is_called(built, monkeypatch):
    """Training and inference run where mmcv has no compiled ops at all."""
    import mmcv.ops  # noqa: F401
    from mmcv.utils import ext_loader

    def refuse(*args, **kwargs):
        raise AssertionError("a compiled kernel of mmcv was called")

    extension = ext_loader.load_ext("_ext", [])
    for name in [name for name in dir(extension) if not name.startswith("_")]:
        monkeypatch.setattr(extension, name, refuse)
    _, model = built("rotated_atss_obb_r50_fpn_1x_dota_le90")
    model.train()
    losses = model(**model.data_preprocessor(batch((5, 2)), True), mode="loss")
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    model.eval()
    with torch.no_grad():
        model(**model.data_preprocessor(batch((5,)), False), mode="predict")


def test_find_config(tmp_path):
    name = "rotated_atss_obb_r50_fpn_1x_dota_le90"
    assert find_config(name) == find_config(f"{name}.py") == find_config(config_folder() / "dota" / f"{name}.py")
    with pytest.raises(UserError, match="no_such: no such config .*rotated_atss_hbb"):
        find_config("no_such")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model.bbox_head.bbox_coder.coding": "le45"}, "unknown angle coding 'le45': choose one of oc, le90, le135"),
        ({"model.bbox_head.bbox_coder.coding": "oc"}, "edge_swap needs a long-edge coding"),
        ({"model.bbox_head.reg_decoded_bbox": True}, "L1Loss compares deltas"),
        ({"model.bbox_head.loss_bbox": dict(type="RotatedIoULoss")}, "set reg_decoded_bbox=True"),
        ({"model.train_cfg.assigner.assign_by_circumhbbox": "hbb"}, "not 'hbb'"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_reason(changes, message):
    from rotated_atss.detection.runner import build_model, load_config

    with pytest.raises(UserError, match=message):
        build_model(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", changes))

"""Oriented configs: every one trains a step with and without objects and detects; published hyperparameters."""

import math

import pytest
import torch

from rotated_atss.checkpoints.compatibility import tensor_shapes
from rotated_atss.configs import config_folder, config_names, find_config
from rotated_atss.errors import UserError

CODERS = {
    "hbb_oc": dict(angle_version="oc", edge_swap=False, proj_xy=False, norm_factor=None),
    "obb_le90": dict(angle_version="le90", edge_swap=True, proj_xy=True, norm_factor=None),
    "obb_le135": dict(angle_version="le135", edge_swap=False, proj_xy=True, norm_factor=1),
}
R50_1X = {
    f"rotated_{model}_{by}_r50_fpn_1x_dota_{angle_version}": (model, f"{by}_{angle_version}")
    for model in ("atss", "atss_centerness", "retinanet")
    for by, angle_version in (("hbb", "oc"), ("obb", "le90"), ("obb", "le135"))
}
ORIENTED = [
    name
    for name in config_names()
    if find_config(name).parent.name in ("dota", "demo", "ablation") and "coco" not in name
]


@pytest.fixture(scope="module")
def built():
    """``built(name) -> (cfg, model)``: each model is built once, without pretrained weights."""
    from rotated_atss.detection.engine.config import build_model, load_config

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


@pytest.mark.parametrize("name", ORIENTED)
@pytest.mark.parametrize("counts", [(6, 0), (0, 0)])
def test_training_step_and_inference(name, counts, built):
    _, model = built(name)
    model.train()
    model.zero_grad()
    losses = model(**model.data_preprocessor(batch(counts), True), mode="loss")
    total = sum(value for key, value in losses.items() if "loss" in key)
    assert bool(total.isfinite())
    assert (float(losses["num_pos"]) > 0) == any(counts)
    total.backward()
    has_gradient = [param.grad is not None for param in model.parameters() if param.requires_grad]
    assert all(has_gradient)  # also without objects: data-parallel training waits for every gradient
    model.eval()
    with torch.no_grad():
        result = model(**model.data_preprocessor(batch(counts), False), mode="predict")
    assert result[0].pred_instances.bboxes.shape[1] == 5


@pytest.mark.parametrize("name, kind", R50_1X.items())
def test_published_hyper_parameters(name, kind, built):
    cfg, model = built(name)
    (family, angle_version), head = kind, model.bbox_head
    assert {key: getattr(head.bbox_coder, key) for key in CODERS[angle_version]} == CODERS[angle_version]
    assert head.assigner.assigns_by_hbb == ("hbb" in name)
    assert (head.loss_cls.gamma, head.loss_cls.alpha) == (2.0, 0.25)
    assert cfg.model.test_cfg.to_dict() == dict(
        nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=2000
    )
    CHECKS[family](head, angle_version)
    check_schedule(cfg, "hbb" in name)


def check_atss(head, angle_version, angle=0.0):
    assert head.assigner.topk == 9
    priors = head.prior_generator.grid_priors([(2, 3)] * 5, device="cpu")
    expected = [[8.0 * x, 8.0 * y, 32, 32, angle] for y in range(2) for x in range(3)]
    assert torch.allclose(priors[0], torch.tensor(expected))
    assert priors[4][-1, :4].tolist() == [256, 128, 512, 512]
    if angle == 0.0:
        assert type(head.loss_bbox).__name__ == "L1Loss"
        assert not head.reg_decoded_bbox


def check_centerness(head, angle_version):
    check_atss(head, angle_version, math.pi / 2 if "le135" in angle_version else -math.pi / 2)
    assert (head.loss_bbox.mode, head.loss_bbox.loss_weight, head.centerness_frame) == ("linear", 2.0, "hbb")
    assert [type(tower[0].norm).__name__ for tower in (head.cls_convs, head.reg_convs)] == ["GroupNorm"] * 2
    assert len(head.cls_convs) == 4
    assert head.cls_convs[0].norm.num_groups == 32


def check_retinanet(head, angle_version):
    assert head.assigner.thresholds == dict(pos_iou=0.5, neg_iou=0.4, min_pos_iou=0)
    priors = head.prior_generator.grid_priors([(1, 1)] * 5, device="cpu")[0]
    areas = sorted({round(float(w * h) ** 0.5, 3) for w, h in priors[:, 2:4]})
    assert len(priors) == 9
    assert areas == [32, round(32 * 2 ** (1 / 3), 3), round(32 * 2 ** (2 / 3), 3)]
    assert sorted({round(float(h / w), 3) for w, h in priors[:, 2:4]}) == [0.5, 1, 2]
    assert not priors[:, 4].any()
    assert type(head.loss_bbox).__name__ == "L1Loss"
    assert not head.reg_decoded_bbox


CHECKS = {"atss": check_atss, "atss_centerness": check_centerness, "retinanet": check_retinanet}


def check_schedule(cfg, horizontal_flips_only):
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.0025, 0.9, 1e-4)
    assert cfg.optim_wrapper.clip_grad.max_norm == 35
    assert cfg.train_dataloader.batch_size == 2
    warmup, steps = cfg.param_scheduler
    assert (warmup.start_factor, warmup.end, steps.milestones, cfg.train_cfg.max_epochs) == (1 / 3, 500, [8, 11], 12)
    flip = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == "FlipImage")
    if horizontal_flips_only:
        assert (flip.prob, flip.direction) == (0.5, "horizontal")
    else:
        assert (flip.prob, flip.direction) == ([0.25] * 3, ["horizontal", "vertical", "diagonal"])
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=True)
    backbone = cfg.model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval, backbone.depth) == (1, True, 50)


@pytest.mark.parametrize("name, first", [("r3det_r50_fpn_1x_dota_oc", 9), ("r3det_atss_r50_fpn_1x_dota_oc", 1)])
def test_published_hyper_parameters_of_r3det(name, first, built):
    cfg, model = built(name)
    init, refine = model.bbox_head_init, model.bbox_head_refine[0]
    assert init.num_base_priors == first
    assert refine.num_base_priors == 1
    assert init.assigner.assigns_by_hbb
    assert not refine.assigner.assigns_by_hbb
    assert refine.assigner.thresholds == dict(pos_iou=0.6, neg_iou=0.5, min_pos_iou=0)
    for head in (init, refine):
        assert {key: getattr(head.bbox_coder, key) for key in CODERS["hbb_oc"]} == CODERS["hbb_oc"]
        assert type(head.loss_bbox).__name__ == "SmoothL1Loss"
        assert head.loss_bbox.beta == 0.11
    assert not refine.feat_refine_module.transposed
    check_schedule(cfg, False)


@pytest.mark.parametrize("name", config_names())
def test_published_numbers_have_a_source(name):
    from rotated_atss.detection.engine.config import load_config

    published = load_config(name).get("published") or []
    assert all(set(row) == {"metric", "value", "source"} and 30 < row["value"] < 90 for row in published)


@pytest.mark.parametrize(
    "name, path, changes",
    [
        (
            "rotated_atss_obb_r50_fpn_1x_dota_le90",
            "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py",
            dict(scales_per_octave=1, ratios=[1.0]),  # one anchor per location, as in mmrotate 0.x's ATSS heads
        ),
        (
            "rotated_retinanet_obb_r50_fpn_1x_dota_le90",
            "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py",
            {},
        ),
        ("rotated_atss_centerness_obb_r50_fpn_1x_dota_le90", "rotated_atss/rotated-atss-le90_r50_fpn_1x_dota.py", {}),
        ("r3det_r50_fpn_1x_dota_oc", "r3det/r3det-oc_r50_fpn_1x_dota.py", {}),
        (
            "rotated_retinanet_obb_r50_fpn_6x_hrsc2016_rr_le90",
            "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_rr-6x_hrsc.py",
            {},
        ),
        (
            "rotated_retinanet_obb_r50_fpn_1x_dior_r_le90",
            "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dior.py",
            {},
        ),
    ],
)
def test_parameter_names_and_shapes_are_mmrotates(name, path, changes, built):
    pytest.importorskip("mmrotate")
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS

    cfg = Config.fromfile(f"{get_installed_path('mmrotate')}/.mim/configs/{path}", import_custom_modules=False)
    cfg.model.backbone.init_cfg = None
    if changes:
        cfg.model.bbox_head.anchor_generator.update(changes)
    with DefaultScope.overwrite_default_scope("mmrotate"):
        import mmrotate.models  # noqa: F401

        reference = MODELS.build(cfg.model)
    _, model = built(name)
    shapes = tensor_shapes(model.state_dict())
    shapes.pop("bbox_head_refine.0.feat_refine_module.transposed", None)  # a buffer that mmrotate lacks
    assert shapes == tensor_shapes(reference.state_dict())


@pytest.mark.parametrize(
    "name",
    [
        "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90",
        "rotated_retinanet_hbb_r50_fpn_1x_dota_oc",
        "r3det_r50_fpn_1x_dota_oc",
    ],
)
@pytest.mark.usefixtures("no_compiled_ops")
def test_no_compiled_kernel_is_called(name, built):
    """Training and inference run where mmcv has no compiled ops."""
    _, model = built(name)
    model.train()
    losses = model(**model.data_preprocessor(batch((5, 2)), True), mode="loss")
    sum(value for key, value in losses.items() if "loss" in key).backward()
    model.eval()
    with torch.no_grad():
        (sample,) = model(**model.data_preprocessor(batch((5,)), False), mode="predict")
    assert torch.isfinite(sample.pred_instances.scores).all()
    assert all(param.grad.isfinite().all() for param in model.parameters() if param.grad is not None)


def test_find_config_by_name_or_path(tmp_path, monkeypatch):
    name = "rotated_atss_obb_r50_fpn_1x_dota_le90"
    assert find_config(name) == find_config(f"{name}.py") == find_config(config_folder() / "dota" / f"{name}.py")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)  # not the checkout, whose configs/ would be found as a path
        assert find_config(f"configs/dota/{name}.py") == find_config(f"dota/{name}") == find_config(name)
        for path in (f"own/{name}.py", f"configs/coco/{name}.py", f"/configs/dota/{name}.py", f"x/configs/dota/{name}"):
            with pytest.raises(UserError, match=rf"{name}.*: no such config \(nearest: {name}"):
                find_config(path)
    with pytest.raises(UserError, match=r"xyz: no such config \(give a path, or a name from .*configs/\*/\*\.py\)"):
        find_config("xyz")
    with pytest.raises(UserError, match=rf"\(nearest: {name}, .*; give a path") as caught:
        find_config("rotated_ats_obb_r50_fpn_1x_dota_le90")
    assert len(str(caught.value).split("; ")[0].split(", ")) == 3  # only the nearest names


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"model.bbox_head.bbox_coder.angle_version": "le45"},
            "angle_version must be one of oc, le90, le135, got 'le45'",
        ),
        ({"model.bbox_head.bbox_coder.angle_version": "oc"}, "edge_swap needs a long-edge angle version"),
        ({"model.bbox_head.reg_decoded_bbox": True}, "L1Loss, which compares deltas"),
        ({"model.bbox_head.loss_bbox": dict(type="RotatedIoULoss")}, "Set reg_decoded_bbox=True"),
        ({"model.train_cfg.assigner.assign_by_circumhbbox": "hbb"}, "assign_by_circumhbbox must be .*, got 'hbb'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    from rotated_atss.detection.engine.config import build_model, load_config

    with pytest.raises(UserError, match=message):
        build_model(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", changes))


def test_yaml_configs_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="YAML configs are not read"):
        find_config(path)

"""Every setting of the tables in the ATSS paper is an option of the ablation configs, and its model trains."""

import pytest
import torch

from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb

ASSIGNER, ANCHORS = "model.train_cfg.assigner", "model.bbox_head.anchor_generator"
ORIENTED, HORIZONTAL = "rotated_ablation_atss_r50_fpn_1x_dota_le90", "ablation_atss_r50_fpn_1x_coco"
NARROW = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.backbone.frozen_stages": -1,
    "model.backbone.init_cfg": None,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 32,
    "model.bbox_head.in_channels": 32,
    "model.bbox_head.feat_channels": 32,
    "model.bbox_head.stacked_convs": 1,
    "model.bbox_head.norm_cfg": dict(type="GN", num_groups=4, requires_grad=True),
}
NINE = {f"{ANCHORS}.scales_per_octave": 3, f"{ANCHORS}.ratios": [1.0, 0.5, 2.0]}


def train_model(name, changes=None):
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.manual_seed(0)
    model = build_model(load_config(name, {**NARROW, **(changes or {})}))
    model.init_weights()
    return model.train()


def samples(oriented, size=128):
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData

    boxes = torch.tensor([[40.0, 44, 40, 18, 0.5], [90, 80, 24, 24, 0.0], [30, 100, 30, 12, -1.0]])
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0)))
    gt_boxes = boxes if oriented else HorizontalBoxes(obb_to_hbb(boxes))
    sample.gt_instances = InstanceData(bboxes=gt_boxes, labels=torch.tensor([0, 1, 2]))
    sample.ignored_instances = InstanceData(bboxes=gt_boxes[:0], labels=torch.zeros(0, dtype=torch.int64))
    image = torch.randint(0, 255, (3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


def step(model, oriented):
    """Return the losses of a step, summed by name, and whether every parameter has a gradient."""
    losses = model(**model.data_preprocessor(samples(oriented), True), mode="loss")
    summed = {k: sum(v) if isinstance(v, list) else v for k, v in losses.items() if "loss" in k}
    sum(summed.values()).backward()
    return summed, all(each.grad is not None for each in model.parameters() if each.requires_grad)


@pytest.mark.parametrize("name", [ORIENTED, HORIZONTAL])
@pytest.mark.parametrize(
    "changes",
    [
        *({f"{ASSIGNER}.strategy": strategy} for strategy in ("atss", "ssc", "iou", "topk", "center_sampling")),
        *({f"{ASSIGNER}.topk": k} for k in (3, 19)),
        *({f"{ANCHORS}.octave_base_scale": scale} for scale in (5, 9)),
        *({f"{ANCHORS}.ratios": [ratio]} for ratio in (0.25, 4.0)),
        NINE,
    ],
    ids=lambda changes: "-".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items()),
)
def test_options_cover_every_row_of_the_tables(name, changes):
    model = train_model(name, changes)
    losses, has_gradients = step(model, name == ORIENTED)
    assert all(bool(value.isfinite()) for value in losses.values())
    assert has_gradients
    assert float(losses["loss_bbox"]) > 0  # there are positives
    head = model.bbox_head
    for key, value in changes.items():
        if key.startswith(ASSIGNER):
            assert getattr(head.assigner, key.rpartition(".")[2]) == value
    priors = head.prior_generator.grid_priors([(4, 4)] * 5, device="cpu")[0]
    if changes is NINE:
        assert head.num_base_priors == 9
        assert head.assigner.num_priors_per_location(priors) == 9
    if f"{ANCHORS}.ratios" in changes and changes is not NINE:
        w, h = (priors[0, 2:4] if name == ORIENTED else priors[0, 2:] - priors[0, :2]).tolist()
        assert h / w == pytest.approx(changes[f"{ANCHORS}.ratios"][0])


@pytest.mark.parametrize("kind", ["ssc", "iou", "topk", "center_sampling", "point", "9_anchors"])
def test_oriented_ablation_configs(kind):
    model = train_model(f"rotated_ablation_{kind}_r50_fpn_1x_dota_le90")
    losses, has_gradients = step(model, True)
    assert all(bool(value.isfinite()) for value in losses.values())
    assert has_gradients
    if kind in ("ssc", "iou", "topk", "center_sampling"):
        assert model.bbox_head.assigner.strategy == kind


@pytest.mark.parametrize("kind", ["ssc", "point"])
def test_horizontal_ablation_configs(kind):
    losses, has_gradients = step(train_model(f"ablation_{kind}_r50_fpn_1x_coco"), False)
    assert all(bool(value.isfinite()) for value in losses.values())
    assert has_gradients


@pytest.mark.parametrize(
    "name, oriented",
    [("rotated_ablation_point_r50_fpn_1x_dota_le90", True), ("ablation_point_r50_fpn_1x_coco", False)],
)
def test_point_regression_learns_the_boxes(name, oriented):
    """Sixty steps on one image reduce the box loss by 40 %, and the model then detects."""
    model = train_model(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    history = []
    for _ in range(60):
        optimizer.zero_grad()
        history.append(float(step(model, oriented)[0]["loss_bbox"]))
        optimizer.step()
    assert sum(history[-5:]) < 0.6 * sum(history[:5])
    with torch.no_grad():
        detections = model.eval()(**model.data_preprocessor(samples(oriented), False), mode="predict")[0].pred_instances
    assert detections.bboxes.shape[1] == (5 if oriented else 4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({f"{ASSIGNER}.topk": 0}, "topk must be at least 1, got 0"),
        ({f"{ASSIGNER}.strategy": "fcos"}, "Choose one of atss, ssc, iou, topk, center_sampling"),
        ({f"{ASSIGNER}.regress_limits": [64, 32]}, "must increase and be above 0"),
    ],
)
def test_invalid_options_are_reported_in_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        train_model(ORIENTED, changes)


def test_regress_limits_that_do_not_fit_the_levels():
    model = train_model(ORIENTED, {f"{ASSIGNER}.strategy": "ssc", f"{ASSIGNER}.regress_limits": [64]})
    with pytest.raises(UserError, match="must have 4 values for 5 levels"):
        step(model, True)

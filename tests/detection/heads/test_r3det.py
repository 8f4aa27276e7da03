"""R3Det: stages compared with mmrotate 1.x's detector of the same weights, losses with those of the single heads."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.heads.r3det import decode_best_boxes
from rotated_atss.errors import UserError
from tests.references.corners import corner_distance

NARROW = {
    "model.backbone.init_cfg": None,
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 16,
    "model.backbone.stem_channels": 16,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": 16,
    "model.bbox_head_init.in_channels": 16,
    "model.bbox_head_init.feat_channels": 16,
    "model.bbox_head_init.stacked_convs": 1,
    "model.bbox_head_refine.0.in_channels": 16,
    "model.bbox_head_refine.0.feat_channels": 16,
    "model.bbox_head_refine.0.stacked_convs": 1,
    "model.bbox_head_refine.0.frm_cfg.feat_channels": 16,
}


def build(name="r3det_r50_fpn_1x_dota_oc", **changes):
    torch.manual_seed(0)
    model = build_model(load_config(name, {**NARROW, **changes}))
    model.init_weights()
    return enlarge_weights(model).eval()


def enlarge_weights(model):
    """Set weights with which boxes differ from their priors and scores from each other."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "retina_" in name and name.endswith("weight"):
                param.copy_(torch.randn(param.shape, generator=draw) * 0.05)
    return model


def images(number=2, size=128):
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(1))


def samples(counts, size=128):
    draw, data = torch.Generator().manual_seed(2), []
    for count in counts:
        meta = dict(img_shape=(size, size), pad_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
        boxes = torch.rand(count, 5, generator=draw) * torch.tensor([size, size, 40.0, 20, 1.5])
        boxes += torch.tensor([0, 0, 8.0, 8, 0.01])
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.randint(0, 15, (count,), generator=draw))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))
        data.append(sample)
    return data


def mmrotate_detector(model, angle_version):
    """Build mmrotate's detector with the weights of ``model``."""
    pytest.importorskip("mmrotate.models")
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS as MMROTATE_MODELS

    path = f"{get_installed_path('mmrotate')}/.mim/configs/r3det/r3det-oc_r50_fpn_1x_dota.py"
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg.merge_from_dict(NARROW)
    cfg.model.bbox_head_init.anchor_generator.angle_version = None
    for head in (cfg.model.bbox_head_init, cfg.model.bbox_head_refine[0]):
        head.bbox_coder.update(angle_version=angle_version, use_box_type=False)
    with DefaultScope.overwrite_default_scope("mmrotate"):
        baseline = MMROTATE_MODELS.build(cfg.model)
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("transposed")}
    baseline.load_state_dict(state)
    return baseline.eval()


@pytest.mark.baseline
@pytest.mark.parametrize("angle_version", ["le90", "le135"])
def test_raw_outputs_and_boxes_equal_mmrotate(angle_version):
    """Mmrotate swaps x and y when it samples features, hence ``transposed``."""
    model = build(
        **{
            "model.bbox_head_init.bbox_coder.angle_version": angle_version,
            "model.bbox_head_refine.0.bbox_coder.angle_version": angle_version,
            "model.bbox_head_refine.0.frm_cfg.transposed": True,
        }
    )
    baseline = mmrotate_detector(model, angle_version)
    with torch.no_grad():
        outputs, boxes = model.forward_stages(images())
        baseline_init = baseline.bbox_head_init(baseline.extract_feat(images()))
        baseline_boxes = baseline.bbox_head_init.filter_bboxes(*baseline_init)
        baseline_outputs = baseline.forward(images(), mode="tensor")
    for level, level_boxes in enumerate(boxes):
        expected = torch.stack([getattr(each[level], "tensor", each[level]) for each in baseline_boxes])
        assert distance(level_boxes, expected) < 1e-2
    for levels, expected_levels in zip(outputs, baseline_outputs):
        for level, expected in zip(levels, expected_levels):
            assert torch.allclose(level, expected, atol=1e-4)
    coder, baseline_coder = (each.bbox_head_refine[0].bbox_coder for each in (model, baseline))
    for level_boxes, deltas in zip(boxes, outputs[1]):
        priors, deltas = level_boxes.reshape(-1, 5), deltas.permute(0, 2, 3, 1).reshape(-1, 5)
        expected = baseline_coder.decode(priors, deltas)
        assert distance(coder.decode(priors, deltas), getattr(expected, "tensor", expected)) < 1e-2


def distance(first, second):
    """Largest distance between corners, relative to the longer side."""
    first, second = first.reshape(-1, 5), second.reshape(-1, 5)
    return float((corner_distance(first, second) / first[:, 2:4].amax(-1).clamp(min=1)).max())


def test_best_boxes_have_the_highest_score_of_their_location():
    model = build()
    with torch.no_grad():
        scores, deltas = model.bbox_head_init(model.extract_feat(images(1)))
    boxes = decode_best_boxes(model.bbox_head_init, scores, deltas)
    priors = model.bbox_head_init.multi_level_priors([level.shape[-2:] for level in scores], torch.device("cpu"))
    for level in range(5):
        width = scores[level].shape[-1]
        for cell in (0, len(boxes[level][0]) - 1):
            row, column = divmod(cell, width)
            values = [scores[level][0, prior * 15 : prior * 15 + 15, row, column].max() for prior in range(9)]
            best = max(range(9), key=lambda prior: values[prior])
            delta = deltas[level][0, best * 5 : best * 5 + 5, row, column]
            expected = model.bbox_head_init.bbox_coder.decode(priors[level][cell * 9 + best][None], delta[None])
            assert distance(boxes[level][0, cell], expected[0]) < 1e-4
    assert not any(level.requires_grad for level in boxes)


def test_losses_equal_those_of_the_single_heads():
    model = build().train()
    data = samples((6, 0))
    losses = model.loss(images(), data)
    features = model.extract_feat(images())
    first = model.bbox_head_init(features)
    gt_instances, metas = [each.gt_instances for each in data], [each.metainfo for each in data]
    boxes = decode_best_boxes(model.bbox_head_init, *first)
    second = model.bbox_head_refine[0](features, boxes)
    expected = {
        **model.bbox_head_init.loss_by_feat(*first, gt_instances, metas),
        **{
            f"{name}_refine_0": value
            for name, value in model.bbox_head_refine[0]
            .loss_by_feat(*second, gt_instances, metas, priors=boxes)
            .items()
        },
    }
    assert losses.keys() == expected.keys()
    assert len(losses) == 6
    for name, value in expected.items():
        assert torch.allclose(losses[name], value, rtol=1e-5), name
    assert float(losses["num_pos"]) > 0
    assert float(losses["num_pos_refine_0"]) > 0


def test_without_refinement_stages_the_first_head_detects():
    cfg = load_config("r3det_r50_fpn_1x_dota_oc", NARROW)
    cfg.model.update(bbox_head_refine=[])
    cfg.model.train_cfg.update(refine=[], stage_loss_weights=[])
    torch.manual_seed(0)
    model = enlarge_weights(build_model(cfg)).eval()
    losses = model.loss(images(), samples((6, 0)))
    assert losses.keys() == {"loss_cls", "loss_bbox", "num_pos"}
    with torch.no_grad():
        detected = model.predict(images(), samples((0, 0)))
        expected = model.bbox_head_init.predict_by_feat(
            *model.bbox_head_init(model.extract_feat(images())),
            batch_img_metas=[sample.metainfo for sample in samples((0, 0))],
            rescale=True,
        )
    assert len(expected[0]) > 0
    assert torch.equal(detected[0].pred_instances.scores, expected[0].scores)


def test_priors_of_the_second_stage_differ_per_image():
    """Swapping the images of a batch swaps their assignments."""
    model = build().train()
    head, (scores, deltas) = model.bbox_head_refine[0], model.bbox_head_init(model.extract_feat(images()))
    boxes, data = decode_best_boxes(model.bbox_head_init, scores, deltas), samples((6, 3))
    gt_instances, metas = [each.gt_instances for each in data], [each.metainfo for each in data]
    sizes = [level.shape[-2:] for level in scores]
    gt_index = head.assign_batch(boxes, sizes, gt_instances, metas, None)
    swapped = head.assign_batch([level.flip(0) for level in boxes], sizes, gt_instances[::-1], metas, None)
    assert torch.equal(gt_index, swapped.flip(0))
    assert not torch.equal(gt_index[0], gt_index[1])


def test_loading_weights_restores_the_transposed_sampling():
    plain, transposed = build(), build(**{"model.bbox_head_refine.0.frm_cfg.transposed": True})
    with torch.no_grad():
        before = plain(images(), mode="tensor")[0][0]
        other = transposed(images(), mode="tensor")[0][0]
        assert not torch.allclose(before, other)
        plain.load_state_dict(transposed.state_dict())
        assert torch.equal(plain(images(), mode="tensor")[0][0], other)


def test_transposed_sampling_misses_the_features_of_the_object():
    from rotated_atss.ops.feature_align import align_features

    features = torch.zeros(1, 1, 8, 8)
    features[0, 0, 2, 5] = 1  # row 2, column 5
    boxes = torch.zeros(1, 64, 5) + torch.tensor(
        [5 * 8.0, 2 * 8.0, 10, 10, 0.3]
    )  # every location predicts the object at this cell
    assert float(align_features(features, boxes, 8).min()) == 1
    assert float(align_features(features, boxes, 8, transposed=True).min()) == 0


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"model.train_cfg.stage_loss_weights": [1.0, 1.0]},
            "train_cfg.stage_loss_weights must have 1 entries, one per refinement head, got 2",
        ),
        (
            {"model.bbox_head_refine.0.loss_bbox": dict(_delete_=True, type="RotatedIoULoss")},
            "Set reg_decoded_bbox=True",
        ),
    ],
)
def test_mismatched_settings_raise(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)


def test_parts_are_registered():
    assert all(MODELS.get(name) is not None for name in ("R3Det", "RotatedRefineHead", "FeatureRefinement"))

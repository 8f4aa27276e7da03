"""Models of mmrotate, MMDetection and this package with random weights."""

from __future__ import annotations

import pytest
import torch

WIDTH = 64
BACKBONE = {
    "model.backbone.init_cfg": None,
    "model.backbone.base_channels": 4,
    "model.backbone.stem_channels": 4,
    "model.neck.in_channels": [16, 32, 64, 128],
    "model.neck.out_channels": WIDTH,
}


@pytest.fixture(scope="session")
def narrow():
    """``narrow(config name) -> changes`` that reduce the channels of an R50 model, of any of the projects."""

    def changes(name):
        heads = ["bbox_head_init", "bbox_head_refine.0"] if "r3det" in name else ["bbox_head"]
        widths = {f"model.{head}.{key}": WIDTH for head in heads for key in ("in_channels", "feat_channels")}
        refine = {"model.bbox_head_refine.0.frm_cfg.feat_channels": WIDTH} if "r3det" in name else {}
        return {**BACKBONE, **widths, **refine}

    return changes


def randomize_heads(model):
    """Spread the outputs of the heads within the decoder's bounds."""
    draw = torch.Generator().manual_seed(3)
    for name, param in model.named_parameters():
        if name.endswith(("retina_reg.weight", "atss_reg.weight", "retina_cls.weight", "atss_cls.weight")):
            param.data.normal_(0, 0.02, generator=draw)
        elif name.endswith(("retina_reg.bias", "atss_reg.bias", ".scale")):
            param.data += torch.empty_like(param).normal_(0, 0.3, generator=draw)
    return model.eval()


@pytest.fixture(scope="session")
def mmrotate_1x(narrow):
    """``build(config, changes) -> (config text, model)`` of the installed mmrotate 1.x."""
    pytest.importorskip("mmrotate")
    pytest.importorskip("mmcv.ops")
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.utils import get_installed_path
    from mmrotate.registry import MODELS

    def build(config, changes=None):
        import mmrotate.models  # noqa: F401

        path = f"{get_installed_path('mmrotate')}/.mim/configs/{config}"
        cfg = Config.fromfile(path, import_custom_modules=False)
        cfg.merge_from_dict({**narrow(config), **(changes or {})})
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmrotate"):
            return cfg.pretty_text, randomize_heads(MODELS.build(cfg.model))

    return build


@pytest.fixture(scope="session")
def mmdet_3x(narrow):
    """``build(config, changes) -> (config text, model)`` of the installed MMDetection 3.x."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.utils import get_installed_path

    def build(config, changes=None):
        register_all_modules(init_default_scope=True)
        cfg = Config.fromfile(f"{get_installed_path('mmdet')}/.mim/configs/{config}")
        cfg.merge_from_dict({**narrow(config), **(changes or {})})
        torch.manual_seed(0)
        return cfg.pretty_text, randomize_heads(MODELS.build(cfg.model))

    return build


@pytest.fixture(scope="session")
def build_converted(narrow):
    """``build(config, state) -> model`` of a config of this package, with the complete weights."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    from rotated_atss.detection.engine.config import build_model, load_config

    def build(config, state, changes=None):
        model = build_model(load_config(config, {**narrow(config), **(changes or {})}))
        model.load_state_dict(state, strict=True)
        return model.eval()

    return build


@pytest.fixture(scope="session")
def convert(narrow):
    """``convert(content, config, **options) -> Conversion`` of a checkpoint's content for a config."""
    pytest.importorskip("mmdet")
    from rotated_atss.checkpoints.convert import convert_checkpoint
    from rotated_atss.checkpoints.origin import find_origin
    from rotated_atss.detection.engine.conversion_target import describe_target

    def convert_content(content, config, path="weights.pth", changes=None, **options):
        target = describe_target(config, {**narrow(config), **(changes or {})})
        return convert_checkpoint(find_origin(content, path, **options), target, path)

    return convert_content

"""Configs from others: what their values can name, and reading without execution."""

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.safe_config import check_config_values


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": {"type": "mmdet.RetinaNet", "neck": None, "heads": [{"type": "rotated_atss.ATSSHead"}]}},
        {"default_scope": "rotated_atss.detection", "model": {"_scope_": "mmdet", "type": "ATSS"}},
        {"custom_imports": {"imports": ["rotated_atss.detection", "mmdet.models"], "allow_failed_imports": False}},
        {"train_pipeline": ({"type": "torchvision/RandomCrop"}, {"type": "LoadTile"})},
        {"data_root": "a.b/c.json", "classes": ("os.system",)},
        {"lr": 1, "type": {"type": "L2"}},
    ],
)
def test_values_that_name_registered_classes_are_accepted(values):
    assert check_config_values(values, "a.py") is None


@pytest.mark.parametrize(
    "values, message",
    [
        ({"model": {"type": "os.system"}}, "model.type must be the name of a registered class, got 'os.system'"),
        ({"model": {"type": "mmdet.os.system"}}, "model.type must be the name of a registered class"),
        ({"model": {"type": "rotated_atss.cli.main"}}, "model.type must be the name of a registered class"),
        ({"model": {"type": "__import__('os')"}}, "model.type must be the name of a registered class"),
        ({"model": {"type": "__import__"}}, "model.type must be the name of a registered class"),
        ({"model": {"type": "mmdet.RFSearchHook"}}, "model.type must be the name of a registered class"),
        ({"hooks": [{}, ({"type": "a.b"},)]}, "hooks.1.0.type must be the name of a registered class"),
        ({"optim_wrapper": {"constructor": "os.system"}}, "optim_wrapper.constructor must be the name"),
        ({"default_scope": "os"}, "default_scope must be one of rotated_atss.detection, "),
        ({"model": {"_scope_": ["mmdet"]}}, "model._scope_ must be one of "),
        ({"a": {"ann_file": "https://x/y.pkl"}}, "a.ann_file must be no file that can contain code"),
        ({"custom_imports": {"imports": ["os"]}}, "custom_imports must be modules of rotated_atss, mmdet, mmrotate"),
        ({"custom_imports": {"imports": "mmdetx.a"}}, "custom_imports must be modules of"),
        ({"custom_imports": "os"}, "custom_imports must be modules of"),
        ({"custom_imports": {"imports": [3]}}, "custom_imports must be modules of"),
    ],
)
def test_values_that_can_execute_code_are_refused(values, message):
    with pytest.raises(UserError) as caught:
        check_config_values(values, "a.py", "remove it")
    assert str(caught.value).startswith(f"a.py: {message}")
    assert str(caught.value).endswith("(remove it)")

"""The scope of this package's configs finds the classes of MMDetection, MMCV and MMEngine."""

import mmdet.registry
import mmengine.registry
import pytest
from mmdet.utils import register_all_modules
from mmengine.registry import Registry, build_from_cfg

import rotated_atss.detection  # noqa: F401
from rotated_atss.detection.registry import REGISTRIES, REPLACED_BY_MMDET, SCOPE

KINDS = sorted(REGISTRIES)


@pytest.fixture(scope="module", autouse=True)
def everything():
    register_all_modules(init_default_scope=False)


def test_every_kind_of_mmdetection_has_a_registry():
    assert set(KINDS) == {name for name, each in vars(mmdet.registry).items() if isinstance(each, Registry)} - {
        name for name in vars(mmdet.registry) if name.startswith("MMENGINE_") or name == "Registry"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_those_of_mmdetections_registry(kind):
    mmdet_registry = getattr(mmdet.registry, kind)
    for name in {*mmdet_registry.module_dict, *mmdet_registry.root.module_dict, "Missing"}:
        assert REGISTRIES[kind].get(name) is mmdet_registry.get(name), name
    for name in mmdet_registry.module_dict:
        assert REGISTRIES[kind].get(f"mmdet.{name}") is mmdet_registry.get(name)


def test_replaced_names_are_listed():
    replaced = set()
    for kind in KINDS:
        mmdet_registry = getattr(mmdet.registry, kind)
        replaced |= set(mmdet_registry.module_dict) & set(mmdet_registry.root.module_dict)
    assert replaced == REPLACED_BY_MMDET


def test_mmengine_builds_in_the_scope():
    for name, expected in (("ResizeImage", "rotated_atss"), ("Resize", "mmdet"), ("RandomResize", "mmcv")):
        size = dict(scale=[(9, 9), (9, 9)]) if name == "RandomResize" else dict(scale=(9, 9))
        built = build_from_cfg(dict(type=name, _scope_=SCOPE, **size), mmengine.registry.TRANSFORMS)
        assert type(built).__module__.startswith(expected)

"""Configs from others: what their values can name, and reading without execution."""

import shutil

import pytest

from rotated_atss.configs import config_folder
from rotated_atss.errors import UserError
from rotated_atss.io.config_values import check_config_values
from rotated_atss.io.safe_config import (
    is_packaged_config,
    read_safe_config,
    require_safe_configs,
    safe_configs_required,
)


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
        (
            {"a": {"ann_file": "https://x/y.pkl"}},
            "a.ann_file must be the path of a file that cannot contain code",
        ),
        ({"custom_imports": {"imports": ["os"]}}, "custom_imports must name modules of rotated_atss, mmdet, mmrotate"),
        ({"custom_imports": {"imports": "mmdetx.a"}}, "custom_imports must name modules of"),
        ({"custom_imports": "os"}, "custom_imports must name modules of"),
        ({"custom_imports": {"imports": [3]}}, "custom_imports must name modules of"),
        ({"custom_imports": {"imports": 3}}, "custom_imports must name modules of"),
    ],
)
def test_values_that_can_execute_code_are_refused(values, message):
    with pytest.raises(UserError) as caught:
        check_config_values(values, "a.py", "remove it")
    assert str(caught.value).startswith(f"a.py: {message}")
    assert str(caught.value).endswith("(remove it)")


# -- reading without execution -----------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path):
    """Write files, read the first, and check that nothing was executed."""

    def run(text, packaged=None, **others):
        for name, content in {"own": text, **others}.items():
            (tmp_path / f"{name}.py").write_text(content.replace("TRAP", f"__import__('os').mkdir('{tmp_path}/made')"))
        try:
            return read_safe_config(tmp_path / "own.py", lambda path: dict(packaged or {}))
        finally:
            assert not (tmp_path / "made").exists()

    return run


@pytest.mark.parametrize(
    "text",
    [
        '"""About."""\na = 1\nb = [a, -2.5, None, True, "x"]\nc = (a, *b)\nd = {"k": b, 3: c}\ne = dict(x=d["k"][0])',
        "a = dict(x=1, y=dict(z=2))\nb = dict(a, x=3)\nc = {**a, 'w': 1}\nd = dict(**b)",
        "root = 'data/'\na = root + 'train'\nb = 800 * 2 + 1 / 4 - 3\nc = [1] + [2]\nd = (1,) + ()",
        "a = b = dict(x=1)\n__hidden = 2",
        "a = 1  # lines end as on Windows\r\nb = 'größe'\r\n",
        "",
    ],
)
def test_values_equal_those_of_execution(read, text):
    expected = {}
    exec(text, expected)
    assert read(text) == {name: value for name, value in expected.items() if not name.startswith("__")}


def test_values_are_merged_as_by_mmengine(tmp_path, read):
    config = pytest.importorskip("mmengine.config").Config
    base = "a = dict(x=1, y=dict(z=2, w=[1]))\nb = [dict(x=1)]\nc = dict(x=1)\nd = 1"
    own = (
        "_base_ = ['base.py', 'other.py']\na = dict(y=dict(z=3, v=_base_.a.y.w))\nb = _base_.b + [_base_['c']]\n"
        "c = dict(_delete_=True, y=2)\nnew = dict(_delete_=True, x=1)\ne = dict(f=dict(_delete_=True, x=_base_.d))"
    )
    assert read(own, base=base, other="e = dict(f=dict(y=1))") == config.fromfile(tmp_path / "own.py").to_dict()


def test_configs_of_the_package_are_read_by_the_given_function(read):
    for base in ("rotated_atss_obb_r18_demo_le90", "rotated_atss::_base_/default_runtime.py"):
        assert read(f"_base_ = '{base}'\na = dict(y=2)", packaged={"a": {"x": 1}}) == {"a": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("import os", 1, "not a literal, got 'import os'"),
        ("a = 1\n\nb = TRAP", 3, "not a literal, got 'b = __import__"),
        ("a = 1\rb = len", 2, "not a literal, got 'b = len'"),  # a line may end with a lone carriage return
        ("TRAP", 1, "not a literal"),
        ("a = [1,\n  TRAP]", 2, "not a literal"),
        ("a = dict(x=TRAP)", 1, "not a literal"),
        ("_base_ = TRAP", 1, "not a literal"),
        ("_base_ = ['base.py', TRAP]", 1, "not a literal"),
        ("a = f'{len}'", 1, "not a literal"),
        ("a = [TRAP for _ in 'x']", 1, "not a literal"),
        ("a = lambda: 1", 1, "not a literal"),
        ("dict = 1", 1, "not a literal"),
        ("a, b = 1, 2", 1, "not a literal"),
        ("a = _base_ = 'x.py'", 1, "not a literal"),
        ("a = dict(x=1)\na['x'] = 2", 2, "not a literal"),
        ("a = ''.join(['x'])", 1, "not a literal"),
        ("a = dict\nb = a(x=1)", 1, "not a literal"),
        ("a = 'x'.upper", 1, "not a literal"),
        ("a = _base_.__class__", 1, "cannot evaluate 'a = _base_.__class__': KeyError"),
        ("a = b'x'", 1, "not a literal"),
        ("a = unknown", 1, "not a literal, got 'a = unknown'"),
        ("def f():\n  pass", 1, "not a literal"),
        ("@f\nclass A: pass", 2, "not a literal"),
        ("with read_base():\n  from .base import *", 1, "not a literal"),
        ("a = 2 ** 9", 1, "not a literal"),
        ("a = 1 / 0", 1, "cannot evaluate 'a = 1 / 0': ZeroDivisionError"),
        ("a = 'x' * 9", 1, "cannot evaluate"),
        ("a = {[]: 1}", 1, "cannot evaluate"),
        ("a = dict(1)", 1, "cannot evaluate"),
        ("a = [1][3]", 1, "cannot evaluate"),
        ("a = (", 1, "cannot parse this config"),
        ("a = '{{ $HOME:x }}'", 1, "templates are not allowed"),
        ("b = 1\na = '{{_base_.b}}'", 2, "templates are not allowed"),
        ("a = '{{ fileDirname }}'", 1, "templates are not allowed"),
        ("a = [0]\n" + "a = [a, a]\n" * 30, 20, "the value is too large"),
        ("a = 'xxxxxxxx'\n" + "a = a + a\n" * 30, 18, "the value is too large"),
        ("a = 10.0\nb = 99999\n" + "b = b * b\n" * 30, 12, "the value is too large"),
    ],
)
def test_the_first_part_that_is_no_literal_is_named(read, tmp_path, text, line, message):
    with pytest.raises(UserError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path}/own.py:{line}: {message}")


@pytest.mark.parametrize(
    "text",
    ["a = " + "-" * 100_000 + "1", "a = " + "+".join("1" * 20_000), "a = " + "[" * 5000, "a = 1\x00", "a" * 2**21],
)
def test_texts_that_no_parser_should_see_are_one_line(read, text):
    with pytest.raises(UserError) as caught:
        read(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "own, others, message",
    [
        ("_base_ = 'base.py'", {"base": "TRAP"}, "base.py:1: not a literal"),
        ("_base_ = 'base.py'", {"base": "_base_ = 'own.py'"}, "own.py: the config inherits itself"),
        (
            "_base_ = ['base.py', 'other.py']",
            {"base": "a = 1", "other": "a = 2"},
            "two configs in _base_ have the key 'a'",
        ),
        ("_base_ = 'base.py'\na = dict(x=1)", {"base": "a = 1"}, "a is a dictionary, but the inherited value is not"),
        ("_base_ = 'none.py'", {}, "no such config in _base_"),
        ("_base_ = 3", {}, "own.py:1: _base_ must be the path of a config or a list of paths"),
        (
            "_base_ = 'mmdet::_base_/default_runtime.py'",
            {},
            "_base_: 'mmdet::_base_/default_runtime.py' is not a config of this package",
        ),
        (
            "_base_ = 'rotated_atss::../rotated_atss/__init__.py'",
            {},
            "_base_: 'rotated_atss::../rotated_atss/__init__.py' is not a config of this package",
        ),
        ("_base_ = '/dev/zero'", {}, "no such config"),
        ("_base_ = 'base.yml'", {}, "YAML configs are not read"),
        ("model = dict(type='os.system')", {}, "own.py: model.type must be the name of a registered class"),
        ("custom_imports = dict(imports=['evil'])", {}, "own.py: custom_imports must name modules of"),
    ],
)
def test_inheritance_and_values_are_checked(read, own, others, message):
    with pytest.raises(UserError) as caught:
        read(own, **others)
    assert message in str(caught.value)


def test_configs_are_executed_unless_required_otherwise():
    assert not safe_configs_required()
    with require_safe_configs():
        assert safe_configs_required()
        with require_safe_configs(False):
            assert safe_configs_required()
    assert not safe_configs_required()


def test_a_link_into_the_package_is_no_way_around(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "own.py").touch()
    assert not is_packaged_config(tmp_path / "configs" / "own.py")
    assert not is_packaged_config(config_folder() / ".." / "own.py")
    assert is_packaged_config(config_folder() / "dota" / "own.py")


def test_a_copy_of_all_configs_can_be_read(tmp_path):
    """A checkout beside the installed package, or a changed copy of its configs, is not trusted as the package is."""
    shutil.copytree(config_folder(), tmp_path / "configs")

    def refuse(path):
        raise AssertionError(path)

    paths = [path for path in (tmp_path / "configs").glob("*/*.py") if path.parent.name != "_base_"]
    assert len(paths) > 50
    for path in paths:
        assert read_safe_config(path, read_packaged=refuse)["model"]

"""Parsing of config text as data."""

from __future__ import annotations

import pytest

from rotated_atss.checkpoints.config_text import format_config_text, parse_config_text, read_config_text
from rotated_atss.errors import UserError

TEXT = """
angle_version = 'le90'
model = dict(
    type='RetinaNet', bbox_head=dict(
        anchor_generator=dict(type='RotatedAnchorGenerator', ratios=[1.0, 0.5, 2.0], strides=(8, 16), angle=-1.5),
        bbox_coder={'angle_range': angle_version, 'norm_factor': None, 'edge_swap': True},
        other=open('x'), sum=1 + angle_version))
"""


def test_supported_expressions():
    model = read_config_text(TEXT)["model"]
    assert model["bbox_head"] == dict(
        anchor_generator=dict(
            type="RotatedAnchorGenerator", ratios=[1.0, 0.5, 2.0], strides=[8, 16], angle=-1.5
        ),
        bbox_coder=dict(angle_range="le90", norm_factor=None, edge_swap=True),
    )  # fmt: skip


def test_code_is_not_executed(tmp_path):
    folder = tmp_path / "folder"
    text = (
        f"import os\nos.mkdir({str(folder)!r})\nmodel = dict(a=os.mkdir({str(folder)!r}), b=[__import__('os')], c=1)\n"
    )
    assert read_config_text(text) == {"model": {"c": 1}}
    assert not folder.exists()


@pytest.mark.parametrize("text", [None, 3, "", "model = dict(", "\0", "(" * 500, "x: int", {"model": 1}, b"model = 1"])
def test_invalid_text_gives_an_empty_result(text):
    assert read_config_text(text) == {}


def test_formatted_config_is_read_back():
    values = {
        "model": {"scale": (1024, 1024), "init_cfg": None, "ratios": [1.0, -0.5]},
        "classes": "v1.0",
        "x": {3: ()},
    }
    assert parse_config_text(format_config_text(values)) == values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), print, {"a": {1, 2}.union}])
def test_config_of_other_values_is_not_formatted(value):
    with pytest.raises(UserError, match="the config's 'model' must be plain data, got "):
        format_config_text({"model": value})


@pytest.mark.parametrize(
    "text",
    ["model = dict(a=1)", "x: int", "a = b = 1; import os", "model = __import__('os')", "(" * 500, "\0", "a.b = 1"],
)
def test_other_text_than_assignments_of_values_is_refused(text):
    with pytest.raises(UserError, match="the recorded config must be assignments of plain values"):
        parse_config_text(text)

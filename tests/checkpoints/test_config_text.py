"""Parsing of config text as data."""

from __future__ import annotations

import pytest

from rotated_atss.checkpoints.config_text import read_config_text

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

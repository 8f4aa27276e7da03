"""Parsing of --cfg-options: numbers are converted, paths and names stay text."""

import pytest

from rotated_atss.cli._config_options import parse_cfg_options
from rotated_atss.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model.depth=18", 18),
        ("a.lr=1e-3", 0.001),
        ("a.flag=true", True),
        ("a.scale=(1,(2,3))", (1, (2, 3))),
        ("load_from=None", None),
        ("load_from=123", "123"),
        ("train_dataloader.dataset.data_root=007", "007"),
        ("a.data_prefix.img_path=1e5", "1e5"),
        ("a.dataset.classes=1,2", ["1", "2"]),
        ("a.dataset.classes=(nan, inf)", ("nan", "inf")),
        ("a.dataset.classes=[plane]", ["plane"]),
        ("a.dataset.classes='1','2'", ["1", "2"]),
        ("a.name='2024'", "2024"),
        ('a.name=["1",2]', ["1", 2]),
    ],
)
def test_values(text, value):
    (parsed,) = parse_cfg_options([text]).values()
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["a", "=3", "a=[1,2"])
def test_malformed_options_raise(text):
    with pytest.raises(UserError, match="--cfg-options"):
        parse_cfg_options([text])

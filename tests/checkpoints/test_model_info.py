"""Model metadata: round trip as JSON, and refusal of what is wrong."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rotated_atss.checkpoints.model_info import (
    KEY,
    ModelInfo,
    Preprocessing,
    Thresholds,
    TrainingData,
    Window,
    read_info,
)
from rotated_atss.errors import UserError


@pytest.fixture
def info():
    return ModelInfo(
        config_name="demo",
        config="model = {'depth': 18, 'scale': (256, 256)}\n",
        classes=["plane", "größe"],
        box_type="obb",
        angle_version="le90",
        window=Window(256, 64),
        preprocessing=Preprocessing([1, 2, 3], [4, 5, 6], "RGB", 32, resize=[800, 1333], bits=11),
        thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1),
        training_data=TrainingData(10, 2, {"plane": 3, "größe": 0}, {"0.99": 60.5}, {"0.99": 20}),
        ground_resolution=0.3,
        package_version="0.1.0",
        commit="abc",
    )


def changed(info, path, value):
    content = json.loads(info.to_json())
    *parents, name = path.split(".")
    target = content
    for parent in parents:
        target = target[parent]
    target[name] = value
    return json.dumps(content)


def test_round_trip(info):
    text = info.to_json()
    assert ModelInfo.from_json(text) == info
    assert ModelInfo.from_json(text).to_json() == text
    assert ModelInfo.from_json(json.loads(text)) == info
    assert "\n" not in text
    assert info.config_values() == {"model": {"depth": 18, "scale": (256, 256)}}


@pytest.mark.parametrize("name", ["config_name", "origin", "commit", "package_version", "config"])
def test_control_characters_of_the_terminal_are_refused(info, name):
    with pytest.raises(UserError, match=f"{name} must be a string without control characters, got") as caught:
        ModelInfo.from_json(changed(info, name, "a\x1b[2J"), "a.pth")
    assert str(caught.value).isprintable()
    for classes in (["a\x1b[2J"], ["a\nb"], ["a\x9b"]):
        with pytest.raises(UserError, match=r"classes\[0\] must be a string without control characters, got"):
            ModelInfo.from_json(changed(info, "classes", classes))
    with pytest.raises(UserError, match="keys have no control characters"):
        ModelInfo.from_json(changed(info, "training_data.objects", {"a\x1b[2J": 1}))


def test_sequences_become_tuples_and_numbers_floats(info):
    assert info.classes == ("plane", "größe")
    assert info.preprocessing.mean == (1.0, 2.0, 3.0)
    assert info.preprocessing.resize == (1333, 800)
    assert info.training_data.shorter_side == {"0.99": 20.0}
    assert info.describe() == "demo, 2 classes, obb le90, windows of 256 px with 64 px overlap"


def test_model_metadata_is_found_in_file_metadata(info):
    assert read_info({KEY: info.to_json(), "epoch": 3}) == info
    assert read_info({"epoch": 3}) is None
    assert read_info(None) is None


WRONG = {
    "format": (
        2,
        "the model metadata has format 2, but this rotated-atss reads formats up to 1 (update rotated-atss)",
    ),
    "classes": ([], "classes must be a non-empty list of strings, got []"),
    "classes.": (["a", "a"], "classes must be a list of distinct strings, got ['a', 'a']"),
    "box_type": ("xyxy", "box_type must be one of obb, hbb, got 'xyxy'"),
    "angle_version": (None, "angle_version must be one of oc, le90, le135, got None"),
    "window.size": (-1, "window.size must be an integer of at least 0, got -1"),
    "window.size.": (True, "window.size must be an integer of at least 0, got True"),
    "window.gap": (256, "window.gap must be less than window.size 256, got 256"),
    "window.stride": (3, "window has an unknown field stride"),
    "preprocessing.mean": ([1, 2], "preprocessing.mean must be 3 numbers, got [1, 2]"),
    "preprocessing.std": ([0, 1, 1], "preprocessing.std must be above 0, got (0.0, 1.0, 1.0)"),
    "preprocessing.channel_order": ("GBR", "preprocessing.channel_order must be one of RGB, BGR, got 'GBR'"),
    "preprocessing.pad_divisor": (0, "preprocessing.pad_divisor must be an integer of at least 1, got 0"),
    "preprocessing.resize": ([3], "preprocessing.resize must be two integers or null, got [3]"),
    "preprocessing.bits": (17, "preprocessing.bits must be from 8 to 16 or null, got 17"),
    "thresholds.score": (1.5, "thresholds.score must be a finite number from 0 to 1, got 1.5"),
    "thresholds.max_per_image": (0, "thresholds.max_per_image must be an integer of at least 1, got 0"),
    "training_data.objects": ({"plane": 0.5}, "training_data.objects.plane must be an integer of at least 0, got 0.5"),
    "training_data.longer_side": ({"q": 1}, "an object with quantiles from 0 to 1 as keys, got 'q'"),
    "training_data": ([], "training_data must be an object, got []"),
    "ground_resolution": (0, "ground_resolution must be above 0, in meters per pixel, got 0.0"),
    "config_name": (" ", "config_name must be a non-empty string, got ' '"),
    "config_name.": ("../demo", "config_name must be a name without slashes, got '../demo'"),
    "other": (1, "the model metadata has an unknown field other"),
}


@pytest.mark.parametrize("path", WRONG)
def test_wrong_field_is_one_line(info, path):
    value, message = WRONG[path]
    with pytest.raises(UserError) as caught:
        ModelInfo.from_json(changed(info, path.rstrip("."), value), "model.pth")
    text = str(caught.value)
    assert text.startswith("model.pth: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the model metadata is not valid JSON"),
        ("[" * 100_000, "the model metadata is not valid JSON"),
        ("[]", "the model metadata must be an object, got []"),
        ("{}", "format must be an integer of at least 1, got None"),
        (3, "the model metadata must be an object, got 3"),
        ('{"format": 1}', "the model metadata has no field config_name"),
    ],
)
def test_text_that_is_no_model_metadata(text, message):
    with pytest.raises(UserError, match=r"model\.pth: ") as caught:
        ModelInfo.from_json(text, "model.pth")
    assert message in str(caught.value)


def test_infinite_numbers_are_refused(info):
    text = info.to_json().replace("0.3", "Infinity")
    with pytest.raises(UserError, match="ground_resolution must be a finite number of at least 0, got inf"):
        ModelInfo.from_json(text)


def test_horizontal_boxes_have_no_angle_version(info):
    with pytest.raises(UserError, match="angle_version must be null for horizontal boxes, got 'le90'"):
        dataclasses.replace(info, box_type="hbb")


def test_config_is_data_and_never_executed(info, tmp_path):
    folder = tmp_path / "folder"
    code = dataclasses.replace(info, config=f"import os\nos.mkdir({str(folder)!r})\n")
    with pytest.raises(UserError, match="must be assignments of plain values, got 'import os'"):
        code.config_values()
    assert not folder.exists()
    with pytest.raises(UserError, match="has no config"):
        dataclasses.replace(info, config=None).config_values()

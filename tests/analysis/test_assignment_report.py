"""The reader of assignment statistics accepts what the command writes and names what is wrong in other files."""

import copy
import json

import pytest
import torch

from rotated_atss.analysis.assignment_report import read_assignment_report
from rotated_atss.analysis.positive_counts import BoxShapes, PositiveCounts, summarize
from rotated_atss.errors import UserError


def report(oriented=True):
    shapes, counts = BoxShapes(oriented), PositiveCounts(strides=[8, 16], expected=3.6)
    boxes = torch.tensor([[10.0, 10, 40, 12, 0.3], [30, 30, 700, 14, 1.0]])
    shapes.add(boxes if oriented else torch.tensor([[0.0, 0, 32, 8], [0, 0, 9, 9]]))
    counts.add(torch.tensor([0, -1, 0, -1]), [3, 1], 2, torch.tensor([2, 1]))
    return {"config": "a_config", "images": 1, **summarize(shapes, {"obb": counts})}


@pytest.mark.parametrize("oriented", [True, False])
def test_what_the_command_writes_is_read_unchanged(oriented, tmp_path):
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(report(oriented)))
    assert read_assignment_report(path) == report(oriented)


@pytest.mark.parametrize(
    "keys, value, message",
    [
        (["config"], 3, "'config' must be a string, got 3"),
        (["images"], -1, "'images' must be an integer of at least 0, got -1"),
        (["objects"], True, "'objects' must be an integer of at least 0, got true"),
        (["assigners"], [], "'assigners' must be an object, got []"),
        (["assigners"], {}, "'assigners' must not be empty, got {}"),
        (["assigners", "obb"], None, "'assigners.obb' must be an object, got null"),
        (["assigners", "obb", "positives"], 2.5, "'assigners.obb.positives' must be an integer"),
        (["assigners", "obb", "deviation"], "1", "'assigners.obb.deviation' must be a number or null, got \"1\""),
        (["assigners", "obb", "by_level"], [1], "'assigners.obb.by_level' must be an object"),
        (["assigners", "obb", "by_level", "8"], None, "'assigners.obb.by_level.8' must be an integer"),
        (["assigners", "obb", "objects_by_positives"], {}, "'assigners.obb.objects_by_positives' must be a list"),
        (["assigners", "obb", "by_size"], None, "'assigners.obb.by_size' must be a list"),
        (["assigners", "obb", "by_angle", 0], 1, "'assigners.obb.by_angle.0' must be an object"),
        (["assigners", "obb", "by_size", 0, "from"], None, "'assigners.obb.by_size.0.from' must be a number"),
        (["assigners", "obb", "by_size", 0, "without"], "x", "'assigners.obb.by_size.0.without' must be an integer"),
    ],
)
def test_wrong_values_are_named(keys, value, message, tmp_path):
    content = copy.deepcopy(report())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_assignment_report(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a JSON file"),
        ("{", "not a JSON file"),
        ('{"objects": NaN}', "not a JSON file: NaN is not a JSON number"),
        ("[" * 100_000, "not a JSON file"),
        ("[]", "not a file of assignment statistics"),
        ('{"objects": 1}', "not a file of assignment statistics"),
    ],
)
def test_other_files_are_refused(text, message, tmp_path):
    path = tmp_path / "stats.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_assignment_report(path)
    with pytest.raises(UserError):
        read_assignment_report(tmp_path / "missing.json")

"""Reading of the manifest: only UserError leaves the reader."""

import json

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.tiling.manifest import Manifest, read_manifest


def read(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    return read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1]", "null", "\x00", "9" * 5000, "[" * 100_000, '{"a":' * 50_000,
        '{"folders": 3}', '{"folders": [3]}', '{"folders": [{"labels": 3}]}', '{"folders": [{"labels": "\\u0000"}]}',
        '{"tiles": {}}', '{"tiles": [3]}', '{"tiles": [{}]}', '{"tiles": [{"name": []}]}',
        '{"tiles": [{"name": "../../a"}]}', '{"tiles": [{"name": "/etc/a"}]}', '{"tiles": [{"name": "a\\u001b[2J"}]}',
        '{"tiles": [{"name": "a\\\\..\\\\b"}]}',
        '{"settings": []}', '{"settings": {"keep_empty": "no"}}', '{"written_by": 1}',
        '{"settings": {"sizes": 3}}', '{"settings": {"sizes": [256]}}', '{"settings": {"sizes": [256], "gaps": [256]}}',
        '{"settings": {"sizes": ["a"], "gaps": [0]}}', '{"settings": {"bits": 17}}', '{"settings": {"bits": "11"}}',
        '{"settings": {"scaling": 3}}', '{"settings": {"scaling": [3, 1]}}', '{"settings": {"scaling": [null, {}]}}',
        '{"settings": {"bands": 3}}', '{"settings": {"bands": [1, 2]}}', '{"settings": {"bands": ["a", 1, 2]}}',
        '{"images": 3}', '{"images": [{"ground_resolution": 0}]}', '{"images": [{"ground_resolution": "1"}]}',
        '{"images": [{"ground_resolution": NaN}]}',
    ],
)  # fmt: skip
def test_damaged_manifest_is_one_line(tmp_path, text):
    with pytest.raises(
        UserError, match=r"manifest\.json(:\d+)?: (not a manifest of a split: |not valid JSON: )"
    ) as error:
        read(tmp_path, text)
    assert len(str(error.value)) < 400


def test_entries_of_a_manifest(tmp_path):
    folders = [
        {"images": "raw", "labels": "../labels"}, {"images": "raw", "labels": "/data/labels"},
        {"images": "raw", "labels": None}, {"images": "raw"}, {"labels": "x", "label_format": "voc"},
        {"labels": "n" * 5000},
    ]  # fmt: skip
    settings = {
        "keep_empty": False,
        "sizes": [256, 512],
        "gaps": [64, 128],
        "bits": 11,
        "scaling": [0, 0.5],
        "bands": [3, 2, 1],
    }
    content = {"written_by": "a", "folders": folders, "tiles": [{"name": "t"}], "settings": settings}
    manifest = read(tmp_path, json.dumps(content))
    expected = (str(tmp_path.parent / "labels"), "/data/labels", str(tmp_path / ("n" * 5000)))
    pixels, raw = PixelOptions(11, (0, 0.5), (3, 2, 1)), (str(tmp_path / "raw"),)
    assert manifest == Manifest(
        "a", expected, ("t",), keep_empty=False, window=(256, 64), pixels=pixels, image_folders=raw
    )
    assert read(tmp_path, "{}") == Manifest()


def test_ground_resolution_is_the_median_of_the_known_ones(tmp_path):
    images = [{"ground_resolution": value} for value in (0.3, 0.25012, 0.1)]
    assert read(tmp_path, json.dumps({"images": [*images, {"file": "a.png"}, 3]})).ground_resolution == 0.25
    resampled = {"images": images, "settings": {"name_style": "devkit", "rates": [0.5]}}
    assert read(tmp_path, json.dumps(resampled)).ground_resolution == 0.5
    resampled["settings"]["rates"] = [0]
    with pytest.raises(UserError, match=r"settings\.rates must be numbers above 0, got '0'"):
        read(tmp_path, json.dumps(resampled))
    resampled["settings"]["name_style"] = "mmrotate"  # which does not resample
    assert read(tmp_path, json.dumps(resampled)).ground_resolution == 0.25
    assert read(tmp_path, json.dumps({"images": [{"file": "a.png"}]})).ground_resolution is None
    assert read(tmp_path, '{"images": [{"ground_resolution": 1e-9}]}').ground_resolution is None

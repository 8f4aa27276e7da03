"""The option --resolution of predict."""

import cv2
import pytest

from benchmarks.reliability.stub_predict import StubDetector
from rotated_atss.checkpoints.model_info import ModelInfo
from rotated_atss.cli import main, predict
from rotated_atss.cli._resolution_option import resolve_target_resolution
from rotated_atss.dota.detections import read_task1_folder
from tests.references.images import smooth_noise

pytest.importorskip("pyproj")


@pytest.fixture
def image(tmp_path):
    """An image with 0.5 m per pixel by its world file, in UTM."""
    path = tmp_path / "images" / "P1.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), smooth_noise(200, 300))
    path.with_suffix(".pgw").write_text("0.5\n0\n0\n-0.5\n447000.25\n4426999.75\n")
    path.with_suffix(".prj").write_text(__import__("pyproj").CRS.from_epsg(32650).to_wkt("WKT1_ESRI"))
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "model.pth").write_bytes(b"never read")
    detector = StubDetector()
    monkeypatch.setattr(predict, "load_any_detector", lambda *_: detector)

    def run(image, *more):
        words = ["predict", tmp_path / "model.pth", image, "--out", tmp_path / "out", "--size", "96", "--gap", "32"]
        return main([str(word) for word in (*words, "--no-pictures", *more)])

    run.detector = detector
    return run


def test_image_is_resampled_and_boxes_are_in_its_pixels(run, image, tmp_path, capsys):
    assert run(image, "--resolution", "0.25") == 0
    captured = capsys.readouterr()
    assert captured.err == f"{image}: 0.5 m/px resampled by 2 to 0.25 m/px\n"
    assert captured.out.startswith("1 image, windows of 96 px\n")
    doubled = read_task1_folder(tmp_path / "out" / "detections", StubDetector.classes)
    assert run(image) == 0
    plain = read_task1_folder(tmp_path / "out" / "detections", StubDetector.classes)
    numbers = [sum(map(len, each.values())) for each in (doubled, plain)]
    assert numbers[0] > 2.5 * numbers[1]  # a box per 32 resampled pixels
    assert max(each.polygons[:, ::2].max() for each in doubled.values() if len(each)) < 320


def test_same_resolution_is_not_resampled(run, image, capsys):
    assert run(image, "--resolution", "0.5") == 0
    assert capsys.readouterr().err == ""


def test_unknown_resolutions_are_errors(run, image, tmp_path, capsys):
    assert run(image, "--resolution", "match") == 2
    assert (
        "model.pth: the model metadata has no ground resolution of the training images (give a number"
        in capsys.readouterr().err
    )
    for text in ("0", "-1", "nan", "inf", "fine"):
        assert run(image, f"--resolution={text}") == 2
        assert f"--resolution: the resolution must be match or meters per pixel above 0, got '{text}'" in (
            capsys.readouterr().err
        )
    image.with_suffix(".pgw").unlink()
    assert run(image, "--resolution", "0.25") == 2
    assert "P1.png: the ground resolution is unknown: the image has no georeference" in capsys.readouterr().err


def test_match_takes_the_recorded_resolution():
    class Info:
        ground_resolution = 0.3

    assert "ground_resolution" in ModelInfo.__dataclass_fields__
    assert resolve_target_resolution("match", Info(), "model.pth") == 0.3

"""The input of splitting: the sample or scenes, repeated by links; tiles are compared pixel by pixel."""

import cv2
import numpy as np

from benchmarks import dota_data
from rotated_atss.synthetic import generate_scenes


def test_without_the_sample_scenes_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("ROTATED_ATSS_DATA", str(tmp_path / "absent"))
    small = lambda out, count, size_wh, progress: generate_scenes(out, 1, size_wh=(160, 160), progress=progress)  # noqa: E731
    monkeypatch.setattr(dota_data, "generate_scenes", small)
    folder, name = dota_data.find_data("", tmp_path)
    assert name == "synthetic scenes"
    assert [path.name for path in (folder / "images").iterdir()] == ["S0000.png"]
    assert (folder / "labelTxt" / "S0000.txt").is_file()
    assert dota_data.find_data(str(folder), tmp_path) == (folder, "scenes")


def test_the_sample_is_repeated_by_links(tmp_path):
    for name, suffix in (("images", "png"), ("labelTxt", "txt")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for stem in ("P1", "P2"):
            (tmp_path / "in" / name / f"{stem}.{suffix}").write_text(f"{name} {stem}")
    many = dota_data.repeat(tmp_path / "in", 5, tmp_path / "many")
    names = ["P1_000", "P1_002", "P1_004", "P2_001", "P2_003"]
    assert sorted(path.stem for path in (many / "images").iterdir()) == names
    assert all((many / "labelTxt" / f"{name}.txt").read_text() == f"labelTxt {name[:2]}" for name in names)


def test_tiles_are_compared_pixel_by_pixel(tmp_path):
    tile = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    for name, pixels in (("a", tile), ("b", tile), ("c", tile[:, ::-1])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    assert [dota_data.same_pixels(paths[0], other) for other in paths[1:]] == [True, False, False]

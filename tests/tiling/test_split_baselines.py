"""The output of splitting, compared with mmrotate and DOTA_devkit."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.tiling.split import split_dota
from tests.tiling.dota_folder import tile_labels


def run_img_split(tool, folders, out, *options):
    command = [sys.executable, str(tool), "--save-dir", str(out), "--nproc", "2"]
    command += ["--padding-value", "104", "116", "124"]
    command += ["--img-dirs", *[str(images) for images, _ in folders]]
    if folders[0][1]:
        command += ["--ann-dirs", *[str(labels) for _, labels in folders]]
    subprocess.run([*command, *map(str, options)], check=True, capture_output=True)


def assert_same_tiles(tiles, baseline, labeled=True):
    names = sorted(path.name for path in (baseline / "images").iterdir())
    assert sorted(path.name for path in (tiles / "images").iterdir()) == names
    assert names
    for name in names:
        pixels = [cv2.imread(str(folder / "images" / name), cv2.IMREAD_UNCHANGED) for folder in (tiles, baseline)]
        assert np.array_equal(*pixels), name
        if labeled:
            name = Path(name).stem
            assert_same_objects(tile_labels(tiles, name), read_labels(baseline / "annfiles" / f"{name}.txt"))


def assert_same_objects(labels, baseline):
    assert labels.names == baseline.names
    np.testing.assert_allclose(labels.polygons, baseline.polygons, atol=1e-3, rtol=0)
    assert labels.difficult.tolist() == baseline.difficult.tolist()


def random_lines(rng, width, height, count, step=0.5, shift=0):
    """Objects, some across the borders. Steps of half a pixel keep areas exact in the float32 that mmrotate uses."""
    center = shift + rng.uniform(0, (width, height), (count, 1, 2))
    corners = center + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * rng.uniform(10, 40, (count, 1, 2))
    corners = np.round((corners + rng.uniform(-4, 4, (count, 4, 2))) / step) * step
    corners[::4] = corners[::4, ::-1]
    names = rng.choice(["ship", "plane", "harbor"], count)
    rows = [" ".join(f"{value:.3f}" for value in polygon) for polygon in corners.reshape(-1, 8)]
    return [f"{row} {name} {index % 3}" for index, (row, name) in enumerate(zip(rows, names))]


@pytest.mark.parametrize(
    ("options", "baseline_options"),
    [
        ({}, ["--sizes", 128, "--gaps", 32]),
        ({"rates": [0.5, 1.0, 1.5]}, ["--sizes", 128, "--gaps", 32, "--rates", 0.5, 1.0, 1.5]),
        ({"sizes": [128, 200], "gaps": [32, 64]}, ["--sizes", 128, 200, "--gaps", 32, 64]),
        (
            {"iof_threshold": 0.3, "image_ratio": 0.9},
            ["--sizes", 128, "--gaps", 32, "--iof-thr", 0.3, "--img-rate-thr", 0.9],
        ),
        ({"padding": None}, ["--sizes", 128, "--gaps", 32, "--no-padding"]),
    ],
    ids=["plain", "rates", "sizes", "thresholds", "no padding"],
)
def test_same_as_mmrotate(tmp_path, img_split, options, baseline_options, make_folder, split):
    rng = np.random.default_rng(3)
    shapes = [(300, 200), (128, 128), (90, 400), (50, 60), (129, 500)]
    images = {f"P{index}.png": shape for index, shape in enumerate(shapes)}
    lines = {name: random_lines(rng, *shape, 60) for name, shape in images.items()}
    folders = make_folder(tmp_path, images, lines)
    run_img_split(img_split, [folders], tmp_path / "baseline", *baseline_options)
    split(*folders, tmp_path / "tiles", **options)
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline")


def test_same_objects_as_mmrotate_with_decimals(tmp_path, img_split, make_folder, split):
    lines = random_lines(np.random.default_rng(4), 300, 300, 200, step=0.001)
    folders = make_folder(tmp_path, {"P1.png": (300, 300)}, {"P1.png": lines})
    run_img_split(img_split, [folders], tmp_path / "baseline", "--sizes", 128, "--gaps", 32)
    split(*folders, tmp_path / "tiles")
    written = {tuple(map(float, line.split()[:8])): int(line.split()[9]) for line in lines}
    names = sorted(path.stem for path in (tmp_path / "baseline" / "annfiles").iterdir())
    assert names == sorted(path.stem for path in (tmp_path / "tiles" / "labelTxt").iterdir())
    assert len(names) == 9
    uncut = 0
    for name in names:
        labels, baseline = (
            tile_labels(tmp_path / "tiles", name),
            read_labels(tmp_path / "baseline" / "annfiles" / f"{name}.txt"),
        )
        assert labels.names == baseline.names
        assert len(labels)
        np.testing.assert_allclose(labels.polygons, baseline.polygons, atol=1e-3, rtol=0)
        inside = ((labels.polygons >= 0) & (labels.polygons <= 128)).all(axis=1)
        assert (labels.difficult[~inside] == 2).all()
        assert (baseline.difficult[~inside] == 2).all()
        # mmrotate flags some objects inside the tile because it rounds areas to float32.
        assert ((labels.difficult == baseline.difficult) | (baseline.difficult == 2))[inside].all()
        tile = parse_tile_name(name)
        whole = np.round(labels.polygons[inside] + [tile.x, tile.y] * 4, 3)
        assert labels.difficult[inside].tolist() == [written[tuple(polygon)] for polygon in whole.tolist()]
        uncut += inside.sum()
    assert uncut > 50


def test_same_as_mmrotate_on_every_kind_of_image(tmp_path, img_split, write_image, split):
    first, second = tmp_path / "a", tmp_path / "b"
    write_image(first / "gray.png", 150, 140, channels=1)
    write_image(first / "deep.png", 150, 140, dtype=np.uint16, top=65536)
    write_image(second / "alpha.png", 150, 140, channels=4)
    alpha = cv2.imread(str(second / "alpha.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(second / "alpha.png"), np.maximum(alpha, 1))  # mmrotate keeps the color of transparent pixels
    write_image(second / "photo.jpg", 150, 140)
    write_image(second / "scan.tif", 150, 140)
    run_img_split(img_split, [(first, None), (second, None)], tmp_path / "baseline", "--sizes", 128, "--gaps", 32)
    split([first, second], None, tmp_path / "tiles")
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline", labeled=False)


@pytest.mark.slow
def test_same_as_mmrotate_on_real_images(tmp_path, img_split, shared_data):
    folders = shared_data("dota_sample", "images"), shared_data("dota_sample", "labelTxt")
    options = ["--sizes", 1024, "--gaps", 200, "--img-rate-thr", 0.6, "--iof-thr", 0.7]
    run_img_split(img_split, [folders], tmp_path / "baseline", *options)
    result = split_dota([folders[0]], [folders[1]], tmp_path / "tiles", workers=2, classes="v1.0")
    assert result.totals.tiles == 28
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline")


@pytest.mark.baseline
def test_same_pixels_as_dota_devkit(tmp_path, make_folder, split):
    pytest.importorskip("dotadevkit")
    folders = make_folder(tmp_path / "raw", {"P1.png": (333, 250), "P2.png": (100, 90)})
    script = (
        "import sys; from dotadevkit.ops.ImgSplit import DataSplitter\n"
        "cutter = DataSplitter(sys.argv[1], sys.argv[2], gap=32, subsize=128, num_process=1)\n"
        "[cutter.splitdata(rate) for rate in (0.5, 1, 1.5)]"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "raw"), str(tmp_path / "baseline")], check=True)
    split(*folders, tmp_path / "tiles", rates=[0.5, 1, 1.5], name_style="devkit", padding=[0, 0, 0])
    assert_same_tiles(tmp_path / "tiles", tmp_path / "baseline", labeled=False)

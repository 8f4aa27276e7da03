"""The command predict: written files and error lines."""

import errno
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from rotated_atss.cli._prediction_files import PredictionFiles
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import read_detections, read_task1_folder
from tests.references.images import smooth_noise

CONFIG = """
_base_ = ["{base}"]
model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),
    bbox_head=dict(
        in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=dict(type="GN", num_groups=4, requires_grad=True)
    ),
    test_cfg=dict(nms_pre=30, max_per_img=50),
)
"""
WINDOWS = ["--size", "96", "--gap", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """[config, checkpoint] of an oriented and of a horizontal model, by name."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    import torch

    from rotated_atss.configs import find_config
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.set_num_threads(1)
    root, models = tmp_path_factory.mktemp("models"), {}
    bases = {"oriented": ("rotated_atss_obb_r18_demo_le90", "retina_cls"), "coco": ("atss_r50_fpn_1x_coco", "atss_cls")}
    for name, (base, layer) in bases.items():
        config, checkpoint = root / f"{name}.py", root / f"{name}.pth"
        config.write_text(CONFIG.format(base=find_config(base)))
        network = build_model(load_config(config))
        torch.manual_seed(0)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0, 1.4 / parameter[0].numel() ** 0.5)
        getattr(network.bbox_head, layer).bias.data.fill_(-1)
        torch.save({"state_dict": network.state_dict()}, checkpoint)
        models[name] = [str(config), str(checkpoint)]
    return models


@pytest.fixture
def images(tmp_path):
    """A folder of two images, the second one smaller than a window."""
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "P1.png"), smooth_noise(120, 150))
    cv2.imwrite(str(folder / "P2.jpg"), smooth_noise(60, 80, 1))
    return folder


def predict(model, images, out, *more):
    return main(["predict", *model, str(images), "--out", str(out), *WINDOWS, *map(str, more)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_predict_on_a_folder(model, images, tmp_path, capsys):
    original, out = contents(images), tmp_path / "out"
    assert predict(model["oriented"], images, out) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("2 images, ")
    assert f"written to {out}" in captured.out
    detections = read_task1_folder(out / "detections", CLASSES["v1.0"])
    assert len(list((out / "detections").iterdir())) == 15
    assert {name for each in detections.values() for name in each.images} == {"P1", "P2"}
    assert f"{sum(map(len, detections.values()))} detections, " in captured.out
    for name, (height, width) in {"P1": (120, 150), "P2": (60, 80)}.items():
        picture = cv2.imread(str(out / "pictures" / f"{name}.png"))
        assert picture.shape == (height, width, 3)
        (source,) = images.glob(f"{name}.*")
        assert (picture != cv2.imread(str(source))).any()
    assert contents(images) == original
    assert main(["check-submission", str(out / "detections")]) == 0


def test_predict_in_several_formats(model, images, tmp_path, capsys):
    geopandas = pytest.importorskip("geopandas")
    (images / "P1.pgw").write_text("0.5 0 0 -0.5 447000.25 4426999.75")
    (images / "P1.prj").write_text("EPSG:32650")
    out = tmp_path / "out"
    assert predict(model["oriented"], images, out, "--format", "dota,gpkg,geojson", "--no-pictures") == 0
    printed = capsys.readouterr().out
    assert "1 of 2 images is not georeferenced: detections have pixel coordinates, x right, y down\n" in printed
    names = "detections.gpkg, detections_ogc_crs84.geojson, detections_pixels.geojson"
    assert f"\n{names} written to {out}\n" in printed
    assert all((out / name).is_file() for name in names.split(", "))
    frame = geopandas.read_file(out / "detections.gpkg", layer="detections_epsg_32650")
    detections = read_task1_folder(out / "detections", CLASSES["v1.0"])
    assert frame.crs == "EPSG:32650"
    assert set(frame["image"]) == {"P1"}
    polygons = np.concatenate([each.polygons[each.image_ids == "P1"] for each in detections.values()]).reshape(-1, 4, 2)
    xs = np.sort(447000 + 0.5 * polygons[..., 0].mean(1))
    np.testing.assert_allclose(np.sort(frame["center_x"]), xs, rtol=0, atol=1e-6)


def test_output_of_predict_can_be_evaluated_and_drawn(model, images, tmp_path, capsys):
    predict(model["oriented"], images, tmp_path / "out", "--no-pictures")
    assert not (tmp_path / "out" / "pictures").exists()
    (tmp_path / "labels").mkdir()
    for name in ("P1", "P2"):
        (tmp_path / "labels" / f"{name}.txt").write_text("10 10 40 10 40 30 10 30 ship 0\n")
    assert (
        main(["evaluate", "--detections", str(tmp_path / "out" / "detections"), "--labels", str(tmp_path / "labels")])
        == 0
    )
    words = ["--detections", str(tmp_path / "out" / "detections"), "--out", str(tmp_path / "drawn")]
    assert main(["draw", "--images", str(images), *words]) == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["P1.png", "P2.png"]


def test_predict_on_one_image_with_selected_classes(model, images, tmp_path):
    predict(model["oriented"], images / "P1.png", tmp_path / "all")
    all_files = {path.name: path.read_bytes() for path in (tmp_path / "all" / "detections").iterdir()}
    chosen = [name for name, content in all_files.items() if content][:2]
    classes = ",".join(name[6:-4] for name in chosen)
    some = tmp_path / "some"
    assert predict(model["oriented"], images / "P1.png", some, "--classes", classes, "--score", "0.9") == 0
    assert {path.name: path.read_bytes() for path in (some / "detections").iterdir()} == {
        name: all_files[name] for name in chosen
    }
    assert [path.name for path in (some / "pictures").iterdir()] == ["P1.png"]


def test_second_run_replaces_the_first(model, images, tmp_path, user_error):
    for _ in range(2):
        assert predict(model["oriented"], images, tmp_path / "out", "--classes", "ship,") == 0
    (tmp_path / "out" / "detections" / "Task1_car.txt").write_text("")
    words = [*model["oriented"], images, "--out", tmp_path / "out", *WINDOWS]
    assert "Task1_car.txt: detections of an earlier run that this run would not replace" in user_error(
        "predict", *words
    )


def test_pictures_of_an_earlier_run_are_removed(model, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(model["oriented"], images, out) == 0
    cv2.imwrite(str(out / "pictures" / "own.png"), smooth_noise(9, 9))
    (images / "P1.png").unlink()
    assert predict(model["oriented"], images, out) == 0
    assert f"1 picture of an earlier run removed from {out / 'pictures'}\n1 image, " in capsys.readouterr().out
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["P2.png", "own.png"]
    assert predict(model["oriented"], images, out, "--no-pictures") == 0
    assert [path.name for path in (out / "pictures").iterdir()] == ["own.png"]
    assert sorted(path.name for path in out.iterdir()) == ["detections", "pictures"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_stopped_run_leaves_the_earlier_result(model, images, tmp_path, monkeypatch, error, capsys):
    from rotated_atss.tiling import predict as module

    out, file = tmp_path / "out", tmp_path / "results.json"
    words = ["--json", file]
    assert predict(model["oriented"], images, out, *words) == 0
    before = [contents(folder) for folder in (out / "detections", out / "pictures")], file.read_bytes()
    predict_image, calls = module.predict_image, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            assert (out / "predict.partial" / "results" / "pictures" / "P1.png").is_file()
            assert (out / "predict.partial" / "records" / "P1.npz").is_file()
            raise error
        return predict_image(*arguments, **options)

    monkeypatch.setattr(module, "predict_image", stop)
    assert predict(model["oriented"], images, out, *words, "--iou", "0.9") in (2, 130)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert ([contents(folder) for folder in (out / "detections", out / "pictures")], file.read_bytes()) == before
    assert sorted(path.name for path in out.iterdir()) == ["detections", "pictures", "predict.partial"]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder in which no user can write")
@pytest.mark.parametrize("where", ["out", "detections", "pictures", "json"])
def test_unwritable_output_is_noticed_before_the_model_is_loaded(images, tmp_path, user_error, where):
    (tmp_path / "out" / "detections").mkdir(parents=True)
    (tmp_path / "out" / "pictures").mkdir()
    checkpoint, words = tmp_path / "model.pth", ["--out", tmp_path / "out"]
    checkpoint.write_bytes(b"never read")
    if where == "json":
        words += ["--json", checkpoint / "results.json"]
    else:
        blocked = tmp_path / "out" / (where if where != "out" else ".predict.lock")
        blocked.rmdir() if blocked.exists() else None
        blocked.symlink_to("/proc/no_such_folder/file" if where == "out" else "/proc")
    line = user_error("predict", "rotated_atss_obb_r18_demo_le90", checkpoint, images, *words)
    assert "cannot be written" in line


def test_second_predict_into_a_folder_is_refused(images, tmp_path, user_error):
    (tmp_path / "model.pth").write_bytes(b"never read")
    words = ["rotated_atss_obb_r18_demo_le90", tmp_path / "model.pth", images, "--out", tmp_path / "out"]
    with PredictionFiles(tmp_path / "out", {}, ["P1", "P2"]):
        assert ".predict.lock: another run writes into this folder" in user_error("predict", *words)


def test_predict_with_a_horizontal_model(model, images, tmp_path, capsys):
    out, file = tmp_path / "out", tmp_path / "results.json"
    options = ["--cfg-options", "test_dataloader.dataset.pipeline.1.scale=(160,96)"]
    (images / "P1.png").rename(images / "000000000139.png")
    (images / "P2.jpg").rename(images / "000000000007.jpg")
    assert main(["predict", *model["coco"], str(images), "--out", str(out), "--json", str(file), *options]) == 0
    results = json.loads(file.read_text())
    assert {row["image_id"] for row in results} == {139, 7}
    assert max(row["category_id"] for row in results) > 80
    ids = json.loads(file.with_suffix(".ids.json").read_text())
    assert [(image["id"], image["file_name"]) for image in ids["images"]] == [
        (7, "000000000007.jpg"),
        (139, "000000000139.png"),
    ]
    assert ids["categories"][-1] == {"id": 90, "name": "toothbrush"}
    assert len(list((out / "detections").iterdir())) == 80
    assert (out / "detections" / "Task1_traffic-light.txt").is_file()
    number, name = next(
        (n, c)
        for n, c in ((1, "person"), (3, "car"), (10, "traffic-light"), (90, "toothbrush"))
        if any(row["category_id"] == n and row["image_id"] == 7 for row in results)
    )
    rows = [row for row in results if row["image_id"] == 7 and row["category_id"] == number]
    detections = read_detections(out / "detections" / f"Task1_{name}.txt")
    polygons = detections.polygons[detections.image_ids == "000000000007"]
    assert len(rows) == len(polygons)
    for row, polygon in zip(rows, polygons):
        x, y, w, h = row["bbox"]
        np.testing.assert_allclose(polygon, [x, y, x + w, y, x + w, y + h, x, y + h], atol=0.011)


@pytest.mark.parametrize("kind", ["gray", "gray 16 bit", "16 bit", "alpha", "jpeg", "tiff", "palette"])
def test_image_formats(model, images, tmp_path, kind, monkeypatch):
    """Every format is converted to 8-bit color and gives detections."""
    image = smooth_noise(96, 96, 2)
    deep = (image.astype(np.uint16) * 257, "png")
    formats = {
        "gray": (image[..., 0], "png"), "gray 16 bit": (deep[0][..., 0], "tif"), "16 bit": deep,
        "alpha": (np.dstack([image, image[..., :1]]), "png"), "jpeg": (image, "jpeg"), "tiff": (image, "tiff"),
        "palette": ((image[..., 0] // 128) * 255, "bmp"),
    }  # fmt: skip
    pixels, suffix = formats[kind]
    path = tmp_path / f"one.{suffix}"
    cv2.imwrite(str(path), pixels)
    assert predict(model["oriented"], path, tmp_path / "out") == 0
    assert cv2.imread(str(tmp_path / "out" / "pictures" / "one.png")).shape == (96, 96, 3)
    assert any(path.stat().st_size for path in (tmp_path / "out" / "detections").iterdir())


def test_16_bit_images_give_the_detections_of_8_bit_images(model, tmp_path, capsys):
    """The bits are counted, given by an option, or taken from the config's loader."""
    image = smooth_noise(96, 96, 2)
    image[:2] = 255
    for name, pixels in (("eight", image), ("sixteen", image.astype(np.uint16) * 16)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), pixels)
    loader = ["--cfg-options", "test_dataloader.dataset.pipeline.0.bits=12"]
    runs = {"eight": [], "sixteen": [], "option": ["--bits", 12], "config": loader, "dark": ["--bits", 16]}
    results = {}
    for name, words in runs.items():
        folder = tmp_path / ("eight" if name == "eight" else "sixteen")
        assert predict(model["oriented"], folder, tmp_path / f"out_{name}", "--no-pictures", *words) == 0
        assert ("12 used bits: values are divided by 16" in capsys.readouterr().out) == (name not in ("eight", "dark"))
        results[name] = contents(tmp_path / f"out_{name}" / "detections")
    assert results["eight"] == results["sixteen"] == results["option"] == results["config"] != results["dark"]
    assert predict(model["oriented"], tmp_path / "eight", tmp_path / "out", "--bits", 4) == 2
    assert "must be 8 to 16, got 4" in capsys.readouterr().err


def test_unreadable_images_are_reported_and_skipped(model, images, tmp_path, capsys):
    (images / "A.png").write_bytes((images / "P1.png").read_bytes()[:900])
    (images / "F.tif").write_bytes(b"no image")
    out = tmp_path / "out"
    assert predict(model["oriented"], images, out) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"rotated-atss predict: error: {images / 'A.png'}: the image is truncated (download it again)",
        f"rotated-atss predict: error: {images / 'F.tif'}: not a readable image, or damaged (download or convert it "
        "again)",
    ]
    plan, summary, failed = captured.out.splitlines()
    assert plan == "4 images, 9 windows of 96 px"
    assert summary.startswith("2 images, ")
    assert failed == "2 of 4 images failed"
    detections = read_task1_folder(out / "detections", CLASSES["v1.0"])
    assert {name for each in detections.values() for name in each.images} == {"P1", "P2"}
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["P1.png", "P2.png"]


def test_nothing_is_written_if_every_image_fails(model, images, tmp_path, capsys):
    for path in images.iterdir():
        path.write_bytes(b"")
    (images / "P3.webp").touch()
    assert predict(model["oriented"], images, tmp_path / "out") == 2
    skipped, *lines = capsys.readouterr().out.splitlines()
    assert skipped.startswith(f"{images}: 1 file is not read: P3.webp (")
    assert lines == ["2 images, 0 windows of 96 px", "2 of 2 images failed"]
    assert not (tmp_path / "out").exists()


def test_argument_errors_of_predict_precede_loading_the_model(images, tmp_path, user_error):
    empty, checkpoint = tmp_path / "empty", tmp_path / "model.pth"
    empty.mkdir()
    checkpoint.write_bytes(b"never read")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign" / "pictures").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "foreign" / "pictures" / "P1.png"), smooth_noise(9, 9))
    for where, more, message in (
        (tmp_path / "gone.png", [], "gone.png: no such image or folder"),
        (empty, [], "empty: no images in this folder (.png, "),
        (tmp_path / "text", [], "text: no images in this folder"),
        (images, ["--size", "64", "--gap", "64"], "the gap must satisfy 0 <= gap < size, got gap 64"),
        (images, ["--size", "8"], "window sizes must be at least 32 px, got 8 px"),
        (images, ["--batch", "0"], "the batch size must be at least 1, got 0"),
        (images, ["--iou", "2"], "the IoU threshold must be in [0, 1], got 2.0"),
        (images, ["--score", "30"], "--score: the score must lie between 0 and 1, got 30.0"),
        (images, ["--line-width", "0"], "--line-width: the line width must be 1 to 255 pixels, got 0"),
        (images, ["--out", str(images)], "overlaps the input"),
        (images, ["--out", str(images / "new")], "overlaps the input"),
        (images, ["--out", str(tmp_path)], "overlaps the input"),
        (images, ["--json", str(images / "a.json")], "a.json: the output overlaps the input"),
        (images / "P1.png", ["--out", str(images)], "images: the output overlaps the input"),
        (images, ["--out", str(tmp_path / "file")], "file: not a folder"),
        (images, ["--out", str(tmp_path / "foreign")], "P1.png: the file was not written by rotated-atss"),
    ):  # fmt: skip
        line = user_error(
            "predict", "rotated_atss_obb_r18_demo_le90", checkpoint, where, "--out", tmp_path / "out", *more
        )
        assert message in line
    assert not (tmp_path / "out").exists()
    assert sorted(contents(images)) == ["P1.png", "P2.jpg"]


def test_model_errors_of_predict(model, images, tmp_path, user_error):
    (config, checkpoint), other = model["oriented"], model["coco"][1]
    words = [images, "--out", tmp_path / "out"]
    assert "no_such_config: no such config" in user_error("predict", "no_such_config", checkpoint, *words)
    assert "gone.pth: no such checkpoint" in user_error("predict", config, "gone.pth", *words)
    assert f"{other}: these are weights of another model" in user_error("predict", config, other, *words)
    assert "no such device: 'cuda:99'" in user_error("predict", config, checkpoint, *words, "--device", "cuda:99")
    line = user_error("predict", config, checkpoint, *words, "--classes", "shipp,plane")
    assert "--classes: unknown class 'shipp' (nearest known class: 'ship')" in line
    assert "--cfg-options must be KEY=VALUE" in user_error(
        "predict", config, checkpoint, *words, "--cfg-options", "abc"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_predict_in_a_subprocess(model, images, tmp_path, repo_root):
    words = [*model["oriented"], str(images), "--out", str(tmp_path / "out"), *WINDOWS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "tools/predict.py", *words], cwd=repo_root, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("2 images, ")


# -- model files with a record -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(model, tmp_path_factory):
    """Config and checkpoint of the oriented model, with a record of windows of 96 px with an overlap of 40 px."""
    import torch

    from rotated_atss.checkpoints.model_info import KEY, Window
    from rotated_atss.detection.engine.config import build_model, load_config
    from rotated_atss.detection.engine.model_metadata import describe_model

    config, checkpoint = model["oriented"]
    cfg = load_config(config)
    classes = [f"class-{index}" for index in range(15)]
    info = describe_model(cfg, build_model(cfg), classes, window=Window(96, 40))
    path = tmp_path_factory.mktemp("recorded") / "model.pth"
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "meta": {KEY: info.to_json(), "dataset_meta": {"classes": classes}}}, path)
    return config, str(path)


def test_model_file_alone_predicts_with_its_own_windows(recorded, images, tmp_path, capsys):
    config, path = recorded
    assert main(["predict", path, "--out", str(tmp_path / "a"), str(images), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: oriented, 15 classes, obb le90, windows of 96 px with 40 px overlap"
    assert lines[1] == "2 images, 5 windows of 96 px"
    words = [config, path, str(images), "--out", str(tmp_path / "b"), "--size", "96", "--gap", "40", "--device", "cpu"]
    assert main(["predict", *words]) == 0
    assert contents(tmp_path / "a" / "detections") == contents(tmp_path / "b" / "detections")
    assert any(contents(tmp_path / "a" / "detections").values())


def test_windows_on_the_command_line_win_and_are_printed(recorded, images, tmp_path, capsys):
    words = [recorded[1], str(images), "--out", str(tmp_path / "a"), "--device", "cpu", "--no-pictures"]
    assert main(["predict", *words, "--size", "64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "--size 64 instead of 96 in the model metadata",
        "overlap of 32 px instead of 40 px in the model metadata",
    ]
    assert main(["predict", *words, "--size", "0"]) == 0
    assert "--size 0 instead of 96 in the model metadata" in capsys.readouterr().out


def test_config_that_contradicts_the_model_file_is_refused(recorded, images, tmp_path, user_error):
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = ['{recorded[0]}']\nmodel = dict(bbox_head=dict(bbox_coder=dict(proj_xy=False)))\n")
    line = user_error("predict", other, recorded[1], images, "--out", tmp_path / "out")
    assert "model.bbox_head.bbox_coder.proj_xy is 'True' in the checkpoint, but 'False' in the config other" in line
    assert not (tmp_path / "out").exists()


def test_checkpoint_without_a_record_needs_its_config(model, images, tmp_path, user_error):
    line = user_error("predict", model["oriented"][1], images, "--out", tmp_path / "out")
    assert "the checkpoint has no model metadata (give its config before the checkpoint: CONFIG CHECKPOINT)" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.pth", "a.png"], "gone.pth: no such model file (give MODEL, or CONFIG CHECKPOINT)"),
        (["a.pth"], "expected 2 or 3 arguments, got 1 argument (give MODEL, or CONFIG CHECKPOINT; see --help)"),
        (["a", "b", "c", "d"], "expected 2 or 3 arguments, got 4 arguments"),
    ],
)
def test_wrong_number_of_arguments(words, message, user_error):
    assert message in user_error("predict", *words)

"""predict and draw as they are typed: what they write, and the one line that each mistake gets."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import read_detections, read_task1_folder

CONFIG = """
_base_ = ["{base}"]
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(
        in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=dict(type="GN", num_groups=4, requires_grad=True)
    ),
    test_cfg=dict(nms_pre=30, max_per_img=50),
)
"""
WINDOWS = ["--size", "96", "--gap", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Config and checkpoint of an oriented and of a horizontal model, by name."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    import torch

    from rotated_atss.configs import find_config
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.set_num_threads(1)
    root, made = tmp_path_factory.mktemp("models"), {}
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
        made[name] = [str(config), str(checkpoint)]
    return made


def noise(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, None, fx=4, fy=4)[:height, :width].copy()


@pytest.fixture
def images(tmp_path):
    """A folder of two images, the second smaller than a window."""
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "P1.png"), noise(120, 150))
    cv2.imwrite(str(folder / "P2.jpg"), noise(60, 80, 1))
    return folder


@pytest.fixture
def error(capsys):
    """The one line of a call that is the user's mistake."""

    def call(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith(f"rotated-atss {words[0]}: error: ")
        return line

    return call


def predict(model, images, out, *more):
    return main(["predict", *model, str(images), "--out", str(out), *WINDOWS, *map(str, more)])


def before(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- predict -----------------------------------------------------------------------------------------------------------


def test_a_folder(model, images, tmp_path, capsys):
    as_it_was, out = before(images), tmp_path / "out"
    assert predict(model["oriented"], images, out) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("2 images, ")
    assert f"written to {out}" in told.out
    found = read_task1_folder(out / "detections", CLASSES["v1.0"])
    assert len(list((out / "detections").iterdir())) == 15
    assert {name for each in found.values() for name in each.images} == {"P1", "P2"}
    assert f"{sum(map(len, found.values()))} detections, " in told.out
    for name, (height, width) in {"P1": (120, 150), "P2": (60, 80)}.items():
        picture = cv2.imread(str(out / "pictures" / f"{name}.png"))
        assert picture.shape == (height, width, 3)
        (source,) = images.glob(f"{name}.*")
        assert (picture != cv2.imread(str(source))).any()
    assert before(images) == as_it_was
    assert main(["check-submission", str(out / "detections")]) == 0


def test_what_predict_writes_is_evaluated_and_drawn(model, images, tmp_path, capsys):
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


def test_one_image_and_some_classes(model, images, tmp_path):
    predict(model["oriented"], images / "P1.png", tmp_path / "all")
    everything = {path.name: path.read_bytes() for path in (tmp_path / "all" / "detections").iterdir()}
    chosen = [name for name, content in everything.items() if content][:2]
    classes = ",".join(name[6:-4] for name in chosen)
    some = tmp_path / "some"
    assert predict(model["oriented"], images / "P1.png", some, "--classes", classes, "--score", "0.9") == 0
    assert {path.name: path.read_bytes() for path in (some / "detections").iterdir()} == {
        name: everything[name] for name in chosen
    }
    assert [path.name for path in (some / "pictures").iterdir()] == ["P1.png"]


def test_a_second_run_replaces_the_first(model, images, tmp_path, error):
    for _ in range(2):
        assert predict(model["oriented"], images, tmp_path / "out", "--classes", "ship,") == 0
    (tmp_path / "out" / "detections" / "Task1_car.txt").write_text("")
    words = [*model["oriented"], images, "--out", tmp_path / "out", *WINDOWS]
    assert "Task1_car.txt: a file of other detections that this run would not replace" in error("predict", *words)


def test_a_horizontal_model(model, images, tmp_path, capsys):
    out, file = tmp_path / "out", tmp_path / "results.json"
    options = ["--cfg-options", "test_dataloader.dataset.pipeline.1.scale=(160,96)"]
    (images / "P1.png").rename(images / "000000000139.png")
    assert main(["predict", *model["coco"], str(images), "--out", str(out), "--json", str(file), *options]) == 0
    results = json.loads(file.read_text())
    assert {row["image_id"] for row in results} == {139, "P2"}
    assert max(row["category_id"] for row in results) > 80
    assert len(list((out / "detections").iterdir())) == 80
    assert (out / "detections" / "Task1_traffic-light.txt").is_file()
    number, name = next(
        (n, c)
        for n, c in ((1, "person"), (3, "car"), (10, "traffic-light"), (90, "toothbrush"))
        if any(row["category_id"] == n and row["image_id"] == "P2" for row in results)
    )
    rows = [row for row in results if row["image_id"] == "P2" and row["category_id"] == number]
    found = read_detections(out / "detections" / f"Task1_{name}.txt")
    polygons = found.polygons[found.image_ids == "P2"]
    assert len(rows) == len(polygons)
    for row, polygon in zip(rows, polygons):
        x, y, w, h = row["bbox"]
        np.testing.assert_allclose(polygon, [x, y, x + w, y, x + w, y + h, x, y + h], atol=0.011)


@pytest.mark.parametrize("kind", ["grey", "grey 16 bit", "16 bit", "alpha", "jpeg", "tiff", "palette"])
def test_images_of_every_kind(model, images, tmp_path, kind, monkeypatch):
    """All are converted to what OpenCV reads as 8-bit colour, and found in the text."""
    image = noise(96, 96, 2)
    deep = (image.astype(np.uint16) * 257, "png")
    made = {
        "grey": (image[..., 0], "png"), "grey 16 bit": (deep[0][..., 0], "tif"), "16 bit": deep,
        "alpha": (np.dstack([image, image[..., :1]]), "png"), "jpeg": (image, "jpeg"), "tiff": (image, "tiff"),
        "palette": ((image[..., 0] // 128) * 255, "bmp"),
    }  # fmt: skip
    pixels, suffix = made[kind]
    path = tmp_path / f"one.{suffix}"
    cv2.imwrite(str(path), pixels)
    assert predict(model["oriented"], path, tmp_path / "out") == 0
    assert cv2.imread(str(tmp_path / "out" / "pictures" / "one.png")).shape == (96, 96, 3)
    assert any(path.stat().st_size for path in (tmp_path / "out" / "detections").iterdir())


def test_images_that_fail_do_not_stop_the_others(model, images, tmp_path, capsys):
    (images / "A.png").write_bytes((images / "P1.png").read_bytes()[:900])
    (images / "b c.png").write_bytes((images / "P1.png").read_bytes())
    cv2.imwrite(str(images / "F.tif"), noise(20, 20).astype(np.float32))
    out = tmp_path / "out"
    assert predict(model["oriented"], images, out) == 2
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        f"rotated-atss predict: error: {images / 'A.png'}: the image is cut short (fetch it again)",
        f"rotated-atss predict: error: {images / 'F.tif'}: not a readable image, or a damaged one "
        "(fetch or convert it again)",
        f"rotated-atss predict: error: {images / 'b c.png'}: the name holds a space, which DOTA's text files cannot "
        "(rename the image)",
    ]
    assert told.out.splitlines()[0].startswith("2 images, ")
    assert told.out.splitlines()[1] == "3 of 5 images failed"
    found = read_task1_folder(out / "detections", CLASSES["v1.0"])
    assert {name for each in found.values() for name in each.images} == {"P1", "P2"}
    assert sorted(path.name for path in (out / "pictures").iterdir()) == ["P1.png", "P2.png"]


def test_when_all_fail_nothing_is_written(model, images, tmp_path, capsys):
    for path in images.iterdir():
        path.write_bytes(b"")
    assert predict(model["oriented"], images, tmp_path / "out") == 2
    assert capsys.readouterr().out == "2 of 2 images failed\n"
    assert not (tmp_path / "out").exists()


def test_mistakes_told_before_the_model_is_loaded(images, tmp_path, error):
    empty, checkpoint = tmp_path / "empty", tmp_path / "model.pth"
    empty.mkdir()
    checkpoint.write_bytes(b"never read")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "theirs" / "pictures").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "theirs" / "pictures" / "P1.png"), noise(9, 9))
    for where, more, message in (
        (tmp_path / "gone.png", [], "gone.png: no such image or folder"),
        (empty, [], "empty: no images here (.png, "),
        (tmp_path / "text", [], "text: no images here"),
        (images, ["--size", "64", "--gap", "64"], "the gap 64 does not fit the window size 64 (0 <= gap < size)"),
        (images, ["--size", "8"], "a window of 8 px is too small"),
        (images, ["--batch", "0"], "at least 1 window at a time, not 0"),
        (images, ["--iou", "2"], "the IoU threshold lies between 0 and 1, not at 2.0"),
        (images, ["--score", "30"], "--score: a score lies between 0 and 1, not at 30.0"),
        (images, ["--line-width", "0"], "--line-width: a line is 1 to 255 pixels wide, not 0"),
        (images, ["--out", str(images)], "overlaps the input"),
        (images, ["--out", str(images / "new")], "overlaps the input"),
        (images, ["--out", str(tmp_path)], "overlaps the input"),
        (images, ["--json", str(images / "a.json")], "a.json: would write into the input"),
        (images / "P1.png", ["--out", str(images)], "would write into the folder of the image"),
        (images, ["--out", str(tmp_path / "file")], "file: not a folder"),
        (images, ["--out", str(tmp_path / "theirs")], "P1.png: would replace a picture that is not ours"),
    ):  # fmt: skip
        line = error("predict", "rotated_atss_obb_r18_demo_le90", checkpoint, where, "--out", tmp_path / "out", *more)
        assert message in line
    assert not (tmp_path / "out").exists()
    assert sorted(before(images)) == ["P1.png", "P2.jpg"]


def test_mistakes_with_the_model(model, images, tmp_path, error):
    (config, checkpoint), other = model["oriented"], model["coco"][1]
    words = [images, "--out", tmp_path / "out"]
    assert "no_such_config: no such config" in error("predict", "no_such_config", checkpoint, *words)
    assert "gone.pth: no such checkpoint" in error("predict", config, "gone.pth", *words)
    assert f"{other}: these are weights of another model" in error("predict", config, other, *words)
    assert "no such device: 'cuda:99'" in error("predict", config, checkpoint, *words, "--device", "cuda:99")
    line = error("predict", config, checkpoint, *words, "--classes", "shipp,plane")
    assert "--classes: unknown class 'shipp' (nearest known class: 'ship')" in line
    assert "--cfg-options takes KEY=VALUE" in error("predict", config, checkpoint, *words, "--cfg-options", "abc")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_in_a_process_of_its_own(model, images, tmp_path, repo_root):
    words = [*model["oriented"], str(images), "--out", str(tmp_path / "out"), *WINDOWS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "tools/predict.py", *words], cwd=repo_root, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("2 images, ")


# -- draw --------------------------------------------------------------------------------------------------------------

BOX, OTHER = "10.5 10.5 40.5 10.5 40.5 30.5 10.5 30.5", "60.5 50.5 90.5 50.5 90.5 80.5 60.5 80.5"


@pytest.fixture
def drawable(tmp_path):
    """A black image with a ship and a plane in its labels, a found ship, and room for pictures."""
    for name in ("images", "labels", "found"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P1.png"), np.zeros((100, 120, 3), np.uint8))
    (tmp_path / "labels" / "P1.txt").write_text(f"{BOX} ship 0\n{OTHER} plane 1\n")
    (tmp_path / "found" / "Task1_ship.txt").write_text(f"P1 0.8 {BOX}\nP9 0.8 {BOX}\nP1 0.2 {OTHER}\n")
    return tmp_path


def draw(root, *more, images="images"):
    assert main(["draw", "--images", str(root / images), "--out", str(root / "out"), *map(str, more)]) == 0
    return cv2.imread(str(root / "out" / "P1.png")).astype(int)


def is_like(pixel, rgb):
    return bool(np.abs(pixel[::-1] - rgb).max() <= 40)


def test_labels(drawable, capsys):
    from rotated_atss.visualization.drawing import class_color

    picture = draw(drawable, "--labels", drawable / "labels", "--box-only")
    assert is_like(picture[20, 10], class_color("ship"))
    assert is_like(picture[65, 60], class_color("plane"))
    assert not picture[85:].any()
    assert capsys.readouterr().out == f"1 pictures written to {drawable / 'out'}\n"
    assert draw(drawable, "--labels", drawable / "labels")[85:].any()  # the legend
    wide = draw(drawable, "--labels", drawable / "labels", "--box-only", "--line-width", 5)
    assert (wide > 0).sum() > 2 * (picture > 0).sum()


def test_detections_over_labels(drawable):
    from rotated_atss.visualization.drawing import class_color

    both = ["--labels", drawable / "labels", "--detections", drawable / "found"]
    picture = draw(drawable, *both, "--box-only")
    assert is_like(picture[20, 10], class_color("ship"))  # found, over the label
    assert is_like(picture[65, 60], (255, 255, 255))  # the label of what was found with 0.2 only
    assert is_like(draw(drawable, *both, "--box-only", "--score", 0.1)[65, 60], class_color("ship"))
    alone = draw(drawable, *both[2:], "--box-only")
    assert is_like(alone[20, 10], class_color("ship"))
    assert not alone[45:].any()


def test_some_classes(drawable):
    picture = draw(drawable, "--labels", drawable / "labels", "--classes", "plane", "--box-only")
    assert not picture[:45].any()
    assert picture[45:].any()
    picture = draw(drawable, "--labels", drawable / "labels", "--classes", "v1.0", "--box-only")
    assert picture[:45].any()
    assert picture[45:].any()
    assert not draw(drawable, "--labels", drawable / "labels", "--classes", "helipad", "--box-only").any()


def test_beside_the_original(drawable):
    picture = draw(drawable, "--labels", drawable / "labels", "--beside", "--box-only")
    assert picture.shape == (100, 246, 3)
    assert not picture[:, :120].any()
    assert picture[:, 126:].any()


def test_one_image_alone(drawable):
    (drawable / "images" / "P2.png").write_bytes(b"not read")
    draw(drawable, "--labels", drawable / "labels", images="images/P1.png")
    assert [path.name for path in (drawable / "out").iterdir()] == ["P1.png"]


def test_coco_labels(drawable):
    content = {
        "images": [{"id": 7, "file_name": "train/P1.png", "width": 120, "height": 100}],
        "categories": [{"id": 3, "name": "wine glass"}, {"id": 5, "name": "cup"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 30, 20], "iscrowd": 0, "area": 600},
            {"id": 2, "image_id": 7, "category_id": 5, "bbox": [60, 50, 30, 30], "iscrowd": 1, "area": 900},
        ],
    }
    (drawable / "a.json").write_text(json.dumps(content))
    words = ["--coco", drawable / "a.json", "--box-only"]
    picture = draw(drawable, *words)
    assert picture[20, 10].any()
    assert picture[20, 40].any()
    assert picture[65, 60].any()
    assert picture[80, 75].any()
    assert not draw(drawable, *words, "--classes", "wine-glass")[45:].any()
    assert not draw(drawable, *words, "--classes", "cup")[:45].any()


def test_nothing_there_is_a_plain_copy(drawable):
    (drawable / "labels" / "P1.txt").write_text("")
    assert not draw(drawable, "--labels", drawable / "labels").any()


def test_an_image_that_fails_does_not_stop_the_others(drawable, capsys):
    (drawable / "images" / "A.png").write_bytes(b"")
    (drawable / "labels" / "A.txt").write_text("")
    words = ["--labels", str(drawable / "labels"), "--out", str(drawable / "out")]
    assert main(["draw", "--images", str(drawable / "images"), *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"rotated-atss draw: error: {drawable / 'images' / 'A.png'}: the image file is empty")
    assert told.out.splitlines()[1] == "1 of 2 images failed"
    assert (drawable / "out" / "P1.png").is_file()


def test_mistakes_of_draw(drawable, error):
    images, labels, found, out = (drawable / name for name in ("images", "labels", "found", "out"))
    (drawable / "predicted" / "detections").mkdir(parents=True)
    (drawable / "predicted" / "detections" / "Task1_ship.txt").write_text("")
    (drawable / "none").mkdir()
    (drawable / "other").mkdir()
    (drawable / "other" / "Task1_ship.txt").write_text(f"P7__1024__0___0 0.8 {BOX}\n")
    (drawable / "broken").mkdir()
    (drawable / "broken" / "P1.txt").write_text(f"{BOX} ship 0\n1 2 3\n")
    (drawable / "theirs").mkdir()
    cv2.imwrite(str(drawable / "theirs" / "P1.png"), noise(9, 9))
    (drawable / "bad.json").write_text('{"images": [], "categories": []}')
    for words, message in (
        ([], "nothing to draw (give --labels, --coco or --detections)"),
        (["--labels", drawable / "gone"], "gone: no such folder"),
        (["--labels", drawable / "none"], "none: no label file for the image P1.png"),
        (["--labels", drawable / "broken"], "broken/P1.txt:2: a label line has 9 or 10 fields"),
        (["--detections", drawable / "none"], "none: no Task1_<class>.txt in this folder"),
        (["--detections", drawable / "predicted"], f"(they are in {drawable / 'predicted' / 'detections'}: give that"),
        (["--detections", drawable / "other"], "no detection lies on an image that is to be drawn (the first"),
        (["--coco", drawable / "bad.json"], "bad.json: no entry for the image P1.png"),
        (["--coco", drawable / "gone.json"], "gone.json"),
        (["--labels", labels, "--classes", "shipp"], "unknown class 'shipp' (nearest known class: 'ship')"),
        (["--labels", labels, "--classes", ","], "--classes: no class is named"),
        (["--labels", labels, "--out", images], "overlaps the input"),
        (["--labels", labels, "--out", labels / "new"], "overlaps the input"),
        (["--detections", found, "--out", found], "overlaps the input"),
        (["--labels", labels, "--out", drawable / "theirs"], "P1.png: would replace a picture that is not ours"),
        (["--labels", labels, "--score", "-1"], "--score: a score lies between 0 and 1, not at -1.0"),
    ):  # fmt: skip
        assert message in error("draw", "--images", images, "--out", out, *words)
    assert not out.exists()
    line = error("draw", "--images", images / "P1.png", "--labels", labels, "--out", images)
    assert "would write into the folder of the image" in line


def test_drawing_needs_no_framework(drawable):
    words = ["draw", "--images", str(drawable / "images"), "--labels", str(drawable / "labels")]
    code = (
        "import sys; from rotated_atss.cli import main; "
        f"code = main({[*words, '--out', str(drawable / 'out')]!r}); "
        "sys.exit(code or any(name in sys.modules for name in ('mmengine', 'mmcv', 'mmdet')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_real_images(shared_data, tmp_path):
    folder = shared_data("dota_sample")
    words = ["--images", folder / "images", "--labels", folder / "labelTxt", "--out", tmp_path / "out"]
    assert main(["draw", *map(str, words)]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 8

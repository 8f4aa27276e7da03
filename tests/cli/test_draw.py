"""The command draw: written pictures and error lines."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main

BOX, OTHER = "10.5 10.5 40.5 10.5 40.5 30.5 10.5 30.5", "60.5 50.5 90.5 50.5 90.5 80.5 60.5 80.5"


@pytest.fixture
def drawable(tmp_path):
    """A black image, labels of a ship and a plane, and detections of a ship."""
    for name in ("images", "labels", "detections"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P1.png"), np.zeros((100, 120, 3), np.uint8))
    (tmp_path / "labels" / "P1.txt").write_text(f"{BOX} ship 0\n{OTHER} plane 1\n")
    (tmp_path / "detections" / "Task1_ship.txt").write_text(f"P1 0.8 {BOX}\nP9 0.8 {BOX}\nP1 0.2 {OTHER}\n")
    return tmp_path


def draw(root, *more, images="images"):
    assert main(["draw", "--images", str(root / images), "--out", str(root / "out"), *map(str, more)]) == 0
    return cv2.imread(str(root / "out" / "P1.png")).astype(int)


def class_color(name):
    from rotated_atss.visualization.palettes import class_styles

    return class_styles([name])[name].color


def is_close(pixel, rgb):
    return bool(np.abs(pixel[::-1] - rgb).max() <= 40)


def test_draw_labels(drawable, capsys):
    picture = draw(drawable, "--labels", drawable / "labels", "--box-only")
    assert is_close(picture[20, 10], class_color("ship"))
    assert is_close(picture[65, 60], class_color("plane"))
    assert not picture[85:].any()
    assert capsys.readouterr().out == f"1 picture written to {drawable / 'out'}\n"
    assert draw(drawable, "--labels", drawable / "labels")[85:].any()  # the legend
    wide = draw(drawable, "--labels", drawable / "labels", "--box-only", "--line-width", 5)
    assert (wide > 0).sum() > 2 * (picture > 0).sum()


def test_draw_detections_over_white_labels(drawable):
    both = ["--labels", drawable / "labels", "--detections", drawable / "detections"]
    picture = draw(drawable, *both, "--box-only")
    assert is_close(picture[20, 10], class_color("ship"))  # the detection covers the label
    assert is_close(picture[65, 60], (255, 255, 255))  # the detection here has a score of 0.2
    assert is_close(draw(drawable, *both, "--box-only", "--score", 0.1)[65, 60], class_color("ship"))
    alone = draw(drawable, *both[2:], "--box-only")
    assert is_close(alone[20, 10], class_color("ship"))
    assert not alone[45:].any()


def test_draw_counts_the_images_with_detections_that_are_not_in_the_folder(drawable, capsys):
    detections, folder, out = drawable / "detections", drawable / "images", drawable / "out"
    draw(drawable, "--detections", detections)
    line = f"1 of 2 images with detections found in {folder}; the others have no picture"
    written = f"1 picture written to {out}"
    assert capsys.readouterr().out.splitlines() == [line, written]
    draw(drawable, "--detections", detections, images="images/P1.png")  # one image is selected on purpose
    assert capsys.readouterr().out.splitlines() == [written]
    cv2.imwrite(str(folder / "P9.png"), np.zeros((100, 120, 3), np.uint8))
    draw(drawable, "--detections", detections)
    assert capsys.readouterr().out.splitlines() == [f"2 pictures written to {out}"]


def test_draw_selected_classes(drawable):
    picture = draw(drawable, "--labels", drawable / "labels", "--classes", "plane", "--box-only")
    assert not picture[:45].any()
    assert picture[45:].any()
    picture = draw(drawable, "--labels", drawable / "labels", "--classes", "v1.0", "--box-only")
    assert picture[:45].any()
    assert picture[45:].any()
    assert not draw(drawable, "--labels", drawable / "labels", "--classes", "helipad", "--box-only").any()


def test_draw_all_classes_of_the_files(drawable):
    """Without --classes nothing is left out, whatever a class is called."""
    (drawable / "labels" / "P1.txt").write_text(f"{BOX} wind-turbine 0\n")
    (drawable / "detections" / "Task1_ship.txt").rename(drawable / "detections" / "Task1_barge.txt")
    for words in (["--labels", drawable / "labels"], ["--detections", drawable / "detections"]):
        assert draw(drawable, *words, "--box-only")[20, 10].any()
    content = {
        "images": [{"id": 7, "file_name": "P1.png", "width": 120, "height": 100}],
        "categories": [{"id": 3, "name": "people (crowd)"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 30, 20], "iscrowd": 0}],
    }
    (drawable / "a.json").write_text(json.dumps(content))
    assert draw(drawable, "--coco", drawable / "a.json", "--box-only")[20, 10].any()


def test_draw_side_by_side(drawable):
    picture = draw(drawable, "--labels", drawable / "labels", "--side-by-side", "--box-only")
    assert picture.shape == (100, 246, 3)
    assert not picture[:, :120].any()
    assert picture[:, 126:].any()


def test_draw_on_16_bit_images(drawable, capsys):
    """All images have one scaling, which is printed once."""
    cv2.imwrite(str(drawable / "images" / "P1.png"), np.full((100, 120, 3), 400, np.uint16))
    cv2.imwrite(str(drawable / "images" / "P2.png"), np.full((100, 120, 3), 2000, np.uint16))
    (drawable / "labels" / "P2.txt").write_text("")
    assert draw(drawable, "--labels", drawable / "labels")[0, -1].tolist() == [50, 50, 50]
    note = "2 of 2 images have 16-bit pixels with 11 used bits: values are divided by 8 (--bits 11)"
    assert capsys.readouterr().out.splitlines()[0] == note
    assert draw(drawable, "--labels", drawable / "labels", "--bits", "10")[0, -1].tolist() == [100, 100, 100]


def test_draw_on_one_image(drawable):
    (drawable / "images" / "P2.png").write_bytes(b"not read")
    draw(drawable, "--labels", drawable / "labels", images="images/P1.png")
    assert [path.name for path in (drawable / "out").iterdir()] == ["P1.png"]


def test_draw_coco_labels(drawable):
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


def test_image_without_boxes_is_copied(drawable):
    (drawable / "labels" / "P1.txt").write_text("")
    assert not draw(drawable, "--labels", drawable / "labels").any()


def test_draw_reports_and_skips_an_unreadable_image(drawable, capsys):
    (drawable / "images" / "A.png").write_bytes(b"")
    (drawable / "labels" / "A.txt").write_text("")
    words = ["--labels", str(drawable / "labels"), "--out", str(drawable / "out")]
    assert main(["draw", "--images", str(drawable / "images"), *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"rotated-atss draw: error: {drawable / 'images' / 'A.png'}: the image file is empty"
    )
    assert captured.out.splitlines()[1] == "1 of 2 images failed"
    assert (drawable / "out" / "P1.png").is_file()


def test_user_errors_of_draw(drawable, user_error):
    images, labels, detections, out = (drawable / name for name in ("images", "labels", "detections", "out"))
    (drawable / "predicted" / "detections").mkdir(parents=True)
    (drawable / "predicted" / "detections" / "Task1_ship.txt").write_text("")
    (drawable / "none").mkdir()
    (drawable / "other").mkdir()
    (drawable / "other" / "Task1_ship.txt").write_text(f"P7__1024__0___0 0.8 {BOX}\n")
    (drawable / "broken").mkdir()
    (drawable / "broken" / "P1.txt").write_text(f"{BOX} ship 0\n1 2 3\n")
    (drawable / "yolo").mkdir()
    (drawable / "yolo" / "P1.txt").write_text("0 0.1 0.1 0.4 0.1 0.4 0.3 0.1 0.3\n")
    (drawable / "foreign").mkdir()
    cv2.imwrite(str(drawable / "foreign" / "P1.png"), np.zeros((9, 9, 3), np.uint8))
    (drawable / "bad.json").write_text('{"images": [], "categories": []}')
    for words, message in (
        ([], "nothing to draw (give --labels, --coco or --detections)"),
        (["--labels", drawable / "gone"], "gone: no such folder"),
        (["--labels", drawable / "none"], "none: no label file for the image P1.png"),
        (["--labels", drawable / "broken"], "broken/P1.txt:2: a label line must have 9 or 10 fields"),
        (["--labels", drawable / "yolo"], "separated by spaces; rotated-atss convert-labels converts YOLO-OBB)"),
        (["--detections", drawable / "none"], "none: no Task1_<class>.txt in this folder"),
        (["--detections", drawable / "predicted"], f"(they are in {drawable / 'predicted' / 'detections'}: give that"),
        (["--detections", drawable / "other"], "no detection lies on an image that is to be drawn (the first"),
        (["--coco", drawable / "bad.json"], "bad.json: no entry for the image P1.png"),
        (["--coco", drawable / "gone.json"], "gone.json"),
        (["--labels", labels, "--classes", "shipp"], "unknown class 'shipp' (nearest known class: 'ship')"),
        (["--labels", labels, "--classes", ","], "--classes contains no class name, got ','"),
        (["--labels", labels, "--out", images], "overlaps the input"),
        (["--labels", labels, "--out", labels / "new"], "overlaps the input"),
        (["--detections", detections, "--out", detections], "overlaps the input"),
        (["--labels", labels, "--out", drawable / "foreign"], "P1.png: the file was not written by rotated-atss"),
        (["--labels", labels, "--score", "-1"], "--score: the score must lie between 0 and 1, got -1.0"),
    ):  # fmt: skip
        assert message in user_error("draw", "--images", images, "--out", out, *words)
    assert not out.exists()
    line = user_error("draw", "--images", images / "P1.png", "--labels", labels, "--out", images)
    assert f"{images}: the output overlaps the input {images}" in line


def test_draw_imports_no_openmmlab_package(drawable):
    words = ["draw", "--images", str(drawable / "images"), "--labels", str(drawable / "labels")]
    code = (
        "import sys; from rotated_atss.cli import main; "
        f"code = main({[*words, '--out', str(drawable / 'out')]!r}); "
        "sys.exit(code or any(name in sys.modules for name in ('mmengine', 'mmcv', 'mmdet')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_draw_real_images(shared_data, tmp_path):
    folder = shared_data("dota_sample")
    words = ["--images", folder / "images", "--labels", folder / "labelTxt", "--out", tmp_path / "out"]
    assert main(["draw", *map(str, words)]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_pictures_of_large_images_are_reduced(drawable, monkeypatch, capsys):
    from rotated_atss.cli import _pictures

    monkeypatch.setattr(_pictures, "MAX_PICTURE_PIXELS", 100 * 120 - 1)
    monkeypatch.setattr(_pictures, "REDUCED_PIXELS", 100 * 120 // 4)
    picture = draw(drawable, "--labels", drawable / "labels", "--box-only")
    assert picture.shape == (50, 60, 3)
    assert is_close(picture[10, 5], class_color("ship"))
    assert is_close(picture[32, 30], class_color("plane"))
    assert "P1.png: the picture is reduced from 120 x 100 px to 60 x 50 px (factor 2)" in capsys.readouterr().err


def test_many_boxes_are_drawn_in_chunks_without_captions(drawable, monkeypatch):
    from rotated_atss.cli import _pictures

    words = ["--detections", drawable / "detections", "--score", 0.1]
    expected = draw(drawable, *words, "--box-only")
    assert (draw(drawable, *words) != expected).any()
    monkeypatch.setattr(_pictures, "MAX_CAPTIONED_BOXES", 1)
    monkeypatch.setattr(_pictures, "_CHUNK_BOXES", 1)
    assert (draw(drawable, *words) == expected).all()


def cropped(root, *words, name):
    assert (
        main(["draw", "--images", str(root / "images" / "P1.png"), "--out", str(root / "out"), *map(str, words)]) == 0
    )
    return cv2.imread(str(root / "out" / name)).astype(int)


def test_a_region_equals_that_part_of_the_whole_picture(drawable):
    labels = ["--labels", drawable / "labels", "--box-only"]
    whole = draw(drawable, *labels)
    part = cropped(drawable, *labels, "--crop", 50, 40, 60, 45, name="P1_50_40_60_45.png")
    assert part.shape == (45, 60, 3)
    assert (part == whole[40:85, 50:110]).all()
    assert (
        cropped(drawable, *labels, "--crop", 100, 90, 500, 500, name="P1_100_90_20_10.png") == whole[90:, 100:]
    ).all()
    assert sorted(path.name for path in (drawable / "out").iterdir()) == [
        "P1.png", "P1_100_90_20_10.png", "P1_50_40_60_45.png",
    ]  # fmt: skip
    legend = cropped(drawable, *labels[:2], "--crop", 50, 40, 60, 45, name="P1_50_40_60_45.png")
    assert legend[-12:, :40].any()  # of the class in the region


def test_a_region_of_detections_and_labels(drawable):
    words = ["--labels", drawable / "labels", "--detections", drawable / "detections", "--box-only"]
    whole = draw(drawable, *words)
    assert (cropped(drawable, *words, "--crop", 0, 0, 50, 40, name="P1_0_0_50_40.png") == whole[:40, :50]).all()


def test_the_region_around_a_box(drawable):
    cv2.imwrite(str(drawable / "images" / "P1.png"), np.zeros((700, 900, 3), np.uint8))
    (drawable / "labels" / "P1.txt").write_text(
        f"{BOX} ship 0\n600.5 400.5 719.5 400.5 719.5 429.5 600.5 429.5 plane 1\n"
    )
    labels = ["--labels", drawable / "labels", "--box-only"]
    around = cropped(drawable, *labels, "--object", 1, name="P1_422_177_476_476.png")
    assert is_close(around[238, 178], class_color("plane"))
    corner = cropped(drawable, *labels, "--object", 0, name="P1_0_0_256_256.png")
    assert is_close(corner[20, 10], class_color("ship"))


def test_the_region_around_a_box_is_limited(drawable, monkeypatch, capsys):
    monkeypatch.setattr("rotated_atss.cli.draw.MAX_PICTURE_PIXELS", 9000)
    arguments = ["--labels", str(drawable / "labels"), "--out", str(drawable / "out"), "--object", "0"]
    assert main(["draw", "--images", str(drawable / "images" / "P1.png"), *arguments]) == 2
    assert "--object: a region can have at most 0 megapixels, got 120 x 100 px" in capsys.readouterr().err


def test_only_the_region_of_an_image_is_read(drawable, monkeypatch):
    from rotated_atss.io.reader_interface import ArrayReader

    windows = []

    class Reader(ArrayReader):
        def __init__(self, path):
            super().__init__(np.zeros((100, 120, 3), np.uint8), path)
            self.width, self.height = 10**6, 10**6

        def read(self, window=None):
            windows.append(window)
            return super().read(window)

        def read_reduced(self, factor):
            raise AssertionError("the whole image is read")

    monkeypatch.setattr("rotated_atss.io.image_reader.open_image", lambda path, options=None: Reader(path))
    words = ["--labels", drawable / "labels", "--crop", 5, 5, 60, 50]
    assert cropped(drawable, *words, name="P1_5_5_60_50.png").any()
    assert windows == [(5, 5, 65, 55)]


def test_palettes(drawable):
    from rotated_atss.dota.classes import CLASSES, PALETTE

    labels = ["--labels", drawable / "labels", "--box-only"]
    older = draw(drawable, *labels, "--palette", "dota")
    assert is_close(older[20, 10], PALETTE[CLASSES["v1.0"].index("ship")])
    assert is_close(draw(drawable, *labels)[20, 10], class_color("ship"))
    (drawable / "labels" / "P1.txt").write_text("10.5 10.5 90.5 10.5 90.5 60.5 10.5 60.5 helipad 0\n")
    dashes = draw(drawable, *labels)[10, 10:91].any(-1)
    assert 0.3 < dashes.mean() < 0.8


def test_styles_of_other_classes_differ(drawable):
    (drawable / "labels" / "P1.txt").write_text(f"{BOX} barge 0\n{OTHER} buoy 0\n")
    picture = draw(drawable, "--labels", drawable / "labels", "--box-only")
    assert np.abs(picture[20, 10] - picture[65, 60]).max() > 60


def test_mark_front(drawable):
    labels = ["--labels", drawable / "labels", "--box-only"]
    assert is_close(draw(drawable, *labels, "--mark-front")[10, 25], (255, 255, 255))
    assert is_close(draw(drawable, *labels)[10, 25], class_color("ship"))


@pytest.mark.parametrize(
    "words, message",
    [
        (["--crop", "0", "0", "0", "5"], "--crop: width and height must be at least 1, got 0 x 5"),
        (["--crop", "-1", "0", "9", "5"], "--crop: X and Y must be at least 0, got -1 and 0"),
        (["--crop", "120", "0", "9", "5"], "the region begins outside the image of 120 x 100 px, got X 120 and Y 0"),
        (["--crop", "0", "0", "50000", "50000"], "a region can have at most 50 megapixels, got 50000 x 50000 px"),
        (["--object", "2"], "--object: no box has the index 2: the image has 2 boxes (indices 0 to 1)"),
        (["--object", "-1"], "--object: no box has the index -1: the image has 2 boxes (indices 0 to 1)"),
    ],
)
def test_user_errors_of_regions(words, message, drawable, capsys):
    arguments = ["--labels", str(drawable / "labels"), "--out", str(drawable / "out"), *words]
    assert main(["draw", "--images", str(drawable / "images" / "P1.png"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(drawable.glob("out/*"))


def test_a_region_needs_one_image(drawable, user_error):
    (drawable / "images" / "P2.png").write_bytes((drawable / "images" / "P1.png").read_bytes())
    (drawable / "labels" / "P2.txt").write_text("")
    words = ["--images", drawable / "images", "--labels", drawable / "labels", "--out", drawable / "out"]
    assert "--crop: needs one image, got 2 images (give one file)" in user_error("draw", *words, "--crop", 0, 0, 9, 9)
    assert "--object: needs one image, got 2 images" in user_error("draw", *words, "--object", 0)


def test_a_region_replaces_no_file_of_another_program(drawable, capsys):
    (drawable / "out").mkdir()
    cv2.imwrite(str(drawable / "out" / "P1_0_0_9_9.png"), np.zeros((9, 9, 3), np.uint8))
    words = ["--labels", str(drawable / "labels"), "--out", str(drawable / "out"), "--crop", "0", "0", "9", "9"]
    assert main(["draw", "--images", str(drawable / "images" / "P1.png"), *words]) == 2
    assert "P1_0_0_9_9.png: the file was not written by rotated-atss" in capsys.readouterr().err

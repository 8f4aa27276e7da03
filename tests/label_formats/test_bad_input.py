"""Bad input: one line that names the file, and nothing written."""

from __future__ import annotations

import json

import pytest

from rotated_atss.errors import UserError
from rotated_atss.label_formats.class_map import parse_class_map
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.label_formats.reading import read_label_set

DOTA_LINE = "1 2 11 2 11 8 1 8 ship 0\n"
YOLO_LINE = "0 0.1 0.2 0.3 0.2 0.3 0.4 0.1 0.4\n"
VOC = "<annotation>\n<object><name>ship</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"


@pytest.fixture
def fails(tmp_path):
    """Write files, convert the folder, and check that it fails and writes nothing."""

    def run(files: dict[str, str], match: str, target: str = "fair1m", **options: object) -> None:
        for name, text in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with pytest.raises(UserError, match=match) as caught:
            convert_labels(tmp_path / "in", tmp_path / "out", target, **options)
        assert "\n" not in str(caught.value)
        assert [path.name for path in tmp_path.iterdir() if path.name not in ("in", "images")] == []

    return run


def polygon_json(count: int) -> str:
    shape = {"label": "ship", "points": [[number, number * number] for number in range(count)]}
    return json.dumps({"shapes": [shape], "imagePath": "P1.png", "imageWidth": 500, "imageHeight": 500})


def feature_collection(properties: object = None, **members: object) -> str:
    ring = [[1, 2], [11, 2], [11, 8], [1, 8], [1, 2]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry}
    feature["properties"] = {"class": "ship"} if properties is None else properties
    return json.dumps({"type": "FeatureCollection", "features": [feature], **members})


def labelstudio(data: object = None, predictions: object = None, **region: object) -> str:
    value = {"x": 5, "y": 5, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["ship"]}
    region = {"type": "rectanglelabels", "original_width": 20, "original_height": 12, "value": value, **region}
    task = {"data": {"image": "P1.png"} if data is None else data, "annotations": [{"result": [region]}]}
    if predictions is not None:
        task = {"data": task["data"], "predictions": predictions}
    return json.dumps([task])


@pytest.mark.parametrize(
    "text, match",
    [
        (labelstudio(data={"text": "hello"}), r"tasks.json: tasks\[0\].data: the task must name an image"),
        (
            labelstudio(original_width=None, original_height=None),
            r"result\[0\]: original_width and original_height are",
        ),
        (labelstudio(original_width=-1), r"must be positive integers, got '\(-1, 12\)'"),
        (
            labelstudio(image_rotation=90),
            r"tasks\[0\].annotations\[0\].result\[0\]: image_rotation must be 0, got '90'",
        ),
        (labelstudio(value=3), r"value must be an object, got '3'"),
        (labelstudio(value={"x": "a"}), r"x, y, width, height and rotation must be numbers"),
        (
            labelstudio(value={"x": 5, "y": 5, "width": 50, "height": 50, "rectanglelabels": []}),
            r"rectanglelabels must name a class, got '\[\]'",
        ),
        (labelstudio(type="polygonlabels", value={"points": [[1]]}), r"points must be a list of \[x, y\]"),
        (
            labelstudio(type="polygonlabels", value={"points": [[1, 2], [3, 4], [1, 4]], "polygonlabels": ["ship"]}),
            r"a polygon must have 4 corners, got 3",
        ),
        (labelstudio(predictions=[{"result": 7}]), r"result must be a list, got '7'"),
        ("[" + labelstudio()[1:-1] + ', {"image": "P2.png"}]', r"tasks\[1\]: not a task of Label Studio .*JSON-MIN"),
    ],
)
def test_malformed_tasks_of_labelstudio(fails, text, match):
    fails({"tasks.json": text}, match)


def test_another_format_than_asked_for(fails):
    match = r"P1.txt: this file is in the format yolo-obb, not dota \("
    fails({"P1.txt": YOLO_LINE}, match, source_format="dota")


@pytest.mark.parametrize(
    "files, match",
    [
        (
            {"P1.txt": DOTA_LINE, "P2.txt": YOLO_LINE},
            r"P2.txt: this file is in the format yolo-obb, but P1.txt is in the format dota",
        ),
        (
            {"P1.txt": DOTA_LINE, "P2.xml": VOC},
            r"P2.xml: this file is in the format voc, but P1.txt is in the format dota",
        ),
        (
            {"P1.txt": "", "P2.txt": DOTA_LINE, "P3.txt": YOLO_LINE},
            r"P3.txt: this file is in the format yolo-obb, but P2.txt is in the format dota",
        ),
    ],
)
def test_mixed_formats(fails, files, match):
    fails(files, match)


@pytest.mark.parametrize(
    "files, match",
    [
        (
            {"P1.txt": "0 0.1 0.2 0.3\n", "P2.txt": YOLO_LINE},
            r"P1.txt:1: a YOLO-OBB line must have 9 or 10 fields, got 4",
        ),
        ({"P1.txt": "1 2 3\n", "P2.txt": DOTA_LINE}, r"P1.txt:1: a label line must have 9 or 10 fields, got 3"),
        ({"P1.txt": "0 0.1\n", "P2.txt": "", "P3.txt": YOLO_LINE}, r"P1.txt:1: a YOLO-OBB line must have .* got 2"),
        ({"P1.txt": YOLO_LINE, "P2.txt": "0 0.1\n"}, r"P2.txt:1: a YOLO-OBB line must have .* got 2"),
        ({"P1.txt": "hello\n", "P2.xml": VOC}, r"P1.txt:1: a label line must have 9 or 10 fields, got 1"),
        ({"P1.txt": "0 0.1\n", "P2.txt": ""}, r"P1.txt:1: a label line must have 9 or 10 fields, got 2"),
    ],
)
def test_malformed_text_file_is_reported_in_the_format_of_the_others(fails, tmp_path, write_noise, files, match):
    for name in ("P1", "P2", "P3"):
        write_noise(tmp_path / "images" / f"{name}.png", 20, 12)
    fails(files, match, images=tmp_path / "images", classes=("ship",))


@pytest.mark.parametrize("count", [3, 20])
def test_polygons_without_four_corners(fails, tmp_path, count):
    files = {"P1.json": polygon_json(count)}
    fails(files, rf"P1.json: shapes\[0\]: a polygon must have 4 corners, got {count} \(use --fit-polygons")
    result = convert_labels(tmp_path / "in", tmp_path / "out", "fair1m", fit_polygons=True)
    assert result.notes == ("1 polygon without four corners: replaced with the minimum-area rectangle",)


def test_fitted_rectangle_of_a_rectangle_without_a_corner(tmp_path):
    shape = {"label": "ship", "points": [[0, 0], [8, 0], [8, 4], [3, 4], [0, 3]]}
    (tmp_path / "P1.json").write_text(json.dumps({"shapes": [shape]}))
    (image,) = read_label_set(tmp_path, fit_polygons=True).images
    assert {tuple(corner) for corner in image.polygons.reshape(4, 2).tolist()} == {(0, 0), (8, 0), (8, 4), (0, 4)}


def test_class_that_the_map_does_not_name(fails, tmp_path):
    files = {"P1.txt": DOTA_LINE + DOTA_LINE.replace("ship", "car")}
    fails(files, r"P1.txt:2: the class 'car' is not in the class map", class_map={"ship": "boat"})
    class_map = parse_class_map("ship=,*=vehicle")
    result = convert_labels(tmp_path / "in", tmp_path / "out", "dota", class_map=class_map)
    assert (tmp_path / "out" / "P1.txt").read_text() == "1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0 vehicle 0\n"
    assert result.classes == ("vehicle",)
    assert result.notes == ("1 object of classes that the class map drops",)
    kept = convert_labels(tmp_path / "in", tmp_path / "kept", "dota", class_map=parse_class_map("ship=,Car=bus,*=*"))
    assert kept.notes[-1] == "no object has the class listed in the class map: Car"
    assert (tmp_path / "kept" / "P1.txt").read_text().endswith(" car 0\n")


def test_unknown_class(fails):
    fails({"P1.txt": DOTA_LINE}, r"P1.txt:1: unknown class 'ship'", classes=("car",))


def test_classes_may_differ_in_case_and_hyphens(tmp_path):
    (tmp_path / "P1.json").write_text(polygon_json(4).replace('"ship"', '"expressway-Toll station"'))
    classes = ("Expressway-toll-station", "ship")
    convert_labels(tmp_path / "P1.json", tmp_path / "out", "dota", classes=classes)
    assert (tmp_path / "out" / "P1.txt").read_text().endswith(" Expressway-toll-station 0\n")


def test_image_sizes_are_needed(fails):
    match = r"P1.txt: yolo-obb needs the size of the image P1, which is not known \(pass .* --images\)"
    fails({"P1.txt": DOTA_LINE}, match, target="yolo-obb")


def test_size_that_is_not_that_of_the_image(fails, tmp_path, write_noise):
    write_noise(tmp_path / "images" / "P1.png", 20, 12)
    text = "<annotation><size><width>12</width><height>20</height></size></annotation>"
    match = r"the size in the labels is 12 x 20, but the image is 20 x 12"
    fails({"P1.xml": text}, match, images=tmp_path / "images", source_format="voc")


def test_labels_without_their_image(fails, tmp_path, write_noise):
    write_noise(tmp_path / "images" / "P2.png", 20, 12)
    fails({"P1.txt": DOTA_LINE}, r"images: no image P1\.\*", images=tmp_path / "images")


@pytest.mark.parametrize(
    "files, match",
    [
        ({"P1.xml": VOC}, r"P1.xml:2: <bndbox> has no <ymin>"),
        ({"P1.xml": "<annotation>\n<object>\n"}, r"P1.xml:3: not well-formed XML"),
        ({"P1.xml": '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'}, r"P1.xml:1: declarations of document types"),
        ({"P1.xml": "<html/>"}, r"P1.xml: not a label file of a known format"),
        ({"P1.json": "{"}, r"P1.json:1: not valid JSON"),
        (
            {"P1.json": '[{"image_id": 1}]'},
            r"P1.json: this is a file of COCO results, which contains no names of images or classes",
        ),
        ({"P1.geojson": feature_collection(properties=[])}, r"features\[0\]: properties must be an object, got '\[\]'"),
        (
            {"P1.geojson": feature_collection(image="a\n.png")},
            r"the name of an image must be a printable file name, got 'a .png'",
        ),
        ({"P1.txt": YOLO_LINE}, r"needs the size of the image, which is not known"),
        ({"P1.txt": YOLO_LINE.replace("0.1", "100")}, r"P1.txt:1: coordinates must be divided by width and height"),
        ({"notes.md": ""}, r"in: no label files in this folder"),
        ({"P1.txt": "hello"}, r"P1.txt:1: a label line must have 9 or 10 fields, got 1"),
        ({"P1.txt": "1 2 11 2 11 8 ship 0"}, r"P1.txt:1: a label line must have 9 or 10 fields, got 8"),
        ({"P1.txt": "\n1 2 nan 2 11 8 1 8 ship 0"}, r"P1.txt:2: 'nan' is not"),
        ({"P1.txt": "0" + 3 * " 0.1 0.2"}, r"P1.txt:1: .* got 7 \(this looks like YOLO segmentation"),
        ({"P1.txt": "0" + 6 * " 0.1 0.2"}, r"P1.txt:1: .* got 13 \(this looks like YOLO segmentation"),
        ({"P1.txt": "0" + 20 * " 0.1 0.2"}, r"P1.txt:1: .* got 41 \(this looks like YOLO segmentation"),
        ({"Task1_ship.txt": "P1 0.5 1 2 3 4 5 6 7 8", "P1.txt": DOTA_LINE}, r"P1.txt: the folder also contains"),
    ],
)
def test_malformed_files(fails, files, match):
    fails(files, match)


@pytest.mark.parametrize("fields, kind", [(5, "with horizontal boxes"), (7, "segmentation"), (41, "segmentation")])
def test_other_formats_of_yolo(fails, fields, kind):
    match = rf"P1.txt:1: .* got {fields} \(this looks like YOLO {kind}\)"
    fails({"P1.txt": " ".join(["0"] * fields)}, match, source_format="yolo-obb")


def test_format_of_which_the_folder_has_no_files(fails):
    match = (
        r"in: no label files of format voc \(.xml\), but P1.txt was found \(pass the format of these files, or auto\)"
    )
    fails({"P1.txt": DOTA_LINE}, match, source_format="voc")


def test_braces_in_names(tmp_path):
    (tmp_path / "P1.json").write_text(polygon_json(4).replace('"ship"', '"a {b}"'))
    (tmp_path / "P2.json").write_text(polygon_json(4).replace('"label"', '"shape_type": "{x}", "label"'))
    notes = convert_labels(tmp_path, tmp_path.parent / f"{tmp_path.name}_out", "dota").notes
    assert notes[0] == "1 shape of type {x}, neither box nor polygon: left out"
    assert notes[1].startswith("1 class name with spaces: written with hyphens (a {b} as a-{b})")


def test_class_names_that_become_one(fails):
    text = polygon_json(4).replace('"ship"', '"Small Car"')
    second = polygon_json(4).replace('"ship"', '"Small-Car"')
    fails({"P1.json": text, "P2.json": second}, "the class 'Small Car' becomes Small-Car", target="dota")


def test_output_folder_must_be_empty_and_apart(fails, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "P1.txt").write_text(DOTA_LINE)
    with pytest.raises(UserError, match="the output overlaps the input"):
        convert_labels(tmp_path / "in", tmp_path / "in" / "out", "fair1m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    with pytest.raises(UserError, match="the output folder is not empty"):
        convert_labels(tmp_path / "in", tmp_path / "out", "fair1m")


def test_what_the_target_cannot_hold_is_said(tmp_path, write_noise):
    write_noise(tmp_path / "images" / "P1.png", 10, 12)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "P1.txt").write_text("gsd:1\n1 2 11 2 11 8 1 8 ship 2\n0 0 10 0 10 6 3 6 ship 0\n")
    voc = convert_labels(tmp_path / "in", tmp_path / "voc", "voc")
    assert voc.notes == (
        "1 image file name not known: written with .png (use --images to read file names)",
        "1 object with difficult 2 (truncated): written as 1",
        "1 header line (imagesource, gsd): left out",
        "1 quadrilateral other than a rectangle: minimum-area rectangle written (largest shift 3.00 px)",
    )
    yolo = convert_labels(tmp_path / "in", tmp_path / "yolo", "yolo-obb", images=tmp_path / "images")
    assert "1 object reaching outside the image: corners moved to its border" in yolo.notes


@pytest.mark.parametrize(
    "width, height, shown", [("640.5", "480", "640.5 x 480"), ("0", "480", "0 x 480"), ("-3", "480", "-3 x 480")]
)
def test_sizes_of_cvat_images_are_positive_integers(fails, width, height, shown):
    box = '<box label="ship" xtl="1" ytl="2" xbr="11" ybr="8"/>'
    image = f'<image name="P1.png" width="{width}" height="{height}">{box}</image>'
    fails({"a.xml": f"<annotations>{image}</annotations>"}, f"must be positive integers, got {shown}$")


def test_fractional_size_of_a_voc_image(fails):
    size = "<size><width>640.5</width><height>480</height></size>"
    fails({"P1.xml": f"<annotation>{size}</annotation>"}, "must be positive integers, got 640.5 x 480$", target="dota")


def test_categories_without_a_name_are_no_classes(tmp_path):
    categories = [{"id": 1, "name": "ship"}, {"id": 2}]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 6]}
    image = {"id": 1, "file_name": "P1.png", "width": 20, "height": 12}
    content = {"images": [image], "annotations": [annotation], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_label_set(tmp_path / "a.json", "coco").classes == ("ship",)


def test_names_of_shape_types_are_printed_on_one_line(tmp_path):
    shape = {"label": "ship", "shape_type": "a\nb", "points": [[1, 2]]}
    content = {"shapes": [shape], "imagePath": "P1.png", "imageWidth": 20, "imageHeight": 12}
    (tmp_path / "P1.json").write_text(json.dumps(content))
    (note,) = read_label_set(tmp_path / "P1.json", "labelme").notes
    assert note == "1 shape of type a b, neither box nor polygon: left out"


def test_two_coco_categories_of_one_id_are_an_error(fails):
    categories = [{"id": 1, "name": "ship"}, {"id": 1, "name": "plane"}]
    content = {"images": [], "annotations": [], "categories": categories}
    fails({"a.json": json.dumps(content)}, "a.json: duplicate category id 1")

"""Every format: files written by hand in these tests, with expectations derived by hand, and round trips."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.label_formats.geometry import boxes_to_polygons, polygons_to_boxes
from rotated_atss.label_formats.reading import read_label_set
from rotated_atss.label_formats.records import ImageLabels, LabelSet
from rotated_atss.label_formats.registry import FORMATS, WRITTEN

SQUARE = [1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]  # center (6, 5), width 10, height 6
QUARTER_TURN = [9.0, 0.0, 9.0, 10.0, 3.0, 10.0, 3.0, 0.0]  # the same, turned clockwise by 90 degrees
TURNED_BACK = [3.0, 10.0, 3.0, 0.0, 9.0, 0.0, 9.0, 10.0]  # the same, turned counterclockwise by 90 degrees


def labels_of(path: Path, format_name: str = "auto", **options: object) -> LabelSet:
    return read_label_set(path, format_name, **options)


def only(labels: LabelSet) -> ImageLabels:
    (image,) = labels.images
    return image


def test_rolabelimg_angles_are_radians_clockwise(tmp_path):
    (tmp_path / "P1.xml").write_text(
        f"""<annotation verified="no">
  <filename>other_name.bmp</filename>
  <size><width>20</width><height>12</height><depth>3</depth></size>
  <object><type>robndbox</type><name>ship</name><difficult>1</difficult>
    <robndbox><cx>6</cx><cy>5</cy><w>10</w><h>6</h><angle>{math.pi / 2}</angle></robndbox></object>
  <object><type>bndbox</type><name>car</name>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""
    )
    labels = labels_of(tmp_path)
    image = only(labels)
    assert labels.format_name == "voc"
    assert image.polygons.tolist() == [QUARTER_TURN, SQUARE]
    assert (image.name, image.size, image.classes) == ("P1.bmp", (20, 12), ("ship", "car"))
    assert image.difficult.tolist() == [1, 0]
    assert image.lines.tolist() == [4, 6]
    assert labels.notes == ("1 object with a horizontal box only: angle set to 0",)


def test_hrsc_class_ids_become_names(tmp_path):
    (tmp_path / "100000001.xml").write_text(
        """<HRSC_Image><Img_FileName>100000001</Img_FileName><Img_FileFmt>bmp</Img_FileFmt>
<Img_SizeWidth>1166</Img_SizeWidth><Img_SizeHeight>753</Img_SizeHeight><HRSC_Objects>
<HRSC_Object><Class_ID>100000002</Class_ID><difficult>0</difficult><mbox_cx>6</mbox_cx><mbox_cy>5</mbox_cy>
<mbox_w>10</mbox_w><mbox_h>6</mbox_h><mbox_ang>0</mbox_ang></HRSC_Object></HRSC_Objects></HRSC_Image>"""
    )
    image = only(labels_of(tmp_path))
    assert image.classes == ("aircraft carrier",)
    assert image.polygons.tolist() == [SQUARE]
    assert (image.name, image.size) == ("100000001.bmp", (1166, 753))


def test_ssdd_corners_count_not_the_angle(tmp_path):
    """The ``rotated_bndbox`` of SSDD's RBox labels: center, size and degrees, then the four corners."""
    corners = "".join(f"<{axis}{number}>{value}</{axis}{number}>" for (axis, number), value in zip(
        [(axis, number) for number in (1, 2, 3, 4) for axis in "xy"], map(int, QUARTER_TURN)
    ))  # fmt: skip
    (tmp_path / "000001.xml").write_text(
        f"""<annotation><filename>000001.jpg</filename><size><width>416</width><height>323</height></size>
<object><name>ship</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>0</ymin><xmax>9</xmax><ymax>10</ymax>
<bbox_w>6</bbox_w><bbox_h>10</bbox_h></bndbox><rotated_bndbox><rotated_bbox_cx>6</rotated_bbox_cx>
<rotated_bbox_cy>5</rotated_bbox_cy><rotated_bbox_w>10</rotated_bbox_w><rotated_bbox_h>6</rotated_bbox_h>
<rotated_bbox_theta>90</rotated_bbox_theta>{corners}</rotated_bndbox></object></annotation>"""
    )
    labels = labels_of(tmp_path)
    assert labels.format_name == "voc"
    assert labels.notes == ()
    assert only(labels).polygons.tolist() == [QUARTER_TURN]
    assert (only(labels).name, only(labels).size) == ("000001.jpg", (416, 323))


def soda_a(*annotations: dict) -> str:
    names = ("airplane", "helicopter", "ship", "ignore")
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    images = {"file_name": "00001.jpg", "height": 2700, "width": 4700, "id": 1}
    return json.dumps({"images": images, "annotations": list(annotations), "categories": categories})


def test_soda_a_leaves_out_ignore_regions_and_other_polygons(tmp_path):
    pentagon = [*SQUARE, 0, 5]
    (tmp_path / "00001.json").write_text(
        soda_a(
            {"id": 1, "image_id": 1, "category_id": 2, "poly": SQUARE, "area": 60},
            {"id": 2, "image_id": 1, "category_id": 3, "poly": SQUARE, "area": 60},
            {"id": 3, "image_id": 1, "category_id": 0, "poly": pentagon, "area": 65},
            {"id": 4, "image_id": 1, "category_id": 0, "poly": [*QUARTER_TURN, *QUARTER_TURN[:2]], "area": 60},
        )
    )
    (tmp_path / "00002.json").write_text(soda_a())
    labels = labels_of(tmp_path)
    first, second = labels.images
    assert (labels.format_name, labels.classes) == ("soda-a", ("airplane", "helicopter", "ship"))
    assert (first.name, first.classes, len(second)) == ("00001", ("ship", "airplane"), 0)
    assert first.polygons.tolist() == [SQUARE, QUARTER_TURN]
    assert labels.notes == (
        "1 ignore region: left out",
        "1 polygon without four corners: left out, as in SODA-A's evaluation",
    )
    assert len(labels_of(tmp_path, fit_polygons=True).images[0]) == 3
    (tmp_path / "00002.json").write_text(soda_a({"category_id": 2, "poly": [1, 2, 3]}))
    with pytest.raises(UserError, match=r"00002.json: annotations\[0\]: poly must be a list x1, y1, .*, got"):
        labels_of(tmp_path)
    (tmp_path / "00002.json").write_text(soda_a({"category_id": 7, "poly": SQUARE}))
    with pytest.raises(UserError, match=r"00002.json: annotations\[0\]: no such category_id 7"):
        labels_of(tmp_path)


def test_ucas_aod_with_the_class_in_the_line_or_in_the_folder(tmp_path):
    numbers = "\t".join(f"{value:e}" for value in [*SQUARE, 0, 1, 2, 10, 6])
    for folder, line in (("CAR", numbers), ("PLANE", numbers), ("labelTxt", f"car  {numbers}\t")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "P0001.txt").write_text(f"{line}\n")
        (tmp_path / folder / "P0002.txt").touch()
    for folder, name in (("CAR", "car"), ("PLANE", "airplane"), ("labelTxt", "car")):
        labels = labels_of(tmp_path / folder)
        first, second = labels.images
        assert (labels.format_name, first.classes, len(second)) == ("ucas-aod", (name,), 0)
        assert first.polygons.tolist() == [SQUARE]
        assert first.lines.tolist() == [1]
    (tmp_path / "labelTxt" / "P0001.txt").write_text(f"{numbers}\n")
    what = "the line has no class name, and the folder labelTxt is neither CAR nor PLANE"
    message = rf"P0001.txt:1: {what} \(put the labels into"
    with pytest.raises(UserError, match=message):
        labels_of(tmp_path / "labelTxt")
    (tmp_path / "labelTxt" / "P0001.txt").write_text("car 1 2 3\n")
    with pytest.raises(UserError, match=r"P0001.txt:1: a UCAS-AOD line must have 13 or 14 fields, got 4"):
        labels_of(tmp_path / "labelTxt", "ucas-aod")


def test_formats_that_are_only_read_are_no_target(tmp_path):
    (tmp_path / "P1.txt").write_text("1 2 11 2 11 8 1 8 ship 0")
    with pytest.raises(UserError, match="the format soda-a cannot be written"):
        convert_labels(tmp_path / "P1.txt", tmp_path / "out", "soda-a")


def test_dior_corners_are_read_by_name(tmp_path):
    tags = {"x_left_top": 1, "y_left_bottom": 8, "x_left_bottom": 1, "y_left_top": 2, "x_right_top": 11}
    tags |= {"y_right_top": 2, "x_right_bottom": 11, "y_right_bottom": 8}
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags.items())
    text = f"<annotation><object><name>ship</name><robndbox>{box}</robndbox></object></annotation>"
    (tmp_path / "00001.xml").write_text(text)
    labels = labels_of(tmp_path)
    assert labels.format_name == "dior"
    assert only(labels).polygons.tolist() == [SQUARE]


def test_fair1m_closes_its_rings_and_has_probabilities(tmp_path):
    points = "".join(f"<point>{x:f},{y:f}</point>" for x, y in [(1, 2), (11, 2), (11, 8), (1, 8), (1, 2)])
    text = f"""<annotation><source><filename>7.tif</filename></source><objects><object>
<coordinate>pixel</coordinate><possibleresult><name>Small Car</name><probability>0.75</probability></possibleresult>
<points>{points}</points></object></objects></annotation>"""
    (tmp_path / "7.xml").write_text(text)
    labels = labels_of(tmp_path)
    image = only(labels)
    assert labels.format_name == "fair1m"
    assert (image.name, image.classes, image.scores.tolist()) == ("7.tif", ("Small Car",), [0.75])
    assert image.polygons.tolist() == [SQUARE]
    (tmp_path / "7.xml").write_text(text.replace(">pixel<", ">geodegree<"))
    with pytest.raises(UserError, match=r"7.xml:1: coordinates must be in pixels, got 'geodegree'"):
        labels_of(tmp_path)


def test_cvat_rotation_is_degrees_clockwise_about_the_center(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        """<annotations><version>1.1</version>
<image id="0" name="train/P1.jpg" width="20" height="12">
<box label="ship" xtl="1" ytl="2" xbr="11" ybr="8" rotation="90"><attribute name="difficult">true</attribute></box>
<polygon label="car" points="1.00,2.00;11.00,2.00;11.00,8.00;1.00,8.00"/>
<points label="car" points="1,2"/></image><image id="1" name="P2.jpg" width="5" height="6"/></annotations>"""
    )
    labels = labels_of(tmp_path / "annotations.xml")
    first, second = labels.images
    assert first.polygons.tolist() == [QUARTER_TURN, SQUARE]
    assert (first.image_id, first.size, first.difficult.tolist()) == ("P1", (20, 12), [1, 0])
    assert (len(second), second.size) == (0, (5, 6))
    assert labels.notes == ("1 shape of type points, neither box nor polygon: left out",)


def test_labelme_points_count_not_the_direction(tmp_path):
    corners = [[1, 2], [11, 2], [11, 8], [1, 8]]
    shapes = [
        {"label": "ship", "points": corners, "shape_type": "rotation", "direction": 1.2, "difficult": True},
        {"label": "car", "points": [[11, 8], [1, 2]], "shape_type": "rectangle"},
        {"label": "car", "points": [[11, 8]], "shape_type": "point"},
    ]
    content = {"shapes": shapes, "imagePath": "..\\x\\P9.tif", "imageWidth": 20, "imageHeight": 12, "imageData": "AA"}
    (tmp_path / "P1.json").write_text(json.dumps(content))
    labels = labels_of(tmp_path)
    image = only(labels)
    assert (image.name, image.size, image.difficult.tolist()) == ("P1.tif", (20, 12), [1, 0])
    assert image.polygons.tolist() == [SQUARE, SQUARE]
    assert len(labels.notes) == 2


def coco(**annotation: object) -> dict:
    return {
        "images": [{"id": 7, "file_name": "P1.png", "width": 20, "height": 12}],
        "categories": [{"id": 5, "name": "ship"}, {"id": 2, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, **annotation}],
    }


def test_coco_polygon_crowd_and_box(tmp_path):
    content = coco(segmentation=[SQUARE], bbox=[1, 2, 10, 6], iscrowd=1)
    content["annotations"].append({"id": 2, "image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 6]})
    (tmp_path / "a.json").write_text(json.dumps(content))
    labels = labels_of(tmp_path / "a.json")
    image = only(labels)
    assert (labels.format_name, labels.classes) == ("coco", ("car", "ship"))  # by category id
    assert image.polygons.tolist() == [SQUARE, SQUARE]
    assert (image.classes, image.difficult.tolist()) == (("ship", "car"), [1, 0])
    assert len(labels.notes) == 2


def test_coco_rotated_angle_is_degrees_counter_clockwise(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(coco(bbox=[6, 5, 10, 6, 90])))
    labels = labels_of(tmp_path / "a.json")
    assert labels.format_name == "coco-rotated"
    assert only(labels).polygons.tolist() == [TURNED_BACK]


def test_yolo_coordinates_are_shares_of_the_image_size(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "P1.txt").write_text("1 0.05 0.2 0.55 0.2 0.55 0.8 0.05 0.8\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [car, 'small ship']  # two\n")
    from rotated_atss.label_formats.records import ReadOptions
    from rotated_atss.label_formats.yolo_obb import read

    options = ReadOptions(size_of=lambda image_id: (20, 10))
    (image,) = read([tmp_path / "labels" / "P1.txt"], options)
    assert image.polygons.tolist() == [SQUARE]
    assert image.classes == ("small ship",)
    with pytest.raises(UserError, match=r"YOLO-OBB needs the size of the image, which is not known .*--images"):
        labels_of(tmp_path)


def test_geojson_ring_is_closed_and_map_coordinates_are_refused(tmp_path):
    corners = np.array(SQUARE).reshape(4, 2).tolist()
    geometry = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    feature = {"type": "Feature", "properties": {"classification": {"name": "ship"}}, "geometry": geometry}
    path = tmp_path / "P1.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    image = only(labels_of(tmp_path))
    assert (image.name, image.classes, image.polygons.tolist()) == ("P1", ("ship",), [SQUARE])
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], "crs": {"type": "name"}}))
    with pytest.raises(UserError, match="coordinates must be in pixels, got a coordinate reference system"):
        labels_of(tmp_path)


def labelstudio_region(kind: str = "rectanglelabels", classes: tuple[str, ...] = ("ship",), **value: object) -> dict:
    return {"type": kind, "original_width": 20, "original_height": 12, "value": {**value, kind: list(classes)}}


def labelstudio_task(*regions: dict, image: str = "P1.png", **members: object) -> dict:
    return {"data": {"image": image}, "annotations": [{"result": list(regions)}], **members}


def test_labelstudio_rotation_is_degrees_clockwise_about_the_first_corner(tmp_path):
    # 45 % of 20 px and 0 % of 12 px: corner (9, 0). The width of 50 % of 20 px points down after a quarter turn.
    quarter_turn = labelstudio_region(x=45, y=0, width=50, height=50, rotation=90)
    unrotated = labelstudio_region(x=5, y=200 / 12, width=50, height=50)
    # corner (4, 2), width 6, height 3: after 30 degrees the second corner is (4 + 6 cos 30, 2 + 6 sin 30), and the
    # fourth (4 - 3 sin 30, 2 + 3 cos 30)
    turned = labelstudio_region(x=20, y=200 / 12, width=30, height=25, rotation=30)
    (tmp_path / "tasks.json").write_text(json.dumps([labelstudio_task(quarter_turn, unrotated, turned)]))
    labels = labels_of(tmp_path)
    image = only(labels)
    assert labels.format_name == "labelstudio"
    assert (image.name, image.size, image.scores, labels.notes) == ("P1.png", (20, 12), None, ())
    assert image.polygons[:2].tolist() == [QUARTER_TURN, SQUARE]
    root = math.sqrt(3)
    assert image.polygons[2] == pytest.approx(
        [4, 2, 4 + 3 * root, 5, 2.5 + 3 * root, 5 + 1.5 * root, 2.5, 2 + 1.5 * root]
    )


@pytest.mark.parametrize(
    "address, name",
    [
        ("/data/upload/3/0a1b2c3d-P1.png", "P1.png"),
        ("/data/local-files/?d=train/images/P1.png", "P1.png"),
        ("https://example.org/a%20b/P1%20c.tif?size=1", "P1 c.tif"),
        ("s3://bucket/0a1b2c3d-P1.png", "0a1b2c3d-P1.png"),  # not an uploaded file: the name is its own
    ],
)
def test_labelstudio_addresses_of_images(tmp_path, address, name):
    (tmp_path / "tasks.json").write_text(json.dumps([labelstudio_task(image=address)]))
    assert only(labels_of(tmp_path)).name == name


def test_labelstudio_annotations_take_precedence_over_predictions(tmp_path):
    box = {"x": 5, "y": 200 / 12, "width": 50, "height": 50, "rotation": 0}
    points = [[5, 200 / 12], [55, 200 / 12], [55, 800 / 12], [5, 800 / 12]]
    polygon = labelstudio_region("polygonlabels", ("car", "bus"), points=points)
    prediction = {"result": [labelstudio_region(**box)], "score": 0.75}
    skipped = {"result": [labelstudio_region(**box)], "was_cancelled": True}
    tasks = [
        labelstudio_task(labelstudio_region(**box), image="P1.png", predictions=[prediction]),
        {
            "data": {"image": "P2.png"},
            "annotations": [{"result": []}, {"result": [polygon, {"type": "choices"}]}, skipped],
        },
        {"data": {"image": "P3.png"}, "annotations": [], "predictions": [prediction]},
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    labels = labels_of(tmp_path)
    assert [image.classes for image in labels.images] == [("ship",), ("car",), ()]
    assert labels.images[1].polygons.tolist() == [SQUARE]
    assert all(image.scores is None for image in labels.images)
    assert labels.notes == (
        "1 task with several annotations: the last one read",
        "1 region with several classes: the first one read",
        "1 region of type choices, neither box nor polygon: left out",
        "1 task without annotations: read as an image without objects",
    )
    for task in tasks:
        task["annotations"] = []
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    first, second, _ = labels_of(tmp_path).images
    assert (first.scores.tolist(), len(second)) == ([0.75], 0)


def test_labelstudio_file_is_what_its_import_reads(dota):
    convert_labels(dota / "dota", dota / "out", "labelstudio", images=dota / "images")
    first, second = json.loads((dota / "out" / "tasks.json").read_text())
    assert (first["data"], second) == (
        {"image": "P1.png"},
        {"data": {"image": "P2.png"}, "annotations": [{"result": []}]},
    )
    box, polygon, turned = first["annotations"][0]["result"]
    assert (box["type"], box["from_name"], box["to_name"]) == ("rectanglelabels", "box", "image")
    assert (box["original_width"], box["original_height"], box["value"]["rectanglelabels"]) == (20, 12, ["ship"])
    assert [box["value"][key] for key in ("x", "y", "width", "height", "rotation")] == pytest.approx(
        [5, 200 / 12, 50, 50, 0]
    )
    assert [turned["value"][key] for key in ("x", "y", "width", "height", "rotation")] == pytest.approx(
        [45, 0, 50, 50, 90]
    )
    assert (polygon["type"], polygon["from_name"]) == ("polygonlabels", "polygon")
    assert polygon["value"]["points"][0] == pytest.approx([3.3 / 20 * 100, 0.1 / 12 * 100])
    config = (dota / "out" / "labeling_config.xml").read_text()
    assert '<RectangleLabels name="box" toName="image" canRotate="true">' in config
    assert config.count('<Label value="ship"/>') == 2


def test_labelstudio_holds_detections_rounded_to_hundredths_as_rectangles(dota):
    boxes = np.array([[8.0, 6, 9, 3, 0.3], [10, 5, 6, 2, -1.1]])
    polygons = boxes_to_polygons(boxes).round(2)
    (dota / "task1").mkdir()
    lines = [f"P1 0.5 {' '.join(map(str, polygon))}\n" for polygon in polygons.tolist()]
    (dota / "task1" / "Task1_ship.txt").write_text("".join(lines))
    convert_labels(dota / "task1", dota / "out", "labelstudio", images=dota / "images")
    first = json.loads((dota / "out" / "tasks.json").read_text())[0]
    assert [region["type"] for region in first["predictions"][0]["result"]] == ["rectanglelabels"] * 2
    assert labels_of(dota / "out").images[0].polygons == pytest.approx(polygons, abs=0.02)


def test_boxes_keep_the_first_corner_of_their_polygon():
    polygons = np.array([SQUARE, QUARTER_TURN, TURNED_BACK])
    result = polygons_to_boxes(polygons)
    assert result.boxes[:, :4] == pytest.approx(np.array([[6, 5, 10, 6]] * 3))
    assert result.boxes[:, 4] == pytest.approx([0, math.pi / 2, -math.pi / 2])
    assert result.shifts == pytest.approx([0, 0, 0], abs=1e-9)
    assert not result.is_counterclockwise.any()
    counter_clockwise = polygons_to_boxes(np.array([[1.0, 2, 1, 8, 11, 8, 11, 2]]))
    assert counter_clockwise.is_counterclockwise.tolist() == [True]
    assert polygons_to_boxes(np.array([[0.0, 0, 10, 0, 10, 6, 3, 6]])).shifts == pytest.approx([3])


DOTA = """imagesource:GoogleEarth
gsd:0.5
1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0 ship 1
3.3 0.1 9.7 4.05 8.25 11.2 2.125 9.0 plane 0
9.0 0.0 9.0 10.0 3.0 10.0 3.0 0.0 ship 2
"""


@pytest.fixture
def dota(tmp_path, write_noise):
    (tmp_path / "dota").mkdir()
    (tmp_path / "dota" / "P1.txt").write_text(DOTA)
    (tmp_path / "dota" / "P2.txt").write_text("")
    write_noise(tmp_path / "images" / "P1.png", 20, 12)
    write_noise(tmp_path / "images" / "P2.png", 7, 9)
    return tmp_path


@pytest.mark.parametrize("name", WRITTEN)
def test_round_trip_from_dota(dota, name):
    images = dota / "images"
    convert_labels(dota / "dota", dota / "there", name, images=images)
    result = convert_labels(dota / "there", dota / "back", "dota", images=images)
    assert result.source_format == name
    before, after = (labels_of(dota / folder).images for folder in ("dota", "back"))
    assert [image.name for image in after] == ["P1", "P2"]
    assert after[0].classes == ("ship", "plane", "ship")
    exact = [0, 2] if FORMATS[name].rectangles_only else [0, 1, 2]  # rectangles are exact in every format
    assert after[0].polygons[exact].tolist() == before[0].polygons[exact].tolist()
    expected = np.minimum([1, 0, 2], FORMATS[name].max_difficult)
    assert after[0].difficult.tolist() == expected.tolist()
    assert len(after[1]) == 0


@pytest.mark.parametrize("name", [name for name in WRITTEN if FORMATS[name].stores_scores])
def test_round_trip_of_detections(dota, name):
    (dota / "task1").mkdir()
    (dota / "task1" / "Task1_ship.txt").write_text(f"P2 0.5 {' '.join(map(str, SQUARE))}\n".replace("11.0", "6.0"))
    (dota / "task1" / "Task1_plane.txt").write_text(f"P1 0.9375 {' '.join(map(str, QUARTER_TURN))}\n")
    convert_labels(dota / "task1", dota / "there", name, images=dota / "images")
    convert_labels(dota / "there", dota / "back", "dota", images=dota / "images")
    for file in ("Task1_ship.txt", "Task1_plane.txt"):
        expected, actual = ((dota / folder / file).read_text().split() for folder in ("task1", "back"))
        assert actual[0] == expected[0]
        assert list(map(float, actual[1:])) == list(map(float, expected[1:]))


def test_yolo_files_are_what_ultralytics_reads(dota):
    result = convert_labels(dota / "dota", dota / "out", "yolo-obb", images=dota / "images", classes=("ship", "plane"))
    first, second, _ = (dota / "out" / "labels" / "P1.txt").read_text().splitlines()
    assert first.split()[0] == "0"
    assert second.split()[0] == "1"
    assert list(map(float, first.split()[1:])) == pytest.approx([0.05, 1 / 6, 0.55, 1 / 6, 0.55, 2 / 3, 0.05, 2 / 3])
    assert (dota / "out" / "data.yaml").read_text().endswith('names:\n  0: "ship"\n  1: "plane"\n')
    assert "2 difficult flags: left out" in result.notes


def test_coco_file_is_what_detectron2_reads(dota):
    convert_labels(dota / "dota", dota / "out", "coco-rotated", images=dota / "images")
    content = json.loads((dota / "out" / "annotations.json").read_text())
    assert content["images"][0] == {"id": 1, "file_name": "P1.png", "width": 20, "height": 12}
    assert content["categories"] == [{"id": 1, "name": "plane"}, {"id": 2, "name": "ship"}]
    assert content["annotations"][0]["bbox"] == pytest.approx([6, 5, 10, 6, 0])
    assert content["annotations"][2]["bbox"] == pytest.approx([6, 5, 10, 6, -90])  # clockwise is negative

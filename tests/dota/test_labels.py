"""Label files: every accepted form, error messages, round trips."""

import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.labels import read_labels, write_labels
from rotated_atss.errors import UserError

LINE = "1 2 11 2 11 8 1 8"


def write_and_read(tmp_path, text, **kwargs):
    path = tmp_path / "P1.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, **kwargs)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_header_byte_order_mark_and_line_ends_are_accepted(tmp_path, newline, bom):
    lines = ["imagesource:GoogleEarth", "gsd:null", f"{LINE} ship 1", f"{LINE} plane", "", f" {LINE} ship 2  "]
    labels = write_and_read(tmp_path, bom + newline.join(lines).encode(), classes=CLASSES["v1.0"])
    assert labels.names == ("ship", "plane", "ship")
    assert labels.difficult.tolist() == [1, 0, 2]
    assert labels.line_numbers.tolist() == [3, 4, 6]
    assert labels.header == ("imagesource:GoogleEarth", "gsd:null")
    assert labels.polygons.shape == (3, 8)
    assert labels.polygons[0].tolist() == [1, 2, 11, 2, 11, 8, 1, 8]


@pytest.mark.parametrize("line", ["acquisition dates:2017-03-01", "Acquisition Dates : 2017", "gsd : 0.5", "gsd :0.5"])
def test_header_line_with_spaces_before_its_colon_is_accepted(tmp_path, line):
    labels = write_and_read(tmp_path, f"{line}\n{LINE} ship 0\n")
    assert labels.header == (line,)
    assert labels.names == ("ship",)


@pytest.mark.parametrize("text", ["", "\n\n", "imagesource:GoogleEarth\ngsd:0.1\n"])
def test_file_without_objects(tmp_path, text):
    labels = write_and_read(tmp_path, text)
    assert len(labels) == 0
    assert labels.polygons.shape == (0, 8)


def test_objects_outside_the_image_or_without_area_are_kept(tmp_path):
    labels = write_and_read(tmp_path, "-3 -4 9 -4 9 2 -3 2 ship 0\n5 5 5 5 5 5 5 5 ship 0\n")
    assert labels.polygons.min() == -4
    assert len(labels) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4 5 6 7 ship 0", "'ship' is not a number"),
        ("1 2 3 4 5 6 7 8", "9 or 10 fields, got 8"),
        (f"{LINE} large vehicle 0", "9 or 10 fields, got 11"),
        (f"{LINE} ship maybe", "got 'maybe'"),
        (f"{LINE} ship -1", "got '-1'"),
        ("1 2 nan 4 5 6 7 8 ship 0", "'nan' is not finite"),
        ("1 2 1e999 4 5 6 7 8 ship 0", "'1e999' is not finite"),
        ("1,2,3,4,5,6,7,8,ship,0", "separated by spaces"),
        ("1 2 3 4 5 6 7 1e300 ship 0", "'1e300' is too large"),
        (f"{LINE} Boeing 737 1", "is 'Boeing 737' a class name"),
        (f"{LINE} Small Car 0", "is 'Small Car' a class name"),
        (f"{LINE} Small Car", "is 'Small Car' a class name"),
        (f"{LINE} nan 0", "must not be a number, got 'nan'"),
        (f"{LINE} inf", "must not be a number, got 'inf'"),
        (f"{LINE} 1_0 0", "must not be a number, got '1_0'"),
    ],
)
def test_malformed_line_raises_with_path_and_line(tmp_path, line, message):
    with pytest.raises(UserError, match=message) as caught:
        write_and_read(tmp_path, f"gsd:1\n{LINE} ship 0\n{line}\n")
    assert "P1.txt:3: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("shp", "nearest known class: 'ship'"),
        ("large_vehicle", "'large-vehicle'"),
        ("helipad", "DOTA v2.0"),
        ("qqqqq", "plane"),
    ],
)
def test_unknown_class_raises_with_a_hint(tmp_path, name, hint):
    with pytest.raises(UserError, match=f"P1.txt:1: unknown class '{name}'.*{hint}"):
        write_and_read(tmp_path, f"{LINE} {name} 0\n", classes=CLASSES["v1.0"])


def test_a_class_of_dota_among_classes_of_your_own_is_no_reason_for_another_version(tmp_path):
    with pytest.raises(UserError, match=r"unknown class 'large-vehicle' \(known classes: plane, ship\)"):
        write_and_read(tmp_path, f"{LINE} large-vehicle 0\n", classes=("plane", "ship"))


@pytest.mark.parametrize("classes", [("Small Car", "Boeing 737"), ("Small-Car", "Boeing-737")])
def test_class_names_with_spaces_are_matched(tmp_path, classes):
    lines = f"{LINE} Small Car\n{LINE} Small Car 1\n{LINE} Boeing 737\n{LINE} Small-Car 2\n"
    labels = write_and_read(tmp_path, lines, classes=classes)
    assert labels.names == ("Small-Car", "Small-Car", "Boeing-737", "Small-Car")
    assert labels.difficult.tolist() == [0, 1, 0, 2]


def test_a_difficult_flag_is_not_joined_to_a_known_name(tmp_path):
    labels = write_and_read(tmp_path, f"{LINE} Type 1\n", classes=("Type", "Type-1"))
    assert (labels.names, labels.difficult.tolist()) == (("Type",), [1])
    assert write_and_read(tmp_path, f"{LINE} Type 1\n", classes=("Type-1", "Type-2")).names == ("Type-1",)


def test_unknown_class_is_skipped_on_request(tmp_path):
    labels = write_and_read(tmp_path, f"{LINE} shp 0\n{LINE} ship 0\n", classes=CLASSES["v1.0"], skip_unknown=True)
    assert labels.names == ("ship",)


def test_written_labels_are_read_back(tmp_path):
    polygons = np.random.default_rng(0).normal(size=(5, 8)) * 1000
    write_labels(tmp_path / "a.txt", polygons, ["ship"] * 5, [0, 1, 2, 0, 1], header=["gsd:null"])
    labels = read_labels(tmp_path / "a.txt")
    assert np.array_equal(labels.polygons, polygons)
    assert labels.difficult.tolist() == [0, 1, 2, 0, 1]
    assert labels.header == ("gsd:null",)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_real_label_files(shared_data):
    files = sorted(shared_data("dota_sample", "labelTxt").glob("*.txt"))
    counts = {path.stem: len(read_labels(path, CLASSES["v1.0"])) for path in files}
    assert len(counts) == 8
    assert counts["P0706"] == 536
    assert counts["P0004"] == 107


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_labels(tmp_path / "absent.txt")

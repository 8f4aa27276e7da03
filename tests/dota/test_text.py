"""DOTA text, with the traps that real files hold."""

import numpy as np
import pytest

from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import (
    Detections,
    list_task1_files,
    read_detections,
    read_task1_folder,
    write_detections,
)
from rotated_atss.dota.folders import list_images, pair_images_and_labels
from rotated_atss.dota.labels import read_labels, write_labels
from rotated_atss.errors import UserError

LINE = "1 2 11 2 11 8 1 8"


def labels_of(tmp_path, text, **kwargs):
    path = tmp_path / "P1.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, **kwargs)


def detections_of(tmp_path, text):
    path = tmp_path / "Task1_ship.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_detections(path)


# -- labels


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_labels_with_header_and_any_line_end(tmp_path, newline, bom):
    lines = ["imagesource:GoogleEarth", "gsd:null", f"{LINE} ship 1", f"{LINE} plane", "", f" {LINE} ship 2  "]
    labels = labels_of(tmp_path, bom + newline.join(lines).encode(), classes=CLASSES["v1.0"])
    assert labels.names == ("ship", "plane", "ship")
    assert labels.difficult.tolist() == [1, 0, 2]
    assert labels.line_numbers.tolist() == [3, 4, 6]
    assert labels.header == ("imagesource:GoogleEarth", "gsd:null")
    assert labels.polygons.shape == (3, 8)
    assert labels.polygons[0].tolist() == [1, 2, 11, 2, 11, 8, 1, 8]


@pytest.mark.parametrize("text", ["", "\n\n", "imagesource:GoogleEarth\ngsd:0.1\n"])
def test_label_file_without_objects(tmp_path, text):
    labels = labels_of(tmp_path, text)
    assert len(labels) == 0
    assert labels.polygons.shape == (0, 8)


def test_labels_outside_the_image_and_of_zero_area_are_kept(tmp_path):
    labels = labels_of(tmp_path, "-3 -4 9 -4 9 2 -3 2 ship 0\n5 5 5 5 5 5 5 5 ship 0\n")
    assert labels.polygons.min() == -4
    assert len(labels) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 2 3 4 5 6 7 ship 0", "'ship' is no number"),
        ("1 2 3 4 5 6 7 8", "this one has 8"),
        (f"{LINE} large vehicle 0", "this one has 11"),
        (f"{LINE} ship maybe", "not 'maybe'"),
        (f"{LINE} ship -1", "not '-1'"),
        ("1 2 nan 4 5 6 7 8 ship 0", "'nan' is not finite"),
        ("1 2 1e999 4 5 6 7 8 ship 0", "'1e999' is not finite"),
        ("1,2,3,4,5,6,7,8,ship,0", "separated by spaces"),
    ],
)
def test_malformed_label_line_is_named(tmp_path, line, words):
    with pytest.raises(UserError, match=words) as caught:
        labels_of(tmp_path, f"gsd:1\n{LINE} ship 0\n{line}\n")
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
def test_unknown_class_is_named_with_a_hint(tmp_path, name, hint):
    with pytest.raises(UserError, match=f"P1.txt:1: unknown class '{name}'.*{hint}"):
        labels_of(tmp_path, f"{LINE} {name} 0\n", classes=CLASSES["v1.0"])


def test_unknown_class_may_be_skipped(tmp_path):
    labels = labels_of(tmp_path, f"{LINE} shp 0\n{LINE} ship 0\n", classes=CLASSES["v1.0"], skip_unknown=True)
    assert labels.names == ("ship",)


ODD_LINES = [
    f"{LINE} ship", f"{LINE} ship 12", f"{LINE} ship -1", f"{LINE} ship x", f"{LINE}", "gsd:0.5", "imagesource : here",
    "1 2 nan 2 11 8 1 8 ship 0", "1e1 2 3 4 5 6 7 8 ship 0", "1 2 x 2 11 8 1 8 ship 0", f"{LINE} schiff 0",
    f"{LINE} \u00e4 0", f"{LINE} ship 0 0", "\t", f"\t{LINE}\tship\t2 \r", "acquisition dates:2016-05-04", "x",
]  # fmt: skip


@pytest.mark.parametrize("skip_unknown", [False, True])
@pytest.mark.parametrize("head", ["", "imagesource:GoogleEarth\ngsd:null\n", "\ufeffGSD:0.1\r\n", "gsd: 0.1\n", "gsd:"])
@pytest.mark.parametrize("odd", ["", *ODD_LINES])
def test_labels_read_in_bulk_are_those_read_line_by_line(tmp_path, monkeypatch, head, odd, skip_unknown):
    rng = np.random.default_rng(0)
    lines = [
        f"{' '.join(map(str, np.round(row, 2)))} ship {flag}" for flag, row in enumerate(rng.normal(0, 99, (3, 8)))
    ]
    found = []
    for limit in (0, 1 << 30):
        monkeypatch.setattr("rotated_atss.dota.labels.WORTH_IT", limit)
        try:
            labels = labels_of(tmp_path, head + "\n".join([*lines, odd, *lines]), classes=("ship",),
                               skip_unknown=skip_unknown)  # fmt: skip
            columns = (labels.polygons, labels.difficult, labels.line_numbers)
            told = (*((each.shape, each.dtype, each.tolist()) for each in columns), labels.names, labels.header)
        except UserError as error:
            told = str(error)
        found.append(told)
    assert found[0] == found[1]


def test_plain_labels_are_read_in_bulk(tmp_path, monkeypatch):
    monkeypatch.setattr("rotated_atss.dota.labels._read_lines", None)
    labels = labels_of(tmp_path, "imagesource:GoogleEarth\ngsd:0.5\n" + f"{LINE} ship 1\n" * 200, classes=("ship",))
    assert len(labels) == 200
    assert labels.line_numbers.tolist() == list(range(3, 203))


def test_labels_survive_writing(tmp_path):
    polygons = np.random.default_rng(0).normal(size=(5, 8)) * 1000
    write_labels(tmp_path / "a.txt", polygons, ["ship"] * 5, [0, 1, 2, 0, 1], header=["gsd:null"])
    labels = read_labels(tmp_path / "a.txt")
    assert np.array_equal(labels.polygons, polygons)
    assert labels.difficult.tolist() == [0, 1, 2, 0, 1]
    assert labels.header == ("gsd:null",)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_real_labels(shared_data):
    files = sorted(shared_data("dota_sample", "labelTxt").glob("*.txt"))
    counts = {path.stem: len(read_labels(path, CLASSES["v1.0"])) for path in files}
    assert len(counts) == 8
    assert counts["P0706"] == 536
    assert counts["P0004"] == 107


# -- detections


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_detections_as_written(tmp_path, newline):
    lines = [f"P2 0.900 {LINE}", f"P1 1 {LINE}", "", "P2  0.9 1 2 11.25 2 11 8 -1e1 8  "]
    found = detections_of(tmp_path, newline.join(lines))
    assert found.images == ("P2", "P1")
    assert found.image_ids.tolist() == ["P2", "P1", "P2"]
    assert found.score_texts.tolist() == [b"0.900", b"1", b"0.9"]
    assert found.scores.tolist() == [0.9, 1.0, 0.9]
    assert found.polygons[2].tolist() == [1, 2, 11.25, 2, 11, 8, -10, 8]


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n"])
def test_no_detections(tmp_path, text):
    found = detections_of(tmp_path, text)
    assert len(found) == 0
    assert found.polygons.shape == (0, 8)
    assert found.image_ids.shape == (0,)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"P1 0.5 {LINE} 9", "this one has 11"),
        ("P1 0.5 1 2 3", "this one has 5"),
        (f"P1 abc {LINE}", "'abc' is no number"),
        ("P1 0.5 1 2 inf 2 11 8 1 8", "'inf' is not finite"),
        (f"P1 nan {LINE}", "'nan' is not finite"),
        ("P1 0.5 1 2 1-1 2 11 8 1 8", "'1-1' is no number"),
        ("P1 0.5 1 2 - 2 11 8 1 8", "'-' is no number"),
        ("P1 0.5 1 2 . 2 11 8 1 8", "'.' is no number"),
        ("P1 0.5 1 2 1.2.3 2 11 8 1 8", "'1.2.3' is no number"),
        ("P1 0.5 1 2 ......... 2 11 8 1 8", r"'\.+' is no number"),
    ],
)
def test_malformed_detection_line_is_named(tmp_path, line, words):
    with pytest.raises(UserError, match=words) as caught:
        detections_of(tmp_path, f"P1 0.5 {LINE}\n\n{line}\nP1 0.5 {LINE}\n")
    assert "Task1_ship.txt:3: " in str(caught.value)


def test_every_kind_of_number_is_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(1)
    kinds = [
        *(f"{value:.{digits}f}" for value in rng.normal(size=200) * 3000 for digits in (0, 1, 3, 8, 12)),
        *(repr(value) for value in (rng.normal(size=200) * 3000).tolist()),
        *(f"{value:e}" for value in rng.normal(size=100)),
        *("5.", ".5", "-.5", "+1.5", "-0.0", "007", "-0", "123456789012345", "0.00000000000001", "1_0"),
    ]
    kinds += ["0"] * (-len(kinds) % 8)
    rows = np.array(kinds).reshape(-1, 8)
    found = detections_of(tmp_path, "".join(f"P 0.1 {' '.join(row)}\n" for row in rows))
    expected = np.array([float(kind) for kind in kinds]).reshape(-1, 8)
    assert np.array_equal(found.polygons, expected)
    assert np.array_equal(np.signbit(found.polygons), np.signbit(expected))


@pytest.mark.parametrize("decimals", [0, 1, 2, 5, None])
def test_detections_survive_writing(tmp_path, decimals):
    rng = np.random.default_rng(2)
    polygons = rng.uniform(-50, 20000, (100, 8))
    polygons = polygons if decimals is None else np.round(polygons, decimals)
    scores = rng.uniform(size=100)
    ids = [f"P{number:04d}" for number in rng.integers(0, 9, 100)]
    write_detections(tmp_path / "Task1_ship.txt", Detections.from_ids(ids, scores, polygons))
    found = read_detections(tmp_path / "Task1_ship.txt")
    assert found.image_ids.tolist() == ids
    assert np.array_equal(found.scores, scores)
    assert np.array_equal(found.polygons, polygons)


def test_scores_are_written_as_read(tmp_path):
    text = "P1 0.500 1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0\nP1 5e-1 1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0\n"
    write_detections(tmp_path / "out.txt", detections_of(tmp_path, text))
    assert (tmp_path / "out.txt").read_text() == text


def test_task1_folder(tmp_path):
    (tmp_path / "Task1_ship.txt").write_text(f"P1 0.5 {LINE}\n")
    (tmp_path / "notes.txt").write_text("not a detection file")
    assert list(list_task1_files(tmp_path)) == ["ship"]
    found = read_task1_folder(tmp_path, ("plane", "ship"))
    assert [len(found[name]) for name in ("plane", "ship")] == [0, 1]
    with pytest.raises(UserError, match="unknown class 'ship'"):
        read_task1_folder(tmp_path, ("plane",))
    with pytest.raises(UserError, match="no Task1_<class>.txt"):
        list_task1_files(tmp_path.parent)


# -- folders


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_are_sorted(tmp_path):
    images = touch(tmp_path / "images", "P2.png", "P10.JPG", "P1.tif", "notes.md", "._P1.png")
    labels = touch(tmp_path / "labels", "P1.txt", "P10.txt", "P2.txt", "._P1.txt")
    pairs = pair_images_and_labels(images, labels)
    assert [(image.name, label.name) for image, label in pairs] == [
        ("P1.tif", "P1.txt"),
        ("P10.JPG", "P10.txt"),
        ("P2.png", "P2.txt"),
    ]
    assert [label for _, label in pair_images_and_labels(images, None)] == [None] * 3


def test_image_without_label_and_label_without_image(tmp_path):
    images = touch(tmp_path / "images", "P1.png", "P2.png", "P3.png")
    labels = touch(tmp_path / "labels", "P1.txt")
    with pytest.raises(UserError, match=r"no label file for the image P2.png and 1 more"):
        pair_images_and_labels(images, labels)
    touch(labels, "P2.txt", "P3.txt", "P4.txt")
    with pytest.raises(UserError, match=r"no image for the label file P4.txt"):
        pair_images_and_labels(images, labels)


def test_folders_that_are_not_what_they_should_be(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(UserError, match="no images here"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="P1.jpg and P1.png"):
        list_images(touch(tmp_path / "images", "P1.png", "P1.jpg"))
    with pytest.raises(UserError, match="no such file"):
        read_labels(tmp_path / "absent.txt")

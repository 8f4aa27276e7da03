"""What the writers write, the readers read back, for any content."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results, to_coco_results
from rotated_atss.dota.detections import Detections, format_detections, parse_detections
from rotated_atss.dota.labels import format_labels, parse_labels
from rotated_atss.errors import UserError, printable

NAMES = st.text("Pa0_-.+(é船", min_size=1, max_size=12)
CLASSES = st.text("abz-éß", min_size=1, max_size=8).filter(lambda name: name not in ("nan", "inf") and name.strip("-"))
NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-(10**6), 10**6).map(float), st.floats(-1, 1), st.just(1e14))
TOKENS = (b"1", b"2.5", b"-3", b" ", b"\n", b"ship", b"0", b"nan", b"1e9", b"\r", b"\xff", b"\x00", b",", b"_")
BYTES = st.lists(st.sampled_from(TOKENS), max_size=60).map(b"".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("coco")


def polygons_of(count):
    return arrays.arrays(np.float64, (count, 8), elements=NUMBERS)


@given(st.data())
def test_labels(data):
    count = data.draw(st.integers(1, 8))
    polygons = data.draw(polygons_of(count))
    polygons[:, 0] = np.abs(polygons[:, 0]) + 2  # not all between 0 and 1, which are no pixels
    names = data.draw(st.lists(CLASSES, min_size=count, max_size=count))
    difficult = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    read = parse_labels(format_labels(polygons, names, difficult), "P1.txt")
    assert np.array_equal(read.polygons, polygons)
    assert read.names == tuple(names)
    assert read.difficult.tolist() == difficult


@given(st.data())
def test_detections(data):
    count = data.draw(st.integers(0, 8))
    ids = data.draw(st.lists(NAMES, min_size=count, max_size=count))
    scores = data.draw(arrays.arrays(np.float64, count, elements=st.floats(0, 1)))
    written = Detections.from_ids(ids, scores, data.draw(polygons_of(count)))
    read = parse_detections(format_detections(written), "Task1_ship.txt")
    assert read.image_ids.tolist() == ids
    assert np.array_equal(read.scores, written.scores)
    assert np.array_equal(read.polygons, written.polygons)


@given(
    boxes=arrays.arrays(np.float64, (5, 4), elements=st.floats(-1e4, 1e4)),
    scores=st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
)
def test_coco_results(boxes, scores, folder):
    images = [{"id": 7, "file_name": "a.png", "width": 64, "height": 64}]
    categories = [{"id": 3, "name": "ship"}]
    (folder / "i.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": []}))
    results = to_coco_results(7, boxes, np.array(scores, np.float32), np.zeros(5, int), [3])
    (folder / "r.json").write_text(json.dumps(results))
    assert read_results(folder / "r.json", read_instances(folder / "i.json")) == results


@given(BYTES)
def test_bytes_of_any_kind_are_read_or_refused_in_one_line(data):
    for parse in (parse_labels, parse_detections):
        message = "a.txt"
        try:
            parse(data, "a.txt")
        except UserError as error:
            message = str(error)
        assert message.startswith("a.txt")
        assert message.isprintable()


@given(st.text(max_size=300), st.integers(10, 200))
def test_messages_are_one_printable_line(text, length):
    line = printable(text, length)
    assert line.isprintable()
    assert printable(line, 10**6) == line or "  " in line

"""Task1 detection files: every accepted form, error messages, round trips."""

import numpy as np
import pytest

from rotated_atss.dota.detections import (
    Detections,
    list_task1_files,
    read_detections,
    read_task1_folder,
    write_detections,
)
from rotated_atss.errors import UserError

LINE = "1 2 11 2 11 8 1 8"


def write_and_read(tmp_path, text):
    path = tmp_path / "Task1_ship.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_detections(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_columns_of_a_file(tmp_path, newline):
    lines = [f"P2 0.900 {LINE}", f"P1 1 {LINE}", "", "P2  0.9 1 2 11.25 2 11 8 -1e1 8  "]
    detections = write_and_read(tmp_path, newline.join(lines))
    assert detections.images == ("P2", "P1")
    assert detections.image_ids.tolist() == ["P2", "P1", "P2"]
    assert detections.score_texts.tolist() == [b"0.900", b"1", b"0.9"]
    assert detections.scores.tolist() == [0.9, 1.0, 0.9]
    assert detections.polygons[2].tolist() == [1, 2, 11.25, 2, 11, 8, -10, 8]


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n"])
def test_file_without_detections(tmp_path, text):
    detections = write_and_read(tmp_path, text)
    assert len(detections) == 0
    assert detections.polygons.shape == (0, 8)
    assert detections.image_ids.shape == (0,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"P1 0.5 {LINE} 9", "10 fields, got 11"),
        ("P1 0.5 1 2 3", "10 fields, got 5"),
        (f"P1 abc {LINE}", "'abc' is not a number"),
        ("P1 0.5 1 2 inf 2 11 8 1 8", "'inf' is not finite"),
        (f"P1 nan {LINE}", "'nan' is not finite"),
        ("P1 0.5 1 2 1e300 2 11 8 1 8", "'1e300' is too large"),
        ("P1 0.5 1 2 -2e15 2 11 8 1 8", "'-2e15' is too large"),
        ("P1 0.5 1 2 1-1 2 11 8 1 8", "'1-1' is not a number"),
        ("P1 0.5 1 2 - 2 11 8 1 8", "'-' is not a number"),
        ("P1 0.5 1 2 . 2 11 8 1 8", "'.' is not a number"),
        ("P1 0.5 1 2 1.2.3 2 11 8 1 8", "'1.2.3' is not a number"),
        ("P1 0.5 1 2 ......... 2 11 8 1 8", r"'\.+' is not a number"),
    ],
)
def test_malformed_line_raises_with_path_and_line(tmp_path, line, message):
    with pytest.raises(UserError, match=message) as caught:
        write_and_read(tmp_path, f"P1 0.5 {LINE}\n\n{line}\nP1 0.5 {LINE}\n")
    assert "Task1_ship.txt:3: " in str(caught.value)


def test_numbers_equal_those_of_float_bit_for_bit(tmp_path):
    rng = np.random.default_rng(1)
    texts = [
        *(f"{value:.{digits}f}" for value in rng.normal(size=200) * 3000 for digits in (0, 1, 3, 8, 12)),
        *(repr(value) for value in (rng.normal(size=200) * 3000).tolist()),
        *(f"{value:e}" for value in rng.normal(size=100)),
        *("5.", ".5", "-.5", "+1.5", "-0.0", "007", "-0", "123456789012345", "0.00000000000001"),
    ]
    texts += ["0"] * (-len(texts) % 8)
    rows = np.array(texts).reshape(-1, 8)
    detections = write_and_read(tmp_path, "".join(f"P 0.1 {' '.join(row)}\n" for row in rows))
    expected = np.array([float(text) for text in texts]).reshape(-1, 8)
    assert np.array_equal(detections.polygons, expected)
    assert np.array_equal(np.signbit(detections.polygons), np.signbit(expected))


@pytest.mark.parametrize("decimals", [0, 1, 2, 5, None])
def test_written_detections_are_read_back(tmp_path, decimals):
    rng = np.random.default_rng(2)
    polygons = rng.uniform(-50, 20000, (100, 8))
    polygons = polygons if decimals is None else np.round(polygons, decimals)
    scores = rng.uniform(size=100)
    ids = [f"P{number:04d}" for number in rng.integers(0, 9, 100)]
    write_detections(tmp_path / "Task1_ship.txt", Detections.from_ids(ids, scores, polygons))
    detections = read_detections(tmp_path / "Task1_ship.txt")
    assert detections.image_ids.tolist() == ids
    assert np.array_equal(detections.scores, scores)
    assert np.array_equal(detections.polygons, polygons)


def test_scores_are_written_as_read(tmp_path):
    text = "P1 0.500 1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0\nP1 5e-1 1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0\n"
    write_detections(tmp_path / "out.txt", write_and_read(tmp_path, text))
    assert (tmp_path / "out.txt").read_text() == text


def test_task1_folder(tmp_path):
    (tmp_path / "Task1_ship.txt").write_text(f"P1 0.5 {LINE}\n")
    (tmp_path / "notes.txt").write_text("not a detection file")
    assert list(list_task1_files(tmp_path)) == ["ship"]
    detections = read_task1_folder(tmp_path, ("plane", "ship"))
    assert [len(detections[name]) for name in ("plane", "ship")] == [0, 1]
    with pytest.raises(UserError, match="unknown class 'ship'"):
        read_task1_folder(tmp_path, ("plane",))


def test_folder_without_task1_files(tmp_path):
    with pytest.raises(UserError, match=r"no Task1_<class>\.txt in this folder$"):
        list_task1_files(tmp_path)
    (tmp_path / "detections").mkdir()  # as predict writes them
    (tmp_path / "detections" / "Task1_ship.txt").touch()
    with pytest.raises(UserError, match=r"no Task1_<class>\.txt in this folder \(choose its subfolder detections\)"):
        list_task1_files(tmp_path)

"""Input that cannot be meant: other label formats, spaces in names, control characters, long fields, damaged zips."""

import os
import random
import zipfile

import numpy as np
import pytest

from rotated_atss.dota import submission_check
from rotated_atss.dota.detections import Detections, format_detections, list_task1_files, parse_detections
from rotated_atss.dota.folders import check_image_name, list_images, list_label_files, skipped_images
from rotated_atss.dota.labels import format_labels, read_labels
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError, printable

SQUARE = "20 20 80 20 80 60 20 60"


def fault(tmp_path, text, classes=None):
    path = tmp_path / "P1.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_labels(path, classes)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    "line, name",
    [
        ("0 0.1 0.1 0.4 0.1 0.4 0.3 0.1 0.3", "YOLO-OBB"),
        ("2 0.51 0.5125 0.71 0.51 0.7 0.6 0.52 0.445238", "YOLO-OBB"),
        ("0 0.5 0.5 0.25 0.25", "YOLO:"),
        ("0 0.1 0.1 0.4 0.1 0.4 0.3", "YOLO segmentation"),
        ("20,20,80,20,80,60,20,60,ship,0", "CSV"),
        ("20, 20, 80, 20, 80, 60, 20, 60, ship", "CSV"),
        ('{"shapes": []}', "JSON"),
        ("<annotation>", "XML"),
        ("ship 20 20 80 20 80 60 20 60", "class name first"),
    ],
)
def test_other_formats_are_recognized_in_one_line(tmp_path, line, name):
    message = fault(tmp_path, line + "\n")
    assert message.startswith(":1: ")
    assert name in message
    assert "write x1 y1 x2 y2 x3 y3 x4 y4 name difficult, in pixels" in message
    assert message.endswith("; rotated-atss convert-labels converts YOLO-OBB)") == (name == "YOLO-OBB")


@pytest.mark.parametrize("name", ["3", "0.3", "1e5"])
def test_a_number_is_no_class_name(tmp_path, name):
    assert f"the class name must not be a number, got '{name}'" in fault(tmp_path, f"{SQUARE} {name} 0")


def test_shares_of_the_image_size_are_no_pixels(tmp_path):
    message = fault(tmp_path, "0.1 0.1 0.4 0.1 0.4 0.3 0.1 0.3 ship 0\n")
    assert message.startswith(": coordinates must be pixels, but all lie between 0 and 1")


@pytest.mark.parametrize("flag", ["3", "737", "-1", "12345678901234567890", "9" * 400, "x", "1.0"])
def test_other_difficult_flags_are_refused_and_the_space_is_named(tmp_path, flag):
    message = fault(tmp_path, f"{SQUARE} Boeing {flag}")
    assert message.startswith(":1: the difficult flag must be 0, 1 or 2, got '")
    assert "a class name? Write it without spaces, or name it in --classes" in message


def test_class_names_with_spaces_are_matched_and_returned_with_hyphens(tmp_path):
    path = tmp_path / "P1.txt"
    path.write_text(f"{SQUARE} Boeing 737\n{SQUARE} Small Car 1\n{SQUARE} Type 2\n{SQUARE} ship 2\n")
    labels = read_labels(path, ["Boeing 737", "Small Car", "Type 2", "ship"])
    assert labels.names == ("Boeing-737", "Small-Car", "Type-2", "ship")
    assert labels.difficult.tolist() == [0, 1, 0, 2]


def test_writers_refuse_what_readers_refuse():
    square = np.array([SQUARE.split()], float)
    for name in ("Small Car", "7", "", "a\tb"):
        with pytest.raises(UserError, match="cannot be a class name of DOTA text"):
            format_labels(square, [name], [0])
    with pytest.raises(UserError, match="the image name 'harbor 1' has a space"):
        format_detections(Detections.from_ids(["harbor 1"], np.array([0.5]), square))


# -- image names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["harbor 1", "a\tb", "a\nb", "a\x1b[31m", "a\udce9", "a\u00a0b", "x" * 600, ""])
def test_names_that_cannot_be_image_ids(name):
    with pytest.raises(UserError) as caught:
        check_image_name(name, "images")
    assert str(caught.value).isprintable()


def test_image_names_are_checked_where_images_are_listed(tmp_path):
    (tmp_path / "harbor 1.png").touch()
    with pytest.raises(UserError, match="the image name 'harbor 1' has a space"):
        list_images(tmp_path)


@pytest.mark.parametrize("pair", [("P1.png", "P1.jpg"), ("P1.png", "p1.PNG")])
def test_two_images_of_one_name_are_refused(tmp_path, pair):
    for name in pair:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="two images have the same name"):
        list_images(tmp_path)


def test_files_of_other_image_formats_are_named(tmp_path):
    for name in ("a.webp", "b.GIF", "c.png", "d.txt", ".e.webp"):
        (tmp_path / name).touch()
    assert skipped_images(tmp_path) == ["a.webp", "b.GIF"]


def test_a_link_to_itself_is_one_line(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(UserError):
        list_images(tmp_path)


# -- control characters and long fields --------------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x1b", "\x1c", "\x7f"])
def test_control_characters_are_refused_by_every_reader(tmp_path, character):
    assert ":2: the line contains a control character" in fault(
        tmp_path, f"{SQUARE} ship 0\n{SQUARE} sh{character}ip 0"
    )
    with pytest.raises(UserError, match="a:1: the line contains a control character"):
        parse_detections(f"P{character}1 0.5 {SQUARE}".encode(), "a")


@pytest.mark.parametrize("space", [" ", "\t", "\v", "\f", "\r"])
def test_ascii_white_space_separates_in_every_reader(tmp_path, space):
    (tmp_path / "P1.txt").write_text(f"{SQUARE} ship 0".replace(" ", space))
    assert read_labels(tmp_path / "P1.txt").names == ("ship",)
    assert parse_detections(f"P1 0.5 {SQUARE}".replace(" ", space).encode(), "a").images == ("P1",)


def test_other_unicode_spaces_belong_to_a_field(tmp_path):
    (tmp_path / "P1.txt").write_text(f"{SQUARE} sh\u2003ip 0", encoding="utf-8")
    assert read_labels(tmp_path / "P1.txt").names == ("sh\u2003ip",)


def test_a_long_field_is_refused_without_a_copy_of_it(tmp_path):
    message = fault(tmp_path, f"{SQUARE} {'x' * 40_000} 0")
    assert message.startswith(":1: a field has 40000 bytes, 'xxx")
    assert len(message) < 300
    lines = f"P1 0.5 {SQUARE}\n" * 3 + f"{'P' * 40_000} 0.5 {SQUARE}\n"
    with pytest.raises(UserError, match="a:4: a field has 40000 bytes"):
        parse_detections(lines.encode(), "a")


@pytest.mark.parametrize("number", ["1_0", "\u0661", "0x10", "1e", "--1"])
def test_numbers_have_one_spelling_in_every_reader(tmp_path, number):
    assert "is not a number" in fault(tmp_path, f"{number} 20 80 20 80 60 20 60 ship 0")
    with pytest.raises(UserError, match=r"a:1: .* is not a number"):
        parse_detections(f"P1 {number} {SQUARE}".encode(), "a")


@pytest.mark.parametrize("name", ["P1__1024__" + "9" * 500 + "___0", "P1__" + "1" * 400 + "__0___0", "P1__1e5__0___0"])
def test_tile_names_with_long_numbers_are_no_tile_names(name):
    with pytest.raises(UserError, match="is not a tile name"):
        parse_tile_name(name)


def test_messages_are_one_printable_line_of_limited_length():
    message = str(UserError("a\x1b[2Jb\nc \udc80", where="x\ty", hint="z" * 10_000))
    assert message.isprintable()
    assert message.startswith("x y: a\\x1b[2Jb c \\udc80 (zzz")
    assert len(message) < 2100
    assert printable("ok") == "ok"


# -- zips --------------------------------------------------------------------------------------------------------------


def write_zip(path, names, content=b"P1 0.5 1 2 11 2 11 8 1 8\n"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_an_error(tmp_path):
    write_zip(tmp_path / "a.zip", ["Task1_ship.txt", "Task1_ship.txt"])
    assert "error: Task1_ship.txt: occurs twice in the zip" in map(str, check_submission(tmp_path / "a.zip", ("ship",)))


def test_other_entries_are_not_unpacked_and_the_size_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(submission_check, "MAX_CONTENT_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_ship.txt", b"P1 0.5 1 2 11 2 11 8 1 8\n")
        archive.writestr("bomb.txt", bytes(10_000_000))
    assert "error: bomb.txt: not a Task1_<class>.txt" in map(str, check_submission(tmp_path / "a.zip", ("ship",)))
    write_zip(tmp_path / "b.zip", ["Task1_ship.txt"], bytes(100_000))
    with pytest.raises(UserError, match="the zip expands to more than"):
        check_submission(tmp_path / "b.zip", ("ship",))


def test_every_flipped_bit_of_a_zip_is_reported_or_harmless(tmp_path):
    write_zip(tmp_path / "a.zip", ["Task1_ship.txt", "Task1_\u00e9.txt"])
    data, draw = (tmp_path / "a.zip").read_bytes(), random.Random(0)
    for _ in range(400):
        position, bit = draw.randrange(len(data)), draw.randrange(8)
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        (tmp_path / "b.zip").write_bytes(damaged)
        try:
            messages = [str(finding) for finding in check_submission(tmp_path / "b.zip", ("ship",))]
        except UserError as error:
            messages = [str(error)]
        assert all(message.isprintable() for message in messages)


def test_a_zip_is_refused_by_the_sizes_that_it_states_before_it_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setattr(submission_check, "MAX_CONTENT_BYTES", 1000)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("an entry was expanded"))
    write_zip(tmp_path / "a.zip", ["Task1_ship.txt", "Task1_plane.txt"], bytes(600))
    with pytest.raises(UserError, match=r"a\.zip: the zip expands to more than"):
        check_submission(tmp_path / "a.zip", ("ship", "plane"))


def test_an_entry_larger_than_it_states_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", ["Task1_ship.txt"], bytes(100_000))
    data, size = (tmp_path / "a.zip").read_bytes(), (100_000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"a\.zip: not a readable zip"):
        check_submission(tmp_path / "a.zip", ("ship",))


@pytest.mark.parametrize(
    "name", ["../Task1_ship.txt", "/etc/Task1_ship.txt", "a/../../Task1_ship.txt", "C:\\Task1.txt"]
)
def test_entries_outside_the_zip_are_reported_and_never_written(tmp_path, name):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    write_zip(folder / "a.zip", [name])
    before = sorted(tmp_path.rglob("*"))
    findings = [str(finding) for finding in check_submission(folder / "a.zip", ("ship",))]
    assert any(name in finding for finding in findings)
    assert sorted(tmp_path.rglob("*")) == before


def test_control_characters_in_names_of_a_zip_are_escaped(tmp_path):
    write_zip(tmp_path / "a.zip", ["Task1_\x1b[2Jship.txt", "b\x9bc\u202e.txt"])
    findings = [str(finding) for finding in check_submission(tmp_path / "a.zip", ("ship",))]
    assert all(finding.isprintable() for finding in findings)
    assert any("\\x1b[2Jship" in finding for finding in findings)


# -- files that are none -----------------------------------------------------------------------------------------------


def test_devices_and_pipes_are_refused_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.txt", tmp_path / "zero.txt"):
        with pytest.raises(UserError, match="not a regular file"):
            read_labels(path)
        assert path not in list_label_files(tmp_path)


def test_a_folder_that_contains_itself_is_listed_once(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "P1.png").touch()
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    assert [path.name for path in list_images(tmp_path / "images")] == ["P1.png"]
    (tmp_path / "images" / "Task1_ship.txt").write_text("P1 0.123 1 1 9 1 9 5 1 5\n")
    findings = [str(finding) for finding in check_submission(tmp_path / "images", ("ship",))]
    assert findings == ["error: P1.png: not a Task1_<class>.txt"]


def test_a_control_character_in_the_name_of_a_task1_file(tmp_path):
    (tmp_path / "Task1_sh\x1bip.txt").touch()
    with pytest.raises(UserError, match="the class name has an unprintable character") as caught:
        list_task1_files(tmp_path)
    assert str(caught.value).isprintable()

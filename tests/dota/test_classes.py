"""Class tables, and every form of a class list."""

import pytest

from rotated_atss.dota.classes import CLASSES, PALETTE, resolve_classes
from rotated_atss.errors import UserError


def test_later_versions_append_classes():
    assert [len(CLASSES[version]) for version in ("v1.0", "v1.5", "v2.0")] == [15, 16, 18]
    assert CLASSES["v2.0"][:16] == CLASSES["v1.5"]
    assert CLASSES["v1.5"][:15] == CLASSES["v1.0"]
    assert CLASSES["v2.0"][15:] == ("container-crane", "airport", "helipad")


def test_one_distinct_color_per_class():
    assert len(set(PALETTE)) == len(PALETTE) == 18


@pytest.mark.parametrize(
    "spec", ["v1.5", "1.5", "V1.5", CLASSES["v1.5"], list(CLASSES["v1.5"]), ",".join(CLASSES["v1.5"])]
)
def test_every_form_of_a_version(spec):
    assert resolve_classes(spec) == CLASSES["v1.5"]


def test_names_from_a_file_a_text_or_a_sequence(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfship\r\n\r\nplane \r\n")
    assert resolve_classes(path) == resolve_classes(str(path)) == resolve_classes(" ship , plane,") == ("ship", "plane")
    assert resolve_classes("ship,") == resolve_classes(("ship",)) == ("ship",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ship", r"'ship' is neither a DOTA version.*\(for one class, write 'ship,' with the comma\)$"),
        ("v3.0", "neither a DOTA version"),
        ((), "the class list is empty"),
        (",", "the class list is empty"),
        (("ship", "ship"), "'ship' is listed twice"),
        (("ship", 3), "'3' is not a class name"),
        (("large vehicle", "large-vehicle"), "the class 'large-vehicle' is listed twice"),
        ((" ",), "is not a class name"),
        (("",), "'' is not a class name"),
        (("../x",), "is not a class name"),
    ],
)
def test_invalid_class_list_raises(spec, message):
    with pytest.raises(UserError, match=message):
        resolve_classes(spec)


def test_spaces_in_names_become_hyphens(tmp_path):
    (tmp_path / "names.txt").write_text("Small Car\nBoeing 737\n")
    assert resolve_classes(tmp_path / "names.txt") == ("Small-Car", "Boeing-737")
    assert resolve_classes("Small Car, Boeing  737") == ("Small-Car", "Boeing-737")


def test_file_without_names_raises(tmp_path):
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(UserError, match=r"classes\.txt: the class list is empty"):
        resolve_classes(tmp_path / "classes.txt")

"""Selection of known classes by ``--classes`` of ``predict`` and ``draw``."""

import pytest

from rotated_atss.cli._classes_option import select_classes
from rotated_atss.errors import UserError

KNOWN = ("car", "traffic light", "ship")


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        (None, KNOWN),
        ("car", ("car",)),
        ("ship,traffic-light", ("ship", "traffic light")),
        ("ship,ship", ("ship",)),
        ("v1.0", ("ship",)),
    ],
)
def test_classes_are_selected_by_name_or_version(spec, selected):
    assert select_classes(spec, KNOWN) == selected


def test_classes_are_selected_by_a_file_unless_it_is_a_class_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("names.txt", "car"):
        (tmp_path / name).write_text("traffic light\nship\n")
    assert select_classes("names.txt", KNOWN) == ("traffic light", "ship")
    assert select_classes("car", KNOWN) == ("car",)


@pytest.mark.parametrize(
    ("spec", "message"), [("shipp", ": unknown class 'shipp'"), (",", " contains no class name, got ','")]
)
def test_unknown_classes_are_refused(spec, message):
    with pytest.raises(UserError, match=f"--classes{message}"):
        select_classes(spec, KNOWN)

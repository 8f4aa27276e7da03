"""File names of image ids."""

from __future__ import annotations

import re

import pytest

from rotated_atss.report.page_names import PageNames

NASTY = [
    "../../etc/passwd", "a/b", "a\\b", "", ".", "..", ".hidden", "-rf", "con", "NUL.txt", "com1", "a b", "a%20b", "a#b",
    "a?b", "<script>alert(1)</script>", '"onload="', "\u202eabc", "Flughafen München", "x" * 300, "a\nb", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("image", ["P0001", "P0706.v2", "tile__1__0___824", "a-b_c"])
def test_plain_ids_keep_their_name(image: str) -> None:
    assert PageNames().add(image) == image


@pytest.mark.parametrize("image", NASTY)
def test_names_are_safe_in_file_systems_and_addresses(image: str) -> None:
    name = PageNames().add(image)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}", name)
    assert name != image
    assert not re.fullmatch(r"(con|nul|com1)(\..*)?", name, re.IGNORECASE)


def test_names_differ_where_ids_differ() -> None:
    images = ["a/b", "a_b", "a b", "A_B", "a_b", "P1", "p1", "x" * 300, "x" * 301, "con", "CON", *NASTY]
    names = PageNames()
    made = [names.add(image) for image in images]
    assert len({name.lower() for name in made}) == len(images)


def test_names_do_not_depend_on_the_run() -> None:
    assert PageNames().add("Flughafen München") == PageNames().add("Flughafen München")

"""Tables as text."""

from __future__ import annotations

import csv
import io

import pytest

from rotated_atss.io.text_table import align_columns, fit_columns, format_csv

ROWS = [("name", "MB", "of"), ("resnet18", "47", "timm"), ("a", "100", "")]


def test_columns_of_numbers_end_at_one_place() -> None:
    assert align_columns(ROWS) == ["name       MB    of", "resnet18   47  timm", "a         100"]


def test_columns_of_text_start_at_one_place() -> None:
    assert align_columns(ROWS, numeric=False) == ["name      MB   of", "resnet18  47   timm", "a         100"]


def test_no_rows() -> None:
    assert align_columns([]) == []


WIDE = [("class", "objects", "images", "size, px"), ("small-vehicle", "280", "12", "13"), ("car", "7", "3", "9")]


@pytest.mark.parametrize("numeric", [True, False])
@pytest.mark.parametrize("width", [None, 100, 40])
def test_a_table_that_fits_is_unchanged(width, numeric) -> None:
    assert fit_columns(WIDE, width, numeric=numeric) == align_columns(WIDE, numeric=numeric)


@pytest.mark.parametrize("width", [39, 30, 26])
def test_columns_of_numbers_that_do_not_fit_follow_below_with_all_their_values(width) -> None:
    lines = fit_columns(WIDE, width)
    assert max(map(len, lines)) <= width
    tables = "\n".join(lines).split("\n\n")
    assert len(tables) > 1
    for table in tables:
        assert [line.split()[0] for line in table.splitlines()] == ["class", "small-vehicle", "car"]
    cells = [cell for table in tables for line in table.splitlines() for cell in line.split()[1:]]
    assert sorted(cells) == sorted(["objects", "images", "size,", "px", "280", "12", "13", "7", "3", "9"])


def test_a_first_column_of_more_than_half_the_width_is_cut() -> None:
    assert fit_columns([("a" * 30, "1"), ("b", "2")], 20) == ["a" * 7 + "...  1", "b           2"]


def test_rows_of_text_that_do_not_fit_continue_on_a_second_line() -> None:
    assert fit_columns(ROWS, 16, numeric=False) == ["name", "  MB   of", "resnet18", "  47   timm", "a", "  100"]


def test_the_widest_other_column_of_text_is_cut() -> None:
    lines = fit_columns([("name", "result", "MB"), ("resnet18", "top-1 accuracy", "47")], 14, numeric=False)
    assert lines == ["name", "  result    MB", "resnet18", "  top-1...  47"]


def test_no_line_of_a_table_of_numbers_is_too_long() -> None:
    assert fit_columns([("a" * 30, "1" * 30), ("b", "2")], 20) == ["a" * 7 + "...  11111...", "b                  2"]


@pytest.mark.parametrize("numeric", [True, False])
def test_the_cells_of_a_single_column_are_cut(numeric) -> None:
    assert fit_columns([("a" * 9,), ("b",)], 8, numeric=numeric) == ["aaaaa...", "b"]


def test_no_rows_fit() -> None:
    assert fit_columns([], 10) == fit_columns([], 10, numeric=False) == []


def test_csv_reads_back() -> None:
    rows = [["a,b", 'say "x"', "line\nbreak"], ["", "1.5", "é"]]
    assert list(csv.reader(io.StringIO(format_csv(["p", "q", "r"], rows), newline=""))) == [["p", "q", "r"], *rows]


def test_undefined_values_are_empty_fields() -> None:
    assert format_csv(["AP"], [[None], [0.25]]) == 'AP\n""\n0.25\n'

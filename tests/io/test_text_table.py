"""Tables as text."""

from __future__ import annotations

import csv
import io

from rotated_atss.io.text_table import align_columns, format_csv

ROWS = [("name", "MB", "of"), ("resnet18", "47", "timm"), ("a", "100", "")]


def test_columns_of_numbers_end_at_one_place() -> None:
    assert align_columns(ROWS) == ["name       MB    of", "resnet18   47  timm", "a         100"]


def test_columns_of_text_start_at_one_place() -> None:
    assert align_columns(ROWS, numeric=False) == ["name      MB   of", "resnet18  47   timm", "a         100"]


def test_no_rows() -> None:
    assert align_columns([]) == []


def test_csv_reads_back() -> None:
    rows = [["a,b", 'say "x"', "line\nbreak"], ["", "1.5", "é"]]
    assert list(csv.reader(io.StringIO(format_csv(["p", "q", "r"], rows), newline=""))) == [["p", "q", "r"], *rows]


def test_undefined_values_are_empty_fields() -> None:
    assert format_csv(["AP"], [[None], [0.25]]) == 'AP\n""\n0.25\n'

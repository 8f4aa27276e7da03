"""docs/benchmarks.md and the table of README.md."""

import pytest

from benchmarks import make_table, page, records


def test_both_pages_are_up_to_date():
    """A failure means: run `make bench-table`."""
    pages = make_table.pages()
    assert len(pages) == 2
    assert all(path.read_text(encoding="utf-8") == text for path, text in pages.items())


def test_the_page_lists_missing_records(tmp_path):
    page_without_records = make_table.benchmark_page(records.load(tmp_path))
    # the closing backtick keeps a name from matching the start of a longer one
    assert all(f"run.py {name}`" in page_without_records for name in make_table.SECTIONS)
    assert "bench-gpu" in page_without_records


def test_the_page_has_targets_and_rows_of_a_record():
    times = {"median": 0.5, "min": 0.4, "max": 0.6, "runs": 3}
    record = {
        "name": "max_iou", "environment": {**records.environment(), "device": "NVIDIA H200"},
        "targets": [records.target("speedup", 5, at_least=100)], "baseline_missing": "mmrotate is absent",
        "rows": [{"num_gt": 500, "rotated_atss": times, "rotated_atss_mb": 12.0}],
    }  # fmt: skip
    text = make_table.benchmark_page([record])
    assert "| speedup | NVIDIA H200 | ≥ 100 | 5 | **missed** |" in text
    assert "## Max-IoU assignment of RetinaNet (baseline: MMDetection), NVIDIA H200" in text
    assert "| boxes | rotated-atss, ms | rotated-atss, extra MB |" in text
    assert "| 500 | 500 (400 to 600) | 12.0 |" in text
    assert "Baseline not measured: mmrotate is absent." in text
    assert "bench-gpu" not in text  # there is a record of a GPU
    assert "run.py assign`" in text  # this record is still missing


def test_the_readme_keeps_its_text_around_the_markers():
    text = f"before\n{make_table.BEGIN}old\n{make_table.END}after\n"

    def once(seconds):
        return {"median": seconds, "min": seconds, "max": seconds, "runs": 1}

    rows = [{"detections": 1000, "rotated_atss": once(0.02), "baseline": once(2.0)}]
    record = {"name": "merge", "environment": {**records.environment(), "cores": 2}, "rows": rows}
    filled = make_table.fill_readme(text, [record])
    assert filled.startswith(f"before\n{make_table.BEGIN}| task | device | rotated-atss | baseline | speedup |")
    assert "| merging 1,000 tile detections | 2 CPU cores | 20 ms | dotadevkit: 2 s | 100x |" in filled
    assert filled.endswith(f"{make_table.END}after\n")
    with pytest.raises(ValueError, match="lacks the marker lines"):
        make_table.fill_readme("no markers", [record])


@pytest.mark.parametrize(
    "value, text", [(1234.4, "1234"), (12.345, "12.3"), (0.001234, "0.00123"), (1e-9, "1e-09"), (0, "0")]
)
def test_numbers_have_three_digits_and_large_ones_no_decimals(value, text):
    assert page.number(value) == text


@pytest.mark.parametrize("value, text", [(1535.2, "1,535x"), (240.4, "240x"), (1.574, "1.57x")])
def test_speedups_end_in_x(value, text):
    assert page.factor(value) == text


def test_columns_take_paths_formats_and_functions():
    rows = [{"a": {"b": 0.5}, "n": 3}, {"n": 4}]
    columns = {"half": ("a.b", "{:.1%}"), "n": "n", "double": lambda row: 2 * row["n"], "none": "missing"}
    lines = page.markdown(rows, columns, drop_empty=True).split("\n")
    assert lines == ["| half | n | double |", "| --- | --- | --- |", "| 50.0% | 3 | 6 |", "|  | 4 | 8 |"]
    assert page.markdown(rows, columns).split("\n")[0] == "| half | n | double | none |"

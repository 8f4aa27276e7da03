"""docs/scaling.md, and the growth computed from measured points."""

import pytest

from benchmarks import bench_scaling, scaling_page


def row(stage, unit, amounts, seconds, exponent):
    points = [{"amount": amount, "median": second} for amount, second in zip(amounts, seconds)]
    slope = (seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0])
    return {"stage": stage, "unit": unit, "points": points, "exponent": exponent, "seconds_per_unit": slope}


@pytest.fixture
def record():
    linear = ("training step", "inference", "splitting", "merging", "evaluation", "assignment at 1024 px")
    rows = [row(stage, "pixels", [1000, 2000], [1.0, 2.0], 1.0) for stage in linear]
    where = {"commit": "abc", "versions": {}, "cpu": "a processor", "cores": 2, "threads": 2, "device": "cpu"}
    rows.append(row("NMS", "boxes", [10, 20], [1, 4], 2.0))
    return {"name": "scaling", "rows": rows, "environment": where}


def test_the_page_is_up_to_date():
    """A failure means: run `python benchmarks/make_table.py scaling`."""
    assert all(path.read_text(encoding="utf-8") == text for path, text in scaling_page.pages().items())


def test_projections_are_computed_from_the_rows(record):
    page = scaling_page.scaling_page(record)
    assert "NMS (exponent 2.0)" in page
    assert "| 11,268 | 130,273 |" in page
    assert "| 112,680 | 1,302,730 |" in page
    assert "72.4" in page  # 130,273 tiles of 2 s each, in hours


def test_without_a_record_the_page_has_no_figures():
    assert "Not measured yet" in scaling_page.scaling_page(None)


def test_exponent_and_marginal_cost_of_known_growth(monkeypatch):
    seconds = iter([1.0, 4.0, 16.0])
    monkeypatch.setattr(bench_scaling, "time_one", lambda run, repeats: {"median": next(seconds)})
    found = bench_scaling.stage_row("a", "b", [(amount, None) for amount in (10, 20, 40)], 1)
    assert found["exponent"] == pytest.approx(2.0)
    assert found["seconds_per_unit"] == pytest.approx(0.5)

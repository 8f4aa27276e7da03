"""The page of slopes is what its record makes, and the slopes are those of the points."""

import pytest

from benchmarks import make_scaling


def row(stage, unit, amounts, seconds, exponent):
    points = [{"amount": amount, "median": second} for amount, second in zip(amounts, seconds)]
    slope = (seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0])
    return {"stage": stage, "unit": unit, "points": points, "exponent": exponent, "seconds_a_unit": slope}


@pytest.fixture
def record():
    steady = ("training step", "inference", "splitting", "merging", "evaluation", "assignment at 1024 px")
    rows = [row(stage, "pixels", [1000, 2000], [1.0, 2.0], 1.0) for stage in steady]
    where = {"commit": "abc", "versions": {}, "cpu": "a processor", "cores": 2, "threads": 2, "device": "cpu"}
    told = {"one": {"median": 1.0}, "two": {"median": 1.25}, "efficiency": 0.8, "batch": 4, "size": 256}
    return {"results": [*rows, row("NMS", "boxes", [10, 20], [1, 4], 2.0)], "processes": told, "environment": where}


def test_the_page_is_what_the_record_makes():
    assert make_scaling.PAGE.read_text(encoding="utf-8") == make_scaling.page(make_scaling.read())


def test_what_is_computed(record):
    page = make_scaling.page(record)
    assert "Efficiency 80%" in page
    assert "NMS (exponent 2.0)" in page
    assert "| 11,268 | 130,273 |" in page
    assert "| 112,680 | 1,302,730 |" in page
    assert "72.4" in page  # 130,273 tiles of 2 s each, in hours


def test_without_a_record_nothing_is_claimed():
    assert "Nothing is measured yet" in make_scaling.page(None)


def test_slopes_of_known_growth(monkeypatch):
    from benchmarks import bench_scaling

    seconds = iter([1.0, 4.0, 16.0])
    monkeypatch.setattr(bench_scaling.harness, "time_one", lambda run, repeats: {"median": next(seconds)})
    found = bench_scaling.stage("a", "b", [(amount, None) for amount in (10, 20, 40)], 1)
    assert found["exponent"] == pytest.approx(2.0)
    assert found["seconds_a_unit"] == pytest.approx(0.5)

"""Records: environment, targets and files."""

import json

import pytest

from benchmarks import page, records


@pytest.mark.parametrize(
    "measured, limits, met",
    [(20, {"at_least": 20}, True), (19.9, {"at_least": 20}, False), (2e-6, {"at_most": 2e-6}, True),
     (3e-6, {"at_most": 2e-6}, False), (None, {"at_least": 1}, None), (0, {"at_most": 0}, True)],
)  # fmt: skip
def test_a_target_is_met_missed_or_not_measured(measured, limits, met):
    found = records.target("speedup", measured, **limits)
    assert found == {"name": "speedup", **limits, "measured": measured, "met": met}
    table = page.targets_table([{"environment": {"device": "cpu"}, "targets": [found]}])
    assert table.endswith({True: "| met |", False: "| **missed** |", None: "|  | not measured |"}[met])


def test_a_target_without_a_limit_is_an_error():
    with pytest.raises(ValueError, match="at_least or at_most"):
        records.target("speedup", 1.0)


def test_the_environment_describes_commit_versions_and_machine():
    found = records.environment()
    assert found["device"] == "cpu"
    assert found["cores"] >= 1
    assert found["cpu"]
    assert {"commit", "python", "versions", "system", "threads", "load_before"} <= found.keys()
    assert "torch" in found["versions"]


def test_records_are_written_atomically_and_named_after_the_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    where = records.environment()
    path = records.save({"name": "iou", "environment": where, "rows": [1]})
    assert path.name == "iou.json"
    record = json.loads(path.read_text())
    assert record == {"name": "iou", "environment": where, "rows": [1]}
    gpu = {**where, "device": "NVIDIA H100 80GB HBM3"}
    path = records.save({"name": "iou", "environment": gpu, "rows": []})
    assert path.name == "iou_nvidia-h100-80gb-hbm3.json"
    assert json.loads(path.read_text())["name"] == "iou"
    assert sorted(each.suffix for each in path.parent.iterdir()) == [".json", ".json"]
    assert [each["environment"]["device"] for each in records.load(path.parent)] == ["cpu", gpu["device"]]

"""Benchmarks of IoU and NMS: targets, mistakes, peak of a GPU, and small runs of both scripts."""

import json

import pytest
import torch

from benchmarks import bench_iou, bench_nms, harness, inputs, records


@pytest.mark.parametrize(
    "version, clock_khz, smi_hz, expected",
    [((9, 0), 1_980_000, 0, 132 * 128 * 2 * 1.98e9), ((8, 0), 0, 1.41e9, 132 * 64 * 2 * 1.41e9), ((9, 0), 0, 0, None)],
)
def test_the_peak_of_a_gpu_is_computed_or_unknown(monkeypatch, version, clock_khz, smi_hz, expected):
    values = {"major": version[0], "minor": version[1], "multi_processor_count": 132, "clock_rate": clock_khz}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("Properties", (), values))
    monkeypatch.setattr(bench_iou, "_nvidia_smi_clock_hz", lambda index: smi_hz)
    peak = bench_iou.float32_peak("cuda")
    assert peak is None if expected is None else peak == pytest.approx(expected)


def test_targets_of_a_gpu_use_all_pairs_and_the_share_of_the_peak():
    error = {"rotated_atss_error": {"worst": 1e-8}}
    rows = [
        {"kind": "random", "speedup": 3, **error},
        {"kind": "scene", "speedup": 7, **error},
        {"kind": "crowd", "speedup": 6, "share_of_peak": 0.25, **error},
    ]
    found = {each["name"]: (each["measured"], each["met"]) for each in bench_iou.targets(rows, gpu=True)}
    assert found["rotated IoU, all pairs: speedup over mmcv's CUDA op"] == (6, True)
    assert found["rotated IoU, float32, all pairs: share of the computed arithmetic peak"] == (0.25, False)
    (target,) = bench_nms.targets(
        [{"scene": "tile, 15 classes", "boxes": 2000, "rotated_atss": {"median": 0.0004}}], gpu=True
    )
    assert target["met"]
    assert target["measured"] == pytest.approx(0.4)


def test_the_target_of_nms_on_the_cpu():
    (target,) = bench_nms.targets([{"scene": "harbor, 1 class", "boxes": 20_000, "rotated_atss": {"median": 0.6}}])
    assert target["measured"] == 0.6
    assert not target["met"]
    assert "20,000" in target["name"]


def test_mistakes_are_duplicates_and_lost_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10, 0], [1.0, 0, 10, 10, 0], [50.0, 0, 10, 10, 0]])
    scene = boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)
    found = [tuple(bench_nms.mistakes(scene, torch.tensor(kept)).values()) for kept in ((0, 2), (0, 1, 2), (0,))]
    assert found == [(0, 0), (1, 0), (0, 1)]


def test_errors_are_the_worst_one_and_the_share_of_wrong_pairs():
    found = bench_iou.errors(torch.tensor([0.5, 0.25, 1.0, 0.0]), torch.tensor([0.5, 0.5, 1.0, 0.0]))
    assert found == {"worst": 0.25, "wrong_share": 0.25}


def test_small_runs_make_records(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    sizes = ["--pairs", "20", "--scene-boxes", "10"]
    harness.run("iou", [*sizes, "--repeats", "1", "--baseline-repeats", "1"])
    record = json.loads((tmp_path / "iou.json").read_text())
    assert [row["kind"] for row in record["rows"]] == [*inputs.PAIR_KINDS, "scene"]
    assert max(row["rotated_atss_error"]["worst"] for row in record["rows"]) < 1e-5
    monkeypatch.setattr(bench_nms, "SCENES", {name: lambda: inputs.harbor(20, 3) for name in bench_nms.SCENES})
    harness.run("nms", ["--repeats", "1", "--baseline-repeats", "1"])
    record = json.loads((tmp_path / "nms.json").read_text())
    assert [sum(row["rotated_atss_mistakes"].values()) for row in record["rows"]] == [0, 0]
    assert "## Rotated NMS (baseline: mmcv)" in capsys.readouterr().out

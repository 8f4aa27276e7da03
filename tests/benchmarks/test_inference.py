"""Inputs of bench_inference.py, its targets, and a small run of the script."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import bench_inference, harness, records
from benchmarks.sections import section

pytest.importorskip("mmdet")

from benchmarks import head_outputs, models

SIZE = 128
THRESHOLD = 0.05  # the config's score_thr


@pytest.fixture(scope="module")
def own_model():
    torch.manual_seed(0)
    model = models.build_own().eval()
    head_outputs.scale_outputs(model, batch(), 60)
    return model


def batch():
    return models.batch(2, 0, SIZE)


def passing(levels):
    return sum(int((level.sigmoid() > THRESHOLD).sum()) for level in levels)


def test_the_given_number_of_pairs_exceeds_the_threshold(own_model):
    with torch.no_grad():
        scores, deltas = own_model(own_model.data_preprocessor(batch(), False)["inputs"], mode="tensor")
    assert abs(passing(scores) - 120) <= 2  # the last one is on the threshold
    assert 0.2 < deltas[0].std() < 0.4
    classes = torch.cat([level.sigmoid().amax((0, 2, 3))[None] for level in scores]).amax(0)
    assert (classes > THRESHOLD).sum() > 10  # several classes


def test_a_scene_has_the_given_number_of_candidates_per_image(own_model):
    outputs = head_outputs.scene(2, 90, SIZE, 15, "cpu")
    assert passing(outputs[0]) == bench_inference.count_candidates(own_model.bbox_head, outputs) == 180
    found = head_outputs.predictor(own_model.bbox_head, outputs, SIZE)(with_nms=False)
    assert [len(each.scores.unique()) for each in found] == [90, 90]
    assert not torch.equal(found[0].bboxes, found[1].bboxes)


def test_too_many_candidates_for_an_image_are_an_error():
    with pytest.raises(ValueError, match=r"5000 candidates do not fit an image of 128 px\. At most"):
        head_outputs.scene(1, 5000, SIZE, 15, "cpu")


def test_the_baseline_decodes_equal_boxes(own_model):
    pytest.importorskip("mmrotate")
    baseline = models.build_baseline(SIZE).eval()
    head_outputs.copy_weights(own_model, baseline)
    with torch.no_grad():
        prepared = own_model.data_preprocessor(batch(), False)["inputs"][:1]
        raw = [model(prepared, mode="tensor") for model in (own_model, baseline)]
    assert all(torch.equal(own, other) for own, other in zip(raw[0][0], raw[1][0]))
    pixels = 1e-3
    scene = head_outputs.scene(1, 90, SIZE, 15, "cpu")
    for outputs in (raw, (scene, head_outputs.for_baseline(scene))):
        found = [boxes_of(model, each) for model, each in zip((own_model, baseline), outputs)]
        assert len(found[0]) > 50
        inside = ((found[0][:, :2] >= 0) & (found[0][:, :2] <= SIZE - 1)).all(1)  # mmrotate clamps other centers
        torch.testing.assert_close(*(boxes[inside] for boxes in found), rtol=0, atol=pixels)


def boxes_of(model, outputs):
    """Boxes before NMS, in order of falling scores."""
    (found,) = head_outputs.predictor(model.bbox_head, outputs, SIZE)(with_nms=False)
    boxes = found.bboxes if isinstance(found.bboxes, torch.Tensor) else found.bboxes.tensor
    return boxes[found.scores.argsort(descending=True, stable=True)]


@pytest.mark.slow
def test_a_small_run_makes_a_record_and_a_section(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_inference, "SCENE_BATCHES", (1, 2))
    words = "--size 128 --batch 2 --candidates 40 --scene-candidates 60 --repeats 1 --baseline-repeats 1 --baseline-amp"
    harness.run("inference", words.split())
    capsys.readouterr()
    record = json.loads((tmp_path / "inference.json").read_text())
    names = [row["implementation"] for row in record["rows"]]
    assert names[:2] == [bench_inference.OWN_AMP, bench_inference.OWN_FLOAT32]
    assert all(row["candidates"] > 0 and row["detections"] > 0 for row in record["rows"])
    assert all(sum(row["shares"].values()) == pytest.approx(1, abs=1e-4) for row in record["rows"])
    assert [(row["source"], row["batch"]) for row in record["scenes"]] == [
        ("network", 2),
        ("crowded scene", 1),
        ("crowded scene", 2),
    ]
    text = section(record)
    assert "## Inference of the R50 le90 config (baseline: mmrotate)" in text
    assert "| crowded scene | 2 | 120 |" in text
    amp, float32 = record["targets"]
    assert amp["name"] == "inference with --amp, batch of 2: speedup over mmrotate"
    assert amp["at_least"] == 1
    if record["baseline_missing"]:
        assert amp["met"] is None
        assert float32["met"] is None
    else:
        assert set(names[2:]) == {bench_inference.BASELINE_AMP, bench_inference.BASELINE_FLOAT32}
        assert amp["measured"] > 0
        assert float32["measured"] > 0
        assert record["rows"][1]["detections"] == record["rows"][2]["detections"]  # float32, equal weights


def test_the_target_compares_with_the_fastest_baseline():
    speeds = {bench_inference.OWN_AMP: 90, bench_inference.OWN_FLOAT32: 200, bench_inference.BASELINE_FLOAT32: 20,
              bench_inference.BASELINE_AMP: 30}  # fmt: skip
    rows = [{"implementation": name, "batch": 8, "images_per_second": speed} for name, speed in speeds.items()]

    def measured(rows, device):
        found = bench_inference.targets(rows, SimpleNamespace(batch=[8], device=device))
        return [(target["measured"], target["met"]) for target in found]

    assert measured(rows, "cuda") == [(3, True)]
    assert measured(rows, "cpu") == [(3, True), (10, True)]
    assert measured(rows[:2], "cuda") == [(None, None)]  # no baseline

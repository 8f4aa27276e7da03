"""Inputs of bench_inference.py, tracing of detections, causes of differences, and a small run of the script."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from benchmarks import bench_inference, harness, records
from benchmarks.sections import section

pytest.importorskip("mmdet")

from benchmarks import head_outputs, models, postprocess

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


def test_detections_are_traced_to_the_candidates_of_a_scene(own_model):
    outputs = head_outputs.scene(2, 90, SIZE, 15, "cpu")
    assert passing(outputs[0]) == 180
    given = postprocess.candidates_of(own_model.bbox_head, outputs)
    assert [len(each.scores.unique()) for each in given] == [90, 90]
    assert not torch.equal(given[0].boxes, given[1].boxes)
    found = detections(own_model, outputs, images=2)
    for each, one in zip(given, found):
        assert each.trace(one) == set(range(90))
        assert each.trace(one[5:7]) <= set(range(90))
        assert len(each.trace(one[5:7])) == 2
    kept = next(iter(given[1].trace(found[1][3:4])))
    assert torch.equal(given[1].boxes[kept], found[1].bboxes[3])
    assert given[1].labels[kept] == found[1].labels[3]


def test_a_detection_without_a_candidate_is_an_error(own_model):
    outputs = head_outputs.scene(1, 20, SIZE, 15, "cpu")
    (given,), (found,) = postprocess.candidates_of(own_model.bbox_head, outputs), detections(own_model, outputs)
    found.scores[0] += 0.01
    with pytest.raises(ValueError, match="matches no candidate"):
        given.trace(found)
    with pytest.raises(ValueError, match="match the same candidate"):
        given.trace(found[[1, 1]])
    assert given.trace(found[:0]) == set()


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


def detections(model, outputs, images=1):
    """Detections before NMS."""
    metas = head_outputs.metas(images, SIZE)
    with torch.no_grad():
        return model.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=True, with_nms=False)


def boxes_of(model, outputs):
    """Boxes in order of falling scores."""
    (found,) = detections(model, outputs)
    boxes = found.bboxes if isinstance(found.bboxes, torch.Tensor) else found.bboxes.tensor
    return boxes[found.scores.argsort(descending=True, stable=True)]


def test_the_exchange_that_removes_a_difference_is_its_cause(monkeypatch):
    """Three separate boxes: the exchange that removes a difference is its cause."""
    boxes = torch.tensor([[float(x), 0, 10, 10, 0] for x in (0, 50, 100)])
    case = postprocess.Candidates(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64))
    cfg = SimpleNamespace(nms=SimpleNamespace(iou_threshold=0.1), max_per_img=2000)

    def causes(kept, baseline, with_mmcv):
        monkeypatch.setattr(postprocess, "batched_nms", lambda mmcv: lambda *_: torch.tensor(with_mmcv))
        return postprocess.causes_of(kept, baseline, case, cfg, None)

    assert causes({0, 1, 2}, {0, 1, 2}, [0, 1, 2]) == Counter()
    assert causes({0, 1}, {0, 1, 2}, [0, 1, 2]) == {postprocess.CLAMPED: 1}
    assert causes({0, 1, 2}, {0, 1}, [0, 1]) == {postprocess.NMS: 1}
    assert causes({0, 1, 2}, {0}, [0, 1]) == {postprocess.NMS: 1, postprocess.UNEXPLAINED: 1}


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
    amp, float32, unexplained = record["targets"]
    assert amp["name"] == "inference with --amp, batch of 2: speedup over mmrotate"
    assert amp["at_least"] == 1
    if record["baseline_missing"]:
        assert amp["met"] is None
        assert float32["met"] is None
        assert unexplained["met"] is None
    else:
        assert set(names[2:]) == {bench_inference.BASELINE_AMP, bench_inference.BASELINE_FLOAT32}
        assert amp["measured"] > 0
        assert float32["measured"] > 0
        assert unexplained["met"]
        assert record["rows"][1]["detections"] == record["rows"][2]["detections"]  # float32, equal weights


def test_the_target_compares_with_the_fastest_baseline():
    speeds = {bench_inference.OWN_AMP: 90, bench_inference.OWN_FLOAT32: 200, bench_inference.BASELINE_FLOAT32: 20,
              bench_inference.BASELINE_AMP: 30}  # fmt: skip
    rows = [{"implementation": name, "batch": 8, "images_per_second": speed} for name, speed in speeds.items()]
    scenes = [{"causes": {postprocess.NMS: 3}}, {"causes": {postprocess.UNEXPLAINED: 1}}]

    def measured(rows, scenes, device):
        found = bench_inference.targets(rows, scenes, SimpleNamespace(batch=[8], device=device))
        return [(target["measured"], target["met"]) for target in found]

    assert measured(rows, scenes, "cuda") == [(3, True), (1, False)]
    assert measured(rows, scenes[:1], "cpu") == [(3, True), (10, True), (0, True)]
    assert measured(rows[:2], [{}], "cuda") == [(None, None), (None, None)]  # no baseline

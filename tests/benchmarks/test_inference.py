"""What bench_inference.py measures on: decisive networks, scenes whose candidates are known, and why results differ."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from benchmarks import bench_inference, harness, make_table

pytest.importorskip("mmdet")

from benchmarks import head_outputs, models, postprocess

SIZE = 128
THRESHOLD = 0.05  # the config's score_thr


@pytest.fixture(scope="module")
def ours():
    torch.manual_seed(0)
    model = models.ours().eval()
    head_outputs.make_decisive(model, batch(), 60)
    return model


def batch():
    return models.batch(2, 0, SIZE, lambda boxes: boxes)


def passing(levels):
    return sum(int((level.sigmoid() > THRESHOLD).sum()) for level in levels)


def test_as_many_pairs_pass_as_asked_for(ours):
    with torch.no_grad():
        scores, deltas = ours(ours.data_preprocessor(batch(), False)["inputs"], mode="tensor")
    assert abs(passing(scores) - 120) <= 2  # the last of them lies on the threshold
    assert 0.2 < deltas[0].std() < 0.4
    classes = torch.cat([level.sigmoid().amax((0, 2, 3))[None] for level in scores]).amax(0)
    assert (classes > THRESHOLD).sum() > 10  # no class takes all


def test_candidates_of_a_scene_are_traced(ours):
    outputs = head_outputs.scene(2, 90, SIZE, 15, "cpu")
    assert passing(outputs[0]) == 180
    given = postprocess.candidates_of(ours.bbox_head, outputs)
    assert [len(each.scores.unique()) for each in given] == [90, 90]
    assert not torch.equal(given[0].boxes, given[1].boxes)
    found = detections(ours, outputs, images=2)
    for each, one in zip(given, found):
        assert each.trace(one) == set(range(90))
        assert each.trace(one[5:7]) <= set(range(90))
        assert len(each.trace(one[5:7])) == 2
    kept = next(iter(given[1].trace(found[1][3:4])))
    assert torch.equal(given[1].boxes[kept], found[1].bboxes[3])
    assert given[1].labels[kept] == found[1].labels[3]


def test_a_detection_that_was_no_candidate(ours):
    outputs = head_outputs.scene(1, 20, SIZE, 15, "cpu")
    (given,), (found,) = postprocess.candidates_of(ours.bbox_head, outputs), detections(ours, outputs)
    found.scores[0] += 0.01
    with pytest.raises(ValueError, match="no candidate"):
        given.trace(found)
    with pytest.raises(ValueError, match="two that were the same"):
        given.trace(found[[1, 1]])
    assert given.trace(found[:0]) == set()


def test_too_many_candidates_for_an_image():
    with pytest.raises(ValueError, match="5000 candidates do not fit an image of 128 px: at most"):
        head_outputs.scene(1, 5000, SIZE, 15, "cpu")


def test_the_peer_gets_the_same_boxes(ours):
    pytest.importorskip("mmrotate")
    peer = models.peer(SIZE).eval()
    head_outputs.copy_weights(ours, peer)
    with torch.no_grad():
        prepared = ours.data_preprocessor(batch(), False)["inputs"][:1]
        raw = [model(prepared, mode="tensor") for model in (ours, peer)]
    assert all(torch.equal(mine, yours) for mine, yours in zip(raw[0][0], raw[1][0]))
    pixels = 1e-3
    scene = head_outputs.scene(1, 90, SIZE, 15, "cpu")
    for outputs in (raw, (scene, head_outputs.for_peer(scene))):
        found = [boxes_of(model, each) for model, each in zip((ours, peer), outputs)]
        assert len(found[0]) > 50
        inside = ((found[0][:, :2] >= 0) & (found[0][:, :2] <= SIZE - 1)).all(1)  # the peer moves other centres
        torch.testing.assert_close(*(boxes[inside] for boxes in found), rtol=0, atol=pixels)


def detections(model, outputs, images=1):
    """Before NMS."""
    metas = head_outputs.metas(images, SIZE)
    with torch.no_grad():
        return model.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=True, with_nms=False)


def boxes_of(model, outputs):
    """By falling score."""
    (found,) = detections(model, outputs)
    boxes = found.bboxes if isinstance(found.bboxes, torch.Tensor) else found.bboxes.tensor
    return boxes[found.scores.argsort(descending=True, stable=True)]


def test_causes_of_differences(monkeypatch):
    """Three boxes apart: what the exchanged ingredient keeps or drops decides the cause."""
    boxes = torch.tensor([[float(x), 0, 10, 10, 0] for x in (0, 50, 100)])
    case = postprocess.Candidates(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64))
    cfg = SimpleNamespace(nms=SimpleNamespace(iou_threshold=0.1), max_per_img=2000)

    def told(mine, yours, peers_nms):
        monkeypatch.setattr(postprocess, "peer_nms", lambda mmcv: lambda *_: torch.tensor(peers_nms))
        return postprocess.causes_of(mine, yours, case, cfg, None)

    assert told({0, 1, 2}, {0, 1, 2}, [0, 1, 2]) == Counter()
    assert told({0, 1}, {0, 1, 2}, [0, 1, 2]) == {postprocess.MOVED: 1}
    assert told({0, 1, 2}, {0, 1}, [0, 1]) == {postprocess.NMS: 1}
    assert told({0, 1, 2}, {0}, [0, 1]) == {postprocess.NMS: 1, postprocess.UNEXPLAINED: 1}


def test_the_script_measures_and_its_record_makes_a_section(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_inference, "SCENE_BATCHES", (1, 2))
    words = "--size 128 --batch 2 --candidates 40 --scene-candidates 60 --repeats 1 --peer-repeats 1 --peer-amp"
    monkeypatch.setattr("sys.argv", ["bench_inference.py", *words.split()])
    bench_inference.main()
    capsys.readouterr()
    record = json.loads((tmp_path / "inference.json").read_text())
    ways = [row["way"] for row in record["results"]]
    assert ways[:2] == [bench_inference.OURS_FAST, bench_inference.OURS_WIDE]
    assert all(row["candidates"] > 0 and row["detections"] > 0 for row in record["results"])
    assert all(sum(row["shares"].values()) == pytest.approx(1, abs=1e-4) for row in record["results"])
    assert [(row["of"], row["batch"]) for row in record["scenes"]] == [
        ("the network", 2),
        ("a crowd", 1),
        ("a crowd", 2),
    ]
    section = make_table.section(record)
    assert "## Inference beside mmrotate" in section
    assert "| a crowd | 2 | 120 |" in section
    fast, wide, unexplained = record["bars"]
    assert fast["claim"] == "inference with --amp, batch of 2: times faster than mmrotate's"
    assert fast["at_least"] == 1
    if record["peer_missing"]:
        assert fast["met"] is None
        assert wide["met"] is None
        assert unexplained["met"] is None
    else:
        assert set(ways[2:]) == {bench_inference.PEER_FAST, bench_inference.PEER_WIDE}
        assert fast["measured"] > 0
        assert wide["measured"] > 0
        assert unexplained["met"]
        assert record["results"][1]["detections"] == record["results"][2]["detections"]  # float32, the same weights


def test_ours_stands_beside_the_fastest_of_the_peer():
    speeds = {bench_inference.OURS_FAST: 90, bench_inference.OURS_WIDE: 200, bench_inference.PEER_WIDE: 20,
              bench_inference.PEER_FAST: 30}  # fmt: skip
    rows = [{"way": way, "batch": 8, "images_a_second": speed} for way, speed in speeds.items()]
    scenes = [{"causes": {postprocess.NMS: 3}}, {"causes": {postprocess.UNEXPLAINED: 1}}]

    def measured(rows, scenes, device):
        bars = bench_inference.bars(rows, scenes, SimpleNamespace(batch=[8], device=device))
        return [(bar["measured"], bar["met"]) for bar in bars]

    assert measured(rows, scenes, "cuda") == [(3, True), (1, False)]
    assert measured(rows, scenes[:1], "cpu") == [(3, True), (10, True), (0, True)]
    assert measured(rows[:2], [{}], "cuda") == [(None, None), (None, None)]  # no peer

"""What the benchmarks judge by: exact IoU, the causes of differing assignments, NMS mistakes, the written page."""

import importlib
import math

import pytest
import torch

from benchmarks import bench_nms, explain, inputs, make_table, on_gpu
from benchmarks.exact import cos_sin, exact_iou
from rotated_atss.assign import atss_assign
from rotated_atss.ops import rotated_iou, rotated_nms


@pytest.mark.parametrize("angle", [0.0, 1.0, -2.5, math.pi / 2, 3.999, 1e-9])
def test_cosine_and_sine_of_rationals(angle):
    from fractions import Fraction

    cos, sin = cos_sin(Fraction(angle))
    assert float(cos) == pytest.approx(math.cos(angle), abs=1e-16)
    assert float(sin) == pytest.approx(math.sin(angle))
    assert abs(cos * cos + sin * sin - 1) < Fraction(1, 1 << 140)


def test_exact_iou_of_known_pairs():
    octagon = 2 * (math.sqrt(2) - 1)
    assert exact_iou((0, 0, 1, 1, 0), (0, 0, 1, 1, math.pi / 4)) == pytest.approx(octagon / (2 - octagon), abs=1e-15)
    assert exact_iou((0, 0, 4, 4, 0), (2, 0, 4, 4, 0)) == float(8 / 24)
    assert exact_iou((0, 0, 4, 4, 0.3), (0, 0, 4, 4, 0.3)) == 1
    assert exact_iou((0, 0, 2, 2, 0), (2, 0, 2, 2, 0)) == 0
    assert exact_iou((0, 0, 10, 10, 1), (1, 1, 2, 3, 2)) == pytest.approx(6 / 100, abs=1e-15)


@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_pairs_are_what_their_name_says(kind):
    first, second = inputs.pairs(kind, 300)
    again = inputs.pairs(kind, 300)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    sides = torch.cat((first, second))[:, 2:4]
    assert sides.min() >= 2 - 1e-3
    assert sides.max() <= 62 + 1e-3
    iou = rotated_iou(first, second, aligned=True)
    assert (iou > 0.99).all() if kind in ("identical", "jittered", "swapped") else 0.2 < (iou > 0).double().mean() <= 1
    assert (first[:, :2].mean() > 19_000) == (kind == "far")


def test_scenes_and_priors():
    priors, sizes = inputs.priors()
    assert len(priors) == sum(sizes) == 21_824
    assert priors[129].tolist() == [8, 8, 32, 32, 0]
    assert (inputs.scene(50, grid=4)[:, :2] % 4 == 0).all()
    upright = inputs.scene(50, grid=4, upright=True)
    assert set(upright[:, 4].tolist()) == {0.0, float(torch.tensor(-math.pi / 2))}
    assert (upright[:, 2:4] % 4 == 0).all()
    boxes, scores, labels = inputs.harbour(40, 5)
    assert boxes.shape == (200, 5)
    assert len(set(scores.tolist())) == 200
    assert set(labels.tolist()) == {0}
    assert abs(len(rotated_nms(boxes, scores, labels, 0.3)) - 40) <= 2  # a ship's detections are one, neighbours apart


# -- why assignments differ --------------------------------------------------------------------------------------------


@pytest.fixture
def scene():
    priors, sizes = inputs.priors(256)
    return priors, sizes, inputs.scene(20, 1, size=256, grid=4)


def test_replay_of_our_ingredients_is_our_assignment(scene):
    priors, sizes, objects = scene
    candidates = explain.nearest_priors(priors[:, :2], sizes, objects[:, :2], explain.TOPK)
    overlap = explain.exact_overlaps(priors, objects, candidates)
    assert torch.equal(explain.replay(priors, objects, candidates, overlap), atss_assign(priors, sizes, objects)[0])


def causes(scene, monkeypatch, peer_candidates=None, wrong=0.0):
    """The causes found when the peer has these candidates and IoUs too high by ``wrong`` for every third candidate."""
    priors, sizes, objects = scene
    mine = atss_assign(priors, sizes, objects)[0]
    ours = explain.nearest_priors(priors[:, :2], sizes, objects[:, :2], explain.TOPK)
    theirs = ours if peer_candidates is None else peer_candidates(ours)

    def overlaps(priors, objects, candidates, device):
        return explain.exact_overlaps(priors, objects, candidates) + wrong * (candidates % 3 == 0)

    monkeypatch.setattr(explain, "peer_candidates", lambda *_: theirs)
    monkeypatch.setattr(explain, "peer_overlaps", overlaps)
    peer = explain.replay(priors, objects, theirs, overlaps(priors, objects, theirs, "cpu"))
    return {each["cause"] for each in explain.explain(priors, sizes, objects, mine, peer)}


def test_wrong_ious_of_the_peer_are_told(scene, monkeypatch):
    assert causes(scene, monkeypatch, wrong=0.2) == {explain.WRONG}


def test_distance_ties_are_told(scene, monkeypatch):
    priors, sizes, objects = scene

    def other_choice(_):
        """The highest index among equals instead of the lowest."""
        flipped = explain.nearest_priors(priors.flip(0)[:, :2], sizes[::-1], objects[:, :2], explain.TOPK)
        levels = (len(priors) - 1 - flipped).split([min(explain.TOPK, size) for size in sizes[::-1]], 1)
        return torch.cat(levels[::-1], 1)

    assert causes(scene, monkeypatch, other_choice) == {explain.TIE}


def test_candidates_that_are_no_ties_stay_unexplained(scene, monkeypatch):
    assert causes(scene, monkeypatch, lambda ours: (ours + 3).clamp(max=len(scene[0]) - 1)) == {explain.UNEXPLAINED}


def test_nms_mistakes():
    boxes = torch.tensor([[0.0, 0, 10, 10, 0], [1.0, 0, 10, 10, 0], [50.0, 0, 10, 10, 0]])
    case = boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)
    told = {kept: bench_nms.mistakes(case, torch.tensor(kept)) for kept in ((0, 2), (0, 1, 2), (0,))}
    assert [tuple(each.values()) for each in told.values()] == [(0, 0), (1, 0), (0, 1)]


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_records_make():
    """A failure means: run `make bench-table`."""
    pages = make_table.pages(make_table.load(make_table.ROOT / "benchmarks" / "results"))
    assert len(pages) == 2
    assert all(path.read_text(encoding="utf-8") == text for path, text in pages.items())


def test_the_page_lists_what_is_missed_and_what_is_not_measured(tmp_path):
    from benchmarks.harness import bar, environment

    nothing = make_table.page(make_table.load(tmp_path))
    assert all(f"bench_{name}.py" in nothing for name in make_table.TITLES)
    assert "bench-gpu" in nothing
    times = {"median": 0.5, "min": 0.4, "max": 0.6, "runs": 3}
    row = {"objects": 500, "ours": times, "ours_mb": 12.0}
    where = {**environment(), "device": "NVIDIA H200"}
    record = {"name": "assign", "environment": where, "bars": [bar("faster", 5, at_least=100)], "results": [row],
              "comparisons": [], "peer_missing": "mmrotate is absent"}  # fmt: skip
    page = make_table.page([record])
    assert "| faster | NVIDIA H200 | ≥ 100 | 5 | **missed** |" in page
    assert "## Assignment beside mmrotate, NVIDIA H200" in page
    assert "500 (400 to 600)" in page
    assert "Peer: mmrotate is absent." in page
    assert "bench-gpu" not in page
    assert "bench_assign.py`" in page


SCRIPTS = sorted(path.stem for path in (make_table.ROOT / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("script", [*SCRIPTS, "make_table", "make_models", "record_accuracy", "on_gpu"])
def test_every_script_answers_help_and_the_readme_names_it(script, capsys, monkeypatch):
    main = importlib.import_module(f"benchmarks.{script}").main
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"{script}.py" in capsys.readouterr().out
    readme = (make_table.ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert script.removeprefix("bench_") in (*make_table.TITLES, "models", "scaling") or not script.startswith("bench_")
    assert f"{script}.py" in readme or script == "on_gpu"


def test_no_gpu_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["on_gpu.py"])
    assert on_gpu.main() == 0
    assert capsys.readouterr().out.count("\n") == 1

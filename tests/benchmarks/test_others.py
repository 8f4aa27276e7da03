"""supervision, sahi and ultralytics as peers: what is said without them, and how they are asked, by stand-ins."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from benchmarks import bench_others, bench_split, harness, inputs, make_table, others
from benchmarks.peers import optional
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.folders import list_images
from rotated_atss.dota.labels import read_labels
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.boxes import poly_to_obb
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

CROWD = inputs.detections(60, 3, 2, 256)


@pytest.fixture
def nobody(monkeypatch):
    """A machine without any of them."""
    for name in others.NEEDS:
        monkeypatch.setitem(sys.modules, name, None)


def stand_in(monkeypatch, name, **members):
    """Put a module in a package's place, and packages above it."""
    for depth in range(1, name.count(".") + 1):
        monkeypatch.setitem(sys.modules, name.rsplit(".", depth)[0], ModuleType("package"))
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


# -- absent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", others.NEEDS)
def test_an_absent_package_is_one_line(package, nobody):
    module, why = optional(package)
    assert module is None
    assert why.startswith(f"{package} cannot be used: ")
    assert "\n" not in why


def test_a_package_at_odds_with_another_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "sahi.py").write_text("import numpy\nnumpy.float_of_old\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sahi", raising=False)
    module, why = optional("sahi")
    assert module is None
    assert "float_of_old" in why


def test_a_version_without_what_is_called_is_one_line(monkeypatch):
    stand_in(monkeypatch, "supervision", Detections=Detections)
    assert optional("supervision")[0] is sys.modules["supervision"]
    module, why = optional("supervision", others.NEEDS["supervision"])
    assert module is None
    assert "oriented_box_iou_batch" in why


def test_a_package_that_sets_the_threads_does_not_change_what_the_record_says(monkeypatch):
    def importing(name):
        os.environ["OMP_NUM_THREADS"] = "1"
        return ModuleType(name)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("benchmarks.peers.importlib.import_module", importing)
    assert optional("ultralytics")[0] is not None
    assert harness.environment()["threads"] == "default"


def run(monkeypatch, tmp_path, *words):
    """The script with tiny inputs; its record, or None."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench_others, "BOXES", {"tile": lambda: (inputs.scene(20, 0), inputs.scene(30, 1))})
    monkeypatch.setattr(bench_others, "SCENES", {"tile": lambda: CROWD})
    monkeypatch.setattr("sys.argv", ["bench_others.py", "--repeats", "1", "--split-repeats", "1", *words])
    bench_others.main()
    record = tmp_path / "results" / "others.json"
    return json.loads(record.read_text()) if record.exists() else None


def test_without_any_of_them_every_reason_is_told_and_no_record_replaced(nobody, monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path) is None
    told = capsys.readouterr().out
    assert all(f"{name} cannot be used" in told for name in others.NEEDS)
    assert "no record" in told


def test_one_of_them_alone_is_measured_and_the_page_names_the_others(nobody, monkeypatch, tmp_path):
    stand_in(monkeypatch, "supervision", oriented_box_iou_batch=polygon_iou, Detections=Detections)
    record = run(monkeypatch, tmp_path)
    assert set(record["missing"]) == {"sahi", "ultralytics"}
    assert record["results"]["split"] == []
    (iou,), (nms,) = record["results"]["iou"], record["results"]["nms"]
    assert iou["pairs"] == 600
    assert iou["peer_error"]["worst"] < 1e-6
    assert iou["ratio"] > 0
    assert nms["same"]
    assert nms["kept"] == nms["peer_kept"]
    assert sum(nms["peer_mistakes"].values()) == 0
    page = make_table.section(record)
    assert "| nothing: sahi cannot be used" in page
    assert "| IoU, NMS |" in page
    assert "20 x 30: tile" in page
    assert "sahi, merging: its postprocess compares upright boxes" in page


# -- how they are asked ------------------------------------------------------------------------------------------------


def polygon_iou(first, second):
    assert first.shape[1:] == second.shape[1:] == (4, 2)
    assert first.dtype == np.float64
    return rotated_iou(*(poly_to_obb(torch.from_numpy(each).flatten(1)) for each in (first, second))).numpy()


class Detections(SimpleNamespace):
    """As supervision's: columns of arrays, of which NMS takes some rows."""

    def with_nms(self, threshold):
        boxes = poly_to_obb(torch.from_numpy(self.data["xyxyxyxy"]).flatten(1))
        kept = rotated_nms(boxes, torch.from_numpy(self.confidence), torch.from_numpy(self.class_id), threshold)
        assert self.xyxy.shape == (len(boxes), 4)
        return SimpleNamespace(data={"index": self.data["index"][kept.sort()[0].numpy()]})


def test_ultralytics_is_given_channels_first_class_scores_and_the_angle_last(monkeypatch):
    boxes, scores, labels = CROWD

    def non_max_suppression(prediction, *, conf_thres, iou_thres, nc, rotated, max_det, max_nms, return_idxs, **rest):
        assert prediction.shape == (1, 4 + nc + 1, len(boxes))
        assert rotated
        assert return_idxs
        assert conf_thres == 0
        assert max_det == max_nms == len(boxes)
        x = prediction[0].T
        assert torch.equal(torch.cat((x[:, :4], x[:, -1:]), 1), boxes)
        best = x[:, 4:-1].max(1)
        assert torch.equal(best.values, scores)
        assert torch.equal(best.indices, labels)
        return [None], [rotated_nms(boxes, *best, iou_thres)]

    stand_in(monkeypatch, "ultralytics.utils.nms", non_max_suppression=non_max_suppression)
    assert torch.equal(others.ultralytics_nms(*CROWD, 0.1)(), rotated_nms(*CROWD, 0.1))
    found = bench_others.best_threshold(others.ultralytics_nms, CROWD)
    assert found == {"threshold": 0.1, "mistakes": {"kept_too_many": 0, "dropped_too_many": 0}}


def test_fast_nms_of_areas_keeps_classes_apart(monkeypatch):
    def fast_nms(boxes, scores, threshold, *, iou_func):
        order = scores.argsort(descending=True)
        iou = iou_func(boxes[order], boxes[order]).triu(1)
        return order[(iou <= threshold).all(0)]

    stand_in(monkeypatch, "ultralytics.utils.nms", TorchNMS=SimpleNamespace(fast_nms=fast_nms))
    boxes = torch.tensor([[0.0, 0, 10, 10, 0], [8.0, 0, 10, 10, 0], [16.0, 0, 10, 10, 0], [0.0, 0, 10, 10, 0]])
    scene = boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 0, 0, 1])
    assert sorted(others.fast_nms_of_areas(*scene, 0.1).tolist()) == [0, 3]  # 2 is lost to 1, which is lost to 0
    assert rotated_nms(*scene, 0.1).tolist() == [0, 2, 3]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_split, "SHAPES", [(700, 500, 9), (1300, 1100, 30)])
    return bench_split.generate(tmp_path / "data")


def test_splitting_beside_ultralytics(data, monkeypatch, tmp_path):
    def split(data_root, save_dir, part, sizes, gaps):
        """Ours, in ultralytics' layout."""
        root, out = Path(data_root), Path(save_dir)
        assert (part, sizes, gaps) == ("train", (1024,), (200,))
        first = (root / "labels/train/P0000.txt").read_text().split()
        assert first[0] == str(CLASSES["v2.0"].index("ship"))
        assert float(first[1]) == pytest.approx(read_labels(data / "labelTxt/P0000.txt").polygons[0, 0] / 700)
        tiles = tmp_path / "tiles"
        settings = SplitSettings(padding=None, image_format="jpg")
        split_dota(root / "images/train", data / "labelTxt", tiles, settings, workers=1, overwrite=True)
        for name in ("images", "labels"):
            (out / name / "train").mkdir(parents=True, exist_ok=True)
        for tile in list_images(tiles / "images"):
            (out / "images/train" / tile.name).write_bytes(tile.read_bytes())
            height, width = cv2.imread(str(tile)).shape[:2]
            corners = read_labels(tiles / "labelTxt" / f"{tile.stem}.txt").polygons / ((width, height) * 4)
            lines = [f"6 {' '.join(f'{share:.6g}' for share in row)}\n" for row in corners.tolist()]
            if lines:
                (out / "labels/train" / f"{tile.stem}.txt").write_text("".join(lines))

    stand_in(monkeypatch, "ultralytics.data.split_dota", split_images_and_labels=split)
    row = bench_others.ultralytics_row(data, tmp_path, 1)
    assert row["tiles"] == row["peer_tiles"] == row["same_pixels"] == row["same_objects"] == 5
    assert row["workers"] == 1
    assert row["ours_mb"] == row["peer_mb"] > 0
    label = next((tmp_path / "ultralytics/labels/train").iterdir())
    label.write_text(label.read_text().replace("6 ", "5 ", 1))
    assert not bench_others.same_objects(tmp_path / "ours_jpg/labelTxt" / label.name, label)


def test_splitting_beside_sahi(data, monkeypatch, tmp_path):
    def slice_image(image, output_file_name, output_dir, slice_height, slice_width, out_ext, **overlap):
        assert {share * slice_width for share in overlap.values()} == {200}
        pixels = cv2.imread(image)
        height, width = pixels.shape[:2]
        Path(output_dir).mkdir(exist_ok=True)
        for x1, y1, x2, y2 in sliding_windows(width, height, [(slice_width, 200)], 0.0).tolist():
            x2, y2 = min(x2, width), min(y2, height)
            cv2.imwrite(f"{output_dir}/{output_file_name}_{x1}_{y1}_{x2}_{y2}{out_ext}", pixels[y1:y2, x1:x2])

    stand_in(monkeypatch, "sahi.slicing", slice_image=slice_image, MAX_WORKERS=4)
    row = bench_others.sahi_row(data, tmp_path, 1, 2)
    assert row["tiles"] == row["peer_tiles"] == row["same_pixels"] == 5
    assert row["workers"] == 2
    assert sys.modules["sahi.slicing"].MAX_WORKERS == 2
    spoilt = next((tmp_path / "sahi").iterdir())
    cv2.imwrite(str(spoilt), cv2.imread(str(spoilt))[:, ::-1])
    spoilt_row = bench_others.compare(tmp_path / "ours_png", tmp_path / "sahi", lambda tile, shape: spoilt)
    assert spoilt_row["same_pixels"] == 0


# -- the packages themselves, where they are installed -----------------------------------------------------------------


def test_supervision_gives_our_iou_and_nms():
    pytest.importorskip("supervision")
    first, second = inputs.scene(20, 0), inputs.scene(30, 1)
    assert torch.allclose(others.supervision_iou(first, second)().float(), rotated_iou(first, second), atol=1e-5)
    assert torch.equal(others.supervision_nms(*CROWD, 0.1)(), rotated_nms(*CROWD, 0.1).sort()[0])


def test_sahi_merges_by_upright_boxes():
    pytest.importorskip("sahi")
    assert others.sahi_keeps_of_two_ships() == {"ours": 2, "sahi": 1}


def test_ultralytics_keeps_a_box_of_every_object():
    pytest.importorskip("ultralytics")
    kept = others.ultralytics_nms(*CROWD, 0.1)()
    assert 0 < len(kept) <= len(rotated_nms(*CROWD, 0.1))
    assert len(kept.unique()) == len(kept)

"""docs/models.md: model cards, counted sizes, recorded accuracies, and the page itself."""

import json
from argparse import Namespace

import pytest
import torch

pytest.importorskip("mmdet")

from benchmarks import bench_models, models_page, record_accuracy, records
from benchmarks.zoo import Card, card
from rotated_atss.configs import config_names, find_config

DEMO = "rotated_atss_obb_r18_demo_le90"
LE90 = "rotated_atss_obb_r50_fpn_1x_dota_le90"


def test_the_page_is_up_to_date():
    """A failure means: run `make models-table`."""
    assert all(path.read_text(encoding="utf-8") == text for path, text in models_page.pages().items())


def test_the_record_has_the_size_of_every_config():
    """A failure means: run `make models`."""
    (record,) = models_page.named(records.load(records.RESULTS), "models")
    assert [row["config"] for row in record["rows"]] == config_names()


@pytest.mark.parametrize("config", [DEMO, LE90])
def test_the_recorded_size_is_that_of_the_model(config):
    """A failure means: the model has changed, run `make models`."""
    (record,) = models_page.named(records.load(records.RESULTS), "models")
    row = next(row for row in record["rows"] if row["config"] == config)
    assert row == bench_models.size_row(config)
    assert row["parameters"] == sum(each.numel() for each in bench_models.build(config).parameters())


@pytest.mark.parametrize(
    "config, boxes, head, positives, schedule, checkpoint",
    [
        (LE90, "oriented, le90", "RotatedRetinaHead", "ATSS (obb)", "12 epochs", "epoch_12.pth"),
        (DEMO, "oriented, le90", "RotatedRetinaHead", "ATSS (obb)", "750 iterations", "iter_750.pth"),
        ("rotated_retinanet_hbb_r50_fpn_1x_dota_oc", "oriented, oc", "RotatedRetinaHead", "max IoU (hbb)", "12 epochs",
         "epoch_12.pth"),
        ("r3det_atss_r50_fpn_1x_dota_oc", "oriented, oc", "R3Det", "ATSS (hbb), then max IoU (obb)", "12 epochs",
         "epoch_12.pth"),
        ("atss_r101_fpn_2x_ms_coco", "horizontal", "HorizontalATSSHead", "ATSS", "24 epochs", "epoch_24.pth"),
        ("rotated_ablation_ssc_r50_fpn_1x_dota_le90", "oriented, le90", "RotatedATSSHead", "SSC (obb)", "12 epochs",
         "epoch_12.pth"),
    ],
)  # fmt: skip
def test_the_card_describes_the_config(config, boxes, head, positives, schedule, checkpoint):
    found = card(config)
    assert (found.name, found.folder) == (config, find_config(config).parent.name)
    folders = {"coco": "COCO", "demo": "synthetic scenes"}
    assert found.dataset == folders.get(found.folder, "DOTA-v1.0")
    assert (found.boxes, found.head, found.positives) == (boxes, head, positives)
    assert (found.schedule, found.checkpoint, found.horizontal) == (schedule, checkpoint, boxes == "horizontal")


def test_a_published_figure_is_not_inherited(tmp_path):
    assert [each["value"] for each in card(LE90).published] == [70.64]
    leaf = tmp_path / "leaf.py"
    leaf.write_text(f"_base_ = {str(find_config(LE90))!r}\nmodel = dict(bbox_head=dict(stacked_convs=1))\n")
    assert card(leaf).published == []
    leaf.write_text(leaf.read_text() + 'published = [dict(metric="mAP", value=1.5, source="a paper")]\n')
    assert [each["value"] for each in card(leaf).published] == [1.5]


class Toy(torch.nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x, mode):
        assert mode == "tensor"
        return self.layers(x)


def test_a_multiply_add_counts_as_one_operation():
    convolution = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2, groups=1)
    grouped = torch.nn.Conv2d(8, 12, 3, groups=4)
    counted = bench_models.multiply_adds(Toy(convolution, torch.nn.BatchNorm2d(8), torch.nn.ReLU(), grouped), (32, 20))
    assert counted == 16 * 10 * 8 * 3 * 25 + 14 * 8 * 12 * 2 * 9


def test_a_deformable_convolution_counts_its_offsets_too():
    from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2

    layer = Toy(TorchvisionDCNv2(3, 6, 3, padding=1, deform_groups=3))
    assert bench_models.multiply_adds(layer, (10, 12)) == 10 * 12 * (6 * 3 * 9 + 3 * 3 * 9 * 3 * 9)


def test_sizes_counted_without_values_are_those_of_the_real_model():
    """The published figure of mmrotate's RetinaNet R50 at 1024 x 1024 is 215.92 GFLOPs, norms included."""
    row = bench_models.size_row("rotated_retinanet_obb_r50_fpn_1x_dota_le90")
    assert row["macs"]["1024x1024"] == pytest.approx(215.92e9, rel=0.005)
    real = bench_models.build(DEMO)
    assert bench_models.multiply_adds(real, (256, 256)) * 16 == bench_models.size_row(DEMO)["macs"]["1024x1024"]


def test_the_speed_of_one_config():
    row = bench_models.speed_row(DEMO, "cpu", 256, 2)
    assert row["config"] == DEMO
    assert row["seconds"]["runs"] == 2
    assert 0 < row["seconds"]["min"] <= row["seconds"]["median"] <= row["seconds"]["max"]
    assert row["extra_mb"] >= 0


def test_a_few_configs_are_timed_on_the_cpu_and_all_on_a_gpu():
    options = dict(no_timing=False, time=None, device="cpu")
    assert bench_models.timed_configs(Namespace(**options)) == list(bench_models.TIMED_ON_CPU)
    assert set(bench_models.TIMED_ON_CPU) <= set(config_names())
    assert bench_models.timed_configs(Namespace(**{**options, "device": "cuda"})) == config_names()
    assert bench_models.timed_configs(Namespace(**{**options, "time": [DEMO]})) == [DEMO]
    assert bench_models.timed_configs(Namespace(**{**options, "no_timing": True})) == []


def sample(name="some_model", folder="dota", **changes):
    known = dict(name=name, folder=folder, dataset="DOTA-v1.0", horizontal=False, boxes="oriented, oc", head="Head",
                 positives="ATSS (hbb)", schedule="12 epochs", checkpoint="epoch_12.pth", published=[])  # fmt: skip
    return Card(**{**known, **changes})


def line_of(page, name):
    return next(line for line in page.splitlines() if line.startswith(f"| [`{name}`]"))


def test_missing_figures_are_marked():
    page = models_page.models_page([sample()], [])
    assert line_of(page, "some_model").count(models_page.MISSING) == 4  # parameters, GFLOPs, accuracy, seconds
    assert "run.py models --device cuda" in page
    assert "None yet" in page


def test_a_row_with_all_figures():
    where = {**records.environment(), "device": "NVIDIA H200"}
    sizes = [{"config": "some_model", "parameters": 12_345_678, "macs": {"1024x1024": 207_084_388_352}}]
    seconds = {"median": 0.05, "min": 0.04, "max": 0.07, "runs": 5}
    speed = {
        "name": "models_speed",
        "environment": where,
        "rows": [{"config": "some_model", "seconds": seconds, "extra_mb": 512.0}],
    }
    measured = dict(
        config="some_model", dataset="DOTA-v1.0 val", metric="AP50, voc07", value=71.2, images=458,
        commit="abc1234", device="NVIDIA H200", command="python tools/test.py some_model x.pth",
    )  # fmt: skip
    published = [
        dict(metric="mAP", value=70.64, source="one"),
        dict(metric="mAP", value=71, source="two"),
        dict(metric="AP75", value=40, source="one"),
    ]
    size = {"name": "models", "environment": where, "rows": sizes}
    accuracy = {"name": "models_accuracy", "rows": [measured]}
    page = models_page.models_page([sample(published=published), sample("another")], [size, speed, accuracy])
    line = line_of(page, "some_model")
    assert "| 12.35 | 207.1 |" in line
    assert "| 0.05 (0.04 to 0.07) | 512 |" in line
    assert "| mAP: 70.64 (one), 71 (two); AP75: 40 (one) | 71.2 AP50, voc07, DOTA-v1.0 val |" in line
    assert "| 458 | abc1234 | NVIDIA H200 | `python tools/test.py some_model x.pth` |" in page
    assert line_of(page, "another").count(models_page.MISSING) == 4
    assert "on a GPU: not measured" not in page


def test_models_are_grouped_by_folder_and_rows_have_equal_cells():
    cards = [
        sample("b", "demo"), sample("z", "coco", horizontal=True), sample("a", "coco", horizontal=True),
        sample("own", "somewhere"), sample("c", "ssdd"), sample("d", "hrsc2016"),
        sample("a", "ablation"), sample("b", "ablation", horizontal=True),
    ]  # fmt: skip
    page = models_page.models_page(cards, [])
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    kinds = ("ssdd", "coco", "ablation", "demo")  # other datasets than DOTA are in one section
    assert titles == [*(models_page.TITLES[kind] for kind in kinds), "somewhere", "Measured accuracies"]
    assert page.index("configs/coco/a.py") < page.index("configs/coco/z.py")
    for table in page.split("## ")[1:-1]:
        assert len({line.count(" | ") for line in table.splitlines() if line.startswith("|")}) == 1
        assert ("1333 x 800" in table) == ("coco" in table or "ablation" in table)


@pytest.fixture
def record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")

    def run(ap, *more, config=LE90, data="val"):
        path = tmp_path / "ap.json"
        path.write_text(ap if isinstance(ap, str) else json.dumps(ap))
        words = ["--config", config, "--ap", str(path), "--data", data, "--command", "tools/test.py"]
        monkeypatch.setattr("sys.argv", ["record_accuracy.py", *words, *more])
        status = record_accuracy.main()
        output = capsys.readouterr()
        found = records.load(records.RESULTS)
        return status, output.err if status else output.out, found[0]["rows"] if found else []

    return run


def dota_figures():
    """The ap.json of `rotated-atss test` for one object that is detected."""
    import numpy as np

    from rotated_atss.dota.ap_result import result_to_json
    from rotated_atss.dota.detections import Detections
    from rotated_atss.dota.labels import Labels
    from rotated_atss.dota.task1_evaluation import evaluate_detections

    square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
    found = Detections(("one",), np.array([0]), np.array([0.9]), square)
    labels = Labels(square, ("ship",), np.array([0]), np.array([1]))
    return result_to_json(evaluate_detections({"ship": found}, {"one": labels}))


def coco_figures(ap):
    return {"rows": [{"key": "AP", "value": ap}, {"key": "AP50", "value": 0.6}, {"key": "AP_small", "value": None}],
            "images": 5000}  # fmt: skip


def test_accuracy_of_dota_and_coco_is_recorded(record):
    status, line, rows = record(dota_figures())
    assert status == 0
    assert "100.0 AP50, voc07" in line
    assert len(rows) == 1
    assert rows[0]["config"] == LE90
    assert rows[0]["value"] == 100
    assert rows[0]["images"] == 1
    assert rows[0]["dataset"] == "val"
    assert rows[0]["command"] == "tools/test.py"
    assert rows[0]["commit"]
    _, _, rows = record(coco_figures(0.393), config="atss_r50_fpn_1x_coco", data="COCO minival")
    assert [(row["metric"], row["value"]) for row in rows] == [("AP", 39.3), ("AP50, voc07", 100)]
    _, _, rows = record(coco_figures(0.394), "--metric", "AP50", config="atss_r50_fpn_1x_coco", data="COCO minival")
    assert [row["metric"] for row in rows] == ["AP", "AP50", "AP50, voc07"]
    _, _, rows = record(coco_figures(0.401), config="atss_r50_fpn_1x_coco", data="COCO minival")
    assert [row["value"] for row in rows] == [40.1, 60, 100]
    page = models_page.models_page([card(LE90)], [{"name": "models_accuracy", "rows": rows}])
    assert "100.0 AP50, voc07, val" in line_of(page, LE90)


@pytest.mark.parametrize(
    "ap, more, message",
    [
        ("{", (), "not valid JSON"),
        ([], (), "no AP in this file"),
        ({"something": 1}, (), "no AP in this file"),
        (coco_figures(0.4), ("--metric", "AP75"), "no AP75 in this file (it has AP, AP50)"),
        (coco_figures(0.4), ("--config", "nothing_such"), "no such config"),
    ],
)
def test_an_invalid_accuracy_is_reported_in_one_line(record, ap, more, message):
    status, line, rows = record(ap, *more)
    assert status == 2
    assert message in line
    assert line.count("\n") == 1
    assert rows == []

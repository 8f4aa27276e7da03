"""Outputs of a test run never overlap its inputs."""

import pytest
from mmengine.config import Config

from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.outputs import configure_outputs
from rotated_atss.errors import UserError

DEMO = "rotated_atss_obb_r18_demo_le90"


@pytest.mark.parametrize("where", ["images", "labelTxt", "labelTxt/below"])
def test_outputs_that_overlap_an_input_are_refused(tiles, tiny_options, tmp_path, where, fault):
    before = sorted(tiles.rglob("*"))
    (tmp_path / "labels").mkdir()
    outputs = {
        tiles / where: dict(out=str(tiles / where)),
        tiles / where / "s.zip": dict(submission=str(tiles / where / "s.zip")),
        tmp_path / "labels" / "x": dict(labels=[str(tmp_path / "labels")], out=str(tmp_path / "labels" / "x")),
    }
    for output, changes in outputs.items():
        options = TestOptions(work_dir=str(tmp_path / "w"), cfg_options=tiny_options, **changes)
        error = fault(runner.test, DEMO, tmp_path / "none.pth", options)
        assert error.startswith(f"{output}: the output overlaps the input ")
    assert sorted(tiles.rglob("*")) == before


DATA = dict(data_root="data", ann_file="ann/val.json", data_prefix=dict(img="images"))


@pytest.mark.parametrize(
    "metric, out, accepted",
    [
        ("DOTAMetric", "merged", True),
        ("DOTAMetric", "data", True),  # contains the inputs
        ("DOTAMetric", "data/merged", True),  # next to the inputs
        ("DOTAMetric", "data/images", False),
        ("DOTAMetric", "data/images/merged", False),
        ("DOTAMetric", "data/ann", True),  # the folder of the file that is read
        ("DOTAMetric", "data/ann/val.json", False),
        ("CocoBoxMetric", "data", True),
        ("CocoBoxMetric", "data/ann", False),
        ("CocoBoxMetric", "data/ann/results", True),
        ("CocoBoxMetric", "data/images/x", False),
        ("OtherMetric", "data/images", True),  # writes nothing
    ],
)
def test_which_output_folders_are_accepted(metric, out, accepted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = Config(dict(work_dir="work", test_evaluator=dict(type=metric), test_dataloader=dict(dataset=DATA)))
    if accepted:
        configure_outputs(cfg, labels=None, out=out, submission=None)
    else:
        with pytest.raises(UserError, match=f"{out}: the output overlaps the input "):
            configure_outputs(cfg, labels=None, out=out, submission=None)


@pytest.mark.parametrize("option", ["out", "submission", "report"])
def test_outputs_that_cannot_be_written_are_refused_before_the_test(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    outputs = {"out": "merged", "submission": "s.zip", "report": "r", option: "file/below.zip"}
    cfg = Config(dict(work_dir="work", test_evaluator=dict(type="DOTAMetric"), test_dataloader=dict(dataset=DATA)))
    with pytest.raises(UserError, match=r"^file/below.zip: cannot be written: \S+/file is not a folder"):
        configure_outputs(cfg, labels=None, **outputs)


@pytest.mark.parametrize("metric", ["DOTAMetric", "CocoBoxMetric"])
def test_folder_of_the_report(metric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()

    def configure(report, out="merged"):
        cfg = Config(dict(work_dir="work", test_evaluator=dict(type=metric), test_dataloader=dict(dataset=DATA)))
        configure_outputs(cfg, labels=None, out=out, submission=None, report=report)
        return cfg.test_evaluator.get("report_dir")

    assert configure(None) is None
    assert configure("") == "work/report"
    assert configure("r") == "r"
    for report, message in (
        ("full", "full: the folder is not empty and has no report"),
        ("merged", "merged: the folder of the report would contain merged"),
        ("data/images/r", "data/images/r: the output overlaps the input "),
    ):
        with pytest.raises(UserError, match=message):
            configure(report)


def test_other_metrics_have_no_report():
    cfg = Config(dict(work_dir="work", test_evaluator=dict(type="Other"), test_dataloader=dict(dataset=DATA)))
    with pytest.raises(UserError, match="--report needs a config with DOTAMetric or CocoBoxMetric"):
        configure_outputs(cfg, labels=None, out=None, submission=None, report="")

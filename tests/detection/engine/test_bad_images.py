"""Images that cannot be read in training and testing."""

import shutil
import time

import pytest

from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.runner import test as run_test
from rotated_atss.detection.evaluation.dota_metric import DOTAMetric

pytestmark = pytest.mark.usefixtures("quick")

DEMO = "rotated_atss_obb_r18_demo_le90"


@pytest.fixture
def damaged(tiles, tmp_path):
    """The tiles, of which one is truncated and one is no image."""
    folder = tmp_path / "damaged"
    shutil.copytree(tiles, folder)
    paths = sorted((folder / "images").iterdir())
    paths[1].write_bytes(paths[1].read_bytes()[:400])
    paths[4].write_text("no image")
    return folder


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_training_skips_and_lists_bad_images(damaged, run, read_log, fault, workers):
    changes = {"train_dataloader.dataset.data_root": str(damaged), "train_dataloader.num_workers": workers}
    assert ".png: " in fault(run, changes, seed=1)
    folder = run(changes, seed=1, on_bad_image="skip")
    lines = (folder / "bad_images.txt").read_text().splitlines()
    assert {line.split(": ")[1].split(" (")[0] for line in lines} == {
        "the image is truncated",
        "not a readable image, or damaged",
    }
    log = read_log(folder)
    assert f"skipped 2 images that cannot be read (list: {folder / 'bad_images.txt'}): {damaged}" in log
    assert (folder / "iter_4.pth").is_file()


def test_a_set_without_a_readable_image_ends_in_one_line(damaged, run, fault):
    for path in (damaged / "images").iterdir():
        path.write_text("no image")
    message = fault(run, {"train_dataloader.dataset.data_root": str(damaged)}, on_bad_image="skip")
    assert "no image of the dataset can be read" in message


def test_a_test_counts_bad_images_as_images_without_detections(
    damaged, run, tiny_options, fault, tmp_path, monkeypatch, read_log
):
    checkpoint, results = run() / "iter_4.pth", {}
    monkeypatch.setattr(
        DOTAMetric, "compute_metrics", lambda self, rows: results.update({row[0]: len(row[1]) for row in rows}) or {}
    )
    options = {**tiny_options, "model.test_cfg.score_thr": 0.0, "experiment_name": tmp_path.name}
    options["test_dataloader.dataset.data_root"] = str(damaged)
    common = dict(work_dir=str(tmp_path / "test"), out=str(tmp_path / "out"))
    message = fault(run_test, DEMO, checkpoint, TestOptions(**common, cfg_options=options))
    assert "the image is truncated" in message
    options["experiment_name"] += "2"
    time.sleep(1.05)  # MMEngine names a log by the second
    run_test(DEMO, checkpoint, TestOptions(**common, cfg_options=options, on_bad_image="skip"))
    names = sorted(path.stem for path in (damaged / "images").iterdir())
    assert [bool(results[name]) for name in names] == [True, False, True, True, False, True]
    expected = "skipped 2 images that cannot be read; in the result they are images without detections (list: "
    assert expected in read_log(tmp_path / "test")

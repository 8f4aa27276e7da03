"""The commands train and test: printed output and error lines."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

import cv2
import torch

from rotated_atss import __version__
from rotated_atss.cli import main

CONFIG = "rotated_atss_obb_r18_demo_le90"
LABEL = "20 30 60 30 60 50 20 50 ship 0\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Speed up small models with one torch thread.

    MMEngine's loggers keep the streams of the test in which they were created; errors of closed streams are ignored.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiles(tmp_path):
    """Four tiles of one image, each with one ship."""
    root = tmp_path / "tiles"
    (root / "images").mkdir(parents=True)
    (root / "labelTxt").mkdir()
    for x in (0, 48, 96, 144):
        image = np.full((96, 96, 3), 60, np.uint8)
        image[30:50, 20:60] = 220
        cv2.imwrite(str(root / "images" / f"P1__96__{x}___0.png"), image)
        (root / "labelTxt" / f"P1__96__{x}___0.txt").write_text(LABEL)
    return root


def options(tiles, *more):
    """Return --cfg-options of a narrow model with small loaders."""
    pairs = [f"{loader}_dataloader.dataset.data_root={tiles}" for loader in ("train", "test")]
    pairs += [f"{loader}_dataloader.batch_size=2" for loader in ("train", "test")]
    pairs += [f"{loader}_dataloader.num_workers=0" for loader in ("train", "test")]
    pairs += [f"{loader}_dataloader.persistent_workers=False" for loader in ("train", "test")]
    pairs += [
        "model.backbone.base_channels=16",
        "model.backbone.stem_channels=16",
        "model.neck.in_channels=[16,32,64,128]",
    ]
    pairs += ["model.neck.out_channels=16", "model.bbox_head.in_channels=16", "model.bbox_head.feat_channels=16"]
    pairs += ["model.bbox_head.norm_cfg.num_groups=4", "train_cfg.max_iters=2", "param_scheduler.0.total_steps=2"]
    return ["--cfg-options", *pairs, "visualizer.vis_backends=[]", *more]


@pytest.fixture
def train(tiles, tmp_path):
    def call(*words, changes=()):
        return main(["train", CONFIG, "--work-dir", str(tmp_path / "work"), *words, *options(tiles, *changes)])

    return call


@pytest.fixture
def error(capsys):
    """Run a call that fails with a user error and return its error line."""

    def call(run, *args, **kwargs):
        capsys.readouterr()
        assert run(*args, **kwargs) == 2
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        (line,) = [line for line in err.splitlines() if ": error: " in line]
        assert err.endswith(line + "\n")
        return line

    return call


def test_train_then_test_writes_a_submission(train, tiles, tmp_path, capsys):
    assert train("--seed", "1") == 0
    out, err = capsys.readouterr()
    checkpoint = tmp_path / "work" / "iter_2.pth"
    check_training_output(out, err, checkpoint)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "P1.txt").write_text(LABEL)
    words = ["--labels", str(tmp_path / "labels"), "--out", str(tmp_path / "out"), "--data", str(tiles)]
    words += ["--submission", str(tmp_path / "s.zip"), "--work-dir", str(tmp_path / "test"), "--report"]
    assert main(["test", CONFIG, str(checkpoint), *words, *options(tmp_path / "elsewhere")]) == 0
    check_test_output(capsys.readouterr().out, tmp_path)
    assert len(list((tmp_path / "out").glob("Task1_*.txt"))) == 15
    ap = json.loads((tmp_path / "out" / "ap.json").read_text())
    assert json.loads((tmp_path / "test" / "report" / "report.json").read_text())["summary"]["AP50"] == ap["AP50"]
    main(["check-submission", str(tmp_path / "s.zip")])
    # the only finding, if any: a model of two iterations can have no detection above its score threshold
    assert not re.search(r"^(error|warning): (?!detections: )", capsys.readouterr().out, re.MULTILINE)
    assert not (tmp_path / "elsewhere").exists()


def check_training_output(out, err, checkpoint):
    """Check what a training prints without a terminal: few plain lines, and its result as the last one."""
    assert err == ""
    assert not set("\r\x1b") & set(out)
    *lines, folder, last = out.splitlines()
    assert folder == f"checkpoints and logs: {checkpoint.parent}"
    header, progress = lines[:5], lines[5:]
    assert header[0].startswith(f"rotated-atss {__version__}: train {CONFIG}, ")
    assert header[1].startswith("device: ")
    assert header[2].startswith("training data: 4 images, 15 classes (plane, ")
    assert header[3] == "schedule: 2 iterations of 2 images, seed 1"
    assert all(line.startswith("iteration 2/2  loss ") and "images/s" in line for line in progress)
    result = json.loads(last)
    assert json.loads((checkpoint.parent / "train_result.json").read_text()) == result
    assert (result["result"], result["iterations"], result["epochs"]) == ("train", 2, None)
    assert (result["checkpoint"], result["val"]) == (str(checkpoint), None)
    assert header[4] == f"log: {result['log']}"
    log = Path(result["log"]).read_text()
    assert all(part in log for part in ("System environment", "Config:", "Hooks will be executed", *header))
    losses = [float(value) for value in re.findall(r"Iter\(train\) .* loss: ([\d.]+)", log)]
    assert not losses or losses[-1] == pytest.approx(result["loss"], abs=1e-4)


def check_test_output(out, folder):
    """Check what a test prints: a short header, the table of AP and its result as the last line."""
    lines = out.splitlines()
    assert lines[0].startswith(f"rotated-atss {__version__}: test {CONFIG}, ")
    assert lines[2:4] == [f"checkpoint: {folder / 'work' / 'iter_2.pth'}",
                          f"test data: 4 images, 15 classes (plane, baseball-diamond, bridge, ground-track-field, "
                          f"small-vehicle, ...), {folder / 'tiles'}"]  # fmt: skip
    assert len(lines) < 40
    result = json.loads(lines[-1])
    assert json.loads((folder / "test" / "test_result.json").read_text()) == result
    ap = json.loads((folder / "out" / "ap.json").read_text())
    assert result["metrics"] == {name: ap[name] for name in ("AP50", "AP75", "AP50_95")}
    assert (result["result"], result["images"], result["out"]) == ("test", 4, str(folder / "out"))
    assert (result["submission"], result["report"]) == (str(folder / "s.zip"), str(folder / "test" / "report"))


def test_quiet_prints_the_result_only(train, tiles, tmp_path, capsys):
    assert train("--quiet") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["result"] == "train"
    again = ["--init-from", str(tmp_path / "work" / "iter_2.pth"), "--work-dir", str(tmp_path / "again")]
    assert train("--quiet", *again) == 0
    assert json.loads(capsys.readouterr().out)["work_dir"] == str(tmp_path / "again")
    words = ["test", CONFIG, str(tmp_path / "work" / "iter_2.pth"), "--quiet", "--work-dir", str(tmp_path / "test")]
    assert main([*words, *options(tiles)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["metrics"] is None  # the tiles have no manifest that names labels
    assert "epoch" not in err


def test_a_finished_training_has_a_result_too(train, tmp_path, capsys):
    assert train() == 0
    capsys.readouterr()
    assert train("--resume") == 0
    out, err = capsys.readouterr()
    assert "finished: iteration 2 of 2" in err
    result = json.loads(out.splitlines()[-1])
    assert (result["iterations"], result["seconds"]) == (2, 0.0)
    assert result["checkpoint"] == str(tmp_path / "work" / "iter_2.pth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_config"], "no_such_config: no such config (give a path, or a name from "),
        ([CONFIG, "--cfg-options", "abc"], "--cfg-options must be KEY=VALUE, got 'abc'"),
        ([CONFIG, "--cfg-options", "=3"], "--cfg-options must be KEY=VALUE, got '=3'"),
        ([CONFIG, "--cfg-options", "a=[1,2"], "--cfg-options: Imbalanced brackets exist in [1,2"),
        ([CONFIG, "--cfg-options", "model.backbone.depth.x=1"], "these options do not fit the config: "),
        (
            [CONFIG, "--cfg-options", "model.bbox_head.bbox_coder.angle_version=le45"],
            "angle_version must be one of oc, le90, le135, got 'le45'",
        ),
        ([CONFIG, "--seed", "-4"], "the seed must be between 0 and 2^32 - 1, got -4"),
        ([CONFIG, "--iterations", "0"], "--iterations must be at least 1, got 0"),
        ([CONFIG, "--launcher", "pytorch"], "--launcher pytorch needs the environment that torchrun sets"),
        ([CONFIG, "--resume", "gone.pth"], "gone.pth: no such checkpoint"),
    ],
)
def test_user_errors_of_train(words, message, error, tiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if any("angle_version=" in word for word in words):  # checked when the model is built, after the data
        words = [*words, f"train_dataloader.dataset.data_root={tiles}"]
    monkeypatch.delenv("RANK", raising=False)
    line = error(main, ["train", *words])
    assert line.startswith("rotated-atss train: error: ")
    assert message in line


def test_invalid_number_is_refused_by_argparse(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", CONFIG, "--seed", "x"])
    assert stopped.value.code == 2
    assert "invalid int value: 'x'" in capsys.readouterr().err


def test_malformed_labels_stop_the_training(train, error, tiles, tmp_path):
    label = tiles / "labelTxt" / "P1__96__48___0.txt"
    for text, message in (
        (f"{LABEL}1 2 3\n", ":2: a label line must have"),
        (LABEL.replace("ship", "car"), ":1: unknown class"),
    ):
        label.write_text(text)
        assert f"error: {label}{message}" in error(train)
    assert not list((tmp_path / "work").glob("*.pth"))


def test_missing_data_is_reported_before_anything_is_written(train, error, tiles, tmp_path):
    hint = "(make tiles with rotated-atss split, or choose a folder of tiles: "
    line = error(train, changes=["train_dataloader.dataset.data_root=gone"])
    assert f"gone/images: no such folder {hint}--data DIR)" in line
    (tiles / "labelTxt" / "P1__96__48___0.txt").unlink()
    assert "no label file for the image P1__96__48___0.png" in error(train)
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "any.pth")
    words = ["test", CONFIG, str(tmp_path / "any.pth"), "--data", "gone", "--work-dir", str(tmp_path / "work")]
    assert f"gone/images: no such folder {hint}--data DIR)" in error(main, [*words, *options(tiles)])
    assert not (tmp_path / "work").exists()


def test_work_dir_that_is_a_file_is_refused(train, error, tmp_path):
    (tmp_path / "work").write_text("a file")
    assert f"{tmp_path / 'work'}: cannot write here: " in error(train)


def test_user_errors_of_test(error, tiles, tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:99])
    work = ["--work-dir", str(tmp_path / "work")]
    for words, message in (
        (["gone.pth"], "gone.pth: no such checkpoint"),
        ([str(tmp_path / "cut.pth")], "cut.pth: not a readable checkpoint"),
        ([str(tmp_path / "other.pth")], "other.pth: these are weights of another model: "),
        ([str(tmp_path / "other.pth"), "--out", str(tiles / "labelTxt")], "the output overlaps the input "),
    ):
        line = error(main, ["test", CONFIG, *words, *work, *options(tiles)])
        assert line.startswith("rotated-atss test: error: ")
        assert message in line


def test_model_file_needs_no_config(tmp_path, monkeypatch, error):
    calls = []
    monkeypatch.setattr("rotated_atss.detection.engine.runner.run_test", lambda *args: calls.append(args[:2]))
    (tmp_path / "a.pth").touch()
    assert main(["test", str(tmp_path / "a.pth"), "--out", "x"]) == 0
    assert main(["test", CONFIG, "--out", "x", str(tmp_path / "a.pth")]) == 0
    assert calls == [(None, str(tmp_path / "a.pth")), (CONFIG, str(tmp_path / "a.pth"))]
    assert "gone.pth: no such model file (give MODEL, or CONFIG CHECKPOINT)" in error(main, ["test", "gone.pth"])


def test_dota_version_decides_whether_difficult_objects_count(train, error, tiles, tmp_path, capsys):
    """A missed difficult ship is ignored in v1.0 and counts in v1.5 and v2.0."""
    assert train() == 0
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "P1.txt").write_text(LABEL.replace("ship 0", "ship 1"))
    words = [str(tmp_path / "work" / "iter_2.pth"), "--labels", str(tmp_path / "labels"), *options(tiles)]
    for version, more, objects in (
        ("v1.0", [], 0),
        ("v1.0", ["v1.0"], 0),
        ("v1.5", ["v1.5"], 1),
        ("v2.0", ["v2.0"], 1),
    ):
        folder = tmp_path / "-".join([version, *more])
        chosen = [word for each in more for word in ("--dota-version", each)]
        assert main(["test", CONFIG, *chosen, "--work-dir", str(folder), *words]) == 0
        figures = json.loads((folder / "merged" / "ap.json").read_text())
        assert figures["dataset"] == version
        assert figures["per_class"]["ship"]["objects"] == objects
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = 'rotated_atss::demo/{CONFIG}.py'\ntest_evaluator = dict(type='CocoBoxMetric')\n")
    line = error(main, ["test", str(other), words[0], "--dota-version", "v1.5"])
    assert line.endswith("other.py: --dataset needs a config with DOTAMetric; this config has a different metric")
    with pytest.raises(SystemExit):
        main(["test", CONFIG, "gone.pth", "--dota-version", "v3.0"])
    assert "invalid choice: 'v3.0'" in capsys.readouterr().err


def test_missing_labels_are_reported_before_the_test(train, error, tiles, tmp_path):
    assert train() == 0
    words = [str(tmp_path / "work" / "iter_2.pth"), "--labels", str(tmp_path / "gone"), "--out", str(tmp_path / "out")]
    line = error(main, ["test", CONFIG, *words, "--work-dir", str(tmp_path / "test"), *options(tiles)])
    assert f"{tmp_path / 'gone'}: the label folder" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_train_in_a_subprocess(tiles, tmp_path, repo_root):
    for path in (tiles / "images").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    words = [CONFIG, "--work-dir", str(tmp_path / "work"), *options(tiles, "train_dataloader.num_workers=1")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "tools/train.py", *words],
        cwd=repo_root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.startswith(f"rotated-atss train: error: {tiles / 'images'}")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(": the image is truncated (split again or remove the tile)\n")

"""Several gloo processes on the CPU: evaluation of uneven data, and processes that die."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.distributed import is_lost_connection, process_group
from rotated_atss.detection.evaluation.dota_metric import DOTAMetric
from rotated_atss.dota.labels import write_labels
from rotated_atss.ops.boxes import obb_to_poly

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

PUBLISHED = "rotated_atss_obb_r50_fpn_1x_dota_le90"
IMAGES = 7


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def objects(tmp_path):
    """Seven images with 1 to 7 objects, and detections of which some are wrong, by image."""
    rng, detections = np.random.default_rng(0), {}
    (tmp_path / "labels").mkdir()
    for index in range(IMAGES):
        boxes = torch.tensor([[40.0 + 60 * k, 50, 30, 12, 0.1 * index] for k in range(index + 1)], dtype=torch.float32)
        names = ["ship"] * len(boxes)
        write_labels(tmp_path / "labels" / f"P{index}.txt", obb_to_poly(boxes).numpy(), names, [0] * len(boxes))
        found = boxes + torch.tensor(rng.normal(0, 2, boxes.shape) * [1, 1, 1, 1, 0.02], dtype=torch.float32)
        found[rng.random(len(found)) < 0.3, 0] += 500
        detections[index] = (found, torch.tensor(rng.random(len(found)), dtype=torch.float32))
    return tmp_path, detections


def evaluate(folder, detections, name):
    """Evaluate this process's share of the images, as a test does; return the metrics in the first process."""
    metric = DOTAMetric(labels=[str(folder / "labels")], out_dir=str(folder / name))
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = {"classes": ("ship", "plane")}
    for index in DefaultSampler(range(IMAGES), shuffle=False):
        boxes, scores = detections[index]
        pred = dict(bboxes=boxes, scores=scores, labels=torch.zeros(len(boxes), dtype=torch.int64))
        metric.process({}, [dict(img_id=f"P{index}", pred_instances=pred)])
    return evaluator.evaluate(IMAGES)


def run_rank(rank, size, port, folder, detections):
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with process_group("pytorch"):
        metrics = evaluate(folder, detections, f"of{size}")
    (folder / f"metrics_{size}_{rank}.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize("size", [2, 3])
def test_uneven_data_has_the_ap_of_one_process(objects, size, monkeypatch, one_thread):
    """Seven images give one process an image twice, which counts once."""
    folder, detections = objects
    monkeypatch.chdir(folder)
    expected = evaluate(folder, detections, "of1")
    assert 0.1 < expected["dota/AP50"] < 0.9
    context = multiprocessing.get_context("fork")
    port = free_port()
    ranks = [context.Process(target=run_rank, args=(rank, size, port, folder, detections)) for rank in range(size)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0] * size
    for rank in range(size):
        assert json.loads((folder / f"metrics_{size}_{rank}.json").read_text()) == expected
    for path in (folder / "of1").glob("Task1_*.txt"):
        assert (folder / f"of{size}" / path.name).read_bytes() == path.read_bytes()


def test_a_lost_connection_is_one_line():
    def lose():
        with process_group("none"):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        lose()
    assert is_lost_connection(torch.distributed.DistBackendError("NCCL error"))
    assert not is_lost_connection(RuntimeError("a bug"))


@pytest.fixture
def launch(tiny_published_options, tmp_path, repo_root):
    """``launch(**environment) -> [process, process]``: a training run of two ranks after its first epoch."""
    changes = {"train_cfg.max_epochs": 500, "train_cfg.val_interval": 999}
    load_config(PUBLISHED, {**tiny_published_options, **changes}).dump(tmp_path / "long.py")
    common = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repo_root), "WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "LOCAL_WORLD_SIZE": "2"}
    arguments = [sys.executable, "-m", "rotated_atss", "train", "long.py", "--work-dir", "work"]
    ranks = [
        subprocess.Popen(
            [*arguments, "--launcher", "pytorch"], cwd=tmp_path, env={**common, "RANK": str(r), "LOCAL_RANK": str(r)},
            stdout=subprocess.DEVNULL, stderr=(tmp_path / f"error{r}.txt").open("w"),
        )
        for r in range(2)
    ]  # fmt: skip
    until = time.time() + 120
    while not list(tmp_path.glob("work/epoch_1.pth")) and all(r.poll() is None for r in ranks) and time.time() < until:
        time.sleep(0.1)
    yield ranks
    for process in ranks:
        process.kill()
        process.wait()


def errors(tmp_path, rank):
    return [line for line in Path(tmp_path, f"error{rank}.txt").read_text().splitlines() if "rotated-atss" in line]


@pytest.mark.slow
def test_a_killed_rank_ends_the_other_with_one_line(launch, tmp_path):
    launch[1].kill()
    start = time.time()
    assert launch[0].wait(30) == 2
    assert time.time() - start < 20
    (line,) = errors(tmp_path, 0)
    assert "error: the connection to another process of the run is lost: that process has ended" in line
    assert "Traceback" not in Path(tmp_path, "error0.txt").read_text()


@pytest.mark.slow
def test_a_signal_to_one_rank_ends_all_with_a_checkpoint(launch, tmp_path):
    launch[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in launch] == [143, 143]
    assert "interrupted.pth is written at iteration" in errors(tmp_path, 0)[-1]
    assert (tmp_path / "work" / "interrupted.pth").is_file()

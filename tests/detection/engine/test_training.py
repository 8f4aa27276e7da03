"""Training and testing runs as they are typed, on tiny tiles with a tiny model."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate

from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.network import compile_network
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.dota.detections import read_detections
from rotated_atss.errors import UserError

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"

pytestmark = pytest.mark.usefixtures("quick")


def records(folder, key="loss"):
    """What the latest run in a work folder wrote down at every step, at full precision."""
    path = sorted(Path(folder).glob("*/vis_data/scalars.json"))[-1]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["step"], row[key]) for row in rows if key in row]


def log(folder):
    return sorted(Path(folder).glob("*/*.log"))[-1].read_text()


def test_train_then_resume_then_test(run, tiles, tiny_options, tmp_path):
    folder = run({"default_hooks.checkpoint.interval": 2}, seed=3)
    assert [step for step, _ in records(folder)] == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.glob("*.pth*")) == ["iter_2.pth", "iter_4.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_4.pth")
    text = log(folder)
    for word in ("loss:", "loss_cls:", "loss_bbox:", "num_pos:", "eta:", "lr:"):
        assert word in text, word
    assert all(value > 0 for _, value in records(folder, "num_pos"))

    again = run(resume=str(folder / "iter_2.pth"))
    assert [step for step, _ in records(again)] == [3, 4]
    rates = dict(records(folder, "lr"))
    assert records(again, "lr") == [(3, pytest.approx(rates[3])), (4, pytest.approx(rates[4]))]
    assert read_checkpoint(again / "iter_4.pth")["meta"]["iter"] == 4

    (tmp_path / "labels").mkdir()
    for name in ("P0000", "P0001"):
        (tmp_path / "labels" / f"{name}.txt").write_text("30 40 60 40 60 60 30 60 ship 0\n")
    options = TestOptions(
        work_dir=str(tmp_path / "test"),
        data=str(tiles),
        labels=[str(tmp_path / "labels")],
        submission=str(tmp_path / "s.zip"),
        cfg_options=tiny_options,
    )
    metrics = runner.test(DEMO, folder / "iter_4.pth", options)
    assert set(metrics) >= {"dota/AP50", "dota/AP75", "dota/AP50_95"}
    assert len(list((tmp_path / "test" / "merged").glob("Task1_*.txt"))) == 15
    assert (tmp_path / "s.zip").is_file()


def test_resume_takes_the_latest_also_in_a_moved_folder(run, tmp_path):
    folder = run({"train_cfg.max_iters": 2})
    moved = folder.rename(tmp_path / "moved")
    assert run({"train_cfg.max_iters": 4}, work_dir=str(moved), resume=True) == moved
    assert "resumed epoch: 0, iter: 2" in log(moved)
    assert (moved / "iter_4.pth").is_file()


def test_the_model_is_built_once(run, monkeypatch):
    built, start = [], RotatedRetinaHead.__init__
    monkeypatch.setattr(
        RotatedRetinaHead, "__init__", lambda self, *a, **k: (built.append(self), start(self, *a, **k))[1]
    )
    run({"train_cfg.max_iters": 1})
    assert len(built) == 1


def test_nothing_to_resume_is_said(run):
    folder = run({"train_cfg.max_iters": 1}, resume=True)
    assert f"{folder}: nothing to resume, training starts at the beginning" in log(folder)
    assert [step for step, _ in records(folder)] == [1]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_losses(run, workers):
    changes = {"train_dataloader.num_workers": workers, "train_cfg.max_iters": 3}
    first, second = (records(run(changes, seed=7, deterministic=workers == 0)) for _ in range(2))
    assert first == second
    assert len(first) == 3
    assert all(math.isfinite(value) for _, value in first)
    if not workers:
        assert records(run(changes, seed=8)) != first


def test_amp_on_the_cpu(run_published, tmp_path):
    one_step = {"train_dataloader.dataset.indices": 2, "val_dataloader.dataset.data_root": "none"}
    full = records(run_published(one_step, seed=0, work_dir=str(tmp_path / "full")))
    folder = run_published(one_step, amp=True, seed=0)
    assert "BFloat16OptimWrapper" in (folder / f"{PUBLISHED}.py").read_text()
    mixed = records(folder)
    assert mixed == [(1, pytest.approx(full[0][1], rel=0.02))]
    assert mixed != full


def test_a_published_config_trains_an_epoch_and_validates(run_published):
    folder = run_published()
    assert (folder / "epoch_1.pth").is_file()
    assert "Epoch(val) [1]" in log(folder)
    assert len(records(folder)) == 3  # five tiles have objects
    assert "nothing is evaluated" in log(folder)
    again = run_published({"train_cfg.max_epochs": 2}, resume=True)
    assert "Epoch(train) [2]" in log(again)
    assert "Epoch(train) [1]" not in log(again)
    assert [step for step, _ in records(again)] == [4, 5, 6]


@pytest.mark.parametrize("batch, rate", [(1, 0.00125), (2, 0.0025), (4, 0.005)])
def test_the_learning_rate_scales_with_the_batch_and_says_so(run_published, batch, rate):
    folder = run_published({"train_dataloader.batch_size": batch, "param_scheduler": []})
    assert records(folder, "lr")[0][1] == pytest.approx(rate)
    said = f"batch of {batch} images instead of 2: the learning rate 0.0025 becomes {rate:g}"
    assert log(folder).count(said) == (batch != 2)
    assert "caling the original LR" not in log(folder)  # MMEngine's words for the same


@pytest.mark.parametrize("iterations", [1, 5])
def test_a_few_iterations_log_every_step(run_published, iterations):
    folder = run_published(
        {"default_hooks.logger.interval": 50, "log_processor.window_size": 50}, iterations=iterations
    )
    assert [step for step, _ in records(folder)] == list(range(1, iterations + 1))  # an epoch has 3
    assert "(val)" not in log(folder)
    assert (folder / "last_checkpoint").read_text().endswith(f"iter_{iterations}.pth")
    assert [path.name for path in folder.glob("*.pth")] == [f"iter_{iterations}.pth"]


def test_more_iterations_than_the_schedule_has(run):
    folder = run({"param_scheduler.0.total_steps": 2}, iterations=3)
    assert [step for step, _ in records(folder)] == [1, 2, 3]


def test_tiles_without_objects_train_on_request(run_published):
    kept = {"train_dataloader.dataset.filter_cfg.filter_empty_gt": False}
    folder = run_published({**kept, "train_dataloader.batch_size": 1})
    counts = [value for _, value in records(folder, "num_pos")]
    assert len(counts) == 6
    assert counts.count(0) == 1
    assert all(math.isfinite(value) for _, value in records(folder))


def test_without_a_validation_folder_it_trains_and_says_so(run_published, tmp_path):
    folder = run_published({"val_dataloader.dataset.data_root": str(tmp_path / "none")})
    assert f"{tmp_path / 'none'}: no such folder, training without validation" in log(folder)
    assert "Epoch(val)" not in log(folder)
    assert (folder / "epoch_1.pth").is_file()


def test_tensorboard_scalars(run, tiny_options):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    default = load_config(DEMO).visualizer.vis_backends
    folder = run({"visualizer.vis_backends": default})
    (events,) = folder.glob("*/vis_data/events.out.tfevents.*")
    read = accumulator.EventAccumulator(str(events)).Reload()
    assert {"loss", "loss_cls", "loss_bbox", "num_pos", "lr"} <= set(read.Tags()["scalars"])
    assert [event.step for event in read.Scalars("loss")] == [1, 2, 3, 4]


def test_old_checkpoints_and_bare_weights_are_tested(run, tiny_options, tiles, tmp_path):
    content = read_checkpoint(run({"train_cfg.max_iters": 1}) / "iter_1.pth")
    state = {f"module.{name}": value for name, value in content["state_dict"].items()}
    old = dict(meta=dict(mmrotate_version="0.3.4", CLASSES=("plane",), epoch=12), state_dict=state, optimizer={})
    for name, weights in (("old", old), ("bare", content["state_dict"])):
        torch.save(weights, tmp_path / f"{name}.pth")
        runner.test(
            DEMO, tmp_path / f"{name}.pth", TestOptions(work_dir=str(tmp_path / name), cfg_options=tiny_options)
        )
        assert len(list((tmp_path / name / "merged").glob("Task1_*.txt"))) == 15


@pytest.mark.parametrize("size", [128, 256, 64])
def test_a_detection_lands_where_the_tile_was_cut(tiny_published_options, tmp_path, monkeypatch, size):
    """The loader resizes tiles of 128 pixels; one prior fires on each, its box is taken as it is."""

    def one_prior(self, features):
        scores = [level.new_full((len(level), 15, *level.shape[-2:]), -9) for level in features]
        scores[0][:, 6, 3, 5] = 9  # row 3, column 5 of stride 8: centre (40, 24), side 32 on the network's input
        return scores, [level.new_zeros((len(level), 5, *level.shape[-2:])) for level in features]

    monkeypatch.setattr(RotatedRetinaHead, "forward", one_prior)
    options = {**tiny_published_options, "test_dataloader.dataset.pipeline.1.scale": (size, size)}
    torch.save(build_model(load_config(PUBLISHED, options)).state_dict(), tmp_path / "any.pth")
    runner.test(PUBLISHED, tmp_path / "any.pth", TestOptions(work_dir=str(tmp_path / "test"), cfg_options=options))
    found = read_detections(tmp_path / "test" / "merged" / "Task1_ship.txt")
    scale = 128 / size
    points = found.polygons.reshape(-1, 4, 2)
    corners = zip(found.image_ids.tolist(), points.min(1).tolist(), points.max(1).tolist())
    assert sorted(corners) == [
        (f"P000{image}", pytest.approx([x + 24 * scale, 8 * scale]), pytest.approx([x + 56 * scale, 40 * scale]))
        for image in (0, 1)
        for x in (0, 96, 192)
    ]


def test_another_configs_load_from_is_not_what_is_tested(run, tiny_options, tmp_path):
    folder = run({"train_cfg.max_iters": 1})
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    changes = {**tiny_options, "load_from": str(tmp_path / "none.pth"), "resume": True}
    runner.test(DEMO, folder / "iter_1.pth", TestOptions(work_dir=str(tmp_path / "test"), cfg_options=changes))


def test_a_label_of_absurd_size_neither_breaks_training_nor_passes_unseen(run_published, tmp_path, tiles):
    import shutil

    shutil.copytree(tiles, tmp_path / "tiles")
    name = next(path for path in sorted((tmp_path / "tiles" / "labelTxt").iterdir()) if path.read_text())
    name.write_text(name.read_text() + "0 0 1e39 0 1e39 1e39 0 1e39 ship 0\n")
    with pytest.warns(UserWarning, match=r"1 of [59] objects have no area or are not finite"):
        folder = run_published({"train_dataloader.dataset.data_root": str(tmp_path / "tiles")})
    assert all(math.isfinite(value) for _, value in records(folder))


def test_a_compiled_network_has_the_same_weights_and_losses(tiles, tiny_options):
    cfg = load_config(DEMO, tiny_options)
    torch.manual_seed(0)
    plain, compiled = build_model(cfg), build_model(cfg)
    compiled.load_state_dict(plain.state_dict())
    compile_network(compiled, backend="aot_eager")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    pixels = torch.rand(1, 3, 64, 64)
    for one, other in zip(plain.extract_feat(pixels), compiled.extract_feat(pixels)):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_machine_that_cannot_compile_is_told_in_one_line(tiny_options, monkeypatch):
    def failing(*args, **kwargs):
        raise RuntimeError("no C++ compiler\nat all")

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(UserError, match="does not work here: no C.. compiler \\(install a C.. compiler"):
        compile_network(build_model(load_config(DEMO, tiny_options)))


def test_channels_last_and_the_fused_optimiser_learn_the_same(tiles, tiny_options):
    """Fifty steps in float32, from one start on one batch: losses within a thousandth. (Normalised by the batch's own
    statistics, or at a high rate, the run is chaotic: any rounding then ends in another curve.)
    """
    curves = []
    for fast in (False, True):
        torch.manual_seed(0)
        cfg = load_config(DEMO, {**tiny_options, "model.backbone.norm_eval": True})
        model = build_model(cfg).train()
        model.init_weights()
        if fast:
            model = model.to(memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(model.parameters(), 0.0005, momentum=0.9, weight_decay=1e-4, fused=fast)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        random.seed(0), np.random.seed(0)  # noqa: NPY002  # the legacy state is what mmcv draws from
        batch = pseudo_collate([dataset[index] for index in range(4)])
        curves.append([])
        for _ in range(50):
            optimiser.zero_grad()
            loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
            optimiser.step()
            curves[-1].append(float(loss.detach()))
    slow, quick = (torch.tensor(curve) for curve in curves)
    assert slow[-1] < 0.9 * slow[0]
    assert ((quick - slow).abs() / slow).max() < 1e-3

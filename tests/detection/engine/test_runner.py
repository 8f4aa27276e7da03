"""Training and testing from the config to the output files, on tiny tiles with a tiny model."""

import math
import shutil

import pytest
import torch

from rotated_atss.detection.engine import runner
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.heads.retina_head import RotatedRetinaHead
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import read_detections

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"

pytestmark = pytest.mark.usefixtures("quick")

UNUSABLE = [
    ("evil", "not loaded, for safety"),
    ("cut", "not a readable checkpoint"),
    ("gone", "no such checkpoint"),
    ("other", "weights of another model: "),
]


def test_train_then_resume_then_test(run, tiles, tiny_options, tmp_path, read_scalars, read_log):
    folder = run({"default_hooks.checkpoint.interval": 2}, seed=3)
    assert [step for step, _ in read_scalars(folder)] == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.glob("*.pth*")) == ["iter_2.pth", "iter_4.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_4.pth")
    text = read_log(folder)
    for word in ("loss:", "loss_cls:", "loss_bbox:", "num_pos:", "eta:", "lr:"):
        assert word in text, word
    assert all(value > 0 for _, value in read_scalars(folder, "num_pos"))

    again = run(resume=str(folder / "iter_2.pth"))
    assert [step for step, _ in read_scalars(again)] == [3, 4]
    rates = dict(read_scalars(folder, "lr"))
    assert read_scalars(again, "lr") == [(3, pytest.approx(rates[3])), (4, pytest.approx(rates[4]))]
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


def test_config_inherited_by_package_name_trains(run_published, tmp_path, read_scalars):
    own = tmp_path / "own.py"
    own.write_text(f'_base_ = "rotated_atss::dota/{PUBLISHED}.py"\n')
    folder = run_published(config=own, iterations=1)
    assert [step for step, _ in read_scalars(folder)] == [1]
    assert (folder / "iter_1.pth").is_file()


def test_logged_number_of_positives_is_averaged(run, read_scalars):
    each = [value for _, value in read_scalars(run(seed=3), "num_pos")]
    smooth = [value for _, value in read_scalars(run({"log_processor.window_size": 4}, seed=3), "num_pos")]
    assert len(set(each)) > 1
    assert smooth == [pytest.approx(sum(each[:number]) / number) for number in range(1, 5)]


def test_model_is_built_once(run, monkeypatch):
    built, init = [], RotatedRetinaHead.__init__
    monkeypatch.setattr(
        RotatedRetinaHead, "__init__", lambda self, *a, **k: (built.append(self), init(self, *a, **k))[1]
    )
    run({"train_cfg.max_iters": 1})
    assert len(built) == 1


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_same_seed_gives_same_losses(run, workers, read_scalars):
    changes = {"train_dataloader.num_workers": workers, "train_cfg.max_iters": 3}
    first, second = (read_scalars(run(changes, seed=7, deterministic=workers == 0)) for _ in range(2))
    assert first == second
    assert len(first) == 3
    assert all(math.isfinite(value) for _, value in first)
    if not workers:
        assert read_scalars(run(changes, seed=8)) != first


@pytest.mark.slow
def test_published_config_trains_an_epoch_and_validates(run_published, read_scalars, read_log):
    folder = run_published()
    assert (folder / "epoch_1.pth").is_file()
    assert "Epoch(val) [1]" in read_log(folder)
    assert len(read_scalars(folder)) == 3  # five tiles have objects
    assert "nothing is evaluated" in read_log(folder)
    again = run_published({"train_cfg.max_epochs": 2}, resume=True)
    assert "Epoch(train) [2]" in read_log(again)
    assert "Epoch(train) [1]" not in read_log(again)
    assert [step for step, _ in read_scalars(again)] == [4, 5, 6]


@pytest.mark.parametrize("batch, rate", [(1, 0.00125), (2, 0.0025), (4, 0.005)])
def test_learning_rate_scaled_with_the_batch_size_is_logged(run_published, batch, rate, read_scalars, read_log):
    folder = run_published({"train_dataloader.batch_size": batch, "param_scheduler": []})
    assert read_scalars(folder, "lr")[0][1] == pytest.approx(rate)
    message = f"batch of {batch} images instead of 2: the learning rate 0.0025 becomes {rate:g}"
    assert read_log(folder).count(message) == (batch != 2)
    assert "caling the original LR" not in read_log(folder)  # MMEngine's log line


def test_learning_rate_that_a_one_cycle_schedule_overrides_is_reported(run, read_scalars, read_log):
    unchanged, changed = run(), run({"optim_wrapper.optimizer.lr": 0.5})
    assert read_scalars(changed, "lr") == read_scalars(unchanged, "lr")
    line = "OneCycleLR: the learning rate follows eta_max=0.002, so optim_wrapper.optimizer.lr=0.5 has no effect"
    assert read_log(changed).count(line) == 1
    assert "has no effect" not in read_log(unchanged)


@pytest.mark.parametrize("iterations", [1, 5])
def test_iterations_log_every_step_without_validation(run_published, iterations, read_scalars, read_log):
    folder = run_published(
        {"default_hooks.logger.interval": 50, "log_processor.window_size": 50}, iterations=iterations
    )
    assert [step for step, _ in read_scalars(folder)] == list(range(1, iterations + 1))  # an epoch has 3
    assert "(val)" not in read_log(folder)
    assert (folder / "last_checkpoint").read_text().endswith(f"iter_{iterations}.pth")
    assert [path.name for path in folder.glob("*.pth")] == [f"iter_{iterations}.pth"]


def test_more_iterations_than_the_schedule(run, read_scalars):
    folder = run({"param_scheduler.0.total_steps": 2}, iterations=3)
    assert [step for step, _ in read_scalars(folder)] == [1, 2, 3]


def test_tiles_without_objects_train_on_request(run_published, read_scalars):
    kept = {"train_dataloader.dataset.filter_cfg.filter_empty_gt": False}
    folder = run_published({**kept, "train_dataloader.batch_size": 1})
    counts = [value for _, value in read_scalars(folder, "num_pos")]
    assert len(counts) == 6
    assert counts.count(0) == 1
    assert all(math.isfinite(value) for _, value in read_scalars(folder))


def test_missing_validation_folder_is_logged(run_published, tmp_path, read_log):
    folder = run_published({"val_dataloader.dataset.data_root": str(tmp_path / "none")})
    assert f"{tmp_path / 'none'}: no such folder, training without validation" in read_log(folder)
    assert "Epoch(val)" not in read_log(folder)
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
    old = dict(meta=dict(mmrotate_version="0.3.4", CLASSES=CLASSES["v1.0"], epoch=12), state_dict=state, optimizer={})
    for name, weights in (("old", old), ("bare", content["state_dict"])):
        torch.save(weights, tmp_path / f"{name}.pth")
        runner.test(
            DEMO, tmp_path / f"{name}.pth", TestOptions(work_dir=str(tmp_path / name), cfg_options=tiny_options)
        )
        assert len(list((tmp_path / name / "merged").glob("Task1_*.txt"))) == 15


@pytest.mark.parametrize("size", [128, 256, 64])
def test_detections_are_placed_in_the_full_image(tiny_published_options, tmp_path, monkeypatch, size):
    """The pipeline resizes tiles of 128 pixels; each has one detection, whose box is its prior."""

    def one_prior(self, features):
        scores = [level.new_full((len(level), 15, *level.shape[-2:]), -9) for level in features]
        scores[0][:, 6, 3, 5] = 9  # row 3, column 5 of stride 8: center (40, 24), side 32 on the network's input
        return scores, [level.new_zeros((len(level), 5, *level.shape[-2:])) for level in features]

    monkeypatch.setattr(RotatedRetinaHead, "forward", one_prior)
    options = {**tiny_published_options, "test_dataloader.dataset.pipeline.1.scale": (size, size)}
    torch.save(build_model(load_config(PUBLISHED, options)).state_dict(), tmp_path / "any.pth")
    runner.test(PUBLISHED, tmp_path / "any.pth", TestOptions(work_dir=str(tmp_path / "test"), cfg_options=options))
    detections = read_detections(tmp_path / "test" / "merged" / "Task1_ship.txt")
    scale = 128 / size
    points = detections.polygons.reshape(-1, 4, 2)
    corners = zip(detections.image_ids.tolist(), points.min(1).tolist(), points.max(1).tolist())
    assert sorted(corners) == [
        (f"P000{image}", pytest.approx([x + 24 * scale, 8 * scale]), pytest.approx([x + 56 * scale, 40 * scale]))
        for image in (0, 1)
        for x in (0, 96, 192)
    ]


def test_load_from_and_resume_of_the_config_are_ignored_in_a_test(run, tiny_options, tmp_path, read_log):
    folder = run({"train_cfg.max_iters": 1})
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    changes = {**tiny_options, "load_from": str(tmp_path / "none.pth"), "resume": True}
    runner.test(DEMO, folder / "iter_1.pth", TestOptions(work_dir=str(tmp_path / "test"), cfg_options=changes))
    assert "Iter(test) [3/3]" in read_log(tmp_path / "test")


def test_label_of_extreme_size_is_refused(run_published, tmp_path, tiles, fault):
    shutil.copytree(tiles, tmp_path / "tiles")
    label = next(path for path in sorted((tmp_path / "tiles" / "labelTxt").iterdir()) if path.read_text())
    label.write_text(label.read_text() + "0 0 1e39 0 1e39 1e39 0 1e39 ship 0\n")
    message = fault(run_published, {"train_dataloader.dataset.data_root": str(tmp_path / "tiles")})
    assert message.startswith(f"{label}:5: '1e39' is too large")


@pytest.mark.parametrize("name, message", UNUSABLE)
def test_unusable_checkpoints_are_not_tested(foreign, tiny_options, tmp_path, name, message, fault):
    options = TestOptions(work_dir=str(tmp_path / "w"), cfg_options=tiny_options)
    error = fault(runner.test, DEMO, foreign / f"{name}.pth", options)
    assert error.startswith(f"{foreign / name}.pth: ")
    assert message in error
    assert not (foreign / "made").exists()
    assert not (tmp_path / "w" / "merged").exists()


def test_unusable_load_from_is_refused(foreign, run, fault):
    assert "not loaded, for safety" in fault(run, {"load_from": str(foreign / "evil.pth")})
    assert "gone.pth" in fault(run, {"load_from": str(foreign / "gone.pth")})
    assert not (foreign / "made").exists()


def test_work_folder_that_cannot_be_made(run, tmp_path, fault):
    (tmp_path / "file").write_text("")
    for work_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        error = fault(run, work_dir=str(work_dir))
        assert error.startswith(str(tmp_path / "file"))
        assert "cannot write here" in error
        assert "--work-dir" in error
    assert (tmp_path / "file").read_text() == ""

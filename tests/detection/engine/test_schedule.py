"""Length of a training and the schedules that follow it."""

import pytest

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.prepare import prepare_train
from rotated_atss.detection.engine.schedule import describe_overridden_lr, shorten_warm_up

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"


@pytest.mark.parametrize("epochs, milestones", [(36, [24, 33]), (12, [8, 11]), (3, [2]), (2, [1]), (1, [])])
def test_milestones_keep_their_share_of_the_training(epochs, milestones):
    cfg = prepare_train(load_config(PUBLISHED), TrainOptions(epochs=epochs))
    warm_up, steps = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == epochs
    assert (steps.milestones, steps.end) == (milestones, epochs)
    assert warm_up.end == 500  # in iterations


def test_a_config_that_counts_iterations_counts_epochs():
    cfg = prepare_train(load_config(DEMO), TrainOptions(epochs=5))
    assert cfg.train_cfg == {"type": "EpochBasedTrainLoop", "max_epochs": 5}
    assert cfg.train_dataloader.sampler.type == "DefaultSampler"
    (one_cycle,) = cfg.param_scheduler
    assert (one_cycle.total_steps, one_cycle.by_epoch, one_cycle.convert_to_iter_based) == (5, True, True)
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.by_epoch, checkpoint.interval, cfg.log_processor.by_epoch) == (True, 1, True)


COSINE = dict(type="CosineAnnealingLR", T_max=6, begin=6, end=12, by_epoch=True, convert_to_iter_based=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (6, 6, 12)),
        ({"epochs": 20}, (6, 14, 20)),
        ({"cfg_options": {"train_cfg.max_epochs": 20}}, (6, 14, 20)),
        ({"cfg_options": {"train_cfg.max_epochs": 4}}, (6, 6, 12)),  # the schedule never starts
    ],
)
def test_a_cosine_schedule_that_begins_late_ends_with_the_run(options, expected):
    cfg = load_config(PUBLISHED, options.get("cfg_options", {}))
    cfg.param_scheduler = [dict(COSINE)]
    (cosine,) = prepare_train(cfg, TrainOptions(**options)).param_scheduler
    assert (cosine.begin, cosine.T_max, cosine.end) == expected


def test_number_of_epochs_out_of_range(fault):
    error = fault(prepare_train, load_config(DEMO), TrainOptions(epochs=0))
    assert error == "--epochs: the number of epochs must be at least 1, got 0"


def test_only_a_warm_up_of_a_short_training_is_shortened():
    warm_up = dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=500)
    decay = dict(type="LinearLR", start_factor=1, end_factor=0.1, by_epoch=True, begin=0, end=5)
    schedulers = [dict(warm_up), dict(decay)]
    assert shorten_warm_up(schedulers, 1500) == []
    assert shorten_warm_up(schedulers, 1499) == [
        "LinearLR: warm-up of 150 iterations instead of 500, because the training run has only 1499"
    ]
    assert schedulers == [dict(warm_up, end=150), decay]
    assert shorten_warm_up(schedulers, 1) == [
        "LinearLR: warm-up of 1 iteration instead of 150, because the training run has only 1"
    ]


@pytest.mark.parametrize("name, key, lines", [(DEMO, "optim_wrapper.optimizer.lr", 1), (DEMO, "model.backbone", 0),
                                              (PUBLISHED, "optim_wrapper.optimizer.lr", 0)])  # fmt: skip
def test_only_a_one_cycle_schedule_overrides_the_learning_rate(name, key, lines):
    assert len(describe_overridden_lr(load_config(name), [key])) == lines

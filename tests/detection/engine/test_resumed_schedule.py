"""Schedules and optimizer settings that differ between the checkpoint and the config of a resumed training."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import (
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    OptimWrapper,
    ReduceOnPlateauLR,
)
from torch import nn

from rotated_atss.detection.engine.resumed_schedule import ResumedScheduleHook, replay_schedules

WARMUP = (LinearLR, dict(start_factor=0.1, end=3, by_epoch=False))
EPOCH_ITERS = 4


class Training:
    """The optimizer and the schedules of a training, and what MMEngine does with them."""

    def __init__(self, *schedules, lr=0.1, optimizer=torch.optim.SGD, groups=1, **settings):
        parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2 * groups)]
        by_group = [dict(params=parameters[i::groups]) for i in range(groups)]
        self.optim_wrapper = OptimWrapper(optimizer(by_group, lr=lr, **settings))
        self.param_schedulers = [kind(self.optim_wrapper, **options) for kind, options in schedules] or None
        self.logger = logging.getLogger("resumed_schedule")
        self.iter = 0

    @property
    def lr(self):
        return self.optim_wrapper.param_groups[0]["lr"]

    def run(self, iterations):
        """Return the learning rate of every iteration."""
        rates = []
        for _ in range(iterations):
            rates.append(self.lr)
            self.optim_wrapper.step()
            self.iter += 1
            for scheduler in self.param_schedulers or []:
                if not getattr(scheduler, "need_val_args", False) and (
                    not scheduler.by_epoch or self.iter % EPOCH_ITERS == 0
                ):
                    scheduler.step()
        return rates

    def checkpoint(self):
        states = [
            {name: value for name, value in scheduler.state_dict().items() if not callable(value)}
            for scheduler in self.param_schedulers or []
        ]
        meta = {"iter": self.iter, "epoch": self.iter // EPOCH_ITERS}
        return {"meta": meta, "optimizer": self.optim_wrapper.state_dict(), "param_schedulers": states}

    def resume(self, checkpoint):
        ResumedScheduleHook("a.pth").after_load_checkpoint(self, checkpoint)
        self.iter = checkpoint["meta"]["iter"]
        self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
        for scheduler, state in zip(self.param_schedulers or [], checkpoint["param_schedulers"], strict=True):
            scheduler.load_state_dict(state)


def steps(*milestones):
    return MultiStepLR, dict(milestones=list(milestones), by_epoch=False)


def one_cycle(total):
    return OneCycleLR, dict(eta_max=0.2, total_steps=total, by_epoch=False)


CHANGED = [
    ([one_cycle(9)], [one_cycle(16)], "param_scheduler[0].total_steps is 9 in the checkpoint and 16 in the config"),
    ([steps(4)], [steps(6, 9)], "param_scheduler[0].milestones is [4] in the checkpoint and [6, 9] in the config"),
    ([steps(12)], [steps(4)], "param_scheduler[0].milestones is [12] in the checkpoint and [4] in the config"),
    ([WARMUP], [WARMUP, steps(5)], "the number of schedules is 1 in the checkpoint and 2 in the config"),
    ([WARMUP], [], "the number of schedules is 1 in the checkpoint and 0 in the config"),
    ([], [WARMUP], "the number of schedules is 0 in the checkpoint and 1 in the config"),
    (
        [WARMUP, (MultiStepLR, dict(milestones=[5]))],
        [WARMUP, (MultiStepLR, dict(milestones=[1]))],
        "param_scheduler[1].milestones is [5] in the checkpoint and [1] in the config",
    ),
    (
        [(CosineAnnealingLR, dict(T_max=9, by_epoch=False))],
        [(CosineAnnealingLR, dict(T_max=20, by_epoch=False))],
        "param_scheduler[0].T_max is 9 in the checkpoint and 20 in the config",
    ),
    (
        [(OneCycleLR, dict(eta_max=0.2, total_steps=16, pct_start=0.1, by_epoch=False))],
        [one_cycle(16)],
        "param_scheduler[0].schedule_phases is ",
    ),
]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("before, now, line", CHANGED)
def test_schedule_of_the_config_applies(before, now, line, groups, caplog):
    old, resumed = Training(*before, groups=groups), Training(*now, groups=groups)
    old.run(8)
    resumed.resume(old.checkpoint())
    assert resumed.run(6) == pytest.approx(Training(*now, groups=groups).run(14)[8:], rel=1e-9)
    assert f"a.pth: {line}" in caplog.text
    assert caplog.text.count("; the value of the config is used") == caplog.text.count("a.pth: ")


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("schedules", [[], [WARMUP, steps(6)], [one_cycle(14)]])
def test_equal_schedules_continue_exactly_and_silently(schedules, groups, caplog):
    old, resumed, whole = (Training(*schedules, groups=groups, momentum=0.9) for _ in range(3))
    old.run(8)
    checkpoint = old.checkpoint()
    resumed.resume(checkpoint)
    assert resumed.run(6) == whole.run(14)[8:]
    assert not caplog.text


@pytest.mark.parametrize("schedules", [[], [WARMUP, steps(6)]])
def test_base_learning_rate_of_the_config_applies(schedules, caplog):
    old, resumed = Training(*schedules, lr=0.1), Training(*schedules, lr=0.02)
    old.run(8)
    resumed.resume(old.checkpoint())
    assert resumed.run(6) == pytest.approx(Training(*schedules, lr=0.02).run(14)[8:])
    assert [record.getMessage() for record in caplog.records] == [
        "a.pth: the base learning rate is 0.1 in the checkpoint and 0.02 in the config; the value of the config is used"
    ]


def test_other_optimizer_settings_of_the_config_apply(caplog):
    old, resumed = (Training(WARMUP, momentum=0.9, weight_decay=decay) for decay in (1e-4, 5e-4))
    old.run(8)
    resumed.resume(old.checkpoint())
    assert resumed.optim_wrapper.param_groups[0]["weight_decay"] == 5e-4
    assert resumed.lr == pytest.approx(old.lr)
    assert "the optimizer's weight_decay is 0.0001 in the checkpoint and 0.0005 in the config" in caplog.text


def test_schedule_that_depends_on_validation_keeps_its_state(caplog):
    def plateau(patience):
        return Training((ReduceOnPlateauLR, dict(monitor="loss", patience=patience)))

    old, resumed = plateau(3), plateau(4)
    old.run(8)
    resumed.resume(old.checkpoint())
    assert "patience is 3 in the checkpoint and 4 in the config; the value of the checkpoint is used" in caplog.text


def test_state_of_another_optimizer_is_refused(fault):
    for resumed, message in (
        (
            Training(WARMUP, optimizer=torch.optim.AdamW),
            "only the checkpoint's optimizer has dampening, momentum, nesterov",
        ),
        (Training(WARMUP, groups=2), "the optimizer has 1 parameter group in the checkpoint and 3 in the config"),
    ):
        error = fault(resumed.resume, Training(WARMUP).checkpoint())
        assert error.startswith(f"a.pth: {message}")
        assert error.endswith("(resume with the optimizer of the checkpoint, or start a new run with --init-from)")


def test_several_optimizers_are_left_to_mmengine():
    runner = SimpleNamespace(optim_wrapper=None, param_schedulers={})
    checkpoint: dict = {}
    ResumedScheduleHook("a.pth").after_load_checkpoint(runner, checkpoint)
    assert checkpoint == {}


@pytest.mark.usefixtures("quick")
def test_longer_training_follows_its_own_schedule(run, read_scalars, read_log):
    short = run({"train_cfg.max_iters": 2, "param_scheduler.0.total_steps": 2})
    longer = run({"train_cfg.max_iters": 4}, resume=str(short / "iter_2.pth"))
    rates = dict(read_scalars(run({"train_cfg.max_iters": 4}), "lr"))
    assert dict(read_scalars(longer, "lr")) == {step: pytest.approx(rates[step]) for step in (3, 4)}
    assert "param_scheduler[0].total_steps is 2 in the checkpoint and 4 in the config" in read_log(longer)


@pytest.mark.parametrize(("epochs", "epoch_length", "expected"), [(2, None, "iiEiiiE"), (1, 3, "iiiEii")])
def test_epochs_of_a_checkpoint_within_an_epoch_keep_their_length(epochs, epoch_length, expected):
    steps = []
    schedules = [
        SimpleNamespace(by_epoch=False, step=lambda: steps.append("i")),
        SimpleNamespace(by_epoch=True, step=lambda: steps.append("E")),
    ]
    replay_schedules(schedules, 5, epochs, epoch_length)
    assert "".join(steps) == expected

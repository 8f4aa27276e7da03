"""Progress of a simulated run: which lines appear where."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub

from rotated_atss.detection.engine.console import install_console
from rotated_atss.detection.engine.progress_hook import ProgressHook
from rotated_atss.io.status_line import StatusLine


class Loader(list):
    """Batches of two images."""

    batch_size = 2


class Lines(StatusLine):
    """A line that remembers its texts."""

    def __init__(self, show):
        super().__init__(show)
        self.texts, self.kept = [], []

    def update(self, text, force=False):
        if self.is_shown:
            self.texts.append(text)

    def keep(self):
        self.kept += self.texts[-1:]
        self.texts = []

    def clear(self):
        self.texts = []


@pytest.fixture
def simulate(tmp_path, request):
    """``simulate(by_epoch, is_terminal, interval)``: train two epochs of three batches, each with a validation."""

    def call(by_epoch=True, is_terminal=False, interval=2):
        logger = logging.Logger(request.node.name)
        logger.addHandler(logging.StreamHandler())
        console = install_console(logger)
        console.status = Lines(is_terminal)
        hub = MessageHub.get_instance(f"{tmp_path.name}{by_epoch}{is_terminal}{interval}")
        loop = SimpleNamespace(epoch=0, iter=0, max_epochs=2, max_iters=6, val_interval=1)
        if by_epoch:
            loop.run_epoch = None
        runner = SimpleNamespace(
            hooks=[LoggerHook(interval=interval, ignore_last=False)], train_loop=loop, message_hub=hub, logger=logger,
            train_dataloader=Loader(range(3)), val_dataloader=Loader(range(2)), iter=0, epoch=0,
        )  # fmt: skip
        hook = ProgressHook(console)
        hook.before_run(runner)
        for epoch in range(2):
            for index in range(3):
                for name, value in (("loss", 4.0 - loop.iter), ("lr", 0.01), ("time", 0.5), ("data_time", 0.1)):
                    hub.update_scalar(f"train/{name}", value)
                hub.update_info("eta", (5 - loop.iter) * 0.5)
                hook.after_train_iter(runner, index if by_epoch else loop.iter)
                loop.iter += 1
            loop.epoch = epoch + 1
            hook.before_val(runner)
            for index in range(2):
                for name, value in (("time", 0.2), ("data_time", 0.0)):
                    hub.update_scalar(f"val/{name}", value)
                hook.after_val_iter(runner, index)
            logger.info("a table of the metric")
            hook.after_val_epoch(runner, {"dota/AP50": 0.25 + epoch / 4})
            hook.after_val(runner)
        hook.after_train(runner)
        return console.status

    return call


def heads(text):
    return [line.partition("  eta")[0] for line in text.splitlines()]


def test_plain_lines_are_printed_at_the_interval_and_at_the_end_of_an_epoch(simulate, capsys):
    simulate()
    out, err = capsys.readouterr()
    assert err == ""
    assert heads(out) == [
        "epoch 1/2  2/3  loss 3.5000", "epoch 1/2  3/3  loss 3.0000", "validation 2/2",
        "validation after epoch 1/2: AP50 0.2500",
        "epoch 2/2  2/3  loss 2.0000", "epoch 2/2  3/3  loss 1.5000", "validation 2/2",
        "validation after epoch 2/2: AP50 0.5000",
    ]  # fmt: skip
    first = out.splitlines()[0]
    assert "eta 0:00:02  lr 1.00e-02  4.0 images/s  0.50 s/step  loading 20%" in first


def test_iterations_are_counted_over_the_training_without_epochs(simulate, capsys):
    simulate(by_epoch=False)
    assert heads(capsys.readouterr().out) == [
        "iteration 2/6  loss 3.5000", "validation 2/2", "validation after iteration 3/6: AP50 0.2500",
        "iteration 4/6  loss 2.5000", "iteration 6/6  loss 1.5000", "validation 2/2",
        "validation after iteration 6/6: AP50 0.5000",
    ]  # fmt: skip


def test_a_terminal_has_one_line_per_epoch_and_the_results(simulate, capsys):
    status = simulate(is_terminal=True)
    assert heads(capsys.readouterr().out) == [
        "validation after epoch 1/2: AP50 0.2500", "validation after epoch 2/2: AP50 0.5000",
    ]  # fmt: skip
    assert heads("\n".join(status.kept)) == ["epoch 1/2  3/3  loss 3.0000", "epoch 2/2  3/3  loss 1.5000"]


def test_every_iteration_is_a_line_if_every_iteration_is_logged(simulate, capsys):
    simulate(is_terminal=True, interval=1)
    lines = heads(capsys.readouterr().out)
    assert [line for line in lines if line.startswith("epoch")] == [
        f"epoch {epoch + 1}/2  {index + 1}/3  loss {4 - (3 * epoch + index) / 2:.4f}"
        for epoch in range(2) for index in range(3)
    ]  # fmt: skip

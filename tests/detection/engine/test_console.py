"""What a run prints, and what goes to the log file only."""

import logging
import sys

import pytest
from mmengine.logging import MMLogger, print_log

from rotated_atss.detection.engine.console import FILE_ONLY, ConsoleHandler, configure_console, install_console


@pytest.fixture
def logger(tmp_path):
    """``logger(quiet=False)``: a logger of MMEngine with a log file, whose console is this package's."""

    def build(quiet=False):
        name = f"{tmp_path.name}{quiet}"
        logger = MMLogger.get_instance(name, log_file=str(tmp_path / "run.log"))
        with configure_console(quiet):
            install_console(logger)
        return logger

    yield build
    for name in [name for name in MMLogger._instance_dict if name.startswith(tmp_path.name)]:
        del MMLogger._instance_dict[name]


def from_mmengine(logger, level, message):
    """Log a message from a line of MMEngine."""
    logger.handle(logger.makeRecord("mmengine", level, sys.modules["mmengine"].__file__, 1, message, (), None))


def test_everything_is_in_the_file_and_only_own_messages_and_warnings_are_printed(logger, tmp_path, capsys):
    log = logger()
    log.info("device: cpu")
    log.info("Config: ...", **FILE_ONLY)
    from_mmengine(log, logging.INFO, "Hooks will be executed in the following order")
    from_mmengine(log, logging.WARNING, '"FileClient" will be deprecated in future')
    from_mmengine(log, logging.WARNING, "the dataset has no metainfo")
    print_log("dropped 2 objects\nwithout area", logger=log.instance_name, level=logging.WARNING)
    log.warning("dropped 2 objects\nwithout area")  # said once
    out, err = capsys.readouterr()
    assert out == "device: cpu\n"
    assert err == "warning: the dataset has no metainfo\nwarning: dropped 2 objects without area\n"
    text = (tmp_path / "run.log").read_text()
    for part in ("device: cpu", "Config: ...", "Hooks will", "FileClient", "no metainfo", "without area"):
        assert part in text


def test_quiet_prints_warnings_only(logger, capsys):
    log = logger(quiet=True)
    log.info("device: cpu")
    log.handlers[0].write("epoch 1/12")
    log.warning("no milestone is reached")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "warning: no milestone is reached\n"


def test_messages_can_be_left_to_the_file_for_a_while(logger, capsys):
    log = logger()
    log.handlers[0].shows_messages = False
    log.info("a table")
    log.warning("a problem")
    log.handlers[0].write("one line")
    assert capsys.readouterr() == ("one line\n", "warning: a problem\n")


def test_level_and_filters_of_the_old_handler_stay():
    logger = logging.Logger("other process")
    old = logging.StreamHandler()
    old.setLevel(logging.ERROR)  # what MMEngine sets in all processes but the first
    old.addFilter(lambda record: "secret" not in record.getMessage())
    logger.addHandler(old)
    console = install_console(logger)
    assert logger.handlers == [console]
    assert (console.level, console.is_quiet, len(console.filters)) == (logging.ERROR, True, 1)


def test_a_second_console_replaces_the_first(logger, capsys):
    log = logger()
    second = install_console(log)
    log.info("device: cpu")
    assert capsys.readouterr().out == "device: cpu\n"
    assert (log.handlers[0], second.is_quiet) == (second, False)


def test_an_interrupted_run_ends_the_line_that_is_updated_in_place(monkeypatch, capsys):
    monkeypatch.setattr("rotated_atss.io.status_line.is_terminal", lambda stream: True)

    def interrupted():
        with configure_console(quiet=False):
            ConsoleHandler().status.update("iteration 3/9", force=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err == "\riteration 3/9\n"

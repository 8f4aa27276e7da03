"""Signals that are deferred until a process can continue later."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rotated_atss.io.signals import TerminatedError, defer_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_is_recorded_and_the_handlers_are_restored(name):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with defer_signals() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), getattr(signal, name))
        assert stop.signal is getattr(signal, name)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_the_second_signal_ends_the_process():
    code = (
        "import os, signal, time; from rotated_atss.io.signals import defer_signals\n"
        "with defer_signals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('deferred', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "deferred\n"
    assert done.returncode == -signal.SIGTERM


def test_a_forked_process_ignores_the_signal():
    with defer_signals() as stop:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7 if stop.signal is None else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_signal_and_the_end_of_a_child_process_at_the_same_time():
    """As when a batch system signals a training and its data loading processes."""
    code = (
        "import os, signal; from rotated_atss.io.signals import defer_signals\n"
        "def fail(number, frame): raise RuntimeError('a worker ended')\n"
        "signal.signal(signal.SIGCHLD, fail)\n"
        "both = [signal.SIGTERM, signal.SIGCHLD]\n"
        "with defer_signals() as stop:\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, both)\n"
        "    for number in both: os.kill(os.getpid(), number)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)\n"
        "    print(stop.signal.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("SIGTERM\n", "", 0)


def test_other_threads_change_no_handler():
    found = []

    def body():
        with defer_signals() as stop:
            found.append((stop.signal, signal.getsignal(signal.SIGUSR1)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [(None, signal.SIG_DFL)]


def test_exit_code_is_128_plus_the_signal():
    assert TerminatedError(signal.SIGTERM).exit_code == 143
    assert str(TerminatedError(signal.SIGUSR1, "written")) == "terminated by SIGUSR1: written"


def test_a_process_that_cannot_stop_ends_after_the_grace_period():
    code = (
        "import os, signal, time; from rotated_atss.io.signals import defer_signals\n"
        "with defer_signals(grace_s=0.2):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 143
    assert done.stderr == "terminated by SIGTERM: the work could not be saved within 0.2 s\n"


def test_work_that_stops_in_time_is_not_ended():
    with defer_signals(grace_s=0.1) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.cancel_time_limit()
        time.sleep(0.3)
    assert stop.signal is signal.SIGTERM

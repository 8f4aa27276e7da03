"""Fixtures of all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotated_atss.io.cpu_threads import set_wait_policy
from rotated_atss.mmcv_ext import has_compiled_mmcv_ops, provide_mmcv_ext

set_wait_policy()
provide_mmcv_ext()

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "ROTATED_ATSS_DATA"
if str(ROOT) not in sys.path:  # tests import shared references as tests.references
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """Function that returns a path of real data, ``shared_data("dota_sample", "images")``, or skips the test.

    The data folder is ``$ROTATED_ATSS_DATA`` or ``../shared/data``, relative to the checkout. Tests do not write to it.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")

    def locate(*parts: str) -> Path:
        path = folder.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no real data: {path} (set {DATA_VARIABLE} to the folder that contains it)")
        return path

    return locate


@dataclass
class WebServer:
    """A web server on this machine, which records what is requested and has no file."""

    address: str
    requests: list[str]


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    """A web server for tests that nothing connects to a network."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - the name is that of the base class

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield WebServer(f"127.0.0.1:{server.server_port}", requests)
        server.shutdown()
        thread.join()


@dataclass
class DaskCluster:
    """A Dask scheduler with two worker processes of one thread each, in a process of their own."""

    scheduler_address: str

    def worker_pids(self) -> list[int]:
        """Wait for both workers and return their process ids."""
        import distributed

        with distributed.Client(self.scheduler_address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            return list(client.run(os.getpid).values())


@contextmanager
def start_dask_cluster(folder: Path) -> Iterator[DaskCluster]:
    """Run a local Dask cluster with its files in a folder."""
    pytest.importorskip("distributed")
    script = (
        "import sys, distributed\n"
        "options = dict(n_workers=2, threads_per_worker=1, dashboard_address=':0', local_directory=sys.argv[1])\n"
        "with distributed.LocalCluster(**options) as cluster:\n"
        "    print(cluster.scheduler_address, flush=True)\n"
        "    sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield DaskCluster(process.stdout.readline().strip())
        process.stdin.close()  # ends the cluster


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """The cluster of all tests that leave its workers running."""
    with start_dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def own_dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster for a test that kills a worker: Dask does not always start another."""
    with start_dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that compare with mmcv's compiled ops or DOTA_devkit where these are not installed."""
    if has_compiled_mmcv_ops():
        return
    skip = pytest.mark.skip(reason="no baselines installed: run make setup-baselines")
    for item in items:
        if item.get_closest_marker("baseline"):
            item.add_marker(skip)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Run torch on one thread, which is faster for small images."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Downloads of published model files: resumed, checked, and reported in one line without a network."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest

from rotated_atss.checkpoints.download import cache_folder, cached_path, fetch
from rotated_atss.checkpoints.registry import RegistryEntry
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock
from tests.references.file_server import file_server

CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROTATED_ATSS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    with file_server() as state:
        state.files["/models/a.pth"] = CONTENT
        yield state


def entry(url, digest=None):
    digest = digest or hashlib.sha256(CONTENT).hexdigest()[:8]
    return RegistryEntry(name="a", kind="backbone", url=url, sha256_prefix=digest, license="MIT", source="test")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_downloaded_once(server, cache):
    wanted = entry(f"{server.url}/models/a.pth")
    assert fetch(wanted) == cache / "a.pth" == cached_path(wanted)
    assert (cache / "a.pth").read_bytes() == CONTENT
    assert fetch(wanted) == cache / "a.pth"
    assert server.requests == [("/models/a.pth", None)]
    assert names(cache) == ["a.pth"]


def test_incomplete_download_is_resumed(server, cache):
    wanted = entry(f"{server.url}/models/a.pth")
    server.cut_after = 2_000_000
    with pytest.raises(UserError) as caught:
        fetch(wanted)
    assert str(caught.value) == (
        f"{wanted.url}: cannot be downloaded: the connection ended after 2000000 of 3000000 bytes "
        f"(run again to resume; without a network, place the file at {cache / 'a.pth'})"
    )
    assert names(cache) == ["a.pth.part"]
    server.cut_after = None
    assert fetch(wanted).read_bytes() == CONTENT
    assert server.requests == [("/models/a.pth", None), ("/models/a.pth", "bytes=2000000-")]
    assert names(cache) == ["a.pth"]


def test_server_without_ranges_sends_the_file_again(server, cache):
    cache.mkdir()
    (cache / "a.pth.part").write_bytes(CONTENT[:1000])
    server.has_ranges = False
    assert fetch(entry(f"{server.url}/models/a.pth")).read_bytes() == CONTENT


def test_complete_part_is_checked_and_used(server, cache):
    cache.mkdir()
    (cache / "a.pth.part").write_bytes(CONTENT)
    assert fetch(entry(f"{server.url}/models/a.pth")).read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"", b"wrong", CONTENT + b"more"])
def test_file_with_another_hash_is_removed(server, cache, start):
    wanted = entry(f"{server.url}/models/a.pth", "01234567" if not start else None)
    if start:
        cache.mkdir()
        (cache / "a.pth.part").write_bytes(start)
    with pytest.raises(UserError, match=r"the file has a wrong hash and was removed: expected SHA-256") as caught:
        fetch(wanted)
    assert str(caught.value).startswith(f"{wanted.url}: ")
    assert "\n" not in str(caught.value)
    assert names(cache) == []


def test_damaged_file_in_the_cache_is_removed(server, cache):
    wanted = entry(f"{server.url}/models/a.pth")
    cache.mkdir()
    (cache / "a.pth").write_bytes(b"damaged")
    with pytest.raises(UserError, match="wrong hash"):
        fetch(wanted)
    assert fetch(wanted).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{server}/models/gone.pth", "the server answered 404 Not Found"),
        ("http://127.0.0.1:9/a.pth", "Connection refused"),
        ("file:///no/such/file.pth", "No such file"),
    ],
)
def test_no_network_is_one_line_with_the_place_for_the_file(server, cache, url, reason):
    wanted = entry(url.format(server=server.url))
    with pytest.raises(UserError, match="cannot be downloaded: ") as caught:
        fetch(wanted)
    message = str(caught.value)
    assert message.startswith(f"{wanted.url}: cannot be downloaded: ")
    assert reason in message
    assert message.endswith(f"(without a network, place the file at {cached_path(wanted)})")
    assert "\n" not in message


def test_file_placed_by_hand_needs_no_network(cache):
    cache.mkdir()
    (cache / "a.pth").write_bytes(CONTENT)
    assert fetch(entry("http://no-such-host.invalid/a.pth")) == cache / "a.pth"


def test_second_process_waits_for_the_first(server, cache):
    cache.mkdir()
    wanted, ended = entry(f"{server.url}/models/a.pth"), []
    with run_lock(cache / ".a.pth.lock"):
        thread = threading.Thread(target=lambda: ended.append(fetch(wanted)))
        thread.start()
        time.sleep(0.3)
        assert not ended
        assert not server.requests
    thread.join()
    assert ended == [cache / "a.pth"]


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ROTATED_ATSS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rotated-atss" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "rotated-atss" / "models"


def test_cache_that_cannot_be_written_is_one_line(cache, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROTATED_ATSS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"the cache cannot be written: .* \(choose another folder with ROTATED_ATSS"):
        fetch(entry("http://no-such-host.invalid/a.pth"))


def test_lock_that_cannot_be_written_is_an_error_at_once(cache):
    (cache / ".a.pth.lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"\.a\.pth\.lock: the lock cannot be written: Is a directory"):
        fetch(entry("http://no-such-host.invalid/a.pth"))


def test_progress_counts_bytes_of_both_parts(server, cache, capsys):
    cache.mkdir()
    (cache / "a.pth.part").write_bytes(CONTENT[:2_000_000])
    fetch(entry(f"{server.url}/models/a.pth"), progress=True)
    bar = capsys.readouterr().err
    assert "a.pth: 100%" in bar
    assert "3.00M/3.00M" in bar

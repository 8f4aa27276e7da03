"""A run of predict that is stopped at any moment is continued by the same command, to the same bytes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from benchmarks.reliability.stub_predict import StubDetector
from rotated_atss.cli import main, predict
from rotated_atss.io import run_state
from rotated_atss.io.run_lock import run_lock
from tests.references.images import smooth_noise

WINDOWS = ["--size", "96", "--gap", "32"]


class Killed(BaseException):
    """The process ends without a handler of its own."""


def _kill(*_):
    raise Killed


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"P{index}.png"), smooth_noise(150 + 40 * index, 200, index))
    (folder / "P9.png").write_bytes(b"not an image")
    return folder


@pytest.fixture
def stub(images, tmp_path, monkeypatch):
    """Run predict with the stub; ``calls`` counts its batches."""
    (tmp_path / "model.pth").write_bytes(b"never read")
    calls = []

    class Counting(StubDetector):
        def __call__(self, tiles):
            calls.append(len(tiles))
            return super().__call__(tiles)

    monkeypatch.setattr(predict, "load_any_detector", lambda *_: Counting())

    def run(out, *more):
        words = ["predict", tmp_path / "model.pth", images, "--out", tmp_path / out, *WINDOWS]
        return main([str(word) for word in (*words, "--json", tmp_path / f"{out}.json", *more)])

    run.calls = calls
    return run


def files(root, out):
    """Content of all files of a result."""
    content = {
        str(path.relative_to(root / out)): path.read_bytes() for path in (root / out).rglob("*") if path.is_file()
    }
    for name in (f"{out}.json", f"{out}.ids.json"):
        content[name.removeprefix(out)] = (root / name).read_bytes()
    return content


def test_killed_run_is_continued(stub, tmp_path, capsys, monkeypatch):
    assert stub("expected") == 2
    batches = len(stub.calls)
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 5 images failed"
    detect, stub.calls[:] = StubDetector.__call__, []

    def killed(self, tiles):
        if len(stub.calls) == batches - 2:
            raise Killed
        return detect(self, tiles)

    monkeypatch.setattr(StubDetector, "__call__", killed)
    with pytest.raises(Killed):
        stub("out")
    assert "3 of 5 images are finished; the same command continues" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["predict.partial"]
    monkeypatch.setattr(StubDetector, "__call__", detect)
    stub.calls.clear()
    assert stub("out") == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "continuing: 3 of 5 images finished"
    assert lines[1].startswith("2 images, ")
    assert lines[2].startswith("4 images, ")
    assert len(stub.calls) < batches / 2
    assert files(tmp_path, "out") == files(tmp_path, "expected")


@pytest.mark.parametrize("number", [0, 1, 3, 16, 19, 21])
def test_run_killed_while_it_moves_files_is_only_finished(stub, tmp_path, monkeypatch, capsys, number):
    stub("expected", "--score", "0.9")
    stub("out")  # an earlier result, which is replaced

    def killed(journal):
        run_state.finish_moves({**journal, "moves": journal["moves"][:number]})
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("rotated_atss.cli._prediction_files.finish_moves", killed)
        with pytest.raises(Killed):
            stub("out", "--score", "0.9")
    assert (tmp_path / "out" / "predict.partial").is_dir()
    stub.calls.clear()
    capsys.readouterr()
    assert stub("out", "--score", "0.9") == 2
    assert not stub.calls
    assert capsys.readouterr().out.splitlines()[0] == "completed an interrupted run, whose images were all finished"
    assert files(tmp_path, "out") == files(tmp_path, "expected")


def test_other_command_does_not_continue(stub, images, tmp_path, monkeypatch, capsys):
    detect = StubDetector.__call__

    def killed(self, tiles):
        if len(stub.calls) > 4:
            raise KeyboardInterrupt
        return detect(self, tiles)

    monkeypatch.setattr(StubDetector, "__call__", killed)
    assert stub("out") == 130
    monkeypatch.setattr(StubDetector, "__call__", detect)
    capsys.readouterr()
    assert stub("out", "--iou", "0.5") == 2
    partial = tmp_path / "out" / "predict.partial"
    assert f"{partial}: an interrupted run differs: --iou is 0.5, was not given (repeat" in capsys.readouterr().err
    os.utime(images / "P0.png", (1, 1))
    assert stub("out") == 2
    assert "an interrupted run differs: images: P0.png has changed (" in capsys.readouterr().err
    assert stub("out", "--overwrite") == 2
    assert stub("expected") == 2
    assert files(tmp_path, "out") == files(tmp_path, "expected")


def test_damaged_records_are_repeated(stub, tmp_path, monkeypatch):
    assert stub("expected") == 2
    with monkeypatch.context() as patch:
        patch.setattr("rotated_atss.tiling.prediction_results.write_results", _kill)
        with pytest.raises(Killed):
            stub("out")
    record = tmp_path / "out" / "predict.partial" / "records" / "P1.npz"
    record.write_bytes(record.read_bytes()[:1000])
    (record.parent / ".P2.1234.part").touch()
    assert stub("out") == 2
    assert files(tmp_path, "out") == files(tmp_path, "expected")


@pytest.mark.parametrize("step", ["record", "picture"])
def test_full_disk_ends_the_run_in_one_line_and_is_continued(stub, tmp_path, monkeypatch, capsys, step):
    assert stub("expected") == 2
    capsys.readouterr()
    name = {"record": "rotated_atss.tiling.prediction_record.os.replace", "picture": "pathlib.Path.write_bytes"}[step]
    with monkeypatch.context() as patch:
        real = {"record": os.replace, "picture": Path.write_bytes}[step]

        def full(path, *more):
            if "P2" in Path(path).name and "partial" in str(path):
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return real(path, *more)

        patch.setattr(name, full)
        assert stub("out") == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.endswith("No space left on device (free some space, or write elsewhere)")
    assert captured.out.splitlines()[-1] == "2 of 5 images are finished; the same command continues"
    assert stub("out") == 2
    assert files(tmp_path, "out") == files(tmp_path, "expected")


def test_shards_give_the_result_of_one_run(stub, tmp_path, capsys):
    assert stub("expected") == 2
    capsys.readouterr()
    lines = []
    for index, code in ((3, 0), (1, 0), (1, 0), (2, 2)):  # the unreadable image is the fifth
        assert stub("out", "--shard", f"{index}/3") == code
        lines.append(capsys.readouterr().out.splitlines())
    assert lines[0][-1].endswith(f" s; 4 images left to other shards; the last shard completes {tmp_path / 'out'}")
    assert lines[2][0] == "continuing: 2 of 2 images finished"
    assert lines[3][0].startswith("2 images, ")
    assert lines[3][-1] == "1 of 5 images failed"
    assert files(tmp_path, "out") == files(tmp_path, "expected")


def test_run_without_a_shard_does_the_rest(stub, tmp_path, capsys, user_error):
    assert stub("expected") == 2
    assert stub("out", "--shard", "1/2") == 2
    assert stub("out", "--overwrite", "--shard", "1/2") == 2
    assert "--overwrite cannot be combined with --shard" in capsys.readouterr().err
    assert stub("out", "--shard", "0/2") == 2
    assert "a shard must be I/N with I from 1 to N, got 0/2" in capsys.readouterr().err
    with run_lock(tmp_path / "out" / ".predict.1-of-2.lock"):
        assert stub("out") == 2
    assert "another run writes into this folder" in capsys.readouterr().err
    assert stub("out") == 2
    assert "continuing: 2 of 5 images finished" in capsys.readouterr().out
    assert files(tmp_path, "out") == files(tmp_path, "expected")


@pytest.mark.slow
def test_killed_processes_lose_nothing(repo_root):
    """SIGKILL at random moments, each followed by the same command."""
    words = [sys.executable, "benchmarks/reliability/kill_predict.py", "--kills", "3", "--images", "5", "--seed", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=repo_root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kills 3, ")

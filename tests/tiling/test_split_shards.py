"""Shards of one split: any order, any number and any stop give the output of a single run."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rotated_atss.tiling.split
from rotated_atss.cli import main
from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock
from rotated_atss.io.shards import Shard


@pytest.fixture
def folders(tmp_path, make_folder):
    return make_folder(tmp_path / "raw", {f"P{index}.png": (150 + 30 * index, 200) for index in range(5)})


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 2, 3, 1]])
def test_shards_equal_one_run(tmp_path, folders, split, tree, order):
    whole = split(*folders, tmp_path / "whole")
    results = [split(*folders, tmp_path / "out", shard=Shard(index, 3)) for index in order]
    assert [result.unfinished > 0 for result in results] == [True] * (len(order) - 1) + [False]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert replace(results[-1], out=None, seconds=0) == replace(whole, out=None, seconds=0)
    assert split(*folders, tmp_path / "out", shard=Shard(1, 3)).was_finished


def test_shards_are_every_nth_image(tmp_path, folders, split):
    split(*folders, tmp_path / "out", shard=Shard(2, 2))
    tiles = (tmp_path / "out" / "split.partial" / "images").iterdir()
    assert {path.name[:2] for path in tiles} == {"P1", "P3"}


def test_run_without_shard_does_what_is_left(tmp_path, folders, split, tree):
    split(*folders, tmp_path / "whole")
    split(*folders, tmp_path / "out", shard=Shard(2, 3))
    split(*folders, tmp_path / "out", shard=Shard(1, 2))
    seen = []
    split(*folders, tmp_path / "out", on_continue=lambda *counts: seen.append(counts))
    assert seen == [(4, 5)]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_more_shards_than_images(tmp_path, make_folder, split, tree):
    folders = make_folder(tmp_path / "raw", {"P1.png": (150, 200)})
    split(*folders, tmp_path / "whole")
    empty = split(*folders, tmp_path / "out", shard=Shard(2, 2))
    assert (empty.totals.images, empty.unfinished) == (0, 1)
    assert split(*folders, tmp_path / "out", shard=Shard(1, 2)).unfinished == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_failed_shard_leaves_the_others_alone(tmp_path, folders, split, tree):
    whole = (folders[0] / "P1.png").read_bytes()
    split(*folders, tmp_path / "whole")
    (folders[0] / "P1.png").write_bytes(whole[:-40])
    with pytest.raises(UserError, match="truncated"):
        split(*folders, tmp_path / "out", shard=Shard(2, 5))
    split(*folders, tmp_path / "out", shard=Shard(1, 5))
    (folders[0] / "P1.png").write_bytes(whole)
    for index in range(2, 6):
        split(*folders, tmp_path / "out", shard=Shard(index, 5))
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_same_shard_and_whole_run_are_refused_while_a_shard_runs(tmp_path, folders, split):
    (tmp_path / "out").mkdir()
    with run_lock(tmp_path / "out" / ".split.1-of-2.lock"):
        for shard in (None, Shard(1, 2)):
            with pytest.raises(UserError, match=r"1-of-2\.lock: another run writes into this folder"):
                split(*folders, tmp_path / "out", shard=shard)
        split(*folders, tmp_path / "out", shard=Shard(2, 2))
    with pytest.raises(UserError, match="sizes is"):
        split(*folders, tmp_path / "out", shard=Shard(1, 2), sizes=[200])


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_invalid_shards(text):
    with pytest.raises(UserError, match="a shard must be I/N with I from 1 to N"):
        Shard.parse(text)


def test_shards_at_once(tmp_path, folders, split, tree):
    split(*folders, tmp_path / "whole")
    words = ["split", "--images", folders[0], "--labels", folders[1], "--out", tmp_path / "out", "--size", "128"]
    words += ["--gap", "32", "--workers", "1"]
    command = [sys.executable, "-m", "rotated_atss", *map(str, words)]
    root = Path(rotated_atss.tiling.split.__file__).parents[2]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    shards = [subprocess.Popen([*command, "--shard", f"{index}/3"], cwd=root, **pipes) for index in (1, 2, 3)]
    texts = [shard.communicate()[0] for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0, 0], texts
    assert sum("written to" in text for text in texts) >= 1
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_command(tmp_path, folders, capsys):
    words = ["split", "--images", folders[0], "--labels", folders[1], "--out", tmp_path / "out", "--workers", "1"]
    words = list(map(str, words))
    assert main([*words, "--shard", "1/2", "--overwrite"]) == 2
    assert "--overwrite cannot be combined with --shard" in capsys.readouterr().err
    assert main([*words, "--shard", "1/2"]) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith(f"2 images left to other shards; the last shard completes {tmp_path / 'out'}")
    )
    assert main([*words, "--shard", "2/2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "continuing: 3 of 5 images done"
    assert out[-1].startswith("5 images -> 5 tiles (0 without objects)")
    assert out[-1].endswith(f"written to {tmp_path / 'out'}")

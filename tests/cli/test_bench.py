"""``rotated-atss bench``: which script runs, with what, and what it says of mistakes."""

import json
from types import SimpleNamespace

import pytest

from rotated_atss.cli import bench, main

SCRIPT = '''"""A claim beside a peer.

    python bench_one.py {usage}
"""
import json, os, sys
from pathlib import Path
Path(os.environ["BENCH_RESULTS"], "{name}.json").write_text(json.dumps(sys.argv[1:]))
sys.exit({code})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "benchmarks"
    place.mkdir()
    for name, usage, code in (("one_step", "[--device cuda]", 0), ("two", "", 0), ("broken", "", 3)):
        (place / f"bench_{name}.py").write_text(SCRIPT.format(usage=usage, name=name, code=code))
    monkeypatch.setattr(bench, "FOLDER", place)
    return place


def test_names_run_with_their_options(folder, tmp_path, capfd):
    out = tmp_path / "out"
    out.mkdir()
    words = ["one-step", "two", "--results", str(out), "--device", "cuda", "--options", "--repeats 3"]
    assert main(["bench", *words]) == 0
    assert json.loads((out / "one_step.json").read_text()) == ["--repeats", "3", "--device", "cuda"]
    assert json.loads((out / "two.json").read_text()) == ["--repeats", "3"]
    assert not (out / "broken.json").exists()
    assert capfd.readouterr().out.count("==") == 2


def test_all_run_and_a_failure_is_named(folder, tmp_path, capfd):
    assert main(["bench", "--results", str(tmp_path)]) == 1
    assert (tmp_path / "one_step.json").exists()
    assert (tmp_path / "two.json").exists()
    assert capfd.readouterr().err.strip() == "failed: broken"


def test_the_list_tells_the_claims(folder, capsys):
    assert main(["bench", "--list"]) == 0
    assert "one-step     A claim beside a peer." in capsys.readouterr().out.splitlines()


def test_a_name_that_is_none(folder, capsys):
    assert main(["bench", "onestep"]) == 2
    assert capsys.readouterr().err.strip() == (
        "rotated-atss bench: error: no benchmark 'onestep' (choose from broken, one-step, two)"
    )


def test_a_scripts_own_name_and_options_that_cannot_be_read(folder, tmp_path, capsys):
    assert main(["bench", "one_step", "--results", str(tmp_path)]) == 0
    assert main(["bench", "one-step", "--options", "'--repeats 3"]) == 2
    assert (
        capsys.readouterr().err.strip() == "rotated-atss bench: error: --options cannot be read: No closing quotation"
    )


def test_without_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "FOLDER", tmp_path / "nowhere")
    assert main(["bench"]) == 2
    assert "the benchmarks are part of a checkout" in capsys.readouterr().err


def test_every_script_of_this_checkout_is_found():
    names = set(bench.find_scripts())
    assert {"iou", "nms", "assign", "train-step", "merge", "split"} <= names
    assert all(
        bench.claim(path).endswith((".", ",")) or len(bench.claim(path)) > 20 for path in bench.find_scripts().values()
    )


def test_the_page_is_made_after_a_run_for_the_record(folder, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        bench.subprocess, "run", lambda words, **_: calls.append(words) or SimpleNamespace(returncode=0)
    )
    assert main(["bench", "two"]) == 0
    assert [words[1].rpartition("/")[2] for words in calls] == ["bench_two.py", "make_table.py"]

"""Devices, fresh processes, and the scripts' command lines."""

import importlib
import sys

import pytest
import torch

from benchmarks import harness, make_table, on_gpu, page, records, run

README = records.ROOT / "benchmarks" / "README.md"
SCRIPTS = ["make_table", "record_accuracy", "on_gpu", "run"]


def test_an_unavailable_device_is_reported_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    harness.check_device("cpu")
    for device, message in (("cuda", "no CUDA device"), ("cuda:1", "no CUDA device"), ("tpu", "unknown device 'tpu'")):
        with pytest.raises(SystemExit, match=message) as ended:
            harness.check_device(device)
        assert "\n" not in str(ended.value)
    assert harness.synchronizer("cpu") is None


def test_a_function_runs_in_a_fresh_process():
    assert harness.in_new_process(page.seconds, 0.0123) == "12.3 ms"
    with pytest.raises(SystemExit, match=r"seconds.* failed in a new process: TypeError"):
        harness.in_new_process(page.seconds, "text")


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_answers_help_and_is_named_in_the_readme(script, capsys, monkeypatch):
    main = importlib.import_module(f"benchmarks.{script}").main
    monkeypatch.setattr("sys.argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"{script}.py" in capsys.readouterr().out
    assert f"{script}.py" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", run.find_benchmarks())
def test_every_benchmark_lists_its_options_and_is_named_in_the_readme(name, capsys):
    with pytest.raises(SystemExit) as ended:
        harness.run(name, ["--help"])
    assert ended.value.code == 0
    output = capsys.readouterr().out
    module = name.replace("-", "_")
    options = importlib.import_module(f"benchmarks.bench_{module}").OPTIONS
    assert f"run.py {name}" in output
    assert all(f"--{option.replace('_', '-')}" in output for option in options)
    assert module in (*make_table.SECTIONS, "models", "scaling")
    assert f"bench_{module}.py" in README.read_text(encoding="utf-8")


def test_pages_are_checked_without_being_written(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_table.py", "scaling", "--check"])
    assert make_table.main() == 0
    assert capsys.readouterr().out.strip().endswith("scaling.md is up to date")
    monkeypatch.setattr("sys.argv", ["make_table.py", "nothing"])
    with pytest.raises(SystemExit):
        make_table.main()
    assert "unknown page 'nothing'. Choose from benchmarks, scaling, models, reliability." in capsys.readouterr().err


def test_no_gpu_is_reported_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["on_gpu.py"])
    assert on_gpu.main() == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Three benchmarks, run by a harness that prints their options and fails for one of them."""
    for name in ("one_step", "broken", "two"):
        (tmp_path / f"bench_{name}.py").write_text(f'"""Measure {name}."""\n')
    (tmp_path / "harness.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1], sys.argv[2:], os.environ.get('BENCH_RESULTS'))\n"
        "sys.exit(3 if sys.argv[1] == 'broken' else 0)\n"
    )
    (tmp_path / "make_table.py").write_text("print('page')\n")
    monkeypatch.setattr(run, "FOLDER", tmp_path)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["run.py", *words])
        return run.main()

    return call


def test_the_runner_lists_scripts_with_their_first_line(scripts, capsys):
    assert scripts("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["broken", "Measure broken."],
        ["one-step", "Measure one_step."],
        ["two", "Measure two."],
    ]


def test_the_runner_passes_options_on_and_updates_the_page(scripts, capfd):
    assert scripts("one_step", "two", "--repeats", "3", "--device", "cuda") == 0
    words = "['--repeats', '3', '--device', 'cuda']"
    output = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("==")]
    assert output == [f"one-step {words} None", f"two {words} None", "page"]


def test_the_runner_reports_failures_and_leaves_the_page_with_other_results(scripts, capfd, tmp_path):
    assert scripts("--results", str(tmp_path)) == 1
    captured = capfd.readouterr()
    assert captured.err == "failed: broken\n"
    assert f"two [] {tmp_path}" in captured.out
    assert "page" not in captured.out


def test_the_runner_refuses_an_unknown_name(scripts, capsys):
    with pytest.raises(SystemExit) as ended:
        scripts("onestep")
    assert ended.value.code == 2
    assert "unknown benchmark 'onestep'. Choose from broken, one-step, two." in capsys.readouterr().err


def test_the_runner_uses_the_python_that_runs_it(scripts, monkeypatch):
    calls = []
    monkeypatch.setattr(
        run.subprocess, "run", lambda words, **_: calls.append(words) or type("Done", (), {"returncode": 0})
    )
    assert scripts("two") == 0
    assert [words[0] for words in calls] == [sys.executable] * 2

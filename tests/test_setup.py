"""Tests of scripts/bootstrap.py, the pinned versions and the wheel."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from rotated_atss import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a temporary folder as .venv."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("bootstrap")
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "VENV_PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv/stamp.json")
    return module


@pytest.fixture
def build_mmcv(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that compiles mmcv, with a temporary folder of wheels."""
    monkeypatch.setenv("ROTATED_ATSS_WHEELS", str(tmp_path / "wheels"))
    return importlib.import_module("build_mmcv")


def constraints() -> list[str]:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "# "]


def test_constraints_pin_every_package_and_a_single_opencv() -> None:
    assert all(re.match(r"[\w.-]+==[\w.+]+( ; .+)?$", line) for line in constraints())
    names = {line.partition("==")[0] for line in constraints()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python-headless"}
    assert {"torch", "torchvision", "onedl-mmcv", "pytest", "ruff", "mypy"} <= names


def test_requirements_contain_no_url() -> None:
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text(encoding="utf-8"), path


def test_mmcv_can_be_excluded_from_the_pins(bootstrap: ModuleType) -> None:
    pins = bootstrap.pinned_requirements(without=("onedl-mmcv",))
    assert len(pins) == len(constraints()) - 1
    assert not any(line.startswith("onedl-mmcv") for line in pins)
    assert bootstrap.pinned_requirement("onedl-mmcv") in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_wheel_contains_configs_and_tools_and_only_small_text_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    entries = [entry for entry in zipfile.ZipFile(wheel).infolist() if ".dist-info/" not in entry.filename]
    names = {entry.filename for entry in entries}
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.py")}
    assert {f"rotated_atss/.mim/{name}" for name in configs | {"tools/train.py", "model-index.yml"}} <= names
    assert {"rotated_atss/py.typed", "rotated_atss/ops/iou.py", "rotated_atss/tiling/split.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "scripts", "data_prep", ".ci"))]
    suffixes = {".css", ".html", ".js", ".json", ".py", ".sh", ".txt", ".typed", ".yml"}
    assert {Path(name).suffix for name in names} <= suffixes
    assert max(entry.file_size for entry in entries) < 300_000


def test_release_files_state_the_version_of_the_package() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)


def test_wheel_is_found_by_its_key(build_mmcv: ModuleType, tmp_path: Path) -> None:
    version = build_mmcv.pinned_requirement("onedl-mmcv").partition("==")[2]
    wheel = tmp_path / "wheels" / "torch9-cpuops" / f"onedl_mmcv-{version}-cp311-cp311-linux_x86_64.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert build_mmcv.find_wheel("torch9-cpuops") == wheel
    assert build_mmcv.find_wheel("torch8-cpuops") is None


def test_mmcv_is_compiled_for_the_cpu_by_default(build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_CUDA", "1")
    monkeypatch.delenv("MMCV_CUDA", raising=False)
    env = build_mmcv.build_environment()
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert "FORCE_CUDA" not in env
    assert env["CFLAGS"] == "-g0"
    monkeypatch.setenv("MMCV_CUDA", "1")
    assert build_mmcv.build_environment()["FORCE_CUDA"] == "1"


def test_environment_variables_that_redirect_installs_are_dropped(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from install_tools import IGNORED_VARIABLES

    for name in IGNORED_VARIABLES:
        monkeypatch.setenv(name, "elsewhere")
    assert not set(IGNORED_VARIABLES) & set(bootstrap.clean_environment())


def test_setup_does_nothing_if_up_to_date(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    bootstrap.VENV_PYTHON.parent.mkdir(parents=True)
    bootstrap.VENV_PYTHON.touch()
    bootstrap.STAMP.write_text(bootstrap.json.dumps(bootstrap.current_stamp()))
    monkeypatch.setattr(bootstrap, "run", None)  # running any command raises
    monkeypatch.setattr(bootstrap.subprocess, "call", None)
    assert bootstrap.main([]) == 0
    assert capsys.readouterr() == ("", "")


def test_changed_inputs_change_the_stamp(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = bootstrap.current_stamp()
    other = tmp_path / "constraints.txt"
    other.write_text("numpy==1.0\n")
    monkeypatch.setattr(bootstrap, "INPUTS", (other,))
    assert bootstrap.current_stamp() != before


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 14, 0)])
def test_unsupported_python_is_reported_in_one_line(bootstrap: ModuleType, monkeypatch, capsys, version) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    assert bootstrap.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "3.10 to 3.13 needed" in line
    assert "make PYTHON=python3." in line


def test_missing_compiler_is_reported(build_mmcv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build_mmcv.SetupError, match=r"apt-get install g\+\+"):
        build_mmcv.check_compiler()


def test_match_python_refuses_a_venv_of_another_python(bootstrap: ModuleType, capsys) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.1.4\n")
    assert bootstrap.main(["--match-python"]) == 1
    requested = ".".join(map(str, sys.version_info[:2]))
    assert f"has Python 3.1, requested is {requested}: run make clean-venv first" in capsys.readouterr().err


def test_folder_that_is_no_venv_is_kept(bootstrap: ModuleType, capsys) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "precious.txt").write_text("mine")
    assert bootstrap.main([]) == 1
    assert "is not a virtual environment: move it away" in capsys.readouterr().err
    assert (bootstrap.VENV / "precious.txt").read_text() == "mine"

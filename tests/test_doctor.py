"""``rotated-atss doctor``: reported problems, suggested fixes, missing packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rotated_atss import doctor
from rotated_atss.doctor import Check

ROOT = Path(__file__).resolve().parents[1]

BLOCKER = """
import importlib.abc, importlib.util, sys
blocked = {blocked!r}
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
find_spec = importlib.util.find_spec
importlib.util.find_spec = (
    lambda name, package=None: None if name.partition(".")[0] in blocked else find_spec(name, package)
)
sys.meta_path.insert(0, Block())
from rotated_atss.cli import main
sys.exit(main(["doctor", "--json"]))
"""


def run_doctor_without(*blocked: str) -> tuple[int, dict[str, Check]]:
    """Return the exit code and the checks by name in a process that cannot import these packages."""
    code = BLOCKER.format(blocked=set(blocked))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: Check(**check) for check in report["checks"]}


@pytest.mark.slow
def test_working_installation_has_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    checks = doctor.collect()
    assert not [check for check in checks if check.status == "fail"]
    assert doctor.exit_code(checks) == 0
    names = [check.name for check in checks]
    assert {"python", "torch", "cuda", "opencv", "rotated IoU", "rotated NMS", "configs", "disk"} <= set(names)
    assert capsys.readouterr() == ("", "")


def test_geometry_works_without_the_training_stack() -> None:
    code, checks = run_doctor_without("mmengine", "mmcv", "mmdet", "mmrotate")
    assert code == 0
    assert checks["rotated IoU"].status == "ok"
    assert checks["training"].status == "warn"
    assert "mmengine, mmcv, mmdet, mmrotate not installed" in checks["training"].detail
    assert checks["training"].fix


def test_missing_torch_is_a_failure_with_its_install_command() -> None:
    code, checks = run_doctor_without("torch", "mmengine", "mmcv", "mmdet", "mmrotate")
    assert code == 1
    assert checks["torch"].status == "fail"
    assert checks["torch"].detail == "torch is not installed"
    assert checks["torch"].fix == doctor.install_command("torch")
    assert checks["numpy"].status == "ok"


def test_wrong_iou_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import rotated_atss.ops

    monkeypatch.setattr(rotated_atss.ops, "rotated_iou", lambda *_: torch.tensor([[0.5]]))
    check = doctor._iou_check(torch, "cpu")
    assert check.status == "fail"
    assert "got 0.500000, expected 0.707107" in check.detail


@pytest.mark.parametrize(
    ("preferred", "problem", "status", "detail"),
    [
        (None, "", "ok", "used on cuda"),
        ("torch", "", "ok", "not used: ROTATED_ATSS_BACKEND=torch"),
        (None, "no C compiler", "warn", "not used, rotated IoU and NMS are slower: no C compiler"),
    ],
)
def test_backend_of_a_gpu_is_reported(
    monkeypatch: pytest.MonkeyPatch, preferred: str | None, problem: str, status: str, detail: str
) -> None:
    import torch

    from rotated_atss.ops import backend

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backend, "unavailable_reason", lambda device: problem)
    if preferred:
        monkeypatch.setenv(backend.VARIABLE, preferred)
    else:
        monkeypatch.delenv(backend.VARIABLE, raising=False)
    (check,) = doctor._triton()
    assert check.status == status
    assert check.detail.endswith(detail)
    assert doctor._backend("cpu") == "torch"
    assert doctor._backend("cuda") == ("triton" if detail == "used on cuda" else "torch")


def test_two_opencv_distributions_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version_of", lambda *names: "4.1" if names[0].startswith("opencv-python") else None)
    monkeypatch.setattr(doctor, "_bootstrapped", lambda: False)
    (check,) = doctor._opencv()
    assert check.status == "warn"
    assert "opencv-python-headless, opencv-python: they install into the same folder" in check.detail
    remove = f"{doctor.PIP} uninstall -y opencv-python-headless opencv-python"
    assert check.fix == f"{remove} && {doctor.PIP} install 'opencv-python-headless<5'"


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2.5.1", "fail"),
        ("2.6.0", "ok"),
        ("2.11.0+cu130", "ok"),
        ("2.14.1", "ok"),
        ("2.15.0", "warn"),
        ("3.0.0", "warn"),
    ],
)
def test_old_torch_is_a_failure_and_untested_torch_a_warning(
    monkeypatch: pytest.MonkeyPatch, version: str, status: str
) -> None:
    import torch

    monkeypatch.setattr(torch, "__version__", version)
    check = next(iter(doctor._torch()))
    assert check.status == status
    assert bool(check.fix) == (status != "ok")


def test_torchvision_built_for_another_torch_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version_of", lambda *names: {"torch": "2.13.0", "torchvision": "0.26.0"}[names[0]])
    monkeypatch.setattr(doctor, "_torch_of_torchvision", lambda: "2.11.0")
    monkeypatch.setattr(doctor, "_bootstrapped", lambda: False)
    monkeypatch.setattr(doctor, "_import", lambda name: type("tv", (), {"ops": type("ops", (), {"nms": 0})}))
    (check,) = doctor._torchvision()
    assert check.status == "fail"
    assert "built for torch 2.11.0" in check.detail
    assert check.fix == f"{doctor.PIP} install torchvision==0.28.*"


def test_check_that_raises_is_a_failure() -> None:
    def _broken_thing():
        raise OSError("libGL.so.1: cannot open shared object file")
        yield

    (check,) = doctor._run_check(_broken_thing)
    assert (check.name, check.status) == ("broken thing", "fail")
    assert "libGL.so.1" in check.detail
    assert check.fix


def test_text_has_fixes_below_checks_and_a_summary() -> None:
    checks = [Check("a", "ok", "1.0"), Check("longer", "warn", "absent", "pip install longer")]
    assert doctor.as_text(checks).splitlines() == [
        "ok    a       1.0",
        "warn  longer  absent",
        "              fix: pip install longer",
        "0 failed, 1 warnings",
    ]
    assert doctor.as_text(checks[:1]).endswith("no problems found")


def test_pins_agree_with_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for names in doctor.TRAINING_STACK.values():
        assert f'"{names[0]}"' in project
        assert names[0] in pinned
    assert f"torch=={doctor.TORCH_PIN}" in pinned
    assert f"torchvision=={doctor.TORCHVISION_PIN}" in pinned
    assert f'"torch>={doctor.OLDEST_TORCH[0]}.{doctor.OLDEST_TORCH[1]},<2.{doctor.NEWEST_TORCH[1] + 1}"' in project
    assert f"Python :: 3.{doctor.NEWEST_PYTHON[1]}" in project

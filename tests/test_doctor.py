"""``rotated-atss doctor``: reported problems, suggested fixes, missing packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
    checks = doctor.run_checks()
    assert not [check for check in checks if check.status == "fail"]
    assert doctor.exit_code(checks) == 0
    names = [check.name for check in checks]
    assert {"python", "torch", "cuda", "cv2", "rotated IoU and NMS", "configs", "machine"} <= set(names)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_geometry_works_without_the_training_stack() -> None:
    code, checks = run_doctor_without("mmengine", "mmcv", "mmdet", "mmrotate")
    assert code == 0
    assert checks["rotated IoU and NMS"].status == "ok"
    assert checks["train"].status == "warn"
    assert "mmcv, mmdet, mmengine, mmrotate not installed: training" in checks["train"].detail
    assert checks["train"].fix


def test_missing_torch_is_a_failure_with_its_install_command() -> None:
    code, checks = run_doctor_without("torch", "mmengine", "mmcv", "mmdet", "mmrotate")
    assert code == 1
    assert checks["torch"].status == "fail"
    assert checks["torch"].detail == "torch is not installed"
    assert checks["torch"].fix == doctor.install_command("torch")
    assert checks["numpy"].status == "ok"


@pytest.mark.parametrize(
    ("package", "extra"),
    [("onnx", "[train,export]"), ("onnxruntime", "[onnx]"), ("mmdet", "[train]"), ("openvino", "[openvino]"),
     ("rasterio", "[geo]"), ("torch", "")],
)  # fmt: skip
def test_install_command_names_the_extra_for_the_package(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    monkeypatch.setattr(doctor, "_checkout", lambda: None)
    assert doctor.install_command(package) == f"{doctor.PIP} install --upgrade 'rotated-atss{extra}'"


def test_wrong_iou_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import rotated_atss.ops

    monkeypatch.setattr(rotated_atss.ops, "rotated_iou", lambda *_: torch.tensor([[0.5]]))
    check = doctor._check_rotated_ops(torch, "cpu")
    assert check.status == "fail"
    assert "IoU 0.500000, expected 0.707107" in check.detail


def test_apple_gpu_is_reported_as_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(doctor, "_check_rotated_ops", lambda torch, device: Check("geometry", "ok", device))
    checks = list(doctor._check_devices())
    assert [(check.name, check.status) for check in checks] == [("mps", "ok"), ("geometry", "ok"), ("geometry", "ok")]
    assert "has not been run on Apple hardware" in checks[0].detail
    assert [check.detail for check in checks[1:]] == ["cpu", "mps"]


def test_mmcv_without_compiled_ops_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mmdet")
    for compiled, detail in ((True, "compiled"), (False, "not compiled; this package does not need them")):
        monkeypatch.setattr(doctor, "has_compiled_mmcv_ops", lambda compiled=compiled: compiled)
        check = list(doctor._check_training())[-1]
        assert (check.name, check.status, check.detail) == ("mmcv ops", "ok", detail)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of installed distributions, which a test can change."""
    versions: dict[str, str] = {}
    monkeypatch.setattr(doctor, "_version_of", versions.get)
    return versions


def test_two_distributions_of_one_package_are_a_warning(installed: dict[str, str]) -> None:
    installed.update({"onedl-mmcv": "2.3.6", "mmcv-full": "1.7.2"})
    check = doctor._check_installed_package("mmcv", "onedl-mmcv", "==2.3.6", ["onedl-mmcv", "mmcv-full"])
    assert check.status == "warn"
    assert "onedl-mmcv 2.3.6, mmcv-full 1.7.2: they install into the same folder" in check.detail
    assert check.fix.startswith(f"{doctor.PIP} uninstall -y onedl-mmcv mmcv-full && ")


def test_another_version_than_the_tested_one_is_a_warning(installed: dict[str, str]) -> None:
    installed["torch"] = "2.5.1"
    check = doctor._check_installed_package("torch", "torch", ">=2.6", ["torch"])
    assert (check.status, check.detail) == ("warn", "torch 2.5.1, tested with >=2.6")
    assert check.fix


def test_a_package_that_cannot_be_imported_is_a_failure(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "_import", fail)
    installed["opencv-python-headless"] = "4.10"
    check = doctor._check_installed_package("cv2", "opencv-python-headless", ">=4.8,<5", ["opencv-python-headless"])
    assert check.status == "fail"
    assert check.fix == f"{doctor.PIP} install --force-reinstall --no-deps opencv-python-headless"


def test_opencv_of_another_distribution_is_a_warning(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_import", lambda _: SimpleNamespace(__version__="5.0.0"))
    installed["opencv-python-headless"] = "4.14.0.94"
    check = doctor._check_installed_package("cv2", "opencv-python-headless", ">=4.8,<5", ["opencv-python-headless"])
    assert (check.status, check.detail) == ("warn", "cv2 5.0.0, installed by opencv-python, tested with >=4.8,<5")
    assert check.fix == f"{doctor.PIP} install 'opencv-python>=4.8,<5'"


def test_the_opencv_of_mmcv_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [("train", "opencv-python", ">=4.8,<5"), ("train", "tensorboard", ">=2.14")]
    monkeypatch.setattr(doctor, "_requirements", lambda: iter(requirements))
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    assert [check.detail for check in doctor._check_packages()] == [
        f"tensorboard not installed: {doctor.EXTRAS['train']}"
    ]


def test_requirements_are_those_of_the_project() -> None:
    found = list(doctor._requirements())
    assert (None, "torch", ">=2.6") in found
    assert ("train", "onedl-mmcv", "==2.3.6") in found
    assert {extra for extra, _, _ in found} >= {None, "train", "fast", "dev"}


@pytest.mark.parametrize(
    ("version", "specifiers", "fits"),
    [
        ("2.5.1", ">=2.6,<2.15", False),
        ("2.6.0", ">=2.6,<2.15", True),
        ("2.11.0+cu130", ">=2.6,<2.15", True),
        ("2.14.1", ">=2.6,<2.15", True),
        ("2.15.0", ">=2.6,<2.15", False),
        ("0.10.12", "==0.10.12", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, specifiers: str, fits: bool) -> None:
    assert doctor.version_fits(version, specifiers) == fits


def test_check_that_raises_is_a_failure() -> None:
    def _check_broken_thing():
        raise OSError("libGL.so.1: cannot open shared object file")
        yield

    (check,) = doctor._run_check(_check_broken_thing)
    assert (check.name, check.status) == ("broken thing", "fail")
    assert "libGL.so.1" in check.detail
    assert check.fix


def test_text_has_fixes_below_checks_and_a_summary() -> None:
    checks = [Check("a", "ok", "1.0"), Check("longer", "warn", "absent", "pip install longer")]
    assert doctor.as_text(checks).splitlines() == [
        "ok    a       1.0",
        "warn  longer  absent",
        "              fix: pip install longer",
        "0 failed, 1 warning",
    ]
    assert doctor.as_text(checks[:1]).endswith("no problems found")

"""Checks of an installation, with the command that fixes a problem.

Checks are independent and none raises, so that one problem does not hide another. An untested version is a warning.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

import rotated_atss
from rotated_atss.io.processes import available_cores

Status = Literal["ok", "warn", "fail"]

_import = importlib.import_module

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
OLDEST_TORCH, NEWEST_TORCH = (2, 6), (2, 14)  # 2.6: torch.load is safe by default; 2.15: mmcv does not compile
TORCH_PIN, TORCHVISION_PIN = "2.11.0", "0.26.0"
PIP = f"{sys.executable} -m pip"  # a plain pip can belong to another Python
BOOTSTRAP = "python3 scripts/bootstrap.py --force"
OPENCV = "opencv-python-headless<5"
OPENCV_DISTRIBUTIONS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
OVERWRITING = "they install into the same folder and overwrite each other"
FREE_GIB = 5

# import package -> pinned distribution of `make setup`, then other distributions of the same import package
TRAINING_STACK = {
    "mmengine": ("onedl-mmengine==0.10.12", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv==2.3.6", "mmcv", "mmcv-full", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection==3.5.1", "mmdet"),
    "mmrotate": ("onedl-mmrotate==1.2.1", "mmrotate"),
}


@dataclass(frozen=True)
class Check:
    """Result of a check.

    Args:
        name: Subject of the check, such as a package.
        status: ``ok``; ``warn``: missing or untested, without effect on the rest; ``fail``: broken.
        detail: Version or problem.
        fix: Command that fixes the problem, or an empty string.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def collect() -> list[Check]:
    """Run all checks, prerequisites first.

    Example::

        failures = [check for check in collect() if check.status == "fail"]
    """
    with _suppress_output():
        return [result for check in CHECKS for result in _run_check(check)]


def exit_code(checks: list[Check]) -> int:
    """Return 1 if a check failed, otherwise 0. Neither a missing GPU nor a missing training stack is a failure.

    Example:
        >>> exit_code([Check("torch", "ok", "2.11.0"), Check("cuda", "warn", "no driver")])
        0
    """
    return int(any(check.status == "fail" for check in checks))


def as_text(checks: list[Check]) -> str:
    """Format results as one line per check, with its fix on the next line, and a summary.

    Example:
        >>> print(as_text([Check("torch", "ok", "2.11.0")]))
        ok    torch  2.11.0
        no problems found
    """
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<5} {check.name:<{width}}  {check.detail}")
        if check.fix:
            lines.append(f"{'':<5} {'':<{width}}  fix: {check.fix}")
    failed, warnings = (sum(check.status == status for check in checks) for status in ("fail", "warn"))
    lines.append(f"{failed} failed, {warnings} warnings" if failed or warnings else "no problems found")
    return "\n".join(lines)


def as_json(checks: list[Check]) -> str:
    """Format results as JSON: ``{"ok": bool, "checks": [{"name", "status", "detail", "fix"}, ...]}``.

    Example:
        >>> json.loads(as_json([Check("torch", "ok", "2.11.0")]))["ok"]
        True
    """
    return json.dumps({"ok": not exit_code(checks), "checks": [asdict(check) for check in checks]}, indent=2)


def _checkout() -> Path | None:
    """Return the checkout that contains this package, or None if it was installed from a wheel."""
    root = Path(rotated_atss.__file__).resolve().parents[1]
    return root if (root / "Makefile").exists() and (root / "scripts" / "bootstrap.py").exists() else None


def install_command(package: str) -> str:
    """Return the command that installs or repairs an import package, such as ``cv2``, in this kind of installation.

    Example:
        >>> install_command("shapely") in (BOOTSTRAP, f"{PIP} install shapely")
        True
    """
    if _bootstrapped():
        return BOOTSTRAP
    if package in TRAINING_STACK:
        return _stack_command()
    if package == "torch":
        return f"{PIP} install torch=={TORCH_PIN} torchvision=={TORCHVISION_PIN}"
    if package == "torchvision":
        return f"{PIP} install torchvision=={_matching_torchvision(_version_of('torch') or TORCH_PIN)}"
    return f"{PIP} install {OPENCV!r}" if package == "cv2" else f"{PIP} install {package}"


def _stack_command() -> str:
    """Return the command that installs the training stack.

    mmcv compiles against the installed torch, hence without build isolation. pip's cache ignores the torch version.
    """
    names = " ".join(names[0] for names in TRAINING_STACK.values())
    return (
        f"{PIP} install torch=={TORCH_PIN} torchvision=={TORCHVISION_PIN} 'setuptools>=77,<82' wheel ninja && "
        f"CFLAGS=-g0 {PIP} install --no-cache-dir --no-build-isolation {names}"
    )


def _replace_command(distributions: Sequence[str], package: str) -> str:
    """Return the command that uninstalls distributions and installs the pinned one of an import package."""
    return f"{PIP} uninstall -y {' '.join(distributions)} && {install_command(package)}"


def _bootstrapped() -> bool:
    """Return whether this Python is the .venv that scripts/bootstrap.py maintains."""
    root = _checkout()
    return root is not None and Path(sys.prefix).resolve() == root / ".venv"


def _version_of(*distributions: str) -> str | None:
    """Return the version of the first installed distribution, or None."""
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


# --- checks -----------------------------------------------------------------------------------------------------------


def _project() -> Iterator[Check]:
    root = _checkout()
    location = f"checkout {root}" if root else f"installed in {Path(rotated_atss.__file__).parent}"
    yield Check("rotated-atss", "ok", f"{rotated_atss.__version__}, {location}")


def _python() -> Iterator[Check]:
    version = sys.version_info[:2]
    detail = f"{platform.python_version()} ({sys.executable})"
    if version < OLDEST_PYTHON:
        yield Check(
            "python", "fail", f"{detail}; requires 3.10 or newer", "make clean-venv && make PYTHON=python3.12 setup"
        )
    elif version > NEWEST_PYTHON:
        yield Check("python", "warn", f"{detail}; untested, tested are 3.{OLDEST_PYTHON[1]} to 3.{NEWEST_PYTHON[1]}")
    else:
        yield Check("python", "ok", detail)


def _machine() -> Iterator[Check]:
    yield Check("machine", "ok", f"{platform.system()} {platform.machine()}, {available_cores()} cores")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    status: Status = "ok" if free >= FREE_GIB else "warn"
    yield Check("disk", status, f"{free:.0f} GiB free in {Path.cwd()}")


def _torch() -> Iterator[Check]:
    torch = _import("torch")
    version = _major_minor(torch.__version__)
    if version < OLDEST_TORCH:
        yield Check("torch", "fail", f"{torch.__version__}; requires 2.6 or newer", install_command("torch"))
    elif version > NEWEST_TORCH:
        yield Check(
            "torch", "warn", f"{torch.__version__}; untested, mmcv does not compile with it", install_command("torch")
        )
    else:
        yield Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield _cuda(torch)


def _cuda(torch: ModuleType) -> Check:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Check("cuda", "ok", f"CUDA {torch.version.cuda}: {', '.join(names)}")
    if not shutil.which("nvidia-smi"):
        return Check("cuda", "ok", "no GPU, everything runs on the CPU")
    if torch.version.cuda is None:
        return Check(
            "cuda",
            "warn",
            "an NVIDIA driver is installed, but this torch is built without CUDA",
            install_command("torch"),
        )
    detail = (
        f"an NVIDIA driver is installed, but torch finds no GPU; it needs a driver for CUDA >= {torch.version.cuda}"
    )
    return Check(
        "cuda", "warn", detail, "nvidia-smi  # prints the driver's CUDA version; check CUDA_VISIBLE_DEVICES too"
    )


def _torchvision() -> Iterator[Check]:
    if _version_of("torchvision") is None:
        yield Check(
            "torchvision", "warn", "not installed: required for training and testing", install_command("torchvision")
        )
        return
    torch_version = _version_of("torch") or ""
    detail = f"{_version_of('torchvision')} with torch {torch_version}"
    try:
        _import("torchvision").ops.nms  # noqa: B018  (fails if torchvision was built for another torch)
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        yield Check("torchvision", "fail", f"{detail}: {_one_line(error)}", install_command("torchvision"))
        return
    required = _torch_of_torchvision()
    if required and _major_minor(required) != _major_minor(torch_version):
        yield Check("torchvision", "fail", f"{detail}, built for torch {required}", install_command("torchvision"))
    else:
        yield Check("torchvision", "ok", detail)


def _plain_packages() -> Iterator[Check]:
    for name in ("numpy", "shapely", "tqdm"):
        yield Check(name, "ok", str(_import(name).__version__))
    yield Check("isal", "ok", _version_of("isal") or "not installed: writing and reading PNG tiles is slower")
    yield Check("pyspng", "ok", _version_of("pyspng") or "not installed: reading PNG images is slower")


def _opencv() -> Iterator[Check]:
    installed = [name for name in OPENCV_DISTRIBUTIONS if _version_of(name)]
    cv2 = _import("cv2")
    detail = f"cv2 {cv2.__version__} of {', '.join(installed) or 'no known distribution'}"
    if len(installed) < 2:
        yield Check("opencv", "ok", detail)
        return
    fix = install_command("cv2") if _bootstrapped() else _replace_command(installed, "cv2")
    yield Check("opencv", "warn", f"{detail}: {OVERWRITING}", fix)


def _stack() -> Iterator[Check]:
    missing = [package for package in TRAINING_STACK if importlib.util.find_spec(package) is None]
    for package, (pinned, *others) in TRAINING_STACK.items():
        if package not in missing:
            yield _stack_package(package, [pinned.partition("==")[0], *others])
    if missing:
        detail = f"{', '.join(missing)} not installed: geometry, splitting, merging, evaluation work, training does not"
        yield Check("training", "warn", detail, install_command("mmcv"))
    else:
        yield _mmcv_ops()
        yield _training()
    if _version_of("tensorboard") is None:
        yield Check(
            "tensorboard", "warn", "not installed: training logs no TensorBoard scalars", install_command("tensorboard")
        )


def _stack_package(package: str, distributions: list[str]) -> Check:
    installed = [name for name in distributions if _version_of(name)]
    detail = ", ".join(f"{name} {_version_of(name)}" for name in installed) or "of unknown version"
    if len(installed) > 1:
        return Check(package, "warn", f"{detail}: {OVERWRITING}", _replace_command(installed, package))
    try:
        _import(package)
    except Exception as error:  # OpenMMLab packages assert version ranges of each other at import
        return Check(package, "fail", f"{detail} cannot be imported: {_one_line(error)}", install_command(package))
    return Check(package, "ok", detail)


def _mmcv_ops() -> Check:
    try:
        ops = _import("mmcv._ext")
    except ImportError as error:
        detail = f"not compiled, or compiled for another torch: {_one_line(error)}"
        return Check("mmcv ops", "fail", detail, _replace_command(["onedl-mmcv"], "mmcv"))
    cuda = ops.get_compiling_cuda_version()
    target = f"with CUDA {cuda}" if cuda[:1].isdigit() else "for the CPU (this package needs no CUDA ops of mmcv)"
    return Check("mmcv ops", "ok", f"compiled by {ops.get_compiler_version()} {target}")


def _training() -> Check:
    try:
        _import("rotated_atss.detection")
        _import("mmdet.models")
    except Exception as error:
        return Check("training", "fail", f"the models cannot be imported: {_one_line(error)}", install_command("mmcv"))
    return Check("training", "ok", "the models can be imported")


def _geometry() -> Iterator[Check]:
    torch = _import("torch")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        yield _iou_check(torch, device)
        yield _nms_check(torch, device)


def _iou_check(torch: ModuleType, device: str) -> Check:
    """Check the IoU of a unit square and the same square rotated by 45 degrees, 1 / sqrt(2)."""
    boxes = torch.tensor([[5.0, 5.0, 1.0, 1.0, 0.0], [5.0, 5.0, 1.0, 1.0, math.pi / 4]], device=device)
    iou = _import("rotated_atss.ops").rotated_iou(boxes[:1], boxes[1:]).item()
    detail = f"{_backend(device)} backend on {device}"
    if abs(iou - math.sqrt(0.5)) < 1e-5:
        return Check("rotated IoU", "ok", detail)
    return Check("rotated IoU", "fail", f"{detail}: got {iou:.6f}, expected 0.707107", install_command("torch"))


def _nms_check(torch: ModuleType, device: str) -> Check:
    """Check NMS of two overlapping boxes and a separate one: the lower-scoring overlapping box is suppressed."""
    boxes = torch.tensor([[5.0, 5, 4, 2, 0.3], [5.0, 5, 4, 2, 0.4], [50.0, 5, 4, 2, 0]], device=device)
    scores, labels = torch.tensor([0.5, 0.9, 0.7], device=device), torch.zeros(3, dtype=torch.long, device=device)
    kept = _import("rotated_atss.ops").rotated_nms(boxes, scores, labels, 0.1).tolist()
    detail = f"{_backend(device)} backend on {device}"
    if kept == [1, 2]:
        return Check("rotated NMS", "ok", detail)
    return Check("rotated NMS", "fail", f"{detail}: kept {kept}, expected [1, 2]", install_command("torch"))


def _backend(device: str) -> str:
    """Return the default backend, ``torch`` or ``triton``."""
    return str(_import("rotated_atss.ops.backend").default_backend(device))


def _triton() -> Iterator[Check]:
    version = _version_of("triton", "pytorch-triton", "triton-windows")
    if not _import("torch").cuda.is_available():
        yield Check(
            "triton", "ok", f"{version}, not used: no GPU" if version else "not installed, not needed without a GPU"
        )
        return
    backend = _import("rotated_atss.ops.backend")
    if backend.default_backend("cuda") == "triton":
        yield Check("triton", "ok", f"{version}, used on cuda")
    elif os.environ.get(backend.VARIABLE):
        yield Check("triton", "ok", f"{version or 'not installed'}, not used: {backend.VARIABLE}=torch")
    else:
        reason = backend.unavailable_reason("cuda")
        detail = f"{version or ''} not used, rotated IoU and NMS are slower: {reason}".strip()
        yield Check("triton", "warn", detail, "" if version else f"{PIP} install triton")


def _configs() -> Iterator[Check]:
    configs = _import("rotated_atss.configs")
    names = [name for name in configs.config_names() if "dota" in name]
    if names:
        yield Check("configs", "ok", f"{len(names)} for DOTA in {configs.config_folder()}")
    else:
        yield Check("configs", "warn", "no configs found, bare config names do not work", _reinstall_command())


def _wheel_folder() -> Iterator[Check]:
    if _checkout() is None:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("ROTATED_ATSS_WHEELS") or cache / "rotated-atss" / "wheels").expanduser()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not _writable(existing):
        fix = "export ROTATED_ATSS_WHEELS=/path/to/a/writable/folder"
        yield Check("wheel folder", "warn", f"{folder} is not writable: every setup compiles mmcv again", fix)
        return
    count = len(list(folder.glob("*/*.whl")))
    yield Check("wheel folder", "ok", f"{folder}, {count} mmcv wheel{'' if count == 1 else 's'}")


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _project,
    _python,
    _machine,
    _torch,
    _torchvision,
    _plain_packages,
    _opencv,
    _geometry,
    _triton,
    _stack,
    _configs,
    _wheel_folder,
)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _run_check(check: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield the results of a check; an exception becomes a failure."""
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        yield Check(name, "fail", f"{package} is not installed", install_command(package))
    except Exception as error:
        yield Check(name, "fail", _one_line(error), _suggest_fix(error))


def _suggest_fix(error: Exception) -> str:
    if "libGL" not in str(error) or _bootstrapped():
        return _reinstall_command()
    return _replace_command(OPENCV_DISTRIBUTIONS, "cv2")


def _reinstall_command() -> str:
    return BOOTSTRAP if _checkout() else f"{PIP} install --force-reinstall rotated-atss"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else text[:200] + " ..."


def _major_minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _torch_of_torchvision() -> str:
    """Return the torch version that the installed torchvision requires, or an empty string if it states none."""
    requirements = metadata.requires("torchvision") or []
    matches = (re.match(r"torch\s*\(?==\s*([\d.]+)", requirement) for requirement in requirements)
    return next((match.group(1) for match in matches if match), "")


def _matching_torchvision(torch_version: str) -> str:
    """Return the torchvision version of a torch version: 0.(n + 15) for torch 2.n."""
    return f"0.{_major_minor(torch_version)[1] + 15}.*"


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _suppress_output() -> Iterator[None]:
    """Suppress the output and the warnings of packages at import."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield

"""What is installed, what is active, and the exact command that mends what is off.

Every check answers by itself and none raises, so that the one that matters is seen also when others fail. Versions that
were never tried are told, not refused.
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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

import rotated_atss

Status = Literal["ok", "warn", "fail"]

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
OLDEST_TORCH, NEWEST_TORCH = (2, 6), (2, 14)  # 2.6: torch.load is safe by default; 2.15: mmcv does not compile
TORCH_PIN, TORCHVISION_PIN = "2.11.0", "0.26.0"
PIP = f"{sys.executable} -m pip"  # a bare pip may be that of another Python
OPENCV = "opencv-python-headless<5"
OPENCV_DISTRIBUTIONS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
FREE_GIB = 5

# import package -> the distribution that `make setup` installs, then others of the same import package
STACK = {
    "mmengine": ("onedl-mmengine==0.10.12", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv==2.3.6", "mmcv", "mmcv-full", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection==3.5.1", "mmdet"),
    "mmrotate": ("onedl-mmrotate==1.2.1", "mmrotate"),
}


@dataclass(frozen=True)
class Check:
    """One answer. ``warn``: something is missing or untried, the rest works. ``fail``: broken."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def collect() -> list[Check]:
    """All checks, in the order in which one thing rests on another."""
    with _quiet():
        return [check for question in QUESTIONS for check in _ask(question)]


def exit_code(checks: list[Check]) -> int:
    """1 if something is broken, else 0: a machine without a GPU or without the training stack is not broken."""
    return int(any(check.status == "fail" for check in checks))


def as_text(checks: list[Check]) -> str:
    """A line a check, its fix below it, and a closing line."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<5} {check.name:<{width}}  {check.detail}")
        if check.fix:
            lines.append(f"{'':<5} {'':<{width}}  fix: {check.fix}")
    broken, open_ends = (sum(check.status == status for check in checks) for status in ("fail", "warn"))
    lines.append(f"{broken} broken, {open_ends} to look at" if broken or open_ends else "all is well")
    return "\n".join(lines)


def as_json(checks: list[Check]) -> str:
    """``{"ok": bool, "checks": [{"name", "status", "detail", "fix"}, ...]}``."""
    return json.dumps({"ok": not exit_code(checks), "checks": [asdict(check) for check in checks]}, indent=2)


def checkout() -> Path | None:
    """The checkout this package runs from, or None when it was installed from a wheel."""
    root = Path(rotated_atss.__file__).resolve().parents[1]
    return root if (root / "Makefile").exists() and (root / "scripts" / "bootstrap.py").exists() else None


def install_command(package: str) -> str:
    """The command that installs or mends an import package, in this kind of installation."""
    if _bootstrapped():
        return "python3 scripts/bootstrap.py --force"
    if package in STACK:
        return _stack_command()
    if package == "torch":
        return f"{PIP} install torch=={TORCH_PIN} torchvision=={TORCHVISION_PIN}"
    if package == "torchvision":
        return f"{PIP} install torchvision=={_torchvision_for(version_of('torch') or TORCH_PIN)}"
    return f"{PIP} install {OPENCV!r}" if package == "cv2" else f"{PIP} install {package}"


def _stack_command() -> str:
    """Without isolation, so that mmcv compiles against the torch that is there; pip's cache would mix up torches."""
    names = " ".join(names[0] for names in STACK.values())
    return (
        f"{PIP} install torch=={TORCH_PIN} torchvision=={TORCHVISION_PIN} 'setuptools>=77,<82' wheel ninja && "
        f"CFLAGS=-g0 {PIP} install --no-cache-dir --no-build-isolation {names}"
    )


def _bootstrapped() -> bool:
    """Whether this runs in the .venv that scripts/bootstrap.py keeps."""
    root = checkout()
    return root is not None and Path(sys.prefix).resolve() == root / ".venv"


def version_of(*distributions: str) -> str | None:
    """The version of the first that is installed."""
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


# --- the questions ----------------------------------------------------------------------------------------------------


def _project() -> Iterator[Check]:
    root = checkout()
    place = f"checkout {root}" if root else f"installed in {Path(rotated_atss.__file__).parent}"
    yield Check("rotated-atss", "ok", f"{rotated_atss.__version__}, {place}")


def _python() -> Iterator[Check]:
    have = sys.version_info[:2]
    detail = f"{platform.python_version()} ({sys.executable})"
    if have < OLDEST_PYTHON:
        yield Check(
            "python", "fail", f"{detail}; 3.10 or newer needed", "make clean-venv && make PYTHON=python3.12 setup"
        )
    elif have > NEWEST_PYTHON:
        yield Check("python", "warn", f"{detail}; untried, tried are 3.{OLDEST_PYTHON[1]} to 3.{NEWEST_PYTHON[1]}")
    else:
        yield Check("python", "ok", detail)


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("machine", "ok", f"{platform.system()} {platform.machine()}, {cores} cores")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    status: Status = "ok" if free >= FREE_GIB else "warn"
    yield Check("disk", status, f"{free:.0f} GiB free in {Path.cwd()}")


def _torch() -> Iterator[Check]:
    torch = _import("torch")
    version = _numbers(torch.__version__)
    if version < OLDEST_TORCH:
        yield Check("torch", "fail", f"{torch.__version__}; 2.6 or newer needed", install_command("torch"))
    elif version > NEWEST_TORCH:
        yield Check(
            "torch", "warn", f"{torch.__version__}; untried, mmcv does not compile with it", install_command("torch")
        )
    else:
        yield Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield _cuda(torch)


def _cuda(torch: ModuleType) -> Check:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Check("cuda", "ok", f"CUDA {torch.version.cuda}: {', '.join(names)}")
    if not shutil.which("nvidia-smi"):
        return Check("cuda", "ok", "no GPU: everything runs on the CPU")
    if torch.version.cuda is None:
        return Check("cuda", "warn", "an NVIDIA driver is there, but this torch knows no GPU", install_command("torch"))
    detail = (
        f"an NVIDIA driver is there, but torch sees no GPU; it needs a driver for CUDA {torch.version.cuda} or newer"
    )
    return Check("cuda", "warn", detail, "nvidia-smi  # tells the driver's CUDA version; see also CUDA_VISIBLE_DEVICES")


def _torchvision() -> Iterator[Check]:
    if version_of("torchvision") is None:
        yield Check("torchvision", "warn", "not installed: needed to train and test", install_command("torchvision"))
        return
    torch_version = version_of("torch") or ""
    detail = f"{version_of('torchvision')} beside torch {torch_version}"
    try:
        _import("torchvision").ops.nms  # noqa: B018 - a torchvision of another torch fails here at the latest
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        yield Check("torchvision", "fail", f"{detail}: {_line(error)}", install_command("torchvision"))
        return
    wanted = _wanted_torch()
    fits = not wanted or _numbers(wanted) == _numbers(torch_version)
    fix = "" if fits else install_command("torchvision")
    yield Check("torchvision", "ok" if fits else "fail", detail if fits else f"{detail}, made for torch {wanted}", fix)


def _plain_packages() -> Iterator[Check]:
    for name in ("numpy", "shapely", "tqdm"):
        yield Check(name, "ok", str(_import(name).__version__))
    yield Check("isal", "ok", version_of("isal") or "not installed: PNG tiles are written and read more slowly")
    yield Check("pyspng", "ok", version_of("pyspng") or "not installed: PNG images are read more slowly")


def _opencv() -> Iterator[Check]:
    found = [name for name in OPENCV_DISTRIBUTIONS if version_of(name)]
    cv2 = _import("cv2")
    detail = f"cv2 {cv2.__version__} of {', '.join(found) or 'no known distribution'}"
    if len(found) < 2:
        yield Check("opencv", "ok", detail)
        return
    fix = install_command("cv2")
    if not _bootstrapped():
        fix = f"{PIP} uninstall -y {' '.join(found)} && {fix}"
    yield Check("opencv", "warn", f"{detail}: they unpack into one folder and overwrite each other", fix)


def _stack() -> Iterator[Check]:
    missing = [package for package in STACK if importlib.util.find_spec(package) is None]
    for package, (pinned, *others) in STACK.items():
        if package not in missing:
            yield _stack_package(package, [pinned.partition("==")[0], *others])
    if missing:
        detail = (
            f"{', '.join(missing)} not installed: geometry, splitting, merging and evaluation work, training does not"
        )
        yield Check("training", "warn", detail, install_command("mmcv"))
    else:
        yield _mmcv_ops()
        yield _training()
    if version_of("tensorboard") is None:
        yield Check("tensorboard", "warn", "not installed: training writes no curves", install_command("tensorboard"))


def _stack_package(package: str, distributions: list[str]) -> Check:
    found = [f"{name} {version_of(name)}" for name in distributions if version_of(name)]
    detail = ", ".join(found) or "of unknown version"
    if len(found) > 1:
        names = " ".join(name.partition(" ")[0] for name in found)
        fix = f"{PIP} uninstall -y {names} && {install_command(package)}"
        return Check(package, "warn", f"{detail}: they unpack into one folder and overwrite each other", fix)
    try:
        _import(package)
    except Exception as error:  # OpenMMLab's packages assert each other's versions at import
        return Check(package, "fail", f"{detail} does not import: {_line(error)}", install_command(package))
    return Check(package, "ok", detail)


def _mmcv_ops() -> Check:
    try:
        ops = _import("mmcv._ext")
    except ImportError as error:
        again = f"{PIP} uninstall -y onedl-mmcv && {install_command('mmcv')}"
        return Check("mmcv ops", "fail", f"not compiled, or for another torch: {_line(error)}", again)
    cuda = ops.get_compiling_cuda_version()
    with_cuda = (
        f"with CUDA {cuda}" if cuda[:1].isdigit() else "for the CPU only, which is enough: nothing here calls them"
    )
    return Check("mmcv ops", "ok", f"compiled by {ops.get_compiler_version()} {with_cuda}")


def _training() -> Check:
    try:
        _import("rotated_atss.detection")
        _import("mmdet.models")
    except Exception as error:
        return Check("training", "fail", f"the models do not import: {_line(error)}", install_command("mmcv"))
    return Check("training", "ok", "the models import")


def _geometry() -> Iterator[Check]:
    torch = _import("torch")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        yield _iou_check(torch, device)
        yield _nms_check(torch, device)


def _iou_check(torch: ModuleType, device: str) -> Check:
    """A unit square and the same turned by 45 degrees: IoU is 1 / sqrt(2)."""
    boxes = torch.tensor([[5.0, 5.0, 1.0, 1.0, 0.0], [5.0, 5.0, 1.0, 1.0, math.pi / 4]], device=device)
    iou = _import("rotated_atss.ops").rotated_iou(boxes[:1], boxes[1:]).item()
    right = abs(iou - math.sqrt(0.5)) < 1e-5
    detail = f"{_backend(device)}, closed form, on {device}" + (
        "" if right else f": gives {iou:.6f} where 0.707107 is right"
    )
    return Check("rotated IoU", "ok" if right else "fail", detail, "" if right else install_command("torch"))


def _nms_check(torch: ModuleType, device: str) -> Check:
    """Two boxes upon each other and one aside: the better of the two and the one aside stay."""
    boxes = torch.tensor([[5.0, 5, 4, 2, 0.3], [5.0, 5, 4, 2, 0.4], [50.0, 5, 4, 2, 0]], device=device)
    scores, labels = torch.tensor([0.5, 0.9, 0.7], device=device), torch.zeros(3, dtype=torch.long, device=device)
    kept = _import("rotated_atss.ops").rotated_nms(boxes, scores, labels, 0.1).tolist()
    right = kept == [1, 2]
    detail = f"{_backend(device)}, per class, on {device}" + ("" if right else f": keeps {kept} where [1, 2] is right")
    return Check("rotated NMS", "ok" if right else "fail", detail, "" if right else install_command("torch"))


def _backend(device: str) -> str:
    """``torch`` or ``triton``, whichever computes by default."""
    return str(_import("rotated_atss.ops.backend").default_backend(device))


def _triton() -> Iterator[Check]:
    version = version_of("triton", "pytorch-triton", "triton-windows")
    if not _import("torch").cuda.is_available():
        yield Check("triton", "ok", f"{version}, not used: no GPU" if version else "not installed: not needed")
        return
    backend = _import("rotated_atss.ops.backend")
    if backend.default_backend("cuda") == "triton":
        yield Check("triton", "ok", f"{version}, used on cuda")
    elif os.environ.get(backend.VARIABLE):
        yield Check("triton", "ok", f"{version or 'not installed'}, not used: {backend.VARIABLE}=torch")
    else:
        detail = (
            f"{version or ''} not used, rotated IoU and NMS run slower: {backend.unavailable_reason('cuda')}".strip()
        )
        yield Check("triton", "warn", detail, "" if version else f"{PIP} install triton")


def _configs() -> Iterator[Check]:
    configs = _import("rotated_atss.configs")
    names = [name for name in configs.config_names() if "dota" in name]
    if names:
        yield Check("configs", "ok", f"{len(names)} for DOTA in {configs.config_folder()}")
    else:
        yield Check("configs", "warn", "no configs found: bare config names do not work", _reinstall())


def _wheel_folder() -> Iterator[Check]:
    if checkout() is None:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("ROTATED_ATSS_WHEELS") or cache / "rotated-atss" / "wheels").expanduser()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not _writable(existing):
        fix = "export ROTATED_ATSS_WHEELS=/a/folder/of/yours"
        yield Check("wheel folder", "warn", f"{folder} cannot be written: mmcv would be built every time", fix)
        return
    count = len(list(folder.glob("*/*.whl")))
    yield Check("wheel folder", "ok", f"{folder}, {count} mmcv wheel{'' if count == 1 else 's'}")


QUESTIONS: tuple[Callable[[], Iterator[Check]], ...] = (
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


def _ask(question: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The answers; an exception is an answer too."""
    name = question.__name__.strip("_").replace("_", " ")
    try:
        yield from question()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        yield Check(name, "fail", f"{package} is not installed", install_command(package))
    except Exception as error:
        yield Check(name, "fail", _line(error), _advice(error))


def _advice(error: Exception) -> str:
    if "libGL" not in str(error) or _bootstrapped():
        return _reinstall()
    return f"{PIP} uninstall -y {' '.join(OPENCV_DISTRIBUTIONS)} && {install_command('cv2')}"


def _reinstall() -> str:
    return "python3 scripts/bootstrap.py --force" if checkout() else f"{PIP} install --force-reinstall rotated-atss"


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else text[:200] + " ..."


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _wanted_torch() -> str:
    """The torch that the installed torchvision was made for, or an empty string where it does not say."""
    needs = metadata.requires("torchvision") or []
    found = (re.match(r"torch\s*\(?==\s*([\d.]+)", need) for need in needs)
    return next((match.group(1) for match in found if match), "")


def _torchvision_for(torch_version: str) -> str:
    """Torch 2.n goes with torchvision 0.(n + 15)."""
    return f"0.{_numbers(torch_version)[1] + 15}.*"


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What packages print or warn at import is not the user's business here."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield

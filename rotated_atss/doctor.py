"""Check an installation, and name the command that fixes each problem.

Checks are independent of each other, and an exception in one of them becomes a failed check. The required versions are
those of pyproject.toml, read from the package's metadata.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import operator
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

import rotated_atss
from rotated_atss.errors import count_of
from rotated_atss.io.processes import available_cores
from rotated_atss.mmcv_ext import has_compiled_mmcv_ops

Status = Literal["ok", "warn", "fail"]

PIP = f"{sys.executable} -m pip"  # the command pip can belong to another Python
BOOTSTRAP = "python3 scripts/bootstrap.py --force"  # installs everything in .venv of a checkout again
MIN_FREE_GIB = 5  # less free disk space causes a warning
# Import name -> name of the distribution (the package on PyPI), where they differ.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "faster_coco_eval": "faster-coco-eval",
    "mmengine": "onedl-mmengine", "mmcv": "onedl-mmcv", "mmdet": "onedl-mmdetection", "mmrotate": "onedl-mmrotate",
}  # fmt: skip
# mmcv requires this build of OpenCV, so the extra train lists it. It installs the same files as opencv-python-headless,
# which this package requires. One of the two is enough. If both are installed, Python imports the files of the one that
# was installed last.
OPENCV_OF_MMCV = "opencv-python"
# Distribution -> others with the same import name. If both are installed, they overwrite each other's files.
CONFLICTING = {
    "onedl-mmengine": ("mmengine", "mmengine-lite"), "onedl-mmcv": ("mmcv", "mmcv-full", "mmcv-lite"),
    "onedl-mmdetection": ("mmdet",), "onedl-mmrotate": ("mmrotate",),
}  # fmt: skip
# Extras of pyproject.toml for users (not for development) -> what does not work, or is slower, without the extra.
EXTRAS = {
    "train": "training, testing and prediction do not work", "fast": "PNG files are slower",
    "onnx": "exported models do not run", "geo": "reading GeoTIFF files in windows and writing map files do not work",
}  # fmt: skip

_import = importlib.import_module  # an alias that tests replace


@dataclass(frozen=True)
class Check:
    """Result of one check of the installation.

    Attributes:
        name: Subject of the check.
        status: ``ok``, ``fail``, or ``warn`` for something that is missing or untested, while the rest works.
        detail: What was found.
        fix: Command that fixes the problem; empty if there is none.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def run_checks() -> list[Check]:
    """Run all checks of the installation, prerequisites first.

    Example::

        failures = [check for check in run_checks() if check.status == "fail"]
    """
    discarded = io.StringIO()  # what imported packages print
    with warnings.catch_warnings(), contextlib.redirect_stdout(discarded), contextlib.redirect_stderr(discarded):
        warnings.simplefilter("ignore")
        return [check for function in CHECK_FUNCTIONS for check in _run_check(function)]


def exit_code(checks: list[Check]) -> int:
    """Return 1 if a check failed, otherwise 0. Warnings, such as one for missing training packages, are not failures.

    Example:
        >>> exit_code([Check("torch", "ok", "2.11.0"), Check("cuda", "warn", "no driver")])
        0
    """
    return int(any(check.status == "fail" for check in checks))


def as_text(checks: list[Check]) -> str:
    """Format results as one line per check, each followed by its fix if there is one, and a summary.

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
    failed, warned = (sum(check.status == status for check in checks) for status in ("fail", "warn"))
    lines.append(f"{failed} failed, {count_of(warned, 'warning')}" if failed or warned else "no problems found")
    return "\n".join(lines)


def install_command(package: str) -> str:
    """Return the command that installs or repairs a package, given by its import name such as ``cv2``.

    The command depends on whether this package runs in the virtual environment of a checkout or was installed by pip.

    Example:
        >>> install_command("shapely") in (BOOTSTRAP, f"{PIP} install --upgrade 'rotated-atss'")
        True
    """
    root = _checkout()
    if root is not None and Path(sys.prefix).resolve() == root / ".venv":
        return BOOTSTRAP
    distribution = DISTRIBUTIONS.get(package, package)
    # "all" and "dev" contain packages of the other extras
    extras = [name for name, required, _ in _requirements() if required == distribution and name not in ("all", "dev")]
    is_always_required = None in extras
    if is_always_required or not extras:
        selection = ""
    else:
        extra = next(name for name in (*EXTRAS, *extras) if name in extras)  # an extra for users, if one contains it
        selection = "[train,export]" if extra == "export" else f"[{extra}]"  # export needs the training packages, too
    return f"{PIP} install --upgrade 'rotated-atss{selection}'"


def version_fits(version: str, specifiers: str) -> bool:
    """Return whether a version satisfies comma-separated version specifiers, in the form of pyproject.toml.

    Example:
        >>> version_fits("2.11.0+cu130", ">=2.6,<2.15"), version_fits("0.10.7", "==0.10.12")
        (True, False)
    """
    operators = {">=": operator.ge, "<": operator.lt, "==": operator.eq}
    comparisons = re.findall(r"(>=|==|<)\s*([\d.]+)", specifiers)
    numbers = _version_numbers(version)
    return all(operators[symbol](numbers, _version_numbers(limit)) for symbol, limit in comparisons)


def _version_numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, padded with zeros: (2, 11, 0) for 2.11.0+cu130 and for 2.11."""
    public_version, _, _ = version.partition("+")
    numbers = [int(digits) for digits in re.findall(r"\d+", public_version)]
    return (*numbers, 0, 0, 0)[:3]


def _requirements() -> Iterator[tuple[str | None, str, str]]:
    """Yield the extra (None if always required), the distribution and the version specifiers of each requirement."""
    for line in metadata.requires("rotated-atss") or []:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", marker)
        distribution = re.match(r"[\w.-]+", requirement)
        if distribution:
            specifiers = requirement[distribution.end() :].strip().strip("()")
            yield extra[1] if extra else None, distribution[0], specifiers


def _version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return None


def _checkout() -> Path | None:
    """Return the checkout that contains this package, or None if it was installed from a wheel."""
    root = Path(rotated_atss.__file__).resolve().parents[1]
    return root if (root / "scripts" / "bootstrap.py").exists() else None


def _check_project() -> Iterator[Check]:
    """Check the Python version and the free disk space, and report the version and location of this package."""
    root = _checkout()
    location = f"checkout {root}" if root else f"installed in {Path(rotated_atss.__file__).parent}"
    yield Check("rotated-atss", "ok", f"{rotated_atss.__version__}, {location}")
    version = ".".join(map(str, sys.version_info[:2]))
    classifiers = metadata.metadata("rotated-atss").get_all("Classifier") or []
    # the Python versions in classifiers such as "Programming Language :: Python :: 3.12"
    tested = [classifier.rpartition(" ")[2] for classifier in classifiers if ":: 3." in classifier]
    detail = f"{platform.python_version()} ({sys.executable}), tested: {', '.join(tested)}"
    yield Check("python", "ok" if version in tested else "warn", detail)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    machine = f"{platform.system()} {platform.machine()}, {count_of(available_cores(), 'core')}"
    yield Check("machine", "ok" if free >= MIN_FREE_GIB else "warn", f"{machine}, {free:.0f} GiB free in {Path.cwd()}")


def _check_packages() -> Iterator[Check]:
    """Check the version and the import of each requirement, and that no other distribution overwrites its files."""
    import_names = {distribution: package for package, distribution in DISTRIBUTIONS.items()}
    missing: dict[str, list[str]] = {}  # packages by extra
    for extra, distribution, specifiers in _requirements():
        is_for_development = extra is not None and extra not in EXTRAS
        if is_for_development or distribution == OPENCV_OF_MMCV:
            continue
        package = import_names.get(distribution, distribution)
        is_installed = find_spec(package) is not None and _version_of(distribution) is not None
        conflicting = [other for other in CONFLICTING.get(distribution, ()) if _version_of(other)]
        if is_installed or conflicting:
            providers = [distribution, *conflicting] if is_installed else conflicting
            yield _check_installed_package(package, distribution, specifiers, providers)
        elif extra is None:
            yield Check(package, "fail", f"{package} is not installed", install_command(package))
        else:
            missing.setdefault(extra, []).append(package)
    for extra, packages in missing.items():
        detail = f"{', '.join(packages)} not installed: {EXTRAS[extra]}"
        yield Check(extra, "warn", detail, f"{PIP} install 'rotated-atss[{extra}]'")


def _check_installed_package(package: str, distribution: str, specifiers: str, providers: Sequence[str]) -> Check:
    """Check an installed package.

    Args:
        package: Import name.
        distribution: The distribution that rotated-atss requires for this import name.
        specifiers: Required versions.
        providers: The installed distributions that provide the import name, at least one.
    """
    detail = ", ".join(f"{provider} {_version_of(provider)}" for provider in providers)
    fix = install_command(package)
    if len(providers) > 1:
        detail += ": they install into the same folder and overwrite each other"
        return Check(package, "warn", detail, f"{PIP} uninstall -y {' '.join(providers)} && {fix}")
    if providers[0] == distribution and not version_fits(_version_of(distribution) or "", specifiers):
        return Check(package, "warn", f"{detail}, tested with {specifiers}", fix)
    try:
        if package in ("mmcv", "mmdet", "mmrotate"):
            _import("rotated_atss.detection")  # makes mmcv.ops importable if it is not compiled
        module = _import(package)
        # The installed version of opencv-python-headless was checked above. If cv2 has another version, its files come
        # from opencv-python.
        if package == "cv2" and not version_fits(module.__version__, specifiers):
            detail = f"cv2 {module.__version__}, installed by {OPENCV_OF_MMCV}, tested with {specifiers}"
            return Check(package, "warn", detail, f"{PIP} install '{OPENCV_OF_MMCV}{specifiers}'")
        if package == "torchvision":
            module.ops.nms  # noqa: B018  (fails if torchvision was built for another version of torch)
    except Exception as error:  # not only ImportError: OpenMMLab packages assert each other's versions at import
        if "libGL" in str(error):  # a build of OpenCV with GUI functions, on a machine without a display
            fix = f"{PIP} install --force-reinstall --no-deps opencv-python-headless"
        elif package == "torchvision":  # torchvision 0.(n + 15) is built for torch 2.n
            torch_minor = _version_numbers(_version_of("torch") or "0.0")[1]
            fix = f"{PIP} install torchvision==0.{torch_minor + 15}.*"
        return Check(package, "fail", f"{detail} cannot be imported: {_one_line(error)}", fix)
    return Check(package, "ok", detail)


def _check_training() -> Iterator[Check]:
    """Check that the models can be imported.

    Without the training packages, yield nothing, because ``_check_packages`` reports that they are not installed.
    """
    if find_spec("mmcv") and find_spec("mmdet"):
        _import("rotated_atss.detection")
        _import("mmdet.models")
        yield Check("training", "ok", "the models can be imported")
        detail = "compiled" if has_compiled_mmcv_ops() else "not compiled; this package does not need them"
        yield Check("mmcv ops", "ok", detail)


def _check_devices() -> Iterator[Check]:
    """Check the GPU, and the rotated operations on every available device."""
    torch = _import("torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Check("cuda", "ok", f"CUDA {torch.version.cuda}: {', '.join(names)}")
    elif torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU, used with --device mps; this package has not been run on Apple hardware")
    elif not shutil.which("nvidia-smi"):
        threads = count_of(torch.get_num_threads(), "thread")
        yield Check("cuda", "ok", f"no GPU, everything runs on the CPU with {threads}")
    else:
        cuda = torch.version.cuda
        reason = f"this build needs a driver for CUDA >= {cuda}" if cuda else "this build has no CUDA support"
        detail = f"an NVIDIA driver is installed, but torch finds no GPU: {reason}"
        yield Check("cuda", "warn", detail, "nvidia-smi  # prints the driver's version; check CUDA_VISIBLE_DEVICES too")
    availability = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device, is_available in availability.items():
        if is_available:
            yield _check_rotated_ops(torch, device)


def _check_rotated_ops(torch: ModuleType, device: str) -> Check:
    """Check rotated IoU and NMS with a square and the same square rotated by 45 degrees.

    Their IoU is 1 / sqrt(2). The rotated square has the higher score, so NMS suppresses the other one.
    """
    ops, backend = _import("rotated_atss.ops"), _import("rotated_atss.ops.backend")
    backend_name = backend.default_backend(device)
    detail = f"{backend_name} on {device}"
    boxes = torch.tensor([[5.0, 5.0, 1.0, 1.0, 0.0], [5.0, 5.0, 1.0, 1.0, math.pi / 4]], device=device)
    iou = ops.rotated_iou(boxes[:1], boxes[1:]).item()
    scores, labels = torch.tensor([0.5, 0.9], device=device), torch.zeros(2, dtype=torch.long, device=device)
    kept_indices = ops.rotated_nms(boxes, scores, labels, 0.1).tolist()
    if abs(iou - math.sqrt(0.5)) > 1e-5 or kept_indices != [1]:
        detail += f": IoU {iou:.6f}, expected 0.707107; NMS kept {kept_indices}, expected [1]"
        return Check("rotated IoU and NMS", "fail", detail, install_command("torch"))
    is_selected_by_user = bool(os.environ.get(backend.BACKEND_VARIABLE))
    if device == "cuda" and backend_name == "torch" and not is_selected_by_user:
        detail += f", slower than triton, which is not used: {backend.unavailable_reason(device)}"
        return Check("rotated IoU and NMS", "warn", detail, f"{PIP} install triton")
    return Check("rotated IoU and NMS", "ok", detail)


def _check_configs() -> Iterator[Check]:
    """Check that the configs of this package are installed."""
    configs = _import("rotated_atss.configs")
    names = configs.config_names()
    yield Check("configs", "ok" if names else "warn", f"{len(names)} in {configs.config_folder()}")


CHECK_FUNCTIONS: tuple[Callable[[], Iterator[Check]], ...] = (
    _check_project,
    _check_packages,
    _check_devices,
    _check_training,
    _check_configs,
)


def _run_check(function: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield the results of one of the CHECK_FUNCTIONS; an exception becomes a failed check named after the function."""
    name = function.__name__.removeprefix("_check_").replace("_", " ")
    try:
        yield from function()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        yield Check(name, "fail", f"{package} is not installed", install_command(package))
    except Exception as error:
        yield Check(name, "fail", _one_line(error), install_command("rotated-atss"))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 200 else text[:200] + " ..."

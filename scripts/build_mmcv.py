"""Compile mmcv with its ops and install it into ``.venv``, for the tests and benchmarks that compare with them.

``make setup-baselines`` runs it. Environment variables:

    ROTATED_ATSS_WHEELS  folder for compiled mmcv wheels (default: ~/.cache/rotated-atss/wheels)
    MMCV_CUDA=1          compile mmcv's CUDA ops too (needs nvcc of torch's CUDA version)
    MAX_JOBS             number of compiler processes (default: all cores)
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from bootstrap import COMPILED, pinned_requirement
from install_tools import VENV, VENV_PYTHON, SetupError, clean_environment, pass_index_to_uv, report, run, uv_install


def install_baselines():
    """Install the compiled mmcv, from the wheel of an earlier run if there is one, and DOTA_devkit."""
    pass_index_to_uv()
    key = wheel_key()
    wheel = find_wheel(key)
    if wheel is None:
        begin = time.monotonic()
        report("compiling mmcv (once per torch and Python version: about 5 minutes on 2 cores)")
        wheel = build_mmcv(key)
        report(f"compiled in {(time.monotonic() - begin) / 60:.1f} min")
    if not compiled_ops_installed():
        uv_install("--no-deps", "--reinstall", str(wheel))
    for name in COMPILED:
        uv_install("--no-deps", pinned_requirement(name))
    run(VENV_PYTHON, "-W", "ignore", "-c", "import mmcv._ext, dotadevkit", capture=True)
    report("baselines ready: mmcv with compiled ops, DOTA_devkit")


def compiled_ops_installed():
    """Return whether the mmcv of .venv has compiled ops."""
    return any(VENV.glob("**/site-packages/mmcv/_ext.*"))


def wheel_key():
    """Return the folder name of a compiled wheel: torch, ops, Python and platform, which pip's cache ignores."""
    code = "import torch, sys; print(torch.__version__, sys.implementation.cache_tag)"
    torch_version, tag = run(VENV_PYTHON, "-c", code, capture=True).split()
    ops = "cudaops" if cuda_requested() else "cpuops"
    return "-".join(("torch" + torch_version, ops, tag, sys.platform, platform.machine()))


def cuda_requested():
    """Return whether MMCV_CUDA requests mmcv's CUDA ops."""
    return os.environ.get("MMCV_CUDA", "0") not in ("", "0")


def wheel_folder(key):
    """Return the folder of the wheels of a key."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ROTATED_ATSS_WHEELS") or Path(cache) / "rotated-atss" / "wheels").expanduser() / key


def find_wheel(key):
    """Return the compiled wheel of the pinned mmcv, or None."""
    name, version = pinned_requirement("onedl-mmcv").split("==")
    wheels = sorted(wheel_folder(key).glob("{}-{}-*.whl".format(name.replace("-", "_"), version)))
    return wheels[-1] if wheels else None


def build_mmcv(key):
    """Compile mmcv and return its wheel. The build folder survives an interruption, and ninja resumes from it."""
    check_compiler()
    folder = wheel_folder(key)
    source = mmcv_source(folder / "build")
    with tempfile.TemporaryDirectory(dir=str(folder)) as scratch:
        command = ("wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", scratch, str(source))
        run_pip_quietly(*command, progress=lambda: build_progress(source))
        built = next(Path(scratch).glob("*.whl"))
        os.replace(str(built), str(folder / built.name))
    shutil.rmtree(str(folder / "build"), ignore_errors=True)
    return folder / built.name


def mmcv_source(build):
    """Return the unpacked source archive, downloaded unless an earlier run left it."""
    unpacked = [path for path in build.glob("onedl_mmcv-*") if path.is_dir()]
    if unpacked:
        return unpacked[0]
    build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(build)) as scratch:
        command = ("download", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--no-binary", "onedl-mmcv")
        run_pip_quietly(*command, "-d", scratch, pinned_requirement("onedl-mmcv"))
        with tarfile.open(str(next(Path(scratch).glob("*.tar.gz")))) as archive:
            archive.extractall(scratch)
        folder = next(path for path in Path(scratch).iterdir() if path.is_dir())
        os.replace(str(folder), str(build / folder.name))
    return build / folder.name


def build_environment():
    """Return the environment variables for compiling mmcv."""
    env = clean_environment()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    env.update(CFLAGS="-g0", MMCV_WITH_OPS="1", MAX_JOBS=os.environ.get("MAX_JOBS") or str(cores))
    env["PATH"] = str(VENV_PYTHON.parent) + os.pathsep + env.get("PATH", "")  # ninja
    for name in ("FORCE_CUDA", "FORCE_MLU", "FORCE_MPS", "FORCE_NPU", "FORCE_MUSA", "MMCV_WITH_DIOPI"):
        env.pop(name, None)
    if cuda_requested():
        env["FORCE_CUDA"] = "1"
    else:
        env["CUDA_VISIBLE_DEVICES"] = ""  # mmcv compiles CUDA ops if torch finds a device
    return env


def build_progress(source):
    """Describe how many source files have been compiled."""
    sources = sum(1 for _ in source.glob("mmcv/ops/csrc/pytorch/**/*.cpp"))
    objects = sum(1 for _ in source.glob("build/temp*/**/*.o"))
    return f"{objects} of about {sources} files compiled" if objects else "starting"


def check_compiler():
    """Refuse to build mmcv without a C++ compiler, Python.h or, for CUDA ops, nvcc."""
    if cuda_requested() and not shutil.which("nvcc") and not os.environ.get("CUDA_HOME"):
        raise SetupError("MMCV_CUDA=1 needs nvcc: install the CUDA toolkit, or unset MMCV_CUDA")
    if sys.platform == "win32":
        return
    if not shutil.which(os.environ.get("CXX", "c++").split()[0]):
        hint = "Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install"
        raise SetupError(f"no C++ compiler for mmcv ({hint})")
    code = "import sysconfig; print(sysconfig.get_paths()['include'])"
    if not (Path(run(VENV_PYTHON, "-c", code, capture=True).strip()) / "Python.h").exists():
        raise SetupError("no Python.h to compile mmcv with (Debian, Ubuntu: apt-get install python3-dev)")


def run_pip_quietly(*args, progress=None):
    """Run pip, print its output only if it fails, and report ``progress()`` every 30 seconds."""
    with tempfile.TemporaryFile() as log:
        command = [str(VENV_PYTHON), "-m", "pip", *args]
        process = subprocess.Popen(command, env=build_environment(), stdout=log, stderr=subprocess.STDOUT)
        try:
            while wait_for(process, 30) is None:
                if progress:
                    report(f"  {progress()}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-8000:])
            raise subprocess.CalledProcessError(process.returncode, ["pip", *args])


def wait_for(process, seconds):
    """Return the exit code of a process, or None if it still runs after ``seconds``."""
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None

#!/usr/bin/env python3
"""Create ``.venv`` in the checkout and install all pinned packages, mmcv included: ``make setup``.

Requires only a supported Python and a C++ compiler. It can be run at any time: it does nothing if everything is up to
date, and resumes an interrupted run. Environment variables:

    ROTATED_ATSS_WHEELS  folder for compiled mmcv wheels (default: ~/.cache/rotated-atss/wheels)
    MMCV_CUDA=1          compile mmcv's CUDA ops too (needs nvcc of torch's CUDA version). This package does not use
                         them: the default, CPU ops, suffices to train on a GPU and compiles in minutes
    MAX_JOBS             number of compiler processes (default: all cores)
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "rotated-atss.json"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
INPUTS = (CONSTRAINTS, ROOT / "pyproject.toml", Path(__file__).resolve())

OLDEST, NEWEST = (3, 10), (3, 13)  # Python versions with wheels of the pinned torch and numba
UV = "uv==0.13.8"
# Environment variables that redirect installs or add packages from outside .venv.
IGNORED_VARIABLES = (
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
)
OPTIONAL_PACKAGES = ("dotadevkit",)  # reference implementation in tests, compiled at install
# They install into the cv2 folder of opencv-python-headless.
CONFLICTING_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
FREE_GIB = 9  # torch with its CUDA libraries takes about 6


class SetupError(Exception):
    """Error that is printed as one line with the problem and its fix."""


def main(argv=None):
    """Run the setup and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--match-python", action="store_true", help="refuse a .venv of another Python version than this one"
    )
    parser.add_argument("--force", action="store_true", help="reinstall everything")
    args = parser.parse_args(argv)
    try:
        return setup(match_python=args.match_python, force=args.force)
    except SetupError as error:
        report(f"error: {error}")
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        report(f"error: command failed, see above (run `make setup` again to resume): {command}")
    except KeyboardInterrupt:
        report("interrupted: run `make setup` again to resume")
        return 130
    return 1


def setup(match_python, force):
    """Create .venv, install the pinned packages, build mmcv if needed, and record the result in a stamp file."""
    if match_python:
        check_venv_python()
    if not force and VENV_PYTHON.exists() and read_stamp() == current_stamp():
        return 0
    begin = time.monotonic()
    if STAMP.exists():
        STAMP.unlink()
    make_venv()
    pass_index_to_uv()
    with step("installing the pinned packages"):
        install_pinned(force)
    key = wheel_key()
    wheel = find_wheel(key)
    if wheel is None:
        with step("building mmcv (once per torch and Python version: about 5 minutes on 2 cores)"):
            wheel = build_mmcv(key)
    with step("installing mmcv and rotated-atss"):
        uv_install("--no-deps", "--reinstall", str(wheel))
        uv_install("--no-deps", "--reinstall", "--no-build-isolation", "-e", str(ROOT))
        link_configs()
    with step("checking"):
        run(VENV_PYTHON, "-c", "import mmcv.ops, mmdet.models, mmrotate.models, rotated_atss")
    STAMP.write_text(json.dumps(current_stamp(), indent=2))
    report(f"ready in {format_duration(time.monotonic() - begin)}: {VENV}")
    return 0


# --- the virtual environment ------------------------------------------------------------------------------------------


def check_venv_python():
    """Refuse a .venv whose Python version differs from that of this process."""
    installed, requested = venv_version(), sys.version_info[:2]
    if installed and installed != requested:
        versions = f"Python {installed[0]}.{installed[1]}, requested is {requested[0]}.{requested[1]}"
        raise SetupError(f"{VENV} has {versions}: run make clean-venv first")


def make_venv():
    """Create .venv, unless a working one with an interpreter and pip exists."""
    if venv_works():
        return
    check_python()
    check_disk()
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists() and any(VENV.iterdir()):
        raise SetupError(f"{VENV} exists but is not a virtual environment: move it away")
    with step(f"making .venv with Python {platform.python_version()}"):
        done = subprocess.run(
            [getattr(sys, "_base_executable", None) or sys.executable, "-m", "venv", "--clear", str(VENV)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            sys.stderr.write(done.stdout.decode(errors="replace"))
            raise SetupError(
                f"python -m venv failed, see above (Debian, Ubuntu: apt-get install {debian_package('venv')})"
            )


def venv_works():
    """Return whether the interpreter of .venv runs and has pip."""
    return VENV_PYTHON.exists() and not subprocess.call(
        [str(VENV_PYTHON), "-c", "import pip"],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def venv_version():
    """Return (major, minor) of the Python in pyvenv.cfg, or None."""
    try:
        lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return tuple(int(part) for part in value.strip().split(".")[:2])
    return None


def check_python():
    """Refuse an unsupported Python and name a supported one if it is installed."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    supported = next((name for name in names if shutil.which(name)), None)
    raise SetupError(
        f"Python {platform.python_version()} ({sys.executable}) unsupported, 3.{OLDEST[1]} to 3.{NEWEST[1]} needed: "
        + (f"run make PYTHON={supported} setup" if supported else "install one, then run make PYTHON=python3.12 setup")
    )


def check_disk():
    """Warn if the disk has too little free space."""
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < FREE_GIB:
        report(f"warning: only {free:.1f} GiB free on the disk of {ROOT}, about {FREE_GIB} GiB needed")


# --- packages ---------------------------------------------------------------------------------------------------------


def install_pinned(force=False):
    """Install the packages of constraints.txt except mmcv.

    Dependencies are not resolved: the list is complete, and it names a single OpenCV distribution.
    """
    if subprocess.call([str(VENV_PYTHON), "-c", "import uv"], stderr=subprocess.DEVNULL, env=clean_environment()):
        run(VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    conflicting = [name for name in CONFLICTING_OPENCV if is_installed(name)]
    if conflicting:
        run(VENV_PYTHON, "-m", "uv", "pip", "uninstall", *uv_flags(), *conflicting)
    reinstall = ("--reinstall",) if force else ("--reinstall-package", "opencv-python-headless") if conflicting else ()
    requirements = pinned_requirements(without=("onedl-mmcv", *OPTIONAL_PACKAGES))
    uv_install("--no-deps", *reinstall, "-r", "-", stdin="\n".join(requirements))
    for name in OPTIONAL_PACKAGES:
        try:
            uv_install("--no-deps", *reinstall, pinned_requirement(name))
        except subprocess.CalledProcessError:
            report(f"warning: {name} cannot be installed, see above: tests that compare with it are skipped")


def is_installed(name):
    """Return whether a distribution is installed in .venv."""
    return any(VENV.glob("lib/python*/site-packages/{}-*.dist-info".format(name.replace("-", "_"))))


def pinned_requirements(without=()):
    """Return the requirement lines of constraints.txt, without some distributions."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "# " and line.partition("==")[0] not in without]


def pinned_requirement(name):
    """Return the requirement ``name==version`` of one distribution."""
    return next(line.split(";")[0].strip() for line in pinned_requirements() if line.startswith(name + "=="))


def uv_install(*args, stdin=None):
    """Install into .venv with uv."""
    run(VENV_PYTHON, "-m", "uv", "pip", "install", *uv_flags(), *args, stdin=stdin)


def uv_flags():
    """Return the options of every uv command: the Python of .venv, quiet without a terminal."""
    return ("--python", str(VENV_PYTHON), *(() if sys.stderr.isatty() else ("--quiet",)))


# --- mmcv -------------------------------------------------------------------------------------------------------------


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
        run_pip_quietly(*command, env=build_environment(), progress=lambda: build_progress(source))
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
        run_pip_quietly(*command, "-d", scratch, pinned_requirement("onedl-mmcv"), env=build_environment())
        with tarfile.open(str(next(Path(scratch).glob("*.tar.gz")))) as archive:
            archive.extractall(scratch)
        folder = next(path for path in Path(scratch).iterdir() if path.is_dir())
        os.replace(str(folder), str(build / folder.name))
    return build / folder.name


def build_environment():
    """Return the environment variables for compiling mmcv."""
    env = clean_environment()
    env.update(CFLAGS="-g0", MMCV_WITH_OPS="1", MAX_JOBS=os.environ.get("MAX_JOBS") or str(available_cores()))
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
        raise SetupError(
            "MMCV_CUDA=1 needs nvcc: install the CUDA toolkit, or unset MMCV_CUDA (this package does not need it)"
        )
    if sys.platform == "win32":
        return
    if not shutil.which(os.environ.get("CXX", "c++").split()[0]):
        raise SetupError(
            "no C++ compiler for mmcv (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install)"
        )
    include = run(VENV_PYTHON, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])", capture=True).strip()
    if not (Path(include) / "Python.h").exists():
        raise SetupError(f"no Python.h to compile mmcv with (Debian, Ubuntu: apt-get install {debian_package('dev')})")


def link_configs():
    """Link configs and tools into rotated_atss/.mim, where MMEngine looks for them; a wheel has copies there."""
    folder = ROOT / "rotated_atss" / ".mim"
    folder.mkdir(exist_ok=True)
    for name in ("configs", "tools", "model-index.yml", "data_prep"):
        link = folder / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to(Path("..") / ".." / name)


# --- helpers ----------------------------------------------------------------------------------------------------------


def current_stamp():
    """Return a description of the inputs that decide whether .venv is up to date."""
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.read_bytes())
    return {
        "inputs": digest.hexdigest(),
        "root": str(ROOT),
        "cuda": cuda_requested(),
        "python": list(venv_version() or ()),
    }


def read_stamp():
    """Return the stamp of the last complete setup, or None."""
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None


def clean_environment():
    """Return the environment variables without those that disturb an installation."""
    env = {name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES}
    env.setdefault("UV_HTTP_TIMEOUT", "300")  # torch's CUDA libraries are large
    return env


def pass_index_to_uv():
    """Pass the package index of pip's configuration to uv, which does not read it."""
    if "UV_DEFAULT_INDEX" in os.environ or "UV_INDEX_URL" in os.environ:
        return
    config = run(VENV_PYTHON, "-m", "pip", "config", "list", capture=True)
    urls = re.findall(r"^(?:global|install|:env:)\.index-url='(.+)'$", config, re.MULTILINE)
    if urls:
        os.environ["UV_DEFAULT_INDEX"] = urls[-1]


def available_cores():
    """Return the number of cores that this process can use; the package is not installed yet."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def debian_package(part):
    """Return the Debian package of a part of this Python, such as ``python3.11-venv``."""
    name = Path(sysconfig.get_config_var("EXENAME") or sys.executable).name
    return "{}-{}".format(name if name.startswith("python3.") else "python3", part)


def run(*command, capture=False, stdin=None):
    """Run a command, return its output if ``capture`` is set, and raise CalledProcessError if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd=str(ROOT),
        env=clean_environment(),
        input=None if stdin is None else stdin.encode(),
        stdout=subprocess.PIPE if capture else None,
    )
    return done.stdout.decode() if capture else ""


def run_pip_quietly(*args, env, progress=None):
    """Run pip, print its output only if it fails, and report ``progress()`` every 30 seconds."""
    with tempfile.TemporaryFile() as log:
        command = [str(VENV_PYTHON), "-m", "pip", *args]
        process = subprocess.Popen(command, env=env, cwd=str(ROOT), stdout=log, stderr=subprocess.STDOUT)
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


@contextmanager
def step(title):
    """Report the start and the duration of a step."""
    begin = time.monotonic()
    report(title)
    yield
    report(f"  done in {format_duration(time.monotonic() - begin)}")


def format_duration(seconds):
    """Format seconds as ``12 s`` or ``3.4 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def report(line):
    """Print a line of the setup on stderr."""
    print(f"setup: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

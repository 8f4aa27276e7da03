#!/usr/bin/env python3
"""Make ``.venv`` in the checkout and install everything that is pinned, mmcv included: ``make setup``.

Needs nothing but a Python of the supported range and a C++ compiler. Safe to run again at any time: it does nothing
when nothing changed, and continues where an interrupted run stopped. Environment:

    ROTATED_ATSS_WHEELS  folder for the mmcv wheels built here (default ~/.cache/rotated-atss/wheels)
    MMCV_CUDA=1          compile mmcv's CUDA ops too (needs nvcc of torch's CUDA version). Nothing here calls them: the
                         default, CPU ops, is enough to train on a GPU, and compiles in minutes
    MAX_JOBS             compiler processes (default: all cores)
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "rotated-atss.json"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
INPUTS = (CONSTRAINTS, ROOT / "pyproject.toml", Path(__file__).resolve())

OLDEST, NEWEST = (3, 10), (3, 13)  # torch's and numba's wheels of the pinned versions
UV = "uv==0.13.8"
# Settings of the caller's shell that would send files elsewhere or bring foreign packages in.
HARMFUL = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV")
DISPENSABLE = ("dotadevkit",)  # a second opinion for tests, compiled while it is installed
RIVALS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")  # of the one cv2 folder
FREE_GIB = 9  # torch with its CUDA libraries unpacks to about 6


class SetupError(Exception):
    """What is wrong and what to do, in one line."""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asked", action="store_true", help="this Python was asked for: refuse a .venv of another")
    parser.add_argument("--force", action="store_true", help="install everything again although nothing changed")
    args = parser.parse_args(argv)
    try:
        return setup(asked=args.asked, force=args.force)
    except SetupError as error:
        say(f"error: {error}")
    except subprocess.CalledProcessError as error:
        say("error: this failed, see above (run `make setup` again to go on): {}".format(" ".join(map(str, error.cmd))))
    except KeyboardInterrupt:
        say("interrupted: run `make setup` again to go on")
        return 130
    return 1


def setup(asked, force):
    if asked:
        check_same_python()
    if not force and VENV_PYTHON.exists() and read_stamp() == wanted_stamp():
        return 0
    begin = time.monotonic()
    if STAMP.exists():
        STAMP.unlink()
    make_venv()
    share_index()
    with step("installing the pinned packages"):
        install_pinned(force)
    key = wheel_key()
    wheel = find_wheel(key)
    if wheel is None:
        with step("building mmcv (once for this torch and Python: about 5 minutes on 2 cores)"):
            wheel = build_mmcv(key)
    with step("installing mmcv and rotated-atss"):
        uv_install("--no-deps", "--reinstall", str(wheel))
        uv_install("--no-deps", "--reinstall", "--no-build-isolation", "-e", str(ROOT))
        link_configs()
    with step("checking"):
        run(VENV_PYTHON, "-c", "import mmcv.ops, mmdet.models, mmrotate.models, rotated_atss")
    STAMP.write_text(json.dumps(wanted_stamp(), indent=2))
    say(f"ready in {spell(time.monotonic() - begin)}: {VENV}")
    return 0


# --- the virtual environment ------------------------------------------------------------------------------------------


def check_same_python():
    have, asked = venv_version(), sys.version_info[:2]
    if have and have != asked:
        versions = f"Python {have[0]}.{have[1]}, asked for is {asked[0]}.{asked[1]}"
        raise SetupError(f"{VENV} has {versions}: run make clean-venv first")


def make_venv():
    """A working .venv stays; none, or one that lost its interpreter or its pip, is made anew."""
    if venv_works():
        return
    check_python()
    check_disk()
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists() and any(VENV.iterdir()):
        raise SetupError(f"{VENV} exists and is no virtual environment: move it away")
    with step(f"making .venv with Python {platform.python_version()}"):
        made = subprocess.run(
            [getattr(sys, "_base_executable", None) or sys.executable, "-m", "venv", "--clear", str(VENV)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if made.returncode:
            sys.stderr.write(made.stdout.decode(errors="replace"))
            raise SetupError(f"python -m venv failed, see above (Debian, Ubuntu: apt-get install {apt('venv')})")


def venv_works():
    return VENV_PYTHON.exists() and not subprocess.call(
        [str(VENV_PYTHON), "-c", "import pip"],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def venv_version():
    """(major, minor) that pyvenv.cfg tells, or None."""
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
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    found = next((name for name in names if shutil.which(name)), None)
    raise SetupError(
        f"Python {platform.python_version()} found ({sys.executable}), 3.{OLDEST[1]} to 3.{NEWEST[1]} needed: "
        + (f"run make PYTHON={found} setup" if found else "install one, then run make PYTHON=python3.12 setup")
    )


def check_disk():
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < FREE_GIB:
        say(f"warning: {free:.1f} GiB free on the disk of {ROOT}, about {FREE_GIB} needed")


# --- packages ---------------------------------------------------------------------------------------------------------


def install_pinned(force=False):
    """Exactly what constraints.txt lists, mmcv excepted. Without dependencies: the list is complete and has one cv2."""
    if subprocess.call([str(VENV_PYTHON), "-c", "import uv"], stderr=subprocess.DEVNULL, env=clean_environment()):
        run(VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    rivals = [name for name in RIVALS if installed(name)]
    if rivals:
        run(VENV_PYTHON, "-m", "uv", "pip", "uninstall", *uv_flags(), *rivals)
    again = ("--reinstall",) if force else ("--reinstall-package", "opencv-python-headless") if rivals else ()
    uv_install("--no-deps", *again, "-r", "-", stdin="\n".join(pins(without=("onedl-mmcv", *DISPENSABLE))))
    for name in DISPENSABLE:
        try:
            uv_install("--no-deps", *again, pin(name))
        except subprocess.CalledProcessError:
            say(f"warning: {name} does not install here, see above: tests that compare with it are skipped")


def installed(name):
    return any(VENV.glob("lib/python*/site-packages/{}-*.dist-info".format(name.replace("-", "_"))))


def pins(without=()):
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "# " and line.partition("==")[0] not in without]


def pin(name):
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return next(line.split(";")[0].strip() for line in lines if line.startswith(name + "=="))


def uv_install(*args, stdin=None):
    run(VENV_PYTHON, "-m", "uv", "pip", "install", *uv_flags(), *args, stdin=stdin)


def uv_flags():
    return ("--python", str(VENV_PYTHON), *(() if sys.stderr.isatty() else ("--quiet",)))


# --- mmcv -------------------------------------------------------------------------------------------------------------


def wheel_key():
    """A wheel fits one torch, one Python and one kind of machine; pip's own cache would mix them up."""
    code = "import torch, sys; print(torch.__version__, sys.implementation.cache_tag)"
    torch_version, tag = run(VENV_PYTHON, "-c", code, capture=True).split()
    ops = "cudaops" if wants_cuda() else "cpuops"
    return "-".join(("torch" + torch_version, ops, tag, sys.platform, platform.machine()))


def wants_cuda():
    return os.environ.get("MMCV_CUDA", "0") not in ("", "0")


def wheel_folder(key):
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ROTATED_ATSS_WHEELS") or Path(cache) / "rotated-atss" / "wheels").expanduser() / key


def find_wheel(key):
    name, version = pin("onedl-mmcv").split("==")
    found = sorted(wheel_folder(key).glob("{}-{}-*.whl".format(name.replace("-", "_"), version)))
    return found[-1] if found else None


def build_mmcv(key):
    """Compile in a folder that outlives an interruption (ninja goes on), then move the finished wheel into place."""
    check_compiler()
    folder = wheel_folder(key)
    source = mmcv_source(folder / "build")
    with tempfile.TemporaryDirectory(dir=str(folder)) as scratch:
        command = ("wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", scratch, str(source))
        run_pip_quietly(*command, env=build_environment(), progress=lambda: compiled_share(source))
        built = next(Path(scratch).glob("*.whl"))
        os.replace(str(built), str(folder / built.name))
    shutil.rmtree(str(folder / "build"), ignore_errors=True)
    return folder / built.name


def mmcv_source(build):
    """The unpacked source archive, from an earlier try or fetched."""
    unpacked = [path for path in build.glob("onedl_mmcv-*") if path.is_dir()]
    if unpacked:
        return unpacked[0]
    build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=str(build)) as scratch:
        command = ("download", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--no-binary", "onedl-mmcv")
        run_pip_quietly(*command, "-d", scratch, pin("onedl-mmcv"), env=build_environment())
        with tarfile.open(str(next(Path(scratch).glob("*.tar.gz")))) as archive:
            archive.extractall(scratch)
        folder = next(path for path in Path(scratch).iterdir() if path.is_dir())
        os.replace(str(folder), str(build / folder.name))
    return build / folder.name


def build_environment():
    env = clean_environment()
    env.update(CFLAGS="-g0", MMCV_WITH_OPS="1", MAX_JOBS=os.environ.get("MAX_JOBS") or str(cores()))
    env["PATH"] = str(VENV_PYTHON.parent) + os.pathsep + env.get("PATH", "")  # ninja
    for name in ("FORCE_CUDA", "FORCE_MLU", "FORCE_MPS", "FORCE_NPU", "FORCE_MUSA", "MMCV_WITH_DIOPI"):
        env.pop(name, None)
    if wants_cuda():
        env["FORCE_CUDA"] = "1"
    else:
        env["CUDA_VISIBLE_DEVICES"] = ""  # mmcv compiles CUDA ops wherever torch sees a device
    return env


def compiled_share(source):
    sources = sum(1 for _ in source.glob("mmcv/ops/csrc/pytorch/**/*.cpp"))
    objects = sum(1 for _ in source.glob("build/temp*/**/*.o"))
    return f"{objects} of about {sources} files compiled" if objects else "starting"


def check_compiler():
    if wants_cuda() and not shutil.which("nvcc") and not os.environ.get("CUDA_HOME"):
        raise SetupError("MMCV_CUDA=1 needs nvcc: install the CUDA toolkit, or leave MMCV_CUDA out (nothing needs it)")
    if sys.platform == "win32":
        return
    if not shutil.which(os.environ.get("CXX", "c++").split()[0]):
        raise SetupError(
            "no C++ compiler for mmcv (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install)"
        )
    include = run(VENV_PYTHON, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])", capture=True).strip()
    if not (Path(include) / "Python.h").exists():
        raise SetupError(f"no Python.h to compile mmcv with (Debian, Ubuntu: apt-get install {apt('dev')})")


def link_configs():
    """A wheel carries configs/ and tools/ in rotated_atss/.mim, where mmengine looks; here that is links."""
    folder = ROOT / "rotated_atss" / ".mim"
    folder.mkdir(exist_ok=True)
    for name in ("configs", "tools", "model-index.yml"):
        link = folder / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to(Path("..") / ".." / name)


# --- small things -----------------------------------------------------------------------------------------------------


def wanted_stamp():
    digest = hashlib.sha256()
    for path in INPUTS:
        digest.update(path.read_bytes())
    return {"inputs": digest.hexdigest(), "root": str(ROOT), "cuda": wants_cuda(), "python": list(venv_version() or ())}


def read_stamp():
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None


def clean_environment():
    env = {name: value for name, value in os.environ.items() if name not in HARMFUL}
    env.setdefault("UV_HTTP_TIMEOUT", "300")  # torch's CUDA libraries are large
    return env


def share_index():
    """Uv does not read pip's settings: hand it the package index that pip was told to use, if any."""
    if "UV_DEFAULT_INDEX" in os.environ or "UV_INDEX_URL" in os.environ:
        return
    asked = run(VENV_PYTHON, "-m", "pip", "config", "list", capture=True)
    found = re.findall(r"^(?:global|install|:env:)\.index-url='(.+)'$", asked, re.MULTILINE)
    if found:
        os.environ["UV_DEFAULT_INDEX"] = found[-1]


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def apt(part):
    """The Debian package, of the system's Python or of a versioned one."""
    name = Path(sysconfig.get_config_var("EXENAME") or sys.executable).name
    return "{}-{}".format(name if name.startswith("python3.") else "python3", part)


def run(*command, capture=False, stdin=None):
    """Run, raise when it fails; its output goes through, or comes back with ``capture``."""
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
    """Pip's output only when it fails; meanwhile a line every half a minute that says how far it is."""
    with tempfile.TemporaryFile() as log:
        command = [str(VENV_PYTHON), "-m", "pip", *args]
        process = subprocess.Popen(command, env=env, cwd=str(ROOT), stdout=log, stderr=subprocess.STDOUT)
        try:
            while wait(process, 30) is None:
                if progress:
                    say(f"  {progress()}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-8000:])
            raise subprocess.CalledProcessError(process.returncode, ["pip", *args])


def wait(process, seconds):
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


class step:
    """``with step("doing"):`` says what is done, and afterwards how long it took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.begin = time.monotonic()
        say(self.what)

    def __exit__(self, kind, *_):
        if kind is None:
            say(f"  done in {spell(time.monotonic() - self.begin)}")


def spell(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def say(line):
    print(f"setup: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Create ``.venv`` in the checkout and install all pinned packages: ``make setup``.

Requires only a supported Python, no compiler. It does nothing if everything is up to date, and resumes an interrupted
run. With ``--baselines`` it also compiles mmcv and DOTA_devkit, with which some tests and benchmarks compare
(``make setup-baselines``, scripts/build_mmcv.py).
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from install_tools import (
    ROOT,
    VENV,
    VENV_PYTHON,
    SetupError,
    clean_environment,
    pass_index_to_uv,
    report,
    run,
    uv_install,
)

STAMP = VENV / "rotated-atss.json"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
INPUTS = (CONSTRAINTS, ROOT / "pyproject.toml", Path(__file__).resolve())
COMPILED = ("dotadevkit",)  # installed with the baselines

OLDEST, NEWEST = (3, 10), (3, 13)  # Python versions with wheels of the pinned torch
UV = "uv==0.13.8"
FREE_GIB = 9  # torch with its CUDA libraries takes about 6
CHECK = "import rotated_atss.detection, mmcv.ops, mmdet.models, mmrotate.models"


def main(argv=None):
    """Run the setup and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--match-python", action="store_true", help="refuse a .venv of another Python version")
    parser.add_argument("--force", action="store_true", help="reinstall everything")
    parser.add_argument(
        "--baselines", action="store_true", help="compile mmcv and DOTA_devkit too, with a C++ compiler"
    )
    args = parser.parse_args(argv)
    try:
        setup(match_python=args.match_python, force=args.force)
        if args.baselines:
            import build_mmcv

            build_mmcv.install_baselines()
    except SetupError as error:
        report(f"error: {error}")
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        report(f"error: command failed, see above (run `make setup` again to resume): {command}")
    except KeyboardInterrupt:
        report("interrupted: run `make setup` again to resume")
        return 130
    else:
        return 0
    return 1


def setup(match_python=False, force=False):
    """Create .venv, install the pinned packages, and record the result in a stamp file."""
    if match_python and venv_version() not in (None, sys.version_info[:2]):
        installed, requested = (".".join(map(str, version)) for version in (venv_version(), sys.version_info[:2]))
        raise SetupError(f"{VENV} has Python {installed}, requested is {requested}: run make clean-venv first")
    if not force and VENV_PYTHON.exists() and read_stamp() == current_stamp():
        return
    begin = time.monotonic()
    STAMP.unlink(missing_ok=True)
    make_venv()
    pass_index_to_uv()
    report("installing the pinned packages")
    if subprocess.call([str(VENV_PYTHON), "-c", "import uv"], stderr=subprocess.DEVNULL, env=clean_environment()):
        run(VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    reinstall = ("--reinstall",) if force else ()
    # Dependencies are not resolved: the list is complete, and it names a single OpenCV distribution.
    uv_install("--no-deps", *reinstall, "-r", "-", stdin="\n".join(pinned_requirements(without=COMPILED)))
    uv_install("--no-deps", "--reinstall", "--no-build-isolation", "-e", str(ROOT))
    link_configs()
    run(VENV_PYTHON, "-W", "ignore", "-c", CHECK, capture=True)
    STAMP.write_text(json.dumps(current_stamp(), indent=2))
    report(f"ready in {time.monotonic() - begin:.0f} s: {VENV}")


def make_venv():
    """Create .venv, unless a working one with an interpreter and pip exists."""
    works = [str(VENV_PYTHON), "-c", "import pip"]
    if VENV_PYTHON.exists() and not subprocess.call(works, env=clean_environment(), stderr=subprocess.DEVNULL):
        return
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        found = next((name for name in names if shutil.which(name)), None)
        what = (
            f"Python {platform.python_version()} ({sys.executable}) unsupported, 3.{OLDEST[1]} to 3.{NEWEST[1]} needed"
        )
        fix = f"run make PYTHON={found} setup" if found else "install one, then run make PYTHON=python3.12 setup"
        raise SetupError(f"{what}: {fix}")
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < FREE_GIB:
        report(f"warning: only {free:.1f} GiB free on the disk of {ROOT}, about {FREE_GIB} GiB needed")
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists() and any(VENV.iterdir()):
        raise SetupError(f"{VENV} exists but is not a virtual environment: move it away")
    report(f"making .venv with Python {platform.python_version()}")
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    if subprocess.call([interpreter, "-m", "venv", "--clear", str(VENV)], env=clean_environment()):
        name = Path(sysconfig.get_config_var("EXENAME") or sys.executable).name
        package = f"{name if name.startswith('python3.') else 'python3'}-venv"
        raise SetupError(f"python -m venv failed, see above (Debian, Ubuntu: apt-get install {package})")


def venv_version():
    """Return (major, minor) of the Python in pyvenv.cfg, or None."""
    path = VENV / "pyvenv.cfg"
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", path.read_text() if path.exists() else "", re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def pinned_requirements(without=()):
    """Return the requirement lines of constraints.txt, without some distributions."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "# " and line.partition("==")[0] not in without]


def pinned_requirement(name):
    """Return the requirement ``name==version`` of one distribution."""
    return next(line.split(";")[0].strip() for line in pinned_requirements() if line.startswith(name + "=="))


def link_configs():
    """Link configs and tools into rotated_atss/.mim, where MMEngine looks for them; a wheel has copies there."""
    folder = ROOT / "rotated_atss" / ".mim"
    folder.mkdir(exist_ok=True)
    for name in ("configs", "tools", "model-index.yml", "data_prep"):
        link, source = folder / name, ROOT / name
        if link.exists() or link.is_symlink():
            continue
        try:
            link.symlink_to(Path("..") / ".." / name)
        except OSError:  # Windows without the right to create links
            (shutil.copytree if source.is_dir() else shutil.copy)(source, link)


def current_stamp():
    """Return a description of the inputs that decide whether .venv is up to date."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in INPUTS)).hexdigest()
    return {"inputs": digest, "root": str(ROOT), "python": list(venv_version() or ())}


def read_stamp():
    """Return the stamp of the last complete setup, or None."""
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())

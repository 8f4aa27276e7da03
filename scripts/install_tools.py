"""Commands that install into ``.venv``, shared by bootstrap.py and build_mmcv.py. Needs only the standard library."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# Environment variables that redirect installs, add packages from outside .venv, or keep imports slow.
IGNORED_VARIABLES = (
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
)


class SetupError(Exception):
    """Error that is printed as one line with the problem and its fix."""


def clean_environment():
    """Return the environment variables without those that disturb an installation."""
    env = {name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES}
    env.setdefault("UV_HTTP_TIMEOUT", "300")  # torch's CUDA libraries are large
    env.setdefault("MMCV_WITH_OPS", "0")
    env.setdefault("UV_COMPILE_BYTECODE", "1")  # else processes that may not write bytecode compile at each start
    return env


def pass_index_to_uv():
    """Pass the package index of pip's configuration to uv, which does not read it."""
    if "UV_DEFAULT_INDEX" in os.environ or "UV_INDEX_URL" in os.environ:
        return
    config = run(VENV_PYTHON, "-m", "pip", "config", "list", capture=True)
    urls = re.findall(r"^(?:global|install|:env:)\.index-url='(.+)'$", config, re.MULTILINE)
    if urls:
        os.environ["UV_DEFAULT_INDEX"] = urls[-1]


def uv_install(*args, stdin=None):
    """Install into .venv with uv."""
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    run(VENV_PYTHON, "-m", "uv", "pip", "install", "--python", VENV_PYTHON, *quiet, *args, stdin=stdin)


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


def report(line):
    """Print a line of the setup on stderr."""
    print(f"setup: {line}", file=sys.stderr, flush=True)

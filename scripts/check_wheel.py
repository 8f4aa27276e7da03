"""Build the wheel, install it into a fresh virtual environment without a compiler, and run the commands there.

    python scripts/check_wheel.py [--uv] [--extra train] [--keep DIR] [--iterations 20]

With pip (default) or uv, from the package index, with the versions that resolve. PATH holds no compiler. The metadata
pass ``twine check --strict``. The commands are those of a new user: ``--version``, ``doctor`` and a short ``demo``,
with configs and presets from the wheel.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = "Scripts" if os.name == "nt" else "bin"
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "clang++", "nvcc", "cl")


def main(argv=None):
    """Check the wheel and return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uv", action="store_true", help="install with uv instead of pip")
    parser.add_argument("--extra", default="train", help="extra to install; empty for the core commands only")
    parser.add_argument("--keep", metavar="DIR", help="work in this new folder and keep it")
    parser.add_argument("--iterations", type=int, default=20, help="training iterations of the demo")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(args.keep or scratch).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        wheel = build(folder)
        environment = without_compilers(folder)
        python = timed("install", lambda: install(folder, wheel, args.extra, args.uv, environment))
        timed("commands", lambda: run_commands(folder, python, args.extra, args.iterations, environment))
    return 0


def build(folder):
    """Build sdist and wheel, and check that the sdist builds the same wheel."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")], cwd=ROOT, check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder / "sdist")
    (source,) = (folder / "sdist").iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "again")]
    subprocess.run(command, cwd=source, check=True)
    (again,) = (folder / "again").glob("*.whl")
    contents = [
        {entry.filename: entry.CRC for entry in zipfile.ZipFile(path).infolist() if "RECORD" not in entry.filename}
        for path in (wheel, again)
    ]
    assert contents[0] == contents[1], "the sdist builds another wheel"
    print(f"wheel: {wheel.stat().st_size / 1000:.0f} kB, the sdist builds the same", flush=True)
    check_metadata(sdist, wheel)
    return wheel


def check_metadata(*archives):
    """Check the metadata and the long description as a package index does, with twine in an environment of its own."""
    twine = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "twine", "check", "--strict"]
    subprocess.run([*twine, *map(str, archives)], check=True)


def without_compilers(folder):
    """Return environment variables with a PATH of links to all programs but compilers."""
    programs = folder / "programs"
    programs.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for path in Path(place).glob("*") if Path(place).is_dir() else ():
            is_compiler = any(path.stem.removesuffix(".exe").endswith(name) for name in COMPILERS)
            link = programs / path.name
            if not is_compiler and not link.is_symlink() and os.access(path, os.X_OK) and path.is_file():
                link.symlink_to(path)
    names = ("PYTHONPATH", "VIRTUAL_ENV", "CC", "CXX", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PATH"] = str(programs)
    for name in ("cc", "c++", "gcc", "g++", "nvcc"):
        assert shutil.which(name, path=str(programs)) is None, f"{name} is still found"
    return environment


def install(folder, wheel, extra, with_uv, environment):
    """Install the wheel with pip or uv and return the Python of the environment."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, env=environment)
    python = venv / BIN / "python"
    requirement = f"{wheel}[{extra}]" if extra else str(wheel)
    tool = [sys.executable, "-m", "uv", "pip", "install", "--python", str(python)] if with_uv else [
        str(python), "-m", "pip", "install", "--disable-pip-version-check"
    ]  # fmt: skip
    subprocess.run([*tool, "--quiet", requirement], check=True, env=environment)
    return python


def run_commands(folder, python, extra, iterations, environment):
    """Run the commands of a new user outside the checkout."""
    commands = [["--version"], ["doctor"], ["split", "--help"]]
    if extra in ("train", "all"):
        scenes = ["--train-scenes", "6", "--val-scenes", "2"]
        commands.append(["demo", "--out", "demo_out", "--iterations", str(iterations), *scenes])
    program = python.parent / "rotated-atss"
    for command in commands:
        done = subprocess.run(
            [str(program), *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            print(text[-5000:])
            raise SystemExit(f"failed: rotated-atss {' '.join(command)}")
        print("\n".join(f"  {line}" for line in text.splitlines()[-3:]), flush=True)


def timed(title, function):
    """Call a function and print how long it took."""
    begin = time.monotonic()
    result = function()
    print(f"{title}: {time.monotonic() - begin:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())

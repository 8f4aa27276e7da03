"""Feed damaged files to the readers: only UserError, with a message of one printable line, may leave a reader.

    make fuzz ARGS="[--seconds 120] [--target labels ...] [--record]"
    python benchmarks/reliability/fuzz.py --random [--seconds 120] [--seed 0] [--target labels ...]

The corpus is the valid inputs of ``fuzz_targets.py``, which atheris mutates by the code that they reach. Each target
runs in a process of its own, with a limit on the time per input and on memory. The first input that raises another
error, or takes too long or too much memory, ends the target and is reported; ``build/fuzz_findings`` keeps it.
``--record`` writes counts and findings to ``benchmarks/reliability/results/fuzz.json``.

``--random`` needs no other package: valid inputs are changed at random (bytes flipped, cut, repeated, replaced by
tokens that parsers trip over), and the first unexpected error of each target is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = ROOT / "build" / "fuzz_findings"  # one input per target
RECORD = Path(__file__).resolve().parent / "results" / "fuzz.json"
SECONDS_PER_INPUT, MEMORY_MB = 10, 3000
_NOTICED_MB = 2000
FAST_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_CHILD = "ROTATED_ATSS_FUZZ_TARGET"
sys.path.insert(0, str(ROOT))


def run_target(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one target in a process of its own; return the number of inputs and the finding, if any."""
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER) as folder:
        environment = {**os.environ, _CHILD: name, "TMPDIR": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--seconds", str(seconds)]
        done = subprocess.run(command, env=environment, capture_output=True, cwd=folder, check=False)
        log = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
        crashes = sorted(Path(folder).glob("crash-*")) + sorted(Path(folder).glob("*-????????????????????*"))
        found = _finding(log, done.returncode)
        if found and crashes:
            found["input"] = repr(crashes[0].read_bytes()[:400])
            FINDINGS.mkdir(parents=True, exist_ok=True)
            shutil.copy(crashes[0], FINDINGS / name.replace(" ", "_"))
    inputs = re.findall(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", log, re.MULTILINE)
    coverage = re.findall(r"cov: (\d+)", log)
    return {
        "target": name,
        "seconds": seconds,
        "inputs": max((int(first or second) for first, second in inputs), default=0),
        "branches": int(coverage[-1]) if coverage else 0,
        "finding": found,
    }


def _finding(log: str, code: int) -> dict[str, str] | None:
    """Return the kind and the message of what ended a target early; None if nothing did."""
    if code == 0:
        return None
    kinds = {"ALARM: working": "timeout", "out-of-memory": "memory", "Uncaught Python exception": "exception"}
    kind = next((kind for text, kind in kinds.items() if text in log), "crash")
    start = max(log.find("Uncaught Python exception"), log.find("ERROR: libFuzzer"))
    return {"kind": kind, "message": log[start:][:3000] if start >= 0 else log[-500:]}


def fuzz_here(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends it."""
    import atheris

    with atheris.instrument_imports(include=["rotated_atss"]):
        from benchmarks.reliability.fuzz_targets import TOKENS, make_targets
        from rotated_atss.errors import UserError

    folder = Path(tempfile.mkdtemp())
    target = make_targets(folder)[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if len(token) <= 64)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words))
    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-dict={folder / 'words'}", f"-max_total_time={seconds}",
            f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={target.max_bytes}",
            "-print_final_stats=1", "-seed=1",
        ],
        lambda data: _check(target.run, data, UserError),
    )  # fmt: skip
    atheris.Fuzz()


def fuzz_at_random(name: str, seconds: int, seed: int) -> dict[str, Any]:
    """Run one target in this process on inputs that are changed at random; the result is that of :func:`run_target`."""
    from benchmarks.reliability.fuzz_targets import TOKENS, make_targets
    from rotated_atss.errors import UserError

    draw, runs, finding, end = random.Random(f"{seed} {name}"), 0, None, time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER) as folder:
        target = make_targets(Path(folder))[name]
        while finding is None and time.monotonic() < end:
            data = damage(draw.choice(target.seeds), TOKENS, draw)
            runs += 1
            try:
                _check(target.run, data, UserError)
            except Exception:
                finding = {"kind": "exception", "message": traceback.format_exc(), "input": repr(data[:400])}
    return {"target": name, "seconds": seconds, "inputs": runs, "branches": 0, "finding": finding}


def damage(data: bytes, tokens: Sequence[bytes], draw: random.Random) -> bytes:
    """Change a file at one to four places."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed) + 1)
        kind = draw.randrange(5)
        if kind == 0 and changed:
            changed[at - 1] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[at : at + draw.randint(1, 8)] = draw.choice(tokens)
        elif kind == 2:
            changed[at:at] = draw.choice(tokens)
        elif kind == 3:
            del changed[at : at + draw.randint(1, 30)]
        else:
            start = draw.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + draw.randint(1, 60)]
    return bytes(changed)


def _check(run: Any, data: bytes, user_error: type[Exception]) -> None:
    try:
        run(data)
    except user_error as error:
        if not str(error).isprintable() or len(str(error)) > 4000:
            raise AssertionError("the message is not one printable line") from error
    # libFuzzer looks at the peak once per second, and blames the input that runs at that time.
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    if peak_mb > _NOTICED_MB:
        raise AssertionError(f"peak memory {peak_mb:.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="time per target")
    parser.add_argument("--target", nargs="+", help="only these targets")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    how.add_argument("--random", action="store_true", help="change inputs at random, without atheris")
    parser.add_argument("--seed", type=int, default=0, help="seed of --random")
    args = parser.parse_args()
    if _CHILD in os.environ:
        fuzz_here(os.environ[_CHILD], args.seconds)
        return 0
    from benchmarks.reliability.fuzz_targets import make_targets

    with tempfile.TemporaryDirectory() as folder:
        names = args.target or list(make_targets(Path(folder)))
    results = []
    for name in names:
        results.append(fuzz_at_random(name, args.seconds, args.seed) if args.random else run_target(name, args.seconds))
        found = results[-1]["finding"]
        report = f"{found['kind']}: {found['message']}\nfor {found.get('input', '')}" if found else "only UserError"
        print(f"{name}: {results[-1]['inputs']:,} inputs, {results[-1]['branches']} branches, {report}", flush=True)
        if args.record:
            _save(results)
    return int(any(each["finding"] for each in results))


def _save(results: list[dict[str, Any]]) -> None:
    """Replace the recorded results of the same targets; keep the list of findings that are fixed."""
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {"targets": [], "fixed": []}
    by_name = {each["target"]: each for each in [*record["targets"], *results]}
    record["limits"] = {"seconds_per_input": SECONDS_PER_INPUT, "memory_mb": MEMORY_MB}
    record["targets"] = list(by_name.values())
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

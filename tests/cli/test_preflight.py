"""Checks of arguments before slow imports."""

import os
import subprocess
import sys

import pytest

from rotated_atss.cli import main
from rotated_atss.cli._preflight import check_inputs_exist
from rotated_atss.errors import UserError

CONFIG = "rotated_atss_obb_r50_fpn_1x_dota_le90"

PROGRAM = """
import sys
from rotated_atss.cli import main
for words in {calls}:
    assert main(words) == 2
assert not {{"torch", "mmengine", "mmdet"}} & set(sys.modules), "torch or MMDetection was imported"
"""


def test_missing_config_or_checkpoint_is_refused(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    check_inputs_exist(CONFIG, str(tmp_path / "a.pth"))
    check_inputs_exist()
    with pytest.raises(UserError, match="xyz: no such config"):
        check_inputs_exist("xyz", str(tmp_path / "a.pth"))
    for missing in (tmp_path / "b.pth", tmp_path):
        with pytest.raises(UserError, match="no such checkpoint"):
            check_inputs_exist(CONFIG, str(missing))


def test_missing_inputs_are_reported_without_slow_imports(tmp_path, repo_root):
    checkpoint = tmp_path / "a.pth"
    checkpoint.write_bytes(b"")
    calls = {
        ("train", "xyz"): "xyz: no such config",
        ("train", CONFIG, "--resume", "gone.pth"): "gone.pth: no such checkpoint",
        ("test", CONFIG, "gone.pth"): "gone.pth: no such checkpoint",
        ("predict", "xyz", str(checkpoint), str(tmp_path)): "xyz: no such config",
        ("predict", CONFIG, "gone.pth", str(tmp_path)): "gone.pth: no such checkpoint",
        ("predict", CONFIG, str(checkpoint), "gone.png"): "gone.png: no such image or folder",
        ("convert-checkpoint", "gone.pth", "x"): "gone.pth: no such checkpoint",
        ("convert-checkpoint", str(checkpoint), "x", "--config", "xyz"): "xyz: no such config",
        ("assignment-stats", "xyz"): "xyz: no such config",
        ("assignment-stats", CONFIG, "--data", "gone"): "gone: no such file or folder",
        ("show-assignment", "xyz", "gone.png"): "xyz: no such config",
        ("show-assignment", CONFIG, "gone.png"): "gone.png: no such image",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(calls=[list(words) for words in calls])],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repo_root)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    for (command, *_), message, line in zip(calls, calls.values(), lines, strict=True):
        assert line.startswith(f"rotated-atss {command}: error: {message}")


@pytest.mark.parametrize("command", [["train", "CONFIG"], ["test", "CONFIG", "CHECKPOINT"]])
@pytest.mark.parametrize("number", ["-1", "two", "1.5"])
def test_invalid_number_of_workers_is_refused(command, number, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, f"--workers={number}"])
    assert caught.value.code == 2
    assert f"the number of processes must be an integer of at least 0, got '{number}'" in capsys.readouterr().err

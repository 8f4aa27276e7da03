"""Training in two processes on the CPU, started with ``tools/dist_train.sh``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from rotated_atss.detection.engine import distributed
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.distributed import configure_launcher, process_group

HOOK = '''
import hashlib, json, os

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class WitnessHook(Hook):
    """Record the final weights of this process and its number of positives per step."""

    seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append(float(outputs["num_pos"]))

    def after_train(self, runner):
        digest = hashlib.sha256()
        for name, value in runner.model.module.named_parameters():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        model = type(runner.model).__name__
        record = dict(digest=digest.hexdigest(), seen=self.seen, world=runner.world_size, model=model)
        with open(os.environ["WITNESS"] + f"{runner.rank}.json", "w") as file:
            json.dump(record, file)
'''

HOST = {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("rotated_atss_obb_r50_fpn_1x_dota_le90", [{}]),
        ("rotated_atss_centerness_obb_r50_fpn_1x_dota_le90", [HOST | {"NODE_RANK": str(rank)} for rank in (0, 1)]),
    ],
    ids=["one_host", "two_hosts"],
)
def test_two_processes_end_with_the_same_weights(name, hosts, tiny_published_options, tmp_path, repo_root):
    cfg = load_config(name, tiny_published_options)
    if "centerness" in name:
        cfg.model.bbox_head.norm_cfg = dict(type="GN", num_groups=4, requires_grad=True)
    cfg.train_dataloader.batch_size = 1
    cfg.train_dataloader.dataset.filter_cfg = None  # one of the six tiles has no object
    cfg.custom_imports.imports.append("witness")
    cfg.custom_hooks.append(dict(type="WitnessHook", priority="LOWEST"))
    cfg.dump(tmp_path / "two.py")
    (tmp_path / "witness.py").write_text(HOOK)

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python_path = os.pathsep.join([str(tmp_path), str(repo_root), os.environ.get("PYTHONPATH", "")])
    common = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "WITNESS": f"{tmp_path}/", "OMP_NUM_THREADS": "1"}
    script, errors = repo_root / "tools" / "dist_train.sh", tmp_path / "errors.txt"
    with errors.open("w") as file:
        started = [
            subprocess.Popen(
                [script, "two.py", str(2 // len(hosts)), "--work-dir", "work", "--seed", "1"],
                env=common | host, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=file,
            )
            for host in hosts
        ]  # fmt: skip
    assert [process.wait(300) for process in started] == [0] * len(hosts), errors.read_text()[-3000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["digest"] == second["digest"]
    assert first["world"] == 2
    assert first["model"] == "MMDistributedDataParallel"
    assert len(first["seen"]) == len(second["seen"]) == 3
    # one process had no objects in a step in which the other process had some
    assert (first["seen"] + second["seen"]).count(0) == 1
    assert first["seen"] != second["seen"]
    assert (tmp_path / "work" / "epoch_1.pth").is_file()
    log = next((tmp_path / "work").glob("*/*.log")).read_text()
    assert "batch of 2 images instead" not in log  # two processes with 1 image are the config's batch of 2
    assert "Epoch(val) [1]" in log
    assert "merged" in log


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_slurm_script_starts_each_host_and_resumes(tmp_path, repo_root):
    """Simulated Slurm commands: srun runs its command once per host, and python prints its arguments."""
    commands = {
        "scontrol": "echo host7; echo host8",
        "srun": 'for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        "python": 'echo "$@"',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {
        "SLURM_JOB_ID": "20003",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "host[7-8]",
        "SLURM_GPUS_ON_NODE": "4",
    }
    done = subprocess.run(
        ["tools/slurm_train.sh", "a config.py", "--amp"], cwd=repo_root, capture_output=True, text=True, check=True,
        env={**os.environ, **job, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    hosts = "--master_addr=host7 --master_port=20003 --nproc_per_node=4"
    rest = "tools/train.py a config.py --launcher pytorch --resume --amp"
    assert done.stdout.replace(f"{repo_root}/", "").splitlines() == [
        f"-m torch.distributed.run --nnodes=2 --node_rank={rank} {hosts} {rest}" for rank in (0, 1)
    ]


def test_launcher_needs_torchrun(monkeypatch, fault):
    monkeypatch.delenv("RANK", raising=False)
    error = fault(configure_launcher, Config(), "pytorch")
    assert error.startswith("--launcher pytorch needs the environment that torchrun sets")
    assert "tools/dist_train.sh" in error


def test_process_group_of_one_process_is_closed_after_the_run(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    environment = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with process_group("pytorch"):
        assert torch.distributed.get_backend() == "gloo"
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("env_cfg", "calls"), [(None, []), ({"dist_cfg": {"timeout": 9}}, ["fork", "pytorch 9"])])
def test_the_group_of_gpus_is_opened_before_the_runner_on_request(monkeypatch, env_cfg, calls):
    found = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(distributed, "set_multi_processing", lambda distributed: found.append("fork"))
    monkeypatch.setattr(distributed, "init_dist", lambda launcher, timeout: found.append(f"{launcher} {timeout}"))
    with distributed.process_group("pytorch", env_cfg):
        assert found == calls

"""Triton kernels without a GPU: interpreted they equal plain torch, and they compile for NVIDIA GPUs."""

import collections
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from rotated_atss.ops import backend, rotated_iou

ROOT = Path(__file__).resolve().parents[2]


def triton_version():
    """Return the major and minor version, (0, 0) if triton is not installed."""
    try:
        return tuple(int(part) for part in metadata.version("triton").split(".")[:2])
    except metadata.PackageNotFoundError:
        return (0, 0)


# triton 3.2 (torch 2.6) compiles the kernels through another API, but its interpreter computes wrong NMS bits
needs_triton = pytest.mark.skipif(triton_version() < (3, 3), reason="triton 3.3 or newer is not installed")


@pytest.mark.slow
@needs_triton
def test_interpreted_kernels_equal_plain_torch():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/kernels_interpreted.py"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def compiled(kernel, dtype, capability, **fixed):
    """Compile a kernel for tensors of one dtype without a GPU and return the compiler's output per stage."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    integers = {"count", "count1", "count2", "start", "stop", "num_programs", "num_words"}
    pointers = {
        "pair_list": "*i32",
        "pair_count": "*i32",
        "labels": "*i64",
        "matrix": "*i32",
        "rank": "*i64",
        "program_starts": "*i64",
        "keep": "*i8",
    }
    signature = {
        name: "constexpr" if name in fixed else "i32" if name in integers else pointers.get(name, f"*{dtype}")
        for name in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm


def kernels(dtype):
    from rotated_atss.ops.kernels import gradient, iou_kernels, nms_kernels

    kind = dict(IOF=False, EPS=2.0**-23 if dtype == "fp32" else 2.0**-52)
    columns = iou_kernels.TILE_COLUMNS[torch.float32 if dtype == "fp32" else torch.float64]
    return {
        "box table": (iou_kernels._fill_box_table, dict(BLOCK=iou_kernels.BLOCK)),
        "tiles": (iou_kernels._overlap_tiles, dict(**kind, ROWS=iou_kernels.TILE_ROWS, COLUMNS=columns)),
        "listed": (iou_kernels._overlap_listed, dict(**kind, BLOCK=iou_kernels.BLOCK)),
        "aligned": (iou_kernels._overlap_aligned, dict(**kind, BLOCK=iou_kernels.BLOCK)),
        "backward": (gradient._backward, dict(IOF=True, BLOCK=iou_kernels.BLOCK)),
        "bit matrix": (
            nms_kernels._fill_bit_matrix,
            dict(EPS=kind["EPS"], ROWS=nms_kernels.TILE_ROWS, WORD=nms_kernels.WORD),
        ),
        "scan": (nms_kernels._scan, dict(CAPACITY=64, WORD=nms_kernels.WORD)),
    }


@pytest.mark.slow
@needs_triton
@pytest.mark.skipif(backend.is_interpreted(), reason="interpreted kernels are not compiled")
@pytest.mark.parametrize("dtype, capability", [("fp32", 75), ("fp32", 90), ("fp64", 80)])
def test_every_kernel_compiles_for_gpus(dtype, capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for name, (kernel, fixed) in kernels(dtype).items():
        ptx = compiled(kernel, dtype, capability, **fixed)["ptx"]
        assert ".approx" not in ptx.replace("sqrt.approx", ""), name  # no approximate sine and cosine


@needs_triton
@pytest.mark.skipif(backend.is_interpreted(), reason="interpreted kernels are not compiled")
def test_stated_flops_equal_the_compiled_operations(tmp_path, monkeypatch):
    from rotated_atss.ops.kernels.overlap import FLOPS_PER_PAIR

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, fixed = kernels("fp32")["listed"]
    lines = re.findall(r"= (\S+) (\S+) .*xf32>", compiled(kernel, "fp32", 90, **fixed)["ttir"])
    counted = collections.Counter(name for name, first in lines if not (name == "arith.subf" and "cst" in first))
    arithmetic = ("addf", "subf", "mulf", "divf", "minnumf", "maxnumf", "absf")
    assert sum(counted[name] for name in counted if name.endswith(arithmetic)) == FLOPS_PER_PAIR


def test_requesting_triton_on_the_cpu_states_the_reason(monkeypatch):
    monkeypatch.setattr(backend, "unavailable_reason", backend.unavailable_reason.__wrapped__)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"backend 'triton' cannot run on cpu: .*(not installed|needs a GPU)"):
        rotated_iou(torch.ones(1, 5), torch.ones(1, 5), backend="triton")


def test_environment_variable_selects_torch(monkeypatch):
    monkeypatch.setattr(backend, "unavailable_reason", lambda device: "")
    assert (backend.default_backend("cuda"), backend.default_backend("cpu")) == ("triton", "torch")
    monkeypatch.setenv(backend.BACKEND_VARIABLE, "torch")
    assert backend.default_backend("cuda") == "torch"
    monkeypatch.setenv(backend.BACKEND_VARIABLE, "cuda")
    with pytest.raises(ValueError, match="ROTATED_ATSS_BACKEND must be one of torch, triton, got 'cuda'"):
        backend.default_backend("cpu")


def test_failure_of_triton_falls_back_to_torch():
    """Without a device the trial fails, like on a GPU that triton does not support."""
    if torch.cuda.is_available():
        pytest.skip("triton works here")
    pytest.importorskip("triton")
    with pytest.warns(UserWarning, match="rotated IoU and NMS use plain torch, because triton failed"):
        assert backend._kernel_error()

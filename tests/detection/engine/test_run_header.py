"""The lines before the first step: devices and data."""

import pytest
import torch

from rotated_atss.detection.engine import progress_hook, run_header
from rotated_atss.detection.engine.run_header import describe_dataset, describe_device


@pytest.mark.parametrize(
    ("device", "processes", "expected"),
    [
        ("cpu", 1, "cpu, 3 threads"),
        ("cpu", 2, "cpu, 3 threads, 2 processes"),
        ("cuda", 4, "cuda, NVIDIA H100, 4 processes"),
        ("mps", 1, "mps, GPU"),
    ],
)
def test_device(device, processes, expected, monkeypatch):
    monkeypatch.setattr(run_header, "get_device", lambda: device)
    monkeypatch.setattr(run_header, "get_world_size", lambda: processes)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert describe_device() == expected


def test_dataset_without_classes_or_folder():
    class Images(list):
        metainfo = {"classes": tuple("abcdef")}  # noqa: RUF012  (as MMEngine declares it)

    assert describe_dataset(Images([0])) == "1 image, 6 classes (a, b, c, d, e, ...)"
    assert describe_dataset([0, 1]) == "2 images"


def test_memory_is_that_of_tensors_on_a_gpu_and_of_the_process_elsewhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 9_800_000_000)
    assert progress_hook._memory_in_use() == ("GPU", 9_800_000_000)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(progress_hook, "resident_bytes", lambda: 5)
    assert progress_hook._memory_in_use() == ("RSS", 5)
    monkeypatch.setattr(progress_hook, "resident_bytes", lambda: None)
    assert progress_hook._memory_in_use() is None

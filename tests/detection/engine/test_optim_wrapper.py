"""Mixed precision in bfloat16 on the CPU."""

import torch

from rotated_atss.detection.engine import optim_wrapper
from rotated_atss.detection.engine.optim_wrapper import BFloat16OptimWrapper


def test_convolutions_of_small_maps_stay_in_float32(monkeypatch):
    monkeypatch.setattr(optim_wrapper, "has_fast_bfloat16", lambda device: True)
    layer = torch.nn.Conv2d(4, 4, 3, padding=1)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(layer.parameters(), 0.1))
    with wrapper.optim_context(layer):
        assert layer(torch.zeros(2, 4, 1, 16)).dtype == torch.float32
        assert layer(torch.zeros(2, 4, 2, 2).bfloat16()).dtype == torch.float32
        assert layer(torch.zeros(2, 4, 16, 16)).dtype == torch.bfloat16
    layer(torch.zeros(1, 4, 1, 1)).sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_cpus_without_bfloat16_instructions_train_in_float32(monkeypatch):
    monkeypatch.setattr(optim_wrapper, "has_fast_bfloat16", lambda device: False)
    layer = torch.nn.Conv2d(4, 4, 3, padding=1)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(layer.parameters(), 0.1))
    with wrapper.optim_context(layer):
        assert layer(torch.zeros(2, 4, 16, 16)).dtype == torch.float32

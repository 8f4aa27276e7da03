"""Operations on a built detector."""

import pytest
import torch
from torch import nn

from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.network import compile_network, num_classes, unwrap_model
from rotated_atss.errors import UserError

DEMO = "rotated_atss_obb_r18_demo_le90"


@pytest.mark.slow
def test_compiled_network_has_the_same_weights_and_features(tiles, tiny_options):
    cfg = load_config(DEMO, tiny_options)
    torch.manual_seed(0)
    plain, compiled = build_model(cfg), build_model(cfg)
    compiled.load_state_dict(plain.state_dict())
    compile_network(compiled, backend="aot_eager")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    pixels = torch.rand(1, 3, 64, 64)
    for one, other in zip(plain.extract_feat(pixels), compiled.extract_feat(pixels)):
        assert torch.allclose(one, other, atol=1e-5)


def test_missing_compiler_is_reported_in_one_line(tiny_options, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no C++ compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(UserError, match=r"does not work on this machine: no C.. compiler \(install a C.. compiler"):
        compile_network(build_model(load_config(DEMO, tiny_options)))


def test_wrapped_detector_is_unwrapped(tiny_options):
    detector = build_model(load_config(DEMO, tiny_options))
    wrapped = nn.Module()
    wrapped.module = nn.Module()
    wrapped.module.module = detector
    assert unwrap_model(wrapped) is unwrap_model(detector) is detector
    assert num_classes(wrapped) == num_classes(detector) == 15
    assert num_classes(nn.Linear(2, 1)) is None

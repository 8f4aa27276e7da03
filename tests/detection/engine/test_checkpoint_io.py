"""Reading of checkpoints: every format, no code from the file, one-line errors."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file

from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.detection.engine.checkpoint_io import (
    check_weights_fit,
    load_weights,
    read_checkpoint,
    restrict_checkpoint_loading,
)
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.hooks import StripCallablesHook
from rotated_atss.detection.engine.inference import load_detector
from rotated_atss.detection.engine.resume import check_resumable
from rotated_atss.detection.engine.runner import test as run_test

DEMO, PUBLISHED = "rotated_atss_obb_r18_demo_le90", "rotated_atss_obb_r50_fpn_1x_dota_le90"


@pytest.fixture
def model():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def saved(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


# -- reading -----------------------------------------------------------------------------------------------------------


def test_weights_of_every_checkpoint_layout(tmp_path, model):
    state = model.state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for content in (state, {"state_dict": state}, {"state_dict": wrapped, "meta": {}}, {"state_dict": wrapped}):
        read = state_dict_of(read_checkpoint(saved(tmp_path / "a.pth", content)))
        assert list(read) == list(state)
        assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_of_mmdetection_2_or_mmrotate_0(tmp_path, model, zipped):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    meta = dict(
        env_info="sys.platform: linux",
        config="model = dict()\n",
        seed=0,
        exp_name="rotated_atss.py",
        mmrotate_version="0.3.4+",
        CLASSES=("plane", "ship"),
        PALETTE=[(165, 42, 42)],
        epoch=12,
        iter=38400,
        hook_msgs=dict(),
        mean=np.float64(0.5),
    )
    content = dict(meta=meta, state_dict=model.state_dict(), optimizer=optimizer.state_dict())
    path = saved(tmp_path / "old.pth", content, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert read["meta"]["CLASSES"] == ("plane", "ship")
    check_weights_fit(model, state_dict_of(read), path)


def test_state_of_a_one_cycle_schedule_is_read(tmp_path):
    """MMEngine's runner, without StripCallablesHook, stores a bound method of the schedule."""
    from mmengine.optim import OneCycleLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=10, by_epoch=False)
    read = read_checkpoint(saved(tmp_path / "a.pth", {"state_dict": {}, "param_schedulers": [schedule.state_dict()]}))
    assert read["param_schedulers"][0]["total_steps"] == 10


def test_checkpoints_of_one_and_of_several_optimizers_contain_no_functions():
    state = {"total_steps": 10, "anneal_func": len}
    one, several = {"param_schedulers": [state]}, {"param_schedulers": {"a": [state], "b": []}}
    for checkpoint in (one, several, {}):
        StripCallablesHook().before_save_checkpoint(None, checkpoint)
    assert one == {"param_schedulers": [{"total_steps": 10}]}
    assert several == {"param_schedulers": {"a": [{"total_steps": 10}], "b": []}}


UNREADABLE_FILES = {
    "cut": ": cut short (copy or download it again)",
    "empty": ": the file is empty (copy or download it again)",
    "text": ": it is text (give a file of weights, .pth or .safetensors)",
    "html": ": it is text (give a file of weights, .pth or .safetensors)",
    "damaged": ": a zip of something else, or damaged (copy or download it again)",
    "bytes": " (cut short, or another kind of file)",
    "old": " (cut short, or another kind of file)",
}


def test_unreadable_files_are_described(tmp_path, model, fault):
    assert fault(read_checkpoint, tmp_path / "none.pth") == f"{tmp_path / 'none.pth'}: no such checkpoint"
    assert "no such checkpoint" in fault(read_checkpoint, tmp_path)
    whole = saved(tmp_path / "whole.pth", {"state_dict": model.state_dict()}).read_bytes()
    content = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"this is no checkpoint\n" * 9,
        "html": b"<!DOCTYPE html><html>404</html>",
        "bytes": bytes(range(256)),
        "old": saved(tmp_path / "old.pth", {}, _use_new_zipfile_serialization=False).read_bytes()[:-9],
        "damaged": whole[:200] + bytes(400) + whole[600:],
    }
    for name, data in content.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        assert fault(read_checkpoint, path) == f"{path}: not a readable checkpoint{UNREADABLE_FILES[name]}"
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "not a readable checkpoint" in fault(read_checkpoint, tmp_path / "zip.pth")
    path = saved(tmp_path / "list.pth", [1, 2])
    assert fault(read_checkpoint, path) == f"{path}: contains a list instead of weights"


# -- code in checkpoints -----------------------------------------------------------------------------------------------


def test_read_checkpoint_runs_no_code(tmp_path, model, trap, unrestricted_loaders, fault):
    path = saved(tmp_path / "evil.pth", {"state_dict": model.state_dict(), "meta": trap})
    assert fault(read_checkpoint, path).startswith(
        f"{path}: not loaded, for safety: it contains posix.mkdir, which can run code"
    )
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(trap))
    assert str(bare) in fault(read_checkpoint, bare)
    assert not trap.path.exists()


def test_mmengine_runs_code_unless_restricted(tmp_path, trap, unrestricted_loaders):
    """The control of the tests below: the trap works."""
    CheckpointLoader.load_checkpoint(str(saved(tmp_path / "evil.pth", {"state_dict": trap})))
    assert trap.path.exists()


def test_restricted_local_and_downloaded_files_run_no_code(tmp_path, monkeypatch, trap, unrestricted_loaders, fault):
    path = saved(tmp_path / "evil.pth", {"state_dict": trap})
    restrict_checkpoint_loading()
    assert "for safety" in fault(CheckpointLoader.load_checkpoint, str(path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # the cache of downloads
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path.rename(tmp_path / "hub" / "checkpoints" / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint("https://example.invalid/evil.pth")
    assert not trap.path.exists()


def test_restricting_twice_is_restricting_once(unrestricted_loaders):
    restrict_checkpoint_loading()
    loaders = mmengine_checkpoint._safe_torch_load, mmengine_checkpoint.load_url
    restrict_checkpoint_loading()
    assert loaders == (mmengine_checkpoint._safe_torch_load, mmengine_checkpoint.load_url)


@pytest.mark.usefixtures("quick", "unrestricted_loaders")
@pytest.mark.parametrize("way", ["load_from", "resume", "init_cfg", "init_weights", "test", "load_detector", "convert"])
def test_no_way_to_load_weights_runs_code(way, run, run_published, tmp_path, trap, capsys, fault):
    from rotated_atss.cli import main

    path = str(saved(tmp_path / "evil.pth", {"state_dict": trap}))
    if way == "convert":
        assert main(["convert-checkpoint", path, str(tmp_path / "out"), "--config", DEMO]) == 2
        message = capsys.readouterr().err
    else:
        message = fault({
            "load_from": lambda: run({"load_from": path}),
            "resume": lambda: run(resume=path),
            "init_cfg": lambda: run_published({"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=path)}),
            "init_weights": lambda: build_model(
                load_config(PUBLISHED, {"model.backbone.init_cfg.checkpoint": path})
            ).init_weights(),
            "test": lambda: run_test(DEMO, path),
            "load_detector": lambda: load_detector(DEMO, path, device="cpu"),
        }[way])  # fmt: skip
    assert "not loaded, for safety: it contains posix.mkdir" in message
    assert not trap.path.exists()


# -- weights of the model ----------------------------------------------------------------------------------------------


def test_weights_of_another_model(model, fault):
    state = model.state_dict()
    check_weights_fit(model, state, "a.pth")
    check_weights_fit(model, {name: value for name, value in state.items() if "num_batches" not in name}, "a.pth")
    state["0.weight"] = torch.zeros(5, 3)
    state["extra.weight"] = state.pop("0.bias")
    state["extra.bias"] = torch.zeros(1)
    for check in (check_weights_fit, load_weights):
        assert fault(check, model, state, "a.pth") == (
            "a.pth: these are weights of another model: 1 missing (0 1; first: 0.bias); "
            "2 unexpected (extra 2; first: extra.weight); 1 of another shape (0 1; first: 0.weight, got (5, 3), "
            "expected (2, 3)) (give the config they were trained with)"
        )


def test_loaded_weights_are_those_of_the_file(model):
    state = {name: torch.full_like(value, 3) for name, value in model.state_dict().items()}
    load_weights(model, state, "a.pth")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_only_the_state_of_a_training_is_resumed(model, fault):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    whole = dict(
        state_dict=model.state_dict(),
        meta=dict(epoch=0, iter=1),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        optimizer=optimizer.state_dict(),
        param_schedulers=[{}],
    )
    check_resumable(model, whole, "whole.pth")
    assert fault(check_resumable, model, model.state_dict(), "bare.pth").startswith(
        "bare.pth: contains weights but no training state to resume (no meta, message_hub, optimizer"
    )
    for value in (float("nan"), float("inf")):
        state = {0: {"momentum_buffer": torch.full((2, 3), value)}}
        diverged = {**whole, "optimizer": {**whole["optimizer"], "state": state}}
        message = fault(check_resumable, model, diverged, "a.pth")
        assert message.startswith("a.pth: the state of the optimizer has NaN or infinite values")
    other = {**whole, "state_dict": {}}
    assert "6 missing (0 2, 1 4; first: 0.weight)" in fault(check_resumable, model, other, "other.pth")


@pytest.mark.parametrize(
    "part, value",
    [
        ("meta", {}),
        ("message_hub", 3),
        ("message_hub", {}),
        ("optimizer", 5),
        ("optimizer", {}),
        ("optimizer", {"param_groups": [{"params": [0]}], "state": [1]}),
        ("optimizer", {"param_groups": [3], "state": {}}),
        ("param_schedulers", 3),
        ("param_schedulers", ["x"]),
    ],
)
def test_a_damaged_training_state_is_refused(part, value, model, fault):
    content = dict(
        state_dict=model.state_dict(),
        meta=dict(epoch=0, iter=1),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1).state_dict(),
        param_schedulers=[],
    )
    check_resumable(model, content, "a.pth")
    assert fault(check_resumable, model, {**content, part: value}, "a.pth").startswith(
        f"a.pth: invalid training state: {part} does not have the form that MMEngine writes"
    )
    state = {0: {"momentum_buffer": torch.zeros(9, 9)}}
    other = {**content, "optimizer": {**content["optimizer"], "state": state}}
    assert "has a tensor of shape (9, 9), but no weight has this shape" in fault(check_resumable, model, other, "a.pth")


@pytest.mark.parametrize(
    "content, message",
    [
        ([1], "contains a list instead of weights"),
        ({"meta": {"seed": "abc"}}, "meta.seed must be an integer from 0"),
        ({"meta": {"seed": -4}}, "meta.seed must be an integer from 0"),
        ({"bn.running_var": torch.tensor([-1.0])}, "a variance is negative (first: bn.running_var)"),
        ({"state_dict": [1]}, "state_dict must be a dictionary, got list"),
        ({"state_dict": None}, "state_dict must be a dictionary, got NoneType"),
        ({"state_dict": {}, "meta": 3}, "meta must be a dictionary, got int"),
        ({"state_dict": {}, "meta": {"dataset_meta": 3}}, "meta.dataset_meta must be a dictionary, got int"),
        ({"state_dict": {7: torch.zeros(1)}}, "names of weights must be printable text, got 7"),
        (
            {"state_dict": {"w": torch.tensor([0.0, float("nan")])}},
            "contains 1 weight with NaN or infinite values (first: w)",
        ),
        ({"w": torch.tensor([float("inf")])}, "contains 1 weight with NaN or infinite values (first: w)"),
        ({"w": torch.tensor([1e300], dtype=torch.float64)}, "contains 1 weight with NaN or infinite values (first: w)"),
        (
            {"w": torch.tensor([float("nan")]).to(torch.float8_e5m2)},
            "contains 1 weight with NaN or infinite values (first: w)",
        ),
        (
            {"state_dict": {}, "ema_state_dict": {"w": torch.tensor([float("nan")])}},
            "contains 1 weight with NaN or infinite",
        ),
        ({"w": torch.zeros(1, dtype=torch.complex64)}, "contains 1 complex weight (first: w)"),
        ({"module.w": torch.zeros(1), "w": torch.ones(1)}, "contains both module.w and w, names of the same weight"),
        *(
            (
                {"meta": {"dataset_meta": {"classes": classes}}},
                "meta.dataset_meta.classes must be a list of class names",
            )
            for classes in (5, 0, True, 1.5, [1, 2], [["a"]], [None, "a"], {"a": 0}, b"ab", torch.zeros(2), np.zeros(2))
        ),
        ({"meta": {"CLASSES": 3}}, "meta.CLASSES must be a list of class names, got 3"),
        *(
            ({"meta": {key: count}}, f"meta.{key} must be a count, got {count!r}")
            for key in ("iter", "epoch")
            for count in ("abc", None, -5, float("nan"), True)
        ),
    ],
)
def test_content_that_no_checkpoint_has(content, message, tmp_path, fault):
    path = saved(tmp_path / "a.pth", content)
    assert fault(read_checkpoint, path).startswith(f"{path}: {message}")
    restrict_checkpoint_loading()
    assert fault(CheckpointLoader.load_checkpoint, str(path), "cpu").startswith(f"{path}: {message}")


def test_the_suffix_of_safetensors_can_be_upper_case(tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "A.SAFETENSORS")
    assert read_checkpoint(tmp_path / "A.SAFETENSORS")["state_dict"]["w"].tolist() == [1]


def test_deeply_nested_content_is_one_line(tmp_path, fault):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    buffer = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    path = tmp_path / "deep.pth"
    path.write_bytes(buffer)
    assert "deep.pth" in fault(read_checkpoint, path)


@pytest.mark.usefixtures("quick")
def test_resuming_does_not_execute_the_config_in_the_checkpoint(run, tmp_path):
    path = next(run({"train_cfg.max_iters": 1}).glob("iter_1.pth"))
    content = torch.load(path, weights_only=False)
    content["meta"]["config"] = f"import os\nos.mkdir({str(tmp_path / 'made')!r})\n"
    torch.save(content, path)
    run({"train_cfg.max_iters": 2}, resume=str(path))
    assert not (tmp_path / "made").exists()

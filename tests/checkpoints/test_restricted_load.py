"""Checkpoints never run code: what a file may name, entry by entry."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pickle import (
    BINPERSID,
    BINUNICODE,
    BUILD,
    EMPTY_DICT,
    EMPTY_TUPLE,
    EXT1,
    GLOBAL,
    INST,
    MARK,
    NEWOBJ,
    NONE,
    OBJ,
    PROTO,
    REDUCE,
    SETITEM,
    STACK_GLOBAL,
    STOP,
    TUPLE,
    TUPLE1,
    TUPLE2,
)

import numpy as np
import pytest
import torch

from rotated_atss.checkpoints.restricted_load import ALLOWED_GLOBALS, LogHistory, load_restricted
from rotated_atss.errors import UserError


def text(value):
    return BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()


def named(path):
    module, _, name = path.rpartition(".")
    return GLOBAL + f"{module}\n{name}\n".encode()


GETATTR = named("builtins.getattr")


def attribute(owner, name):
    return GETATTR + owner + text(name) + TUPLE2 + REDUCE


def write(path, stream, zipped=True):
    """Write a checkpoint whose pickle is ``stream``."""
    stream = PROTO + b"\x02" + stream + STOP
    if not zipped:
        path.write_bytes(stream)
        return path
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            data = source.read(entry)
            target.writestr(entry.filename, stream if entry.filename.endswith("data.pkl") else data)
    return path


BUILTINS = attribute(GETATTR, "__self__")
HISTORY = named("mmengine.logging.history_buffer.HistoryBuffer")
ATTACKS = {
    "getattr of getattr": BUILTINS,
    "exec": attribute(BUILTINS, "exec"),
    "python 2 name": attribute(named("__builtin__.getattr"), "__self__"),
    "attribute of a log": attribute(HISTORY, "__init__"),
    "globals of a function": attribute(attribute(HISTORY, "mean"), "__globals__"),
    "class of a class": attribute(HISTORY, "__class__"),
    "state of a log is a function": HISTORY + EMPTY_TUPLE + NEWOBJ
    + EMPTY_DICT + text("__setstate__") + attribute(HISTORY, "mean") + SETITEM + BUILD,
    "attribute of a schedule": attribute(
        named("mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler"), "__subclasses__"
    ),
    "attribute of an array": attribute(named("numpy.ndarray"), "tofile"),
    "eval": named("builtins.eval") + text("1") + b"\x85" + REDUCE,
    "system": named("os.system") + text("true") + b"\x85" + REDUCE,
    "module function": named("torch.hub.load") + EMPTY_TUPLE + REDUCE,
    "unrestricted load": named("torch.storage._load_from_bytes") + b"C\x01." + TUPLE1 + REDUCE,
    "load of numpy": named("numpy.load") + text("a.npy") + TUPLE1 + REDUCE,
    "library": named("ctypes.CDLL") + text("a.so") + TUPLE1 + REDUCE,
    "attribute by operator": named("operator.attrgetter") + text("mean.__globals__") + TUPLE1 + REDUCE,
    "name from the stack": text("os") + text("system") + STACK_GLOBAL,
    "old instance": MARK + text("true") + INST + b"os\nsystem\n",
    "old object": MARK + named("os.system") + text("true") + OBJ,
    "extension code": EXT1 + b"\x01",
    "rebuild by a refused function": named("torch._tensor._rebuild_from_type_v2")
    + MARK + named("os.system") + named("torch.Tensor") + text("true") + TUPLE1 + NONE + TUPLE + REDUCE,
    "module of a codec": named("_codecs.encode") + text("") + text("os.path") + TUPLE2 + REDUCE,
    "id of another storage": text("true") + BINPERSID,
    "state of a class": named("collections.OrderedDict") + EMPTY_DICT + text("x") + text("y") + SETITEM + BUILD,
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("stream", ATTACKS.values(), ids=ATTACKS)
def test_no_function_is_reached(stream, zipped, tmp_path):
    # torch 2.6 asserts that the id of a storage is a tuple
    with pytest.raises((pickle.UnpicklingError, LookupError, RuntimeError, AssertionError)):
        load_restricted(write(tmp_path / "evil.pth", stream, zipped))


def test_an_object_array_is_refused(tmp_path):
    torch.save({"meta": np.array([{}], dtype=object)}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError, match="dtype 'O8' is neither numeric nor text"):
        load_restricted(tmp_path / "a.pth")


def test_flags_of_a_dtype_are_ignored(tmp_path):
    torch.save({"a": np.arange(3, dtype=">f8")}, tmp_path / "a.pth")
    loaded = load_restricted(tmp_path / "a.pth")["a"]
    assert loaded.tolist() == [0, 1, 2]
    assert loaded.dtype == np.dtype(">f8")


def test_a_structured_dtype_is_refused(tmp_path):
    torch.save({"a": np.zeros(2, dtype=[("x", "f4")])}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError, match="neither numeric nor text"):
        load_restricted(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", sorted(ALLOWED_GLOBALS))
def test_every_allowed_name_stands_for_plain_values(name, zipped, tmp_path):
    """Loading the bare name gives nothing that could be called later."""
    stand_in = ALLOWED_GLOBALS[name]
    assert stand_in is slice or stand_in.__module__ == "rotated_atss.checkpoints.restricted_load"
    if isinstance(stand_in, type) and stand_in is not slice:
        assert not hasattr(stand_in(*(["f4"] if name == "numpy.dtype" else [])), "__dict__")


def test_values_of_numpy_are_read(tmp_path):
    content = {
        "number": np.float64(0.5),
        "count": np.int64(7),
        "matrix": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "text": np.array(["ship", "plane"]),
        "nested": [({"flag": np.bool_(True)},)],
        "slice": slice(1, 4),
        "ordered": OrderedDict(a=np.uint8(3)),
    }
    torch.save(content, tmp_path / "a.pth")
    read = load_restricted(tmp_path / "a.pth")
    assert read["number"] == 0.5
    assert read["count"] == 7
    assert np.array_equal(read["matrix"], content["matrix"])
    assert read["text"].tolist() == ["ship", "plane"]
    assert read["nested"] == [({"flag": True},)]
    assert read["slice"] == slice(1, 4)
    assert read["ordered"] == OrderedDict(a=3)


def test_a_log_of_mmengine_is_read(tmp_path):
    logging = pytest.importorskip("mmengine.logging")
    torch.save({"loss": logging.HistoryBuffer([1.0, 2.0], [1, 1], 100)}, tmp_path / "a.pth")
    history = load_restricted(tmp_path / "a.pth")["loss"]
    assert isinstance(history, LogHistory)
    assert history.log_history.tolist() == [1, 2]
    assert history.count_history.tolist() == [1, 1]


def test_shared_and_cyclic_containers_are_read_once(tmp_path):
    shared = [np.float64(1)]
    doubled = shared
    for _ in range(60):  # 2 ** 60 items if every reference were followed
        doubled = (doubled, doubled)
    torch.save({"a": doubled}, tmp_path / "a.pth")
    assert load_restricted(tmp_path / "a.pth")["a"] is not None


def test_additions_of_other_packages_do_not_apply(tmp_path):
    torch.save({"a": np.ones(1)}, tmp_path / "a.pth")
    with torch.serialization.safe_globals([getattr]):
        with pytest.raises(pickle.UnpicklingError):
            load_restricted(write(tmp_path / "evil.pth", BUILTINS))
        assert getattr in torch.serialization.get_safe_globals()
    assert load_restricted(tmp_path / "a.pth")["a"].tolist() == [1]


def test_the_variable_that_switches_the_restriction_off_has_no_effect(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(pickle.UnpicklingError):
        load_restricted(write(tmp_path / "evil.pth", BUILTINS))


def test_a_compressed_file_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(UserError, match=r"b\.pth: not loaded, for safety: its entries are compressed"):
        load_restricted(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "tensor, kind",
    [
        (torch.eye(2).to_sparse(), "a sparse tensor"),
        (torch.zeros(2, device="meta"), "a tensor without values"),
        (torch.zeros(1).expand(1_000_000), "a tensor with fewer values than its shape requires"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "a quantized tensor"),
    ],
    ids=["sparse", "meta", "expanded", "quantized"],
)
def test_only_plain_tensors_are_read(tensor, kind, tmp_path):
    torch.save({"state_dict": {"w": tensor}}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=kind):
        load_restricted(tmp_path / "a.pth")

"""What a checkpoint can allocate is limited by the size of its file."""

import io
import struct
import zipfile
from pickle import BINUNICODE, EMPTY_TUPLE, GLOBAL, PROTO, REDUCE, STOP, TUPLE1

import pytest
import torch

from rotated_atss.checkpoints.read_file import read_content
from rotated_atss.checkpoints.zip_check import check_checkpoint_file
from rotated_atss.errors import UserError

END = b"PK\x05\x06"


@pytest.fixture
def saved(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1000)}}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def rewrite(path, change, method=zipfile.ZIP_STORED):
    """Write the entries of a zip again, each changed by ``change(name, data)``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w", method) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, change(entry.filename, source.read(entry)))
    path.write_bytes(buffer.getvalue())


def replace_pickle(stream):
    return lambda name, data: PROTO + b"\x02" + stream + STOP if name.endswith("data.pkl") else data


def refused(path, reason):
    with pytest.raises(UserError) as caught:
        read_content(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_writes_is_accepted(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"w": torch.ones(3)}}, path, _use_new_zipfile_serialization=not legacy)
    max_bytes = path.stat().st_size if legacy else 3 * 4
    assert check_checkpoint_file(path) == max_bytes
    with path.open("rb") as file:
        assert check_checkpoint_file(file) == max_bytes
        assert file.tell() == 0
    assert read_content(path)["state_dict"]["w"].tolist() == [1, 1, 1]


def test_a_zip_written_by_python_is_accepted(saved):
    rewrite(saved, lambda name, data: data)
    assert read_content(saved)["state_dict"]["w"].sum() == 1000


def test_compressed_entries(saved):
    rewrite(saved, lambda name, data: data, zipfile.ZIP_DEFLATED)
    refused(saved, "its entries are compressed")


@pytest.mark.parametrize("numel", [1001, 2**31 - 1])
def test_a_tensor_with_an_absurd_size(saved, numel):
    number = struct.pack("<BH", ord("M"), 1000)
    rewrite(saved, lambda name, data: data.replace(number, b"J" + struct.pack("<i", numel)))
    refused(saved, "not")


def test_one_entry_that_is_read_many_times(tmp_path):
    """1,000 tensors whose entries are the same bytes of the file: a megabyte that becomes a gigabyte."""
    path = tmp_path / "a.pth"
    torch.save({f"w{index}": torch.zeros(5000) for index in range(20)}, path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
        first = None
        for entry in source.infolist():
            if "/data/" in entry.filename and first is not None:
                again = zipfile.ZipInfo(entry.filename)
                again.header_offset, again.CRC = first.header_offset, first.CRC
                again.file_size = again.compress_size = first.file_size
                target.filelist.append(again)
                continue
            target.writestr(entry.filename, source.read(entry))
            first = target.filelist[-1] if "/data/" in entry.filename else None
    path.write_bytes(buffer.getvalue())
    refused(path, "its entries overlap")


def test_storages_larger_than_the_file(saved):
    """A pickle that makes a storage by number, which no entry of the file holds."""
    rebuild = GLOBAL + b"torch\nTensor\n" + b"J" + struct.pack("<i", 50_000_000) + TUPLE1 + REDUCE
    key = BINUNICODE + struct.pack("<I", 1) + b"w"
    rewrite(saved, replace_pickle(b"}" + key + rebuild + b"s"))
    refused(saved, "contains a tensor larger than the values stored in the file")


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_bytearray_made_by_number(saved, module, zipped):
    stream = GLOBAL + f"{module}\nbytearray\n".encode() + b"J" + struct.pack("<i", 2**31 - 1) + TUPLE1 + REDUCE
    if zipped:
        rewrite(saved, lambda name, data: replace_pickle(stream)(name.lower(), data))
    else:
        saved.write_bytes(PROTO + b"\x02" + stream + STOP)
    refused(saved, "it uses bytearray")


def test_a_name_that_spans_two_parts_of_a_file(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"x" * (2**24 - 5) + b"\nbytearray\n" + EMPTY_TUPLE)
    refused(tmp_path / "a.pth", "it uses bytearray")


def test_two_directories(saved):
    """Python adds the bytes before a zip to its offsets, torch does not: each would read another directory."""
    saved.write_bytes(saved.read_bytes()[:4] + bytes(96) + saved.read_bytes())
    refused(saved, "its central directory is not at the end of the file")


@pytest.mark.parametrize("tail", [END, END + bytes(15), b"x", END + bytes(18), b"\0" * 22])
def test_bytes_after_the_end(saved, tail):
    saved.write_bytes(saved.read_bytes() + tail)
    refused(saved, "")


def test_a_directory_on_several_disks(saved):
    data = bytearray(saved.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 4] = 9
    saved.write_bytes(data)
    refused(saved, "not a readable checkpoint: a zip of something else, or damaged")


def test_a_locator_that_points_elsewhere(saved):
    data = saved.read_bytes()
    at = data.rindex(b"PK\x06\x07")
    saved.write_bytes(data[: at + 8] + struct.pack("<Q", 0) + data[at + 16 :])
    refused(saved, "its central directory is not at the end of the file")


def test_a_pickle_nested_ten_thousand_times(saved):
    rewrite(saved, replace_pickle(b"]" * 10_000 + b"a" * 9_999))
    refused(saved, "not a readable checkpoint")

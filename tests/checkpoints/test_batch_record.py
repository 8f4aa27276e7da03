"""Files of recorded training steps."""

import io

import pytest
import torch

from rotated_atss.checkpoints.batch_record import BatchRecord, ImageRecord, read_batch_record, write_batch_record
from rotated_atss.errors import UserError
from tests.references.pickles import Trap


@pytest.fixture
def record():
    image = ImageRecord(
        inputs=torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2),
        metainfo={"img_id": "P1", "img_shape": (2, 2), "scale_factor": (1.0, 1.0), "flip": True},
        gt_instances={"bboxes": torch.tensor([[1.0, 1.0, float("nan"), 2.0, 0.5]]), "labels": torch.tensor([3])},
        ignored_instances={"bboxes": torch.zeros(0, 5)},
        box_type="obb",
    )
    return BatchRecord(
        7, {"loss": float("inf")}, ["a.weight"], [image], {"a.weight": torch.ones(2)}, 9, "demo", "a = 1\n"
    )


def test_what_is_written_is_read(record, tmp_path):
    write_batch_record(tmp_path / "a.pth", record)
    again = read_batch_record(tmp_path / "a.pth")
    first, second = again.images[0], record.images[0]
    assert (again.iteration, again.losses, again.gradients, again.seed) == (7, {"loss": float("inf")}, ["a.weight"], 9)
    assert again.config_values() == {"a": 1}
    assert torch.equal(first.inputs, second.inputs)
    assert first.metainfo == second.metainfo
    assert torch.equal(first.gt_instances["bboxes"].nan_to_num(-1), second.gt_instances["bboxes"].nan_to_num(-1))
    assert first.ignored_instances["bboxes"].shape == (0, 5)
    assert first.name == "P1"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_record": 2}, "not a batch record"),
        ({"iteration": "seven"}, "iteration must be a int, got str"),
        ({"images": {}}, "images must be a list, got dict"),
        ({"weights": {"a": 1}}, "a must be a Tensor, got int"),
        ({"losses": None}, "losses must be a dict, got NoneType"),
    ],
)
def test_other_files_are_one_line(record, tmp_path, change, message):
    write_batch_record(tmp_path / "a.pth", record)
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({**content, **change}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message) as caught:
        read_batch_record(tmp_path / "a.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pth'}: ")


def test_a_record_runs_no_code(tmp_path):
    torch.save({"batch_record": 1, "images": Trap(tmp_path / "made")}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="not a batch record, or damaged"):
        read_batch_record(tmp_path / "a.pth")
    assert not (tmp_path / "made").exists()


def test_truncated_and_missing_files_are_one_line(record, tmp_path):
    write_batch_record(tmp_path / "a.pth", record)
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:300])
    buffer = io.BytesIO()
    torch.save([1], buffer)
    (tmp_path / "c.pth").write_bytes(buffer.getvalue())
    for name, message in (("b", "not a batch record, or damaged"), ("c", "not a batch record"), ("d", "no such file")):
        with pytest.raises(UserError, match=message):
            read_batch_record(tmp_path / f"{name}.pth")

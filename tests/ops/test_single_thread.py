"""Small operations in one thread of torch."""

import pytest
import torch

from rotated_atss.assign import atss_assign
from rotated_atss.ops import iou, rotated_iou
from rotated_atss.ops.single_thread import single_thread, single_threaded


@pytest.fixture(autouse=True)
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_the_number_of_threads_is_restored():
    with single_thread(torch.device("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_the_number_of_threads_is_restored_after_an_error():
    def fail(boxes):
        raise ValueError("no boxes")

    with pytest.raises(ValueError, match="no boxes"):
        single_threaded(fail)(torch.zeros(1))
    assert torch.get_num_threads() == 2


def test_other_devices_keep_their_threads():
    with single_thread(torch.device("meta")):
        assert torch.get_num_threads() == 2


def test_overlaps_are_computed_in_one_thread(monkeypatch):
    seen = []
    monkeypatch.setattr(
        iou, "_torch_pairwise", lambda a, b, mode: seen.append(torch.get_num_threads()) or torch.zeros(1, 1)
    )
    rotated_iou(torch.zeros(1, 5), torch.zeros(1, 5))
    assert seen == [1]


def test_a_wrong_argument_gives_the_error_of_the_function():
    with pytest.raises(TypeError, match="boxes1"):
        rotated_iou([[0.0] * 5], torch.zeros(1, 5))


def test_assignment_restores_the_number_of_threads():
    atss_assign(torch.tensor([[4.0, 4, 8, 8, 0]]), [1], torch.tensor([[4.0, 4, 8, 8, 0]]))
    assert torch.get_num_threads() == 2

"""The line of progress: rates, shares and units."""

import pytest

from rotated_atss.detection.engine.progress_text import Progress, format_progress


def test_every_part_of_a_training_line():
    progress = Progress(
        position="epoch 3/12  50/1283", loss=0.81239, lr=0.0025, seconds=0.8, loading_seconds=0.02, images=8,
        remaining_seconds=5025.4, memory=("GPU", 9_800_000_000),
    )  # fmt: skip
    assert format_progress(progress) == (
        "epoch 3/12  50/1283  loss 0.8124  eta 1:23:45  lr 2.50e-03  10.0 images/s  0.80 s/step  loading 2%  GPU 9.8 GB"
    )


def test_unknown_parts_are_left_out():
    line = format_progress(Progress(position="test 1/5", seconds=0.0, loading_seconds=0.0, images=2))
    assert line.startswith("test 1/5  ")
    assert not any(part in line for part in ("loss", "lr", "eta", "GB", "nan", "inf"))


@pytest.mark.parametrize(
    ("images", "seconds", "text"),
    [(2, 42.74, "0.047"), (1, 1.25, "0.8"), (1, 1.0, "1.0"), (8, 0.5, "16.0"), (0, 1.0, "0")],
)
def test_slow_rates_keep_two_digits(images, seconds, text):
    line = format_progress(Progress(position="train 1/5", seconds=seconds, loading_seconds=0.0, images=images))
    assert f"  {text} images/s  " in line

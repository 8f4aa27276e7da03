"""Pictures are written atomically, never among the inputs, and files of other programs are protected."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.visualization.png_output import check_overwritable, write_png


def uniform(value: int) -> np.ndarray:
    return np.full((160, 200, 3), value, np.uint8)


def test_written_picture_reads_back_and_no_temporary_file_remains(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = write_png(tmp_path / "deep" / "a.png", image)
    assert (cv2.imread(str(path)) == image).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


def test_nothing_is_written_among_the_inputs(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    source = images / "P0001.png"
    source.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(images)
    for target in (source, images / "new.png", images / "deep" / "new.png", tmp_path / "link" / "P0001.png"):
        with pytest.raises(UserError, match="overlaps the input"):
            write_png(target, uniform(90), inputs=[images])
    with pytest.raises(UserError, match="overlaps the input"):
        write_png(source, uniform(90), inputs=[source])
    assert source.read_bytes() == b"precious"
    assert len(list(images.iterdir())) == 1
    assert write_png(tmp_path / "out.png", uniform(90), inputs=[images, source]).exists()


def test_other_suffixes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"written as \.png"):
        write_png(tmp_path / "a.jpg", uniform(90))
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_protected_on_request(tmp_path: Path) -> None:
    path = tmp_path / "P1.png"
    cv2.imwrite(str(path), uniform(90))
    with pytest.raises(UserError, match=r"P1\.png: the file was not written by rotated-atss"):
        write_png(path, uniform(91), protect_foreign=True)
    with pytest.raises(UserError, match="not written by rotated-atss"):
        check_overwritable(path)
    assert (cv2.imread(str(path)) == 90).all()
    write_png(path, uniform(91))
    write_png(path, uniform(92), protect_foreign=True)
    assert (cv2.imread(str(path)) == 92).all()
    check_overwritable(tmp_path / "new.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        write_png(tmp_path / "folder.png", uniform(90), protect_foreign=True)

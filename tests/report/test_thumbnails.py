"""Pictures of the best and worst images."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.report.thumbnails import MAX_SIDE_PX, write_thumbnails
from rotated_atss.report.viewer_data import ViewerDetection, ViewerImage, ViewerObject

BOX = [200.0, 200, 600, 200, 600, 500, 200, 500]
COLORS_BGR = {"tp": (233, 180, 86), "fp": (51, 112, 255), "missed": (66, 228, 240)}


def write_image(path: Path, width: int, height: int) -> Path:
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return path


@pytest.mark.parametrize("state", COLORS_BGR)
def test_boxes_have_the_color_of_their_state_at_their_place(tmp_path: Path, state: str) -> None:
    path = write_image(tmp_path / "P1.png", 1600, 800)
    objects = [ViewerObject(BOX, "ship", "missed" if state == "missed" else "matched")]
    detections = [] if state == "missed" else [ViewerDetection(BOX, "ship", 0.9, 0.8, state)]
    (address,) = write_thumbnails([ViewerImage("P1", path, objects, detections)], tmp_path / "out").values()
    picture = cv2.imread(str(tmp_path / "out" / address)).astype(int)
    assert max(picture.shape[:2]) <= MAX_SIDE_PX
    factor = 1600 / picture.shape[1]
    distance = np.abs(picture - COLORS_BGR[state]).max(axis=2)
    rows, columns = np.nonzero(distance < 60)
    assert (rows.min() * factor, columns.min() * factor) == pytest.approx((200, 200), abs=3 * factor)
    assert (rows.max() * factor, columns.max() * factor) == pytest.approx((500, 600), abs=3 * factor)
    assert np.abs(picture[0, 0] - 90).max() < 5


def test_images_that_cannot_be_read_and_names_that_are_no_file_names(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [
        ViewerImage("bad", tmp_path / "bad.png"), ViewerImage("../a", write_image(tmp_path / "a.png", 30, 20)),
        ViewerImage("gone", tmp_path / "gone.png"),
    ]  # fmt: skip
    addresses = write_thumbnails(images, tmp_path / "out")
    assert list(addresses) == ["../a"]
    (file,) = (tmp_path / "out" / "thumbnails").iterdir()
    assert addresses["../a"] == f"thumbnails/{file.name}"
